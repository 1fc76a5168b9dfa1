//! Who may administer this appliance, and how they prove it.
//!
//! Three ways lead in: root on the appliance itself, through the local socket ([`Actor::Local`]); a browser that
//! logged in with the administrator's name and password ([`login`]); a program with a token ([`token`]). The
//! password is set at first with the [`setup`] code from the server's terminal. Guessing is slowed down by
//! [`limit`]. Every refusal is an event.

pub mod account;
pub mod limit;
pub mod login;
pub mod password;
pub mod setup;
pub mod token;

use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use mimeo_core::ids::Secret;
use sqlx::SqlitePool;

use self::{
    account::{BadName, Name},
    limit::{Allowance, Attempts, Proven},
    login::NewLogin,
    password::{HashError, NewPassword, PasswordRefused, Passwords},
    setup::SetupCode,
    token::Token,
};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
};

/// Guesses from one address: a person who tries all their passwords is not held back.
const PER_ADDRESS: Allowance = Allowance { burst: 10, interval: Duration::from_secs(30) };

/// Guesses at one account from everywhere. Ten times the above, so that one guesser runs into their own limit first.
/// Many of them together can use this up; it is not counted for an address from which the right password came
/// before, so they do not lock the administrator out.
const PER_ACCOUNT: Allowance = Allowance { burst: 100, interval: Duration::from_secs(3) };

/// How much of a refusal's reason is told. It holds what strangers typed.
const REASON_CHARS_MAX: usize = 160;

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// The local socket, which only root can open.
    Local,
    Network(IpAddr),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("this appliance"),
            Self::Network(address) => address.fmt(f),
        }
    }
}

/// Who does something, once that is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Root on the appliance.
    Local,
    /// The administrator, in a browser.
    Account { name: String },
    /// A program.
    Token { name: String },
}

impl Actor {
    /// The account's or the token's name.
    pub fn into_name(self) -> Option<String> {
        match self {
            Self::Local => None,
            Self::Account { name } | Self::Token { name } => Some(name),
        }
    }
}

/// Who may come in. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Auth {
    db: SqlitePool,
    events: Events,
    login_lasts: Duration,
    passwords: Passwords,
    guesses: Arc<Mutex<Guesses>>,
}

#[derive(Debug)]
struct Guesses {
    by_address: Attempts<IpAddr>,
    by_account: Attempts<String>,
    /// From where the right password came.
    proven: Proven<IpAddr>,
}

impl Auth {
    pub fn new(db: SqlitePool, events: Events, login_lasts: Duration) -> Self {
        let guesses = Guesses {
            by_address: Attempts::new(PER_ADDRESS),
            by_account: Attempts::new(PER_ACCOUNT),
            proven: Proven::default(),
        };
        Self { db, events, login_lasts, passwords: Passwords::new(), guesses: Arc::new(Mutex::new(guesses)) }
    }

    /// The code that the first login needs, made now if need be; `None` once there is an account and nobody asked
    /// for [`Auth::renew_setup_code`].
    pub async fn setup_code(&self) -> Result<Option<SetupCode>, AuthError> {
        let mut transaction = self.db.begin_with("BEGIN IMMEDIATE").await?;
        if let Some(code) = setup::find(&mut *transaction).await? {
            return Ok(Some(code));
        }
        if account::exists(&mut *transaction).await? {
            return Ok(None);
        }
        let code = SetupCode::random();
        setup::replace(&mut *transaction, &code).await?;
        transaction.commit().await?;
        Ok(Some(code))
    }

    /// Whether a setup code would be taken now. Only reads, because anybody on the network may ask.
    pub async fn awaits_setup(&self) -> Result<bool, AuthError> {
        Ok(setup::find(&self.db).await?.is_some() || !account::exists(&self.db).await?)
    }

    /// A new code in the place of any other, which allows to set the account's name and password again.
    pub async fn renew_setup_code(&self) -> Result<SetupCode, AuthError> {
        let code = SetupCode::random();
        setup::replace(&self.db, &code).await?;
        self.events.emit(Event::SetupCodeRenewed);
        Ok(code)
    }

