//! The setup code: proves that whoever sets the administrator's password can read the server's terminal.
//!
//! It lies in the database until it is used, so that a restart shows the same one and `mimeo setup-code` can repeat
//! it. Whoever reads the database owns the server anyway.

use std::{fmt, str::FromStr};

use sqlx::{SqliteConnection, SqliteExecutor};

/// 32 digits without those that look alike (Crockford's base 32).
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 60 random bits: with one guess in half a minute nobody finds it, and it can still be typed.
const LENGTH: usize = 12;

/// How many digits stand together where people read it.
const GROUP: usize = 4;

const SETTING: &str = "setup_code";

/// A one-time code such as `7KQ2-M4XH-90TD`.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupCode([u8; LENGTH]);

impl SetupCode {
    pub fn random() -> Self {
        Self(rand::random::<[u8; LENGTH]>().map(|byte| DIGITS[usize::from(byte) % DIGITS.len()]))
    }

    /// Compares without telling by the time it takes how much agrees.
    fn agrees_with(&self, other: &Self) -> bool {
        blake3::hash(&self.0) == blake3::hash(&other.0)
    }
}

impl fmt::Display for SetupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, digit) in self.0.iter().enumerate() {
            if position > 0 && position.is_multiple_of(GROUP) {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*digit))?;
        }
        Ok(())
    }
}

impl fmt::Debug for SetupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupCode(…)")
    }
}

/// Text that cannot be a setup code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a setup code such as 7KQ2-M4XH-90TD")]
pub struct NoSetupCode;

impl FromStr for SetupCode {
    type Err = NoSetupCode;

    /// Reads what people type: either case, any grouping, O for 0, I and L for 1.
    fn from_str(text: &str) -> Result<Self, NoSetupCode> {
        let mut digits = [0; LENGTH];
        let mut typed = text.chars().filter(|c| !matches!(c, '-' | ' '));
        for digit in &mut digits {
            let plain = match typed.next().ok_or(NoSetupCode)?.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            *digit = u8::try_from(plain).ok().filter(|byte| DIGITS.contains(byte)).ok_or(NoSetupCode)?;
        }
        if typed.next().is_some() { Err(NoSetupCode) } else { Ok(Self(digits)) }
    }
}

/// The code that waits to be used.
pub async fn find(db: impl SqliteExecutor<'_>) -> Result<Option<SetupCode>, sqlx::Error> {
    let text: Option<String> = sqlx::query_scalar("SELECT CAST(value AS TEXT) FROM setting WHERE name = $1")
        .bind(SETTING)
        .fetch_optional(db)
        .await?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Puts a code in the place of any that waits.
pub async fn replace(db: impl SqliteExecutor<'_>, code: &SetupCode) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2",
    )
    .bind(SETTING)
    .bind(code.to_string().into_bytes())
    .execute(db)
    .await?;
    Ok(())
}

/// Takes the code away if it is the one that waits; whether it was.
pub async fn use_up(db: &mut SqliteConnection, code: &SetupCode) -> Result<bool, sqlx::Error> {
    if !find(&mut *db).await?.is_some_and(|waiting| waiting.agrees_with(code)) {
        return Ok(false);
    }
    let deleted = sqlx::query("DELETE FROM setting WHERE name = $1").bind(SETTING).execute(db).await?;
    Ok(deleted.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::{NoSetupCode, SetupCode};

    #[test]
    fn a_code_reads_the_way_people_type_it() {
        let code = SetupCode(*b"7KQ2M4XH90T1");
        assert_eq!(code.to_string(), "7KQ2-M4XH-90T1");
        for typed in ["7KQ2-M4XH-90T1", "7kq2m4xh90t1", " 7kq2 m4xh 9otl "] {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
        for bad in ["", "7KQ2-M4XH-90T", "7KQ2-M4XH-90T11", "7KQ2-M4XH-90TU", "7KQ2-M4XH-90Té"] {
            assert_eq!(bad.parse::<SetupCode>(), Err(NoSetupCode), "{bad}");
        }
        assert_eq!(format!("{code:?}"), "SetupCode(…)");
    }

    #[test]
    fn random_codes_differ_and_read_back() {
        let code = SetupCode::random();
        assert_eq!(code.to_string().parse(), Ok(code.clone()));
        assert_ne!(SetupCode::random(), code);
    }
}
