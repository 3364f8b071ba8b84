//! Eight hosts and what runs on them: a broker, a coordinator, two writers, and four cameras with a card and a ComfyUI each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use comfyui_double::process::{Process, Settings, Standing};
use nvml_double::install::Double as Nvml;
use nvml_double::state::{Device, State};
use shared::api::{FilmStatus, JobExplanation, JobView, WorkerList};
use shared::broker::rights::Role;
use shared::byte_size::ByteSize;
use shared::film::FilmRequest;
use shared::ids::{FilmId, JobId};
use shared::job::{JobKind, JobStatus};
use support::api::Api;
use support::clip;
use support::programs::{Program, path};
use support::rabbitmq::RabbitMq;
use support::users::Users;
use support::wait::try_until;
use support::workflow::{self, Needs};
use video_worker::comfyui::tag::Tag;

use crate::network::{Host, Network};

/// How long a silent run is believed alive: longer than a host is away and needs to be heard again, with room for a machine that
/// is busy with other tests.
const LEASE: Duration = Duration::from_secs(100);
/// Longest wait for anything that must happen soon.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest wait for a film that lost a job with a host.
const LOST_AND_MADE: Duration = Duration::from_secs(180);

/// The workflow, which needs a card here.
const PROFILE: &str = "moving";
/// GiB of each card. Two renders at a time do not fit.
const CARD_GIB: u64 = 24;
const LOAD: ByteSize = ByteSize::gib(12);
const PEAK: ByteSize = ByteSize::gib(16);

const WRITERS: [&str; 2] = ["writer-1", "writer-2"];
/// Each camera, and how long a step of its card takes. A render has [`STEPS`]; those of the first two last longer than it takes to
/// pull a cable.
const CAMERAS: [(&str, Duration); 4] = [
    ("camera-1", Duration::from_secs(1)),
    ("camera-2", Duration::from_secs(1)),
    ("camera-3", Duration::from_millis(50)),
    ("camera-4", Duration::from_millis(50)),
];
const STEPS: u32 = 20;
/// Scenes of a film.
const SCENES: u32 = 3;

pub(crate) struct Studio {
    pub(crate) cameras: Vec<Camera>,
    pub(crate) films: Vec<FilmId>,
    pub(crate) api: Api,
    users: Users,
    folder: PathBuf,
    _writers: Vec<(Program, Host)>,
    coordinator: (Program, Host),
    _broker: (RabbitMq, Host),
}

/// A host with a card. What runs there ends before it does.
pub(crate) struct Camera {
    pub(crate) name: &'static str,
    _worker: Program,
    comfyui: Process,
    card: simulated_gpu::Card,
    pub(crate) host: Host,
}

impl Camera {
    /// How its ComfyUI stands, by its own count: also while nobody can reach it.
    pub(crate) fn standing(&self) -> Result<Standing> {
        self.comfyui.standing().context(self.name)
    }

    /// Who has asked its card for memory that was not there.
    pub(crate) fn refusals(&self) -> Result<usize> {
        Ok(self.card.refusals()?.len())
    }
}

impl Studio {
    /// Sets all of it up, and waits until everybody takes work.
    pub(crate) async fn open(folder: &Path) -> Result<Self> {
        let mut network = Network::lay(folder)?;
        let users = Users::make()?;
        let host = network.host("broker")?;
        let broker = RabbitMq::start_at(host.place.clone(), &users.definitions()).await?;
        users.find_broker_at(&broker.address().to_string())?;
        let broker = (broker, host);

        let host = network.host("coordinator")?;
        let listens = format!("{}:7420", host.place.address());
        let api = Api::new(format!("http://{listens}"), users.secret("token-operate")?);
        let settings = Files {
            folder,
            users: &users,
            coordinator: api.base(),
        };
        let coordinator = settings.start(
            &host,
            "coordinator",
            Role::Coordinator,
            &format!(
                "[coordinator]\nlisten = '{listens}'\nlease_ms = {}\n\
                 [coordinator.profiles]\nscene = '{PROFILE}'\n",
                LEASE.as_millis()
            ),
        )?;
        let coordinator = (coordinator, host);
        api.ready().await?;

        let mut writers = Vec::new();
        for name in WRITERS {
            let host = network.host(name)?;
            let no_card = "[gpu]\ndevice = 'none'\n";
            let writer = settings.start(&host, "llm-worker", Role::Worker, no_card)?;
            writers.push((writer, host));
        }
        let workflows = workflow_for_cards(folder)?;
        let clip = folder.join("clip.mp4");
        fs::write(&clip, clip::small())?;
        let mut cameras = Vec::new();
        for (name, step) in CAMERAS {
            let host = network.host(name)?;
            cameras.push(settings.camera(host, step, &clip, &workflows)?);
        }

        let studio = Self {
            cameras,
            films: Vec::new(),
            api,
            users,
            folder: folder.to_owned(),
            _writers: writers,
            coordinator,
            _broker: broker,
        };
        studio.everybody_takes_work().await?;
        Ok(studio)
    }

