//! Three processes over a real broker: a coordinator and two workers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use shared::api::{FilmList, FilmView};
use shared::broker::rights::Role;
use shared::ids::FilmId;
use tempfile::TempDir;

use crate::http::client;
use crate::programs::Program;
use crate::rabbitmq::RabbitMq;
use crate::wait::until;

/// Kinds and profiles that the two workers of a studio offer.
pub const STORY: &str = "story/outline";
/// See [`STORY`].
pub const PICTURES: &str = "keyframe/storyboard,scene/animatic,assembly/ffmpeg";

/// A coordinator and workers as processes, over a broker.
#[derive(Debug)]
pub struct Stage {
    /// The broker.
    pub rabbitmq: RabbitMq,
    /// The coordinator.
    pub coordinator: Program,
    /// The worker that writes stories.
    pub writer: Program,
    /// The worker that makes pictures.
    pub painter: Program,
    /// What every worker that is none of the stubs is told.
    told: Vec<String>,
    folder: TempDir,
    http: reqwest::Client,
}

/// Which workers stand on the stage.
#[derive(Debug, Clone, Copy)]
pub enum Cast {
    /// `llm-worker` and `video-worker`.
    Real,
    /// Stubs that count their executions.
    Stubs {
        /// Attempts that each runs at once.
        slots: u32,
        /// How long an execution takes.
        work: Duration,
    },
}

