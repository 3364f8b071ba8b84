//! A coordinator over the embedded broker, and a worker that does what the test says.
#![expect(clippy::unwrap_used, reason = "a test fails by it")]

pub(crate) mod held;

use std::sync::Arc;
use std::time::Duration;

use coordinator::settings::Settings;
use coordinator::{CoordinatorSettings, Running};
use futures::StreamExt;
use shared::api::{FilmEvent, Happening};
use shared::artifacts::ArtifactStore;
use shared::broker::embedded::EmbeddedBroker;
use shared::broker::{Broker, Delivery, Message, Queue, ReadOptions, SharedBroker, Subscription};
use shared::film::FilmRequest;
use shared::ids::{BootId, FilmId, ProfileName, RunId, StoreId};
use shared::job::{JobKind, Payload, Product};
use shared::protocol::{
    AttemptStarted, AttemptSucceeded, Envelope, RunAttempt, RunRef, ToCoordinator, ToWorker,
    WorkerRef,
};
use shared::story::{Camera, Scene, Story};
use tempfile::TempDir;

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(10);

/// A coordinator's surroundings, which outlive it.
pub(crate) struct Studio {
    pub(crate) folder: TempDir,
    pub(crate) broker: Arc<EmbeddedBroker>,
    pub(crate) artifacts: ArtifactStore,
}

impl Studio {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let artifacts =
            ArtifactStore::open(folder.path().join("artifacts").to_str().unwrap()).unwrap();
        Self {
            folder,
            broker: Arc::new(EmbeddedBroker::new()),
            artifacts,
        }
    }

    pub(crate) fn settings(&self) -> CoordinatorSettings {
        let data_dir = self.folder.path().join("data").to_str().unwrap().to_owned();
        let overrides = [
            ("coordinator.listen", "127.0.0.1:0".to_owned()),
            ("coordinator.data_dir", data_dir),
            ("coordinator.retry.base_ms", "1".to_owned()),
        ];
        shared::settings::load::<Settings>(coordinator::DEFAULT_SETTINGS, None, [], overrides)
            .unwrap()
            .coordinator
    }

    pub(crate) async fn start(&self) -> Running {
        self.start_with(self.settings()).await
    }

    pub(crate) async fn start_with(&self, settings: CoordinatorSettings) -> Running {
        self.start_over(self.broker.clone(), settings).await
    }

    pub(crate) async fn start_over(
        &self,
        broker: SharedBroker,
        settings: CoordinatorSettings,
    ) -> Running {
        coordinator::start(settings, broker, self.artifacts.clone())
            .await
            .unwrap()
    }

    pub(crate) async fn worker(&self, name: &str) -> Worker {
        let me = WorkerRef {
            worker: name.parse().unwrap(),
            boot: BootId::generate(),
        };
        let inbox = self
            .broker
            .subscribe(&Queue::Inbox(me.clone()), ReadOptions::default())
            .await
            .unwrap();
        Worker {
            me,
            broker: self.broker.clone(),
            inbox,
            artifacts: self.artifacts.clone(),
        }
    }
}

/// A worker in the test's hand.
pub(crate) struct Worker {
    pub(crate) me: WorkerRef,
    broker: Arc<EmbeddedBroker>,
    inbox: Box<dyn Subscription>,
    artifacts: ArtifactStore,
}

/// An attempt that was taken, with its delivery unsettled.
pub(crate) struct Taken {
    pub(crate) store: Option<StoreId>,
    pub(crate) attempt: RunAttempt,
    pub(crate) delivery: Delivery,
    pub(crate) run: RunRef,
}

impl Worker {
    /// Takes the next attempt of that kind.
    pub(crate) async fn take(&self, kind: JobKind) -> Taken {
        let profile: ProfileName = match kind {
            JobKind::Story => "outline",
            JobKind::Keyframe => "storyboard",
            JobKind::Scene => "animatic",
            JobKind::Assembly => "ffmpeg",
        }
        .parse()
        .unwrap();
        let queue = Queue::Jobs(kind, profile);
        let mut reader = self
            .broker
            .subscribe(&queue, ReadOptions::default())
            .await
            .unwrap();
        let delivery = within(&format!("an attempt of {kind}"), reader.next())
            .await
            .unwrap();
        assert!(reader.cancel().await.is_empty());
        let envelope = Envelope::<ToWorker>::from_json(&delivery.message.body).unwrap();
        let ToWorker::RunAttempt(attempt) = envelope.message else {
            panic!("not an attempt: {envelope:?}")
        };
        let run = RunRef {
            job: attempt.job,
            attempt: attempt.attempt,
            run: RunId::generate(),
        };
        Taken {
            store: envelope.store,
            attempt: *attempt,
            delivery,
            run,
        }
    }