    /// Sets the administrator's name and password. The code works once; a new account ends all logins of the old.
    pub async fn set_up(
        &self,
        peer: Peer,
        code: &str,
        name: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<NewLogin, AuthError> {
        self.count_guess(peer, None, now)?;
        // What the person can mend is said before the code is used up.
        let name = Name::parse(name)?;
        let password = NewPassword::parse(password)?;
        let Ok(code) = code.parse::<SetupCode>() else {
            return Err(self.refuse(peer, "wrong setup code", AuthError::WrongSetupCode));
        };
        let hash = self.passwords.hash(&password).await?;
        let mut transaction = self.db.begin_with("BEGIN IMMEDIATE").await?;
        if !setup::use_up(&mut transaction, &code).await? {
            return Err(self.refuse(peer, "wrong setup code", AuthError::WrongSetupCode));
        }
        let account = account::replace(&mut transaction, &name, &hash, now).await?;
        let login = self.begin_login(&mut transaction, account.id, account.name, now).await?;
        transaction.commit().await?;
        self.forgive(peer, None);
        self.events.emit(Event::AccountSetUp { account: login.account.clone(), address: peer.to_string() });
        Ok(login)
    }

    /// Checks a name and a password. A wrong name and a wrong password are refused alike and after the same work.
    pub async fn log_in(
        &self,
        peer: Peer,
        name: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<NewLogin, AuthError> {
        let name = name.trim();
        self.count_guess(peer, Some(name), now)?;
        let account = account::find_by_name(&self.db, name).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let right = self.passwords.verify(password, hash).await?;
        let Some(account) = account.filter(|_| right) else {
            return Err(self.refuse(peer, "wrong name or password", AuthError::WrongCredentials));
        };
        let mut transaction = self.db.begin_with("BEGIN IMMEDIATE").await?;
        let login = self.begin_login(&mut transaction, account.id, account.name, now).await?;
        transaction.commit().await?;
        self.forgive(peer, Some(name));
        self.events.emit(Event::LoggedIn { account: login.account.clone(), address: peer.to_string() });
        Ok(login)
    }

    pub async fn log_out(&self, secret: &Secret) -> Result<(), AuthError> {
        Ok(login::delete(&self.db, secret).await?)
    }

    /// Whose browser shows this cookie.
    pub async fn find_login(&self, secret: &Secret, now: Timestamp) -> Result<Option<Actor>, AuthError> {
        let name = login::find_account(&self.db, secret, now).await?;
        Ok(name.map(|name| Actor::Account { name }))
    }

    /// Whose program shows this token.
    pub async fn find_token(&self, secret: &Secret) -> Result<Option<Actor>, AuthError> {
        Ok(token::find_name(&self.db, secret).await?.map(|name| Actor::Token { name }))
    }

    /// Makes a token. Its secret is in the answer and nowhere else.
    pub async fn create_token(&self, name: &str, now: Timestamp) -> Result<(Name, Secret), AuthError> {
        let name = Name::parse(name)?;
        let secret = Secret::from_random(rand::random());
        token::insert(&self.db, &name, &secret, now).await.map_err(|error| match &error {
            sqlx::Error::Database(refused) if refused.is_unique_violation() => {
                AuthError::TokenExists { name: name.as_str().to_owned() }
            }
            _ => error.into(),
        })?;
        self.events.emit(Event::TokenCreated { name: name.as_str().to_owned() });
        Ok((name, secret))
    }

    pub async fn tokens(&self) -> Result<Vec<Token>, AuthError> {
        Ok(token::list(&self.db).await?)
    }

    pub async fn delete_token(&self, name: &str) -> Result<(), AuthError> {
        if !token::delete(&self.db, name).await? {
            return Err(AuthError::NoSuchToken { name: name.chars().take(64).collect() });
        }
        self.events.emit(Event::TokenDeleted { name: name.to_owned() });
        Ok(())
    }

    /// Makes a refusal known and gives the error back.
    pub fn refuse<E>(&self, peer: Peer, reason: &str, error: E) -> E {
        let reason = reason.chars().take(REASON_CHARS_MAX).collect();
        self.events.emit(Event::CredentialRefused { address: peer.to_string(), reason });
        error
    }

    async fn begin_login(
        &self,
        db: &mut sqlx::SqliteConnection,
        account_id: i64,
        account: String,
        now: Timestamp,
    ) -> Result<NewLogin, AuthError> {
        let secret = Secret::from_random(rand::random());
        login::insert(db, &secret, account_id, now, self.login_lasts).await?;
        Ok(NewLogin { secret, account, lasts: self.login_lasts })
    }

    fn count_guess(&self, peer: Peer, account: Option<&str>, now: Timestamp) -> Result<(), AuthError> {
        // Root on the appliance need not guess.
        let Peer::Network(address) = peer else { return Ok(()) };
        let allowed = {
            let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
            guesses.by_address.take(&address, now).and_then(|()| match account {
                Some(account) if !guesses.proven.contains(&address) => {
                    guesses.by_account.take(&shortened(account), now)
                }
                _ => Ok(()),
            })
        };
        allowed.map_err(|wait| self.refuse(peer, "too many attempts", AuthError::TooManyAttempts { wait }))
    }

    fn forgive(&self, peer: Peer, account: Option<&str>) {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Peer::Network(address) = peer {
            guesses.by_address.forgive(&address);
            guesses.proven.add(address);
        }
        if let Some(account) = account {
            guesses.by_account.forgive(&shortened(account));
        }
    }
}

/// Names are remembered, so an invented one must not be long.
fn shortened(account: &str) -> String {
    account.chars().take(64).collect()
}

/// Why somebody does not come in, or a credential cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the name or the password is wrong")]
    WrongCredentials,
    #[error(
        "the setup code is wrong or was used: `mimeo setup-code`, as root on the server, shows the right one"
    )]
    WrongSetupCode,
    #[error("too many attempts, the next one is possible in {} seconds", wait.as_secs() + 1)]
    TooManyAttempts { wait: Duration },
    #[error(transparent)]
    BadName(#[from] BadName),
    #[error(transparent)]
    PasswordRefused(#[from] PasswordRefused),
    #[error("there is a token named {name:?} already")]
    TokenExists { name: String },
    #[error("there is no token named {name:?}")]
    NoSuchToken { name: String },
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("reading or writing accounts")]
    Db(#[from] sqlx::Error),
}

#[cfg(test)]
mod tests;
