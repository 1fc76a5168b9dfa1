//! How a command fails: one sentence that says what to do next.

use std::path::PathBuf;

use mimeo_core::{causes::causes, failure::Failure};
use serde_json::{Value, json};

use super::{
    Output, refusal,
    screen::{escaped, plain},
    words::Words,
};
use crate::{api::error::ErrorBody, config::raw::ConfigError};

/// What an address looks like, and where a server's certificate is.
const EXAMPLE: &str = "https://192.168.77.1";
const CERTIFICATE: &str = "https://…/ca.pem";

/// Why a command was not done.
#[derive(Debug)]
pub(crate) enum CliError {
    Config(ConfigError),
    /// No server runs on this machine.
    NotRunning {
        socket: PathBuf,
    },
    /// The socket is there, for root.
    NotAllowed {
        socket: PathBuf,
    },
    Unreachable {
        place: String,
        source: reqwest::Error,
    },
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    NoCertificate {
        path: PathBuf,
        source: reqwest::Error,
    },
    BadUrl(String),
    NoToken,
    /// The server says no.
    Api(ErrorBody),
    /// The answer of another version.
    NotUnderstood(String),
    /// A capture or a restore of this machine failed.
    Engine(Failure),
    /// Said already in the language of the one who asked.
    Refused(String),
    /// A session that was followed did not succeed. It has been shown already.
    SessionsFailed {
        failed: usize,
        all: usize,
    },
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
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
            Self::BadUrl(_) | Self::NoToken | Self::Refused(_) => "refused",
            Self::SessionsFailed { .. } => "sessions_failed",
            Self::Engine(_) => "failed",
        }
    }

    /// What went wrong and what to do about it.
    pub(crate) fn sentence(&self, words: &Words) -> String {
        match self {
            Self::Config(error) => config(words, error),
            Self::NotRunning { socket } => words.say_of("error-not-running", "socket", socket.display()),
            Self::NotAllowed { socket } => words.say_of("error-not-allowed", "socket", socket.display()),
            Self::Unreachable { place, source } => {
                words.say_with("error-unreachable", &[("place", place), ("error", &causes(source))])
            }
            Self::Unreadable { path, source } => {
                let values = [("path", &*path.to_string_lossy()), ("error", &*causes(source))];
                words.say_with("error-unreadable", &values)
            }
            Self::NoCertificate { path, source } => {
                let path = path.to_string_lossy();
                let values = [("path", &*path), ("error", &*causes(source)), ("address", CERTIFICATE)];
                words.say_with("error-no-certificate", &values)
            }
            Self::BadUrl(found) => words.say_with("error-bad-url", &[("example", EXAMPLE), ("found", found)]),
            Self::NoToken => words.say("error-no-token"),
            Self::Api(body) => refusal::sentence(words, body),
            Self::NotUnderstood(error) => words.say_of("error-not-understood", "error", error),
            Self::Refused(sentence) => sentence.clone(),
            Self::Engine(failure) => words.failure(failure),
            Self::SessionsFailed { failed, all } => {
                let values = [("failed", &*failed.to_string()), ("all", &*all.to_string())];
                words.say_with("error-sessions-failed", &values)
            }
        }
    }
}

/// What is wrong with the configuration.
pub(crate) fn config(words: &Words, error: &ConfigError) -> String {
    match error {
        ConfigError::Unreadable { file, source } => {
            words.say_with("error-config-unreadable", &[("file", file), ("error", &causes(source))])
        }
        ConfigError::Syntax { file, source } => {
            words.say_with("error-config-syntax", &[("file", file), ("error", causes(&**source).trim_end())])
        }
        ConfigError::UnknownKey { file, key, nearest } => {
            words.say_with("error-config-unknown-key", &[("file", file), ("key", key), ("nearest", nearest)])
        }
        ConfigError::BadValue { file, key, value, allowed } => {
            let values = [("file", &**file), ("key", &**key), ("value", &**value), ("allowed", *allowed)];
            words.say_with("error-config-bad-value", &values)
        }
        ConfigError::MissingKey { file, key, needed } => {
            words.say_with("error-config-missing-key", &[("file", file), ("key", key), ("needed", needed)])
        }
    }
}

/// For people a sentence; with `--json` what the API would answer.
#[expect(clippy::print_stderr, reason = "the one place where the command line complains")]
pub(super) fn report(error: &CliError, out: Output) {
    let sentence = error.sentence(&out.words);
    if out.json {
        let (message, details) = match error {
            // As the API says it.
            CliError::Api(body) => (body.message.clone(), body.details.clone()),
            CliError::Engine(failure) => (sentence, json!(failure)),
            _ => (sentence, Value::Null),
        };
        let body = json!({ "error": error.word(), "message": message, "details": details });
        return eprintln!("{}", escaped(&body.to_string()));
    }
    for (number, line) in sentence.lines().enumerate() {
        let who = if number == 0 { "mimeo: " } else { "" };
        eprintln!("{who}{}", plain(line));
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::messages::Language;

    use super::{CliError, Words};
    use crate::config::Config;

    #[test]
    fn every_error_is_a_sentence_in_both_languages() {
        let socket = || "/var/lib/mimeo/mimeo.sock".into();
        let refused = |text: &str| CliError::Config(Config::parse(text, "mimeo.toml").expect_err(text));
        for (error, fact) in [
            (CliError::NotRunning { socket: socket() }, "mimeo serve"),
            (CliError::NotAllowed { socket: socket() }, "mimeo.sock"),
            (CliError::Unreadable { path: socket(), source: std::io::Error::other("worn out") }, "worn out"),
            (CliError::BadUrl("http://x".into()), "http://x"),
            (CliError::NoToken, "MIMEO_TOKEN"),
            (CliError::NotUnderstood("a moon".into()), "a moon"),
            (CliError::SessionsFailed { failed: 2, all: 3 }, "3"),
            (refused("[dhcp"), "mimeo.toml"),
            (refused("[dhcp]\nmood = 1"), "dhcp.mode"),
            (refused("[dhcp]\nmode = \"maybe\""), "maybe"),
        ] {
            let [english, french] =
                [Language::En, Language::Fr].map(|language| error.sentence(&Words::new(language)));
            assert_ne!(english, french);
            for sentence in [english, french] {
                assert!(sentence.contains(fact) && !sentence.contains("{ $"), "{sentence}");
            }
        }
    }
}
