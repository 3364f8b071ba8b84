//! The worked examples, and each reason once.

use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::JobId;

use super::build::{COMFY, OLLAMA, Situation, backend_of, memory, precedence, story, tenths, wan};
use crate::gpu::admit::{Growth, Impossible, Need, NeverFits, Verdict, Waits};
use crate::gpu::ledger::{BackendKind, BootTime, Class, State};
use crate::gpu::reading::{Health, Holders};

fn reason(situation: &Situation) -> Waits {
    match situation.verdict() {
        Verdict::Wait { reason } => reason,
        other => panic!("it should wait: {other}"),
    }
}

/// The models that are asked to leave, or the backends that are asked to drop everything; and the target.
fn evicts(situation: &Situation) -> (Vec<String>, ByteSize) {
    match situation.verdict() {
        Verdict::EvictFirst {
            victims,
            target_free,
            ..
        } => {
            let names = victims.iter().map(|victim| match &victim.model {
                Some(model) => model.profile.to_string(),
                None => victim.backend.to_string(),
            });
            (names.collect(), target_free)
        }
        other => panic!("something should leave: {other}"),
    }
}

/// 3 % of 23.5 GiB and a quarter of a GiB.
fn margin() -> ByteSize {
    let usable = ByteSize::mib(24 * 1024 - 256 - 256);
    ByteSize::bytes(usable.as_bytes() / 100 * 3 + ByteSize::mib(256).as_bytes())
}

fn near(one: ByteSize, other: ByteSize) {
    assert!(
        one.as_bytes().abs_diff(other.as_bytes()) < ByteSize::mib(2).as_bytes(),
        "{one} is not {other}"
    );
}

fn plus(one: ByteSize, other: ByteSize) -> ByteSize {
    ByteSize::bytes(one.as_bytes() + other.as_bytes())
}

#[test]
fn an_empty_card_takes_a_scene() {
    let it = Situation::scene(233);
    assert_eq!(
        it.verdict(),
        Verdict::Admit {
            ceiling: tenths(210),
            threads: None
        }
    );
}

#[test]
fn a_warm_model_is_no_reason_to_wait_for_its_own_next_scene() {
    let it = Situation::scene(53)
        .warm(COMFY, "wan", wan())
        .holds(COMFY, 180);
    assert!(it.is_admitted());
}

#[test]
fn a_second_scene_behind_a_running_one_waits_on_a_card_that_its_overlap_does_not_fit() {
    let mut it = Situation::scene(23)
        .runs(COMFY, "wan", wan())
        .holds(COMFY, 210);
    let Waits::Promised(short) = reason(&it) else {
        panic!()
    };
    near(short.need, plus(margin(), tenths(20)));
    // With three GiB free the overlap fits.
    it.device.reading.as_mut().unwrap().free = tenths(30);
    assert!(it.is_admitted());
}

#[test]
fn memory_that_was_promised_a_second_ago_is_not_given_away_though_it_is_free() {
    let it = Situation::story(213)
        .runs(COMFY, "wan", wan())
        .holds(COMFY, 20);
    let Waits::Promised(short) = reason(&it) else {
        panic!()
    };
    assert_eq!(short.promised.len(), 1);
    assert_eq!(
        short.promised[0].amount,
        tenths(210).min(plus(tenths(190), ByteSize::ZERO))
    );
    assert_eq!(short.free, tenths(213));
}

#[test]
fn an_idle_language_model_leaves_for_a_scene() {
    let it = Situation::scene(168)
        .warm(OLLAMA, "mistral-7b", story())
        .holds(OLLAMA, 65);
    let (victims, target) = evicts(&it);
    assert_eq!(victims, ["mistral-7b"]);
    near(target, plus(margin(), tenths(210)));
}

#[test]
fn a_browser_makes_a_warm_scene_wait_and_is_named() {
    let it = Situation::scene(23)
        .warm(COMFY, "wan", wan())
        .holds(COMFY, 180)
        .foreign("firefox", 4242, 30);
    let Waits::Foreign(short) = reason(&it) else {
        panic!("{}", it.verdict())
    };
    assert_eq!(short.foreign.len(), 1);
    assert_eq!(
        it.verdict().to_string(),
        "needs 4.0 GiB, 2.3 GiB free: 1.7 GiB short; firefox (pid 4242) holds 3.0 GiB"
    );
}

