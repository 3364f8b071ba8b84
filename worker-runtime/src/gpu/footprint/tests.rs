//! The rule as laws over random samples, what each sort of sample teaches, and the file.

use std::collections::VecDeque;
use std::fs;
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::JobId;
use shared::profile::{DeviceMemory, ResourceRequest};
use shared::time::Timestamp;
use tempfile::TempDir;

use super::book::{Book, VERSION};
use super::figure::{Figure, quantile};
use super::learned::Learned;
use super::*;
use crate::gpu::admit::tests::chance::Chance;
use crate::gpu::admit::{
    Backend, Books, Device, Evictions, Growth, Need, Policy, Request, Verdict, admit,
};
use crate::gpu::ledger::{Aging, BackendId, BackendKind, BootTime, Class, Precedence};
use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holders};

const WAN: DeviceMemory = DeviceMemory {
    load: ByteSize::gib(18),
    peak: ByteSize::gib(21),
    spike: ByteSize::gib(23),
};
const TOTAL: ByteSize = ByteSize::gib(24);
const NOW: Timestamp = Timestamp::from_millis(1_000);
const DRIFT: ByteSize = ByteSize::mib(256);

fn gib(tenths: u64) -> ByteSize {
    ByteSize::mib(tenths * 1024 / 10)
}

fn percent(amount: ByteSize, hundredths: u64) -> ByteSize {
    ByteSize::bytes(amount.as_bytes() * hundredths / 100)
}

// The figure.

const WALKS: u64 = 200;
const STEPS: u64 = 150;

/// Random values around some GiB, with outliers.
fn value(chance: &mut Chance) -> ByteSize {
    let usual = 5_000 + chance.below(500);
    ByteSize::mib(match chance.per_mille(50) {
        true => usual * 2,
        false => usual,
    })
}

#[test]
fn an_estimate_rises_at_once_and_falls_by_two_hundredths_at_most() {
    for seed in 0..WALKS {
        let mut chance = Chance::of(seed);
        let mut figure = Figure::default();
        let mut before = ByteSize::ZERO;
        for step in 0..STEPS {
            let value = match step < 100 {
                true => value(&mut chance),
                // From here on jobs need next to nothing.
                false => ByteSize::mib(1),
            };
            figure.learn(value);
            let after = figure.known().unwrap();
            assert!(after >= value, "seed {seed}, step {step}");
            let floor = (before.as_bytes() - before.as_bytes() / 50).saturating_sub(2);
            assert!(
                step == 0 || after.as_bytes() >= floor,
                "seed {seed}, step {step}: from {before} to {after}"
            );
            before = after;
        }
    }
}

#[test]
fn more_need_never_makes_a_smaller_estimate() {
    for seed in 0..WALKS {
        let mut chance = Chance::of(seed);
        let (mut less, mut more) = (Figure::default(), Figure::default());
        for _ in 0..STEPS {
            let value = value(&mut chance);
            less.learn(value);
            let extra = ByteSize::mib(chance.below(300));
            more.learn(ByteSize::bytes(value.as_bytes() + extra.as_bytes()));
            assert!(more.known() >= less.known(), "seed {seed}");
        }
    }
}

#[test]
fn what_was_declared_counts_until_there_are_twenty_samples() {
    let declared = ByteSize::gib(10);
    let mut figure = Figure::default();
    assert_eq!(figure.estimate(declared), declared);
    assert_eq!(figure.known(), None);
    for _ in 0..19 {
        figure.learn(ByteSize::gib(5));
        assert_eq!(figure.estimate(declared), declared);
    }
    // The premium of a tenth goes slowly, too.
    for _ in 19..30 {
        figure.learn(ByteSize::gib(5));
        assert!(figure.estimate(declared) < declared);
    }
    let settled = percent(ByteSize::gib(5), 105);
    assert_eq!(figure.estimate(declared), settled);
}

#[test]
fn few_samples_are_taken_with_a_premium_of_a_tenth_on_the_largest() {
    let mut figure = Figure::default();
    for amount in [40, 60, 50] {
        figure.learn(gib(amount));
    }
    let largest = gib(60).as_bytes();
    let estimate = figure.estimate(gib(10)).as_bytes();
    assert!(estimate.abs_diff(largest * 110 / 100) < 100, "{estimate}");
}

