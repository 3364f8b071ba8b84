//! Everything in this process: the coordinator, an embedded broker and one worker with all built-in backends. It is the same
//! code that runs on many machines, and it is spoken to over HTTP all the same.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coordinator::settings::CoordinatorSettings;
use coordinator::{AnotherCoordinator, Running, StartError};
use shared::artifacts::{ArtifactError, ArtifactStore};
use shared::broker::SharedBroker;
use shared::broker::embedded::EmbeddedBroker;
use shared::profile::Profile;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use video_worker::VideoSettings;
use worker_runtime::WorkerError;
use worker_runtime::backend::{Backend, NotReady};
use worker_runtime::settings::WorkerConfig;

use crate::settings::{Settings, near};

/// The name of the one worker.
const WORKER: &str = "all-in-one";
/// How long what runs may go on when someone wants to leave. What is not done by then is handed back and done next time.
const DRAIN: Duration = Duration::from_secs(2);

/// Everything, at work.
#[derive(Debug)]
pub(crate) struct AllInOne {
    coordinator: Running,
    broker: SharedBroker,
    backends: Vec<Arc<dyn Backend>>,
    worker: JoinHandle<Result<(), WorkerError>>,
    stop: CancellationToken,
}

/// Why not everything runs in this process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AllInOneError {
    /// The coordinator did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The data folder cannot be used.
    #[error("cannot write into the data folder {}; choose another with --data-dir, or let this user write there", folder.display())]
    DataDir {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something that the work needs is not installed.
    #[error("{0}")]
    NotReady(#[from] NotReady),
    /// The worker ended.
    #[error("the worker ended")]
    Worker(#[from] WorkerError),
    /// The coordinator ended.
    #[error(transparent)]
    Another(#[from] AnotherCoordinator),
    /// A part died: a mistake in this program.
    #[error("a part of the program died")]
    Died(#[from] tokio::task::JoinError),
}

impl AllInOne {
    /// Starts everything in the settings' data folder, and carries on with what is there.
    ///
    /// # Errors
    /// If the folder or the address cannot be used.
    pub(crate) async fn start(settings: &Settings) -> Result<Self, AllInOneError> {
        let CoordinatorSettings { data_dir, .. } = &settings.coordinator;
        let artifacts = ArtifactStore::open_folder(&data_dir.join("artifacts"))
            .map_err(|error| unusable(data_dir, error))?;
        let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
        let coordinator = coordinator::start(
            settings.coordinator.clone().asking(settings.access.clone()),
            Arc::clone(&broker),
            artifacts.clone(),
        )
        .await?;
        let video = VideoSettings {
            ffmpeg: settings.ffmpeg.clone(),
            comfyui: settings.comfyui.clone(),
        };
        let backends = [
            llm_worker::backends(&settings.llm),
            video_worker::backends(&video),
        ]
        .concat();
        let name = WORKER
            .parse()
            .expect("the name consists of lower-case letters and hyphens");
        let config = WorkerConfig {
            slots: slots(),
            drain_timeout: DRAIN,
            gpu: settings.gpu.clone(),
            metrics_listen: settings.telemetry.metrics_address(),
            metrics_token: settings.telemetry.metrics_token.clone(),
            program: "callsheet".to_owned(),
            ..WorkerConfig::new(name, data_dir.join("worker"))
        };
        let stop = CancellationToken::new();
        let worker = worker_runtime::run(
            backends.clone(),
            config,
            Arc::clone(&broker),
            artifacts,
            stop.clone(),
        );
        Ok(Self {
            coordinator,
            broker,
            backends,
            worker: tokio::spawn(worker),
            stop,
        })
    }

    /// Where the coordinator is spoken to.
    pub(crate) fn url(&self) -> String {
        coordinator::url_of(self.coordinator.is_https, near(self.coordinator.address))
    }

    /// What the backends need and do not find, with what to do. Only those count that do something that is wanted.
    pub(crate) fn missing(
        &self,
        is_wanted: &dyn Fn(&Profile) -> bool,
    ) -> impl Future<Output = Result<(), NotReady>> + use<> {
        let mut backends = self.backends.clone();
        backends.retain(|backend| backend.profiles().iter().any(is_wanted));
        async move {
            let checks = backends.iter().map(|backend| backend.prepare());
            futures::future::try_join_all(checks).await.map(drop)
        }
    }

    /// Resolves when a part can no longer do its work, with the reason.
    pub(crate) async fn failed(&mut self) -> AllInOneError {
        tokio::select! {
            Err(error) = self.coordinator.failed() => error.into(),
            ended = &mut self.worker => match ended {
                Ok(Err(error)) => error.into(),
                Err(error) => error.into(),
                Ok(Ok(())) => std::future::pending().await,
            },
        }
    }

    /// Stops everything in order: what runs is finished or handed back, and stored.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        if !self.worker.is_finished() {
            match (&mut self.worker).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(error = %shared::failure::chain(&error), "the worker did not end in order");
                }
                Err(error) => tracing::error!(%error, "the worker did not end in order"),
            }
        }
        self.coordinator.shutdown().await;
        self.broker.close().await;
    }
}

fn unusable(data_dir: &Path, error: ArtifactError) -> AllInOneError {
    AllInOneError::DataDir {
        folder: data_dir.to_owned(),
        source: match error {
            // What it says beside the reason is about the artifact folder as a setting of its own, which it is not here.
            ArtifactError::Folder { source, .. } => source.into(),
            other => other.into(),
        },
    }
}

/// As many jobs at once as there are cores.
fn slots() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores).unwrap_or(1).clamp(1, 64)
}
