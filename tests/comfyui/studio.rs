//! A coordinator and workers as processes, over RabbitMQ, and a double of ComfyUI that they film with.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use comfyui_double::{Content, Double, Flavour};
use serde_json::{Value, json};
use shared::api::{FilmStatus, FilmView, JobView, SubmitAnswer, WorkerList};
use shared::ids::FilmId;
use shared::job::{JobKind, JobStatus};
use support::clip;
use support::stage::{Cast, Stage};
use support::wait::until;
use video_worker::comfyui::tag::Tag;

/// The workflow of the stories, in the folder `workflows`.
pub(crate) const PROFILE: &str = "moving";
/// Steps of a render.
pub(crate) const STEPS: u32 = 4;
/// A lease that does not run out in a story.
pub(crate) const LONG: Duration = Duration::from_secs(180);
/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Studio {
    pub(crate) stage: Stage,
    pub(crate) double: Double,
    films: Vec<FilmId>,
    scenes: usize,
}

/// A double that has what the workflow needs; a render takes that long.
pub(crate) fn double(render: Duration) -> Double {
    let double = Double::start(Flavour::New);
    let file = |folder: &str, name: &str| (folder.to_owned(), vec![name.to_owned()]);
    double.behave(|it| {
        it.content = Content::Bytes(clip::small());
        it.steps = STEPS;
        it.step = render / STEPS;
        it.models = [
            file("diffusion_models", "moving.safetensors"),
            file("text_encoders", "words.safetensors"),
            file("vae", "pixels.safetensors"),
        ]
        .into();
    });
    double
}

impl Studio {
    /// Opens one whose runs are believed alive for that long without a word, and whose renders take that long.
    pub(crate) async fn open(lease: Duration, render: Duration) -> Result<Self> {
        let double = double(render);
        let workflows = concat!(env!("CARGO_MANIFEST_DIR"), "/comfyui/workflows");
        // A run that is lost counts as a failure, and the stories lose many.
        let settings = format!(
            "[coordinator]\nlease_ms = {lease}\n\
             [coordinator.retry]\nmax_failures = 1000\nbase_ms = 1\ncap_ms = 1\n\
             [coordinator.profiles]\nscene = \"{PROFILE}\"\n\
             [comfyui]\nurl = \"{url}\"\nworkflows = '{workflows}'\n\
             [gpu]\ndevice = \"none\"\n",
            lease = lease.as_millis(),
            url = double.url(),
        );
        Ok(Self {
            stage: Stage::set_with(Cast::Real, |_| Ok(settings)).await?,
            double,
            films: Vec::new(),
            scenes: 0,
        })
    }

    /// Orders a film of so many scenes of a second, which may ask for more.
    pub(crate) async fn order(&mut self, scenes: usize, more: &Value) -> Result<FilmId> {
        let shots = (1..=scenes).map(|number| json!({"action": format!("Wave {number}.")}));
        let mut request = json!({
            "script": {"title": "Waves", "scenes": shots.collect::<Vec<_>>()},
            "seconds": 1, "size": "64x64", "fps": 8, "seed": self.films.len(),
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            request[key] = value.clone();
        }
        let film = match self.stage.post("/v1/films", &request).await? {
            SubmitAnswer::Accepted { film } => film,
            SubmitAnswer::Mistaken { mistakes } => bail!("refused: {mistakes:?}"),
        };
        self.films.push(film);
        self.scenes += scenes;
        Ok(film)
    }

    /// Orders another film if there is hardly anything left to render.
    pub(crate) async fn keep_busy(&mut self) -> Result<()> {
        if self.scenes < self.double.rendered().len() + 3 {
            self.order(4, &json!({})).await?;
        }
        Ok(())
    }

    /// Waits until something is rendered.
    pub(crate) async fn a_render_runs(&self) {
        until("a render", PATIENCE, async || {
            self.double.running().ok_or("none runs")
        })
        .await;
    }

    /// Waits until nothing is rendered.
    pub(crate) async fn no_render_runs(&self) {
        until("the end of a render", PATIENCE, async || {
            match self.double.running() {
                None => Ok(()),
                Some(prompt) => Err(format!("{prompt} runs")),
            }
        })
        .await;
    }

    /// All jobs of all films.
    pub(crate) async fn jobs(&self) -> Result<Vec<JobView>> {
        let mut jobs = Vec::new();
        for film in &self.films {
            jobs.extend(self.stage.film(*film).await?.jobs);
        }
        Ok(jobs)
    }

    /// The worker whose job is rendered.
    pub(crate) async fn who_renders(&self) -> Result<Option<String>> {
        let Some(prompt) = self.double.running() else {
            return Ok(None);
        };
        let jobs = self.jobs().await?;
        let is_it = |job: &&JobView| {
            job.kind == JobKind::Scene && Tag::first(job.id, job.take).prompt() == prompt
        };
        let worker = jobs.iter().find(is_it).and_then(|job| job.worker.clone());
        Ok(worker.map(|worker| worker.to_string()))
    }

    /// Waits until that worker, which is dead, is not believed to run anything any more.
    pub(crate) async fn lease_runs_out(&self, worker: &str) {
        let is_its = |job: &JobView| job.worker.as_ref().is_some_and(|it| it.as_str() == worker);
        until("the end of a lease", PATIENCE, async || {
            let jobs = self.jobs().await?;
            let held = jobs
                .iter()
                .filter(|job| job.status == JobStatus::Running && is_its(job));
            let held: Vec<_> = held.map(|job| job.id).collect();
            ensure!(held.is_empty(), "{worker} runs {held:?}");
            Ok(())
        })
        .await;
    }

    /// Waits until a worker takes jobs for the workflow.
    pub(crate) async fn is_ready(&self, worker: &str) {
        until("a worker to be ready", PATIENCE, async || {
            let list: WorkerList = self.stage.get("/v1/workers").await?;
            let mut workers = list.workers.iter();
            let found = workers.find(|it| it.state.worker.worker.as_str() == worker);
            let found = found.context("it was not heard of")?;
            let mut waiting = found.state.waiting.iter();
            match waiting.find(|it| it.profile.as_str() == PROFILE) {
                Some(waiting) => bail!("it waits: {}", waiting.reason),
                None => Ok(()),
            }
        })
        .await;
    }

    /// Waits until a film is completed.
    pub(crate) async fn completed(&self, film: FilmId) -> FilmView {
        until("a film", PATIENCE, async || {
            let view = self.stage.film(film).await?;
            let stands = view
                .jobs
                .iter()
                .map(|job| format!("{} {} {:?}", job.kind, job.status, job.failure));
            let stands: Vec<_> = stands.collect();
            ensure!(view.summary.status == FilmStatus::Completed, "{stands:?}");
            Ok(view)
        })
        .await
    }

    /// Waits until all films are completed. By the server's own count each scene was then rendered once: nothing was sent twice,
    /// nothing was interrupted.
    pub(crate) async fn all_is_rendered_once(&self) {
        for film in &self.films {
            self.completed(*film).await;
        }
        let rendered = self.double.rendered();
        let job = |it: &comfyui_double::Rendered| it.extra_data["callsheet"]["job"].to_string();
        let jobs: BTreeSet<_> = rendered.iter().map(job).collect();
        let files: Vec<_> = rendered.iter().flat_map(|it| &it.files).collect();
        assert_eq!(
            (rendered.len(), jobs.len(), self.double.taken().len()),
            (self.scenes, self.scenes, self.scenes),
            "renders, scenes of them and prompts sent, of that many scenes; {files:?}"
        );
        assert_eq!(self.double.interrupts(), 0);
    }
}
