//! One boot of a computer into the client, and the credential that proves it.

use std::time::Duration;

use mimeo_core::ids::{BootId, ComputerId, Secret};
use sqlx::{SqliteConnection, SqlitePool};

use super::boot_token::new_secret;
use crate::clock::Timestamp;

/// How long a credential is good where the computer does not boot again before: longer than the slowest capture
/// of a large disk over a slow network, and a machine left waiting overnight still gets its orders.
pub const CREDENTIAL_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Who shows a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientBoot {
    pub id: BootId,
    pub computer: ComputerId,
    /// When the boot said its first word.
    pub since: Timestamp,
}

/// Begins a boot: from now on the computer's former credential is worth nothing.
pub(super) async fn begin_boot(
    connection: &mut SqliteConnection,
    computer: ComputerId,
    now: Timestamp,
) -> Result<(ClientBoot, Secret), sqlx::Error> {
    let credential = new_secret();
    sqlx::query("DELETE FROM client_boot WHERE computer = ?1")
        .bind(computer.0)
        .execute(&mut *connection)
        .await?;
    let id = sqlx::query_scalar(
        "INSERT INTO client_boot (computer, fingerprint, issued_ms, expires_ms) VALUES (?1, ?2, ?3, ?4) \
         RETURNING id",
    )
    .bind(computer.0)
    .bind(credential.fingerprint().as_slice())
    .bind(now.0)
    .bind(now.plus(CREDENTIAL_LIFE).0)
    .fetch_one(connection)
    .await?;
    Ok((ClientBoot { id: BootId(id), computer, since: now }, credential))
}

/// Whose credential this is; `None` for an invented one, an expired one, and one of a former boot.
pub async fn find_boot(
    pool: &SqlitePool,
    credential: &Secret,
    now: Timestamp,
) -> Result<Option<ClientBoot>, sqlx::Error> {
    let row: Option<(i64, i64, i64)> = sqlx::query_as(
        "SELECT id, computer, issued_ms FROM client_boot WHERE fingerprint = ?1 AND expires_ms > ?2",
    )
    .bind(credential.fingerprint().as_slice())
    .bind(now.0)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|(id, computer, issued_ms)| ClientBoot {
        id: BootId(id),
        computer: ComputerId(computer),
        since: Timestamp(issued_ms),
    }))
}
