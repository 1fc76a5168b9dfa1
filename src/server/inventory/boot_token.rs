//! Boot tokens: what a rendered boot script carries, and what the client that it starts shows once.
//!
//! A token proves that its bearer fetched a boot script, no more. One boot renders several scripts (GRUB alone looks
//! for its configuration under several names), so minting uses nothing up; the first [`spend`] of a token does.

use std::time::Duration;

use mimeo_core::ids::{MacAddr, Secret};
use sqlx::{SqliteConnection, SqlitePool};

use crate::clock::Timestamp;

/// How long a token waits for the client: GRUB fetches kernel and initramfs over TFTP in lock-step (a minute and a
/// half on a slow network), the menu may stand in front of somebody who reads, and firmware may try other things
/// first. Long enough for that, too short to be found in an old capture of the network.
pub const TOKEN_LIFE: Duration = Duration::from_secs(15 * 60);

/// Tokens kept for one address: more than the scripts of one boot. Older ones make room.
const TOKENS_PER_MAC_MAX: i64 = 16;

/// Tokens kept in all: two boots' worth of every PC on a large site. Beyond it the oldest make room, so that a flood
/// of invented addresses costs a few megabytes and no more.
const TOKENS_MAX: i64 = 65_536;

/// What a token's boot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A session waits for this computer.
    Session,
    /// Policy has new machines registered.
    Register,
    /// An entry of the menu, should somebody choose it.
    Menu,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Register => "register",
            Self::Menu => "menu",
        }
    }

    fn of_column(text: &str) -> Option<Self> {
        [Self::Session, Self::Register, Self::Menu].into_iter().find(|purpose| purpose.as_str() == text)
    }
}

/// A fresh random secret.
pub fn new_secret() -> Secret {
    Secret::from_random(rand::random())
}

/// Makes a token for the machine that boots with this card.
///
/// Durable when it returns: a server that is started again between script and client still knows the token.
pub async fn mint(
    pool: &SqlitePool,
    mac: MacAddr,
    purpose: Purpose,
    now: Timestamp,
) -> Result<Secret, sqlx::Error> {
    let token = new_secret();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("DELETE FROM boot_token WHERE expires_ms <= ?1")
        .bind(now.0)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO boot_token (fingerprint, mac, purpose, minted_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(token.fingerprint().as_slice())
    .bind(mac.to_string())
    .bind(purpose.as_str())
    .bind(now.0)
    .bind(now.plus(TOKEN_LIFE).0)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "DELETE FROM boot_token WHERE fingerprint IN (SELECT fingerprint FROM boot_token WHERE mac = ?1 \
         ORDER BY minted_ms DESC, used_ms IS NOT NULL LIMIT -1 OFFSET ?2)",
    )
    .bind(mac.to_string())
    .bind(TOKENS_PER_MAC_MAX)
    .execute(&mut *transaction)
    .await?;
    sqlx::query(
        "DELETE FROM boot_token WHERE fingerprint IN (SELECT fingerprint FROM boot_token \
         ORDER BY expires_ms DESC LIMIT -1 OFFSET ?1)",
    )
    .bind(TOKENS_MAX)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(token)
}

/// What a token was minted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Minted {
    pub(super) mac: MacAddr,
    pub(super) purpose: Purpose,
}

/// Says what a token was minted for, where it is still good. Writes nothing, so an invented token does not even make
/// others wait.
pub(super) async fn check(
    connection: &mut SqliteConnection,
    token: &Secret,
    now: Timestamp,
) -> Result<Minted, SpendError> {
    let row: Option<(String, String, i64, Option<i64>)> =
        sqlx::query_as("SELECT mac, purpose, expires_ms, used_ms FROM boot_token WHERE fingerprint = ?1")
            .bind(token.fingerprint().as_slice())
            .fetch_optional(connection)
            .await?;
    let (mac, purpose, expires_ms, used_ms) = row.ok_or(SpendError::Unknown)?;
    if used_ms.is_some() {
        return Err(SpendError::Used);
    }
    if expires_ms <= now.0 {
        return Err(SpendError::Expired);
    }
    let mac = mac.parse().map_err(|_| SpendError::Unknown)?;
    Ok(Minted { mac, purpose: Purpose::of_column(&purpose).ok_or(SpendError::Unknown)? })
}

