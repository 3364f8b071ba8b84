//! What people and submitters ask for.

use std::sync::Arc;

use shared::api::{FilmStatus, Happening, SubmitAnswer};
use shared::broker::Delivery;
use shared::film::{FilmRequest, Mistake, SEED_MAX};
use shared::ids::{FilmId, JobId};
use shared::job::JobStatus;
use shared::protocol::{PauseWorker, ToWorker};
use shared::time::Timestamp;
use shared::trace::{self, Arrival, Kind};

use super::after::Submission;
use super::{After, Ask, Engine, Known};
use crate::coordinator::{AskError, SubmissionKey, Submitted};
use crate::core::decide::Event;
use crate::core::plan::{self, Film};
use crate::effects;
use crate::store::{Rows, StoreError};

impl Engine {
    pub(super) async fn ask(
        &mut self,
        rows: &mut Rows<'_>,
        ask: Ask,
        after: &mut After,
    ) -> Result<(), StoreError> {
        match ask {
            Ask::Submit {
                request,
                key,
                arrival,
                reply,
            } => {
                let came = (arrival, Kind::Server);
                let submitted = self.submit(rows, *request, key.as_ref(), came, after);
                let answer = submitted.await?;
                after.reply(reply, answer);
            }
            Ask::CancelFilm { film, reply } => {
                let answer = self.cancel_film(rows, film, after).await?;
                after.reply(reply, answer);
            }
            Ask::RetryFilm { film, reply } => {
                let answer = self.retry_film(rows, film, after).await?;
                after.reply(reply, answer);
            }
            Ask::RetryJob { job, reply } => {
                let answer = self.retry_job(rows, job, after).await?;
                after.reply(reply, answer);
            }
            Ask::DeleteFilm { film, reply } => {
                let answer = self.delete_film(rows, film, after).await?;
                after.reply(reply, answer);
            }
            Ask::PauseWorker {
                worker,
                paused,
                reply,
            } => {
                rows.set_paused(&worker, paused).await?;
                let address = self.shared.live().fleet.address(&worker).cloned();
                if let Some(to) = address {
                    let word = ToWorker::PauseWorker(PauseWorker { paused });
                    after
                        .outgoing
                        .push(effects::to_worker(to, self.shared.reader.id(), word));
                }
                after.known.push(Known::Paused { worker, paused });
                after.reply(reply, Ok(()));
            }
        }
        Ok(())
    }

    /// A film that came over AMQP. It is answered if it says where.
    pub(super) async fn submission(
        &mut self,
        rows: &mut Rows<'_>,
        request: FilmRequest,
        delivery: Delivery,
        after: &mut After,
    ) -> Result<(), StoreError> {
        let message = &delivery.message;
        let key = SubmissionKey::Amqp(message.id.clone());
        let arrival = Arrival::now(message.header(trace::HEADER));
        let reply_to = message.reply_to.clone();
        let correlation_id = message.correlation_id.clone();
        // It is settled whatever becomes of it: so it must be noted first.
        after.submissions.push(Submission {
            delivery,
            answer: None,
            mistake: None,
        });
        let came = (arrival, Kind::Consumer);
        let submitted = self.submit(rows, request, Some(&key), came, after);
        let submitted = submitted.await?;
        let (answer, mistake) = match submitted {
            Ok(Submitted { film, .. }) => (SubmitAnswer::Accepted { film }, None),
            Err(error) => {
                let mistake = Mistake::new("message_id", error.to_string());
                let reason = mistake.to_string();
                let mistakes = vec![mistake];
                (SubmitAnswer::Mistaken { mistakes }, Some(reason))
            }
        };
        if let Some(noted) = after.submissions.last_mut() {
            noted.answer = reply_to.map(|to| effects::reply(to, correlation_id, &answer));
            noted.mistake = mistake;
        }
        Ok(())
    }

