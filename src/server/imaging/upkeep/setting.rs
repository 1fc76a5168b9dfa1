//! What work in the background keeps of itself: small values as JSON in the table `setting`.

use serde::{Serialize, de::DeserializeOwned};
use sqlx::SqlitePool;

/// What was kept under this name; `None` where nothing was, or it cannot be read: then the work begins anew.
pub(super) async fn load<T: DeserializeOwned>(
    pool: &SqlitePool,
    name: &str,
) -> Result<Option<T>, sqlx::Error> {
    let query = sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(name);
    let kept: Option<Vec<u8>> = query.fetch_optional(pool).await?;
    Ok(kept.and_then(|json| serde_json::from_slice(&json).ok()))
}

/// Keeps a value of plain fields.
pub(super) async fn keep<T: Serialize>(pool: &SqlitePool, name: &str, value: &T) -> Result<(), sqlx::Error> {
    // Plain fields under text keys: writing them cannot fail.
    let json = serde_json::to_vec(value).unwrap_or_default();
    let query = sqlx::query(
        "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    );
    query.bind(name).bind(json).execute(pool).await.map(drop)
}
