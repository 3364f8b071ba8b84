//! Queues of work for a card, with a worker around them and the embedded broker below: which of them are read, and with which
//! priority. The card and the hints are told by the test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared::artifacts::ArtifactStore;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{
    Address, Broker, Link, Message, PublishError, Queue, ReadOptions, SubscribeError, Subscription,
};
use shared::failure::Failure;
use shared::ids::BootId;
use shared::job::{JobKind, Outcome};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::{Backlog, Resident, RunAttempt, WorkerRef};
use shared::time::Timestamp;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::card::tests::{WAN, booked, me, other, page, resident};
use super::*;
use crate::admission::Admission;
use crate::backend::{AttemptContext, Backend, NotReady};
use crate::gpu::ledger::State;
use crate::gpu::probe::host::ThisHost;
use crate::journal::Journal;
use crate::metrics::Metrics;
use crate::offers::offers;
use crate::report::Reporter;
use crate::runs::Runs;
use crate::settings::WorkerConfig;
use crate::slots::Slots;

/// How long anything is waited for, by the paused clock.
const PATIENCE: Duration = Duration::from_mins(1);

/// The open subscriptions of queues of attempts: profile and priority, in the order of their names.
type Readers = Vec<(String, i32)>;

/// The embedded broker, which says who reads.
#[derive(Debug)]
struct Watched {
    inner: EmbeddedBroker,
    readers: Arc<watch::Sender<Readers>>,
}

#[async_trait]
impl Broker for Watched {
    async fn publish(&self, to: &Address, message: Message) -> Result<(), PublishError> {
        self.inner.publish(to, message).await
    }

    async fn make(&self, queue: &Queue) -> Result<(), SubscribeError> {
        self.inner.make(queue).await
    }

