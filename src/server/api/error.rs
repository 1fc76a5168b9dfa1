//! How the API says no: `{ "error": code, "message": sentence, "details": … }`.

use std::error::Error;

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use mimeo_core::causes::causes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    auth::AuthError,
    db::{self, Trouble},
};

/// The body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A word for programs, which does not change between versions.
    pub error: String,
    /// A sentence for people.
    pub message: String,
    /// Numbers and names that belong to it; `null` where there are none.
    #[serde(default)]
    pub details: Value,
}

/// A refusal on its way to the one who asked.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    body: ErrorBody,
    retry_after_seconds: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, error: &'static str, message: impl ToString) -> Self {
        let body = ErrorBody { error: error.into(), message: message.to_string(), details: Value::Null };
        Self { status, body, retry_after_seconds: None }
    }

    pub fn bad_request(error: &'static str, message: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, message)
    }

    pub fn unauthorized(error: &'static str, message: impl ToString) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error, message)
    }

    pub fn forbidden(error: &'static str, message: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, error, message)
    }

    pub fn not_found(message: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub fn conflict(error: &'static str, message: impl ToString) -> Self {
        Self::new(StatusCode::CONFLICT, error, message)
    }

    /// A failure of ours: its causes go to the log, and to the one who asked goes that there was one.
    pub fn internal(failure: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %causes(failure), "a request failed");
        match db::trouble_of(failure) {
            Some(Trouble::DiskFull) => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "the server's disk is full and nothing was kept: make room there, then try again",
            ),
            Some(Trouble::Locked) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "database_locked",
                "another program holds the server's database: try again in a moment",
            ),
            None => {
                let message = "the server failed at this, its log says why";
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn with_details(mut self, details: Value) -> Self {
        self.body.details = details;
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match &error {
            AuthError::WrongCredentials => Self::unauthorized("wrong_credentials", error),
            AuthError::WrongSetupCode => Self::unauthorized("wrong_setup_code", error),
            AuthError::TooManyAttempts { wait } => {
                let seconds = wait.as_secs() + 1;
                let mut refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", &error)
                    .with_details(json!({ "retry_after_seconds": seconds }));
                refusal.retry_after_seconds = Some(seconds);
                refusal
            }
            AuthError::BadName(_) => Self::bad_request("bad_name", error),
            AuthError::PasswordRefused(_) => Self::bad_request("password_refused", error),
            AuthError::TokenExists { name } => {
                let details = json!({ "token": name });
                Self::conflict("token_exists", error).with_details(details)
            }
            AuthError::NoSuchToken { name } => {
                let details = json!({ "token": name });
                Self::not_found(format!("{error}: `mimeo token list` names them")).with_details(details)
            }
            AuthError::Hash(_) | AuthError::Db(_) => Self::internal(&error),
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "bad_body", rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "bad_path", rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "bad_query", rejection.body_text())
    }
}
