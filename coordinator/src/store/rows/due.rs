//! Jobs that wait: for their next attempt, for its publication, for a worker.

use std::time::Duration;

use shared::ids::{FilmId, JobId, ProfileName};
use shared::job::JobKind;
use shared::time::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Rows, id_bits, id_bytes};
use crate::store::StoreError;

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

/// Attempts that must still be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outbox {
    /// How many.
    pub attempts: u32,
    /// When the oldest of them was queued.
    pub oldest: Option<Timestamp>,
}

impl Rows<'_> {
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

    /// What must still be published.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn outbox(&mut self) -> Result<Outbox, StoreError> {
        let row = sqlx::query("SELECT count(*), min(queued_at) FROM jobs WHERE dispatch_due = 1")
            .fetch_one(&mut *self.0)
            .await?;
        let oldest: Option<i64> = row.try_get(1)?;
        Ok(Outbox {
            attempts: count(&row, 0)?,
            oldest: oldest.map(Timestamp::from_millis),
        })
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
}

fn count(row: &SqliteRow, column: usize) -> Result<u32, StoreError> {
    Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
}
