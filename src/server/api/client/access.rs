//! Who asks, and whether the session is theirs.

use std::{
    net::{IpAddr, SocketAddr},
    sync::PoisonError,
};

use axum::{
    extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request},
    http::{header::AUTHORIZATION, request::Parts},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use mimeo_core::ids::{Secret, SessionId};
use serde::de::DeserializeOwned;

use super::{ClientApi, error::ClientError};
use crate::{
    clock::Timestamp,
    events::Event,
    imaging::session::{Session, State},
    inventory::client_boot::{ClientBoot, find_boot},
};

/// A client that showed the credential of its boot.
pub(super) struct Caller(pub(super) ClientBoot);

/// A client, and a session of its own computer in whatever state.
pub(super) struct SessionCaller {
    pub(super) boot: ClientBoot,
    pub(super) session: Session,
}

/// A client, and the session that it works on right now: only then may it move chunks.
pub(super) struct WorkingCaller {
    pub(super) boot: ClientBoot,
    pub(super) session: Session,
    pub(super) address: Option<IpAddr>,
}

/// A JSON body, whatever its header calls it: every path has one kind of body, so our client names none.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<ClientApi> for JsonBody<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &ClientApi) -> Result<Self, Response> {
        let body = Bytes::from_request(request, api).await.map_err(IntoResponse::into_response)?;
        let value = serde_json::from_slice(&body);
        value.map(Self).map_err(|error| ClientError::BadRequest(error.to_string()).into_response())
    }
}

impl FromRequestParts<ClientApi> for Caller {
    type Rejection = ClientError;

    async fn from_request_parts(parts: &mut Parts, api: &ClientApi) -> Result<Self, ClientError> {
        let Some(credential) = bearer(parts) else {
            return Err(api.refuse(parts, "a request without a credential"));
        };
        match find_boot(&api.inner.services.pool, &credential, Timestamp::now()).await? {
            Some(boot) => Ok(Self(boot)),
            None => Err(api.refuse(parts, "a credential that is unknown, expired or of a former boot")),
        }
    }
}

impl FromRequestParts<ClientApi> for SessionCaller {
    type Rejection = ClientError;

    async fn from_request_parts(parts: &mut Parts, api: &ClientApi) -> Result<Self, ClientError> {
        let Caller(boot) = Caller::from_request_parts(parts, api).await?;
        let id = Path::<String>::from_request_parts(parts, api).await;
        let id: Option<SessionId> = id.ok().and_then(|Path(text)| text.parse().ok());
        let id = id.ok_or_else(|| ClientError::BadRequest("the path names no session".into()))?;
        let session = api.inner.services.sessions.load(id).await?;
        if session.computer != boot.computer {
            let reason = format!("computer {} asked for session {id} of another computer", boot.computer);
            api.count_refusal(address(parts), &reason)?;
            return Err(ClientError::OtherSession);
        }
        Ok(Self { boot, session })
    }
}

impl FromRequestParts<ClientApi> for WorkingCaller {
    type Rejection = ClientError;

    async fn from_request_parts(parts: &mut Parts, api: &ClientApi) -> Result<Self, ClientError> {
        let SessionCaller { boot, session } = SessionCaller::from_request_parts(parts, api).await?;
        // A lease that ended meanwhile does no harm: the next heartbeat of the same boot takes it up again.
        let open = matches!(session.state, State::Running { .. } | State::Waiting);
        if open && session.boot == Some(boot.id) {
            Ok(Self { boot, session, address: address(parts) })
        } else {
            Err(ClientError::NotRunning)
        }
    }
}

impl ClientApi {
    /// Counts a refusal against the address it came from and tells of it, unless there were too many to tell.
    pub(super) fn refuse(&self, parts: &Parts, reason: &str) -> ClientError {
        match self.count_refusal(address(parts), reason) {
            Ok(()) => ClientError::Unauthorized(reason.to_owned()),
            Err(error) => error,
        }
    }

    /// As [`ClientApi::refuse`], where the caller has another answer than that nobody knows it.
    pub(super) fn count_refusal(&self, address: Option<IpAddr>, reason: &str) -> Result<(), ClientError> {
        if let Some(address) = address {
            // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
            let mut refusals = self.inner.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.take(&address, Timestamp::now()).map_err(|_wait| ClientError::TooManyRefusals)?;
        }
        let address = address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
        self.inner.services.events.emit(Event::CredentialRefused { address, reason: reason.to_owned() });
        Ok(())
    }
}

fn bearer(parts: &Parts) -> Option<Secret> {
    let value = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ")?.parse().ok()
}

fn address(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}
