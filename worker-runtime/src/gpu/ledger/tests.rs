//! The ledger as several workers of one host use it. A worker that is killed leaves its files and lets go of its locks: that
//! is what dropping a [`Held`] does.

use std::path::Path;
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, JobId, Take};
use shared::profile::DeviceMemory;
use tempfile::TempDir;

use super::*;
use crate::gpu::reading::DeviceUuid;

fn at(seconds: u64) -> BootTime {
    BootTime::start().plus(Duration::from_secs(1_000 + seconds))
}

fn gpu() -> DeviceUuid {
    DeviceUuid("GPU-6f1e".to_owned())
}

fn worker(root: &Path, number: u128) -> Ledger {
    on(root, number, Some(&gpu()))
}

fn on(root: &Path, number: u128, device: Option<&DeviceUuid>) -> Ledger {
    let owner = Owner {
        worker: format!("w{number}").parse().unwrap(),
        boot: BootId::from_u128(number),
    };
    Ledger::open(root, device, owner).unwrap()
}

fn work(job: u128) -> Work {
    Work {
        job: JobId::from_u128(job),
        take: Take::FIRST,
        attempt: Attempt::FIRST,
        backend: BackendId("comfyui@127.0.0.1:8188".to_owned()),
        kind: BackendKind::Replacing,
        profile: "wan".parse().unwrap(),
        class: Class::Video,
        precedence: Precedence::of(Class::Video, at(0), Aging::default()),
        memory: DeviceMemory {
            load: ByteSize::gib(18),
            peak: ByteSize::gib(21),
            spike: ByteSize::gib(23),
        },
        ram: ByteSize::ZERO,
        pinned: false,
        reload: Duration::from_secs(45),
        limit: Duration::from_secs(600),
    }
}

fn finished() -> Event {
    Event::Finished {
        keeps: ByteSize::gib(18),
        lowest_free: Some(ByteSize::gib(2)),
    }
}

fn looked(held: u64, seconds: u64) -> Event {
    Event::Looked {
        held: Some(ByteSize::gib(held)),
        free: ByteSize::gib(5),
        at: at(seconds),
    }
}

fn states(ledger: &Ledger, now: BootTime) -> Vec<(State, bool)> {
    let page = ledger.decide(|locked| locked.page(now)).unwrap();
    page.entries
        .iter()
        .map(|booked| (booked.entry.state, booked.orphaned))
        .collect()
}

/// Locks of entries and tickets, and what is half-written.
fn files(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root.join(gpu().0))
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "decide.lock" && name != "book.json")
        .collect();
    names.sort();
    names
}

fn ticket(held: EntryId, owner: Owner, job: u128, seconds: u64, class: Class) -> Ticket {
    Ticket {
        id: held,
        precedence: Precedence::of(class, at(seconds), Aging::default()),
        arrived: at(seconds),
        job: JobId::from_u128(job),
        profile: "wan".parse().unwrap(),
        backend: BackendId("comfyui@127.0.0.1:8188".to_owned()),
        owner,
        reason: None,
    }
}

#[test]
fn what_one_worker_writes_down_all_others_see() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let held = one
        .decide(|locked| locked.book(work(7), State::Job, at(0)))
        .unwrap();
    let page = other.decide(|locked| locked.page(at(3))).unwrap();
    assert_eq!(page.entries.len(), 1);
    let booked = &page.entries[0];
    assert_eq!(booked.entry.work, work(7));
    assert_eq!(booked.entry.id, *held.id());
    assert_eq!(booked.age, Duration::from_secs(3));
    assert!(!booked.orphaned);
}

#[test]
fn a_job_goes_from_claim_to_resident() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let until = at(60);
    let held = ledger
        .decide(|locked| locked.book(work(7), State::Claim { until }, at(0)))
        .unwrap();
    let tell = |event: Event, seconds| {
        let told = ledger.decide(|locked| locked.tell(held.id(), &event, at(seconds)));
        told.unwrap()
    };
    tell(Event::Begun, 1);
    assert_eq!(states(&ledger, at(100)), [(State::Job, false)]);
    tell(finished(), 101);
    // A reading from before the end tells nothing, nor does one that is still too high.
    assert_eq!(tell(looked(18, 100), 102).next, Next::Same);
    assert_eq!(tell(looked(20, 102), 102).next, Next::Same);
    tell(looked(18, 103), 103);
    let resident = State::Resident {
        size: ByteSize::gib(18),
        free_then: ByteSize::gib(5),
        grew: Some(ByteSize::gib(3)),
    };
    assert_eq!(states(&ledger, at(104)), [(resident, false)]);
    // It survives its owner.
    drop(held);
    assert_eq!(states(&ledger, at(9_999)), [(resident, false)]);
}

