//! Work without a card that takes much of its host: held back by host memory and processors, whose readings the test tells. In
//! real time, since the ledger goes by the clock of the machine.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::byte_size::ByteSize;
use shared::ids::{Attempt, BootId, JobId, Take};
use shared::job::JobKind;
use shared::profile::{DeviceMemory, Profile};
use shared::protocol::{AttemptStarted, RunAttempt, WorkerState};
use worker_runtime::gpu::ledger::{
    Aging, BackendId, BackendKind, BootTime, Class, Held, Ledger, Owner, Precedence, State, Work,
};
use worker_runtime::gpu::probe::host::HostSource;
use worker_runtime::gpu::reading::{DeviceUuid, HostReading};

use super::support::backend::{Call, Script, profile, scripted_for};
use super::support::{Stage, attempt, story};

/// A host of 16 GiB and 8 processors, as the test tells.
#[derive(Debug)]
struct Told(Mutex<Option<HostReading>>);

impl HostSource for Told {
    fn read(&self) -> Option<HostReading> {
        self.0.lock().unwrap().clone()
    }
}

impl Told {
    fn has(&self, available_gib: u64, idle: f64) {
        *self.0.lock().unwrap() = Some(HostReading {
            ram_total: ByteSize::gib(16),
            ram_available: ByteSize::gib(available_gib),
            cores: 8,
            cpu_idle: Some(idle),
            age: Duration::ZERO,
        });
    }
}

struct House {
    stage: Stage,
    host: Arc<Told>,
    ledger: PathBuf,
}

async fn house() -> House {
    let mut stage = Stage::new().await;
    let host = Arc::new(Told(Mutex::new(None)));
    let ledger = stage.data_dir("ledger");
    stage.config.state_interval = Duration::from_millis(50);
    stage.config.gpu.ledger = Some(ledger.clone());
    stage.host = Some(host.clone());
    House {
        stage,
        host,
        ledger,
    }
}

impl House {
    /// A render goes on, on a card of this host, for as long as the answer lives.
    fn render(&self) -> (Ledger, Held) {
        let owner = Owner {
            worker: "camera".parse().unwrap(),
            boot: BootId::from_u128(7),
        };
        let card = DeviceUuid("GPU-1".to_owned());
        let ledger = Ledger::open(&self.ledger, Some(&card), owner).unwrap();
        let now = BootTime::now();
        let work = Work {
            job: JobId::generate(),
            take: Take::FIRST,
            attempt: Attempt::FIRST,
            backend: BackendId("comfyui@127.0.0.1:8188".to_owned()),
            kind: BackendKind::Replacing,
            profile: "wan".parse().unwrap(),
            class: Class::Video,
            precedence: Precedence::of(Class::Video, now, Aging::default()),
            memory: DeviceMemory {
                load: ByteSize::gib(18),
                peak: ByteSize::gib(21),
                spike: ByteSize::gib(23),
            },
            ram: ByteSize::ZERO,
            pinned: false,
            reload: Duration::from_secs(45),
            limit: Duration::from_secs(600),
        };
        let held = ledger
            .decide(|locked| locked.book(work, State::Job, now))
            .unwrap();
        (ledger, held)
    }

    /// Waits until the worker says why it does not take its profile.
    async fn shut(&mut self, says: &str) -> String {
        let reason = |state: &WorkerState| state.waiting.first().map(|it| it.reason.clone());
        let said = |state: &WorkerState| reason(state).is_some_and(|it| it.contains(says));
        reason(&self.stage.state(said).await).unwrap()
    }

    /// The next attempt is taken and begins.
    async fn begins(&mut self, script: &mut Script) -> (AttemptStarted, Call) {
        let started = self.stage.started().await;
        self.stage.grant(&started).await;
        (started, script.call().await)
    }

    async fn nothing_begins(&mut self, script: &mut Script) {
        self.stage.nothing_for(Duration::from_millis(1_500)).await;
        script.no_more_calls();
    }
}

/// A language model of 6 GiB on all processors.
fn model() -> Profile {
    let mut model = profile(JobKind::Story, "mistral-cpu");
    model.needs.ram = ByteSize::gib(6);
    model.needs.threads = 8;
    model
}

