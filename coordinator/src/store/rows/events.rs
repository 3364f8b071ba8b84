//! What happened to films.

use shared::api::FilmEvent;
use shared::ids::FilmId;
use sqlx::{QueryBuilder, Row};

use super::{Rows, id_bytes, json};
use crate::store::StoreError;

/// Most events in one statement. There are as many statements to be prepared as there are numbers up to it.
const AT_ONCE: usize = 16;

impl Rows<'_> {
    /// Keeps events; returns their numbers.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn append_events(&mut self, events: &[&FilmEvent]) -> Result<Vec<u64>, StoreError> {
        let mut numbers = Vec::with_capacity(events.len());
        for part in events.chunks(AT_ONCE) {
            let mut rows = Vec::with_capacity(part.len());
            for event in part {
                rows.push((
                    id_bytes(event.film.as_u128()),
                    serde_json::to_string(event)?,
                ));
            }
            let mut insert = QueryBuilder::new("INSERT INTO events (film, event) ");
            insert.push_values(rows, |mut row, (film, event)| {
                row.push_bind(film).push_bind(event);
            });
            let done = insert.build().execute(&mut *self.0).await?;
            // The rows of one statement are numbered one after the other, as nobody else writes.
            let last = u64::try_from(done.last_insert_rowid()).unwrap_or(0);
            numbers.extend((last + 1).saturating_sub(part.len() as u64)..=last);
        }
        Ok(numbers)
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
}