#[test]
fn with_many_samples_the_largest_of_the_last_twenty_counts_and_older_ones_by_their_quantile() {
    let mut figure = Figure::default();
    for _ in 0..60 {
        figure.learn(gib(50));
    }
    figure.learn(gib(80));
    assert_eq!(figure.known(), Some(gib(80)));
    for _ in 0..19 {
        figure.learn(gib(50));
    }
    assert_eq!(figure.known(), Some(gib(80)));
    for _ in 0..40 {
        figure.learn(gib(50));
    }
    let estimate = figure.known().unwrap().as_bytes();
    assert!(estimate.abs_diff(percent(gib(50), 105).as_bytes()) < 100);
}

#[test]
fn the_quantile_is_the_smallest_that_so_many_do_not_exceed() {
    let samples: VecDeque<_> = (1..=100).rev().map(ByteSize::bytes).collect();
    assert_eq!(quantile(&samples, 95), ByteSize::bytes(95));
    assert_eq!(quantile(&samples, 100), ByteSize::bytes(100));
    assert_eq!(
        quantile(&[ByteSize::bytes(7)].into(), 95),
        ByteSize::bytes(7)
    );
    assert_eq!(quantile(&VecDeque::new(), 95), ByteSize::ZERO);
}

// What a sample teaches.

/// A scene that began with nothing loaded and came to hold so many tenths of a GiB.
fn scene(held: u64) -> Sample {
    Sample {
        end: End::Finished,
        start: Start::Empty,
        free_before: gib(235),
        lowest_free: gib(235u64.saturating_sub(held)),
        highest_held: Some(gib(held)),
        resident: None,
        foreign_rise: ByteSize::ZERO,
        run: Duration::from_secs(50),
        load: Some(Duration::from_secs(45)),
        clocks_normal: true,
    }
}

/// The same on a card of 48 GiB, where it need not be modest.
fn roomy_scene(held: u64) -> Sample {
    Sample {
        free_before: gib(470),
        lowest_free: gib(470 - held),
        ..scene(held)
    }
}

fn ran_out(held: u64) -> Sample {
    Sample {
        end: End::OutOfMemory,
        ..scene(held)
    }
}

fn learned(samples: &[Sample], total: ByteSize) -> Learned {
    let mut learned = Learned::default();
    for sample in samples {
        learned.learn(sample, total, DRIFT);
    }
    learned
}

fn peak(samples: &[Sample], total: ByteSize) -> ByteSize {
    learned(samples, total).memory(WAN, total, NOW).peak
}

fn many(sample: &Sample, count: usize) -> Vec<Sample> {
    vec![sample.clone(); count]
}

#[test]
fn nothing_seen_is_what_was_declared() {
    let learned = Learned::default();
    assert_eq!(learned.memory(WAN, TOTAL, NOW), WAN);
    assert_eq!(learned.growth(WAN, TOTAL, NOW), Growth::default());
}

#[test]
fn the_order_of_the_three_amounts_holds_whatever_is_seen() {
    for seed in 0..WALKS {
        let mut chance = Chance::of(seed);
        let mut learned = Learned::default();
        for _ in 0..STEPS {
            let held = chance.below(236);
            let sample = Sample {
                end: match chance.per_mille(20) {
                    true => End::OutOfMemory,
                    false => End::Finished,
                },
                start: [Start::Empty, Start::Warm, Start::Other][chance.place(3)],
                highest_held: chance.per_mille(700).then(|| gib(held)),
                resident: chance.per_mille(700).then(|| gib(chance.below(236))),
                foreign_rise: ByteSize::mib(chance.below(400)),
                run: Duration::from_secs(10 + chance.below(100)),
                ..scene(held)
            };
            learned.learn(&sample, TOTAL, DRIFT);
            let memory = learned.memory(WAN, TOTAL, NOW);
            assert!(
                memory.load <= memory.peak && memory.peak <= memory.spike,
                "{memory:?}"
            );
        }
    }
}

