//! A host with one card of 24 GiB, a coordinator, and workers as they are started.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use coordinator::{Coordinator, Running};
use llm_double::{Behaviour, Kind};
use nvml_double::install::Double;
use nvml_double::state::{Answer, Device, Process as Listed, State, code};
use serde_json::json;
use shared::artifacts::ArtifactStore;
use shared::broker::SharedBroker;
use shared::broker::embedded::EmbeddedBroker;
use shared::ids::{BootId, FilmId, JobId};
use shared::job::JobStatus;
use simulated_gpu::{Card, Process, Refusal, Settings};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use worker_runtime::WorkerError;
use worker_runtime::backend::Backend;
use worker_runtime::gpu::ledger::{BootTime, Ledger, Owner, Page};
use worker_runtime::gpu::reading::DeviceUuid;
use worker_runtime::settings::{DeviceChoice, GpuSettings, Pace, WorkerConfig};

use super::backend::start;

pub(crate) const CARD: &str = "GPU-00000000-0000-0000-0000-000000000001";
pub(crate) const SECOND_CARD: &str = "GPU-00000000-0000-0000-0000-000000000002";
/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a studio differs from an ordinary one.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sort {
    /// How much faster time goes there.
    pub(crate) pace: u32,
    /// The driver does not tell what each process holds, as under Windows.
    pub(crate) hides_figures: bool,
    /// There is a second card, of 12 GiB.
    pub(crate) second_card: bool,
}

pub(crate) struct Studio {
    pace: Pace,
    running: Running,
    broker: SharedBroker,
    artifacts: ArtifactStore,
    double: Double,
    card: Card,
    workers: Vec<(PathBuf, JoinHandle<Result<(), WorkerError>>)>,
    stop: CancellationToken,
    folder: TempDir,
    is_blind: bool,
}

/// A server of language models on the card.
pub(crate) type Language = llm_double::process::Process;

/// NVML's list of who computes on a device.
const COMPUTE: &str = "nvmlDeviceGetComputeRunningProcesses_v3";

impl Studio {
    pub(crate) async fn open() -> Self {
        Self::of(Sort::default()).await
    }

    pub(crate) async fn of(sort: Sort) -> Self {
        let mut cards = State::with([Device {
            hides_figures: sort.hides_figures,
            ..Device::idle(CARD, 24)
        }]);
        if sort.second_card {
            cards.devices.push(Device::idle(SECOND_CARD, 12));
        }
        Self::with(&cards, Pace::times(sort.pace), sort.hides_figures).await
    }

    /// One where the driver does not even list who computes on the card: as in many containers.
    pub(crate) async fn blind() -> Self {
        let silent = Answer::failure(code::NOT_SUPPORTED);
        let card = Device::idle(CARD, 24).answering(COMPUTE, silent);
        Self::with(&State::with([card]), Pace::default(), true).await
    }

    async fn with(cards: &State, pace: Pace, is_blind: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let double = Double::install(folder.path(), cards).unwrap();
        let artifacts = ArtifactStore::open_folder(&folder.path().join("artifacts")).unwrap();
        let settings = json!({
            "listen": "127.0.0.1:0",
            "data_dir": folder.path().join("coordinator"),
            "lease_ms": 180_000,
            "takeover_ms": 45_000,
            "redispatch_ms": 600_000,
            "hint_ms": pace.of(Duration::from_secs(3)).as_millis(),
            "retry": {"max_failures": 1, "base_ms": 1, "cap_ms": 1},
            "time_limits": {"story_ms": 60_000, "keyframe_ms": 60_000, "scene_ms": 60_000, "assembly_ms": 60_000},
            "profiles": {"story": "mistral", "keyframe": "drawn", "scene": "wan", "assembly": "joined"},
            "retention": {"film_days": 0, "file_hours": 24},
        });
        let settings = serde_json::from_value(settings).unwrap();
        let broker: SharedBroker = Arc::new(EmbeddedBroker::new());
        let running = coordinator::start(settings, Arc::clone(&broker), artifacts.clone())
            .await
            .unwrap();
        Self {
            pace,
            running,
            broker,
            artifacts,
            card: Card::new(double.state_file(), CARD),
            double,
            workers: Vec::new(),
            stop: CancellationToken::new(),
            folder,
            is_blind,
        }
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.running.coordinator
    }

    /// How backends on the card are, with nothing else said.
    pub(crate) fn settings(&self) -> Settings {
        Settings::on(&self.card)
    }

    /// Starts a backend.
    pub(crate) fn backend(&self) -> Process {
        start(&self.settings())
    }

    /// Starts a backend that takes that long to load its model, and gives memory back after a while of its own.
    pub(crate) fn backend_that_loads(&self, ramp: Duration, lag: Duration) -> Process {
        start(&Settings {
            ramp,
            lag,
            ..self.settings()
        })
    }

    /// Starts a backend on the second card.
    pub(crate) fn backend_on_second_card(&self) -> Process {
        start(&Settings::on(&Card::new(
            self.double.state_file(),
            SECOND_CARD,
        )))
    }

    /// Whether the driver does not tell who holds the card.
    pub(crate) fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// Starts a server of language models, with one model that is loaded and holds 10 GiB.
    pub(crate) fn language(&self, kind: Kind, behaviour: Behaviour) -> Language {
        let mut program = Command::new(env!("CARGO_BIN_EXE_language-double"));
        let settings = llm_double::process::Settings {
            kind,
            card: self.card.clone(),
            behaviour,
            loaded: true,
        };
        Language::start(&mut program, &settings).unwrap()
    }

