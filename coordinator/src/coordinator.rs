//! The coordinator's face: what the HTTP API and the submissions queue ask of it.

use futures::stream::BoxStream;
use shared::api::{FilmEvent, FilmList, FilmView, JobView, Manifest, WorkerList, WorkerView};
use shared::artifacts::ArtifactStore;
use shared::film::FilmRequest;
use shared::ids::{FilmId, JobId, WorkerId};

/// A running coordinator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Coordinator {}

/// What makes a repeated submission harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmissionKey {
    /// The `Idempotency-Key` of an HTTP request.
    Http(String),
    /// The `message_id` of an AMQP message.
    Amqp(String),
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

/// One event of a film. Kept events have a number that rises; progress has none.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbered {
    /// Its number, for `Last-Event-ID`.
    pub number: Option<u64>,
    /// The event.
    pub event: FilmEvent,
}

#[expect(
    unused_variables,
    clippy::todo,
    clippy::unused_async,
    reason = "the signatures come first"
)]
impl Coordinator {
    /// Accepts a film. The request has been checked (`FilmRequest::mistakes` is empty).
    ///
    /// # Errors
    /// `KeyReused`, `Store`.
    pub async fn submit(
        &self,
        request: FilmRequest,
        key: Option<SubmissionKey>,
    ) -> Result<Submitted, AskError> {
        todo!()
    }

    /// Films, newest first; those before (older than) `before`.
    ///
    /// # Errors
    /// `Store`.
    pub async fn films(&self, before: Option<FilmId>, limit: u32) -> Result<FilmList, AskError> {
        todo!()
    }

    /// Everything about a film.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn film(&self, id: FilmId) -> Result<FilmView, AskError> {
        todo!()
    }

    /// How a completed film was made.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while it is not completed, `Store`.
    pub async fn manifest(&self, id: FilmId) -> Result<Manifest, AskError> {
        todo!()
    }

    /// A job.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn job(&self, id: JobId) -> Result<JobView, AskError> {
        todo!()
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
        todo!()
    }

    /// Cancels a film: nothing of it starts any more, and what runs is stopped.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it has ended otherwise, `Store`.
    pub async fn cancel_film(&self, id: FilmId) -> Result<FilmView, AskError> {
        todo!()
    }

    /// Gives every failed job of a film new tries.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if nothing of it failed, `Store`.
    pub async fn retry_film(&self, id: FilmId) -> Result<FilmView, AskError> {
        todo!()
    }

    /// Gives a failed job new tries.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` if it did not fail, `Store`.
    pub async fn retry_job(&self, id: JobId) -> Result<JobView, AskError> {
        todo!()
    }

    /// Forgets a film that has ended. Its files go with the next clean-up, unless another film has them too.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while it has not ended, `Store`.
    pub async fn delete_film(&self, id: FilmId) -> Result<(), AskError> {
        todo!()
    }

    /// The workers heard of.
    ///
    /// # Errors
    /// `Store`.
    pub async fn workers(&self) -> Result<WorkerList, AskError> {
        todo!()
    }

    /// Asks a worker to stand still, or to go on.
    ///
    /// # Errors
    /// `NotFound`, `Store`.
    pub async fn pause_worker(&self, id: &WorkerId, paused: bool) -> Result<WorkerView, AskError> {
        todo!()
    }

    /// Whether it can do its work now; the reason if not (broker out of reach, store failing).
    ///
    /// # Errors
    /// The reason.
    pub async fn ready(&self) -> Result<(), String> {
        todo!()
    }

    /// Where the files are.
    pub fn artifacts(&self) -> &ArtifactStore {
        todo!()
    }
}