#[test]
fn a_job_that_held_more_than_declared_raises_the_need_at_once() {
    let roomy = ByteSize::gib(48);
    let memory = learned(&[roomy_scene(220)], roomy).memory(WAN, roomy, NOW);
    let peak = memory.peak.as_bytes();
    assert!(peak.abs_diff(percent(gib(220), 110).as_bytes()) < 100);
    assert_eq!(memory.spike.as_bytes() - peak, 2 << 30);
}

#[test]
fn twenty_jobs_that_held_less_lower_the_need() {
    let few = peak(&many(&scene(150), 19), TOTAL);
    assert_eq!(few, WAN.peak);
    let more = peak(&many(&scene(150), 40), TOTAL);
    assert!(more.as_bytes().abs_diff(percent(gib(150), 105).as_bytes()) < 100);
}

#[test]
fn what_a_backend_takes_on_a_card_never_keeps_its_job_from_that_card() {
    // It takes all there is: with the premium that would never fit again.
    for count in [1, 5, 19, 20, 100] {
        let peak = peak(&many(&scene(231), count), TOTAL);
        assert!(
            peak <= percent(TOTAL, 90) && peak >= WAN.peak,
            "{count}: {peak}"
        );
    }
    let growth = learned(&many(&scene(231), 3), TOTAL).growth(WAN, TOTAL, NOW);
    assert!(growth.cold.unwrap() <= percent(TOTAL, 90));
}

#[test]
fn whatever_a_backend_took_its_job_is_admitted_on_the_empty_card_again() {
    for card in [8, 12, 16, 24, 48, 80].map(ByteSize::gib) {
        let small = DeviceMemory {
            load: percent(card, 50),
            peak: percent(card, 60),
            spike: percent(card, 60),
        };
        let free = percent(card, 97);
        let greedy = Sample {
            free_before: free,
            lowest_free: ByteSize::mib(20),
            highest_held: Some(free),
            ..scene(0)
        };
        for pids in [vec![100], vec![]] {
            let learned = learned(&many(&greedy, 5), card);
            let need = Need::Device {
                memory: learned.memory(small, card, NOW),
                ram: ByteSize::ZERO,
                growth: learned.growth(small, card, NOW),
            };
            let verdict = on_empty_card(need, card, free, pids);
            assert!(
                matches!(verdict, Verdict::Admit { .. }),
                "{card}: {verdict:?}"
            );
        }
    }
}

/// What the gate says on a card with nothing on it. With no process ids nothing tells what a backend holds.
fn on_empty_card(need: Need, total: ByteSize, free: ByteSize, pids: Vec<u32>) -> Verdict {
    let backend = BackendId("comfyui".to_owned());
    let request = Request {
        job: JobId::from_u128(1),
        profile: "wan".parse().unwrap(),
        backend: backend.clone(),
        need,
        precedence: Precedence::of(Class::Video, BootTime::default(), Aging::default()),
        waited: Duration::ZERO,
        evictions: Evictions::default(),
    };
    let reading = DeviceReading {
        uuid: DeviceUuid("GPU-1".to_owned()),
        name: "a card".to_owned(),
        total,
        reserved: ByteSize::bytes(total.as_bytes() - free.as_bytes()),
        used: ByteSize::ZERO,
        free,
        holders: match pids.is_empty() {
            true => Holders::Unknown("as on Windows".to_owned()),
            false => Holders::Known(Vec::new()),
        },
        health: Health::Well,
        age: Duration::ZERO,
    };
    let device = Device {
        reading: Some(reading),
        backends: vec![Backend {
            id: backend,
            kind: BackendKind::Replacing,
            pids,
            live: true,
            reported: None,
            residue: ByteSize::ZERO,
        }],
    };
    admit(
        &request,
        &device,
        None,
        &Books::default(),
        &Policy::default(),
    )
}

