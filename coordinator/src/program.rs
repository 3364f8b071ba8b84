//! The coordinator as a program of its own. `callsheet` becomes it, too, when it is called by its name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::amqp::AmqpBroker;
use shared::program::{CommonArguments, Program};
use shared::shutdown::shutdown_on_signals;
use shared::telemetry::{self, Service};

use crate as coordinator;
use crate::settings::Settings;

/// Owns films and jobs: takes submissions, publishes jobs to RabbitMQ, and answers over HTTP.
///
/// Workers (llm-worker, video-worker) take the jobs from the same RabbitMQ. One coordinator per virtual host; started again,
/// it carries on where it stopped.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
struct Arguments {
    #[command(flatten)]
    common: CommonArguments,
    /// Folder of the database
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

const AFTER: &str = "Example:
  CALLSHEET__BROKER__URL=amqp://callsheet:secret@rabbit:5672/%2f coordinator --artifacts file:///srv/callsheet
  curl -s http://127.0.0.1:7420/v1/films";

const PROGRAM: Program = Program {
    name: "coordinator",
    default_settings: coordinator::DEFAULT_SETTINGS,
};

/// Runs it with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let data_dir = arguments.data_dir;
    let flags = [
        (
            "coordinator.data_dir",
            data_dir.map(|path| path.to_string_lossy().into_owned()),
        ),
        (
            "coordinator.listen",
            arguments.listen.map(|address| address.to_string()),
        ),
    ];
    PROGRAM.run(arguments.common, flags, run)
}

// One thread: a message goes from task to task without waking another processor. What computes for long has threads of its own.
#[tokio::main(flavor = "current_thread")]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let service = Service::new("coordinator", "coordinator", &settings.telemetry);
    let _guard = telemetry::init(&settings.log)?.exporting(&service, &settings.telemetry)?;
    let stop = shutdown_on_signals();
    let artifacts = ArtifactStore::connect(&settings.artifacts)?;
    let broker = AmqpBroker::connect(settings.broker.url.expose(), "callsheet coordinator").await?;
    let broker: SharedBroker = Arc::new(broker);
    let coordinator = settings.coordinator.asking(settings.access);
    let mut running = coordinator::start(coordinator, broker.clone(), artifacts).await?;
    tracing::info!("listening on {}", running.url());
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        Err(another) = running.failed() => Some(another.into()),
    };
    running.shutdown().await;
    broker.close().await;
    failed.map_or(Ok(()), Err)
}