#[test]
fn the_answer_names_need_free_promise_and_foreign_process_in_one_line() {
    let mut it = Situation::scene(133)
        .runs(OLLAMA, "mistral-7b", memory(80, 80, 80))
        .foreign("python", 4711, 100);
    it.last().entry.work.job = JobId::from_u128(42);
    assert_eq!(
        it.verdict().to_string(),
        "needs 22.0 GiB, 13.3 GiB free, 8.0 GiB promised to job \
         00000000-0000-0000-0000-00000000002a: 16.7 GiB short; python (pid 4711) holds 10.0 GiB"
    );
}

#[test]
fn a_card_that_is_too_small_never_takes_the_job() {
    let mut it = Situation::scene(118);
    let reading = it.device.reading.as_mut().unwrap();
    reading.total = ByteSize::gib(12);
    let Verdict::Never {
        reason: NeverFits::Device { need, usable },
    } = it.verdict()
    else {
        panic!()
    };
    assert!(need > usable);
}

#[test]
fn what_was_learned_of_others_makes_a_job_wait_but_not_never_fit() {
    let mut it = Situation::scene(233);
    it.policy.drift = ByteSize::gib(4);
    assert!(matches!(reason(&it), Waits::Foreign(_)));
}

#[test]
fn an_unknown_need_waits() {
    let mut it = Situation::scene(233);
    it.request.need = Need::Unknown;
    assert_eq!(reason(&it), Waits::NeedUnknown);
    for bad in [memory(0, 0, 0), memory(5, 4, 6), memory(4, 6, 5)] {
        let request = shared::profile::ResourceRequest {
            device: Some(bad),
            ..Default::default()
        };
        assert_eq!(Need::declared(&request), Need::Unknown);
    }
}

#[test]
fn without_a_reading_everything_waits() {
    let mut it = Situation::scene(233);
    it.device.reading = None;
    assert_eq!(reason(&it), Waits::NoReading);
}

#[test]
fn a_reading_that_contradicts_itself_admits_nothing() {
    let impossible = |change: fn(&mut crate::gpu::reading::DeviceReading)| {
        let mut it = Situation::scene(233);
        change(it.device.reading.as_mut().unwrap());
        reason(&it)
    };
    assert_eq!(
        impossible(|reading| reading.total = ByteSize::ZERO),
        Waits::ImpossibleReading(Impossible::NoMemory)
    );
    assert!(matches!(
        impossible(|reading| reading.free = ByteSize::bytes(u64::MAX)),
        Waits::ImpossibleReading(Impossible::FreeAboveTotal { .. })
    ));
    assert!(matches!(
        impossible(|reading| reading.reserved = ByteSize::gib(24)),
        Waits::ImpossibleReading(Impossible::ReservedAboveTotal { .. })
    ));
}

#[test]
fn p08_a_stale_reading_is_refused() {
    let mut it = Situation::scene(233);
    it.device.reading.as_mut().unwrap().age = Duration::from_millis(501);
    assert!(matches!(reason(&it), Waits::StaleReading { .. }));
    it.device.reading.as_mut().unwrap().age = Duration::from_millis(500);
    assert!(it.is_admitted());
}

#[test]
fn a_reading_from_before_the_last_release_is_refused() {
    let mut it = Situation::scene(233);
    it.device.reading.as_mut().unwrap().age = Duration::from_millis(200);
    it.books.lowered = Some(Duration::from_millis(199));
    assert!(matches!(reason(&it), Waits::OlderThanRelease { .. }));
    it.books.lowered = Some(Duration::from_millis(200));
    assert!(it.is_admitted());
}

#[test]
fn an_unwell_card_is_given_nothing() {
    let mut it = Situation::scene(233);
    it.device.reading.as_mut().unwrap().health = Health::Unsettled("too hot".to_owned());
    assert_eq!(
        it.verdict().to_string(),
        "the card should be given nothing new: too hot"
    );
    it.device.reading.as_mut().unwrap().health = Health::Down("lost".to_owned());
    assert_eq!(reason(&it), Waits::Down("lost".to_owned()));
    // Of a card that cannot be read there are no figures, and that is not what is wrong with it.
    it.device.reading.as_mut().unwrap().total = ByteSize::ZERO;
    assert_eq!(reason(&it), Waits::Down("lost".to_owned()));
}

