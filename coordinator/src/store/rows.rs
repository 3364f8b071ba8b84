//! Reading and writing rows.

use std::collections::HashSet;
use std::time::Duration;

use shared::api::FilmEvent;
use shared::artifact::Sha256;
use shared::ids::{FilmId, JobId, ProfileName, WorkerId};
use shared::job::{JobKind, JobStatus};
use shared::time::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::StoreError;
use crate::core::job::{Job, JobState};
use crate::core::plan::Film;

/// The tables, through one connection.
#[derive(Debug)]
pub struct Rows<'c>(pub &'c mut SqliteConnection);

/// A film in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct FilmRow {
    /// The film.
    pub film: Film,
    /// Its title, once its story is written.
    pub title: Option<String>,
    /// Status and end of each of its jobs.
    pub jobs: Vec<(JobStatus, Option<Timestamp>)>,
}

/// What is to become of a job's dispatch when the job is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DispatchMark {
    /// Its attempt must be published.
    Due,
    /// Nothing is to be published.
    NotDue,
    /// As it was.
    Keep,
}

/// One dispatch of a job: what an attempt was published for. A job that was queued anew since is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dispatch {
    /// The job.
    pub job: JobId,
    /// When the job was queued.
    pub queued_at: Option<Timestamp>,
}

/// Jobs that wait or run, counted by kind and profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Kind of job.
    pub kind: JobKind,
    /// Profile.
    pub profile: ProfileName,
    /// Jobs queued.
    pub queued: u32,
    /// Jobs running.
    pub running: u32,
    /// When the oldest queued one was queued.
    pub oldest: Option<Timestamp>,
}

pub(super) fn id_bytes(bits: u128) -> Vec<u8> {
    bits.to_be_bytes().to_vec()
}

pub(super) fn id_bits(bytes: &[u8]) -> Result<u128, StoreError> {
    let bytes: [u8; 16] = bytes
        .try_into()
        .map_err(|_| sqlx::Error::Decode("an id does not have 16 bytes".into()))?;
    Ok(u128::from_be_bytes(bytes))
}

fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: usize) -> Result<T, StoreError> {
    Ok(serde_json::from_str(row.try_get(column)?)?)
}

fn status_of(name: &str) -> Result<JobStatus, StoreError> {
    Ok(serde_json::from_value(serde_json::Value::String(
        name.to_owned(),
    ))?)
}

fn count(row: &SqliteRow, column: usize) -> Result<u32, StoreError> {
    Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
}

