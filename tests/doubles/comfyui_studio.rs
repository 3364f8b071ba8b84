//! A coordinator and a worker in one process that may be killed at any moment, and comes back to what is in its folder.
//!
//! `comfyui-studio --folder FOLDER --url URL --films COUNT` makes so many films on that ComfyUI, says `done` and ends. Started again,
//! it goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use coordinator::coordinator::SubmissionKey;
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::embedded::EmbeddedBroker;
use shared::job::JobStatus;
use support::moving::{Moving, coordinator, film};
use tokio_util::sync::CancellationToken;
use video_worker::VideoSettings;
use video_worker::comfyui::{ComfyUi, ComfyUiSettings, Server};
use worker_runtime::settings::{DeviceChoice, GpuSettings, WorkerConfig};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    url: String,
    #[arg(long)]
    films: u64,
}

#[expect(
    clippy::print_stdout,
    reason = "it is what whoever started this waits for"
)]
fn say_done() {
    println!("done");
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    support::log_to_terminal();
    let folder = &arguments.folder;
    let artifacts = ArtifactStore::open_folder(&folder.join("artifacts"))?;
    let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
    let settings = coordinator(folder, Duration::from_secs(180))?;
    let running = coordinator::start(settings, Arc::clone(&broker), artifacts.clone()).await?;
    let server = Server::new(&ComfyUiSettings {
        url: arguments.url,
        ..ComfyUiSettings::default()
    })?;
    let programs = VideoSettings::default().ffmpeg;
    let mut backends = llm_worker::backends(&llm_worker::settings::LlmSettings::default());
    backends.extend(video_worker::backends(&VideoSettings::default()));
    backends.push(Arc::new(ComfyUi::new(server, Box::new(Moving), programs)));
    let config = WorkerConfig {
        slots: 2,
        ..WorkerConfig::new("studio".parse()?, folder.join("worker"))
    };
    let config = config.on(GpuSettings {
        device: DeviceChoice::None,
        ..GpuSettings::default()
    });
    let stop = CancellationToken::new();
    let worker = worker_runtime::run(backends, config, broker, artifacts, stop.clone());
    let worker = tokio::spawn(worker);
    let mut films = Vec::new();
    for seed in 1..=arguments.films {
        // The same key makes the same film, however often this is started.
        let key = SubmissionKey::Http(format!("film-{seed}"));
        films.push(
            running
                .coordinator
                .submit(film(seed), Some(key))
                .await?
                .film,
        );
    }
    for film in films {
        loop {
            let view = running.coordinator.film(film).await?;
            if let Some(failed) = view.jobs.iter().find(|job| job.status == JobStatus::Failed) {
                bail!("a job failed: {failed:?}");
            }
            let is_done = |job: &shared::api::JobView| job.status == JobStatus::Completed;
            if view.jobs.len() == 8 && view.jobs.iter().all(is_done) {
                break;
            }
            if worker.is_finished() {
                bail!("the worker has ended");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    stop.cancel();
    worker.await??;
    running.shutdown().await;
    say_done();
    Ok(())
}