    async fn everybody_takes_work(&self) -> Result<()> {
        try_until("all workers to take work", PATIENCE, async || {
            let list: WorkerList = self.api.get("/v1/workers").await?;
            let there = list.workers.iter().filter(|it| it.online).count();
            ensure!(there == WRITERS.len() + CAMERAS.len(), "{there} are there");
            let mut cameras = 0;
            for worker in list.workers {
                let mut offers = worker.state.profiles.iter();
                cameras += usize::from(offers.any(|it| it.name.as_str() == PROFILE));
                let mut waiting = worker.state.waiting.iter();
                if let Some(it) = waiting.find(|it| it.profile.as_str() == PROFILE) {
                    bail!("{} waits: {}", worker.state.worker.worker, it.reason);
                }
            }
            ensure!(cameras == CAMERAS.len(), "{cameras} offer {PROFILE}");
            Ok(())
        })
        .await
    }

    /// Orders that many films.
    pub(crate) async fn order(&mut self, films: usize) -> Result<()> {
        for _ in 0..films {
            let request = FilmRequest {
                premise: Some("A lighthouse keeper befriends a storm".to_owned()),
                scenes: Some(SCENES),
                seconds: Some(1.0),
                size: "64x64".parse().ok(),
                fps: Some(8),
                seed: Some(self.films.len() as u64),
                ..FilmRequest::default()
            };
            self.films.push(self.api.submit(&request).await?);
        }
        Ok(())
    }

