//! The coordinator as a program of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use coordinator::settings::Settings;
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::amqp::AmqpBroker;
use shared::shutdown::shutdown_on_signals;
use shared::{settings, telemetry};

/// Owns films and jobs: takes submissions, publishes jobs to RabbitMQ, and answers over HTTP.
///
/// Workers (llm-worker, video-worker) take the jobs from the same RabbitMQ. One coordinator per virtual host; started again,
/// it carries on where it stopped.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
struct Arguments {
    /// Settings file (TOML). Each setting can also be given as CALLSHEET__SECTION__KEY in the environment.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST. Better in the environment: others can read a command line.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Where images, clips and films lie: a folder that the workers see too.
    #[arg(long, value_name = "URL")]
    artifacts: Option<String>,
    /// Folder of the database.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the HTTP API listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// How a log line looks: human or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Print the settings with their defaults and end.
    #[arg(long)]
    print_default_settings: bool,
}

const AFTER: &str = "Example:
  CALLSHEET__BROKER__URL=amqp://callsheet:secret@rabbit:5672/%2f coordinator --artifacts file:///srv/callsheet
  curl -s http://127.0.0.1:7420/v1/films";

impl Arguments {
    fn overrides(&self) -> Vec<(&'static str, String)> {
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        [
            ("broker.url", self.broker.clone()),
            ("artifacts.url", self.artifacts.clone()),
            ("coordinator.data_dir", self.data_dir.as_ref().map(path)),
            (
                "coordinator.listen",
                self.listen.map(|address| address.to_string()),
            ),
            ("log.format", self.log_format.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the edge of the program"
)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_default_settings {
        print!("{}", coordinator::DEFAULT_SETTINGS);
        return ExitCode::SUCCESS;
    }
    let loaded = settings::load::<Settings>(
        coordinator::DEFAULT_SETTINGS,
        arguments.config.as_deref(),
        std::env::vars_os(),
        arguments.overrides(),
    );
    let settings = match loaded {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("coordinator: {}", shared::failure::chain(&error));
            return ExitCode::from(2);
        }
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coordinator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let _guard = telemetry::init(&settings.log)?;
    let stop = shutdown_on_signals();
    let artifacts = ArtifactStore::open(&settings.artifacts.url)?;
    let broker = AmqpBroker::connect(settings.broker.url.expose(), "callsheet coordinator").await?;
    let broker: SharedBroker = Arc::new(broker);
    let mut running = coordinator::start(settings.coordinator, broker.clone(), artifacts).await?;
    tracing::info!("listening on http://{}", running.address);
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        Err(another) = running.failed() => Some(another.into()),
    };
    running.shutdown().await;
    broker.close().await;
    failed.map_or(Ok(()), Err)
}
