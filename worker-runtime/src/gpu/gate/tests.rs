//! The gate over a simulated card, with several workers of one host.

mod house;

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::BootId;
use tempfile::TempDir;

use self::house::{
    ALL, COMFY, Card, House, OLLAMA, View, evicts, gate, gpu, house, memory, reserved, run, turn,
    turn_of, waits,
};
use super::*;
use crate::gpu::admit::amount::total;
use crate::gpu::admit::{Growth, Need};
use crate::gpu::ledger::{Class, Owner};

#[test]
fn p05_one_worker_with_an_endless_stream_of_scenes_never_waits() {
    for blind in [false, true] {
        let it = house();
        it.card.set(|truth| truth.blind = blind);
        for job in 0..40 {
            if blind {
                // Without attribution a job that has ended settles by a little time.
                it.card.pass(Duration::from_secs(2));
            }
            let reservation = reserved(&mut turn(&it.video, job, Class::Video));
            run(&it.card, COMFY, memory(18, 21, 23), reservation);
        }
    }
}

#[test]
fn a_backend_that_goes_on_to_its_next_job_raises_no_alarm_and_one_that_keeps_too_much_does() {
    for goes_on in [true, false] {
        let it = house();
        let memory = memory(18, 21, 23);
        let first = reserved(&mut turn(&it.video, 1, Class::Video));
        it.card.hold(COMFY, memory.peak);
        first.finish(memory.load, None).unwrap();
        let next = goes_on.then(|| reserved(&mut turn(&it.video, 2, Class::Video)));
        it.card.pass(Duration::from_secs(60));
        let alarms = it.video.look_after(&[]).unwrap();
        assert_eq!(alarms.is_empty(), goes_on, "{alarms:?}");
        drop(next);
    }
}

#[test]
fn a_promise_of_one_worker_makes_the_other_wait_and_the_ticket_tells_why() {
    let it = house();
    let scene = reserved(&mut turn(&it.video, 1, Class::Video));
    it.card.hold(COMFY, ByteSize::gib(10));
    let mut story = turn(&it.story, 2, Class::Story);
    let Waits::Promised(short) = waits(&mut story) else {
        panic!()
    };
    // The other worker's processes are known by what it told of them.
    assert_eq!(short.promised[0].amount, ByteSize::gib(11));
    let page = it.video.page().unwrap();
    let reason = page.tickets[0].reason.clone().unwrap();
    assert!(reason.contains("11.0 GiB promised to job"), "{reason}");
    drop(story);
    assert_eq!(it.video.page().unwrap().tickets, []);
    scene.withdraw().unwrap();
    assert_eq!(it.video.page().unwrap().entries, []);
}

#[test]
fn a_ticket_tells_a_new_reason_within_a_second() {
    let it = house();
    let scene = reserved(&mut turn(&it.video, 1, Class::Video));
    let mut story = turn(&it.story, 2, Class::Story);
    let told = |story: &mut Turn| {
        waits(story);
        it.video.page().unwrap().tickets[0].reason.clone().unwrap()
    };
    let first = told(&mut story);
    it.card.set(|truth| truth.foreign = ByteSize::gib(20));
    it.card.pass(Duration::from_millis(999));
    assert_eq!(told(&mut story), first);
    it.card.pass(Duration::from_millis(1));
    assert_ne!(told(&mut story), first);
    drop(scene);
}

#[test]
fn an_idle_model_of_another_worker_makes_way_and_what_it_frees_is_claimed() {
    let it = house();
    let story = reserved(&mut turn(&it.story, 1, Class::Story));
    run(&it.card, OLLAMA, memory(6, 7, 8), story);
    it.story.look_after(&[]).unwrap();
    let mut scene = turn(&it.video, 2, Class::Video);
    let (victims, target) = evicts(&mut scene);
    assert_eq!(
        victims[0].model.as_ref().unwrap().profile.as_str(),
        "mistral-7b"
    );
    // While it unloads, nobody else takes what becomes free; nor does the model begin anew.
    it.card.hold(OLLAMA, ByteSize::ZERO);
    assert!(it.card.free() >= target);
    let mut other = turn(&it.story, 3, Class::Story);
    assert!(matches!(
        waits(&mut other),
        Waits::Promised(_) | Waits::Behind { .. }
    ));
    scene.evicted(&victims, true).unwrap();
    let scene = reserved(&mut scene);
    let page = it.video.page().unwrap();
    assert_eq!(page.entries.len(), 1, "the claim has become the job");
    assert_eq!(page.entries[0].entry.state, State::Job);
    scene.withdraw().unwrap();
}

