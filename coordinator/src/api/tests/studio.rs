//! A coordinator at work in this process, and one worker that does what the test tells it to.

use std::time::Duration;

use axum::Router;
use futures::StreamExt;
use serde_json::json;
use shared::api::Happening;
use shared::artifact::{Artifact, MediaType};
use shared::artifacts::ArtifactStore;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{Delivery, Message, Queue, ReadOptions, SharedBroker, Subscription};
use shared::failure::{Failure, FailureKind};
use shared::film::FilmRequest;
use shared::ids::{BootId, FilmId, MessageId, ProfileName, RunId, StoreId};
use shared::job::{JobKind, Outcome, Payload, Product};
use shared::preview::Preview;
use shared::protocol::{
    AttemptFailed, AttemptProgress, AttemptStarted, AttemptSucceeded, Envelope, RunAttempt, RunRef,
    ToCoordinator, ToWorker, WorkerRef, WorkerState,
};
use shared::story::{Camera, Scene, Story};
use tempfile::TempDir;

use crate::access::AccessSettings;
use crate::api::{Options, router};
use crate::{CoordinatorSettings, Running, start};

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) struct Studio {
    pub(super) running: Running,
    pub(super) artifacts: ArtifactStore,
    pub(super) worker: WorkerRef,
    broker: SharedBroker,
    inbox: Box<dyn Subscription>,
    settings: CoordinatorSettings,
    folder: TempDir,
}

/// A run that was granted and goes on.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) run: RunRef,
    pub(super) order: RunAttempt,
    store: StoreId,
}

impl Studio {
    pub(super) async fn open() -> Self {
        Self::open_asking(AccessSettings::default()).await
    }

    /// One that asks for tokens.
    pub(super) async fn open_asking(access: AccessSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactStore::open_folder(&folder.path().join("artifacts")).unwrap();
        let settings = json!({
            "listen": "127.0.0.1:0",
            "data_dir": folder.path(),
            "lease_ms": 180_000,
            "takeover_ms": 45_000,
            "redispatch_ms": 600_000,
            "retry": {"max_failures": 1, "base_ms": 1, "cap_ms": 1},
            "time_limits": {"story_ms": 60_000, "keyframe_ms": 60_000, "scene_ms": 60_000, "assembly_ms": 60_000},
            "profiles": {"story": "outline", "keyframe": "p", "scene": "p", "assembly": "p"},
            "retention": {"film_days": 0, "file_hours": 24},
        });
        let settings: CoordinatorSettings = serde_json::from_value(settings).unwrap();
        let settings = settings.asking(access);
        let broker: SharedBroker = std::sync::Arc::new(EmbeddedBroker::new());
        let worker = WorkerRef {
            worker: "studio-3".parse().unwrap(),
            boot: BootId::generate(),
        };
        let inbox = broker
            .subscribe(&Queue::Inbox(worker.clone()), ReadOptions::default())
            .await
            .unwrap();
        let running = start(settings.clone(), broker.clone(), artifacts.clone())
            .await
            .unwrap();
        Self {
            running,
            artifacts,
            worker,
            broker,
            inbox,
            settings,
            folder,
        }
    }

    /// The API, as on a loopback address.
    pub(super) fn api(&self) -> Router {
        router(self.running.coordinator.clone(), self.options())
    }

    /// What that API is told.
    pub(super) fn options(&self) -> Options {
        Options::new(self.running.address, &self.settings)
    }

    /// Every file in the folder of artifacts, by its path in it.
    pub(super) fn files(&self) -> Vec<String> {
        let folder = self.folder.path().join("artifacts");
        let inner = |folder: std::fs::DirEntry| std::fs::read_dir(folder.path()).unwrap();
        let files = std::fs::read_dir(&folder).unwrap();
        let files = files.flat_map(|entry| inner(entry.unwrap()));
        let path = |file: std::io::Result<std::fs::DirEntry>| {
            let path = file.unwrap().path();
            path.strip_prefix(&folder).unwrap().display().to_string()
        };
        files.map(path).collect()
    }

    /// Where all of it lies.
    pub(super) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(super) async fn close_broker(&self) {
        self.broker.close().await;
    }

    /// Submits a film of one scene.
    pub(super) async fn submit(&self) -> FilmId {
        let request = FilmRequest::parse(
            br#"{"script": {"title": "Storm", "scenes": [{"action": "Waves."}]}, "seconds": 1, "seed": 7}"#,
        );
        self.running
            .coordinator
            .submit(request.unwrap(), None)
            .await
            .unwrap()
            .film
    }

    /// Takes the next attempt of that kind and waits until it may begin.
    pub(super) async fn begin(&mut self, kind: JobKind) -> Run {
        let profile = match kind {
            // As all films with a script.
            JobKind::Story => ProfileName::outline(),
            JobKind::Keyframe | JobKind::Scene | JobKind::Assembly => "p".parse().unwrap(),
        };
        let queue = Queue::Jobs(kind, profile);
        let mut attempts = self
            .broker
            .subscribe(&queue, ReadOptions::default())
            .await
            .unwrap();
        let delivery = patiently("an attempt", attempts.next()).await.unwrap();
        let envelope = Envelope::<ToWorker>::from_json(&delivery.message.body).unwrap();
        let (ToWorker::RunAttempt(order), Some(store)) = (envelope.message, envelope.store) else {
            panic!("a job queue carries attempts of a store");
        };
        let run = RunRef {
            job: order.job,
            attempt: order.attempt,
            run: RunId::generate(),
        };
        let run = Run {
            run,
            order: *order,
            store,
        };
        self.report(
            Some(store),
            ToCoordinator::AttemptStarted(AttemptStarted {
                run: run.run,
                worker: self.worker.clone(),
            }),
        )
        .await;
        let answer = self
            .hear(|word| {
                matches!(
                    word,
                    ToWorker::AttemptGranted(_) | ToWorker::AttemptDenied(_)
                )
            })
            .await;
        assert!(matches!(answer, ToWorker::AttemptGranted(granted) if granted.run == run.run));
        delivery.ack().await;
        run
    }

