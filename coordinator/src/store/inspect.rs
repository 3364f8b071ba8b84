//! A look at a database, beside whoever works with it.

use std::path::Path;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::{StoreError, migrations};

/// What was seen of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inspection {
    /// Films in it.
    pub films: i64,
    /// Their jobs.
    pub jobs: i64,
}

/// Reads the whole database, and changes nothing.
///
/// # Errors
/// If it cannot be read, is damaged or is of a later version of this program.
pub async fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let seen = read(&mut connection).await;
    // It is read: how it is closed changes nothing.
    let _ = connection.close().await;
    seen
}

async fn read(connection: &mut SqliteConnection) -> Result<Inspection, StoreError> {
    let said: String = sqlx::query_scalar("PRAGMA quick_check(1)")
        .fetch_one(&mut *connection)
        .await?;
    if said != "ok" {
        return Err(StoreError::Damaged(said));
    }
    let latest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await?;
    let known = migrations().iter().map(|it| it.version).max();
    if latest > known {
        let later = MigrateError::VersionMissing(latest.unwrap_or_default());
        return Err(later.into());
    }
    let (films, jobs) =
        sqlx::query_as("SELECT (SELECT count(*) FROM films), (SELECT count(*) FROM jobs)")
            .fetch_one(connection)
            .await?;
    Ok(Inspection { films, jobs })
}
