//! The stage: a broker, an artifact store, a worker, and the test in the part of the coordinator.
//!
//! Tokio's clock is paused: it jumps when nothing is left to do, so that a test takes no time and a word that never comes is
//! missed within a minute of virtual time.

pub(crate) mod backend;
pub(crate) mod broker;
pub(crate) mod log;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::artifact::MediaType;
use shared::artifacts::ArtifactStore;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{Broker, Delivery, Message, Queue, ReadOptions, SharedBroker, Subscription};
use shared::ids::{Attempt, FilmId, JobId, MessageId, RunId, StoreId, Take};
use shared::job::{JobKind, Outcome, Payload, Product, StoryPayload};
use shared::protocol::{
    AttemptDenied, AttemptFailed, AttemptGranted, AttemptProgress, AttemptStarted,
    AttemptSucceeded, CancelAttempt, DenyReason, Envelope, PauseWorker, RunAttempt, RunRef,
    ToCoordinator, ToWorker, WorkerRef, WorkerState,
};
use shared::story::Story;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use worker_runtime::WorkerError;
use worker_runtime::backend::Backend;
use worker_runtime::gpu::probe::host::{HostSource, ThisHost};
use worker_runtime::settings::{DeviceChoice, WorkerConfig};

use self::backend::PROFILE;
use self::broker::CuttableBroker;

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Long enough for a delivery to be acked: the ack of a short run may come at its end.
pub(crate) const A_WHILE: Duration = Duration::from_secs(1);
/// The lease that the coordinator of these tests grants.
pub(crate) const LEASE: Duration = Duration::from_mins(3);

/// Everything around the worker.
pub(crate) struct Stage {
    pub(crate) broker: Arc<CuttableBroker>,
    pub(crate) artifacts: ArtifactStore,
    pub(crate) config: WorkerConfig,
    /// Where the worker reads its host from, if not from this machine.
    pub(crate) host: Option<Arc<dyn HostSource>>,
    pub(crate) progress: Vec<AttemptProgress>,
    store: StoreId,
    reports: Box<dyn Subscription>,
    /// What was read while something else was waited for.
    unread: VecDeque<Envelope<ToCoordinator>>,
    dir: TempDir,
}

/// A worker that runs.
pub(crate) struct Running {
    task: JoinHandle<Result<(), WorkerError>>,
    pub(crate) shutdown: CancellationToken,
}

impl Running {
    /// Waits until the worker has ended by itself.
    pub(crate) async fn ended(self) -> Result<(), WorkerError> {
        within(self.task, "the end of the worker").await.unwrap()
    }