impl Stage {
    /// Starts all of it.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn set(cast: Cast) -> Result<Self> {
        Self::set_with(cast, |_| Ok(String::new())).await
    }

    /// The same with a file of settings, made for the folder that goes with the stage. Stubs read none.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn set_with(
        cast: Cast,
        settings: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Self> {
        let rabbitmq = RabbitMq::start().await?;
        let url = rabbitmq.url();
        Self::open(rabbitmq, |_| url.clone(), cast, settings).await
    }

    /// Starts all of it over that broker, with a user for each role.
    ///
    /// # Errors
    /// If something does not start.
    pub async fn over(
        rabbitmq: RabbitMq,
        url: impl Fn(Role) -> String,
        cast: Cast,
    ) -> Result<Self> {
        Self::open(rabbitmq, url, cast, |_| Ok(String::new())).await
    }

    async fn open(
        rabbitmq: RabbitMq,
        url: impl Fn(Role) -> String,
        cast: Cast,
        settings: impl FnOnce(&Path) -> Result<String>,
    ) -> Result<Self> {
        let folder = TempDir::new()?;
        let at = |name: &str| folder.path().join(name);
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let common = |role| {
            [
                "--broker".to_owned(),
                url(role),
                "--artifacts".to_owned(),
                text(at("artifacts")),
            ]
        };
        std::fs::write(at("settings.toml"), settings(folder.path())?)?;
        let config = ["--config".to_owned(), text(at("settings.toml"))];
        let own = |name: &str| ["--data-dir".to_owned(), text(at(name))];
        let listen = ["--listen".to_owned(), "127.0.0.1:0".to_owned()];
        let arguments = common(Role::Coordinator)
            .into_iter()
            .chain(own("coordinator"))
            .chain(config.iter().cloned())
            .chain(listen);
        let coordinator = Program::start("coordinator", "coordinator", arguments, folder.path())?;
        let worker = |name: &'static str, program: &'static str, offers: &str| {
            let mut arguments = common(Role::Worker).to_vec();
            arguments.extend(own(name));
            arguments.extend(["--name".to_owned(), name.to_owned()]);
            let program = match cast {
                Cast::Real => {
                    arguments.extend(config.iter().cloned());
                    program
                }
                Cast::Stubs { slots, work } => {
                    let count = text(at("executions"));
                    arguments.extend([
                        "--offers".to_owned(),
                        offers.to_owned(),
                        "--count".to_owned(),
                        count,
                    ]);
                    arguments.extend(["--slots".to_owned(), slots.to_string()]);
                    let work = work.as_millis().to_string();
                    arguments.extend(["--work-ms".to_owned(), work]);
                    "stub-worker"
                }
            };
            Program::start(program, name, arguments, folder.path())
        };
        let told = common(Role::Worker)
            .into_iter()
            .chain(config.iter().cloned());
        let told = told.collect();
        let writer = worker("writer", "llm-worker", STORY)?;
        let painter = worker("painter", "video-worker", PICTURES)?;
        let stage = Self {
            rabbitmq,
            coordinator,
            writer,
            painter,
            told,
            folder,
            http: client(),
        };
        stage.ready().await;
        Ok(stage)
    }

    /// Starts another `video-worker`, with the settings of the others but for these.
    ///
    /// # Errors
    /// If it does not start.
    pub fn another_painter<const N: usize>(
        &self,
        name: &str,
        settings: [(&str, &str); N],
    ) -> Result<Program> {
        let mut arguments = self.told.clone();
        let own = self.folder.path().join(name);
        let own = own.to_string_lossy().into_owned();
        arguments.extend(["--name".to_owned(), name.to_owned()]);
        arguments.extend(["--data-dir".to_owned(), own]);
        let environment = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Program::start_in(environment, "video-worker", name, arguments, self.folder())
    }

    /// Waits until the coordinator is ready.
    ///
    /// # Panics
    /// If it is not for a minute.
    pub async fn ready(&self) {
        until(
            "the coordinator to be ready",
            Duration::from_secs(60),
            async || {
                let answer = self.http.get(self.url("/readyz")?).send().await?;
                Ok::<_, anyhow::Error>(answer.error_for_status()?)
            },
        )
        .await;
    }

    /// The address of a path of the coordinator's API, as it printed it last.
    ///
    /// # Errors
    /// If it has not printed it yet.
    pub fn url(&self, path: &str) -> Result<String> {
        let printed = self.coordinator.printed();
        let (_, after) = printed
            .rsplit_once("listening on ")
            .context("the coordinator does not listen yet")?;
        let base: String = after.chars().take_while(|c| !c.is_whitespace()).collect();
        Ok(format!(
            "{}{path}",
            base.trim_end_matches(|c: char| !c.is_ascii_digit())
        ))
    }

    /// Where a worker tells its metrics, as it printed it last.
    ///
    /// # Errors
    /// If it has not printed it: the settings do not say so, or it has only just started.
    pub fn metrics_of(worker: &Program) -> Result<String> {
        let printed = worker.printed();
        let (_, after) = printed
            .rsplit_once("metrics at ")
            .context("it tells no metrics yet")?;
        let url = after.split_whitespace().next().context("a URL")?;
        let end = url.find("/metrics").context("the page of metrics")?;
        Ok(url[..end].to_owned())
    }

    /// Asks the API.
    ///
    /// # Errors
    /// If it does not answer, or not with success.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        Ok(self
            .http
            .get(self.url(path)?)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// Posts JSON to the API.
    ///
    /// # Errors
    /// If it does not answer, or not with success.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T> {
        Ok(self
            .http
            .post(self.url(path)?)
            .json(body)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?)
    }

    /// Bytes from the API.
    ///
    /// # Errors
    /// If it does not answer, or not with success.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        Ok(self
            .http
            .get(self.url(path)?)
            .send()
            .await?
            .error_for_status()?
            .bytes()
            .await?
            .to_vec())
    }

    /// Everything about a film.
    ///
    /// # Errors
    /// If the API does not answer.
    pub async fn film(&self, film: FilmId) -> Result<FilmView> {
        self.get(&format!("/v1/films/{film}")).await
    }

    /// All films, at most 1,000.
    ///
    /// # Errors
    /// If the API does not answer.
    pub async fn films(&self) -> Result<Vec<shared::api::FilmSummary>> {
        let mut films = Vec::new();
        let mut path = "/v1/films?limit=100".to_owned();
        while films.len() < 1_000 {
            let page: FilmList = self.get(&path).await?;
            films.extend(page.films);
            match page.next {
                Some(next) => path = format!("/v1/films?limit=100&before={next}"),
                None => break,
            }
        }
        Ok(films)
    }

    /// One line, `JOB TAKE SEED MICROSECONDS`, for each execution that a stub has begun.
    pub fn executions(&self) -> Vec<String> {
        let text =
            std::fs::read_to_string(self.folder.path().join("executions")).unwrap_or_default();
        text.lines().map(ToOwned::to_owned).collect()
    }

    /// A folder that goes with the stage.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}
