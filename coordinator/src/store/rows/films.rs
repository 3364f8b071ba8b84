//! Films.

use std::collections::HashMap;

use shared::ids::FilmId;
use shared::job::JobStatus;
use shared::time::Timestamp;
use sqlx::Row;

use super::{Rows, id_bits, id_bytes, json};
use crate::core::plan::Film;
use crate::store::StoreError;

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
        let mut ends = self.job_ends(before, limit).await?;
        rows.iter()
            .map(|row| {
                let film: Film = json(row, 0)?;
                Ok(FilmRow {
                    jobs: ends.remove(&film.id).unwrap_or_default(),
                    film,
                    title: row.try_get(1)?,
                })
            })
            .collect()
    }

    /// Status and end of each job of the films of such a list.
    async fn job_ends(
        &mut self,
        before: u128,
        limit: u32,
    ) -> Result<HashMap<FilmId, Vec<(JobStatus, Option<Timestamp>)>>, StoreError> {
        let rows = sqlx::query(
            "SELECT film, status, finished_at FROM jobs \
             WHERE film IN (SELECT id FROM films WHERE id < ? ORDER BY id DESC LIMIT ?)",
        )
        .bind(id_bytes(before))
        .bind(i64::from(limit))
        .fetch_all(&mut *self.0)
        .await?;
        let mut ends = HashMap::<_, Vec<_>>::new();
        for row in &rows {
            let film = FilmId::from_u128(id_bits(row.try_get(0)?)?);
            let end: Option<i64> = row.try_get(2)?;
            let end = (status_of(row.try_get(1)?)?, end.map(Timestamp::from_millis));
            ends.entry(film).or_default().push(end);
        }
        Ok(ends)
    }

    /// How many films stand where. Looks at every job.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn films_by_state(&mut self) -> Result<Vec<(String, u64)>, StoreError> {
        // The same as `plan::status_of`, which a test holds it to.
        let rows = sqlx::query(
            "SELECT state, count(*) FROM (SELECT CASE \
             WHEN sum(status = 'cancelled') > 0 THEN 'cancelled' \
             WHEN sum(status IN ('queued', 'running', 'retryable')) > 0 THEN 'running' \
             WHEN sum(status = 'failed') > 0 THEN 'failed' \
             WHEN sum(status = 'blocked') > 0 THEN 'running' \
             ELSE 'completed' END AS state FROM jobs GROUP BY film) GROUP BY state",
        )
        .fetch_all(&mut *self.0)
        .await?;
        rows.iter()
            .map(|row| {
                let films = u64::try_from(row.try_get::<i64, _>(1)?).unwrap_or(0);
                Ok((row.try_get(0)?, films))
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
}

fn status_of(name: &str) -> Result<JobStatus, StoreError> {
    Ok(serde_json::from_value(serde_json::Value::String(
        name.to_owned(),
    ))?)
}