    /// Who has asked for memory of the card that was not there.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        self.card.refusals().unwrap()
    }

    /// Starts the worker of a backend.
    pub(crate) fn work(&mut self, name: &str, backend: impl Backend) {
        self.work_with(name, vec![Arc::new(backend)]);
    }

    /// Starts the worker of several backends.
    pub(crate) fn work_with(&mut self, name: &str, backends: Vec<Arc<dyn Backend>>) {
        let data_dir = self.folder.path().join(name);
        self.work_in(name, data_dir, CARD, backends);
    }

    /// Starts the worker of a backend on the second card.
    pub(crate) fn work_on_second_card(&mut self, name: &str, backend: impl Backend) {
        let data_dir = self.folder.path().join(name);
        self.work_in(name, data_dir, SECOND_CARD, vec![Arc::new(backend)]);
    }

    /// Kills the worker that was started last, and starts it again with what is on its disk.
    pub(crate) async fn restart(&mut self, name: &str, backend: impl Backend) {
        let (old, task) = self.workers.pop().unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        // The lock of its journal goes only with this process.
        let new = self.folder.path().join(format!("{name} again"));
        std::fs::create_dir_all(new.join("journal")).unwrap();
        let journal = |of: &Path| of.join("journal").join("runs.jsonl");
        std::fs::copy(journal(&old), journal(&new)).unwrap();
        self.work_in(name, new, CARD, vec![Arc::new(backend)]);
    }

    fn work_in(
        &mut self,
        name: &str,
        data_dir: PathBuf,
        card: &str,
        backends: Vec<Arc<dyn Backend>>,
    ) {
        let folder = self.folder.path();
        let config = WorkerConfig::new(name.parse().unwrap(), &data_dir);
        let config = config.on(GpuSettings {
            device: DeviceChoice::from(card.to_owned()),
            library: Some(self.double.library().to_owned()),
            ledger: Some(folder.join("ledger")),
            ..GpuSettings::default()
        });
        let config = WorkerConfig {
            pace: self.pace,
            ..config
        };
        let worker = worker_runtime::run(
            backends,
            config,
            Arc::clone(&self.broker),
            self.artifacts.clone(),
            self.stop.clone(),
        );
        self.workers.push((data_dir, tokio::spawn(worker)));
    }

    /// So many GiB of the card are held by that process of somebody else.
    pub(crate) fn holds(&self, pid: u32, amount: u64) {
        let changed = self.double.update(|cards| {
            let card = cards.device_mut(CARD).unwrap();
            let before = card.processes.iter().find(|it| it.pid == pid);
            card.used -= before.and_then(|it| it.used).unwrap_or(0);
            card.processes.retain(|it| it.pid != pid);
            if amount > 0 {
                card.used += gib(amount);
                let listed = Listed::computing(pid, Some(gib(amount)));
                card.processes.push(listed);
            }
        });
        changed.unwrap();
    }

    /// Waits until the double lists so much for that process.
    pub(crate) async fn until_held(&self, pid: u32, amount: u64) {
        let held = || {
            let cards = self.double.update(|cards| cards.clone()).unwrap();
            let card = cards.device(CARD).unwrap();
            let mut processes = card.processes.iter();
            let of_it = processes.find(|it| it.pid == pid);
            of_it.and_then(|it| it.used).unwrap_or(0)
        };
        let wait = async {
            while held() < gib(amount) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("memory to be taken", wait).await;
    }

    /// What was promised on the card and to whom.
    pub(crate) fn books(&self) -> Page {
        let owner = Owner {
            worker: "test".parse().unwrap(),
            boot: BootId::from_u128(7),
        };
        let device = DeviceUuid(CARD.to_owned());
        let ledger = self.folder.path().join("ledger");
        let ledger = Ledger::open(&ledger, Some(&device), owner).unwrap();
        ledger
            .decide(|locked| locked.page(BootTime::now()))
            .unwrap()
    }

    /// Waits until that job is so.
    pub(crate) async fn wait_for(&self, job: JobId, status: JobStatus) {
        let wait = async {
            while self.coordinator().job(job).await.unwrap().status != status {
                sleep(Duration::from_millis(50)).await;
            }
        };
        within("a job to get there", wait).await;
    }

    /// Waits until everything of a film is done.
    pub(crate) async fn film_is_done(&self, film: FilmId) {
        let wait = async {
            loop {
                let film = self.coordinator().film(film).await.unwrap();
                let failed = film.jobs.iter().find(|job| job.status == JobStatus::Failed);
                assert!(failed.is_none(), "{failed:?}");
                if film.jobs.len() > 1
                    && film
                        .jobs
                        .iter()
                        .all(|job| job.status == JobStatus::Completed)
                {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        within("a film to be done", wait).await;
    }

    /// Stops the workers and the coordinator.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        for (_, worker) in self.workers {
            within("a worker to end", worker).await.unwrap().unwrap();
        }
        self.running.shutdown().await;
        self.broker.close().await;
    }
}

pub(crate) fn gib(count: u64) -> u64 {
    count << 30
}

/// Waits for that, but not for ever.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}