    /// Tells the worker to stop, and waits for it.
    pub(crate) async fn drained(self) {
        self.shutdown.cancel();
        self.ended().await.unwrap();
    }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let broker = Arc::new(CuttableBroker::new(Arc::new(EmbeddedBroker::new())));
        let artifacts = ArtifactStore::open_folder(&dir.path().join("artifacts")).unwrap();
        let mut config = WorkerConfig::new("studio-3".parse().unwrap(), dir.path().join("worker"));
        // Whatever this machine has.
        config.gpu.device = DeviceChoice::None;
        Self {
            reports: broker.read_quietly(&Queue::Reports).await,
            broker,
            artifacts,
            config,
            host: None,
            progress: Vec::new(),
            store: StoreId::generate(),
            unread: VecDeque::new(),
            dir,
        }
    }

    /// Starts a worker and waits until its inbox can be written to.
    pub(crate) async fn start(&mut self, backend: impl Backend) -> Running {
        let running = self.start_quietly(backend);
        self.state(|_| true).await;
        running
    }

    /// Starts a worker.
    pub(crate) fn start_quietly(&self, backend: impl Backend) -> Running {
        let shutdown = CancellationToken::new();
        let broker: SharedBroker = self.broker.clone();
        let host = self.host.clone();
        let task = tokio::spawn(worker_runtime::run_on(
            host.unwrap_or_else(|| Arc::new(ThisHost::default())),
            vec![Arc::new(backend)],
            self.config.clone(),
            broker,
            self.artifacts.clone(),
            shutdown.clone(),
        ));
        Running { task, shutdown }
    }

    /// Kills a worker. The next one finds what was on the disk at that moment.
    pub(crate) async fn kill(&mut self, running: Running) {
        running.task.abort();
        assert!(running.task.await.unwrap_err().is_cancelled());
        let next = self.data_dir(&format!("worker-{}", RunId::generate()));
        std::fs::create_dir_all(next.join("journal")).unwrap();
        let journal = |of: &PathBuf| of.join("journal").join("runs.jsonl");
        std::fs::copy(journal(&self.config.data_dir), journal(&next)).unwrap();
        self.config.data_dir = next;
    }

    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Publishes an attempt in the queue of its profile.
    pub(crate) async fn dispatch(&self, attempt: &RunAttempt) {
        let queue = Queue::Jobs(attempt.payload.kind(), attempt.profile.clone());
        self.publish(queue, ToWorker::RunAttempt(Box::new(attempt.clone())))
            .await;
    }

    /// Says something to a worker.
    pub(crate) async fn say(&self, to: &WorkerRef, message: ToWorker) {
        self.publish(Queue::Inbox(to.clone()), message).await;
    }

    /// Publishes bytes as they are.
    pub(crate) async fn publish_bytes(&self, queue: Queue, bytes: &'static [u8]) {
        let message = Message::durable(MessageId::generate(), bytes);
        self.broker
            .inner
            .publish(&queue.into(), message)
            .await
            .unwrap();
    }

    async fn publish(&self, queue: Queue, message: ToWorker) {
        let envelope = Envelope::new(Some(self.store), message);
        let message = Message::durable(envelope.message_id, envelope.to_json());
        self.broker
            .inner
            .publish(&queue.into(), message)
            .await
            .unwrap();
    }

    pub(crate) async fn grant(&self, started: &AttemptStarted) {
        let granted = AttemptGranted {
            run: started.run,
            lease: LEASE,
        };
        self.say(&started.worker, ToWorker::AttemptGranted(granted))
            .await;
    }

    pub(crate) async fn deny(&self, started: &AttemptStarted, reason: DenyReason) {
        let denied = AttemptDenied {
            run: started.run,
            reason,
        };
        self.say(&started.worker, ToWorker::AttemptDenied(denied))
            .await;
    }

    pub(crate) async fn cancel(&self, started: &AttemptStarted) {
        let cancel = CancelAttempt {
            run: started.run,
            reason: DenyReason::Cancelled,
        };
        self.say(&started.worker, ToWorker::CancelAttempt(cancel))
            .await;
    }

    pub(crate) async fn pause(&self, worker: &WorkerRef, paused: bool) {
        self.say(worker, ToWorker::PauseWorker(PauseWorker { paused }))
            .await;
    }

    /// The next question for a grant, and nothing else before it but states and progress.
    pub(crate) async fn started(&mut self) -> AttemptStarted {
        match self.report().await {
            ToCoordinator::AttemptStarted(started) => started,
            other => panic!("a question for a grant was expected: {other:?}"),
        }
    }

    /// The report of a success, and nothing else before it but states and progress.
    pub(crate) async fn succeeded(&mut self) -> AttemptSucceeded {
        match self.report().await {
            ToCoordinator::AttemptSucceeded(success) => *success,
            other => panic!("a success was expected: {other:?}"),
        }
    }

    /// The report of a failure, and nothing else before it but states and progress.
    pub(crate) async fn failed(&mut self) -> AttemptFailed {
        match self.report().await {
            ToCoordinator::AttemptFailed(failed) => failed,
            other => panic!("a failure was expected: {other:?}"),
        }
    }

    /// The next report that is neither a state nor progress.
    pub(crate) async fn report(&mut self) -> ToCoordinator {
        self.envelope().await.message
    }

    /// The same with its envelope.
    pub(crate) async fn envelope(&mut self) -> Envelope<ToCoordinator> {
        let wait = async {
            loop {
                let envelope = match self.unread.pop_front() {
                    Some(envelope) => envelope,
                    None => read(self.reports.as_mut()).await,
                };
                match envelope.message {
                    ToCoordinator::WorkerState(_) => {}
                    ToCoordinator::AttemptProgress(progress) => self.progress.push(progress),
                    _ => return envelope,
                }
            }
        };
        within(wait, "a report").await
    }

    /// The next state of which that is true. Other reports are kept for later.
    pub(crate) async fn state(&mut self, is_it: impl Fn(&WorkerState) -> bool) -> WorkerState {
        let mut last = None;
        let wait = async {
            loop {
                let envelope = read(self.reports.as_mut()).await;
                match envelope.message {
                    ToCoordinator::WorkerState(state) if is_it(&state) => return *state,
                    ToCoordinator::WorkerState(state) => last = Some(state),
                    _ => self.unread.push_back(envelope),
                }
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(state) => state,
            Err(_) => panic!("the worker never said so; its last state was {last:?}"),
        }
    }

    /// Waits until a progress has come, and returns it. Other reports are kept for later.
    pub(crate) async fn next_progress(&mut self) -> AttemptProgress {
        let wait = async {
            loop {
                let envelope = read(self.reports.as_mut()).await;
                match envelope.message {
                    ToCoordinator::WorkerState(_) => {}
                    ToCoordinator::AttemptProgress(progress) => return progress,
                    _ => self.unread.push_back(envelope),
                }
            }
        };
        within(wait, "progress").await
    }

    /// Checks that, for that long, nothing was said but states and progress.
    pub(crate) async fn nothing_for(&mut self, span: Duration) {
        if let Ok(report) = timeout(span, self.report()).await {
            panic!("nothing was expected: {report:?}");
        }
    }

    /// The messages that wait in that queue.
    pub(crate) async fn waiting(&self, queue: &Queue) -> Vec<Delivery> {
        let mut subscription = self.broker.read_quietly(queue).await;
        std::iter::from_fn(|| subscription.ready()).collect()
    }
}

