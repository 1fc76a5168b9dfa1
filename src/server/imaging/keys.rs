//! The appliance's own Ed25519 key, with which it signs manifests.
//!
//! It is made at the first start and kept for good: a version that was signed with a lost key cannot be deployed
//! any more, so a key that cannot be read is an error and never a reason to make another.

use ed25519_dalek::{SECRET_KEY_LENGTH, SigningKey};
use rand::{TryRngCore, rngs::OsRng};
use sqlx::SqlitePool;

/// The row of table `setting` that holds the secret key's 32 bytes.
const SETTING: &str = "manifest_signing_key";

/// Gives the appliance's signing key, making it where there is none yet. Durable before it is given.
pub async fn load_signing_key(db: &SqlitePool) -> Result<SigningKey, LoadKeyError> {
    let mut fresh = [0; SECRET_KEY_LENGTH];
    OsRng.try_fill_bytes(&mut fresh).map_err(|error| LoadKeyError::NoRandomness(error.to_string()))?;
    // Two servers that start at once on a new database agree on the key of the first.
    sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(SETTING)
        .bind(fresh.as_slice())
        .execute(db)
        .await?;
    let kept: Vec<u8> =
        sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(SETTING).fetch_one(db).await?;
    let secret = kept.as_slice().try_into().map_err(|_| LoadKeyError::WrongLength { actual: kept.len() })?;
    Ok(SigningKey::from_bytes(secret))
}

/// The signing key cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LoadKeyError {
    #[error("loading the manifest signing key")]
    Db(#[from] sqlx::Error),
    #[error("the manifest signing key in the database has {actual} bytes instead of 32")]
    WrongLength { actual: usize },
    #[error("the operating system gives no random bytes: {0}")]
    NoRandomness(String),
}

#[cfg(test)]
mod tests {
    use super::{LoadKeyError, load_signing_key};
    use crate::db;

    #[tokio::test]
    async fn the_key_is_made_once_and_kept() {
        let db = db::open_in_memory().await.expect("database opens");
        let first = load_signing_key(&db).await.expect("key is made");
        assert_eq!(load_signing_key(&db).await.expect("key is kept").to_bytes(), first.to_bytes());
        let other_db = db::open_in_memory().await.expect("database opens");
        assert_ne!(load_signing_key(&other_db).await.expect("key is made").to_bytes(), first.to_bytes());
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_read_is_not_replaced() {
        let db = db::open_in_memory().await.expect("database opens");
        sqlx::query("INSERT INTO setting (name, value) VALUES ('manifest_signing_key', x'0102')")
            .execute(&db)
            .await
            .expect("row is inserted");
        for _ in 0..2 {
            let error = load_signing_key(&db).await.expect_err("two bytes are no key");
            assert!(matches!(error, LoadKeyError::WrongLength { actual: 2 }), "{error}");
        }
    }
}
