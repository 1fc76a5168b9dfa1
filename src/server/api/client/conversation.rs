//! Hello, orders, heartbeat, outcome.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Json,
    extract::{ConnectInfo, State},
};
use bytes::Bytes;
use mimeo_core::{
    failure::{Failure, FailureCause},
    ids::ComputerId,
    messages::{Heartbeat, HeartbeatReply, Hello, ORDERS_WAIT, Orders, Outcome, PROTOCOL_VERSION, Welcome},
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout_at},
};

use super::{
    ClientApi,
    access::{Caller, JsonBody, SessionCaller},
    error::ClientError,
};
use crate::{
    clock::Timestamp,
    events::Event,
    imaging::session::{machine::Input, requests::SessionError},
    inventory::{
        admission::{AdmitError, admit},
        boot_token::{Purpose, SpendError},
    },
};

/// How long the same question waits before it is told again. A client asks again as soon as it has shown the
/// question, so this is how often it does.
const QUESTION_WAIT: Duration = Duration::from_secs(2);

pub(super) async fn hello(
    State(api): State<ClientApi>,
    connect_info: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    body: Bytes,
) -> Result<Json<Welcome>, ClientError> {
    let services = &api.inner.services;
    let now = Timestamp::now();
    let address = connect_info.map(|axum::Extension(ConnectInfo(address))| address.ip());
    // A first word without a token is as much a refusal as one with a wrong token.
    let hello: Hello = match serde_json::from_slice(&body) {
        Ok(hello) => hello,
        Err(error) => {
            api.count_refusal(address, "a first word that cannot be read")?;
            return Err(ClientError::BadRequest(error.to_string()));
        }
    };
    if hello.protocol != PROTOCOL_VERSION {
        return Err(ClientError::Protocol { found: hello.protocol, expected: PROTOCOL_VERSION });
    }
    let admission = match admit(&services.pool, &services.events, &hello.token, hello.report, now).await {
        Ok(admission) => admission,
        Err(error) => {
            if is_refusal(&error) {
                api.count_refusal(address, &error.to_string())?;
            }
            return Err(error.into());
        }
    };
    let orders = match services.next_orders(admission.boot, now).await? {
        // The session that it was sent here for ended while it booted.
        Orders::Wait if admission.purpose == Purpose::Session => Orders::Reboot,
        orders => orders,
    };
    Ok(Json(Welcome {
        credential: admission.credential,
        computer: admission.boot.computer,
        computer_name: admission.name.to_string(),
        language: api.inner.language,
        orders,
    }))
}

fn is_refusal(error: &AdmitError) -> bool {
    match error {
        AdmitError::Token(SpendError::Database(_)) | AdmitError::Computer(_) => false,
        AdmitError::Token(_)
        | AdmitError::OtherMachine
        | AdmitError::TooManyNics { .. }
        | AdmitError::ReportTooLong { .. }
        | AdmitError::Ambiguous { .. } => true,
    }
}

/// Answers as soon as there is something to do, or after [`ORDERS_WAIT`].
pub(super) async fn orders(
    State(api): State<ClientApi>,
    Caller(boot): Caller,
) -> Result<Json<Orders>, ClientError> {
    let services = &api.inner.services;
    // Listening begins before the first look, so that nothing happens in between unheard.
    let mut heard = services.events.listen();
    let asked = Instant::now();
    let mut woken = false;
    loop {
        let orders = services.next_orders(boot, Timestamp::now()).await?;
        let wait = match &orders {
            Orders::Wait => ORDERS_WAIT,
            Orders::Question(_) if !woken => QUESTION_WAIT,
            _ => return Ok(Json(orders)),
        };
        if timeout_at(asked + wait, concerns(&mut heard, boot.computer)).await.is_err() {
            return Ok(Json(orders));
        }
        woken = true;
    }
}

/// Waits until something happened that may change the orders of a computer.
async fn concerns(heard: &mut Receiver<Event>, computer: ComputerId) {
    loop {
        match heard.recv().await {
            Ok(
                Event::SessionRequested { computer: concerned, .. }
                | Event::SessionAnswered { computer: concerned, .. },
            ) if concerned == computer => return,
            Ok(_) => {}
            // Some were lost: look again.
            Err(RecvError::Lagged(_)) => return,
            // The server stops; the connection will end.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

pub(super) async fn heartbeat(
    State(api): State<ClientApi>,
    SessionCaller { boot, session }: SessionCaller,
    JsonBody(heartbeat): JsonBody<Heartbeat>,
) -> Result<Json<HeartbeatReply>, ClientError> {
    let services = &api.inner.services;
    let input = Input::Heartbeat { boot: boot.id, heartbeat };
    match services.sessions.step(session.id, input, Timestamp::now()).await {
        Ok(_) => Ok(Json(HeartbeatReply::GoOn)),
        Err(SessionError::Refused(_)) => {
            services.captures.forget(session.id);
            Ok(Json(HeartbeatReply::Stop))
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends the session. Telling the same twice is no harm: what has ended stays as it is.
pub(super) async fn outcome(
    State(api): State<ClientApi>,
    SessionCaller { boot, session }: SessionCaller,
    JsonBody(outcome): JsonBody<Outcome>,
) -> Result<Json<Orders>, ClientError> {
    let services = &api.inner.services;
    if let Some(Failure { cause: FailureCause::ChunkDamaged { chunk, .. }, .. }) = outcome.failure {
        services.deploys.recheck(chunk).await;
    }
    let input = Input::Outcome { boot: boot.id, outcome };
    match services.sessions.step(session.id, input, Timestamp::now()).await {
        Ok(_) | Err(SessionError::Refused(_)) => {}
        Err(error) => return Err(error.into()),
    }
    services.captures.forget(session.id);
    Ok(Json(Orders::Reboot))
}
