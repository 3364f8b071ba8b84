//! All SQL. SQLite, one file, one writer; readers see the last commit (WAL).
//!
//! `synchronous=FULL`: a commit is on disk when it returns. The engine puts many events into one transaction, so that one
//! flush serves them all.

use std::path::Path;

use shared::ids::StoreId;
use shared::time::Timestamp;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, SqlSafeStr, Sqlite, SqliteConnection, Transaction};

mod inspect;
mod rows;

pub use inspect::{Inspection, inspect};
pub use rows::{Dispatch, DispatchMark, FilmRow, Outbox, Rows, Waiting};

/// The name of the database in the coordinator's folder.
pub const FILE: &str = "callsheet.db";

/// Why the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database failed: a full disk, a damaged file.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The database is of a later version of this program, or was changed by hand.
    #[error(
        "the database does not have the tables that this program knows; use the version of the program that made it"
    )]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The file is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// A row holds something that this program did not write.
    #[error("a row of the database cannot be read")]
    Row(#[from] serde_json::Error),
}

impl StoreError {
    /// Whether something was read that this program did not write: the rest of the store is sound.
    pub const fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::Row(_)
                | Self::Database(sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
        )
    }
}

/// The store, for reading. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: SqlitePool,
    id: StoreId,
}

/// The one writer.
#[derive(Debug)]
pub struct Writer {
    options: SqliteConnectOptions,
    /// Absent after an error, until the next transaction begins.
    connection: Option<SqliteConnection>,
}

/// Opens the database file, making it if it is not there.
///
/// # Errors
/// If the file cannot be opened or is of another version.
pub async fn open(path: &Path) -> Result<(Reader, Writer), StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    migrations()
        .run_direct(None, &mut connection, false)
        .await?;
    let id = store_id(&mut connection).await?;
    let pool = SqlitePoolOptions::new()
        .min_connections(0)
        .max_connections(2)
        .connect_lazy_with(options.clone().read_only(true).create_if_missing(false));
    let connection = Some(connection);
    Ok((
        Reader { pool, id },
        Writer {
            options,
            connection,
        },
    ))
}

fn migrations() -> Migrator {
    let first = Migration::new(
        1,
        "films and jobs".into(),
        MigrationType::Simple,
        include_str!("../../migrations/0001_films_and_jobs.sql").into_sql_str(),
        false,
    );
    Migrator::with_migrations(vec![first])
}

async fn store_id(connection: &mut SqliteConnection) -> Result<StoreId, StoreError> {
    let fresh = rows::id_bytes(StoreId::generate().as_u128());
    sqlx::query("INSERT INTO store (id) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM store)")
        .bind(fresh)
        .execute(&mut *connection)
        .await?;
    let bytes: Vec<u8> = sqlx::query_scalar("SELECT id FROM store")
        .fetch_one(connection)
        .await?;
    Ok(StoreId::from_u128(rows::id_bits(&bytes)?))
}

impl Reader {
    /// The store's id.
    pub const fn id(&self) -> StoreId {
        self.id
    }

    /// What is stored now, to read from: `Rows(&mut *snapshot)`. What is read from one snapshot belongs together.
    ///
    /// # Errors
    /// If the database cannot be opened.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.pool.begin().await?)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

impl Writer {
    /// Begins a transaction: `Rows(&mut *transaction)`. Dropped, it is undone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn begin(&mut self) -> Result<Transaction<'_, Sqlite>, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await?,
        };
        let connection = self.connection.insert(connection);
        Ok(connection.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// When the next retry is due, or now if an attempt must still be published; `None` if there is neither. Asked outside a
    /// transaction.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn next_due(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let Some(connection) = &mut self.connection else {
            return Ok(Some(now));
        };
        let due = sqlx::query_scalar::<_, Option<i64>>(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM jobs WHERE dispatch_due = 1) THEN ? \
             ELSE (SELECT MIN(retry_at) FROM jobs WHERE status = 'retryable') END",
        );
        let due = due.bind(now.as_millis()).fetch_one(connection).await?;
        Ok(due.map(Timestamp::from_millis))
    }

    /// After a failed transaction: the next one begins on a connection of its own. SQLite has undone the failed one by itself
    /// when the disk is full, sqlx does not know that, and from then on would refuse to begin another.
    pub fn reconnect(&mut self) {
        self.connection = None;
    }

    /// Writes something and takes it away again: whether there is room and the disk takes it.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn try_out(&mut self) -> Result<(), StoreError> {
        for sql in [
            "DROP TABLE IF EXISTS trial; CREATE TABLE trial (content BLOB NOT NULL) STRICT; \
             INSERT INTO trial (content) VALUES (zeroblob(262144))",
            "DROP TABLE trial",
        ] {
            let mut transaction = self.begin().await?;
            sqlx::raw_sql(sql).execute(&mut *transaction).await?;
            transaction.commit().await?;
        }
        Ok(())
    }

    /// Closes the database; what is in the write-ahead log goes into the file.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.connection {
            Some(connection) => Ok(connection.close().await?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
