//! How a command fails: one sentence that says what to do next.

use std::path::PathBuf;

use crate::{
    api::error::{ErrorBody, causes},
    config::raw::ConfigError,
};

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

#[expect(clippy::print_stderr, reason = "the one place where the command line complains")]
pub(super) fn report(error: &CliError) {
    eprintln!("mimeo: {}", causes(error));
}
