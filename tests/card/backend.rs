//! A backend whose work is done by a simulated server.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shared::artifact::MediaType;
use shared::byte_size::ByteSize;
use shared::failure::{Failure, FailureKind};
use shared::ids::{JobId, ProfileName};
use shared::job::{JobKind, Outcome, Payload, Product};
use shared::profile::{DeviceMemory, Profile, ResourceRequest};
use shared::protocol::RunAttempt;
use shared::story::{Camera, Scene, Story};
use shared::time::Timestamp;
use simulated_gpu::{Client, Job, Outcome as Ended, Process, Settings};
use tokio::task::spawn_blocking;
use worker_runtime::backend::{AttemptContext, Backend, BackendId, BackendSays, NotReady, OnCard};

/// How long a job runs once its model is loaded.
const TAKES: Duration = Duration::from_millis(200);
/// No job takes longer.
const LONG: Duration = Duration::from_secs(30);

/// A profile that needs that many GiB of the card; none of it if that is 0.
pub(crate) fn profile(kind: JobKind, name: &str, load: u64, peak: u64) -> Profile {
    let memory = DeviceMemory {
        load: ByteSize::gib(load),
        peak: ByteSize::gib(peak),
        spike: ByteSize::gib(peak + 2),
    };
    Profile {
        name: name.parse().unwrap(),
        kind,
        backend: "simulated".to_owned(),
        needs: ResourceRequest {
            device: (peak > 0).then_some(memory),
            ..ResourceRequest::default()
        },
    }
}

/// A backend that its worker may start anew.
#[derive(Debug)]
pub(crate) struct Own {
    process: Mutex<Process>,
    settings: Settings,
}

impl Own {
    pub(crate) fn start(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            process: Mutex::new(start(&settings)),
            settings,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.lock().unwrap().pid()
    }

    pub(crate) fn client(&self) -> Client {
        self.process.lock().unwrap().client()
    }

    fn restart(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        *process = start(&self.settings);
    }
}

/// Starts a backend.
pub(crate) fn start(settings: &Settings) -> Process {
    let mut program = Command::new(env!("CARGO_BIN_EXE_backend-double"));
    Process::start(&mut program, settings).unwrap()
}

#[derive(Debug)]
pub(crate) struct Served {
    id: BackendId,
    pids: Vec<u32>,
    client: Client,
    own: Option<Arc<Own>>,
    profiles: Vec<Profile>,
    takes: Duration,
    log: Log,
}

/// What backends have done on the card, in the order in which it ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Done>>>);

/// One job that was done on the card.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) job: JobId,
    pub(crate) kind: JobKind,
    /// When its backend was given it.
    pub(crate) called: Timestamp,
    /// When its run began, with its model loaded.
    pub(crate) began: Timestamp,
    pub(crate) ended: Timestamp,
}

impl Log {
    pub(crate) fn read(&self) -> Vec<Done> {
        self.0.lock().unwrap().clone()
    }
}

impl Served {
    pub(crate) fn new(name: &str, process: &Process, profiles: Vec<Profile>) -> Self {
        Self::at(name, process.client(), vec![process.pid()], profiles)
    }

    /// One that its worker may start anew.
    pub(crate) fn owning(name: &str, own: &Arc<Own>, profiles: Vec<Profile>) -> Self {
        Self {
            own: Some(Arc::clone(own)),
            ..Self::at(name, own.client(), Vec::new(), profiles)
        }
    }

    fn at(name: &str, client: Client, pids: Vec<u32>, profiles: Vec<Profile>) -> Self {
        Self {
            id: BackendId(format!("{name}@{}", client.address())),
            pids,
            client,
            own: None,
            profiles,
            takes: TAKES,
            log: Log::default(),
        }
    }

    /// The same, where nothing tells which process it is: as on Windows and in many containers.
    pub(crate) fn unseen(self) -> Self {
        Self {
            pids: Vec::new(),
            ..self
        }
    }

    /// The same, writing down there what it does.
    pub(crate) fn logging(self, log: &Log) -> Self {
        Self {
            log: log.clone(),
            ..self
        }
    }

    /// The same, with jobs that take so long.
    pub(crate) fn slowly(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Client) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let client = self.own.as_ref().map_or(self.client, |own| own.client());
        spawn_blocking(move || ask(client)).await.unwrap()
    }
}

