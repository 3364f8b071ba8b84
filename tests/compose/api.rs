//! The coordinator over HTTP, as it is published on this machine.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use shared::api::{FilmStatus, FilmView, SubmitAnswer, WorkerList};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use shared::job::JobStatus;
use support::http::client;
use tokio::time::{Instant, sleep};

/// Longest wait for a coordinator and its broker to be there.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// Pause between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// A client with the right to do what people do.
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    pub(crate) fn new(port: u16, token: String) -> Self {
        Self {
            http: client(),
            base: format!("http://127.0.0.1:{port}"),
            token,
        }
    }

    /// Waits until it can do its work.
    pub(crate) async fn ready(&self) -> Result<()> {
        until("the coordinator to be ready", READY_LIMIT, async || {
            let asked = self.http.get(format!("{}/readyz", self.base));
            asked.send().await?.error_for_status()?;
            Ok(())
        })
        .await
    }

    /// Submits a film.
    pub(crate) async fn submit(&self, request: &FilmRequest) -> Result<FilmId> {
        let asked = self
            .http
            .post(format!("{}/v1/films", self.base))
            .json(request);
        match self.answer(asked).await? {
            SubmitAnswer::Accepted { film } => Ok(film),
            SubmitAnswer::Mistaken { mistakes } => bail!("refused: {mistakes:?}"),
        }
    }

    /// Waits until a clip of a film is being made.
    pub(crate) async fn begun(&self, film: FilmId) -> Result<()> {
        until("a job to run", READY_LIMIT, async || {
            let view = self.film(film).await?;
            let runs = |status| view.jobs.iter().any(|job| job.status == status);
            ensure!(runs(JobStatus::Running), "no job runs");
            ensure!(view.summary.status == FilmStatus::Running, "it is done");
            Ok(())
        })
        .await
    }

    /// Waits until a film is made, and looks at its file.
    pub(crate) async fn completed(&self, film: FilmId, limit: Duration) -> Result<FilmView> {
        let view = until("the film to be completed", limit, async || {
            let view = self.film(film).await?;
            let status = view.summary.status;
            let jobs: Vec<_> = view
                .jobs
                .iter()
                .map(|job| format!("{} {}", job.kind, job.status))
                .collect();
            ensure!(status == FilmStatus::Completed, "{status:?}: {jobs:?}");
            Ok(view)
        })
        .await?;
        let asked = self
            .http
            .get(format!("{}/v1/films/{film}/film.mp4", self.base));
        let sent = asked.bearer_auth(&self.token).send().await?;
        let file = sent.error_for_status()?.bytes().await?;
        ensure!(file.get(4..8) == Some(b"ftyp"), "the film is no MP4 file");
        Ok(view)
    }

    /// Waits until that many workers are there.
    pub(crate) async fn workers(&self, count: usize) -> Result<()> {
        until("all workers to be there", READY_LIMIT, async || {
            let asked = self.http.get(format!("{}/v1/workers", self.base));
            let list: WorkerList = self.answer(asked).await?;
            let online = list.workers.iter().filter(|worker| worker.online).count();
            ensure!(online == count, "{online} of {count}");
            Ok(())
        })
        .await
    }

    async fn film(&self, film: FilmId) -> Result<FilmView> {
        self.answer(self.http.get(format!("{}/v1/films/{film}", self.base)))
            .await
    }

    async fn answer<T: DeserializeOwned>(&self, asked: RequestBuilder) -> Result<T> {
        let sent = asked.bearer_auth(&self.token).send().await?;
        Ok(sent.error_for_status()?.json().await?)
    }
}

/// Asks again and again until the answer is good.
async fn until<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if Instant::now() > deadline => {
                let waited = limit.as_secs();
                return Err(error).with_context(|| format!("waited {waited} s for {what}"));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}
