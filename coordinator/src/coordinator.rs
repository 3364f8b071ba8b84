//! The coordinator's face: what the HTTP API asks of it.

use futures::StreamExt;
use futures::stream::BoxStream;
use shared::api::{
    FilmEvent, FilmList, FilmView, JobExplanation, JobView, Manifest, WorkerList, WorkerView,
};
use shared::artifacts::ArtifactStore;
use shared::broker::{Link, SharedBroker};
use shared::film::FilmRequest;
use shared::ids::{FilmId, JobId, WorkerId};
use shared::job::JobStatus;
use shared::metrics::Page;
use shared::preview::Preview;
use shared::time::Timestamp;
use shared::trace::Arrival;
use tokio::sync::{mpsc, oneshot};

use crate::core::job::Job;
use crate::core::plan::{self, Film};
use crate::engine::{Ask, Input, Reply, Shared};
use crate::live::Live;
use crate::store::{Reader, Rows, StoreError};
use crate::views;
use crate::watching;

/// A running coordinator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordinator {
    shared: Shared,
    engine: mpsc::Sender<Input>,
    broker: SharedBroker,
}

/// What makes a repeated submission harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmissionKey {
    /// The `Idempotency-Key` of an HTTP request.
    Http(String),
    /// The `message_id` of an AMQP message.
    Amqp(String),
}

impl SubmissionKey {
    pub(crate) fn to_column(&self) -> String {
        match self {
            Self::Http(key) => format!("http:{key}"),
            Self::Amqp(key) => format!("amqp:{key}"),
        }
    }
}

/// An accepted submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The film.
    pub film: FilmId,
    /// Whether it had been submitted before under the same key.
    pub repeated: bool,
}

/// Why something that was asked for is not done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such film, job or worker.
    #[error("there is no {0}")]
    NotFound(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// The key was used before for another request.
    #[error("this key was used before for another film: choose a new one")]
    KeyReused,
    /// The store failed.
    #[error("the store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for AskError {
    fn from(error: StoreError) -> Self {
        Self::Store(Box::new(error))
    }
}

/// One event of a film. Kept events have a number that rises; progress has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// Its number, for `Last-Event-ID`.
    pub number: Option<u64>,
    /// The event.
    pub event: FilmEvent,
}

impl Coordinator {
    pub(crate) const fn new(
        shared: Shared,
        engine: mpsc::Sender<Input>,
        broker: SharedBroker,
    ) -> Self {
        Self {
            shared,
            engine,
            broker,
        }
    }

    /// Accepts a film. The request has been checked (`FilmRequest::mistakes` is empty).
    ///
    /// # Errors
    /// `KeyReused`, `Store`.
    pub async fn submit(
        &self,
        request: FilmRequest,
        key: Option<SubmissionKey>,
    ) -> Result<Submitted, AskError> {
        self.submit_arrived(request, key, Arrival::now(None)).await
    }

    /// The same of a request that came then, as part of that trace.
    ///
    /// # Errors
    /// `KeyReused`, `Store`.
    pub async fn submit_arrived(
        &self,
        request: FilmRequest,
        key: Option<SubmissionKey>,
        arrival: Arrival,
    ) -> Result<Submitted, AskError> {
        self.ask(|reply| Ask::Submit {
            request: Box::new(request),
            key,
            arrival,
            reply,
        })
        .await
    }

    /// Films, newest first; those older than `before`.
    ///
    /// # Errors
    /// `Store`.
    pub async fn films(&self, before: Option<FilmId>, limit: u32) -> Result<FilmList, AskError> {
        let mut snapshot = self.shared.reader.snapshot().await?;
        let rows = Rows(&mut snapshot)
            .films(before, limit.saturating_add(1))
            .await?;
        let has_more = rows.len() > limit as usize;
        let films: Vec<_> = rows
            .iter()
            .take(limit as usize)
            .map(views::summary)
            .collect();
        let next = films.last().map(|film| film.id).filter(|_| has_more);
        Ok(FilmList { films, next })
    }