    async fn subscribe(
        &self,
        queue: &Queue,
        options: ReadOptions,
    ) -> Result<Box<dyn Subscription>, SubscribeError> {
        let inner = self.inner.subscribe(queue, options).await?;
        let Queue::Jobs(_, profile) = queue else {
            return Ok(inner);
        };
        let reader = (profile.to_string(), options.priority);
        self.readers.send_modify(|readers| {
            readers.push(reader.clone());
            readers.sort();
        });
        Ok(Box::new(Reading {
            inner: Some(inner),
            reader,
            readers: Arc::clone(&self.readers),
        }))
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.inner.link()
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[derive(Debug)]
struct Reading {
    inner: Option<Box<dyn Subscription>>,
    reader: (String, i32),
    readers: Arc<watch::Sender<Readers>>,
}

#[async_trait]
impl Subscription for Reading {
    async fn next(&mut self) -> Option<shared::broker::Delivery> {
        self.inner.as_mut()?.next().await
    }

    fn ready(&mut self) -> Option<shared::broker::Delivery> {
        self.inner.as_mut()?.ready()
    }

    async fn cancel(mut self: Box<Self>) -> Vec<shared::broker::Delivery> {
        match self.inner.take() {
            Some(inner) => inner.cancel().await,
            None => Vec::new(),
        }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.readers.send_modify(|readers| {
            let place = readers.iter().position(|reader| *reader == self.reader);
            readers.remove(place.unwrap());
        });
    }
}

/// A backend that never runs anything, and has loaded what the test says.
#[derive(Debug)]
struct Loaded {
    profiles: Vec<Profile>,
    loaded: Arc<Mutex<Option<&'static str>>>,
}

#[async_trait]
impl Backend for Loaded {
    fn name(&self) -> &'static str {
        "loaded"
    }

    fn profiles(&self) -> Vec<Profile> {
        self.profiles.clone()
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    async fn run(&self, _: &RunAttempt, _: &AttemptContext) -> Result<Outcome, Failure> {
        std::future::pending().await
    }

    fn residents(&self) -> Vec<Resident> {
        let loaded = *self.loaded.lock().unwrap();
        let resident = |profile: &str| Resident {
            profile: profile.parse().unwrap(),
            backend: "loaded".to_owned(),
            device: "GPU-1".to_owned(),
            size: None,
        };
        loaded.map(resident).into_iter().collect()
    }
}

struct Stage {
    worker: Arc<Worker>,
    readers: watch::Receiver<Readers>,
    loaded: Arc<Mutex<Option<&'static str>>>,
    _tap: AbortOnDropHandle<()>,
    _dir: TempDir,
}

impl Stage {
    /// A worker for scenes on `wan` and `ltx`, which need the card, and keyframes on `drawn`, which need none.
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let readers = Arc::new(watch::Sender::new(Readers::new()));
        let reading = readers.subscribe();
        let broker = Arc::new(Watched {
            inner: EmbeddedBroker::new(),
            readers,
        });
        let profile = |name: &str, kind, device| Profile {
            name: name.parse().unwrap(),
            kind,
            backend: "loaded".to_owned(),
            needs: ResourceRequest {
                device,
                ..ResourceRequest::default()
            },
        };
        let loaded = Arc::new(Mutex::new(None));
        let backend = Loaded {
            profiles: vec![
                profile("wan", JobKind::Scene, Some(WAN)),
                profile("ltx", JobKind::Scene, Some(WAN)),
                profile("drawn", JobKind::Keyframe, None),
            ],
            loaded: Arc::clone(&loaded),
        };
        let backends: Vec<Arc<dyn Backend>> = vec![Arc::new(backend)];
        let offers = offers(&backends);
        let config = WorkerConfig::new(me(), dir.path());
        let journal = Journal::open(&dir.path().join("journal"), Timestamp::now())
            .await
            .unwrap()
            .journal;
        let ended = CancellationToken::new();
        let worker = Arc::new(Worker {
            me: WorkerRef {
                worker: me(),
                boot: BootId::generate(),
            },
            slots: Slots::new(1),
            runs: Arc::new(Runs::default()),
            conditions: watch::Sender::new(Conditions {
                paused: false,
                draining: false,
                inbox_open: true,
                not_ready: vec![None],
                blocked: vec![None; offers.len()],
                gate: vec![None; offers.len()],
                standing: vec![None; offers.len()],
                due: vec![false; offers.len()],
            }),
            host: Arc::new(ThisHost::default()),
            hints: watch::Sender::new(None),
            admission: Admission::new(),
            card: Mutex::default(),
            card_changed: Notify::new(),
            recheck: vec![Notify::new()],
            attempts: TaskTracker::new(),
            store: Mutex::new(None),
            shut_last: Mutex::new(vec![None; offers.len()]),
            metrics: Metrics::new(),
            ended: ended.clone(),
            config,
            artifacts: ArtifactStore::open_folder(&dir.path().join("artifacts")).unwrap(),
            backends,
            offers,
            reporter: Reporter::new(broker.clone(), journal.clone(), ended),
            journal,
            broker,
        });
        let tap = AbortOnDropHandle::new(tokio::spawn(serve(Arc::clone(&worker))));
        Self {
            worker,
            readers: reading,
            loaded,
            _tap: tap,
            _dir: dir,
        }
    }

    /// That profile's model came onto the card so long ago, with its first job, which still runs or has just ended.
    fn on_card(&self, profile: &str, is_own: bool, state: State, ago: u64) {
        let now = BootTime::now().since_start().as_secs();
        let worker = if is_own { me() } else { other() };
        let entry = booked(worker, profile, 1, state, now - ago, now);
        // Seen then for the first time: if nothing runs, nothing has since.
        let seen_at = BootTime::after(Duration::from_secs(now - ago));
        let mut card = self.worker.card();
        card.looked(&page(vec![entry]), &me(), seen_at);
    }

    /// The coordinator says that so many jobs wait for that profile, the oldest for so long.
    fn hint(&self, of: &[(&str, u32, u64)]) {
        let backlog = |(profile, queued, oldest): &(&str, u32, u64)| Backlog {
            kind: if *profile == "mistral" {
                JobKind::Story
            } else {
                JobKind::Scene
            },
            profile: profile.parse().unwrap(),
            queued: *queued,
            running: 0,
            oldest_wait: Duration::from_secs(*oldest),
            workers: 1,
        };
        let backlogs = of.iter().map(backlog).collect();
        let hints = Hints::new(backlogs, BootTime::now());
        self.worker.hints.send_replace(Some(hints));
    }

    /// Waits until just these are read.
    async fn reads(&mut self, expected: &[(&str, i32)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(profile, priority)| ((*profile).to_owned(), *priority))
            .collect();
        let waited = timeout(
            PATIENCE,
            self.readers.wait_for(|readers| *readers == expected),
        );
        if waited.await.is_err() {
            panic!("{expected:?} was expected: {:?}", *self.readers.borrow());
        }
    }

    /// Waits until it says why it stands back from `ltx`.
    async fn says(&self, why: &str) {
        let mut conditions = self.worker.conditions.subscribe();
        let says = |now: &Conditions| now.standing[1].as_ref().is_some_and(|it| it.contains(why));
        let waited = timeout(PATIENCE, conditions.wait_for(says)).await;
        assert!(waited.is_ok(), "{why}: {:?}", self.worker.conditions);
    }
}

#[tokio::test(start_paused = true)]
async fn the_queue_of_the_loaded_model_is_read_first_and_the_other_one_when_its_wait_has_paid() {
    let mut stage = Stage::new().await;
    *stage.loaded.lock().unwrap() = Some("wan");
    stage.on_card("wan", true, State::Job, 1000);
    stage.hint(&[("wan", 4, 60), ("ltx", 2, 10)]);
    stage.reads(&[("drawn", 0), ("wan", 10)]).await;
    stage.says("wan is loaded and has work").await;
    stage.hint(&[("wan", 4, 60), ("ltx", 2, 200)]);
    stage.reads(&[("drawn", 0), ("ltx", 0), ("wan", 10)]).await;
    assert_eq!(stage.worker.conditions.borrow().standing[1], None);
}

#[tokio::test(start_paused = true)]
async fn a_loaded_model_without_work_gives_way_at_once() {
    let mut stage = Stage::new().await;
    stage.hint(&[("wan", 1, 0), ("ltx", 1, 0)]);
    stage.on_card("wan", true, resident(), 60);
    stage.says("wan is loaded and has work").await;
    stage.hint(&[("ltx", 1, 0)]);
    stage.reads(&[("drawn", 0), ("ltx", 0), ("wan", 10)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_whose_model_has_come_or_gone_is_read_anew_with_its_other_priority() {
    let mut stage = Stage::new().await;
    stage.on_card("wan", true, resident(), 1000);
    stage.reads(&[("drawn", 0), ("ltx", 0), ("wan", 10)]).await;
    stage.on_card("mistral", false, State::Job, 1);
    *stage.loaded.lock().unwrap() = Some("ltx");
    stage.reads(&[("drawn", 0), ("ltx", 10)]).await;
}

#[tokio::test(start_paused = true)]
async fn a_job_of_another_worker_that_waits_for_the_card_closes_what_is_open() {
    let mut stage = Stage::new().await;
    *stage.loaded.lock().unwrap() = Some("wan");
    stage.reads(&[("drawn", 0), ("wan", 10)]).await;
    let until = BootTime::now().plus(Duration::from_secs(60));
    stage.on_card("mistral", false, State::Claim { until }, 1);
    stage.reads(&[("drawn", 0)]).await;
    stage.says("another worker's job waits for the card").await;
}

#[tokio::test(start_paused = true)]
async fn work_that_needs_no_card_is_read_whatever_is_on_the_card() {
    let mut stage = Stage::new().await;
    stage.reads(&[("drawn", 0)]).await;
    stage.on_card("mistral", false, State::Job, 1);
    stage.hint(&[("mistral", 9, 9), ("wan", 1, 5)]);
    stage.says("mistral is loaded and has work").await;
    stage.reads(&[("drawn", 0)]).await;
}