    /// All jobs of all films.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobView>> {
        let mut jobs = Vec::new();
        for film in &self.films {
            jobs.extend(self.api.film(*film).await?.jobs);
        }
        Ok(jobs)
    }

    async fn jobs_in_short(&self) -> Result<String> {
        let jobs = self.jobs().await?;
        let jobs = jobs.iter().filter(|job| job.kind == JobKind::Scene);
        let short = jobs.map(|job| {
            let worker = job.worker.as_ref().map_or("nobody", |it| it.as_str());
            let why = job.waiting.as_deref().unwrap_or_default();
            format!("{} by {worker} {:?} {why}", job.status, job.failure)
        });
        Ok(short.collect::<Vec<_>>().join("; "))
    }

    /// Orders another film once all are made.
    async fn keep_busy(&mut self) -> Result<()> {
        let mut is_busy = false;
        for film in &self.films {
            is_busy |= self.api.film(*film).await?.summary.status == FilmStatus::Running;
        }
        if !is_busy {
            self.order(1).await?;
        }
        Ok(())
    }

    /// Pulls the cable of a camera while it renders. The job that it is cut off with.
    pub(crate) async fn cut_off_in_mid_render(&mut self, camera: usize) -> Result<JobView> {
        let prompt = try_until("a render to be cut off", PATIENCE, async || {
            self.keep_busy().await?;
            let camera = &self.cameras[camera];
            let Some(running) = camera.standing()?.running else {
                bail!(
                    "{} renders nothing; {}",
                    camera.name,
                    self.jobs_in_short().await?
                );
            };
            camera.host.unplug()?;
            if camera.standing()?.running.as_ref() == Some(&running) {
                return Ok(running);
            }
            camera.host.plug_in()?;
            bail!("it ended at that moment")
        })
        .await?;
        let jobs = self.jobs().await?;
        let mut jobs = jobs.into_iter();
        let job = jobs.find(|job| prompt_of(job) == prompt);
        job.context("what is rendered belongs to a job")
    }

    /// Waits until a camera's ComfyUI has rendered the clip of that job.
    pub(crate) async fn has_rendered(&self, camera: usize, job: &JobView) -> Result<()> {
        try_until("the end of a render", PATIENCE, async || {
            let rendered = self.cameras[camera].standing()?.rendered;
            ensure!(rendered.contains(&prompt_of(job)), "{rendered:?}");
            Ok(())
        })
        .await
    }

    /// Waits until the list of workers says `state` of a camera, as a person sees it.
    pub(crate) async fn is_listed_as(&self, camera: usize, state: &[&str]) -> Result<()> {
        let name = self.cameras[camera].name;
        try_until("the list to say how a camera is", PATIENCE, async || {
            let list = self.call(&["workers"])?;
            let mut lines = list.lines().map(|line| line.split_whitespace());
            let mut line = lines.find(|line| line.clone().next() == Some(name));
            let line = line.as_mut().context("it is not listed")?;
            let said = line.nth(1).context("it has a state")?;
            ensure!(state.contains(&said), "{name}: {said}");
            Ok(())
        })
        .await
    }

    /// Calls the command as a person at another desk.
    fn call(&self, words: &[&str]) -> Result<String> {
        let output = Command::new(path("callsheet")?)
            .args(words)
            .args(["--coordinator", self.api.base(), "--token-file"])
            .arg(self.users.file("token-operate"))
            .current_dir(&self.folder)
            .output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{words:?}: {complaint}");
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The jobs that are believed to run at a camera.
    pub(crate) async fn running_at(&self, camera: usize) -> Result<Vec<JobView>> {
        let name = self.cameras[camera].name;
        let is_there = |job: &JobView| {
            let worker = job.worker.as_ref();
            job.status == JobStatus::Running && worker.is_some_and(|it| it.as_str() == name)
        };
        let mut jobs = self.jobs().await?;
        jobs.retain(is_there);
        Ok(jobs)
    }

    /// What is said of a clip that waits: orders films until one does.
    pub(crate) async fn explained(&mut self) -> Result<JobExplanation> {
        try_until("a clip that waits", PATIENCE, async || {
            let jobs = self.jobs().await?;
            let waits =
                |job: &&JobView| job.kind == JobKind::Scene && job.status == JobStatus::Queued;
            let Some(job) = jobs.iter().find(waits) else {
                let rest = jobs.iter().filter(|job| !job.status.is_final()).count();
                if rest < 10 {
                    self.order(1).await?;
                }
                bail!("none waits");
            };
            let told: JobExplanation = self
                .api
                .get(&format!("/v1/jobs/{}/explain", job.id))
                .await?;
            ensure!(!told.workers.is_empty(), "it has just begun");
            Ok(told)
        })
        .await
    }

    /// Waits until a job is done, and looks who did it.
    pub(crate) async fn done(&self, job: JobId) -> Result<JobView> {
        try_until("a job to be done", PATIENCE, async || {
            let job: JobView = self.api.get(&format!("/v1/jobs/{job}")).await?;
            ensure!(job.status == JobStatus::Completed, "{job:?}");
            Ok(job)
        })
        .await
    }

    /// Waits until the coordinator has no connection to a camera any more.
    pub(crate) async fn is_let_go(&self, camera: usize) -> Result<()> {
        let address = self.cameras[camera].host.place.address();
        // As the kernel writes the other end, in its table of the coordinator's host.
        let number = u32::from_ne_bytes(address.octets());
        let other_end = format!(" {number:08X}:");
        let id = self.coordinator.0.id().context("it runs")?;
        try_until("connections to be given up", PATIENCE, async || {
            let table = fs::read_to_string(format!("/proc/{id}/net/tcp"))?;
            let open = table.lines().filter(|line| line.contains(&other_end));
            let open = open.count();
            ensure!(open == 0, "{open} are open");
            Ok(())
        })
        .await
    }

    /// Waits until all films are made, and looks at their files.
    pub(crate) async fn all_films_are_made(&self) -> Result<()> {
        for film in &self.films {
            self.api.completed(*film, LOST_AND_MADE).await?;
        }
        Ok(())
    }

    /// How often the clip of each prompt was rendered, at which camera: each server's own count.
    pub(crate) fn renders(&self) -> Result<BTreeMap<String, BTreeMap<&'static str, usize>>> {
        let mut renders: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for camera in &self.cameras {
            for prompt in camera.standing()?.rendered {
                *renders
                    .entry(prompt)
                    .or_default()
                    .entry(camera.name)
                    .or_default() += 1;
            }
        }
        Ok(renders)
    }
}