#[test]
fn p09_a_plan_that_fails_is_followed_by_one_more_and_then_by_a_pause() {
    let it = house();
    let story = reserved(&mut turn(&it.story, 1, Class::Story));
    run(&it.card, OLLAMA, memory(6, 7, 8), story);
    it.story.look_after(&[]).unwrap();
    let mut scene = turn(&it.video, 2, Class::Video);
    let (first, _) = evicts(&mut scene);
    assert!(first[0].model.is_some());
    scene.evicted(&first, false).unwrap();
    let (second, _) = evicts(&mut scene);
    assert!(
        second.iter().all(|victim| victim.model.is_none()),
        "everything idle"
    );
    scene.evicted(&second, false).unwrap();
    for _ in 0..59 {
        it.card.pass(Duration::from_secs(1));
        assert!(matches!(waits(&mut scene), Waits::ReclaimFailed(_)));
    }
    it.card.pass(Duration::from_secs(1));
    evicts(&mut scene);
}

#[test]
fn p03_a_dropped_reservation_is_an_orphan_until_its_job_is_taken_over_or_its_backend_is_idle() {
    let it = house();
    drop(reserved(&mut turn(&it.video, 1, Class::Video)));
    it.card.hold(COMFY, ByteSize::gib(10));
    let mut story = turn(&it.story, 2, Class::Story);
    let Waits::Promised(short) = waits(&mut story) else {
        panic!()
    };
    assert!(short.promised[0].orphaned);
    let comfy = BackendId(COMFY.0.to_owned());
    it.story
        .look_after(&[(comfy.clone(), BackendSays::Busy)])
        .unwrap();
    assert!(matches!(waits(&mut story), Waits::Promised(_)));
    // Another worker on the same backend is given another job, and then the same one.
    let sibling = gate(it.root.path(), &it.card, 3, COMFY);
    assert!(matches!(
        waits(&mut turn(&sibling, 4, Class::Video)),
        Waits::Behind { .. } | Waits::Promised(_)
    ));
    let taken = reserved(&mut turn(&sibling, 1, Class::Video));
    let page = it.video.page().unwrap();
    assert_eq!(page.entries.len(), 1, "not booked twice");
    assert!(!page.entries[0].orphaned);
    drop(taken);
    // Idle at last: the model stays, and gives way.
    it.card.hold(COMFY, ByteSize::gib(18));
    it.story.look_after(&[(comfy, BackendSays::Idle)]).unwrap();
    let (victims, _) = evicts(&mut story);
    assert_eq!(victims.len(), 1);
}

#[test]
fn p02_a_killed_worker_s_memory_is_granted_again_once_its_backend_is_gone() {
    let it = house();
    drop(reserved(&mut turn(&it.video, 1, Class::Video)));
    let gone = (BackendId(COMFY.0.to_owned()), BackendSays::Gone);
    it.story.look_after(&[gone]).unwrap();
    reserved(&mut turn(&it.story, 2, Class::Story))
        .withdraw()
        .unwrap();
}

#[test]
fn p11_after_a_lost_device_everything_begins_from_its_readings() {
    let it = house();
    let scene = reserved(&mut turn(&it.video, 1, Class::Video));
    it.video.device_lost().unwrap();
    it.card.pass(Duration::from_secs(1));
    let story = reserved(&mut turn(&it.story, 2, Class::Story));
    // The first owner finds its promise gone; ending it harms nobody.
    scene.finish(ByteSize::gib(18), None).unwrap();
    let page = it.video.page().unwrap();
    assert_eq!(page.entries.len(), 1);
    story.withdraw().unwrap();
}

#[test]
fn a_job_that_never_fits_is_told_so_and_leaves_no_ticket() {
    let it = house();
    let mut big = turn_of(
        &it.video,
        1,
        Class::Video,
        COMFY.0,
        "huge",
        memory(30, 40, 40),
    );
    assert!(matches!(big.ask().unwrap(), Answer::Never(_)));
    assert_eq!(it.video.page().unwrap().tickets, []);
}

#[test]
fn a_job_whose_need_is_unknown_waits_without_a_place_in_the_queue() {
    let it = house();
    let work = turn(&it.video, 1, Class::Video).work;
    let mut odd = it.video.turn(work, Need::Unknown);
    assert_eq!(waits(&mut odd), Waits::NeedUnknown);
    assert_eq!(it.video.page().unwrap().tickets, []);
}

