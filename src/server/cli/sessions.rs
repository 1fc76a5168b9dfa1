//! `mimeo sessions`, `mimeo answer` and `mimeo cancel`.

use mimeo_core::{
    messages::{DiskPin, Progress},
    text::size::duration,
};
use serde_json::json;

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    report::report,
    screen::{print, print_json},
    words::Words,
};
use crate::{
    api::sessions::{AnswerRequest, JobKind, PhaseView, SessionDetails, SessionView},
    clock::Timestamp,
};

const COLUMNS: [&str; 6] =
    ["column-id", "column-computer", "column-does", "column-state", "column-time", "column-requested"];

const PHASE_COLUMNS: [&str; 7] = [
    "column-attempt",
    "column-phase",
    "column-time",
    "column-read",
    "column-written",
    "column-sent",
    "column-received",
];

pub(super) async fn list(connection: &Connection, open: bool, out: Output) -> Result<(), CliError> {
    let answer = connection.get(if open { "/sessions?open=true" } else { "/sessions" }).await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let sessions: Vec<SessionView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = sessions.iter().map(|session| row(out.words, session, now)).collect();
    let mut text = out.words.table(&COLUMNS, &rows, "none-sessions");
    for session in &sessions {
        text.push_str(&question(out.words, session));
    }
    print(&text);
    Ok(())
}

/// One session, phase by phase.
pub(super) async fn show(connection: &Connection, id: i64, out: Output) -> Result<(), CliError> {
    let answer = connection.get(&format!("/sessions/{id}")).await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let words = out.words;
    let SessionDetails { session, phases } = understand(&answer)?;
    let mut text = format!("{}\n", line(words, &session));
    if let Some(pin) = &session.disk {
        text.push_str(&format!("{}\n", words.say_of("session-disk", "disk", words.disk(pin))));
    }
    text.push_str(&report(words, &session));
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = phases.iter().map(|phase| phase_row(words, phase, now)).collect();
    text.push_str(&words.table(&PHASE_COLUMNS, &rows, "none-phases"));
    text.push_str(&question(words, &session));
    print(&text);
    Ok(())
}

fn phase_row(words: Words, phase: &PhaseView, now: Timestamp) -> Vec<String> {
    let figure = |of: fn(&Progress) -> u64| {
        phase.progress.as_ref().map_or_else(|| "-".to_owned(), |progress| words.bytes(of(progress)))
    };
    vec![
        phase.attempt.to_string(),
        words.phase(phase.phase),
        duration(phase.ended.unwrap_or(now).since(phase.began)),
        figure(|progress| progress.read_bytes),
        figure(|progress| progress.written_bytes),
        figure(|progress| progress.sent_bytes),
        figure(|progress| progress.received_bytes),
    ]
}

pub(super) async fn answer(
    connection: &Connection,
    id: i64,
    which: &str,
    out: Output,
) -> Result<(), CliError> {
    let details: SessionDetails = understand(&connection.get(&format!("/sessions/{id}")).await?)?;
    let pin = chosen(out.words, &details.session, which)?;
    let answer =
        connection.post(&format!("/sessions/{id}/answer"), &AnswerRequest { disk: pin.clone() }).await?;
    if out.json {
        print_json(&answer);
    } else {
        let values = [("id", &*id.to_string()), ("disk", &*out.words.disk(&pin))];
        print(&out.words.say_with("session-uses", &values));
    }
    Ok(())
}

pub(super) async fn cancel(connection: &Connection, id: i64, out: Output) -> Result<(), CliError> {
    let answer = connection.post(&format!("/sessions/{id}/cancel"), &json!({})).await?;
    if out.json {
        print_json(&answer);
    } else {
        print(&out.words.say_of("session-cancelled", "id", id));
    }
    Ok(())
}

/// A session in one line: of which computer, what it does, where it stands.
pub(super) fn line(words: Words, session: &SessionView) -> String {
    let values = [
        ("id", &*session.id.to_string()),
        ("computer", &*session.computer_name),
        ("does", &*does(words, session)),
        ("state", &*standing(words, session)),
    ];
    words.say_with("session-line", &values)
}

/// What a session does, in three words.
pub(super) fn does(words: Words, session: &SessionView) -> String {
    let version = session.version.map_or_else(String::new, |version| format!("@{version}"));
    let master = format!("{}{version}", session.master);
    match session.kind {
        JobKind::Capture => words.say_of("does-capture", "master", master),
        JobKind::Deploy => words.say_of("does-deploy", "master", master),
    }
}

/// Where a session stands, in a few words.
pub(super) fn standing(words: Words, session: &SessionView) -> String {
    match (session.state.as_str(), &session.failure, session.phase) {
        ("failed", Some(failed), _) => {
            let values = [("phase", &*words.phase(failed.phase)), ("reason", &*words.failure(failed))];
            words.say_with("state-failed-in", &values)
        }
        ("waiting", ..) if !session.question.is_empty() => words.say("state-asked"),
        ("waiting", ..) => words.say("state-waiting"),
        ("running", _, Some(phase)) => format!("{}{}", words.phase(phase), percent(session.progress)),
        ("running", ..) => words.say("state-running"),
        ("succeeded", ..) => words.say("state-succeeded"),
        ("failed", ..) => words.say("state-failed"),
        ("cancelled", ..) => words.say("state-cancelled"),
        // Of a later version.
        (state, ..) => state.to_owned(),
    }
}

fn percent(progress: Progress) -> String {
    let done = u128::from(progress.done_bytes.min(progress.total_bytes)) * 100;
    done.checked_div(progress.total_bytes.into()).map_or_else(String::new, |percent| format!(" {percent} %"))
}

