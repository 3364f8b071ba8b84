//! A worker as a program of its own, over RabbitMQ: arguments, settings, connection, exit codes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shared::artifacts::{ArtifactError, ArtifactStore};
use shared::broker::SharedBroker;
use shared::broker::amqp::AmqpBroker;
use shared::program::{CommonArguments, Program};
use shared::settings::{
    ArtifactSettings, BrokerSettings, LogSettings, Settings, TelemetrySettings,
};
use shared::shutdown::shutdown_on_signals;
use shared::telemetry::{self, Service};

use crate::backend::Backend;
use crate::settings::WorkerConfig;

/// Longest wait for the artifact store's answer at the start.
const STORE_ANSWERS: Duration = Duration::from_secs(10);

/// Arguments that every worker has.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Folder of this worker's journal and of what it is working on
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// This worker's name, unique among all workers
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Jobs that are worked on at once
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
}

/// What a worker program runs with, once its settings are read.
#[derive(Debug)]
pub struct WorkerParts {
    /// Section `[broker]`.
    pub broker: BrokerSettings,
    /// Section `[artifacts]`.
    pub artifacts: ArtifactSettings,
    /// Section `[log]`.
    pub log: LogSettings,
    /// Section `[telemetry]`.
    pub telemetry: TelemetrySettings,
    /// Section `[worker]`.
    pub worker: WorkerConfig,
    /// Its backends, made from its other sections.
    pub backends: Vec<Arc<dyn Backend>>,
}

impl WorkerArguments {
    /// Reads the settings, makes the worker's parts of them and runs it until it is told to stop (Ctrl-C, SIGTERM).
    pub fn run<T: Settings>(
        self,
        program: Program,
        parts: impl FnOnce(T) -> WorkerParts,
    ) -> ExitCode {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        let flags = [
            ("worker.data_dir", self.data_dir.map(path)),
            ("worker.worker", self.name),
            ("worker.slots", self.slots.map(|slots| slots.to_string())),
        ];
        program.run(self.common, flags, |settings| {
            serve(program.name, parts(settings))
        })
    }
}

// One thread: a message goes from task to task without waking another processor. What computes for long has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn serve(name: &str, parts: WorkerParts) -> anyhow::Result<()> {
    let service = Service::new(name, parts.worker.worker.to_string(), &parts.telemetry);
    let _guard = telemetry::init(&parts.log)?.exporting(&service, &parts.telemetry)?;
    let stop = shutdown_on_signals();
    let artifacts = ArtifactStore::connect(&parts.artifacts)?;
    look_in(&artifacts).await?;
    let connection = format!("callsheet {name}");
    let broker = AmqpBroker::connect(parts.broker.url.expose(), &connection).await?;
    let broker: SharedBroker = Arc::new(broker);
    let config = WorkerConfig {
        metrics_listen: parts.telemetry.metrics_address(),
        metrics_token: parts.telemetry.metrics_token,
        program: name.to_owned(),
        ..parts.worker
    };
    let worker = crate::run(parts.backends, config, Arc::clone(&broker), artifacts, stop);
    let ended = worker.await;
    broker.close().await;
    Ok(ended?)
}

/// Looks whether the artifact store lets us in: a worker that it refuses, or that cannot trust it, would fail every job that it took. One that is away may
/// come back.
async fn look_in(artifacts: &ArtifactStore) -> Result<(), ArtifactError> {
    match tokio::time::timeout(STORE_ANSWERS, artifacts.check()).await {
        Ok(Err(error @ (ArtifactError::Refused { .. } | ArtifactError::Untrusted { .. }))) => {
            Err(error)
        }
        Ok(Err(error)) => {
            let error = shared::failure::chain(&error);
            tracing::warn!(error, "the artifact store cannot be used yet");
            Ok(())
        }
        Err(_) => {
            tracing::warn!("the artifact store does not answer yet");
            Ok(())
        }
        Ok(Ok(())) => Ok(()),
    }
}