#[test]
fn p05_a_model_in_host_memory_runs_job_after_job_and_its_promise_ends_with_each() {
    let it = house();
    let owner = Owner {
        worker: "cpu".parse().unwrap(),
        boot: BootId::from_u128(9),
    };
    let ledger = Ledger::open(it.root.path(), None, owner).unwrap();
    let view = View {
        card: Arc::clone(&it.card),
        backend: OLLAMA,
    };
    let gate = Gate::new(ledger, Policy::default(), Aging::default(), Arc::new(view));
    for job in 0..5 {
        let none = memory(0, 0, 0);
        let mut work = turn_of(&gate, job, Class::Story, OLLAMA.0, "cpu", none)
            .work
            .clone();
        work.ram = ByteSize::gib(40);
        let need = Need::Host {
            ram: work.ram,
            busy: false,
        };
        let reservation = reserved(&mut gate.turn(work, need));
        // Another job does not fit beside it.
        let other = turn_of(&it.video, 99, Class::Video, COMFY.0, "wan", memory(1, 1, 1));
        let mut other = it.video.turn(
            other.work.clone(),
            Need::Device {
                memory: memory(1, 1, 1),
                ram: ByteSize::gib(20),
                growth: Growth::default(),
            },
        );
        assert!(matches!(waits(&mut other), Waits::Ram { .. }));
        reservation.finish(ByteSize::gib(40), None).unwrap();
        reserved(&mut other).withdraw().unwrap();
    }
}

#[tokio::test]
async fn p04_who_waits_is_handed_back_when_its_patience_ends() {
    let it = house();
    it.card.set(|truth| {
        truth.foreign = ByteSize::gib(20);
        truth.tick = Duration::from_secs(4);
    });
    tokio::time::pause();
    let scene = turn(&it.video, 1, Class::Video);
    let (scene, answer) = scene.wait(Duration::from_secs(10)).await.unwrap();
    assert!(
        matches!(answer, Answer::Wait(Waits::Foreign(_))),
        "{answer:?}"
    );
    let waited = it.card.0.lock().unwrap().now;
    assert!((10..18).contains(&waited.as_secs()), "after {waited:?}");
    assert_eq!(it.video.page().unwrap().tickets.len(), 1);
    drop(scene);
    assert_eq!(it.video.page().unwrap().tickets, []);
}

#[test]
fn p04_nobody_passes_a_head_that_has_waited_long() {
    let it = house();
    let first = reserved(&mut turn(&it.story, 1, Class::Story));
    it.card.hold(OLLAMA, ByteSize::gib(7));
    let mut scene = turn(&it.video, 2, Class::Video);
    assert!(matches!(waits(&mut scene), Waits::Promised(_)));
    let small = |gate: &Arc<Gate>, job| {
        turn_of(gate, job, Class::Story, "small@x", "small", memory(1, 1, 1))
    };
    reserved(&mut small(&it.story, 3)).withdraw().unwrap();
    it.card.pass(Duration::from_secs(60));
    waits(&mut scene);
    assert!(matches!(
        waits(&mut small(&it.story, 4)),
        Waits::Behind { .. }
    ));
    drop(first);
}

/// Looks, and then lets something happen before anybody has decided.
struct Spy {
    view: View,
    next: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    looks: AtomicU32,
}

impl fmt::Debug for Spy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spy")
    }
}

impl Sight for Spy {
    fn look(&self) -> Seen {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let mut seen = self.view.look();
        let looked = self.now();
        if let Some(happens) = self.next.lock().unwrap().take() {
            happens();
        }
        seen.device.as_mut().unwrap().age = self.now().since(looked);
        seen
    }

    fn now(&self) -> BootTime {
        self.view.now()
    }
}

/// A third worker of that house, and what happens right after its first look.
fn spied(it: &House, happens: impl FnOnce() + Send + 'static) -> (Arc<Gate>, Arc<Spy>) {
    let view = View {
        card: Arc::clone(&it.card),
        backend: COMFY,
    };
    let spy = Arc::new(Spy {
        view,
        next: Mutex::new(Some(Box::new(happens))),
        looks: AtomicU32::new(0),
    });
    let owner = Owner {
        worker: "spied".parse().unwrap(),
        boot: BootId::from_u128(7),
    };
    let ledger = Ledger::open(it.root.path(), Some(&gpu()), owner).unwrap();
    let sight = Arc::clone(&spy) as Arc<dyn Sight>;
    let gate = Gate::new(ledger, Policy::default(), Aging::default(), sight);
    (gate, spy)
}