#[test]
fn books_that_cannot_be_read_admit_nothing() {
    let mut it = Situation::scene(233);
    it.books.unreadable = vec!["e-1.json".to_owned()];
    assert!(matches!(reason(&it), Waits::BooksUnreadable(_)));
}

#[test]
fn others_pass_the_head_from_the_first_places_until_it_has_waited_long() {
    assert!(Situation::story(100).behind(10).is_admitted());
    assert!(matches!(
        reason(&Situation::story(100).behind(60)),
        Waits::Behind { ahead: 1, .. }
    ));
    let third = Situation::story(100).behind(1).behind(1);
    assert!(third.is_admitted());
    assert!(matches!(
        reason(&third.behind(1)),
        Waits::Behind { ahead: 3, .. }
    ));
}

#[test]
fn only_the_head_puts_others_out() {
    let it = Situation::scene(168)
        .warm(OLLAMA, "mistral-7b", story())
        .holds(OLLAMA, 65);
    evicts(&it);
    assert!(matches!(reason(&it.behind(1)), Waits::Behind { .. }));
}

#[test]
fn a_claim_counts_against_those_who_come_after_it_and_not_against_its_own_job() {
    let until = BootTime::after(Duration::from_secs(60));
    let claim = State::Claim { until };
    let mut it = Situation::story(233).books_entry(COMFY.0, "wan", wan(), claim);
    assert!(matches!(reason(&it), Waits::Promised(_)));
    it.last().entry.work.precedence = precedence(101);
    assert!(it.is_admitted(), "it comes before the claim");
    let mut own = Situation::scene(233).books_entry(COMFY.0, "wan", wan(), claim);
    own.last().entry.work.job = own.request.job;
    assert!(own.is_admitted());
}

#[test]
fn an_orphan_counts_like_a_job() {
    let mut it = Situation::story(200)
        .runs(COMFY, "wan", wan())
        .holds(COMFY, 35);
    it.last().orphaned = true;
    assert!(it.verdict().to_string().contains("its worker is gone"));
}

#[test]
fn models_of_a_stacking_backend_add_up_and_a_job_runs_inside_its_own() {
    let stacking = |free| {
        let mut it = Situation::story(free).warm(OLLAMA, "mistral-7b", story());
        it.device.backends[1] = backend_of(OLLAMA, BackendKind::Stacking);
        it.warm(OLLAMA, "other", memory(40, 40, 40))
            .holds(OLLAMA, 105)
    };
    assert!(
        stacking(10).is_admitted(),
        "its model is loaded: nothing more is needed"
    );
    let mut other = stacking(60);
    other.request.profile = "third".parse().unwrap();
    let (victims, _) = evicts(&other);
    assert_eq!(victims.len(), 1, "one of the two is enough");
}

#[test]
fn the_cheapest_model_to_load_again_leaves_and_no_more_than_needed() {
    let mut it = Situation::new("third@x", "big", memory(90, 100, 100), 50);
    it = it.warm(COMFY, "wan", memory(70, 80, 80)).holds(COMFY, 70);
    it = it.warm(OLLAMA, "mistral-7b", story()).holds(OLLAMA, 65);
    it.last().entry.work.reload = Duration::from_secs(10);
    assert_eq!(evicts(&it).0, ["mistral-7b"]);
    it.last().entry.work.reload = Duration::from_secs(100);
    assert_eq!(evicts(&it).0, ["wan"]);
    it.request.need = Need::Device {
        memory: memory(150, 160, 160),
        ram: ByteSize::ZERO,
        growth: Growth::default(),
    };
    assert_eq!(evicts(&it).0, ["wan", "mistral-7b"]);
}

#[test]
fn a_pinned_a_busy_or_a_young_model_stays() {
    let idle = || {
        Situation::scene(168)
            .warm(OLLAMA, "mistral-7b", story())
            .holds(OLLAMA, 65)
    };
    let mut pinned = idle();
    pinned.last().entry.work.pinned = true;
    assert!(matches!(reason(&pinned), Waits::Foreign(_)));
    let busy = idle().runs(OLLAMA, "mistral-7b", story());
    assert!(matches!(reason(&busy), Waits::Promised(_)));
    let mut young = idle();
    young.policy.min_residency = Duration::from_secs(30);
    let Waits::TooYoung { left, .. } = reason(&young) else {
        panic!()
    };
    assert_eq!(left, Duration::from_secs(29));
    young.request.waited = young.policy.aged_after;
    evicts(&young);
}

