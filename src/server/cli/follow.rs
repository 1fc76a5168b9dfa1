//! Sessions as they go on: bars on a terminal, lines elsewhere, JSON lines for programs.
//!
//! The list is asked again and again instead of listening to events: what is shown is what is true, whatever was
//! missed, and a server that restarts in between is nothing special.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mimeo_core::ids::SessionId;
use serde_json::Value;

use super::{
    connection::{Connection, understand},
    failure::CliError,
    screen::{print, print_json_line},
    sessions::{does, standing},
};
use crate::api::sessions::SessionView;

/// How often the sessions are asked for: twice as often as clients report.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// For how long a server may be away: it is being restarted, say.
const AWAY_MAX: u32 = 60;

/// Follows these sessions until the last has ended. An error if one did not succeed.
pub(super) async fn wait(connection: &Connection, ids: &[SessionId], json: bool) -> Result<(), CliError> {
    let mut display = Display::new(json);
    loop {
        let sessions = ask(connection, ids).await?;
        display.show(&sessions)?;
        let views = views(&sessions)?;
        if views.iter().all(|session| session.ended.is_some()) {
            let failed = views.iter().filter(|session| session.state != "succeeded").count();
            return match failed {
                0 => Ok(()),
                _ => Err(CliError::SessionsFailed { failed, all: views.len() }),
            };
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// Follows whatever sessions there are, until interrupted.
pub(super) async fn watch(connection: &Connection, json: bool) -> Result<(), CliError> {
    let mut display = Display::new(json);
    let mut known: Vec<SessionId> = Vec::new();
    let mut greeted = json;
    loop {
        let open = views(&list(connection, "/sessions?open=true").await?)?;
        if open.is_empty() && !greeted {
            print("No session waits or runs. Those that begin show here; Ctrl-C ends this.");
        }
        greeted = true;
        for session in open {
            if !known.contains(&session.id) {
                known.push(session.id);
            }
        }
        let sessions = ask(connection, &known).await?;
        display.show(&sessions)?;
        // How it ended has been shown.
        let ended = views(&sessions)?.into_iter().filter(|session| session.ended.is_some());
        let ended: Vec<SessionId> = ended.map(|session| session.id).collect();
        known.retain(|id| !ended.contains(id));
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask(connection: &Connection, ids: &[SessionId]) -> Result<Vec<Value>, CliError> {
    let mut sessions = Vec::new();
    for id in ids {
        sessions.push(patiently(connection, &format!("/sessions/{id}")).await?);
    }
    Ok(sessions)
}

async fn list(connection: &Connection, path: &str) -> Result<Vec<Value>, CliError> {
    understand(&patiently(connection, path).await?)
}

/// Asks again while the server is away.
async fn patiently(connection: &Connection, path: &str) -> Result<Value, CliError> {
    for _ in 0..AWAY_MAX {
        match connection.get(path).await {
            Err(CliError::Unreachable { .. }) => tokio::time::sleep(ASK_EVERY).await,
            other => return other,
        }
    }
    connection.get(path).await
}

fn views(sessions: &[Value]) -> Result<Vec<SessionView>, CliError> {
    sessions.iter().map(understand).collect()
}

/// Where sessions are shown.
enum Display {
    Bars {
        all: MultiProgress,
        bars: BTreeMap<SessionId, ProgressBar>,
    },
    /// What was said last of each.
    Lines(BTreeMap<SessionId, String>),
    Json(BTreeMap<SessionId, Value>),
}

impl Display {
    fn new(json: bool) -> Self {
        match (json, io::stderr().is_terminal()) {
            (true, _) => Self::Json(BTreeMap::new()),
            (false, true) => Self::Bars { all: MultiProgress::new(), bars: BTreeMap::new() },
            (false, false) => Self::Lines(BTreeMap::new()),
        }
    }

    /// Shows what has changed.
    fn show(&mut self, sessions: &[Value]) -> Result<(), CliError> {
        for value in sessions {
            let session: SessionView = understand(value)?;
            match self {
                Self::Bars { all, bars } => {
                    let bar = bars.entry(session.id).or_insert_with(|| all.add(new_bar(&session)));
                    show_bar(bar, &session);
                }
                Self::Lines(said) => {
                    let line = line(&session);
                    if said.insert(session.id, line.clone()).as_ref() != Some(&line) {
                        print(&line);
                    }
                }
                Self::Json(said) => {
                    if said.insert(session.id, value.clone()).as_ref() != Some(value) {
                        print_json_line(&value.to_string());
                    }
                }
            }
        }
        Ok(())
    }
}

fn new_bar(session: &SessionView) -> ProgressBar {
    let bar = ProgressBar::new(session.progress.total_bytes).with_prefix(format!(
        "{} {}, {}",
        session.id,
        session.computer_name,
        does(session)
    ));
    let style = ProgressStyle::with_template(
        "{prefix:36!}  {bar:28} {decimal_bytes:>9}/{decimal_total_bytes:9} {decimal_bytes_per_sec:>11}  {msg}",
    );
    // The template is ours; if it ever does not parse, the default style shows the same less nicely.
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

fn show_bar(bar: &ProgressBar, session: &SessionView) {
    let progress = session.progress;
    if bar.is_finished() {
        return;
    }
    if bar.position() > progress.done_bytes {
        // A new phase counts from zero, and so does its speed.
        bar.reset();
    }
    bar.set_length(progress.total_bytes);
    bar.set_position(progress.done_bytes);
    match session.ended {
        Some(_) => bar.abandon_with_message(standing(session)),
        None => bar.set_message(standing(session)),
    }
}

fn line(session: &SessionView) -> String {
    format!("session {}: {}, {}: {}", session.id, session.computer_name, does(session), standing(session))
}