#[test]
fn a_job_that_never_settles_is_taken_for_settled_with_an_alarm() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let held = ledger
        .decide(|locked| locked.book(work(7), State::Job, at(0)))
        .unwrap();
    let tell = |event: Event, seconds| {
        let told = ledger.decide(|locked| locked.tell(held.id(), &event, at(seconds)));
        told.unwrap()
    };
    tell(finished(), 1);
    assert_eq!(tell(looked(20, 10), 10).alarm, None);
    let alarm = tell(looked(20, 11), 11).alarm;
    let (held, keeps) = (ByteSize::gib(20), ByteSize::gib(18));
    assert_eq!(alarm, Some(Alarm::NeverSettled { held, keeps }));
    assert!(matches!(states(&ledger, at(12))[0].0, State::Resident { size, .. } if size == held));
}

#[test]
fn where_nothing_tells_what_is_held_a_job_settles_after_two_seconds() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let looked = |seconds| Event::Looked {
        held: None,
        free: ByteSize::gib(5),
        at: at(seconds),
    };
    let decided = ledger.decide(|locked| {
        let held = locked.book(work(7), State::Job, at(0))?;
        locked.tell(held.id(), &finished(), at(1))?;
        Ok([
            locked.tell(held.id(), &looked(2), at(2))?,
            locked.tell(held.id(), &looked(3), at(3))?,
        ])
    });
    let [early, late] = decided.unwrap();
    assert_eq!(early.next, Next::Same);
    assert!(matches!(late.next, Next::Changed(_)));
    assert_eq!(late.alarm, None);
}

#[test]
fn a_new_model_of_a_replacing_backend_takes_the_place_of_the_old_one() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    for job in [1, 2] {
        let told = ledger.decide(|locked| {
            let held = locked.book(work(job), State::Job, at(0))?;
            locked.tell(held.id(), &finished(), at(1))?;
            locked.tell(held.id(), &looked(18, 2), at(2))
        });
        told.unwrap();
    }
    assert_eq!(states(&ledger, at(3)).len(), 1);
}

#[test]
fn p02_nothing_of_a_killed_worker_is_left_once_its_backend_is_idle() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let until = at(600);
    let booked = one.decide(|locked| {
        Ok((
            locked.book(work(1), State::Job, at(0))?,
            locked.book(work(2), State::Claim { until }, at(0))?,
            locked.queue(|id, owner| ticket(id, owner, 3, 0, Class::Video))?,
        ))
    });
    let (job, claim, waiting) = booked.unwrap();
    let id = job.id().clone();
    // Killed: all locks are let go, no file is removed.
    std::mem::forget(waiting.killed());
    drop((job, claim));
    let page = other.decide(|locked| locked.page(at(1))).unwrap();
    assert_eq!(page.tickets, []);
    assert_eq!(page.entries.len(), 1, "only the job counts");
    assert!(page.entries[0].orphaned);
    let told = other.decide(|locked| {
        locked.tell(&id, &Event::BackendIdle, at(2))?;
        locked.tell(&id, &looked(18, 3), at(3))?;
        locked.tell(&id, &Event::Evicted, at(4))
    });
    assert_eq!(told.unwrap().next, Next::Gone);
    assert_eq!(files(root.path()), [] as [String; 0]);
}

#[test]
fn p02_whatever_a_worker_leaves_when_it_is_killed_half_way_is_removed() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let folder = root.path().join(gpu().0);
    let held = ledger
        .decide(|locked| locked.book(work(1), State::Job, at(0)))
        .unwrap();
    // Before its entry was written; while it was written; after it was taken off.
    for file in ["a-0.lock", "book.new", "a-1.lock"] {
        std::fs::write(folder.join(file), "{").unwrap();
    }
    let next = worker(root.path(), 2);
    assert_eq!(states(&next, at(0)), [(State::Job, false)]);
    assert_eq!(files(root.path()), [format!("{}.lock", held.id())]);
}

#[test]
fn p02_an_entry_whose_lock_is_gone_is_an_orphan_and_not_lost() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let held = ledger
        .decide(|locked| locked.book(work(1), State::Job, at(0)))
        .unwrap();
    let lock = root
        .path()
        .join(gpu().0)
        .join(format!("{}.lock", held.id()));
    drop(held);
    std::fs::remove_file(lock).unwrap();
    assert_eq!(states(&ledger, at(1)), [(State::Job, true)]);
}

