//! Work that needs a card: when it is taken, and what becomes of what it was promised. In real time, since the card is read by
//! threads of its own.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nvml_double::install::Double;
use nvml_double::state::{Answer, Device, Process, State as Cards, code};
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::ids::BootId;
use shared::job::JobKind;
use shared::profile::{DeviceMemory, Profile};
use shared::protocol::{
    DenyReason, Device as Told, ReleaseReason, RunAttempt, ToCoordinator, WorkerState,
};
use tempfile::TempDir;
use tokio::time::sleep;
use worker_runtime::gpu::ledger::{BackendNote, BootTime, Ledger, Owner, Page, State};
use worker_runtime::gpu::reading::DeviceUuid;
use worker_runtime::settings::{DeviceChoice, GpuSettings, HostMemory};

use super::support::backend::{Script, profile, scripted_for};
use super::support::{Running, Stage, attempt, story, within};

pub(super) const CARD: &str = "GPU-00000000-0000-0000-0000-000000000001";
pub(super) const COMFY: (&str, u32) = ("comfyui@127.0.0.1:8188", 100);
pub(super) const OLLAMA: (&str, u32) = ("ollama@127.0.0.1:11434", 200);
/// A program of somebody else.
pub(super) const GAME: u32 = 300;

/// The stage, on a host with cards.
pub(super) struct Host {
    pub(super) stage: Stage,
    double: Double,
    ledger: PathBuf,
    dir: TempDir,
}

impl Deref for Host {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Stage {
        &mut self.stage
    }
}

impl Host {
    pub(super) async fn with<const N: usize>(cards: [Device; N]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let double = Double::install(dir.path(), &Cards::with(cards)).unwrap();
        let ledger = dir.path().join("ledger");
        let mut stage = Stage::new().await;
        stage.config.state_interval = Duration::from_millis(50);
        stage.config.gpu = GpuSettings {
            device: DeviceChoice::Auto,
            library: Some(double.library().to_owned()),
            ledger: Some(ledger.clone()),
            footprints: None,
            host_memory: HostMemory::Ours,
        };
        Self {
            stage,
            double,
            ledger,
            dir,
        }
    }

    /// A worker that has written a story, and whose model is still on the card.
    pub(super) async fn writer_with_its_model_loaded(&mut self) -> (Running, Script) {
        self.next_worker_is("writer");
        let (llm, mut writes) = scripted_for(vec![mistral()]);
        let writer = self.start(llm.serving(OLLAMA.0, OLLAMA.1)).await;
        self.open().await;
        self.stage.dispatch(&on(&mistral())).await;
        let started = self.started().await;
        self.grant(&started).await;
        let call = writes.call().await;
        self.holds(OLLAMA.1, 8);
        call.finish(Ok(story()));
        self.succeeded().await;
        self.books("the language model to settle", |page| {
            let states: Vec<_> = page.entries.iter().map(|it| it.entry.state).collect();
            matches!(states[..], [State::Resident { .. }])
        })
        .await;
        (writer, writes)
    }

    /// The worker that is started next is another one.
    pub(super) fn next_worker_is(&mut self, name: &str) {
        self.stage.config.worker = name.parse().unwrap();
        self.stage.config.data_dir = self.dir.path().join(name);
    }

    /// So many GiB of the card are held by that process from now on.
    pub(super) fn holds(&self, pid: u32, gib: u64) {
        let changed = self.double.update(|cards| {
            let card = cards.device_mut(CARD).unwrap();
            card.processes.retain(|process| process.pid != pid);
            if gib > 0 {
                card.processes
                    .push(Process::computing(pid, Some(gib << 30)));
            }
            card.used = card.processes.iter().filter_map(|it| it.used).sum();
        });
        changed.unwrap();
    }

    fn page(&self) -> Page {
        let owner = Owner {
            worker: "test".parse().unwrap(),
            boot: BootId::from_u128(7),
        };
        let device = DeviceUuid(CARD.to_owned());
        let ledger = Ledger::open(&self.ledger, Some(&device), owner).unwrap();
        ledger
            .decide(|locked| locked.page(BootTime::now()))
            .unwrap()
    }