#[test]
fn eviction_is_tried_twice_and_then_waits() {
    let mut it = Situation::scene(168)
        .warm(OLLAMA, "mistral-7b", story())
        .holds(OLLAMA, 65);
    it.request.evictions.plans = 1;
    evicts(&it);
    it.request.evictions.plans = 2;
    assert!(matches!(reason(&it), Waits::ReclaimFailed(_)));
}

#[test]
fn an_idle_backend_that_is_not_on_the_books_is_asked_to_leave_once() {
    let mut it = Situation::scene(168).holds(OLLAMA, 65);
    assert_eq!(evicts(&it).0, [OLLAMA.0]);
    it.request.evictions.swept = true;
    it.request.evictions.plans = 1;
    assert!(matches!(reason(&it), Waits::Foreign(_)));
}

/// ComfyUI is warm and tells half of what it holds; the driver tells nothing.
fn half_known(free: u64) -> Situation {
    let mut it = Situation::scene(free).warm(COMFY, "wan", wan()).blind();
    it.device.backends[0].reported = Some(tenths(90));
    it
}

#[test]
fn with_half_of_the_knowledge_a_warm_job_leaves_for_itself_rather_than_wait_for_itself() {
    let it = half_known(53);
    assert_eq!(evicts(&it).0, ["wan"]);
    assert!(half_known(150).is_admitted());
}

#[test]
fn blind_a_card_takes_one_job_at_a_time() {
    let mut it = Situation::story(233).blind();
    assert!(it.is_admitted());
    it = it.runs(COMFY, "small", memory(10, 10, 10));
    assert!(matches!(reason(&it), Waits::Promised(_)));
}

#[test]
fn blind_a_warm_model_whose_growth_was_measured_takes_its_next_job() {
    let mut it = Situation::scene(53).warm(COMFY, "wan", wan()).blind();
    assert_eq!(
        evicts(&it).0,
        [COMFY.0, OLLAMA.0],
        "not measured: judged cold"
    );
    let free_then = tenths(53);
    it.last().entry.state = State::Resident {
        size: tenths(180),
        free_then,
        grew: Some(tenths(30)),
    };
    assert!(it.is_admitted());
    it.device.reading.as_mut().unwrap().free = tenths(49);
    evicts(&it);
    it.device.reading.as_mut().unwrap().free = tenths(52);
    it.request.profile = "other".parse().unwrap();
    evicts(&it);
}

#[test]
fn blind_a_cold_scene_fits_an_empty_card_of_24_gib() {
    assert!(Situation::scene(233).blind().is_admitted());
}

#[test]
fn blind_what_is_swept_and_still_short_is_held_by_others() {
    let mut it = Situation::scene(168).blind();
    evicts(&it);
    it.request.evictions.swept = true;
    assert!(matches!(reason(&it), Waits::Foreign(_)));
}

#[test]
fn host_memory_is_promised_like_device_memory() {
    let mut it = Situation::on_host(80, false);
    it.host.as_mut().unwrap().ram_available = tenths(100);
    assert!(it.is_admitted());
    it = it.runs(COMFY, "wan", wan());
    it.last().entry.work.ram = tenths(20);
    let Waits::Ram { promised, .. } = reason(&it) else {
        panic!()
    };
    assert_eq!(promised, tenths(20));
    // What the other has taken is no longer available, and not counted twice.
    it.books
        .ram_held
        .insert(it.books.entries[0].entry.work.backend.clone(), tenths(20));
    assert!(it.is_admitted());
}

#[test]
fn a_language_model_in_host_memory_does_not_wait_for_itself() {
    let mut it = Situation::on_host(80, false);
    it.host.as_mut().unwrap().ram_available = tenths(30);
    assert!(matches!(reason(&it), Waits::Ram { .. }));
    let own = it.request.backend.clone();
    it.books.ram_held.insert(own.clone(), tenths(80));
    assert!(it.is_admitted());
    it.books.ram_held.clear();
    let state = State::Resident {
        size: ByteSize::ZERO,
        free_then: ByteSize::ZERO,
        grew: None,
    };
    let profile = it.request.profile.to_string();
    assert!(
        it.books_entry(&own.0, &profile, memory(0, 0, 0), state)
            .is_admitted()
    );
}

