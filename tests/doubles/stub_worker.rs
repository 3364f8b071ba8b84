//! A worker whose backend does nothing but count: the real worker-runtime around work that costs nothing.
//!
//! Each execution adds a line `JOB TAKE SEED MICROSECONDS` (the wall clock's) to the file of `--count` before it works, so
//! that stories can tell how often each job was really executed, whatever the coordinator believes, and benchmarks when.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use clap::Parser;
use shared::artifact::MediaType;
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::amqp::AmqpBroker;
use shared::failure::{Failure, FailureKind};
use shared::ids::{ProfileName, WorkerId};
use shared::job::{JobKind, Outcome, Payload, Product};
use shared::profile::{Profile, ResourceRequest};
use shared::protocol::RunAttempt;
use shared::shutdown::shutdown_on_signals;
use shared::story::{Camera, Scene, Story};
use worker_runtime::backend::{AttemptContext, Backend, NotReady};
use worker_runtime::settings::WorkerConfig;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    broker: String,
    #[arg(long)]
    artifacts: PathBuf,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    name: WorkerId,
    /// Kinds and profiles that it offers, as `story/outline`.
    #[arg(long, required = true, num_args = 1.., value_delimiter = ',')]
    offers: Vec<String>,
    #[arg(long, default_value_t = 1)]
    slots: u32,
    /// File to which each execution adds a line; nothing is counted without it.
    #[arg(long)]
    count: Option<PathBuf>,
    /// How long each execution takes.
    #[arg(long, default_value_t = 0)]
    work_ms: u64,
}

#[derive(Debug)]
struct Stub {
    profiles: Vec<Profile>,
    count: Option<PathBuf>,
    work: Duration,
}

#[async_trait]
impl Backend for Stub {
    fn name(&self) -> &'static str {
        "stub"
    }

    fn profiles(&self) -> Vec<Profile> {
        self.profiles.clone()
    }

    async fn prepare(&self) -> Result<(), NotReady> {
        Ok(())
    }

    async fn run(
        &self,
        attempt: &RunAttempt,
        context: &AttemptContext,
    ) -> Result<Outcome, Failure> {
        let transient =
            |error: &dyn std::error::Error| Failure::from_error(FailureKind::Transient, error);
        if let Some(path) = &self.count {
            // One short write to a file opened for appending: lines of several workers do not mix.
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let (job, take) = (attempt.job, attempt.take);
            let line = format!(
                "{job} {take} {} {}\n",
                seed(&attempt.payload),
                now.as_micros()
            );
            // A short write to a file that lies in memory: not worth a thread.
            std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .and_then(|mut file| file.write_all(line.as_bytes()))
                .map_err(|error| transient(&error))?;
        }
        if !self.work.is_zero() {
            tokio::time::sleep(self.work).await;
        }
        let store = |media| {
            context
                .artifacts
                .put_bytes(attempt.job.to_string().into(), media)
        };
        let product = match &attempt.payload {
            Payload::Story(given) => Product::Story {
                story: story(given.scenes),
            },
            Payload::Keyframe(_) => Product::Keyframe {
                image: store(MediaType::Png)
                    .await
                    .map_err(|error| transient(&error))?,
            },
            Payload::Scene(given) => Product::Scene {
                clip: store(MediaType::Mp4)
                    .await
                    .map_err(|error| transient(&error))?,
                frames: given.frames,
            },
            Payload::Assembly(_) => Product::Assembly {
                film: store(MediaType::Mp4)
                    .await
                    .map_err(|error| transient(&error))?,
                seconds: 1.0,
            },
        };
        Ok(product.into())
    }
}

fn seed(payload: &Payload) -> u64 {
    match payload {
        Payload::Story(given) => given.seed,
        Payload::Keyframe(given) => given.seed,
        Payload::Scene(given) => given.seed,
        Payload::Assembly(_) => 0,
    }
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

fn profile(offer: &str) -> anyhow::Result<Profile> {
    let (kind, name) = offer.split_once('/').unwrap_or((offer, "stub"));
    let kind: JobKind = kind.parse()?;
    let name: ProfileName = name.parse()?;
    Ok(Profile {
        name,
        kind,
        backend: "stub".to_owned(),
        needs: ResourceRequest::default(),
    })
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let log = shared::settings::LogSettings {
        format: Default::default(),
        filter: "info".to_owned(),
    };
    let _guard = shared::telemetry::init(&log)?;
    let stop = shutdown_on_signals();
    let config = serde_json::json!({
        "worker": arguments.name,
        "data_dir": arguments.data_dir,
        "slots": arguments.slots,
    });
    let config: WorkerConfig = serde_json::from_value(config)?;
    let artifacts = ArtifactStore::open(&arguments.artifacts.to_string_lossy())?;
    let broker: SharedBroker =
        Arc::new(AmqpBroker::connect(&arguments.broker, "callsheet stub-worker").await?);
    let profiles = arguments
        .offers
        .iter()
        .map(|offer| profile(offer))
        .collect::<anyhow::Result<_>>()?;
    let stub = Stub {
        profiles,
        count: arguments.count,
        work: Duration::from_millis(arguments.work_ms),
    };
    let ended = worker_runtime::run(
        vec![Arc::new(stub)],
        config,
        broker.clone(),
        artifacts,
        stop,
    )
    .await;
    broker.close().await;
    Ok(ended?)
}