fn story_on_it() -> RunAttempt {
    RunAttempt {
        profile: model().name,
        ..attempt()
    }
}

#[tokio::test]
async fn a_language_model_on_the_processors_waits_while_host_memory_is_short_and_says_so() {
    let mut house = house().await;
    house.host.has(5, 1.0);
    let (backend, mut script) = scripted_for(vec![model()]);
    let worker = house.stage.start(backend).await;
    house.stage.dispatch(&story_on_it()).await;
    let reason = house.shut("host memory").await;
    assert_eq!(reason, "needs 7.0 GiB of host memory, 5.0 GiB available");
    house.nothing_begins(&mut script).await;
    house.host.has(12, 1.0);
    let (_, call) = house.begins(&mut script).await;
    assert_eq!(call.context.threads, None, "no video job runs");
    // What it was promised is not promised again, to a render as little as to another story.
    let page = house
        .render()
        .0
        .decide(|locked| locked.page(BootTime::now()));
    let elsewhere = page.unwrap().elsewhere;
    assert_eq!(elsewhere[0].entry.work.ram, ByteSize::gib(6));
    call.finish(Ok(story()));
    house.stage.succeeded().await;

    // Its model holds that memory now, and does not wait for itself.
    house.host.has(6, 1.0);
    house.stage.dispatch(&story_on_it()).await;
    let (_, call) = house.begins(&mut script).await;
    call.finish(Ok(story()));
    house.stage.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn beside_a_render_it_waits_for_idle_processors_and_is_then_limited_in_threads() {
    let mut house = house().await;
    house.host.has(12, 0.2);
    let render = house.render();
    let (backend, mut script) = scripted_for(vec![model()]);
    let worker = house.stage.start(backend).await;
    house.stage.dispatch(&story_on_it()).await;
    let reason = house.shut("processors").await;
    assert_eq!(
        reason,
        "20 % of the processors idle, 40 % wanted beside a running video job"
    );
    house.nothing_begins(&mut script).await;
    house.host.has(12, 0.6);
    let (_, call) = house.begins(&mut script).await;
    assert_eq!(call.context.threads, Some(6));
    let told = house.stage.next_progress().await.phase;
    assert_eq!(told, "begins (on 6 threads at most, beside a video job)");
    call.finish(Ok(story()));
    house.stage.succeeded().await;

    // With the render over there is no limit, however busy the processors are.
    let (ledger, held) = render;
    ledger
        .decide(|locked| locked.void(BootTime::now()))
        .unwrap();
    drop(held);
    house.host.has(12, 0.1);
    house.stage.dispatch(&story_on_it()).await;
    let (_, call) = house.begins(&mut script).await;
    assert_eq!(call.context.threads, None);
    call.finish(Ok(story()));
    house.stage.succeeded().await;
    worker.drained().await;
    script.no_more_calls();
}

#[tokio::test]
async fn a_host_that_cannot_be_read_or_is_too_small_gets_no_such_work_and_small_work_is_not_asked_about()
 {
    let mut house = house().await;
    let mut small = profile(JobKind::Story, "drawn");
    small.needs.ram = ByteSize::mib(512);
    let (backend, mut script) = scripted_for(vec![model(), small.clone()]);
    let worker = house.stage.start(backend).await;
    house.shut("host's memory cannot be read").await;
    house
        .stage
        .dispatch(&RunAttempt {
            profile: small.name,
            ..attempt()
        })
        .await;
    let (_, call) = house.begins(&mut script).await;
    call.finish(Ok(story()));
    house.stage.succeeded().await;
    *house.host.0.lock().unwrap() = Some(HostReading {
        ram_total: ByteSize::gib(6),
        ram_available: ByteSize::gib(6),
        cores: 8,
        cpu_idle: Some(1.0),
        age: Duration::ZERO,
    });
    let state = house
        .stage
        .state(|state| state.waiting.first().is_some_and(|it| it.never))
        .await;
    assert_eq!(
        state.waiting[0].reason,
        "needs 7.0 GiB of host memory, and this host has 6.0 GiB"
    );
    worker.drained().await;
    script.no_more_calls();
}