#[async_trait]
impl Backend for Served {
    fn name(&self) -> &'static str {
        "simulated"
    }

    fn profiles(&self) -> Vec<Profile> {
        self.profiles.clone()
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    fn on_card(&self) -> OnCard {
        OnCard {
            id: Some(self.id.clone()),
            pids: match &self.own {
                Some(own) => vec![own.pid()],
                None => self.pids.clone(),
            },
            ..OnCard::default()
        }
    }

    async fn says(&self) -> BackendSays {
        match self.ask(|client| client.state()).await {
            Ok(state) if state.is_idle() => BackendSays::Idle,
            Ok(_) => BackendSays::Busy,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                BackendSays::Gone
            }
            Err(_) => BackendSays::Silent { quiet: false },
        }
    }

    async fn unload(&self, profile: Option<&ProfileName>) -> Result<(), String> {
        let model = profile.map(ToString::to_string);
        let asked = self
            .ask(move |client| client.unload(model.as_deref()))
            .await;
        asked.map(drop).map_err(|error| error.to_string())
    }

    async fn restart(&self) -> bool {
        let Some(own) = self.own.clone() else {
            return false;
        };
        spawn_blocking(move || own.restart()).await.unwrap();
        true
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let called = Timestamp::now();
        let transient = |error: std::io::Error| Failure::from_error(FailureKind::Transient, &error);
        let kind = attempt.payload.kind();
        let mut profiles = self.profiles.iter();
        let of_it = profiles.find(|it| it.kind == kind && it.name == attempt.profile);
        if let Some(memory) = of_it.and_then(|profile| profile.needs.device) {
            let id = format!("{} {}", attempt.job, attempt.take);
            let job = Job {
                id: id.clone(),
                model: attempt.profile.to_string(),
                load: memory.load,
                peak: memory.peak,
                takes: self.takes,
            };
            let run = self.ask(move |client| {
                client.run(job)?;
                client.wait_for(&id, LONG).map(|state| (state, id))
            });
            let (state, id) = run.await.map_err(transient)?;
            let how = state.ended(&id).map(|ended| ended.how);
            match how {
                Some(Ended::Done) => self.log.0.lock().unwrap().push(Done {
                    job: attempt.job,
                    kind,
                    called,
                    began: began(self.takes).max(called),
                    ended: Timestamp::now(),
                }),
                Some(Ended::OutOfMemory) => {
                    return Err(Failure::new(FailureKind::OutOfMemory, "out of memory"));
                }
                Some(Ended::Cancelled) | None => {
                    return Err(Failure::new(FailureKind::Transient, "it did not end"));
                }
            }
        }
        product(attempt, context)
            .await
            .map_err(|error| Failure::from_error(FailureKind::Transient, &error))
    }
}

/// When a run began that has just ended.
fn began(takes: Duration) -> Timestamp {
    let takes = i64::try_from(takes.as_millis()).unwrap();
    Timestamp::from_millis(Timestamp::now().as_millis() - takes)
}

async fn product(
    attempt: &RunAttempt,
    context: &AttemptContext,
) -> Result<Outcome, shared::artifacts::ArtifactError> {
    let store = |media| {
        let content = attempt.job.to_string().into();
        context.artifacts.put_bytes(content, media)
    };
    let product = match &attempt.payload {
        Payload::Story(given) => Product::Story {
            story: story(given.scenes),
        },
        Payload::Keyframe(_) => Product::Keyframe {
            image: store(MediaType::Png).await?,
        },
        Payload::Scene(given) => Product::Scene {
            clip: store(MediaType::Mp4).await?,
            frames: given.frames,
        },
        Payload::Assembly(_) => Product::Assembly {
            film: store(MediaType::Mp4).await?,
            seconds: 3.0,
        },
    };
    Ok(product.into())
}

fn story(scenes: u32) -> Story {
    let scene = |number| Scene {
        number,
        title: format!("Scene {number}"),
        action: "Waves.".to_owned(),
        beat: String::new(),
        image_prompt: "waves".to_owned(),
        motion_prompt: "they move".to_owned(),
        negative_prompt: String::new(),
        camera: Camera::Static,
        seconds: 1.0,
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