#[test]
fn p03_the_job_of_a_killed_worker_counts_until_its_backend_has_stopped() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let held = one
        .decide(|locked| locked.book(work(1), State::Job, at(0)))
        .unwrap();
    let id = held.id().clone();
    drop(held);
    let tell = |event: Event, seconds| {
        let told = other.decide(|locked| locked.tell(&id, &event, at(seconds)));
        told.unwrap()
    };
    for seconds in 0..2_000 {
        let silent = Event::BackendSilent { quiet: false };
        assert_eq!(tell(Event::BackendBusy, seconds).next, Next::Same);
        assert_eq!(tell(silent, seconds).next, Next::Same);
    }
    assert_eq!(states(&other, at(2_000)), [(State::Job, true)]);
    tell(Event::BackendIdle, 2_001);
    assert!(matches!(
        states(&other, at(2_002))[0].0,
        State::Settling { .. }
    ));
}

#[test]
fn an_orphan_whose_backend_is_silent_is_given_up_after_the_time_of_its_job_with_an_alarm() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let id = {
        let held = ledger
            .decide(|locked| locked.book(work(1), State::Job, at(0)))
            .unwrap();
        held.id().clone()
    };
    let quiet = Event::BackendSilent { quiet: true };
    let tell = |seconds| {
        let told = ledger.decide(|locked| locked.tell(&id, &quiet, at(seconds)));
        told.unwrap()
    };
    assert_eq!(tell(599).next, Next::Same);
    let outcome = tell(600);
    assert_eq!(outcome.alarm, Some(Alarm::OrphanGivenUp));
    assert_eq!(outcome.next, Next::Gone);
}

#[test]
fn p03_the_same_job_takes_its_orphan_over_and_nothing_is_booked_twice() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let held = one
        .decide(|locked| locked.book(work(1), State::Job, at(0)))
        .unwrap();
    let take = || {
        let taken = other.decide(|locked| {
            let page = locked.page(at(1))?;
            locked.take_over(&page.entries[0].entry, Attempt::new(2), at(1))
        });
        taken.unwrap()
    };
    assert!(take().is_none(), "its owner lives");
    drop(held);
    let taken = take().unwrap();
    let page = one.decide(|locked| locked.page(at(2))).unwrap();
    assert_eq!(page.entries.len(), 1);
    let entry = &page.entries[0].entry;
    assert_eq!(entry.id, *taken.id());
    assert_eq!(
        (entry.owner.boot, entry.work.attempt.number()),
        (BootId::from_u128(2), 2)
    );
    assert!(!page.entries[0].orphaned);
    assert!(take().is_none(), "it has an owner again");
}

#[test]
fn p04_tickets_stand_in_the_order_of_priority_and_arrival() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let queue = |ledger: &Ledger, job, seconds, class| {
        let fill = |id, owner| ticket(id, owner, job, seconds, class);
        ledger.decide(|locked| locked.queue(fill)).unwrap()
    };
    let held = [
        queue(&one, 1, 200, Class::Story),
        queue(&other, 2, 300, Class::Video),
        queue(&one, 3, 100, Class::Story),
        queue(&other, 4, 301, Class::Video),
    ];
    let order = || {
        let page = one.decide(|locked| locked.page(at(400))).unwrap();
        let jobs = page.tickets.iter().map(|ticket| ticket.job.as_u128());
        jobs.collect::<Vec<_>>()
    };
    assert_eq!(order(), [3, 2, 4, 1]);
    drop(held);
    assert_eq!(order(), [] as [u128; 0]);
    assert_eq!(files(root.path()), [] as [String; 0]);
}

#[test]
fn p10_telling_an_entry_twice_or_reading_twice_changes_nothing_more() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let held = one
        .decide(|locked| locked.book(work(1), State::Job, at(0)))
        .unwrap();
    let steps = [finished(), looked(18, 5), Event::Evicted];
    for (step, event) in (1..).zip(steps) {
        let mut seen = Vec::new();
        for (later, ledger) in (0..).zip([&one, &other, &one]) {
            let now = at(5 * step + later);
            let page = ledger.decide(|locked| {
                locked.tell(held.id(), &event, now)?;
                locked.page(now)?;
                locked.page(now)
            });
            let page = page.unwrap();
            seen.push(
                page.entries
                    .into_iter()
                    .map(|booked| booked.entry)
                    .collect::<Vec<_>>(),
            );
        }
        assert_eq!(seen[0], seen[1], "{event:?}");
        assert_eq!(seen[1], seen[2], "{event:?}");
    }
    assert_eq!(states(&one, at(99)), []);
    drop(held);
    assert_eq!(states(&worker(root.path(), 1), at(99)), [], "started again");
}