#[test]
fn p01_nobody_waits_for_a_reading_and_what_is_promised_meanwhile_counts() {
    let it = house();
    let lock = it.root.path().join(gpu().0).join("decide.lock");
    let (story, card) = (Arc::clone(&it.story), Arc::clone(&it.card));
    let (gate, spy) = spied(&it, move || {
        let lock = std::fs::File::create(lock).unwrap();
        lock.try_lock().expect("others can decide meanwhile");
        drop(lock);
        card.pass(Duration::from_millis(3));
        drop(reserved(&mut turn(&story, 1, Class::Story)));
    });
    // By the reading alone it would begin.
    let Waits::Promised(short) = waits(&mut turn(&gate, 2, Class::Video)) else {
        panic!()
    };
    assert_eq!(short.free, ALL);
    assert_eq!(short.promised[0].amount, ByteSize::gib(7));
    assert_eq!(spy.looks.load(Ordering::Relaxed), 1);
}

#[test]
fn what_a_promise_gives_back_after_a_reading_is_not_counted_twice() {
    let it = house();
    let story = reserved(&mut turn(&it.story, 1, Class::Story));
    let card = Arc::clone(&it.card);
    let (gate, spy) = spied(&it, move || {
        card.pass(Duration::from_millis(3));
        card.hold(OLLAMA, ByteSize::gib(6));
        story.finish(ByteSize::gib(6), None).unwrap();
    });
    // The first reading saw all of the card free, and the books tell of a model that will not grow.
    evicts(&mut turn(&gate, 2, Class::Video));
    assert_eq!(spy.looks.load(Ordering::Relaxed), 2);
}

#[test]
fn a_reading_that_has_grown_old_while_others_decided_is_made_again() {
    let it = house();
    let card = Arc::clone(&it.card);
    let (gate, spy) = spied(&it, move || {
        card.pass(Duration::from_millis(501));
        card.set(|truth| truth.foreign = ByteSize::gib(20));
    });
    assert!(matches!(
        waits(&mut turn(&gate, 2, Class::Video)),
        Waits::Foreign(_)
    ));
    assert_eq!(spy.looks.load(Ordering::Relaxed), 2);
}

/// Workers in threads, each with handles of its own: the kernel's locks do not know that they share a process.
#[test]
fn p01_workers_that_ask_at_the_same_time_never_overcommit_the_card() {
    const WORKERS: u32 = 8;
    const JOBS: u128 = 12;
    let root = TempDir::new().unwrap();
    let card = Arc::new(Card::default());
    let names: Vec<&'static str> = (0..WORKERS)
        .map(|number| &*Box::leak(format!("backend@{number}").into_boxed_str()))
        .collect();
    std::thread::scope(|threads| {
        for number in 0..WORKERS {
            let (card, root, names) = (&card, root.path(), &names);
            let name = names[number as usize];
            threads.spawn(move || {
                let backend = (name, 100 + number);
                let gate = gate(root, card, u128::from(number), backend);
                let peak = 3 + 5 * u64::from(number % 3);
                for job in 0..JOBS {
                    let job = u128::from(number) * JOBS + job;
                    let needs = memory(1, peak, peak);
                    let mut turn = turn_of(&gate, job, Class::Video, name, "any", needs);
                    let reservation = loop {
                        match turn.ask().unwrap() {
                            Answer::Reserved(reservation) => break reservation,
                            Answer::Wait(_) => std::thread::yield_now(),
                            Answer::Evict { victims, .. } => {
                                // The idle backends unload at once.
                                for victim in &victims {
                                    let pid = names.iter().position(|it| **it == victim.backend.0);
                                    let pid = 100 + u32::try_from(pid.unwrap()).unwrap();
                                    card.hold((name, pid), ByteSize::ZERO);
                                }
                                turn.evicted(&victims, true).unwrap();
                            }
                            Answer::Never(verdict) => panic!("{verdict}"),
                        }
                    };
                    // It takes its memory bit by bit, while others decide.
                    for amount in 0..=peak {
                        card.set(|truth| {
                            truth.holds.insert(backend.1, ByteSize::gib(amount));
                            let all = total(truth.holds.values().copied());
                            assert!(all <= ALL, "{all} are held");
                        });
                        std::thread::yield_now();
                    }
                    card.hold(backend, ByteSize::gib(1));
                    reservation.finish(ByteSize::gib(1), None).unwrap();
                    card.pass(Duration::from_millis(100));
                }
            });
        }
    });
    let page = gate(root.path(), &card, 99, COMFY).page().unwrap();
    assert_eq!(page.tickets, []);
    assert!(
        page.entries
            .iter()
            .all(|booked| booked.entry.state != State::Job)
    );
}