/// Uses a token up and says what it was minted for. Counts only once the caller commits.
pub(super) async fn spend(
    connection: &mut SqliteConnection,
    token: &Secret,
    now: Timestamp,
) -> Result<Minted, SpendError> {
    let minted = check(connection, token, now).await?;
    // Says again that it is unused, so that being used once does not hang on how the caller opened its transaction.
    let update = sqlx::query("UPDATE boot_token SET used_ms = ?2 WHERE fingerprint = ?1 AND used_ms IS NULL");
    let spent = update.bind(token.fingerprint().as_slice()).bind(now.0).execute(connection).await?;
    if spent.rows_affected() == 1 { Ok(minted) } else { Err(SpendError::Used) }
}

/// Why a token buys nothing.
#[derive(Debug, thiserror::Error)]
pub enum SpendError {
    #[error("the boot token is unknown")]
    Unknown,
    #[error("the boot token was used before")]
    Used,
    #[error("the boot token has expired")]
    Expired,
    #[error("the table of boot tokens cannot be used")]
    Database(#[from] sqlx::Error),
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;
    use sqlx::SqlitePool;

    use super::{Purpose, SpendError, TOKEN_LIFE, TOKENS_PER_MAC_MAX, mint, new_secret, spend};
    use crate::{clock::Timestamp, db};

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const START: Timestamp = Timestamp(1_000_000);

    async fn spend_once(
        pool: &SqlitePool,
        token: &super::Secret,
        now: Timestamp,
    ) -> Result<MacAddr, SpendError> {
        let minted = spend(&mut pool.acquire().await.expect("a connection"), token, now).await?;
        Ok(minted.mac)
    }

    #[tokio::test]
    async fn a_token_is_good_once_and_for_its_time() {
        let pool = db::open_in_memory().await.expect("a database");
        let token = mint(&pool, MAC, Purpose::Session, START).await.expect("minted");
        let late = mint(&pool, MAC, Purpose::Session, START).await.expect("minted");
        assert_eq!(spend_once(&pool, &token, START).await.expect("spent"), MAC);
        assert!(matches!(spend_once(&pool, &token, START).await, Err(SpendError::Used)));
        assert!(matches!(spend_once(&pool, &new_secret(), START).await, Err(SpendError::Unknown)));
        let end = START.plus(TOKEN_LIFE);
        assert!(matches!(spend_once(&pool, &late, end).await, Err(SpendError::Expired)));
    }

    #[tokio::test]
    async fn the_scripts_of_a_boot_do_not_use_each_other_up_but_a_flood_has_a_limit() {
        let pool = db::open_in_memory().await.expect("a database");
        let mut tokens = Vec::new();
        for step in 0..=TOKENS_PER_MAC_MAX {
            tokens.push(mint(&pool, MAC, Purpose::Menu, Timestamp(START.0 + step)).await.expect("minted"));
        }
        assert!(matches!(spend_once(&pool, &tokens[0], START).await, Err(SpendError::Unknown)));
        for token in &tokens[1..] {
            spend_once(&pool, token, START).await.expect("spent");
        }
    }

    #[tokio::test]
    async fn only_a_fingerprint_of_the_token_is_kept() {
        let pool = db::open_in_memory().await.expect("a database");
        let token = mint(&pool, MAC, Purpose::Menu, START).await.expect("minted");
        let kept: Vec<u8> =
            sqlx::query_scalar("SELECT fingerprint FROM boot_token").fetch_one(&pool).await.expect("one row");
        assert_eq!(kept, token.fingerprint());
        assert_ne!(hex::encode(kept), token.reveal());
    }
}