#[test]
fn p11_what_was_promised_on_a_lost_device_is_void() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let spare = on(root.path(), 1, Some(&DeviceUuid("GPU-spare".to_owned())));
    let booked = ledger.decide(|locked| {
        Ok((
            locked.book(work(1), State::Job, at(0))?,
            locked.queue(|id, owner| ticket(id, owner, 3, 0, Class::Video))?,
        ))
    });
    let (job, waiting) = booked.unwrap();
    let elsewhere = spare
        .decide(|locked| locked.book(work(2), State::Job, at(0)))
        .unwrap();
    ledger.decide(|locked| locked.void(at(5))).unwrap();
    let page = ledger.decide(|locked| locked.page(at(6))).unwrap();
    assert_eq!(page.entries, []);
    assert_eq!(page.elsewhere.len(), 1, "other devices go on");
    assert_eq!(page.tickets.len(), 1, "who waits goes on waiting");
    assert_eq!(
        page.lowered,
        Some(at(5)),
        "readings from before count for nothing"
    );
    // Its owner finds it gone, and may say so.
    let told = ledger
        .decide(|locked| locked.tell(job.id(), &finished(), at(7)))
        .unwrap();
    assert_eq!(told.next, Next::Gone);
    drop((waiting, elsewhere));
}

#[test]
fn p12_a_claim_ends_by_the_boot_clock_and_not_a_moment_before() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let until = at(60);
    let claim = State::Claim { until };
    let held = ledger
        .decide(|locked| locked.book(work(1), claim, at(0)))
        .unwrap();
    let moment = Duration::from_nanos(1);
    let before = BootTime::after(until.since_start() - moment);
    assert_eq!(states(&ledger, before), [(claim, false)]);
    // A clock that stands still, or is read out of order, ends nothing early.
    assert_eq!(states(&ledger, BootTime::default()), [(claim, false)]);
    assert_eq!(states(&ledger, until), []);
    drop(held);
}

#[test]
fn the_moment_of_the_last_release_is_written_down() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let lowered = |now| ledger.decide(|locked| locked.page(now)).unwrap().lowered;
    assert_eq!(lowered(at(0)), None);
    let held = ledger.decide(|locked| locked.book(work(1), State::Job, at(0)));
    let held = held.unwrap();
    assert_eq!(lowered(at(0)), None);
    let tell = |event: Event, now| {
        let told = ledger.decide(|locked| locked.tell(held.id(), &event, now));
        told.unwrap()
    };
    tell(finished(), at(3));
    assert_eq!(lowered(at(4)), Some(at(3)));
    // What settled by a reading counts from that reading on.
    tell(looked(18, 5), at(6));
    assert_eq!(lowered(at(7)), Some(at(5)));
}

#[test]
fn a_book_that_cannot_be_read_is_told_and_not_written_over() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    let file = root.path().join(gpu().0).join("book.json");
    for text in ["{\"version\": 99}", "{\"version\": 1, \"ent", ""] {
        std::fs::write(&file, text).unwrap();
        let page = ledger.decide(|locked| locked.page(at(0))).unwrap();
        assert_eq!(page.unreadable, [file.display().to_string()]);
        let refused = ledger.decide(|locked| locked.book(work(1), State::Job, at(0)));
        let why = std::error::Error::source(&refused.unwrap_err())
            .unwrap()
            .to_string();
        assert!(why.contains("remove the file"), "{why}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        // On another device, too: host memory is shared.
        let other = on(root.path(), 1, None);
        let page = other.decide(|locked| locked.page(at(0))).unwrap();
        assert_eq!(page.unreadable.len(), 1);
    }
}

#[test]
fn what_cannot_be_written_is_not_promised() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    // No file can take the place of a folder.
    let folder = root.path().join(gpu().0).join("book.new");
    std::fs::create_dir(&folder).unwrap();
    let book = || ledger.decide(|locked| locked.book(work(1), State::Job, at(0)));
    assert!(book().is_err());
    assert_eq!(states(&ledger, at(0)), []);
    std::fs::remove_dir(folder).unwrap();
    let _held = book().unwrap();
    assert_eq!(states(&ledger, at(0)), [(State::Job, false)]);
}

