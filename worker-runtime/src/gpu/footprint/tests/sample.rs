//! What each sort of sample teaches.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::JobId;
use shared::profile::DeviceMemory;

use super::build::{
    DRIFT, NOW, STEPS, TOTAL, WALKS, WAN, card, declared, gib, key, many, memory, percent, ran_out,
    roomy_scene, scene,
};
use crate::gpu::admit::tests::chance::Chance;
use crate::gpu::admit::{
    Backend, Books, Device, Evictions, Growth, Need, Policy, Request, Verdict, admit,
};
use crate::gpu::footprint::book::Book;
use crate::gpu::footprint::learned::Learned;
use crate::gpu::footprint::{End, Recorder, Sample, Start};
use crate::gpu::ledger::{Aging, BackendId, BackendKind, BootTime, Class, Precedence};
use crate::gpu::reading::{DeviceReading, DeviceUuid, Health, Holders};

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