/// Waits for that, for a minute of virtual time at most.
pub(crate) async fn within<T>(future: impl Future<Output = T>, what: &str) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

async fn read(reports: &mut dyn Subscription) -> Envelope<ToCoordinator> {
    let delivery = reports.next().await.unwrap();
    let envelope = Envelope::from_json(&delivery.message.body).unwrap();
    assert!(delivery.ack().await);
    envelope
}

/// How these tests read a queue.
pub(crate) const READ: ReadOptions = ReadOptions {
    prefetch: 1000,
    priority: -1,
};

/// The queue of attempts on [`PROFILE`].
pub(crate) fn jobs() -> Queue {
    Queue::Jobs(JobKind::Story, PROFILE.parse().unwrap())
}

/// The first attempt at a new job on [`PROFILE`].
pub(crate) fn attempt() -> RunAttempt {
    RunAttempt {
        film: FilmId::generate(),
        job: JobId::generate(),
        attempt: Attempt::FIRST,
        take: Take::FIRST,
        profile: PROFILE.parse().unwrap(),
        time_limit: Duration::from_mins(10),
        earlier: Vec::new(),
        payload: Payload::Story(StoryPayload {
            premise: Some("A lighthouse keeper befriends a storm".to_owned()),
            script: None,
            title: None,
            scenes: 3,
            seconds: 4.0,
            seed: 1,
        }),
    }
}

/// The next attempt at the same job and take.
pub(crate) fn next_attempt(attempt: &RunAttempt) -> RunAttempt {
    RunAttempt {
        attempt: attempt.attempt.next(),
        ..attempt.clone()
    }
}

/// A story as a result.
pub(crate) fn story() -> Outcome {
    Product::Story {
        story: Story {
            title: "The Keeper".to_owned(),
            logline: "A storm finds a friend.".to_owned(),
            look: "ink".to_owned(),
            characters: Vec::new(),
            scenes: Vec::new(),
        },
    }
    .into()
}

/// An image as a result, stored.
pub(crate) async fn image(artifacts: &ArtifactStore) -> Outcome {
    let image = artifacts
        .put_bytes("an image".into(), MediaType::Png)
        .await
        .unwrap();
    Product::Keyframe { image }.into()
}

/// Which attempt a run is about.
pub(crate) fn is_of(run: RunRef, attempt: &RunAttempt) -> bool {
    (run.job, run.attempt) == (attempt.job, attempt.attempt)
}