#[test]
fn a_decision_is_written_down_whole_or_not_at_all() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let seen = |ledger| states(ledger, at(1));
    let failed = one.decide(|locked| {
        let held = locked.book(work(1), State::Job, at(0))?;
        assert_eq!(locked.page(at(0))?.entries.len(), 1, "it counts at once");
        // As if it were killed here, or something failed later on.
        let nothing = root.path().join("nothing");
        std::fs::read(&nothing).map_err(disk::at(&nothing))?;
        Ok(held)
    });
    assert!(failed.is_err());
    assert_eq!((seen(&one), seen(&other)), (vec![], vec![]));
    let held = one.decide(|locked| {
        let first = locked.book(work(1), State::Job, at(0))?;
        let second = locked.book(work(2), State::Job, at(0))?;
        locked.tell(second.id(), &Event::Withdrawn, at(1))?;
        Ok((first, second))
    });
    let (first, second) = held.unwrap();
    assert_eq!(seen(&other), [(State::Job, false)]);
    assert!(
        !root
            .path()
            .join(gpu().0)
            .join(format!("{}.lock", second.id()))
            .exists()
    );
    drop(first);
}

#[test]
fn an_id_in_the_book_cannot_name_a_file_outside() {
    for id in ["../x", "a/b", "a\\b"] {
        assert!(
            serde_json::from_value::<EntryId>(id.into()).is_err(),
            "{id}"
        );
    }
}

#[test]
fn work_without_a_device_has_a_ledger_of_its_own() {
    let root = TempDir::new().unwrap();
    let (card, host) = (worker(root.path(), 1), on(root.path(), 2, None));
    let held = host
        .decide(|locked| locked.book(work(1), State::Job, at(0)))
        .unwrap();
    let page = card.decide(|locked| locked.page(at(1))).unwrap();
    assert_eq!((page.entries.len(), page.elsewhere.len()), (0, 1));
    let page = host.decide(|locked| locked.page(at(1))).unwrap();
    assert_eq!((page.entries.len(), page.elsewhere.len()), (1, 0));
    drop(held);
}

#[test]
fn it_tells_how_long_the_others_could_not_decide() {
    let root = TempDir::new().unwrap();
    let ledger = worker(root.path(), 1);
    assert_eq!(ledger.last_held(), Duration::ZERO);
    let began = std::time::Instant::now();
    let decided = ledger.decide(|_| {
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        Ok(())
    });
    decided.unwrap();
    let most = began.elapsed();
    assert!((Duration::from_millis(1)..=most).contains(&ledger.last_held()));
}

#[test]
fn workers_know_of_each_others_backends() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let mut note = BackendNote {
        id: BackendId("comfyui@127.0.0.1:8188".to_owned()),
        kind: BackendKind::Replacing,
        pids: vec![17],
        residue: ByteSize::mib(500),
    };
    for pids in [vec![17], vec![18]] {
        note.pids = pids;
        one.decide(|locked| locked.note(&note)).unwrap();
        let page = other.decide(|locked| locked.page(at(0))).unwrap();
        assert_eq!(page.backends, std::slice::from_ref(&note));
    }
}

#[test]
fn a_worker_that_only_looks_on_keeps_no_lock_open_of_what_others_have_ended() {
    let root = TempDir::new().unwrap();
    let (one, onlooker) = (worker(root.path(), 1), worker(root.path(), 2));
    for job in 1..=3 {
        let book = |state| {
            one.decide(|locked| locked.book(work(job), state, at(0)))
                .unwrap()
        };
        let held = book(State::Job);
        assert_eq!(states(&onlooker, at(1)), [(State::Job, false)]);
        assert_eq!(onlooker.owners.open(), 1);
        let told = one.decide(|locked| locked.tell(held.id(), &Event::Withdrawn, at(2)));
        assert_eq!(told.unwrap().next, Next::Gone);
        assert_eq!(states(&onlooker, at(3)), []);
        assert_eq!(onlooker.owners.open(), 0);
    }
}

#[cfg(unix)]
#[test]
fn locks_of_others_are_known_before_anybody_is_kept_waiting() {
    let root = TempDir::new().unwrap();
    let (one, other) = (worker(root.path(), 1), worker(root.path(), 2));
    let held = other.decide(|locked| locked.book(work(1), State::Job, at(0)));
    let held = held.unwrap();
    let known = one.decide(|locked| Ok(locked.ledger.owners.open()));
    assert_eq!(known.unwrap(), 1);
    drop(held);
}

#[test]
fn a_device_cannot_name_a_folder_outside() {
    let root = TempDir::new().unwrap();
    let odd = DeviceUuid("../../etc".to_owned());
    drop(on(root.path(), 1, Some(&odd)));
    assert!(root.path().join("______etc").is_dir());
}
