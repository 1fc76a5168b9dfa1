//! How a command fails: one sentence that says what to do next.

use std::path::PathBuf;

use mimeo_core::causes::causes;
use serde_json::{Value, json};

use super::screen::{escaped, plain};
use crate::{api::error::ErrorBody, config::raw::ConfigError};

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(
        "no server runs on this machine (no {socket}): start it with `mimeo serve`, or name another with --url"
    )]
    NotRunning { socket: PathBuf },
    #[error("only root may use {socket}: run this as root, or use --url with an API token")]
    NotAllowed { socket: PathBuf },
    #[error("talking to the server at {place}")]
    Unreachable { place: String, source: reqwest::Error },
    #[error("reading {path}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path} holds no certificate: download it from https://…/ca.pem")]
    NoCertificate { path: PathBuf, source: reqwest::Error },
    /// The server says no.
    #[error("{}", .0.message)]
    Api(ErrorBody),
    #[error("the server answered what this program does not understand: are both of one version? ({0})")]
    NotUnderstood(String),
    #[error("{0}")]
    Refused(String),
    /// A session that was followed did not succeed. It has been shown already.
    #[error("{failed} of {all} sessions did not succeed")]
    SessionsFailed { failed: usize, all: usize },
}

impl CliError {
    /// The word for programs: the server's own where it said no.
    fn word(&self) -> &str {
        match self {
            Self::Api(body) => &body.error,
            Self::Config(_) => "bad_config",
            Self::NotRunning { .. } => "not_running",
            Self::NotAllowed { .. } => "not_allowed",
            Self::Unreachable { .. } => "unreachable",
            Self::Unreadable { .. } => "unreadable",
            Self::NoCertificate { .. } => "no_certificate",
            Self::NotUnderstood(_) => "not_understood",
            Self::Refused(_) => "refused",
            Self::SessionsFailed { .. } => "sessions_failed",
        }
    }
}

/// For people a sentence; with `--json` what the API would answer.
#[expect(clippy::print_stderr, reason = "the one place where the command line complains")]
pub(super) fn report(error: &CliError, json: bool) {
    if json {
        let details = match error {
            CliError::Api(body) => body.details.clone(),
            _ => Value::Null,
        };
        let body = json!({ "error": error.word(), "message": causes(error), "details": details });
        return eprintln!("{}", escaped(&body.to_string()));
    }
    for (number, line) in causes(error).lines().enumerate() {
        let who = if number == 0 { "mimeo: " } else { "" };
        eprintln!("{who}{}", plain(line));
    }
}

#[cfg(test)]
mod tests {
    use super::CliError;

    #[test]
    fn what_the_server_said_is_passed_on_word_for_word() {
        let body = serde_json::json!({ "error": "computer_busy", "message": "it is busy" });
        let error = CliError::Api(serde_json::from_value(body).expect("a refusal"));
        assert_eq!((error.word(), error.to_string().as_str()), ("computer_busy", "it is busy"));
    }
}