#[test]
fn what_a_squeezed_job_did_with_bounds_the_need_and_a_streamed_one_does_not() {
    let small = DeviceMemory {
        load: gib(100),
        peak: gib(120),
        spike: gib(120),
    };
    // Foreign memory left 20 GiB: it held 19 of them.
    let squeezed = Sample {
        lowest_free: gib(5),
        ..scene(190)
    };
    let mut samples = many(&scene(231), 3);
    let peak = |samples: &[Sample]| learned(samples, TOTAL).memory(small, TOTAL, NOW).peak;
    let greedy = peak(&samples);
    assert_eq!(greedy, percent(TOTAL, 90));
    samples.extend(many(&scene(225), 5));
    samples.push(Sample {
        run: Duration::from_secs(500),
        ..squeezed
    });
    assert_eq!(peak(&samples), greedy);
    samples.push(squeezed);
    assert_eq!(peak(&samples), gib(190));
}

#[test]
fn out_of_memory_means_more_than_it_held_and_what_was_left() {
    let roomy = ByteSize::gib(48);
    let sample = Sample {
        end: End::OutOfMemory,
        lowest_free: gib(50),
        ..roomy_scene(300)
    };
    let peak = peak(&[sample], roomy);
    assert!(peak >= percent(gib(350), 105), "{peak}");
}

#[test]
fn a_job_that_ran_out_on_an_empty_card_is_tried_there_once_more_and_no_third_time() {
    let fits = |samples: &[Sample]| peak(samples, TOTAL) <= percent(TOTAL, 90);
    assert!(fits(&[ran_out(231)]));
    assert!(!fits(&[ran_out(231), ran_out(231)]));
    assert!(fits(&[ran_out(231), scene(228), ran_out(231)]));
}

#[test]
fn what_did_not_fit_is_tried_again_after_a_day() {
    let device = card("4090", 24);
    let mut book = Book::default();
    for _ in 0..2 {
        book.learn(&key(&device), &ran_out(231), NOW);
    }
    let fits = |after: Duration| {
        let need = book.need(&declared(), &key(&device), NOW.plus(after));
        memory(need).peak <= percent(TOTAL, 90)
    };
    assert!(!fits(Duration::from_hours(23)));
    assert!(fits(Duration::from_hours(24)));
}

#[test]
fn memory_that_others_took_is_not_the_profile_s_fault() {
    let sample = Sample {
        foreign_rise: ByteSize::gib(2),
        ..ran_out(100)
    };
    let mut learned = Learned::default();
    let told = learned.learn(&sample, TOTAL, DRIFT);
    assert!(told.others_fault);
    assert_eq!(learned, Learned::default());
}

#[test]
fn a_job_that_takes_far_too_long_raises_the_need_unless_the_card_was_throttled() {
    let quick = many(&scene(100), 25);
    let roomy = ByteSize::gib(48);
    let run = |clocks_normal, seconds| {
        let mut learned = learned(&quick, roomy);
        let sample = Sample {
            run: Duration::from_secs(seconds),
            clocks_normal,
            ..scene(100)
        };
        let told = learned.learn(&sample, roomy, DRIFT);
        (told.slow, learned.memory(WAN, roomy, NOW).peak)
    };
    let (slow, usual) = run(true, 125);
    assert!(!slow);
    assert_eq!(run(false, 126), (false, usual));
    let (slow, raised) = run(true, 126);
    assert!(slow && raised >= percent(usual, 104));
}

#[test]
fn there_is_no_usual_time_before_five_runs() {
    let mut learned = learned(&many(&scene(100), 4), TOTAL);
    let slow = Sample {
        run: Duration::from_secs(5000),
        ..scene(100)
    };
    assert!(!learned.learn(&slow, TOTAL, DRIFT).slow);
    assert!(learned.learn(&slow, TOTAL, DRIFT).slow);
}

#[test]
fn growth_is_learned_apart_for_a_loaded_model_and_for_an_empty_card() {
    let warm = Sample {
        start: Start::Warm,
        free_before: gib(55),
        lowest_free: gib(25),
        ..scene(210)
    };
    let other = Sample {
        start: Start::Other,
        ..scene(230)
    };
    let growth = learned(&[scene(190), warm.clone(), other], TOTAL).growth(WAN, TOTAL, NOW);
    // Declared: 21 GiB, which is more than was seen on an empty card.
    assert_eq!(growth.cold, Some(WAN.peak));
    let warm_growth = growth.warm.unwrap().as_bytes();
    assert!(warm_growth.abs_diff(percent(gib(30), 110).as_bytes()) < 1 << 20);
    assert_eq!(learned(&[warm], TOTAL).growth(WAN, TOTAL, NOW).cold, None);
}

