//! Logins: browsers that showed the password. A row of `login` each, found by the fingerprint of the cookie's secret.

use std::time::Duration;

use mimeo_core::ids::Secret;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::clock::Timestamp;

/// Browsers that may be logged in at once. The one that logged in longest ago makes room.
const LOGINS_MAX: i64 = 100;

/// A login that was just made: the secret goes into the cookie and is kept nowhere else.
#[derive(Debug, Clone)]
pub struct NewLogin {
    pub secret: Secret,
    pub account: String,
    pub lasts: Duration,
}

pub async fn insert(
    db: &mut SqliteConnection,
    secret: &Secret,
    account_id: i64,
    now: Timestamp,
    lasts: Duration,
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM login WHERE expires_at <= $1").bind(now.0).execute(&mut *db).await?;
    sqlx::query(
        "DELETE FROM login WHERE fingerprint IN
         (SELECT fingerprint FROM login ORDER BY created_at DESC LIMIT -1 OFFSET $1)",
    )
    .bind(LOGINS_MAX - 1)
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO login (fingerprint, account_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
    )
    .bind(&secret.fingerprint()[..])
    .bind(account_id)
    .bind(now.0)
    .bind(now.plus(lasts).0)
    .execute(db)
    .await?;
    Ok(())
}

/// The name of the account whose login this secret is, while it lasts.
pub async fn find_account(
    db: impl SqliteExecutor<'_>,
    secret: &Secret,
    now: Timestamp,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT account.name FROM login JOIN account ON account.id = login.account_id
         WHERE login.fingerprint = $1 AND login.created_at <= $2 AND login.expires_at > $2",
    )
    .bind(&secret.fingerprint()[..])
    .bind(now.0)
    .fetch_optional(db)
    .await
}

pub async fn delete(db: impl SqliteExecutor<'_>, secret: &Secret) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM login WHERE fingerprint = $1")
        .bind(&secret.fingerprint()[..])
        .execute(db)
        .await?;
    Ok(())
}
