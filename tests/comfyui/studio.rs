//! A coordinator with workers that come and go, in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfyui_double::{Content, Double, Flavour};
use coordinator::{Coordinator, Running};
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::embedded::EmbeddedBroker;
use shared::ids::FilmId;
use shared::job::JobStatus;
use support::moving::{Moving, clip, coordinator, film};
use support::wait::until;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use video_worker::VideoSettings;
use video_worker::comfyui::{ComfyUi, ComfyUiSettings, Server};
use worker_runtime::WorkerError;
use worker_runtime::backend::Backend;
use worker_runtime::settings::{DeviceChoice, GpuSettings, WorkerConfig};

/// A worker at work.
pub(crate) struct Hand {
    name: String,
    data_dir: PathBuf,
    task: JoinHandle<Result<(), WorkerError>>,
}

pub(crate) struct Studio {
    pub(crate) double: Double,
    running: Running,
    broker: SharedBroker,
    artifacts: ArtifactStore,
    stop: CancellationToken,
    folder: TempDir,
    lives: u32,
}

impl Studio {
    pub(crate) async fn open(lease: Duration, step: Duration) -> Self {
        let double = Double::start(Flavour::New);
        double.behave(|it| {
            it.content = Content::Bytes(clip().unwrap());
            it.step = step;
        });
        let folder = tempfile::tempdir().unwrap();
        let artifacts = ArtifactStore::open_folder(&folder.path().join("artifacts")).unwrap();
        let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
        let settings = coordinator(folder.path(), lease).unwrap();
        let running = coordinator::start(settings, Arc::clone(&broker), artifacts.clone()).await;
        let mut studio = Self {
            double,
            running: running.unwrap(),
            broker,
            artifacts,
            stop: CancellationToken::new(),
            folder,
            lives: 0,
        };
        let mut others = llm_worker::backends(&llm_worker::settings::LlmSettings::default());
        others.extend(video_worker::backends(&VideoSettings::default()));
        drop(studio.work("others", None, others));
        studio
    }

    fn coordinator(&self) -> &Coordinator {
        &self.running.coordinator
    }

    pub(crate) async fn submit(&self) -> FilmId {
        self.coordinator().submit(film(1), None).await.unwrap().film
    }

    /// A worker that renders.
    pub(crate) fn camera(&mut self, name: &str) -> Hand {
        self.camera_on(name, None)
    }

    fn camera_on(&mut self, name: &str, journal: Option<&Path>) -> Hand {
        let server = Server::new(&ComfyUiSettings {
            url: self.double.url(),
            ..ComfyUiSettings::default()
        });
        let programs = VideoSettings::default().ffmpeg;
        let backend = ComfyUi::new(server.unwrap(), Box::new(Moving), programs);
        self.work(name, journal, vec![Arc::new(backend)])
    }

    fn work(
        &mut self,
        name: &str,
        journal: Option<&Path>,
        backends: Vec<Arc<dyn Backend>>,
    ) -> Hand {
        self.lives += 1;
        let data_dir = self.folder.path().join(format!("{name}-{}", self.lives));
        if let Some(journal) = journal {
            // The lock of a journal goes only with its process: the next life gets a copy.
            std::fs::create_dir_all(data_dir.join("journal")).unwrap();
            let file = |of: &Path| of.join("journal/runs.jsonl");
            std::fs::copy(file(journal), file(&data_dir)).unwrap();
        }
        let config = WorkerConfig::new(name.parse().unwrap(), &data_dir);
        let config = config.on(GpuSettings {
            device: DeviceChoice::None,
            ..GpuSettings::default()
        });
        let worker = worker_runtime::run(
            backends,
            config,
            Arc::clone(&self.broker),
            self.artifacts.clone(),
            self.stop.clone(),
        );
        Hand {
            name: name.to_owned(),
            data_dir,
            task: tokio::spawn(worker),
        }
    }

    /// Kills a worker in whatever it does.
    pub(crate) async fn kill(&self, hand: Hand) -> (String, PathBuf) {
        hand.task.abort();
        assert!(hand.task.await.unwrap_err().is_cancelled());
        (hand.name, hand.data_dir)
    }

    /// Starts it again with what is on its disk.
    pub(crate) fn start_again(&mut self, (name, data_dir): (String, PathBuf)) -> Hand {
        self.camera_on(&name, Some(&data_dir))
    }

    pub(crate) async fn a_render_runs(&self) {
        let limit = Duration::from_secs(60);
        until("a render", limit, async || {
            self.double.running().ok_or("none")
        })
        .await;
    }

    pub(crate) async fn so_many_are_rendered(&self, count: usize) {
        let limit = Duration::from_secs(60);
        until("a clip", limit, async || {
            match self.double.rendered().len() {
                rendered if rendered >= count => Ok(()),
                rendered => Err(rendered),
            }
        })
        .await;
    }

    /// Waits until no job of a film has a worker any more.
    pub(crate) async fn the_lease_runs_out(&self, film: FilmId) {
        until(
            "the end of the lease",
            Duration::from_secs(60),
            async || {
                let film = self.coordinator().film(film).await.unwrap();
                let mut jobs = film.jobs.iter();
                match jobs.find(|job| job.status == JobStatus::Running) {
                    None => Ok(()),
                    Some(job) => Err(format!("{job:?}")),
                }
            },
        )
        .await;
    }

    /// Waits until a film is made.
    pub(crate) async fn film_is_made(&self, film: FilmId) {
        until("the film", Duration::from_secs(120), async || {
            let film = self.coordinator().film(film).await.unwrap();
            let states: Vec<_> = film.jobs.iter().map(|job| (job.kind, job.status)).collect();
            let is_done = |(_, status): &(_, JobStatus)| *status == JobStatus::Completed;
            match states.len() == 8 && states.iter().all(is_done) {
                true => Ok(()),
                false => Err(format!("{states:?}")),
            }
        })
        .await;
    }

    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.running.shutdown().await;
        self.broker.close().await;
    }
}
