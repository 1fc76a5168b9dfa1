//! The conversation with the server: who this computer is, what it is to do, how it went.
//!
//! HTTPS, TLS 1.3 only, and no certificate counts but those of the appliance's own CA, which travels in the
//! initramfs. What a session moves is `crate::transfer`'s part.

pub mod contact;
pub mod validity;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use mimeo_core::{
    failure::FailureCause,
    ids::{Secret, SessionId},
    messages::{Hello, Orders, Outcome, Welcome, paths},
};
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, Body,
    http::{
        Response, StatusCode,
        header::{EXPECT, RETRY_AFTER},
    },
    tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use self::contact::Contact;
use crate::transfer::SessionTransfer;
use mimeo_engine::link::ServerError;

/// How long a connection may take to come about. A switch port that has just come up forwards after up to 30 s of
/// spanning tree; the caller tries again until then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may be silent in the middle of a request. Longer than `ORDERS_WAIT`, for which it is silent
/// on purpose.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bodies from this length on are sent once the server says that it has room for them. Asking costs a round trip, and
/// a body that is sent in vain costs the line that others wait for.
const ASK_BEFORE_BYTES: usize = 64 << 10;

/// Connections that are kept open: as many as the engine has requests in flight, and one for heartbeats.
const CONNECTIONS_MAX: usize = 10;

/// The longest JSON answer that is read: orders that list disks are the longest.
const JSON_BYTES_MAX: u64 = 1 << 20;

/// How much of an error's body that is no cause is shown.
const DETAIL_CHARS_MAX: usize = 200;

/// A server that this client trusts.
#[derive(Clone)]
pub struct Server {
    agent: Agent,
    base: String,
    contact: Contact,
}

/// The certificates given as the appliance's CA are none.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("reading the certificate of the appliance's CA")]
    Pem(#[from] ureq::Error),
    #[error("the file that should hold the appliance's CA holds no certificate")]
    NoCertificate,
}

impl Server {
    /// A server at `base` (`https://192.0.2.1:8443`), which must prove itself to the CA in `ca_pem`.
    pub fn new(base: &str, ca_pem: &[u8]) -> Result<Self, TrustError> {
        let mut roots = Vec::new();
        for item in parse_pem(ca_pem) {
            if let PemItem::Certificate(certificate) = item? {
                roots.push(certificate);
            }
        }
        if roots.is_empty() {
            return Err(TrustError::NoCertificate);
        }
        // ureq offers TLS 1.2 as well; without cipher suites for it, it cannot come about.
        let mut crypto = rustls::crypto::ring::default_provider();
        crypto.cipher_suites.retain(|suite| suite.tls13().is_some());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::new(roots)))
            .unversioned_rustls_crypto_provider(Arc::new(crypto))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("mimeo-client")
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(SILENCE_TIMEOUT))
            .timeout_per_write(Some(SILENCE_TIMEOUT))
            .timeout_await_100(Some(SILENCE_TIMEOUT))
            .max_idle_connections(CONNECTIONS_MAX)
            .max_idle_connections_per_host(CONNECTIONS_MAX)
            .build();
        Ok(Self {
            agent: config.new_agent(),
            base: base.trim_end_matches('/').to_owned(),
            contact: Contact::default(),
        })
    }

    /// Whether it answers.
    pub fn contact(&self) -> &Contact {
        &self.contact
    }

    /// Says who this computer is. The token is used up by it.
    pub fn hello(&self, hello: &Hello) -> Result<Welcome, ServerError> {
        let body = json_body(hello)?;
        json(&self.post(paths::HELLO, None, &body, JSON_BYTES_MAX)?)
    }

    /// Fetches the second part of the initramfs, of at most `bytes_max`. Its hash is the caller's to check.
    pub fn payload(&self, bytes_max: u64) -> Result<Vec<u8>, ServerError> {
        let request = self.agent.get(format!("{}{}", self.base, paths::PAYLOAD));
        self.noted(answer(paths::PAYLOAD, request.call(), bytes_max))
    }

    /// Goes on as the one whom the server welcomed.
    pub fn converse(&self, credential: Secret) -> Conversation {
        Conversation { server: self.clone(), credential }
    }

    fn post(
        &self,
        path: &str,
        credential: Option<&Secret>,
        body: &[u8],
        answer_bytes_max: u64,
    ) -> Result<Vec<u8>, ServerError> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(credential) = credential {
            request = request.header("authorization", format!("Bearer {}", credential.reveal()));
        }
        if body.len() >= ASK_BEFORE_BYTES {
            request = request.header(EXPECT, "100-continue");
        }
        self.noted(answer(path, request.send(body), answer_bytes_max))
    }

    fn get(&self, path: &str, credential: &Secret, answer_bytes_max: u64) -> Result<Vec<u8>, ServerError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.header("authorization", format!("Bearer {}", credential.reveal()));
        self.noted(answer(path, request.call(), answer_bytes_max))
    }

    fn noted<T>(&self, result: Result<T, ServerError>) -> Result<T, ServerError> {
        self.contact.note(!matches!(result, Err(ServerError::Unreachable(_))), Instant::now());
        result
    }
}