    async fn submit(
        &mut self,
        rows: &mut Rows<'_>,
        request: FilmRequest,
        key: Option<&SubmissionKey>,
        (arrival, kind): (Arrival, Kind),
        after: &mut After,
    ) -> Result<Result<Submitted, AskError>, StoreError> {
        let asked = serde_json::to_string(&request)?;
        let key = key.map(SubmissionKey::to_column);
        if let Some(key) = &key
            && let Some((film, before)) = rows.film_by_key(key).await?
        {
            let is_same = before == asked;
            return Ok(if is_same {
                Ok(Submitted {
                    film,
                    repeated: true,
                })
            } else {
                Err(AskError::KeyReused)
            });
        }
        let id = FilmId::generate();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low bits of a version 7 UUID are the random ones"
        )]
        let seed = request.seed.unwrap_or(id.as_u128() as u64 & SEED_MAX);
        let profiles = self.shared.settings.profiles.for_film(&request);
        let film = Film {
            id,
            request: FilmRequest {
                seed: Some(seed),
                ..request
            },
            seed,
            profiles,
            created_at: Timestamp::now(),
            trace: Self::begin_film(id, arrival, kind, after),
        };
        rows.insert_film(&film, key.as_deref(), &asked).await?;
        let film = Arc::new(film);
        after.films.insert(id, Arc::clone(&film));
        tracing::info!(
            film.id = %id, trace.id = film.trace.map(|it| tracing::field::display(it.trace_id())), "film accepted"
        );
        after.tell(id, Happening::FilmAccepted);
        for job in plan::first_jobs(&film, &mut JobId::generate) {
            self.happen(rows, job, Event::Unblocked, after).await?;
        }
        Ok(Ok(Submitted {
            film: id,
            repeated: false,
        }))
    }

    async fn cancel_film(
        &mut self,
        rows: &mut Rows<'_>,
        film: FilmId,
        after: &mut After,
    ) -> Result<Result<(), AskError>, StoreError> {
        let jobs = rows.jobs_of(film).await?;
        if jobs.is_empty() {
            return Ok(Err(no_film(film)));
        }
        match plan::status(&jobs) {
            FilmStatus::Cancelled => return Ok(Ok(())),
            FilmStatus::Completed => {
                return Ok(Err(AskError::Conflict("the film is completed".to_owned())));
            }
            FilmStatus::Running | FilmStatus::Failed => {}
        }
        for job in jobs {
            self.happen(rows, job, Event::CancelRequested, after)
                .await?;
        }
        let end = Happening::FilmCancelled;
        self.end_film(rows, film, &end, after).await?;
        after.tell(film, end);
        Ok(Ok(()))
    }

    async fn retry_film(
        &mut self,
        rows: &mut Rows<'_>,
        film: FilmId,
        after: &mut After,
    ) -> Result<Result<(), AskError>, StoreError> {
        let jobs = rows.jobs_of(film).await?;
        if jobs.is_empty() {
            return Ok(Err(no_film(film)));
        }
        let failed: Vec<_> = jobs
            .into_iter()
            .filter(|job| can_be_retried(job.status()))
            .collect();
        if failed.is_empty() {
            return Ok(Err(AskError::Conflict(
                "no job of this film has failed".to_owned(),
            )));
        }
        for job in failed {
            self.happen(rows, job, Event::RetryRequested, after).await?;
        }
        Ok(Ok(()))
    }

    async fn retry_job(
        &mut self,
        rows: &mut Rows<'_>,
        id: JobId,
        after: &mut After,
    ) -> Result<Result<(), AskError>, StoreError> {
        match rows.job(id).await? {
            None => Ok(Err(AskError::NotFound(format!("job {id}")))),
            Some(job) if can_be_retried(job.status()) => {
                self.happen(rows, job, Event::RetryRequested, after).await?;
                Ok(Ok(()))
            }
            Some(job) => Ok(Err(AskError::Conflict(format!(
                "the job is {}; only a failed one can be retried",
                job.status()
            )))),
        }
    }

    async fn delete_film(
        &mut self,
        rows: &mut Rows<'_>,
        film: FilmId,
        after: &mut After,
    ) -> Result<Result<(), AskError>, StoreError> {
        let jobs = rows.jobs_of(film).await?;
        if jobs.is_empty() {
            return Ok(Err(no_film(film)));
        }
        if !plan::status(&jobs).is_final() {
            return Ok(Err(AskError::Conflict(
                "the film is still being made: cancel it first".to_owned(),
            )));
        }
        // What is still to be kept of it belongs to its row.
        after.keep_events(rows).await?;
        rows.delete_film(film).await?;
        after.films.remove(&film);
        after.dispatches.remove(&film);
        tracing::info!(film.id = %film, "film deleted");
        Ok(Ok(()))
    }
}

/// Whether new tries help it: it has failed, or waits for its next try, which then comes at once.
const fn can_be_retried(status: JobStatus) -> bool {
    matches!(status, JobStatus::Failed | JobStatus::Retryable)
}

fn no_film(film: FilmId) -> AskError {
    AskError::NotFound(format!("film {film}"))
}
