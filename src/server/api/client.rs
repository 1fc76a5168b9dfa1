//! The conversation with the client in the initramfs, from the server's side (`mimeo_core::messages`).
//!
//! Every request but the first word and the payload shows the credential of its boot; every request about a session
//! is checked against the computer that the session belongs to. What each may cost has a limit.

use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    routing::{get, post},
};
use bytes::Bytes;
use mimeo_core::{
    chunk::ChunkSize,
    messages::{CHUNK_LIST_MAX, LOG_BYTES_MAX, Language, paths, records::HEADER_BYTES},
};

use self::{answers::AnswerRoom, body::BodyRoom};
use crate::{
    auth::limit::{Allowance, Attempts},
    wiring::Services,
};

mod access;
mod answers;
mod body;
mod conversation;
mod error;
mod log;
mod transfer;

/// Longest JSON body: a report with hundreds of partitions is a tenth of it.
const JSON_BYTES_MAX: usize = 1 << 20;

/// Longest upload: as many chunks as one list may name, of the size that is ordered, none of which shrank.
const UPLOAD_BYTES_MAX: usize = CHUNK_LIST_MAX * (HEADER_BYTES + ChunkSize::DEFAULT.bytes_u32() as usize);

/// Refusals for one address: a classroom behind one router that boots with stale tokens is answered, somebody who
/// guesses is slowed to nothing.
const REFUSALS: Allowance = Allowance { burst: 60, interval: Duration::from_secs(2) };

/// What the conversation needs.
#[derive(Clone)]
pub struct ClientApi {
    inner: Arc<Inner>,
}

struct Inner {
    services: Services,
    /// The second part of the initramfs.
    payload: Bytes,
    /// Language of the clients' consoles.
    language: Language,
    /// The folder of the clients' logs.
    logs: PathBuf,
    refusals: Mutex<Attempts<IpAddr>>,
    bodies: BodyRoom,
    answers: AnswerRoom,
}

impl ClientApi {
    /// `logs` is a folder that exists.
    pub fn new(services: Services, payload: Bytes, language: Language, logs: PathBuf) -> Self {
        Self::with(services, payload, language, logs, AnswerRoom::new())
    }

    fn with(
        services: Services,
        payload: Bytes,
        language: Language,
        logs: PathBuf,
        answers: AnswerRoom,
    ) -> Self {
        let refusals = Mutex::new(Attempts::new(REFUSALS));
        let bodies = BodyRoom::new();
        Self { inner: Arc::new(Inner { services, payload, language, logs, refusals, bodies, answers }) }
    }

    /// The routes. To be served with connection information, because refusals are counted by address.
    pub fn router(self) -> Router {
        let limited = |limit| DefaultBodyLimit::max(limit);
        Router::new()
            .route(paths::HELLO, post(conversation::hello))
            .route(paths::ORDERS, post(conversation::orders))
            .route(paths::HEARTBEAT, post(conversation::heartbeat))
            .route(paths::OUTCOME, post(conversation::outcome))
            .route(paths::CHUNKS_MISSING, post(transfer::missing))
            .route(paths::CHUNKS_FETCH, post(transfer::fetch))
            .route(paths::VERSION_ASK, post(transfer::ask_version))
            .route(paths::MANIFEST, get(transfer::manifest))
            .layer(limited(JSON_BYTES_MAX))
            // These two read their bodies through `body`, which knows how much memory there is.
            .route(paths::CHUNKS_UPLOAD, post(transfer::upload))
            .route(paths::VERSION, post(transfer::version))
            .route(paths::LOG, post(log::append).layer(limited(LOG_BYTES_MAX)))
            .route(paths::PAYLOAD, get(payload))
            .with_state(self)
    }
}

/// No secret, and needed before a client can say anything of itself; it knows the hash beforehand.
async fn payload(State(api): State<ClientApi>) -> Bytes {
    api.inner.payload.clone()
}

#[cfg(test)]
mod tests;
