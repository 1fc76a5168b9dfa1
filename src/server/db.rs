//! The database: one SQLite file, migrated before anything else opens.

use std::{path::Path, time::Duration};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// Readers that may work at once. SQLite has one writer whatever this says.
const CONNECTIONS_MAX: u32 = 8;

/// How long a statement waits for the writer before it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the database file, creates it where there is none, and brings its tables up to date.
///
/// Write-ahead logging with full synchronisation: what a transaction committed survives a power cut.
pub async fn open(path: &Path) -> Result<SqlitePool, OpenDbError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true);
    let error = |source| OpenDbError { path: path.display().to_string(), source };
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .connect_with(options)
        .await
        .map_err(error)?;
    sqlx::migrate!("migrations/sqlite").run(&pool).await.map_err(|source| error(source.into()))?;
    Ok(pool)
}

/// What SQLite finds wrong with a database file; nothing, if all is well. Changes nothing.
pub async fn check(path: &Path) -> Result<Vec<String>, OpenDbError> {
    let error = |source| OpenDbError { path: path.display().to_string(), source };
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(error)?;
    let said: Vec<String> = sqlx::query_scalar("PRAGMA quick_check").fetch_all(&pool).await.map_err(error)?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

/// An empty database in memory, migrated: for tests.
pub async fn open_in_memory() -> Result<SqlitePool, OpenDbError> {
    let error = |source| OpenDbError { path: ":memory:".into(), source };
    let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
    // Each connection to ":memory:" has a database of its own, so there may be only one, and it must stay.
    let pool =
        SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
    let pool = pool.connect_with(options).await.map_err(error)?;
    sqlx::migrate!("migrations/sqlite").run(&pool).await.map_err(|source| error(source.into()))?;
    Ok(pool)
}

/// The database could not be opened or migrated.
#[derive(Debug, thiserror::Error)]
#[error("opening database {path}")]
pub struct OpenDbError {
    path: String,
    source: sqlx::Error,
}
