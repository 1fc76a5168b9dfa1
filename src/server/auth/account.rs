//! The administrator's account: one row of `account`.

use sqlx::{SqliteConnection, SqliteExecutor};

use crate::clock::Timestamp;

/// Most characters of an account's or a token's name.
const NAME_CHARS_MAX: usize = 64;

/// A row of `account`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Account {
    pub id: i64,
    pub name: String,
    pub password_hash: String,
}

/// A name that people give to an account or a token: trimmed, not empty, one line. Not made of dots alone: in an
/// address that means a folder, so a token of that name could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let name = text.trim();
        let chars = name.chars().count();
        let fits = (1..=NAME_CHARS_MAX).contains(&chars)
            && !name.contains(char::is_control)
            && !name.chars().all(|char| char == '.');
        if fits { Ok(Self(name.to_owned())) } else { Err(BadName { chars }) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that cannot be shown on one line or stand in an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a name of 1 to {NAME_CHARS_MAX} characters on one line, found {chars} or nothing but dots")]
pub struct BadName {
    chars: usize,
}

pub async fn exists(db: impl SqliteExecutor<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM account)").fetch_one(db).await
}

pub async fn find_by_name(db: impl SqliteExecutor<'_>, name: &str) -> Result<Option<Account>, sqlx::Error> {
    sqlx::query_as("SELECT id, name, password_hash FROM account WHERE name = $1")
        .bind(name)
        .fetch_optional(db)
        .await
}

/// Makes the one account, in the place of any that was there. Logins of the former end with it.
pub async fn replace(
    db: &mut SqliteConnection,
    name: &Name,
    password_hash: &str,
    now: Timestamp,
) -> Result<Account, sqlx::Error> {
    sqlx::query("DELETE FROM account").execute(&mut *db).await?;
    sqlx::query_as(
        "INSERT INTO account (name, password_hash, created_at) VALUES ($1, $2, $3)
         RETURNING id, name, password_hash",
    )
    .bind(name.as_str())
    .bind(password_hash)
    .bind(now.0)
    .fetch_one(db)
    .await
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn names_fit_on_one_line_and_in_an_address() {
        assert_eq!(Name::parse("  Zoé ").map(|name| name.as_str().to_owned()), Ok("Zoé".into()));
        for bad in ["", "   ", ".", "..", "a\nb", &"x".repeat(65)] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }
}