    /// Waits until the books are like that.
    async fn books(&self, what: &str, is_so: impl Fn(&Page) -> bool) {
        let wait = async {
            while !is_so(&self.page()) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within(wait, what).await;
    }

    fn jobs_on_the_books(&self) -> usize {
        let is_job = |state: &State| matches!(state, State::Job);
        let entries = self.page().entries;
        entries.iter().filter(|it| is_job(&it.entry.state)).count()
    }

    /// Waits until the worker takes everything.
    pub(super) async fn open(&mut self) {
        self.state(|state| state.waiting.is_empty()).await;
    }

    /// Waits until the worker says why it does not take its first profile.
    async fn shut(&mut self, says: impl Fn(&str) -> bool) -> (bool, String) {
        let first = |state: &WorkerState| {
            let waiting = state.waiting.first()?;
            Some((waiting.never, waiting.reason.clone()))
        };
        let state = self
            .state(|state| first(state).is_some_and(|(_, reason)| says(&reason)))
            .await;
        first(&state).unwrap()
    }
}

fn gib(load: u64, peak: u64, spike: u64) -> DeviceMemory {
    DeviceMemory {
        load: ByteSize::gib(load),
        peak: ByteSize::gib(peak),
        spike: ByteSize::gib(spike),
    }
}

/// Scenes that need most of a card of 24 GiB.
pub(super) fn wan() -> Profile {
    let mut wan = profile(JobKind::Story, "wan");
    wan.needs.device = Some(gib(18, 21, 23));
    wan
}

/// Stories that need a third of one.
fn mistral() -> Profile {
    let mut mistral = profile(JobKind::Story, "mistral");
    mistral.needs.device = Some(gib(8, 9, 10));
    mistral
}

pub(super) fn on(profile: &Profile) -> RunAttempt {
    RunAttempt {
        profile: profile.name.clone(),
        ..attempt()
    }
}

#[tokio::test]
async fn without_a_driver_or_a_card_the_work_is_refused_with_the_reason() {
    let mut host = Host::with([]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend).await;
    let (never, reason) = host.shut(|reason| reason.contains("no card")).await;
    assert!(never && reason.contains("needs 21.0 GiB"), "{reason}");
    worker.drained().await;

    let nowhere = host.dir.path().join("nowhere.so");
    host.stage.config.gpu.library = Some(nowhere);
    let (backend, _script) = scripted_for(vec![wan()]);
    let worker = host.start(backend).await;
    let (never, reason) = host.shut(|reason| reason.contains("driver")).await;
    assert!(never && reason.contains("needs 21.0 GiB"), "{reason}");
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_card_that_is_too_small_is_never_offered_the_job_and_says_both_figures() {
    let mut host = Host::with([Device::idle(CARD, 12)]).await;
    let small = mistral();
    let (backend, mut script) = scripted_for(vec![wan(), small.clone()]);
    let worker = host.start(backend).await;
    host.stage.dispatch(&on(&wan())).await;
    let reason = host
        .state(|state| state.waiting.len() == 1 && state.waiting[0].never)
        .await;
    let reason = &reason.waiting[0].reason;
    assert!(
        reason.contains("needs 21.5 GiB") && reason.contains("this card has 11.2 GiB"),
        "{reason}"
    );
    // The other profile fits, and what does not was not even taken.
    host.stage.dispatch(&on(&small)).await;
    let started = host.started().await;
    host.grant(&started).await;
    let call = script.call().await;
    assert_eq!(call.attempt.profile, small.name);
    call.finish(Ok(story()));
    host.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_card_that_is_larger_than_the_work_needs_gets_it_after_a_smaller_one() {
    for (gib, priority) in [(12, 5), (24, 3)] {
        let mut host = Host::with([Device::idle(CARD, gib)]).await;
        let (backend, mut script) = scripted_for(vec![mistral()]);
        let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
        host.open().await;
        let mut read = host.stage.broker.priority.subscribe();
        let read = read.wait_for(|read| *read == Some(priority));
        within(read, "the queue to be read with its priority")
            .await
            .unwrap();
        worker.drained().await;
        script.no_more_calls();
    }
}

#[tokio::test]
async fn a_job_that_fits_runs_under_its_promise_and_its_model_stays_on_the_books() {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    for _ in 0..2 {
        host.stage.dispatch(&on(&wan())).await;
        let started = host.started().await;
        assert_eq!(host.jobs_on_the_books(), 1, "promised before it is granted");
        host.grant(&started).await;
        let call = script.call().await;
        host.holds(COMFY.1, 21);
        call.finish(Ok(story()));
        host.succeeded().await;
        host.holds(COMFY.1, 18);
        host.books("the model to settle", |page| {
            page.entries.len() == 1 && matches!(page.entries[0].entry.state, State::Resident { .. })
        })
        .await;
    }
    let told = &host.page().backends[..];
    assert!(
        matches!(told, [BackendNote { pids, .. }] if *pids == [COMFY.1]),
        "{told:?}"
    );
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_server_that_serves_before_it_is_on_the_card_is_known_as_soon_as_it_is_there() {
    let server = std::process::id();
    let mut host = Host::with([Device::idle(CARD, 24).with(GAME, 18 << 30)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let backend = backend.serving(COMFY.0, server).with_loaded(&wan(), CARD);
    let worker = host.start(backend).await;
    let doubts = |card: &Told| card.trouble.as_ref().is_some_and(|it| it.contains(COMFY.0));
    let state = host
        .state(|state| state.devices.first().is_some_and(doubts))
        .await;
    assert_eq!(state.devices[0].holders, [], "they may be anybody's");
    // What is free does not change: nothing but the list tells it.
    let named = host.double.update(|cards| {
        let card = cards.device_mut(CARD).unwrap();
        card.processes[0].pid = server;
    });
    named.unwrap();
    let changed = Instant::now();
    let is_ours = |card: &Told| card.holders.iter().any(|it| it.pid == server && it.ours);
    let state = host
        .state(|state| state.devices.first().is_some_and(is_ours))
        .await;
    assert!(changed.elapsed() < Duration::from_secs(20), "{changed:?}");
    assert_eq!(state.devices[0].trouble, None);
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_server_that_has_ended_is_no_reason_to_doubt_who_holds_the_card() {
    let mut server = Command::new("true").spawn().unwrap();
    server.wait().unwrap();
    let mut host = Host::with([Device::idle(CARD, 24).with(GAME, 2 << 30)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let backend = backend
        .serving(COMFY.0, server.id())
        .with_loaded(&wan(), CARD);
    let worker = host.start(backend).await;
    let state = host.state(|state| !state.devices.is_empty()).await;
    let card = &state.devices[0];
    assert_eq!((card.trouble.as_ref(), card.holders.len()), (None, 1));
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn while_others_hold_the_card_nothing_is_taken_and_the_reason_names_them() {
    let mut host = Host::with([Device::idle(CARD, 24).with(GAME, 10 << 30)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.stage.dispatch(&on(&wan())).await;
    let (never, reason) = host.shut(|reason| reason.contains("free")).await;
    assert!(!never);
    let wanted = ["13.5 GiB free", "pid 300", "holds 10.0 GiB"];
    assert!(wanted.iter().all(|it| reason.contains(it)), "{reason}");
    host.nothing_for(Duration::from_millis(1500)).await;
    host.holds(GAME, 0);
    let started = host.started().await;
    host.grant(&started).await;
    script.call().await.finish(Ok(story()));
    host.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_worker_tells_of_its_card_and_names_the_program_that_holds_it() {
    // A process that there is, so that it has a name.
    let me = std::process::id();
    let mut host = Host::with([Device::idle(CARD, 24).with(me, 10 << 30)]).await;
    let (backend, _script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    let state = host.state(|state| !state.devices.is_empty()).await;
    let [card] = &state.devices[..] else {
        panic!("one card: {state:?}")
    };
    let gib = ByteSize::gib;
    assert_eq!((card.uuid.as_str(), card.total), (CARD, gib(24)));
    assert_eq!((card.used, card.promised), (gib(10), ByteSize::ZERO));
    assert_eq!(card.trouble, None);
    let [holder] = &card.holders[..] else {
        panic!("one holder: {card:?}")
    };
    let name = holder.program.clone().unwrap();
    assert_eq!((holder.pid, holder.ours, holder.used), (me, false, gib(10)));
    // 21 GiB and the margin, which is 768 MiB and more, less 13.5 GiB.
    let (_, reason) = host.shut(|reason| reason.contains("short")).await;
    assert!(reason.contains(": 8.4 GiB short"), "{reason}");
    let held = format!("{name} (pid {me}) holds 10.0 GiB");
    assert!(reason.contains(&held), "{reason}");

    // What we hold ourselves is told by the name of the backend.
    host.holds(me, 0);
    host.holds(COMFY.1, 18);
    let ours = |state: &WorkerState| {
        let card = state.devices.first();
        card.is_some_and(|card| card.holders.iter().any(|it| it.ours))
    };
    let state = host.state(ours).await;
    let name = state.devices[0].holders[0].program.as_deref();
    assert_eq!(name, Some(COMFY.0));
    worker.drained().await;
}

#[tokio::test]
async fn what_a_job_was_seen_to_take_is_what_the_next_one_is_promised_even_after_a_restart() {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (backend, mut script) = scripted_for(vec![mistral()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    host.stage.dispatch(&on(&mistral())).await;
    let started = host.started().await;
    host.grant(&started).await;
    let peak = |host: &Host| host.page().entries[0].entry.work.memory.peak;
    assert_eq!(peak(&host), ByteSize::gib(9));
    let call = script.call().await;
    host.holds(COMFY.1, 12);
    let seen = |state: &WorkerState| {
        let holders = state.devices.iter().flat_map(|card| &card.holders);
        holders.map(|it| it.used).max() == Some(ByteSize::gib(12))
    };
    host.state(seen).await;
    call.finish(Ok(story()));
    host.succeeded().await;
    host.holds(COMFY.1, 0);
    worker.drained().await;
    script.no_more_calls();

    let (backend, mut script) = scripted_for(vec![mistral()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    // What was in its journal is told again.
    host.succeeded().await;
    host.stage.dispatch(&on(&mistral())).await;
    let started = host.started().await;
    let job = |page: &Page| {
        let mut entries = page.entries.iter();
        let of_it = entries.find(|it| it.entry.work.job == started.run.job);
        of_it.map(|it| it.entry.work.memory.peak)
    };
    let peak = job(&host.page()).unwrap();
    assert!(peak >= ByteSize::gib(12), "{peak}");
    host.grant(&started).await;
    script.call().await.finish(Ok(story()));
    host.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_run_says_how_long_it_is_expected_to_take_still_once_such_runs_are_known() {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (backend, mut script) = scripted_for(vec![mistral()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    let begun = Instant::now();
    let mut told = Vec::new();
    for _ in 0..2 {
        host.stage.dispatch(&on(&mistral())).await;
        let started = host.started().await;
        host.grant(&started).await;
        let call = script.call().await;
        call.context.progress.tell("writing", 1, 2);
        told.push((host.next_progress().await.expected_ms, begun.elapsed()));
        // So long does such a run take.
        sleep(Duration::from_secs(4)).await;
        call.finish(Ok(story()));
        host.succeeded().await;
    }
    let [(None, _), (Some(still), most)] = told[..] else {
        panic!("{told:?}");
    };
    assert!((1..most.as_millis()).contains(&still.into()), "{told:?}");
    worker.drained().await;
}

#[tokio::test]
async fn what_lost_a_race_is_handed_back_once_and_its_queue_rests() {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    // Between the look that opened the queue and the delivery.
    host.holds(GAME, 10);
    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.grant(&started).await;
    match host.report().await {
        ToCoordinator::AttemptReleased(released) => {
            assert_eq!(
                (released.run, released.reason),
                (started.run, ReleaseReason::DidNotFit)
            );
        }
        other => panic!("{other:?}"),
    }
    // The coordinator queues it again; it stays there.
    host.stage.dispatch(&on(&wan())).await;
    host.nothing_for(Duration::from_secs(4)).await;
    let page = host.page();
    assert!(
        page.entries.is_empty() && page.tickets.is_empty(),
        "{page:?}"
    );
    host.holds(GAME, 0);
    let started = host.started().await;
    host.grant(&started).await;
    script.call().await.finish(Ok(story()));
    host.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn whatever_becomes_of_a_run_its_promise_does_not_stay() {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    let none = |page: &Page| !page.entries.iter().any(|it| it.is_active());

    host.open().await;
    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.deny(&started, DenyReason::Done).await;
    host.books("a denied run to be withdrawn", |page| {
        page.entries.is_empty()
    })
    .await;

    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.grant(&started).await;
    let failure = Failure::new(FailureKind::OutOfMemory, "out of memory");
    script.call().await.finish(Err(failure));
    host.failed().await;
    host.books("a failed run to settle", none).await;

    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.grant(&started).await;
    script.call().await.panic("by the test");
    host.failed().await;
    host.books("a run that panicked to settle", none).await;

    // Its backend does not stop: it is dropped, and then has nothing to do.
    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.grant(&started).await;
    let call = script.call().await;
    assert_eq!(host.jobs_on_the_books(), 1);
    host.cancel(&started).await;
    call.dropped().await;
    host.failed().await;
    host.books("a cancelled run to settle", none).await;

    // The worker is told to stop while it asks.
    host.stage.dispatch(&on(&wan())).await;
    host.started().await;
    worker.drained().await;
    host.books("an unanswered run to be withdrawn", none).await;
    script.no_more_calls();
}

#[tokio::test]
async fn an_idle_model_of_another_worker_leaves_for_a_job_and_the_job_begins_when_its_memory_is_read_as_free()
 {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (writer, mut writes) = host.writer_with_its_model_loaded().await;
    host.next_worker_is("camera");
    let (comfy, mut renders) = scripted_for(vec![wan()]);
    let camera = host.start(comfy.serving(COMFY.0, COMFY.1)).await;
    host.stage.dispatch(&on(&wan())).await;
    assert_eq!(writes.unload().await, Some(mistral().name));
    // Asked is not gone.
    host.nothing_for(Duration::from_secs(1)).await;
    renders.no_more_calls();
    host.holds(OLLAMA.1, 0);
    let started = host.started().await;
    assert_eq!(started.worker.worker.as_str(), "camera");
    host.grant(&started).await;
    renders.call().await.finish(Ok(story()));
    host.succeeded().await;
    assert!(host.page().asked.is_empty());
    camera.drained().await;
    writer.drained().await;
    writes.no_more_calls();
}

#[test]
fn a_driver_that_hangs_when_it_is_opened_holds_up_neither_other_work_nor_the_end_of_the_program() {
    let began = Instant::now();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    runtime.block_on(async {
        let mut host = Host::with([Device::idle(CARD, 24)]).await;
        let hang = Answer::after(Duration::from_secs(30));
        host.double
            .update(|cards| cards.answers.insert("nvmlInit_v2".to_owned(), hang))
            .unwrap();
        let drawn = profile(JobKind::Story, "drawn");
        let (backend, mut script) = scripted_for(vec![wan(), drawn.clone()]);
        let worker = host.start(backend).await;
        host.stage.dispatch(&on(&drawn)).await;
        let started = host.started().await;
        host.grant(&started).await;
        script.call().await.finish(Ok(story()));
        host.succeeded().await;
        let (never, _) = host.shut(|reason| reason.contains("looked at")).await;
        assert!(!never);
        worker.drained().await;
        script.no_more_calls();
    });
    // As at the end of a program: whatever still blocks in the runtime is waited for.
    drop(runtime);
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_card_that_is_lost_shuts_the_queue_and_voids_what_was_promised() {
    let mut host = Host::with([Device::idle(CARD, 24)]).await;
    let (backend, mut script) = scripted_for(vec![wan()]);
    let worker = host.start(backend.serving(COMFY.0, COMFY.1)).await;
    host.open().await;
    host.stage.dispatch(&on(&wan())).await;
    let started = host.started().await;
    host.grant(&started).await;
    let call = script.call().await;
    let lost = |cards: &mut Cards, code| {
        cards.device_mut(CARD).unwrap().always = Answer::failure(code);
    };
    host.double
        .update(|cards| lost(cards, code::GPU_IS_LOST))
        .unwrap();
    host.books("the promise to be void", |page| page.entries.is_empty())
        .await;
    let failure = Failure::new(FailureKind::Transient, "the card is gone");
    call.finish(Err(failure));
    host.failed().await;
    let (never, _) = host.shut(|reason| reason.contains("bus")).await;
    assert!(!never);
    worker.drained().await;
    script.no_more_calls();
}