    /// Everything about a film.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn film(&self, id: FilmId) -> Result<FilmView, AskError> {
        let (film, jobs) = self.read_film(id).await?;
        let live = self.shared.live();
        let now = Timestamp::now();
        let shown = jobs.iter().map(|job| enlivened(job, &jobs, &live, now));
        let shown = shown.collect();
        let view = views::film(&film, &jobs, shown);
        let wants = match view.summary.status.is_final() {
            true => Vec::new(),
            false => plan::wants(&film, &jobs),
        };
        let unserved = wants
            .into_iter()
            .filter_map(|kind| live.fleet.unserved(kind, film.profiles.of(kind), now));
        Ok(FilmView {
            unserved: unserved.collect(),
            ..view
        })
    }

    /// How a completed film was made.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while it is not completed, `Store`.
    pub async fn manifest(&self, id: FilmId) -> Result<Manifest, AskError> {
        let (film, jobs) = self.read_film(id).await?;
        views::manifest(&film, &jobs)
            .ok_or_else(|| AskError::Conflict("the film is not completed".to_owned()))
    }

    async fn read_film(&self, id: FilmId) -> Result<(Film, Vec<Job>), AskError> {
        let mut snapshot = self.shared.reader.snapshot().await?;
        let mut rows = Rows(&mut snapshot);
        let film = rows
            .film(id)
            .await?
            .ok_or_else(|| AskError::NotFound(format!("film {id}")))?;
        Ok((film, rows.jobs_of(id).await?))
    }

    /// A job.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn job(&self, id: JobId) -> Result<JobView, AskError> {
        let mut snapshot = self.shared.reader.snapshot().await?;
        let mut rows = Rows(&mut snapshot);
        let job = rows
            .job(id)
            .await?
            .ok_or_else(|| AskError::NotFound(format!("job {id}")))?;
        let film = match job.status() == JobStatus::Blocked {
            true => rows.jobs_of(job.film).await?,
            false => Vec::new(),
        };
        Ok(enlivened(
            &job,
            &film,
            &self.shared.live(),
            Timestamp::now(),
        ))
    }

    /// The newest picture of a job's run, if it runs and its worker shows one.
    pub fn preview(&self, id: JobId) -> Option<Preview> {
        self.shared.live().previews.of(id).cloned()
    }

    /// Why a job is not starting.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn explain_job(&self, id: JobId) -> Result<JobExplanation, AskError> {
        let job = self.job(id).await?;
        let live = self.shared.live();
        let workers = match job.status {
            JobStatus::Queued => live.fleet.explain(job.kind, &job.profile, Timestamp::now()),
            JobStatus::Blocked
            | JobStatus::Running
            | JobStatus::Retryable
            | JobStatus::Completed
            | JobStatus::Failed
            | JobStatus::Cancelled => Vec::new(),
        };
        Ok(JobExplanation { job, workers })
    }

    /// What happened to a film after the event of that number (all of it if `None`), and then what happens, until the film
    /// has ended and its last event was given.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn events(
        &self,
        id: FilmId,
        after: Option<u64>,
    ) -> Result<BoxStream<'static, Numbered>, AskError> {
        self.read_film(id).await?;
        Ok(watching::events(self.shared.clone(), id, after.unwrap_or(0)).boxed())
    }

    /// Cancels a film: nothing of it starts any more, and what runs is stopped.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it is completed, `Store`.
    pub async fn cancel_film(&self, id: FilmId) -> Result<FilmView, AskError> {
        self.ask(|reply| Ask::CancelFilm { film: id, reply })
            .await?;
        self.film(id).await
    }

    /// Gives every failed job of a film new tries.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if nothing of it failed, `Store`.
    pub async fn retry_film(&self, id: FilmId) -> Result<FilmView, AskError> {
        self.ask(|reply| Ask::RetryFilm { film: id, reply }).await?;
        self.film(id).await
    }

    /// Gives a failed job new tries.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it did not fail, `Store`.
    pub async fn retry_job(&self, id: JobId) -> Result<JobView, AskError> {
        self.ask(|reply| Ask::RetryJob { job: id, reply }).await?;
        self.job(id).await
    }

    /// Forgets a film that has ended. Its files go with the next clean-up, unless another film has them too.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while it has not ended, `Store`.
    pub async fn delete_film(&self, id: FilmId) -> Result<(), AskError> {
        self.ask(|reply| Ask::DeleteFilm { film: id, reply }).await
    }

    /// The workers heard of.
    ///
    /// # Errors
    /// None at present.
    pub async fn workers(&self) -> Result<WorkerList, AskError> {
        let live = self.shared.live();
        let now = Timestamp::now();
        Ok(WorkerList {
            workers: live
                .fleet
                .members()
                .map(|member| worker_view(member, &live, now))
                .collect(),
        })
    }

    /// Asks a worker to stand still, or to go on.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn pause_worker(&self, id: &WorkerId, paused: bool) -> Result<WorkerView, AskError> {
        let unknown = || AskError::NotFound(format!("worker {id}"));
        if self.shared.live().fleet.member(id).is_none() {
            return Err(unknown());
        }
        self.ask(|reply| Ask::PauseWorker {
            worker: id.clone(),
            paused,
            reply,
        })
        .await?;
        let live = self.shared.live();
        let member = live.fleet.member(id).ok_or_else(unknown)?;
        Ok(worker_view(member, &live, Timestamp::now()))
    }

    /// Whether it can do its work now; the reason if not.
    ///
    /// # Errors
    /// The reason.
    pub async fn ready(&self) -> Result<(), String> {
        if let Link::Down(why) = &*self.broker.link().borrow() {
            return Err(format!("the broker cannot be reached: {why}"));
        }
        if !*self.shared.is_reader.borrow() {
            return Err(
                "it is not sure yet that no other coordinator serves this virtual host".to_owned(),
            );
        }
        if !*self.shared.is_open.borrow() {
            return Err("submissions over the broker are not read yet".to_owned());
        }
        if let Some(why) = &*self.shared.trouble.borrow() {
            return Err(format!("nothing can be stored: {why}"));
        }
        let read = async {
            let mut snapshot = self.shared.reader.snapshot().await?;
            Rows(&mut snapshot).films(None, 1).await
        };
        read.await
            .map(drop)
            .map_err(|error| shared::failure::chain(&error))
    }

    /// The metrics of this coordinator.
    ///
    /// # Errors
    /// `Store`.
    pub async fn metrics(&self) -> Result<Page, AskError> {
        let link = self.broker.link().borrow().clone();
        Ok(self.shared.metrics.page(&self.shared, &link).await?)
    }

    /// Where the files are.
    pub const fn artifacts(&self) -> &ArtifactStore {
        &self.shared.artifacts
    }

    pub(crate) const fn reader(&self) -> &Reader {
        &self.shared.reader
    }

    async fn ask<T>(&self, question: impl FnOnce(Reply<T>) -> Ask) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        let gone = |what: &str| AskError::Store(what.to_owned().into());
        self.engine
            .send(Input::Ask(question(reply)))
            .await
            .map_err(|_| gone("the coordinator is shutting down"))?;
        answer
            .await
            .map_err(|_| gone("nothing could be stored; is the disk full?"))?
    }
}

/// A job with what only the living know of it; `film` are the jobs of its film, for one that is blocked.
fn enlivened(job: &Job, film: &[Job], live: &Live, now: Timestamp) -> JobView {
    let mut view = views::job(job);
    match job.status() {
        JobStatus::Running => view.progress = live.progress.get(&job.id).cloned(),
        JobStatus::Queued => {
            view.waiting = Some(live.fleet.why_waiting(job.kind, &job.profile, now));
        }
        JobStatus::Blocked => view.waiting = Some(plan::waits_for(film, job).to_owned()),
        JobStatus::Retryable => {
            view.waiting = view
                .retry_at
                .map(|at| format!("is tried again in {:.1} s", at.since(now).as_secs_f64()));
        }
        JobStatus::Completed | JobStatus::Failed | JobStatus::Cancelled => {}
    }
    view
}

fn worker_view(member: &crate::core::fleet::Member, live: &Live, now: Timestamp) -> WorkerView {
    WorkerView {
        state: member.state.clone(),
        seen_at: member.seen_at,
        online: member.is_there(now),
        pause_wanted: live.paused.contains(&member.state.worker.worker),
    }
}
