//! A coordinator over HTTP that asks for tokens. What goes wrong is an error here and no panic: who asks may have something to take
//! down.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;
use shared::api::{FilmStatus, FilmView, SubmitAnswer, WorkerList};
use shared::film::FilmRequest;
use shared::ids::FilmId;
use shared::job::JobStatus;

use crate::http::{builder, client};
use crate::wait::try_until;

/// Longest wait for a coordinator and its broker to be there.
const READY_LIMIT: Duration = Duration::from_secs(90);

/// A client with the right to do what people do.
pub struct Api {
    http: reqwest::Client,
    base: String,
    token: String,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Api {
    /// Of the coordinator at that URL, with a token of operators.
    pub fn new(base: impl Into<String>, token: String) -> Self {
        Self {
            http: client(),
            base: base.into(),
            token,
        }
    }

    /// The same over HTTPS, where an authority with this certificate (PEM) is to have signed that of the coordinator.
    ///
    /// # Errors
    /// If it is no certificate.
    pub fn trusting(authority: &[u8], base: impl Into<String>, token: String) -> Result<Self> {
        let authority = reqwest::Certificate::from_pem(authority)?;
        let http = builder().tls_certs_only([authority]).build()?;
        Ok(Self {
            http,
            ..Self::new(base, token)
        })
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Waits until it can do its work.
    ///
    /// # Errors
    /// If it cannot for long.
    pub async fn ready(&self) -> Result<()> {
        try_until("the coordinator to be ready", READY_LIMIT, async || {
            let asked = self.http.get(format!("{}/readyz", self.base));
            asked.send().await?.error_for_status()?;
            Ok(())
        })
        .await
    }

    /// Submits a film.
    ///
    /// # Errors
    /// If it is not taken.
    pub async fn submit(&self, request: &FilmRequest) -> Result<FilmId> {
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
    ///
    /// # Errors
    /// If none is for long.
    pub async fn begun(&self, film: FilmId) -> Result<()> {
        try_until("a job to run", READY_LIMIT, async || {
            let view = self.film(film).await?;
            let runs = |status| view.jobs.iter().any(|job| job.status == status);
            ensure!(runs(JobStatus::Running), "no job runs");
            ensure!(view.summary.status == FilmStatus::Running, "it is done");
            Ok(())
        })
        .await
    }

    /// Waits until a film is made, and looks at its file.
    ///
    /// # Errors
    /// If it is not made in time; with how its jobs stand.
    pub async fn completed(&self, film: FilmId, limit: Duration) -> Result<FilmView> {
        let view = try_until("the film to be completed", limit, async || {
            let view = self.film(film).await?;
            let status = view.summary.status;
            let jobs: Vec<_> = view
                .jobs
                .iter()
                .map(|job| format!("{} {} {:?}", job.kind, job.status, job.failure))
                .collect();
            ensure!(status == FilmStatus::Completed, "{status:?}: {jobs:?}");
            Ok(view)
        })
        .await?;
        let file = self.bytes(&format!("/v1/films/{film}/film.mp4")).await?;
        ensure!(file.get(4..8) == Some(b"ftyp"), "the film is no MP4 file");
        Ok(view)
    }

    /// Waits until that many workers are there.
    ///
    /// # Errors
    /// If there are fewer or more for long.
    pub async fn workers(&self, count: usize) -> Result<()> {
        try_until("all workers to be there", READY_LIMIT, async || {
            let list: WorkerList = self.get("/v1/workers").await?;
            let online = list.workers.iter().filter(|worker| worker.online).count();
            ensure!(online == count, "{online} of {count}");
            Ok(())
        })
        .await
    }

    /// Everything about a film.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn film(&self, film: FilmId) -> Result<FilmView> {
        self.get(&format!("/v1/films/{film}")).await
    }

    /// The file at a path.
    ///
    /// # Errors
    /// If it does not answer, or not with success.
    pub async fn bytes(&self, path: &str) -> Result<Bytes> {
        let asked = self.http.get(format!("{}{path}", self.base));
        let sent = asked.bearer_auth(&self.token).send().await?;
        Ok(sent.error_for_status()?.bytes().await?)
    }

    /// What it says at a path.
    ///
    /// # Errors
    /// If it does not answer, or not with success.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        self.answer(self.http.get(format!("{}{path}", self.base)))
            .await
    }

    /// What it says at a path, as it is.
    ///
    /// # Errors
    /// If it does not answer, or not with success.
    pub async fn text(&self, path: &str) -> Result<String> {
        let asked = self.http.get(format!("{}{path}", self.base));
        let sent = asked.bearer_auth(&self.token).send().await?;
        Ok(sent.error_for_status()?.text().await?)
    }

    async fn answer<T: DeserializeOwned>(&self, asked: RequestBuilder) -> Result<T> {
        let sent = asked.bearer_auth(&self.token).send().await?;
        Ok(sent.error_for_status()?.json().await?)
    }
}
