//! How the server says no to a client.
//!
//! Where a refusal ends the session, its body is the [`FailureCause`] as JSON, which the client reports and shows.
//! Otherwise it is a sentence; a status of 5xx without a cause, 408 and 429 mean: try again. With `Retry-After` it means
//! that the server is well and has no room yet: the client waits for as long as it hears that.

use std::time::Duration;

use axum::{
    Json,
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};
use mimeo_core::{causes::causes, failure::FailureCause};

use crate::{
    imaging::{
        publish::PublishError,
        session::{
            capture::CaptureError, deploy::FetchError, machine::Refused, requests::SessionError,
            table::TableError,
        },
        store::error::StoreError,
    },
    inventory::{admission::AdmitError, boot_token::SpendError, computer::ComputerError},
    wiring::orders::OrdersError,
};

/// What `Retry-After` says. The request waited for room already, so it may come again at once.
const RETRY_AFTER_SECONDS: &str = "1";

/// Why a request of a client is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("this client speaks protocol {found}, the server {expected}: an old boot file is still around")]
    Protocol { found: u32, expected: u32 },
    #[error("{0}")]
    Unauthorized(String),
    #[error("the session is another computer's")]
    OtherSession,
    #[error("too many refusals, come back later")]
    TooManyRefusals,
    #[error("{0}")]
    BadRequest(String),
    #[error("a body of {bytes} bytes, at most {bytes_max}")]
    BodyTooLong { bytes: usize, bytes_max: usize },
    #[error("a body of {bytes} bytes did not come within {} s", within.as_secs())]
    BodyTooSlow { bytes: usize, within: Duration },
    #[error("there is no room in the server's memory, come back later")]
    NoRoom,
    #[error("the session has ended or another client works on it")]
    NotRunning,
    #[error(transparent)]
    Admit(#[from] AdmitError),
    #[error(transparent)]
    Orders(#[from] OrdersError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Capture(#[from] CaptureError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the log cannot be kept")]
    Log(#[from] std::io::Error),
    #[error("the table of clients cannot be used")]
    Database(#[from] sqlx::Error),
}

impl ClientError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Protocol { .. } | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::OtherSession => StatusCode::FORBIDDEN,
            Self::TooManyRefusals => StatusCode::TOO_MANY_REQUESTS,
            Self::BodyTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotRunning => StatusCode::CONFLICT,
            Self::Admit(error) => admit_status(error),
            Self::Session(error) | Self::Orders(OrdersError::Session(error)) => session_status(error),
            Self::Capture(error) => capture_status(error),
            Self::Fetch(FetchError::NotNamed(_)) => StatusCode::FORBIDDEN,
            Self::Orders(_) | Self::Fetch(_) | Self::Log(_) | Self::Database(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Whether nothing is wrong but that others come first.
    fn is_for_later(&self) -> bool {
        matches!(
            self,
            Self::NoRoom | Self::Capture(CaptureError::NoRoom | CaptureError::Store(StoreError::NoRoom))
        )
    }

    /// What ends the session, where this does.
    fn cause(&self) -> Option<FailureCause> {
        match self {
            Self::Capture(CaptureError::Store(error) | CaptureError::Publish(PublishError::Store(error)))
            | Self::Fetch(FetchError::Store(error)) => error.cause(),
            Self::Capture(CaptureError::Publish(PublishError::Damaged { first, .. })) => {
                Some(FailureCause::ChunkDamaged { chunk: first.chunk, detail: first.detail.clone() })
            }
            Self::Capture(
                CaptureError::Manifest(_)
                | CaptureError::OtherDisk { .. }
                | CaptureError::OtherCut
                | CaptureError::Publish(PublishError::Manifest(_) | PublishError::WrongLength { .. }),
            )
            | Self::Fetch(FetchError::Manifest { .. }) => {
                Some(FailureCause::ManifestRefused { detail: causes(self) })
            }
            _ => None,
        }
    }
}

fn admit_status(error: &AdmitError) -> StatusCode {
    match error {
        AdmitError::Token(SpendError::Database(_)) | AdmitError::Computer(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        AdmitError::Token(_) => StatusCode::UNAUTHORIZED,
        AdmitError::OtherMachine => StatusCode::FORBIDDEN,
        AdmitError::TooManyNics { .. } | AdmitError::ReportTooLong { .. } => StatusCode::BAD_REQUEST,
        AdmitError::Ambiguous { .. } => StatusCode::CONFLICT,
    }
}

fn session_status(error: &SessionError) -> StatusCode {
    match error {
        SessionError::Refused(_) | SessionError::Impossible(_) => StatusCode::CONFLICT,
        SessionError::Table(TableError::Unknown(_)) => StatusCode::NOT_FOUND,
        SessionError::Table(_) | SessionError::Master(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn capture_status(error: &CaptureError) -> StatusCode {
    match error {
        CaptureError::NotACapture | CaptureError::Busy | CaptureError::PublishedOtherwise => {
            StatusCode::CONFLICT
        }
        CaptureError::Manifest(_)
        | CaptureError::OtherDisk { .. }
        | CaptureError::OtherCut
        | CaptureError::TooMuch { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        CaptureError::Stopped | CaptureError::NoRoom | CaptureError::Store(StoreError::NoRoom) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        CaptureError::Session(error) => session_status(error),
        CaptureError::Store(StoreError::Full { .. }) => StatusCode::INSUFFICIENT_STORAGE,
        CaptureError::Store(StoreError::Refused(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        CaptureError::Store(_) | CaptureError::Publish(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Refused> for ClientError {
    fn from(refused: Refused) -> Self {
        SessionError::from(refused).into()
    }
}

impl From<ComputerError> for ClientError {
    fn from(error: ComputerError) -> Self {
        OrdersError::from(error).into()
    }
}

impl IntoResponse for ClientError {
    fn into_response(self) -> Response {
        let status = self.status();
        if status.is_server_error() && !self.is_for_later() {
            tracing::error!(http.status = status.as_u16(), "client request failed: {}", causes(&self));
        }
        match self.cause() {
            Some(cause) => (status, Json(cause)).into_response(),
            None if status == StatusCode::INTERNAL_SERVER_ERROR => {
                (status, "the server failed, see its log").into_response()
            }
            None if self.is_for_later() => {
                (status, [(RETRY_AFTER, RETRY_AFTER_SECONDS)], self.to_string()).into_response()
            }
            None => (status, self.to_string()).into_response(),
        }
    }
}
