//! Passwords: what is accepted as a new one, and how it is kept.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString},
};
use tokio::sync::Semaphore;

/// A length rule and no other (NIST SP 800-63B section 3.1.1.2): rules about digits and signs give worse passwords.
pub const CHARS_MIN: usize = 12;

/// Longer texts are no passwords but an attempt to keep the processor busy.
const BYTES_MAX: usize = 1024;

/// Argon2id with 64 MiB and three passes, the second choice of RFC 9106 section 4 (the first needs 2 GiB), but in one
/// lane: a login costs a fifth of a second of one core here, and a guesser as much per guess.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 1;

/// How many passwords are hashed at once: a crowd that logs in costs 128 MiB and the rest waits.
const HASHES_AT_ONCE: usize = 2;

/// A password that somebody chose and that is long enough.
#[derive(Clone)]
pub struct NewPassword(String);

impl NewPassword {
    pub fn parse(text: &str) -> Result<Self, PasswordRefused> {
        let chars = text.chars().count();
        if chars < CHARS_MIN {
            return Err(PasswordRefused::TooShort { chars });
        }
        if text.len() > BYTES_MAX {
            return Err(PasswordRefused::TooLong { bytes: text.len() });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(…)")
    }
}

/// Why a password is not accepted as a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRefused {
    #[error("the password has {chars} characters, it needs at least {CHARS_MIN}")]
    TooShort { chars: usize },
    #[error("the password has {bytes} bytes, at most {BYTES_MAX} are taken")]
    TooLong { bytes: usize },
}

/// Hashes and checks passwords, few at a time. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(HASHES_AT_ONCE)) }
    }

    /// What is kept of a password: a PHC string.
    pub async fn hash(&self, password: &NewPassword) -> Result<String, HashError> {
        let password = password.0.clone();
        self.in_turn(move || {
            let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(HashError::from)?;
            Ok(argon2()?.hash_password(password.as_bytes(), &salt)?.to_string())
        })
        .await
    }

    /// Whether `password` is the one that `hash` was made of. `None` as hash (nobody has that name) takes the
    /// same work and is never right, so that time does not tell which names exist.
    pub async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, HashError> {
        // No password is longer, so what follows cannot be right and need not be hashed.
        let hash = hash.filter(|_| password.len() <= BYTES_MAX);
        let password = password.as_bytes()[..password.len().min(BYTES_MAX)].to_vec();
        self.in_turn(move || {
            let nobody = hash.is_none();
            let hash = hash.unwrap_or_else(nobodys_hash);
            let right = argon2()?.verify_password(&password, &PasswordHash::new(&hash)?).is_ok();
            Ok(right && !nobody)
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashError> + Send + 'static,
    ) -> Result<T, HashError> {
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| HashError::Stopping)?;
        let work = move || {
            // Kept until the work is done, even when the one who asked has gone.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| HashError::Stopping)?
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

/// A hash with our parameters that no password has: nobody finds a preimage of 32 zero bytes.
fn nobodys_hash() -> String {
    let zeros = "A".repeat(43);
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${zeros}", "A".repeat(22))
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| HashError::Argon2(error.into()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// A password could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error("hashing a password: {0}")]
    Argon2(argon2::password_hash::Error),
    #[error("hashing a password: the server stops")]
    Stopping,
}

impl From<argon2::password_hash::Error> for HashError {
    fn from(error: argon2::password_hash::Error) -> Self {
        Self::Argon2(error)
    }
}

#[cfg(test)]
mod tests {
    use super::{NewPassword, PasswordRefused, Passwords};

    #[test]
    fn a_new_password_is_judged_by_its_length_in_characters() {
        assert_eq!(NewPassword::parse("éléphant").err(), Some(PasswordRefused::TooShort { chars: 8 }));
        assert!(NewPassword::parse("éléphantéléphant").is_ok());
        assert_eq!(
            NewPassword::parse(&"x".repeat(1025)).err(),
            Some(PasswordRefused::TooLong { bytes: 1025 })
        );
        assert_eq!(
            format!("{:?}", NewPassword::parse("correct horse battery").expect("long")),
            "NewPassword(…)"
        );
    }

    #[tokio::test]
    async fn only_the_password_itself_is_right_and_nobodys_never_is() {
        let passwords = Passwords::new();
        let password = NewPassword::parse("correct horse battery").expect("long enough");
        let hash = passwords.hash(&password).await.expect("hashes");
        assert!(hash.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{hash}");
        assert!(passwords.verify("correct horse battery", Some(hash.clone())).await.expect("works"));
        assert!(!passwords.verify("correct horse", Some(hash)).await.expect("works"));
        assert!(!passwords.verify("", None).await.expect("works"));
    }
}
