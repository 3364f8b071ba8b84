//! Reading and writing rows.

use std::collections::HashSet;

use shared::ids::WorkerId;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::StoreError;

mod due;
mod events;
mod films;
mod jobs;

pub use due::{Dispatch, Outbox, Waiting};
pub use films::FilmRow;
pub use jobs::DispatchMark;

/// The tables, through one connection.
#[derive(Debug)]
pub struct Rows<'c>(pub &'c mut SqliteConnection);

impl Rows<'_> {
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
