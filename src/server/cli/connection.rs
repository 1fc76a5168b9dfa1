//! How a command reaches a server: through the local socket, which only root can open, or over the network with a
//! token.

use std::{fs, io::ErrorKind, os::unix::net::UnixStream, path::Path, time::Duration};

use reqwest::{Certificate, Client, Method, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Options, failure::CliError};
use crate::{api::error::ErrorBody, config::Config, serve::local_socket, tls};

/// How long one request may take. The slowest, a request for a session, reads a manifest.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A server that was found.
pub(crate) struct Connection {
    http: Client,
    base: String,
    token: Option<String>,
}

impl Connection {
    pub(super) fn open(options: &Options) -> Result<Self, CliError> {
        // reqwest wants a provider even where it speaks no TLS.
        tls::install_crypto_provider();
        match &options.url {
            Some(url) => Self::over_network(url, options),
            None => {
                let config = Config::load(options.config.as_deref())?;
                Self::through_socket(&local_socket(&config.server.data_dir))
            }
        }
    }

    fn over_network(url: &str, options: &Options) -> Result<Self, CliError> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("https://") {
            return Err(CliError::BadUrl(url.to_owned()));
        }
        let token = options.token.clone().or_else(|| std::env::var("MIMEO_TOKEN").ok());
        if token.is_none() {
            return Err(CliError::NoToken);
        }
        let mut builder = Client::builder().https_only(true).timeout(REQUEST_TIMEOUT);
        if let Some(path) = &options.ca {
            let pem = fs::read(path).map_err(|source| CliError::Unreadable { path: path.clone(), source })?;
            let authority = Certificate::from_pem_bundle(&pem)
                .map_err(|source| CliError::NoCertificate { path: path.clone(), source })?;
            builder = builder.tls_certs_only(authority);
        }
        let http = builder.build().map_err(|source| CliError::Unreachable { place: base.clone(), source })?;
        Ok(Self { http, base, token })
    }

    /// The server of this machine.
    pub(crate) fn through_socket(socket: &Path) -> Result<Self, CliError> {
        let place = || socket.display().to_string();
        // Asked first, because the errors of HTTP no longer tell why a socket did not open.
        UnixStream::connect(socket).map(drop).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => CliError::NotAllowed { socket: socket.to_owned() },
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                CliError::NotRunning { socket: socket.to_owned() }
            }
            _ => CliError::Unreadable { path: socket.to_owned(), source: error },
        })?;
        let http = Client::builder()
            .unix_socket(socket)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|source| CliError::Unreachable { place: place(), source })?;
        Ok(Self { http, base: "http://localhost".into(), token: None })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::GET, path, None::<&()>).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &impl Serialize) -> Result<Value, CliError> {
        self.send(Method::PATCH, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::DELETE, path, None::<&()>).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Value, CliError> {
        let unreachable = |source| CliError::Unreachable { place: self.base.clone(), source };
        let mut request = self.http.request(method, format!("{}/api/v1{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let body: Value = response.json().await.map_err(unreachable)?;
        if status.is_success() { Ok(body) } else { Err(CliError::Api(understand::<ErrorBody>(&body)?)) }
    }
}

/// What an answer means to this version of the program.
pub(crate) fn understand<T: DeserializeOwned>(answer: &Value) -> Result<T, CliError> {
    T::deserialize(answer).map_err(|error| CliError::NotUnderstood(error.to_string()))
}

/// Text as one part of a path.
pub(super) fn in_path(text: &str) -> String {
    let mut part = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                part.push(char::from(byte))
            }
            _ => part.push_str(&format!("%{byte:02X}")),
        }
    }
    part
}
