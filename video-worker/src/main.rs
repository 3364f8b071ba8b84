//! The video worker as a program of its own.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::amqp::AmqpBroker;
use shared::shutdown::shutdown_on_signals;
use shared::{settings, telemetry};
use video_worker::Settings;

/// Makes the keyframes, clips and films: takes their jobs from RabbitMQ and reports back over it.
///
/// Profiles: `storyboard` and `animatic`, drawn and encoded with no model and no GPU, and `ffmpeg`, which joins the clips.
/// ffmpeg must be installed. Told to stop (Ctrl-C, SIGTERM), it takes nothing new,
/// finishes or hands back what it has, and ends.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER)]
struct Arguments {
    /// Settings file (TOML). Each setting can also be given as CALLSHEET__SECTION__KEY in the environment
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// RabbitMQ, as amqp://USER:PASSWORD@HOST:PORT/VHOST. Better in the environment: others can read a command line
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Where the films' files lie: a folder that the coordinator sees too
    #[arg(long, value_name = "URL")]
    artifacts: Option<String>,
    /// Folder of this worker's journal and of what it is working on
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// This worker's name, unique among all workers
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Images, clips and films that are made at once
    #[arg(long, value_name = "N")]
    slots: Option<u32>,
    /// How a log line looks: human or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Print the settings with their defaults and end
    #[arg(long)]
    print_default_settings: bool,
}

const AFTER: &str = "Example:
  CALLSHEET__BROKER__URL=amqp://callsheet:secret@rabbit:5672/%2f video-worker --name camera-1 --data-dir /var/lib/camera-1";

impl Arguments {
    fn overrides(&self) -> Vec<(&'static str, String)> {
        let data_dir = self
            .data_dir
            .as_ref()
            .map(|path| path.to_string_lossy().into_owned());
        [
            ("broker.url", self.broker.clone()),
            ("artifacts.url", self.artifacts.clone()),
            ("worker.data_dir", data_dir),
            ("worker.worker", self.name.clone()),
            ("worker.slots", self.slots.map(|slots| slots.to_string())),
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
        print!("{}", video_worker::DEFAULT_SETTINGS);
        return ExitCode::SUCCESS;
    }
    let loaded = settings::load::<Settings>(
        video_worker::DEFAULT_SETTINGS,
        arguments.config.as_deref(),
        std::env::vars_os(),
        arguments.overrides(),
    );
    let settings = match loaded {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("video-worker: {}", shared::failure::chain(&error));
            return ExitCode::from(2);
        }
    };
    match run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("video-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn run(settings: Settings) -> anyhow::Result<()> {
    let _guard = telemetry::init(&settings.log)?;
    let stop = shutdown_on_signals();
    let artifacts = ArtifactStore::open(&settings.artifacts.url)?;
    let broker =
        AmqpBroker::connect(settings.broker.url.expose(), "callsheet video-worker").await?;
    let broker: SharedBroker = Arc::new(broker);
    let ended = worker_runtime::run(
        video_worker::backends(&settings.video()),
        settings.worker,
        Arc::clone(&broker),
        artifacts,
        stop,
    )
    .await;
    broker.close().await;
    Ok(ended?)
}
