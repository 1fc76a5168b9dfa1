//! How a page says no: with a sentence that names what was asked for and what to do next.

use std::error::Error;

use askama::Template;
use axum::{
    extract::{
        Request, State,
        rejection::{FormRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use mimeo_core::{
    bad_sectors::BadLimit,
    causes::causes,
    failure::FailureCause,
    ids::{Secret, SessionId},
};

use super::{
    page::{Page, html},
    text::Words,
    visitor::{language_of, own_address},
};
use crate::{
    api::extract::cookie,
    app::App,
    auth::{Actor, AuthError, password::PasswordRefused},
    clock::Timestamp,
    db,
    imaging::{
        master::{BadMasterRef, MasterError},
        remove::RemoveError,
        session::{machine::Refused, plan::BadDiskRule, requests::SessionError, table::TableError},
    },
    inventory::{computer::ComputerError, name::BadComputerName},
    wiring::requests::RequestError,
};

/// Why somebody does not get what they asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Leads to the login, and from there back.
    NotLoggedIn {
        address: String,
    },
    ForeignPage,
    NoPage,
    BadForm,
    /// The server failed; its log says why.
    Failed,
    /// There is no room for the database on the server's disk.
    DiskFull,
    DatabaseLocked,
    WrongCredentials,
    WrongSetupCode,
    TooManyAttempts {
        seconds: u64,
    },
    BadAccountName,
    PasswordTooShort {
        chars: usize,
    },
    PasswordTooLong,
    PasswordsDiffer,
    BadComputerName,
    ComputerNameTaken {
        name: String,
    },
    BadMasterName,
    NoSuchMaster {
        wanted: String,
    },
    /// A session that waits or runs needs what was to be removed.
    MasterInUse {
        wanted: String,
        session: SessionId,
    },
    /// There are other versions by now than were shown.
    VersionsChanged,
    BadDisk,
    BadSectorLimit,
    /// No disk of the computer will do.
    NoDisk(FailureCause),
    /// What stands on the computer is no more what the person saw when they confirmed.
    DisksChanged,
    ComputerBusy,
    SessionEnded,
    NothingAsked,
}

impl Refusal {
    /// A failure of ours: its causes go to the log, and to the one who asked goes that there was one.
    pub fn internal(failure: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %causes(failure), "a page failed");
        match db::trouble_of(failure) {
            Some(db::Trouble::DiskFull) => Self::DiskFull,
            Some(db::Trouble::Locked) => Self::DatabaseLocked,
            None => Self::Failed,
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::NotLoggedIn { .. } => StatusCode::SEE_OTHER,
            Self::ForeignPage => StatusCode::FORBIDDEN,
            Self::NoPage | Self::NoSuchMaster { .. } => StatusCode::NOT_FOUND,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            Self::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::DatabaseLocked => StatusCode::SERVICE_UNAVAILABLE,
            Self::WrongCredentials | Self::WrongSetupCode => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::ComputerNameTaken { .. }
            | Self::DisksChanged
            | Self::ComputerBusy
            | Self::MasterInUse { .. }
            | Self::VersionsChanged
            | Self::SessionEnded
            | Self::NothingAsked => StatusCode::CONFLICT,
            Self::BadForm
            | Self::BadAccountName
            | Self::PasswordTooShort { .. }
            | Self::PasswordTooLong
            | Self::PasswordsDiffer
            | Self::BadComputerName
            | Self::BadMasterName
            | Self::BadDisk
            | Self::BadSectorLimit
            | Self::NoDisk(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    pub fn sentence(&self, words: &Words) -> String {
        match self {
            Self::NotLoggedIn { .. } => words.say("refused-not-logged-in"),
            Self::ForeignPage => words.say("refused-foreign-page"),
            Self::NoPage => words.say("refused-no-page"),
            Self::BadForm => words.say("refused-bad-form"),
            Self::Failed => words.say("refused-failed"),
            Self::DiskFull => words.say("refused-disk-full"),
            Self::DatabaseLocked => words.say("refused-database-locked"),
            Self::WrongCredentials => words.say("refused-wrong-credentials"),
            Self::WrongSetupCode => words.say("refused-wrong-setup-code"),
            Self::TooManyAttempts { seconds } => {
                words.say_of("refused-too-many-attempts", "seconds", seconds)
            }
            Self::BadAccountName => words.say("refused-bad-account-name"),
            Self::PasswordTooShort { chars } => words.say_of("refused-password-too-short", "chars", chars),
            Self::PasswordTooLong => words.say("refused-password-too-long"),
            Self::PasswordsDiffer => words.say("refused-passwords-differ"),
            Self::BadComputerName => words.say("refused-bad-computer-name"),
            Self::ComputerNameTaken { name } => words.say_of("refused-computer-name-taken", "name", name),
            Self::BadMasterName => words.say("refused-bad-master-name"),
            Self::NoSuchMaster { wanted } => words.say_of("refused-no-such-master", "master", wanted),
            Self::MasterInUse { wanted, session } => words
                .say_with("refused-master-in-use", &[("master", wanted), ("session", &session.to_string())]),
            Self::VersionsChanged => words.say("refused-versions-changed"),
            Self::BadDisk => words.say("refused-bad-disk"),
            Self::BadSectorLimit => words.say("refused-bad-sector-limit"),
            Self::NoDisk(cause) => words.failure(cause),
            Self::DisksChanged => words.say("refused-disks-changed"),
            Self::ComputerBusy => words.say("refused-computer-busy"),
            Self::SessionEnded => words.say("refused-session-ended"),
            Self::NothingAsked => words.say("refused-nothing-asked"),
        }
    }

    /// Where to go from here: from what was asked of a computer, a session or a master, to that.
    fn way_back(&self, path: &str) -> String {
        match path.rsplit_once('/') {
            Some(("/masters", _)) => "/masters".into(),
            Some((parent, _)) if *self != Self::NoPage && parent.matches('/').count() == 2 => {
                own_address(parent)
            }
            _ => "/".into(),
        }
    }
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage {
    page: Page,
    sentence: String,
    way_back: String,
}

/// Leaves the sentence to [`render`], which knows the language.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Says every refusal in the language of the one who asked.
pub async fn render(State(app): State<App>, request: Request, next: Next) -> Response {
    let words = Words::new(language_of(request.headers()));
    let path = request.uri().path().to_owned();
    let secret = cookie(request.headers());
    let response = next.run(request).await;
    match response.extensions().get::<Refusal>() {
        None => response,
        Some(Refusal::NotLoggedIn { address }) => to_login(address),
        Some(refusal) => {
            let page =
                Page { words, address: "/".into(), account: account_of(&app, secret).await, section: "" };
            let template =
                RefusedPage { page, sentence: refusal.sentence(&words), way_back: refusal.way_back(&path) };
            match html(&template) {
                Ok(html) => (refusal.status(), html).into_response(),
                Err(_) => refusal.status().into_response(),
            }
        }
    }
}

/// Who is refused, so that they keep their menu. That this cannot be known must not hide why they are refused.
async fn account_of(app: &App, secret: Option<Secret>) -> Option<String> {
    let login = app.auth.find_login(&secret?, Timestamp::now()).await;
    login.ok().flatten().and_then(Actor::into_name)
}

fn to_login(address: &str) -> Response {
    let next: String = match address {
        "/" => String::new(),
        address => address
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                    char::from(byte).into()
                }
                _ => format!("%{byte:02X}"),
            })
            .fold(String::from("?next="), |all, part| all + &part),
    };
    Redirect::to(&format!("/login{next}")).into_response()
}

impl From<AuthError> for Refusal {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::WrongCredentials => Self::WrongCredentials,
            AuthError::WrongSetupCode => Self::WrongSetupCode,
            AuthError::TooManyAttempts { wait } => Self::TooManyAttempts { seconds: wait.as_secs() + 1 },
            AuthError::BadName(_) => Self::BadAccountName,
            AuthError::PasswordRefused(PasswordRefused::TooShort { chars }) => {
                Self::PasswordTooShort { chars }
            }
            AuthError::PasswordRefused(PasswordRefused::TooLong { .. }) => Self::PasswordTooLong,
            AuthError::TokenExists { .. }
            | AuthError::NoSuchToken { .. }
            | AuthError::Hash(_)
            | AuthError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<ComputerError> for Refusal {
    fn from(error: ComputerError) -> Self {
        match error {
            ComputerError::Unknown(_) => Self::NoPage,
            ComputerError::NameTaken(name) => Self::ComputerNameTaken { name: name.to_string() },
            ComputerError::Corrupt { .. } | ComputerError::Database(_) => Self::internal(&error),
        }
    }
}

impl From<MasterError> for Refusal {
    fn from(error: MasterError) -> Self {
        match error {
            MasterError::Unknown { wanted } => Self::NoSuchMaster { wanted: wanted.to_string() },
            MasterError::UnknownVersion { name, number, .. } => {
                Self::NoSuchMaster { wanted: format!("{name}@{number}") }
            }
            MasterError::Removed { wanted } => Self::NoSuchMaster { wanted: wanted.to_string() },
            _ => Self::internal(&error),
        }
    }
}

impl From<SessionError> for Refusal {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Impossible(cause) => Self::NoDisk(cause),
            SessionError::Refused(Refused::Ended { .. }) => Self::SessionEnded,
            SessionError::Refused(Refused::NotAsked | Refused::NotACandidate) => Self::NothingAsked,
            SessionError::Table(TableError::Unknown(_)) => Self::NoPage,
            SessionError::Table(TableError::AlreadyOpen(_)) => Self::ComputerBusy,
            SessionError::Master(error) => error.into(),
            SessionError::Refused(_) | SessionError::Table(_) => Self::internal(&error),
        }
    }
}

impl From<RemoveError> for Refusal {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::InUse { wanted, session, .. } => {
                Self::MasterInUse { wanted: wanted.to_string(), session }
            }
            RemoveError::Changed { .. } => Self::VersionsChanged,
            RemoveError::Master(error) => error.into(),
            RemoveError::Sessions(_) => Self::internal(&error),
        }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Computer(error) => error.into(),
            RequestError::Master(error) => error.into(),
            RequestError::Session(error) => error.into(),
            RequestError::DisksChanged => Self::DisksChanged,
            RequestError::Store(_) | RequestError::Manifest { .. } => Self::internal(&error),
        }
    }
}

impl From<BadComputerName> for Refusal {
    fn from(_: BadComputerName) -> Self {
        Self::BadComputerName
    }
}

impl From<BadMasterRef> for Refusal {
    fn from(_: BadMasterRef) -> Self {
        Self::BadMasterName
    }
}

impl From<BadDiskRule> for Refusal {
    fn from(_: BadDiskRule) -> Self {
        Self::BadDisk
    }
}

impl From<BadLimit> for Refusal {
    fn from(_: BadLimit) -> Self {
        Self::BadSectorLimit
    }
}

impl From<FormRejection> for Refusal {
    fn from(_: FormRejection) -> Self {
        Self::BadForm
    }
}

impl From<PathRejection> for Refusal {
    fn from(_: PathRejection) -> Self {
        Self::NoPage
    }
}

impl From<QueryRejection> for Refusal {
    fn from(_: QueryRejection) -> Self {
        Self::BadForm
    }
}