/// The id under which a job's clip is rendered.
pub(crate) fn prompt_of(job: &JobView) -> String {
    Tag::first(job.id, job.take).prompt()
}

/// A folder with the workflow. Of the host it needs too little for its gate to be asked.
fn workflow_for_cards(folder: &Path) -> Result<PathBuf> {
    let workflows = folder.join("workflows");
    fs::create_dir(&workflows)?;
    let needs = Needs {
        load: LOAD,
        peak: PEAK,
        ram: ByteSize::mib(100),
    };
    workflow::write(&workflows, PROFILE, needs)?;
    Ok(workflows)
}

/// What the programs are told, and where their files are. All in one folder, of which no two hosts use the same part.
struct Files<'a> {
    folder: &'a Path,
    users: &'a Users,
    coordinator: &'a str,
}

impl Files<'_> {
    /// Starts a program on a host with the secrets of its role.
    fn start(&self, host: &Host, program: &'static str, role: Role, more: &str) -> Result<Program> {
        let secret = |name: &str| self.users.file(name).display().to_string();
        let data = self.folder.join(host.name);
        let files = match role {
            Role::Coordinator => format!(
                "[artifacts]\nurl = '{}'\n\
                 [access]\nsubmit_token_file = '{}'\noperate_token_file = '{}'\nworker_token_file = '{}'\n",
                data.join("artifacts").display(),
                secret("token-submit"),
                secret("token-operate"),
                secret("token-worker"),
            ),
            _ => format!(
                "[artifacts]\nurl = '{}'\ntoken_file = '{}'\n[worker]\nworker = '{}'\n",
                self.coordinator,
                secret("token-worker"),
                host.name,
            ),
        };
        let broker = secret(&format!("broker-url-{role}"));
        // That a server lacks the models of other workflows is said again and again, and would be all that a failed test shows.
        let log = "[log]\nfilter = 'info,worker_runtime::readiness=error'\n";
        let settings = format!("[broker]\nurl_file = '{broker}'\n{files}{log}{more}");
        let file = self.folder.join(format!("{}.toml", host.name));
        fs::write(&file, settings)?;
        let arguments = ["--config".into(), file.into_os_string()]
            .into_iter()
            .chain(["--data-dir".into(), data.into_os_string()]);
        let place = host.place.clone();
        Program::start_at(place, program, host.name, arguments, self.folder)
    }

    /// Starts a ComfyUI and a worker on a host, with a card of their own.
    fn camera(&self, host: Host, step: Duration, clip: &Path, workflows: &Path) -> Result<Camera> {
        let name = host.name;
        let uuid = format!("GPU-of-{name}");
        let driver = self.folder.join(format!("{name}-driver"));
        fs::create_dir(&driver)?;
        let nvml = Nvml::install(&driver, &State::with([Device::idle(&uuid, CARD_GIB)]))?;
        let card = simulated_gpu::Card::new(nvml.state_file(), &uuid);
        let settings = Settings {
            card: card.clone(),
            memory: ByteSize::gib(CARD_GIB),
            load: LOAD,
            peak: PEAK,
            steps: STEPS,
            step,
            clip: clip.to_owned(),
            models: workflow::MODELS
                .map(|(folder, file)| (folder.to_owned(), vec![file.to_owned()]))
                .into(),
        };
        let mut program = host.place.command(env!("CARGO_BIN_EXE_render-double"));
        let comfyui = Process::start(&mut program, &settings)?;
        let more = format!(
            "[gpu]\ndevice = '{uuid}'\nlibrary = '{}'\nledger = '{}'\n\
             [comfyui]\nurl = '{}'\nworkflows = '{}'\n",
            nvml.library().display(),
            self.folder.join(format!("{name}-ledger")).display(),
            comfyui.url(),
            workflows.display(),
        );
        let worker = self.start(&host, "video-worker", Role::Worker, &more)?;
        Ok(Camera {
            name,
            _worker: worker,
            comfyui,
            card,
            host,
        })
    }
}
