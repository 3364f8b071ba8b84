//! Jobs.

use std::collections::HashSet;

use shared::artifact::Sha256;
use shared::ids::{FilmId, JobId};
use shared::job::JobKind;
use shared::time::Timestamp;

use super::{Rows, id_bytes, json};
use crate::core::job::{Job, JobState};
use crate::store::StoreError;

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

impl Rows<'_> {
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
}