#[test]
fn where_nothing_tells_who_holds_what_the_fall_of_free_memory_on_an_empty_card_does() {
    let blind = |start| Sample {
        highest_held: None,
        start,
        ..roomy_scene(220)
    };
    let roomy = ByteSize::gib(48);
    assert!(peak(&[blind(Start::Empty)], roomy) > gib(240));
    assert_eq!(peak(&[blind(Start::Warm)], roomy), WAN.peak);
    assert_eq!(peak(&[blind(Start::Other)], roomy), WAN.peak);
}

#[test]
fn what_stays_loaded_is_learned_and_never_more_than_the_peak() {
    let sample = Sample {
        resident: Some(gib(100)),
        ..scene(150)
    };
    let memory = learned(&many(&sample, 60), TOTAL).memory(WAN, TOTAL, NOW);
    assert!(
        memory
            .load
            .as_bytes()
            .abs_diff(percent(gib(100), 105).as_bytes())
            < 100
    );
}

#[test]
fn a_recorder_keeps_the_lowest_and_the_highest() {
    let mut recorder = Recorder::new(Start::Warm, gib(55), Some(gib(10)));
    for free in [55, 30, 41] {
        recorder.free(gib(free));
    }
    recorder.held(Some(gib(180)), Some(gib(9)));
    recorder.held(Some(gib(205)), Some(gib(14)));
    recorder.held(None, None);
    recorder.throttled();
    assert_eq!(recorder.lowest_free(), gib(30));
    let run = Duration::from_secs(50);
    let sample = recorder.finish(End::Finished, run, None, Some(gib(180)));
    assert_eq!(sample.free_before, gib(55));
    assert_eq!(sample.lowest_free, gib(30));
    assert_eq!(sample.highest_held, Some(gib(205)));
    let rise = ByteSize::bytes(gib(14).as_bytes() - gib(10).as_bytes());
    assert_eq!(sample.foreign_rise, rise);
    assert!(!sample.clocks_normal);
}

// The book.

fn card(name: &str, gib: u64) -> DeviceModel {
    DeviceModel {
        name: name.to_owned(),
        total: ByteSize::gib(gib),
    }
}

fn key(device: &DeviceModel) -> Key {
    let extent = Extent {
        width: 832,
        height: 480,
        frames: 81,
    };
    Key::new("wan".parse().unwrap(), device.clone(), extent)
}

#[test]
fn what_was_learned_of_another_version_counts_for_nothing_and_is_kept() {
    let device = card("A100", 80);
    let of = |version: &str| key(&device).made_by(Some(version.to_owned()));
    let mut book = Book::default();
    book.learn(&of("1"), &roomy_scene(300), moment(1));
    let need = |book: &Book, key: &Key| memory(book.need(&declared(), key, NOW));
    assert!(need(&book, &of("1")).peak > WAN.peak);
    for other in [of("2"), key(&device)] {
        assert_eq!(need(&book, &other), WAN);
    }
    book.learn(&of("2"), &roomy_scene(200), moment(2));
    assert!(need(&book, &of("1")).peak > WAN.peak);
    // A file from before there were versions is read.
    let old = serde_json::to_value(key(&device)).unwrap();
    assert!(old.get("made_by").is_none());
    assert_eq!(serde_json::from_value::<Key>(old).unwrap(), key(&device));
}

fn declared() -> ResourceRequest {
    ResourceRequest {
        device: Some(WAN),
        ram: ByteSize::gib(20),
        threads: 0,
    }
}

fn memory(need: Need) -> DeviceMemory {
    match need {
        Need::Device { memory, .. } => memory,
        need @ (Need::Unknown | Need::Host { .. }) => panic!("{need:?}"),
    }
}