    /// The next word to the worker that is meant; others are passed over.
    pub(super) async fn hear(&mut self, is_meant: impl Fn(&ToWorker) -> bool) -> ToWorker {
        let inbox = &mut self.inbox;
        patiently("a word to the worker", async {
            loop {
                let delivery: Delivery = inbox.next().await.unwrap();
                let word = Envelope::<ToWorker>::from_json(&delivery.message.body)
                    .unwrap()
                    .message;
                delivery.ack().await;
                if is_meant(&word) {
                    return word;
                }
            }
        })
        .await
    }

    pub(super) async fn report(&self, store: Option<StoreId>, said: ToCoordinator) {
        let body = Envelope::new(store, said).to_json();
        let message = Message::durable(MessageId::generate(), body);
        self.broker
            .publish(&Queue::Reports.into(), message)
            .await
            .unwrap();
    }

    pub(super) async fn progress(&self, run: &Run, step: u32) {
        self.progress_showing(run, step, None).await;
    }

    pub(super) async fn progress_showing(&self, run: &Run, step: u32, preview: Option<Preview>) {
        let said = AttemptProgress {
            run: run.run,
            worker: self.worker.clone(),
            phase: "drawing".to_owned(),
            step,
            steps: 9,
            expected_ms: None,
            preview: preview.map(Box::new),
        };
        self.report(Some(run.store), ToCoordinator::AttemptProgress(said))
            .await;
    }

    pub(super) async fn fail(&self, run: &Run) {
        let failure = Failure::new(FailureKind::Permanent, "the pencil broke");
        let said = AttemptFailed {
            run: run.run,
            worker: self.worker.clone(),
            failure,
        };
        self.report(Some(run.store), ToCoordinator::AttemptFailed(said))
            .await;
    }

    /// Ends a run with a product: files have `content`.
    pub(super) async fn succeed(&self, run: &Run, content: &str) {
        let product = match &run.order.payload {
            Payload::Story(_) => Product::Story { story: story() },
            Payload::Keyframe(_) => Product::Keyframe {
                image: self.store(content, MediaType::Png).await,
            },
            Payload::Scene(scene) => Product::Scene {
                clip: self.store(content, MediaType::Mp4).await,
                frames: scene.frames,
            },
            Payload::Assembly(_) => Product::Assembly {
                film: self.store(content, MediaType::Mp4).await,
                seconds: 1.0,
            },
        };
        let said = AttemptSucceeded {
            run: run.run,
            worker: self.worker.clone(),
            outcome: Outcome::from(product),
            took: Duration::from_millis(5),
        };
        self.report(
            Some(run.store),
            ToCoordinator::AttemptSucceeded(Box::new(said)),
        )
        .await;
    }

    async fn store(&self, content: &str, media_type: MediaType) -> Artifact {
        self.artifacts
            .put_bytes(content.to_owned().into(), media_type)
            .await
            .unwrap()
    }

    /// Makes the next job of each of these kinds, one after the other; the file's content is the kind's name.
    pub(super) async fn make(&mut self, film: FilmId, kinds: &[JobKind]) {
        for kind in kinds {
            let run = self.begin(*kind).await;
            self.succeed(&run, kind.name()).await;
            self.wait_for(film, |what| {
                matches!(what, Happening::JobChanged { job } if job.id == run.run.job && job.status.is_final())
            })
            .await;
        }
    }

    /// Waits until that has happened to the film.
    pub(super) async fn wait_for(
        &self,
        film: FilmId,
        is_it: impl Fn(&Happening) -> bool,
    ) -> Happening {
        let mut events = self.running.coordinator.events(film, None).await.unwrap();
        let search = async {
            let mut seen = Vec::new();
            while let Some(numbered) = events.next().await {
                if is_it(&numbered.event.what) {
                    return numbered.event.what;
                }
                seen.push(numbered.event.what.name());
            }
            panic!("the film ended without it; there was {seen:?}");
        };
        patiently("something to happen to the film", search).await
    }

    /// The worker as it reports itself.
    pub(super) fn state(&self) -> WorkerState {
        WorkerState {
            worker: self.worker.clone(),
            host: "host".to_owned(),
            program_version: "1".to_owned(),
            slots: 1,
            profiles: Vec::new(),
            waiting: Vec::new(),
            running: Vec::new(),
            devices: Vec::new(),
            residents: Vec::new(),
            paused: false,
            draining: false,
        }
    }
}

fn story() -> Story {
    Story {
        title: "Storm".to_owned(),
        logline: "There are waves.".to_owned(),
        look: "Ink.".to_owned(),
        characters: Vec::new(),
        scenes: vec![Scene {
            number: 1,
            title: "Waves".to_owned(),
            action: "Waves.".to_owned(),
            beat: String::new(),
            image_prompt: "waves".to_owned(),
            motion_prompt: "still".to_owned(),
            negative_prompt: String::new(),
            camera: Camera::Static,
            seconds: 1.0,
            characters: Vec::new(),
        }],
    }
}

/// Waits, but not for ever.
pub(super) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// Asks again and again until the answer is there, but not for ever. What it waits for tells nobody.
pub(super) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let there = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    patiently(what, there).await
}
