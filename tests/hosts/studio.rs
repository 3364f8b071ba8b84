//! Eight hosts and what runs on them: a broker, a coordinator, two writers, and four cameras with a card and a ComfyUI each.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use shared::api::{FilmStatus, JobExplanation, JobView, WorkerList};
use shared::broker::rights::Role;
use shared::film::FilmRequest;
use shared::ids::{FilmId, JobId};
use shared::job::{JobKind, JobStatus};
use shared::time::Timestamp;
use support::api::Api;
use support::clip;
use support::programs::{Program, path};
use support::rabbitmq::RabbitMq;
use support::users::Users;
use support::wait::try_until;

use crate::camera::{Camera, QUICK, prompt_of};
use crate::files::{Files, PROFILE, workflow_for_cards};
use crate::network::{Host, Network};
use crate::page::Page;

/// How long a silent run is believed alive: longer than a host is away and needs to be heard again, with room for a machine that
/// is busy with other tests.
const LEASE: Duration = Duration::from_secs(100);
/// Longest wait for anything that must happen soon.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest wait for a film that lost a job with a host.
const LOST_AND_MADE: Duration = Duration::from_secs(180);

const WRITERS: [&str; 2] = ["writer-1", "writer-2"];
/// Each camera, and how long a step of its card takes. A render has twenty; those of the first two last longer than it takes to pull
/// a cable, and that of the third, until it hurries, longer than a lease.
const CAMERAS: [(&str, Duration); 4] = [
    ("camera-1", Duration::from_secs(1)),
    ("camera-2", Duration::from_secs(1)),
    ("camera-3", Duration::from_secs(10)),
    ("camera-4", QUICK),
];
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
    broker: (RabbitMq, Host),
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
            broker,
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

    /// How a job stands.
    pub(crate) async fn job(&self, job: JobId) -> Result<JobView> {
        self.api.get(&format!("/v1/jobs/{job}")).await
    }

    /// Waits until a job is done, and looks who did it.
    pub(crate) async fn done(&self, job: JobId) -> Result<JobView> {
        try_until("a job to be done", PATIENCE, async || {
            let job = self.job(job).await?;
            ensure!(job.status == JobStatus::Completed, "{job:?}");
            Ok(job)
        })
        .await
    }

    /// How many steps of a run have been told.
    pub(crate) async fn steps_told(&self, job: &JobView) -> Result<u32> {
        let progress = self.job(job.id).await?.progress;
        Ok(progress.map_or(0, |it| it.step))
    }

    /// Waits until more than so many steps of a run are told.
    pub(crate) async fn is_told_further(&self, job: &JobView, than: u32) -> Result<()> {
        try_until("a run to be told of", PATIENCE, async || {
            let told = self.steps_told(job).await?;
            ensure!(told > than, "step {told}");
            Ok(())
        })
        .await
    }

    /// Waits until the run of that job is believed to be lost.
    pub(crate) async fn is_given_up(&self, job: &JobView) -> Result<()> {
        try_until("a run to be given up", LEASE + PATIENCE, async || {
            let job = self.job(job.id).await?;
            ensure!(job.failures > 0, "{job:?}");
            Ok(())
        })
        .await
    }

    /// Waits until a camera has taken a clip since then; whoever is idle takes what waits.
    pub(crate) async fn takes_work_since(&mut self, camera: usize, then: Timestamp) -> Result<()> {
        let name = self.cameras[camera].name;
        let is_taken = |job: &JobView| {
            let worker = job.worker.as_ref();
            let is_there = worker.is_some_and(|it| it.as_str() == name);
            is_there && job.kind == JobKind::Scene && job.started_at > Some(then)
        };
        try_until("a camera to take work again", PATIENCE, async || {
            self.keep_busy().await?;
            let jobs = self.jobs().await?;
            let any = jobs.iter().any(is_taken);
            ensure!(any, "{name}: {}", self.jobs_in_short().await?);
            Ok(())
        })
        .await
    }

    /// What the coordinator tells Prometheus.
    pub(crate) async fn told_by_the_coordinator(&self) -> Result<Page> {
        self.api.text("/metrics").await.map(Page)
    }

    /// Waits until a camera has nothing in hand and would take whatever comes.
    pub(crate) async fn is_idle_and_open(&self, camera: usize) -> Result<()> {
        let camera = &self.cameras[camera];
        try_until("a camera to be idle and open", PATIENCE, async || {
            let page = camera.page().await?;
            for (metric, value) in [
                ("callsheet_broker_connected", 1),
                ("callsheet_reports_pending", 0),
                ("callsheet_slots_free", page.sum("callsheet_slots")),
                ("callsheet_card_promised_bytes", 0),
            ] {
                let told = page.sum(metric);
                ensure!(told == value, "{}: {metric} is {told}", camera.name);
            }
            let list: WorkerList = self.api.get("/v1/workers").await?;
            let mut workers = list.workers.into_iter();
            let told = workers.find(|it| it.state.worker.worker.as_str() == camera.name);
            let told = told.context("it is listed")?;
            let mut waiting = told.state.waiting.iter();
            let shut = waiting.find(|it| it.profile.as_str() == PROFILE);
            ensure!(
                told.online && told.state.running.is_empty() && shut.is_none(),
                "{told:?}"
            );
            Ok(())
        })
        .await
    }

    /// Waits until the coordinator has no connection to a camera any more.
    pub(crate) async fn is_let_go(&self, camera: usize) -> Result<()> {
        let camera = self.cameras[camera].host.place.address();
        try_until("connections to be given up", PATIENCE, async || {
            let open = connections(&self.coordinator.0, camera)?;
            ensure!(open.is_empty(), "{open:?} are open");
            Ok(())
        })
        .await
    }

    /// Waits until a camera's worker has given up its connection to the broker, which nobody has closed.
    pub(crate) async fn knows_that_it_is_cut_off(&self, camera: usize) -> Result<()> {
        let broker = self.broker.1.place.address();
        try_until("a worker to notice", PATIENCE, async || {
            let open = connections(&self.cameras[camera].worker, broker)?;
            ensure!(!open.iter().any(|it| it == ESTABLISHED), "{open:?}");
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

/// A connection that both ends believe in, as the kernel writes it.
const ESTABLISHED: &str = "01";

/// How the connections of a program's host to that address are, in the kernel's table of that host.
fn connections(program: &Program, to: Ipv4Addr) -> Result<Vec<String>> {
    let id = program.id().context("it runs")?;
    let table = fs::read_to_string(format!("/proc/{id}/net/tcp"))?;
    let other_end = format!("{:08X}:", u32::from_ne_bytes(to.octets()));
    let state = |line: &str| {
        let mut words = line.split_whitespace().skip(2);
        let is_it = words.next()?.starts_with(&other_end);
        words.next().filter(|_| is_it).map(str::to_owned)
    };
    Ok(table.lines().skip(1).filter_map(state).collect())
}