/// The conversation after the welcome.
#[derive(Clone)]
pub struct Conversation {
    server: Server,
    credential: Secret,
}

impl Conversation {
    /// Asks what to do; the server may take `ORDERS_WAIT` to answer.
    pub fn orders(&self) -> Result<Orders, ServerError> {
        json(&self.post(paths::ORDERS, &[], JSON_BYTES_MAX)?)
    }

    /// Adds lines, at most `LOG_BYTES_MAX`, to the computer's log.
    pub fn log(&self, text: &str) -> Result<(), ServerError> {
        self.post(paths::LOG, text.as_bytes(), JSON_BYTES_MAX).map(drop)
    }

    /// Says how a session ended, and learns what comes next.
    pub fn outcome(&self, session: SessionId, outcome: &Outcome) -> Result<Orders, ServerError> {
        let path = paths::of_session(paths::OUTCOME, session);
        json(&self.post(&path, &json_body(outcome)?, JSON_BYTES_MAX)?)
    }

    /// The part of the conversation that belongs to one session.
    pub fn session(&self, session: SessionId) -> SessionTransfer {
        SessionTransfer::new(self.clone(), session)
    }

    pub(crate) fn post(
        &self,
        path: &str,
        body: &[u8],
        answer_bytes_max: u64,
    ) -> Result<Vec<u8>, ServerError> {
        self.server.post(path, Some(&self.credential), body, answer_bytes_max)
    }

    pub(crate) fn get(&self, path: &str, answer_bytes_max: u64) -> Result<Vec<u8>, ServerError> {
        self.server.get(path, &self.credential, answer_bytes_max)
    }
}

pub(crate) fn json_body(message: &impl Serialize) -> Result<Vec<u8>, ServerError> {
    serde_json::to_vec(message).map_err(|error| ServerError::Malformed(format!("writing a request: {error}")))
}

pub(crate) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ServerError> {
    serde_json::from_slice(body).map_err(|error| ServerError::Malformed(error.to_string()))
}

/// The body of a good answer, or what a bad one means.
fn answer(
    path: &str,
    response: Result<Response<Body>, ureq::Error>,
    bytes_max: u64,
) -> Result<Vec<u8>, ServerError> {
    // Nothing that goes wrong on the way is final: a certificate is wrong while a clock is.
    let unreachable = |error: ureq::Error| ServerError::Unreachable(format!("{path}: {error}"));
    let mut response = response.map_err(unreachable)?;
    let status = response.status();
    let busy = status == StatusCode::SERVICE_UNAVAILABLE && response.headers().contains_key(RETRY_AFTER);
    let body = response.body_mut().with_config().limit(bytes_max).read_to_vec();
    if status.is_success() {
        return body.map_err(|error| match error {
            ureq::Error::BodyExceedsLimit(limit) => {
                ServerError::Malformed(format!("{path}: the answer is longer than {limit} bytes"))
            }
            error => unreachable(error),
        });
    }
    let body = body.unwrap_or_default();
    if let Ok(cause) = serde_json::from_slice::<FailureCause>(&body) {
        return Err(ServerError::Refused(cause));
    }
    let said: String = String::from_utf8_lossy(&body).chars().take(DETAIL_CHARS_MAX).collect();
    let detail = format!("{path}: the server answered {status}: {said}");
    if busy {
        return Err(ServerError::Busy(detail));
    }
    // 408 and 429 ask to come again; 5xx without a cause is a server that starts, stops, or has a proxy before it.
    if status.is_server_error() || [408, 429].contains(&status.as_u16()) {
        Err(ServerError::Unreachable(detail))
    } else {
        Err(ServerError::Refused(FailureCause::Internal { detail }))
    }
}

#[cfg(test)]
mod tests;