fn moment(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn jobs_of_about_the_same_size_share_a_key_and_others_do_not() {
    let device = card("RTX 4090", 24);
    let of = |width, height, frames| {
        let extent = Extent {
            width,
            height,
            frames,
        };
        Key::new("wan".parse().unwrap(), device.clone(), extent)
    };
    assert_eq!(of(832, 480, 81), of(848, 480, 90));
    assert_ne!(of(832, 480, 81), of(1280, 720, 81));
    assert_ne!(of(832, 480, 81), of(832, 480, 121));
}

#[test]
fn what_was_learned_counts_for_its_key_alone() {
    let device = card("A6000", 48);
    let mut book = Book::default();
    book.learn(&key(&device), &roomy_scene(300), moment(1));
    assert!(memory(book.need(&declared(), &key(&device), NOW)).peak > WAN.peak);
    let larger = Extent {
        width: 1280,
        height: 720,
        frames: 81,
    };
    let other = Key::new("wan".parse().unwrap(), device, larger);
    assert_eq!(
        book.need(&declared(), &other, NOW),
        Need::declared(&declared())
    );
}

#[test]
fn an_unknown_need_and_work_without_a_device_stay_what_they_are() {
    let device = card("A6000", 48);
    let mut book = Book::default();
    book.learn(&key(&device), &roomy_scene(300), moment(1));
    let contradiction = ResourceRequest {
        device: Some(DeviceMemory {
            load: ByteSize::gib(30),
            ..WAN
        }),
        ..declared()
    };
    assert_eq!(book.need(&contradiction, &key(&device), NOW), Need::Unknown);
    let on_host = ResourceRequest {
        device: None,
        ram: ByteSize::gib(3),
        threads: 8,
    };
    assert_eq!(
        book.need(&on_host, &key(&device), NOW),
        Need::declared(&on_host)
    );
}

#[test]
fn a_new_card_begins_a_tenth_above_what_the_nearest_has_shown() {
    let (small, large, new) = (card("3090", 24), card("A6000", 48), card("L40S", 40));
    let mut book = Book::default();
    book.learn(&key(&small), &scene(210), moment(1));
    // Greed on a roomy card tells nothing of a smaller one.
    book.learn(&key(&large), &roomy_scene(300), moment(2));
    let peak = |book: &Book, device| memory(book.need(&declared(), &key(device), NOW)).peak;
    assert_eq!(peak(&book, &new), WAN.peak);
    let near_small = card("4090", 28);
    let seeded = peak(&book, &near_small);
    assert!(seeded > percent(gib(210), 109), "{seeded}");
    // And never what would keep it from the card.
    assert!(peak(&book, &card("4090", 24)) <= percent(TOTAL, 90));
}

#[test]
fn the_rise_of_foreign_memory_is_learned_for_each_card() {
    let (desktop, headless) = (card("4090", 24), card("A6000", 48));
    let mut book = Book::default();
    assert_eq!(book.drift(&desktop), DRIFT);
    for _ in 0..50 {
        let sample = Sample {
            foreign_rise: ByteSize::mib(900),
            ..scene(150)
        };
        book.learn(&key(&desktop), &sample, moment(1));
        book.learn(&key(&headless), &scene(150), moment(1));
    }
    assert_eq!(book.drift(&desktop), ByteSize::mib(900));
    assert_eq!(book.drift(&headless), DRIFT);
}

#[test]
fn the_usual_times_are_those_of_what_was_made_last() {
    let device = card("4090", 24);
    let mut book = Book::default();
    let profile: ProfileName = "wan".parse().unwrap();
    assert_eq!(book.usual(&profile, &device), None);
    for (seconds, at) in [(60, 1), (50, 2), (55, 3)] {
        let sample = Sample {
            run: Duration::from_secs(seconds),
            ..scene(150)
        };
        book.learn(&key(&device), &sample, moment(at));
    }
    let usual = Usual {
        run: Duration::from_secs(55),
        load: Some(Duration::from_secs(45)),
    };
    assert_eq!(book.usual(&profile, &device), Some(usual));
}

#[test]
fn the_keys_that_were_seen_longest_ago_go_first() {
    let mut book = Book::default();
    let of = |number: u64| key(&card(&format!("card {number}"), 24));
    for number in 0..600 {
        let at = moment(i64::try_from(number).unwrap());
        book.learn(&of(number), &scene(223), at);
    }
    let of_new = |number| book.usual(&"wan".parse().unwrap(), &of(number).device);
    assert_eq!(of_new(99), None);
    assert!(of_new(100).is_some() && of_new(599).is_some());
}

// The file.

fn files(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_was_learned_outlives_the_program() {
    let dir = TempDir::new().unwrap();
    let device = card("A6000", 48);
    let before = Footprints::open(dir.path()).unwrap();
    before.observe(&key(&device), &roomy_scene(300)).unwrap();
    let after = Footprints::open(dir.path()).unwrap();
    let need = after.need(&declared(), &key(&device));
    assert_eq!(need, before.need(&declared(), &key(&device)));
    assert!(memory(need).peak > WAN.peak);
    assert_eq!(files(&dir), ["footprints.json", "footprints.lock"]);
}

#[test]
fn several_workers_learn_into_one_file_and_nothing_is_lost() {
    let dir = TempDir::new().unwrap();
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let footprints = Footprints::open(dir.path()).unwrap();
            std::thread::spawn(move || {
                for job in 0..10 {
                    let device = card(&format!("card {worker}-{job}"), 24);
                    footprints.observe(&key(&device), &scene(150)).unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
    let footprints = Footprints::open(dir.path()).unwrap();
    for worker in 0..4 {
        for job in 0..10 {
            let device = card(&format!("card {worker}-{job}"), 24);
            let usual = footprints.usual(&"wan".parse().unwrap(), &device);
            assert!(usual.is_some(), "{worker}-{job}");
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_put_aside_and_learning_begins_anew() {
    let device = card("A6000", 48);
    let later = format!(r#"{{"version": {}, "something": "new"}}"#, VERSION + 1);
    for unreadable in ["", "{", "[]", r#"{"version": 1}"#, &later] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("footprints.json");
        fs::write(&path, unreadable).unwrap();
        let footprints = Footprints::open(dir.path()).unwrap();
        let need = footprints.need(&declared(), &key(&device));
        assert_eq!(need, Need::declared(&declared()));
        let aside: Vec<_> = files(&dir)
            .into_iter()
            .filter(|name| name.starts_with("footprints.unreadable-"))
            .collect();
        assert_eq!(aside.len(), 1, "{unreadable}");
        assert_eq!(
            fs::read_to_string(dir.path().join(&aside[0])).unwrap(),
            unreadable
        );
        footprints
            .observe(&key(&device), &roomy_scene(300))
            .unwrap();
        assert!(memory(footprints.need(&declared(), &key(&device))).peak > WAN.peak);
    }
}

#[test]
fn half_a_file_of_a_killed_worker_is_of_no_consequence() {
    let dir = TempDir::new().unwrap();
    let device = card("A6000", 48);
    let footprints = Footprints::open(dir.path()).unwrap();
    footprints
        .observe(&key(&device), &roomy_scene(300))
        .unwrap();
    fs::write(dir.path().join("footprints.new"), "{\"version\":").unwrap();
    assert!(memory(footprints.need(&declared(), &key(&device))).peak > WAN.peak);
    footprints
        .observe(&key(&device), &roomy_scene(300))
        .unwrap();
    assert_eq!(files(&dir), ["footprints.json", "footprints.lock"]);
}

#[test]
fn a_disk_that_does_not_take_it_is_told_and_the_need_is_the_declared_one() {
    let dir = TempDir::new().unwrap();
    let footprints = Footprints::open(dir.path()).unwrap();
    // A folder in the file's place can be neither read nor replaced.
    fs::create_dir_all(dir.path().join("footprints.json/x")).unwrap();
    let device = card("A6000", 48);
    assert!(
        footprints
            .observe(&key(&device), &roomy_scene(300))
            .is_err()
    );
    assert_eq!(
        footprints.need(&declared(), &key(&device)),
        Need::declared(&declared())
    );
}