fn row(words: Words, session: &SessionView, now: Timestamp) -> Vec<String> {
    let took = session.started.map(|started| duration(session.ended.unwrap_or(now).since(started)));
    vec![
        session.id.to_string(),
        session.computer_name.clone(),
        does(words, session),
        standing(words, session),
        took.unwrap_or_else(|| "-".to_owned()),
        words.ago(session.requested, now),
    ]
}

/// The question that a session waits with, and how to answer it.
fn question(words: Words, session: &SessionView) -> String {
    if session.question.is_empty() {
        return String::new();
    }
    let id = session.id.to_string();
    let asked = words.say_with("session-question", &[("computer", &session.computer_name), ("id", &id)]);
    let answer = words.say_of("session-answer-with", "id", &id);
    format!("\n{asked}\n{}{answer}\n", candidates(words, &session.question))
}

/// Disks that could be meant, each on a line with its number.
fn candidates(words: Words, pins: &[DiskPin]) -> String {
    let lines = pins.iter().zip(1..).map(|(pin, number)| format!("  {number}  {}\n", words.disk(pin)));
    lines.collect()
}

/// The disk of a session's question that a person means.
fn chosen(words: Words, session: &SessionView, which: &str) -> Result<DiskPin, CliError> {
    if session.question.is_empty() {
        return Err(CliError::Refused(words.say_of("error-no-question", "id", session.id)));
    }
    choose(&session.question, which).cloned().map_err(|unclear| {
        CliError::Refused(match unclear {
            Unclear::None => {
                let none = words.say_of("error-no-such-disk", "typed", which);
                format!("{none}{}", question(words, session).trim_end())
            }
            Unclear::Several => words.say_of("error-several-such-disks", "typed", which),
        })
    })
}

/// Why nobody can say which disk was meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unclear {
    None,
    Several,
}

/// The disk that a person means by its number in the list, its serial number or its WWN.
pub(super) fn choose<'a>(pins: &'a [DiskPin], which: &str) -> Result<&'a DiskPin, Unclear> {
    let says = |text: &Option<String>| text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(which));
    let mut named = pins.iter().filter(|pin| says(&pin.serial) || says(&pin.wwn));
    let by_number = which.parse().ok().and_then(|number: usize| pins.get(number.checked_sub(1)?));
    match (named.next(), named.next()) {
        (Some(pin), None) => Ok(pin),
        (None, None) => by_number.ok_or(Unclear::None),
        _ => Err(Unclear::Several),
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::messages::Language;
    use serde_json::json;

    use super::{chosen, line, standing};
    use crate::{api::sessions::SessionView, cli::words::Words};

    fn english() -> Words {
        Words::new(Language::En)
    }

    fn session(state: &str, question: &[(&str, &str)]) -> SessionView {
        let disk = |(serial, wwn): &(&str, &str)| json!({ "model": null, "serial": serial, "wwn": wwn, "size_bytes": 1000, "logical_sector": 512 });
        let view = json!({
            "id": 7, "kind": "deploy", "computer": 1, "computer_name": "pc-1", "master": "debian", "version": 3,
            "state": state, "phase": "write",
            "progress": { "done_bytes": 45, "total_bytes": 100, "read_bytes": 0, "written_bytes": 45, "sent_bytes": 0,
                          "received_bytes": 0 },
            "disk": null, "question": question.iter().map(disk).collect::<Vec<_>>(), "failure": null, "attempts": 1,
            "requested": 0, "started": 0, "ended": null,
        });
        serde_json::from_value(view).expect("a session")
    }

    #[test]
    fn a_disk_is_chosen_by_serial_wwn_or_number_and_never_by_guessing() {
        let session_7 =
            session("waiting", &[("AAA", "wwn-1"), ("2", "wwn-2"), ("CCC", "wwn-3"), ("CCC", "wwn-4")]);
        for (typed, wwn) in [("aaa", "wwn-1"), ("wwn-3", "wwn-3"), ("1", "wwn-1"), ("4", "wwn-4")] {
            let pin = chosen(english(), &session_7, typed).expect(typed);
            assert_eq!(pin.wwn.as_deref(), Some(wwn), "{typed}");
        }
        let serial_before_number = chosen(english(), &session_7, "2").expect("a serial number");
        assert_eq!(serial_before_number.wwn.as_deref(), Some("wwn-2"));
        for (typed, expect) in [("CCC", "several disks"), ("0", "no disk"), ("5", "no disk"), ("", "no disk")]
        {
            let error = chosen(english(), &session_7, typed).expect_err(typed).sentence(&english());
            assert!(error.contains(expect), "{error}");
        }
        let unasked =
            chosen(english(), &session("running", &[]), "1").expect_err("no question").sentence(&english());
        assert!(unasked.contains("no question"), "{unasked}");
    }

    #[test]
    fn a_session_is_told_by_what_it_waits_for_or_does() {
        let french = Words::new(Language::Fr);
        for (session, in_english, in_french) in [
            (session("running", &[]), "Write 45 %", "Écriture 45 %"),
            (
                session("waiting", &[("AAA", "w")]),
                "waiting: which disk?",
                "en attente\u{a0}: quel disque\u{a0}?",
            ),
            (
                session("waiting", &[]),
                "waiting for the computer to start from the network",
                "attend que l'ordinateur démarre sur le réseau",
            ),
            (session("cancelled", &[]), "cancelled", "annulée"),
        ] {
            assert_eq!(standing(english(), &session), in_english);
            assert_eq!(standing(french, &session), in_french);
        }
        let said = line(french, &session("succeeded", &[]));
        assert_eq!(said, "Session 7\u{a0}: pc-1, déploiement de debian@3\u{a0}: réussie");
    }
}