    /// The next word to this worker, but for hints.
    pub(crate) async fn hear(&mut self) -> ToWorker {
        loop {
            let delivery = within("a word to the worker", self.inbox.next())
                .await
                .unwrap();
            let message = Envelope::<ToWorker>::from_json(&delivery.message.body)
                .unwrap()
                .message;
            delivery.ack().await;
            if !matches!(message, ToWorker::BacklogHints(_)) {
                return message;
            }
        }
    }

    pub(crate) async fn say(&self, store: Option<StoreId>, message: ToCoordinator) {
        let envelope = Envelope::new(store, message);
        let message = Message::durable(envelope.message_id, envelope.to_json());
        self.broker
            .publish(&Queue::Reports.into(), message)
            .await
            .unwrap();
    }

    /// Asks whether it may begin, and hears the answer.
    pub(crate) async fn ask(&mut self, taken: &Taken) -> ToWorker {
        let started = AttemptStarted {
            run: taken.run,
            worker: self.me.clone(),
        };
        self.say(taken.store, ToCoordinator::AttemptStarted(started))
            .await;
        self.hear().await
    }

    /// Takes an attempt and is granted it.
    pub(crate) async fn begin(&mut self, kind: JobKind) -> Taken {
        let taken = self.take(kind).await;
        let answer = self.ask(&taken).await;
        assert!(matches!(answer, ToWorker::AttemptGranted(_)), "{answer:?}");
        taken
    }

    /// Reports what was asked for.
    pub(crate) async fn succeed(&self, taken: &Taken) {
        let product = self.make(&taken.attempt.payload).await;
        self.report(taken, product).await;
    }

    pub(crate) async fn report(&self, taken: &Taken, product: Product) {
        let said = AttemptSucceeded {
            run: taken.run,
            worker: self.me.clone(),
            outcome: product.into(),
            took: Duration::from_millis(7),
        };
        self.say(taken.store, ToCoordinator::AttemptSucceeded(Box::new(said)))
            .await;
    }

    /// One attempt, from its queue to its report.
    pub(crate) async fn work(&mut self, kind: JobKind) {
        let taken = self.begin(kind).await;
        self.succeed(&taken).await;
        assert!(taken.delivery.ack().await);
    }

    async fn make(&self, payload: &Payload) -> Product {
        let file = |text: String, media| self.artifacts.put_bytes(text.into(), media);
        match payload {
            Payload::Story(given) => Product::Story {
                story: story(given.scenes),
            },
            Payload::Keyframe(given) => {
                let text = format!("keyframe {} {}", given.scene.number, given.seed);
                Product::Keyframe {
                    image: file(text, shared::artifact::MediaType::Png).await.unwrap(),
                }
            }
            Payload::Scene(given) => {
                let text = format!("clip {} {}", given.scene.number, given.seed);
                let clip = file(text, shared::artifact::MediaType::Mp4).await.unwrap();
                Product::Scene {
                    clip,
                    frames: given.frames,
                }
            }
            Payload::Assembly(given) => {
                let text = format!("film of {:?}", given.clips);
                let film = file(text, shared::artifact::MediaType::Mp4).await.unwrap();
                Product::Assembly {
                    film,
                    seconds: 12.0,
                }
            }
        }
    }
}

pub(crate) fn story(scenes: u32) -> Story {
    let scene = |number| Scene {
        number,
        title: format!("Scene {number}"),
        action: "Waves.".to_owned(),
        beat: String::new(),
        image_prompt: "waves".to_owned(),
        motion_prompt: "they move".to_owned(),
        negative_prompt: String::new(),
        camera: Camera::Static,
        seconds: 4.0,
        characters: Vec::new(),
    };
    Story {
        title: "Storm".to_owned(),
        logline: "A storm.".to_owned(),
        look: "grey".to_owned(),
        characters: Vec::new(),
        scenes: (1..=scenes).map(scene).collect(),
    }
}

pub(crate) fn request(scenes: u32) -> FilmRequest {
    FilmRequest {
        premise: Some("A storm".to_owned()),
        scenes: Some(scenes),
        seed: Some(7),
        ..FilmRequest::default()
    }
}

/// Waits for something that must come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come"),
    }
}

/// Follows a film until `is_it`; returns all that happened.
pub(crate) async fn until(
    running: &Running,
    film: FilmId,
    is_it: impl Fn(&Happening) -> bool,
) -> Vec<FilmEvent> {
    let mut events = running.coordinator.events(film, None).await.unwrap();
    let mut seen = Vec::new();
    let find = async {
        while let Some(event) = events.next().await {
            let found = is_it(&event.event.what);
            seen.push(event.event);
            if found {
                return true;
            }
        }
        false
    };
    let found = tokio::time::timeout(PATIENCE, find).await;
    assert_eq!(
        found,
        Ok(true),
        "seen: {:?}",
        seen.iter()
            .map(|event| event.what.name())
            .collect::<Vec<_>>()
    );
    seen
}