#[test]
fn a_host_that_is_too_small_never_takes_the_job() {
    let mut it = Situation::on_host(80, false);
    it.host.as_mut().unwrap().ram_total = tenths(80);
    it.host.as_mut().unwrap().ram_available = tenths(70);
    assert!(matches!(
        it.verdict(),
        Verdict::Never {
            reason: NeverFits::Host { .. }
        }
    ));
}

#[test]
fn host_readings_that_are_absent_old_or_impossible_admit_nothing() {
    let mut it = Situation::on_host(80, true);
    it.host.as_mut().unwrap().age = Duration::from_secs(3);
    assert!(matches!(reason(&it), Waits::StaleReading { .. }));
    it.host.as_mut().unwrap().age = Duration::ZERO;
    it.host.as_mut().unwrap().ram_available = ByteSize::gib(65);
    assert!(matches!(
        reason(&it),
        Waits::ImpossibleReading(Impossible::RamAboveTotal { .. })
    ));
    it.host.as_mut().unwrap().ram_available = ByteSize::gib(48);
    for share in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        it.host.as_mut().unwrap().cpu_idle = Some(share);
        assert!(matches!(
            reason(&it),
            Waits::ImpossibleReading(Impossible::IdleShare(_))
        ));
    }
    it.host = None;
    assert_eq!(reason(&it), Waits::NoHostReading);
}

#[test]
fn busy_work_beside_a_render_waits_for_idle_processors_or_is_limited_in_threads() {
    let threads = |it: &Situation| match it.verdict() {
        Verdict::Admit { threads, .. } => threads,
        other => panic!("{other}"),
    };
    let alone = Situation::on_host(80, true);
    assert_eq!(threads(&alone), None);
    let mut it = alone.runs(COMFY, "wan", wan());
    assert_eq!(threads(&it), Some(14));
    it.host.as_mut().unwrap().cpu_idle = Some(0.3);
    assert_eq!(
        it.verdict().to_string(),
        "30 % of the processors idle, 40 % wanted beside a running video job"
    );
    it.host.as_mut().unwrap().cpu_idle = None;
    assert!(matches!(reason(&it), Waits::Processors { idle: None, .. }));
    it.request.waited = it.policy.aged_after;
    assert_eq!(threads(&it), Some(14), "it has aged");
    it.request.waited = Duration::ZERO;
    it.last().entry.work.class = Class::Story;
    assert_eq!(threads(&it), None, "no video runs");
}

#[test]
fn the_processors_of_a_render_on_another_card_count_too() {
    let mut it = Situation::on_host(80, true).runs(COMFY, "wan", wan());
    it.books.elsewhere = std::mem::take(&mut it.books.entries);
    it.host.as_mut().unwrap().cpu_idle = Some(0.1);
    assert!(matches!(reason(&it), Waits::Processors { .. }));
}

#[test]
fn work_on_the_card_waits_for_host_memory_too() {
    let mut it = Situation::scene(233);
    it.request.need = Need::Device {
        memory: wan(),
        ram: ByteSize::gib(20),
        growth: Growth::default(),
    };
    assert!(it.is_admitted());
    it.host.as_mut().unwrap().ram_available = ByteSize::gib(20);
    assert!(matches!(reason(&it), Waits::Ram { .. }));
}

#[test]
fn a_backend_above_its_ceiling_is_expected_to_take_a_tenth_more() {
    let it = Situation::story(80)
        .runs(COMFY, "small", memory(80, 90, 90))
        .holds(COMFY, 120);
    let Waits::Promised(short) = reason(&it) else {
        panic!("{}", it.verdict())
    };
    near(short.promised[0].amount, tenths(12));
}

#[test]
fn holders_of_unknown_processes_are_told_in_words() {
    let mut it = Situation::scene(168);
    it.device.backends.clear();
    it.device.reading.as_mut().unwrap().holders = Holders::Unknown("no".to_owned());
    assert!(
        it.verdict()
            .to_string()
            .ends_with("programs that are none of ours hold the rest")
    );
}
