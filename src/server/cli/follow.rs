//! Sessions as they go on: bars on a terminal, lines elsewhere, JSON lines for programs.
//!
//! The list is asked again and again instead of listening to events: what is shown is what is true, whatever was
//! missed, and a server that restarts in between is nothing special.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use mimeo_core::{ids::SessionId, text::size};
use serde_json::Value;

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    report::report,
    screen::{print, print_json_line},
    sessions::{does, line, standing},
    words::Words,
};
use crate::api::sessions::SessionView;

/// How often the sessions are asked for: twice as often as clients report.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// For how long a server may be away: it is being restarted, say.
const AWAY_MAX: u32 = 60;

/// Follows these sessions until the last has ended. An error if one did not succeed.
pub(super) async fn wait(connection: &Connection, ids: &[SessionId], out: Output) -> Result<(), CliError> {
    let mut display = Display::new(out);
    loop {
        let sessions = ask(connection, ids).await?;
        display.show(&sessions)?;
        let views = views(&sessions)?;
        if views.iter().all(|session| session.ended.is_some()) {
            if !out.json {
                let reports = views.iter().map(|session| report(out.words, session));
                reports.filter(|report| !report.is_empty()).for_each(|report| print(&report));
            }
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
pub(super) async fn watch(connection: &Connection, out: Output) -> Result<(), CliError> {
    let mut display = Display::new(out);
    let mut known: Vec<SessionId> = Vec::new();
    let mut greeted = out.json;
    loop {
        let open = views(&list(connection, "/sessions?open=true").await?)?;
        if open.is_empty() && !greeted {
            print(&out.words.say("session-watch"));
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

/// Where sessions are shown, and in which words.
struct Display {
    words: Words,
    place: Place,
}

enum Place {
    Bars {
        all: MultiProgress,
        bars: BTreeMap<SessionId, ProgressBar>,
    },
    /// What was said last of each.
    Lines(BTreeMap<SessionId, String>),
    Json(BTreeMap<SessionId, Value>),
}

impl Display {
    fn new(out: Output) -> Self {
        let place = match (out.json, io::stderr().is_terminal()) {
            (true, _) => Place::Json(BTreeMap::new()),
            (false, true) => Place::Bars { all: MultiProgress::new(), bars: BTreeMap::new() },
            (false, false) => Place::Lines(BTreeMap::new()),
        };
        Self { words: out.words, place }
    }

    /// Shows what has changed.
    fn show(&mut self, sessions: &[Value]) -> Result<(), CliError> {
        let words = self.words;
        for value in sessions {
            let session: SessionView = understand(value)?;
            match &mut self.place {
                Place::Bars { all, bars } => {
                    let bar = bars.entry(session.id).or_insert_with(|| all.add(new_bar(words, &session)));
                    show_bar(words, bar, &session);
                }
                Place::Lines(said) => {
                    let line = line(words, &session);
                    if said.insert(session.id, line.clone()).as_ref() != Some(&line) {
                        print(&line);
                    }
                }
                Place::Json(said) => {
                    if said.insert(session.id, value.clone()).as_ref() != Some(value) {
                        print_json_line(&value.to_string());
                    }
                }
            }
        }
        Ok(())
    }
}

fn new_bar(words: Words, session: &SessionView) -> ProgressBar {
    let bar = ProgressBar::new(session.progress.total_bytes).with_prefix(format!(
        "{} {}, {}",
        session.id,
        session.computer_name,
        does(words, session)
    ));
    let style =
        ProgressStyle::with_template("{prefix:36!}  {bar:28} {done:>8} / {total:8} {rate:>10}  {msg}");
    let language = words.language();
    // The template is ours; if it ever does not parse, the default style shows the same less nicely.
    let Ok(style) = style else { return bar };
    // What cannot be written into a line is not shown; the next draw tries again.
    let style = style
        .with_key("done", move |state: &ProgressState, line: &mut dyn fmt::Write| {
            let _written = line.write_str(&size::bytes(language, state.pos()));
        })
        .with_key("total", move |state: &ProgressState, line: &mut dyn fmt::Write| {
            let _written = line.write_str(&size::bytes(language, state.len().unwrap_or(0)));
        })
        .with_key("rate", move |state: &ProgressState, line: &mut dyn fmt::Write| {
            let _written = line.write_str(&size::rate(language, state.per_sec()));
        });
    bar.with_style(style)
}

fn show_bar(words: Words, bar: &ProgressBar, session: &SessionView) {
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
        Some(_) => bar.abandon_with_message(standing(words, session)),
        None => bar.set_message(standing(words, session)),
    }
}
