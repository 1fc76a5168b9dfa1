//! API tokens: keys for programs. A row of `api_token` each, found by the fingerprint of its secret.

use mimeo_core::ids::Secret;
use sqlx::SqliteExecutor;

use super::account::Name;
use crate::clock::Timestamp;

/// A token as it can be listed: its secret is known to nobody but its bearer.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Token {
    pub name: String,
    pub created_at: i64,
}

pub async fn insert(
    db: impl SqliteExecutor<'_>,
    name: &Name,
    secret: &Secret,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO api_token (name, fingerprint, created_at) VALUES ($1, $2, $3)")
        .bind(name.as_str())
        .bind(&secret.fingerprint()[..])
        .bind(now.0)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn find_name(db: impl SqliteExecutor<'_>, secret: &Secret) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT name FROM api_token WHERE fingerprint = $1")
        .bind(&secret.fingerprint()[..])
        .fetch_optional(db)
        .await
}

pub async fn list(db: impl SqliteExecutor<'_>) -> Result<Vec<Token>, sqlx::Error> {
    sqlx::query_as("SELECT name, created_at FROM api_token ORDER BY name").fetch_all(db).await
}

/// Whether there was one of that name.
pub async fn delete(db: impl SqliteExecutor<'_>, name: &str) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query("DELETE FROM api_token WHERE name = $1").bind(name).execute(db).await?;
    Ok(deleted.rows_affected() > 0)
}
