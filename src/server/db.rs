//! The database: one SQLite file, migrated before anything else opens.

use std::{error::Error, path::Path, time::Duration};

use sqlx::{
    SqlitePool,
    error::DatabaseError,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteError, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
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
    let error = |source| OpenDbError::of(path, source);
    migrate_file(options.clone()).await.map_err(error)?;
    SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await.map_err(error)
}

/// Migrates a file, and has the disk keep it at the end rather than after each migration: a new file has all of them before
/// it, and takes a third of a second less. With a write-ahead log, a power cut in between loses the last ones whole.
async fn migrate_file(options: SqliteConnectOptions) -> Result<(), sqlx::Error> {
    let options = options.synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    migrate(&pool).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await?;
    pool.close().await;
    Ok(())
}

/// What SQLite finds wrong with a database file; nothing, if all is well. Changes nothing.
pub async fn check(path: &Path) -> Result<Vec<String>, OpenDbError> {
    let error = |source| OpenDbError::of(path, source);
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(error)?;
    let said: Vec<String> = sqlx::query_scalar("PRAGMA quick_check").fetch_all(&pool).await.map_err(error)?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

/// An empty database in memory, migrated: for tests.
pub async fn open_in_memory() -> Result<SqlitePool, OpenDbError> {
    let error = |source| OpenDbError::of(Path::new(":memory:"), source);
    let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
    // Each connection to ":memory:" has a database of its own, so there may be only one, and it must stay.
    let pool =
        SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
    let pool = pool.connect_with(options).await.map_err(error)?;
    migrate(&pool).await.map_err(error)?;
    Ok(pool)
}

/// Each migration is one transaction: a start that is cut off leaves the tables of some version, and the next goes on
/// from there.
async fn migrate(pool: &SqlitePool) -> Result<(), sqlx::Error> {
    Ok(sqlx::migrate!("migrations/sqlite").run(pool).await?)
}

/// What a person can mend when a statement fails, and the program cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    DiskFull,
    /// Another program held the database for longer than a statement waits.
    Locked,
}

/// Whether a failure comes from one of these troubles, by SQLite's result codes (<https://sqlite.org/rescode.html>).
pub fn trouble_of(failure: &(dyn Error + 'static)) -> Option<Trouble> {
    let mut failure = Some(failure);
    while let Some(error) = failure {
        let code = match error.downcast_ref::<sqlx::Error>() {
            Some(error) => error.as_database_error().and_then(|error| error.code()),
            None => error.downcast_ref::<SqliteError>().and_then(|error| error.code()),
        };
        // The lower byte is the primary code, what stands above it says more.
        match code.and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff) {
            Some(SQLITE_FULL) => return Some(Trouble::DiskFull),
            Some(SQLITE_BUSY) => return Some(Trouble::Locked),
            _ => failure = error.source(),
        }
    }
    None
}

const SQLITE_BUSY: u32 = 5;
const SQLITE_FULL: u32 = 13;

/// The database could not be opened or migrated.
#[derive(Debug, thiserror::Error)]
pub enum OpenDbError {
    #[error("opening database {path}")]
    Failed { path: String, source: sqlx::Error },
    #[error("opening database {path}: the disk is full, make room on it and start again")]
    DiskFull { path: String },
    #[error("opening database {path}: another program holds it, end that first (`fuser {path}` names it)")]
    Locked { path: String },
    #[error(
        "database {path} was written by a newer version of Mimeo (its migration {migration} is not known here): \
         install that version again, or restore the backup from before it"
    )]
    Newer { path: String, migration: i64 },
}

impl OpenDbError {
    fn of(path: &Path, source: sqlx::Error) -> Self {
        let path = path.display().to_string();
        if let sqlx::Error::Migrate(error) = &source
            && let MigrateError::VersionMissing(migration) = **error
        {
            return Self::Newer { path, migration };
        }
        match trouble_of(&source) {
            Some(Trouble::DiskFull) => Self::DiskFull { path },
            Some(Trouble::Locked) => Self::Locked { path },
            None => Self::Failed { path, source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{OpenDbError, Trouble, open, open_in_memory, trouble_of};

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_left_alone_and_said_to_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mimeo.db");
        let pool = open(&path).await.expect("a new database");
        sqlx::query(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, x'00', 0)",
        )
        .execute(&pool)
        .await
        .expect("inserted");
        pool.close().await;
        let error = open(&path).await.expect_err("it is newer");
        assert!(matches!(error, OpenDbError::Newer { migration: 9999, .. }), "{error:?}");
        assert!(error.to_string().contains("newer version of Mimeo"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_database_is_refused_and_not_overwritten() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mimeo.db");
        let letter = "Dear Sir or Madam, ".repeat(300);
        std::fs::write(&path, &letter).expect("written");
        assert!(matches!(open(&path).await, Err(OpenDbError::Failed { .. })));
        assert_eq!(std::fs::read_to_string(&path).expect("is there"), letter);
    }

    #[tokio::test]
    async fn a_full_disk_is_known_by_its_code() {
        let pool = open_in_memory().await.expect("a database");
        sqlx::query("PRAGMA max_page_count = 1").execute(&pool).await.expect("as small as it is");
        let large = sqlx::query("INSERT INTO setting (name, value) VALUES ('large', zeroblob(10000000))");
        let error = large.execute(&pool).await.expect_err("there is no room");
        assert_eq!(trouble_of(&error), Some(Trouble::DiskFull), "{error}");
        let error = sqlx::query("SELECT nonsense").execute(&pool).await.expect_err("no such column");
        assert_eq!(trouble_of(&error), None);
    }
}