impl Rows<'_> {
    /// Adds a film. `asked` is the request as it came, as JSON.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn insert_film(
        &mut self,
        film: &Film,
        key: Option<&str>,
        asked: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO films (id, film, submission_key, asked) VALUES (?, ?, ?, ?)")
            .bind(id_bytes(film.id.as_u128()))
            .bind(serde_json::to_string(film)?)
            .bind(key)
            .bind(asked)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// The film that was submitted under that key, and the request as it came.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn film_by_key(&mut self, key: &str) -> Result<Option<(FilmId, String)>, StoreError> {
        let row = sqlx::query("SELECT id, asked FROM films WHERE submission_key = ?")
            .bind(key)
            .fetch_optional(&mut *self.0)
            .await?;
        row.map(|row| {
            Ok((
                FilmId::from_u128(id_bits(row.try_get(0)?)?),
                row.try_get(1)?,
            ))
        })
        .transpose()
    }

    /// A film.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn film(&mut self, id: FilmId) -> Result<Option<Film>, StoreError> {
        let row = sqlx::query("SELECT film FROM films WHERE id = ?")
            .bind(id_bytes(id.as_u128()))
            .fetch_optional(&mut *self.0)
            .await?;
        row.map(|row| json(&row, 0)).transpose()
    }

    /// Films older than `before`, newest first, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn films(
        &mut self,
        before: Option<FilmId>,
        limit: u32,
    ) -> Result<Vec<FilmRow>, StoreError> {
        let before = before.map_or(u128::MAX, |id| id.as_u128());
        let rows =
            sqlx::query("SELECT film, title FROM films WHERE id < ? ORDER BY id DESC LIMIT ?")
                .bind(id_bytes(before))
                .bind(i64::from(limit))
                .fetch_all(&mut *self.0)
                .await?;
        let mut films = Vec::with_capacity(rows.len());
        for row in rows {
            let film: Film = json(&row, 0)?;
            let jobs = self.job_ends(film.id).await?;
            films.push(FilmRow {
                film,
                title: row.try_get(1)?,
                jobs,
            });
        }
        Ok(films)
    }

    async fn job_ends(
        &mut self,
        film: FilmId,
    ) -> Result<Vec<(JobStatus, Option<Timestamp>)>, StoreError> {
        let rows = sqlx::query("SELECT status, finished_at FROM jobs WHERE film = ?")
            .bind(id_bytes(film.as_u128()))
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter()
            .map(|row| {
                let end: Option<i64> = row.try_get(1)?;
                Ok((status_of(row.try_get(0)?)?, end.map(Timestamp::from_millis)))
            })
            .collect()
    }

    /// Gives a film its title.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_title(&mut self, film: FilmId, title: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE films SET title = ? WHERE id = ?")
            .bind(title)
            .bind(id_bytes(film.as_u128()))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Forgets a film with its jobs and events.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn delete_film(&mut self, film: FilmId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM films WHERE id = ?")
            .bind(id_bytes(film.as_u128()))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    /// Films whose last job ended before `before`, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn films_ended_before(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<FilmId>, StoreError> {
        let rows = sqlx::query(
            "SELECT film FROM jobs GROUP BY film \
             HAVING count(*) FILTER (WHERE status IN ('queued', 'running', 'retryable')) = 0 \
             AND max(finished_at) < ? LIMIT ?",
        )
        .bind(before.as_millis())
        .bind(i64::from(limit))
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter()
            .map(|row| Ok(FilmId::from_u128(id_bits(row.try_get(0)?)?)))
            .collect()
    }

    /// A job.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn job(&mut self, id: JobId) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query("SELECT job FROM jobs WHERE id = ?")
            .bind(id_bytes(id.as_u128()))
            .fetch_optional(&mut *self.0)
            .await?;
        row.map(|row| json(&row, 0)).transpose()
    }

    /// A film's job of that kind and scene.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn job_of(
        &mut self,
        film: FilmId,
        kind: JobKind,
        scene: Option<u32>,
    ) -> Result<Option<Job>, StoreError> {
        let row = sqlx::query(
            "SELECT job FROM jobs WHERE film = ? AND kind = ? AND json_extract(job, '$.scene') IS ?",
        )
        .bind(id_bytes(film.as_u128()))
        .bind(kind.name())
        .bind(scene)
        .fetch_optional(&mut *self.0)
        .await?;
        row.map(|row| json(&row, 0)).transpose()
    }

    /// The jobs of a film, in the order of the film.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn jobs_of(&mut self, film: FilmId) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query("SELECT job FROM jobs WHERE film = ?")
            .bind(id_bytes(film.as_u128()))
            .fetch_all(&mut *self.0)
            .await?;
        let mut jobs: Vec<Job> = rows
            .iter()
            .map(|row| json(row, 0))
            .collect::<Result<_, _>>()?;
        jobs.sort_by_key(|job| (job.kind, job.scene, job.id));
        Ok(jobs)
    }

    /// All running jobs.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn running_jobs(&mut self) -> Result<Vec<Job>, StoreError> {
        let rows = sqlx::query("SELECT job FROM jobs WHERE status = 'running'")
            .fetch_all(&mut *self.0)
            .await?;
        let mut jobs = Vec::with_capacity(rows.len());
        for row in &rows {
            match json(row, 0) {
                Ok(job) => jobs.push(job),
                // One row that was changed by hand is no reason not to start.
                Err(error) => {
                    let error = shared::failure::chain(&error);
                    tracing::error!(error, "a running job is passed over");
                }
            }
        }
        Ok(jobs)
    }

    /// What follows can be undone by itself.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn savepoint(&mut self) -> Result<(), StoreError> {
        self.execute("SAVEPOINT input").await
    }

    /// What came after the last savepoint stays.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn release(&mut self) -> Result<(), StoreError> {
        self.execute("RELEASE input").await
    }

    /// What came after the last savepoint is undone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn undo(&mut self) -> Result<(), StoreError> {
        self.execute("ROLLBACK TO input").await?;
        self.release().await
    }

    async fn execute(&mut self, sql: &'static str) -> Result<(), StoreError> {
        sqlx::query(sql).execute(&mut *self.0).await?;
        Ok(())
    }

    /// Stores a job, new or changed.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn put_job(&mut self, job: &Job, dispatch: DispatchMark) -> Result<(), StoreError> {
        let retry_at = match job.state {
            JobState::Retryable { retry_at } => Some(retry_at.as_millis()),
            JobState::Blocked
            | JobState::Queued
            | JobState::Running { .. }
            | JobState::Completed(_)
            | JobState::Failed
            | JobState::Cancelled => None,
        };
        let due = match dispatch {
            DispatchMark::Due => Some(true),
            DispatchMark::NotDue => Some(false),
            DispatchMark::Keep => None,
        };
        sqlx::query(
            "INSERT INTO jobs (id, film, job, kind, profile, status, queued_at, retry_at, finished_at, dispatch_due) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, coalesce(?10, 0)) \
             ON CONFLICT (id) DO UPDATE SET job = ?3, status = ?6, queued_at = ?7, retry_at = ?8, finished_at = ?9, \
             dispatch_due = coalesce(?10, dispatch_due)",
        )
        .bind(id_bytes(job.id.as_u128()))
        .bind(id_bytes(job.film.as_u128()))
        .bind(serde_json::to_string(job)?)
        .bind(job.kind.name())
        .bind(job.profile.as_str())
        .bind(job.status().name())
        .bind(job.queued_at.map(Timestamp::as_millis))
        .bind(retry_at)
        .bind(job.finished_at.map(Timestamp::as_millis))
        .bind(due)
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Jobs whose next attempt is due, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn retries_due(
        &mut self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<JobId>, StoreError> {
        let rows =
            sqlx::query("SELECT id FROM jobs WHERE status = 'retryable' AND retry_at <= ? LIMIT ?")
                .bind(now.as_millis())
                .bind(i64::from(limit))
                .fetch_all(&mut *self.0)
                .await?;
        rows.iter()
            .map(|row| Ok(JobId::from_u128(id_bits(row.try_get(0)?)?)))
            .collect()
    }

    /// Jobs whose attempt must still be published, oldest first, at most `limit`, with their films.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn dispatches_due(&mut self, limit: u32) -> Result<Vec<(FilmId, JobId)>, StoreError> {
        let rows = sqlx::query(
            "SELECT film, id FROM jobs WHERE dispatch_due = 1 ORDER BY queued_at LIMIT ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    FilmId::from_u128(id_bits(row.try_get(0)?)?),
                    JobId::from_u128(id_bits(row.try_get(1)?)?),
                ))
            })
            .collect()
    }

    /// The attempt of that dispatch was published. Of a job that runs by now, or was queued anew, nothing is written.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn mark_dispatched(
        &mut self,
        dispatch: &Dispatch,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE jobs SET dispatch_due = 0, dispatched_at = ? \
             WHERE id = ? AND queued_at = ? AND dispatch_due = 1",
        )
        .bind(at.as_millis())
        .bind(id_bytes(dispatch.job.as_u128()))
        .bind(dispatch.queued_at.map(Timestamp::as_millis))
        .execute(&mut *self.0)
        .await?;
        Ok(())
    }

    /// Every queued job is to be published again. Returns how many.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn dispatch_all_again(&mut self) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE jobs SET dispatch_due = 1 WHERE status = 'queued'")
            .execute(&mut *self.0)
            .await?;
        Ok(done.rows_affected())
    }

    /// Queued jobs that have waited since their last publication for `after`, and for as long as they had waited before it,
    /// are to be published again: the interval doubles, so that a long queue does not fill the broker with repeats.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn dispatch_stale_again(
        &mut self,
        now: Timestamp,
        after: Duration,
    ) -> Result<u64, StoreError> {
        let done = sqlx::query(
            "UPDATE jobs SET dispatch_due = 1 WHERE status = 'queued' AND dispatch_due = 0 \
             AND ?1 - dispatched_at >= max(?2, dispatched_at - queued_at)",
        )
        .bind(now.as_millis())
        .bind(i64::try_from(after.as_millis()).unwrap_or(i64::MAX))
        .execute(&mut *self.0)
        .await?;
        Ok(done.rows_affected())
    }

    /// Jobs that wait or run, counted by kind and profile.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn waiting(&mut self) -> Result<Vec<Waiting>, StoreError> {
        let rows = sqlx::query(
            "SELECT kind, profile, count(*) FILTER (WHERE status = 'queued'), \
             count(*) FILTER (WHERE status = 'running'), min(queued_at) FILTER (WHERE status = 'queued') \
             FROM jobs WHERE status IN ('queued', 'running') GROUP BY kind, profile",
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter()
            .map(|row| {
                let text = |column| {
                    row.try_get::<String, _>(column)
                        .map(serde_json::Value::String)
                };
                let oldest: Option<i64> = row.try_get(4)?;
                Ok(Waiting {
                    kind: serde_json::from_value(text(0)?)?,
                    profile: serde_json::from_value(text(1)?)?,
                    queued: count(row, 2)?,
                    running: count(row, 3)?,
                    oldest: oldest.map(Timestamp::from_millis),
                })
            })
            .collect()
    }

    /// Every artifact that some job has made.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn artifacts_in_use(&mut self) -> Result<HashSet<Sha256>, StoreError> {
        let rows = sqlx::query("SELECT job FROM jobs WHERE status = 'completed'")
            .fetch_all(&mut *self.0)
            .await?;
        let mut found = HashSet::new();
        for row in &rows {
            let job: Job = json(row, 0)?;
            found.extend(
                job.completion()
                    .and_then(|done| done.outcome.product.artifact())
                    .map(|file| file.sha256),
            );
        }
        Ok(found)
    }

    /// Keeps an event; returns its number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn append_event(&mut self, event: &FilmEvent) -> Result<u64, StoreError> {
        let done = sqlx::query("INSERT INTO events (film, event) VALUES (?, ?)")
            .bind(id_bytes(event.film.as_u128()))
            .bind(serde_json::to_string(event)?)
            .execute(&mut *self.0)
            .await?;
        Ok(u64::try_from(done.last_insert_rowid()).unwrap_or(0))
    }

    /// A film's events after that number, at most `limit`.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn events_after(
        &mut self,
        film: FilmId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<(u64, FilmEvent)>, StoreError> {
        let rows =
            sqlx::query("SELECT number, event FROM events WHERE film = ? AND number > ? ORDER BY number LIMIT ?")
                .bind(id_bytes(film.as_u128()))
                .bind(i64::try_from(after).unwrap_or(i64::MAX))
                .bind(i64::from(limit))
                .fetch_all(&mut *self.0)
                .await?;
        rows.iter()
            .map(|row| {
                Ok((
                    u64::try_from(row.try_get::<i64, _>(0)?).unwrap_or(0),
                    json(row, 1)?,
                ))
            })
            .collect()
    }

    /// Workers that were asked to stand still.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn paused_workers(&mut self) -> Result<HashSet<WorkerId>, StoreError> {
        let rows = sqlx::query("SELECT worker FROM paused_workers")
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(serde_json::from_value(serde_json::Value::String(
                    row.try_get(0)?,
                ))?)
            })
            .collect()
    }

    /// Notes whether a worker is to stand still.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn set_paused(&mut self, worker: &WorkerId, paused: bool) -> Result<(), StoreError> {
        let sql = match paused {
            true => {
                sqlx::query("INSERT INTO paused_workers (worker) VALUES (?) ON CONFLICT DO NOTHING")
            }
            false => sqlx::query("DELETE FROM paused_workers WHERE worker = ?"),
        };
        sql.bind(worker.as_str()).execute(&mut *self.0).await?;
        Ok(())
    }
}
