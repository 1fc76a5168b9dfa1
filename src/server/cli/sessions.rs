//! `mimeo sessions`, `mimeo answer` and `mimeo cancel`.

use std::fmt::Write;

use mimeo_core::{
    messages::{DiskPin, Progress},
    text::size::duration,
};
use serde_json::json;

use super::{
    connection::{Connection, understand},
    failure::CliError,
    format::{ago, bytes, disk, failure, table, word},
    screen::{print, print_json},
};
use crate::{
    api::sessions::{AnswerRequest, JobKind, PhaseView, SessionDetails, SessionView},
    clock::Timestamp,
};

pub(super) async fn list(connection: &Connection, open: bool, json: bool) -> Result<(), CliError> {
    let answer = connection.get(if open { "/sessions?open=true" } else { "/sessions" }).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let sessions: Vec<SessionView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = sessions.iter().map(|session| row(session, now)).collect();
    let none = "There are no sessions. Begin one with `mimeo capture` or `mimeo deploy`.";
    let mut text = table(&["ID", "COMPUTER", "DOES", "STATE", "TIME", "REQUESTED"], &rows, none);
    for session in &sessions {
        text.push_str(&question(session));
    }
    print(&text);
    Ok(())
}

/// One session, phase by phase.
pub(super) async fn show(connection: &Connection, id: i64, json: bool) -> Result<(), CliError> {
    let answer = connection.get(&format!("/sessions/{id}")).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let SessionDetails { session, phases } = understand(&answer)?;
    let mut text =
        format!("Session {id}: {}, {}: {}.\n", session.computer_name, does(&session), standing(&session));
    if let Some(pin) = &session.disk {
        text.push_str(&format!("Disk: {}.\n", disk(pin)));
    }
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = phases.iter().map(|phase| phase_row(phase, now)).collect();
    let columns = ["ATTEMPT", "PHASE", "TIME", "READ", "WRITTEN", "SENT", "RECEIVED"];
    text.push_str(&table(&columns, &rows, "It has not begun."));
    text.push_str(&question(&session));
    print(&text);
    Ok(())
}

fn phase_row(phase: &PhaseView, now: Timestamp) -> Vec<String> {
    let figure =
        |of: fn(&Progress) -> u64| phase.progress.as_ref().map_or_else(|| "-".to_owned(), |p| bytes(of(p)));
    vec![
        phase.attempt.to_string(),
        word(&phase.phase),
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
    json: bool,
) -> Result<(), CliError> {
    let details: SessionDetails = understand(&connection.get(&format!("/sessions/{id}")).await?)?;
    let pin = chosen(&details.session, which)?;
    let answer =
        connection.post(&format!("/sessions/{id}/answer"), &AnswerRequest { disk: pin.clone() }).await?;
    if json {
        print_json(&answer);
    } else {
        print(&format!("Session {id} uses {}.", disk(&pin)));
    }
    Ok(())
}

pub(super) async fn cancel(connection: &Connection, id: i64, json: bool) -> Result<(), CliError> {
    let answer = connection.post(&format!("/sessions/{id}/cancel"), &json!({})).await?;
    if json {
        print_json(&answer);
    } else {
        print(&format!("Session {id} is cancelled. A disk that was being written does not boot any more."));
    }
    Ok(())
}

/// What a session does, in three words.
pub(super) fn does(session: &SessionView) -> String {
    let version = session.version.map_or_else(String::new, |version| format!("@{version}"));
    match session.kind {
        JobKind::Capture => format!("capture to {}{version}", session.master),
        JobKind::Deploy => format!("deploy {}{version}", session.master),
    }
}

/// Where a session stands, in a few words.
pub(super) fn standing(session: &SessionView) -> String {
    match (session.state.as_str(), &session.failure, session.phase) {
        ("failed", Some(failed), _) => format!("failed at {}: {}", word(&failed.phase), failure(failed)),
        ("waiting", ..) if !session.question.is_empty() => "waiting: which disk?".to_owned(),
        ("waiting", ..) => "waiting for the computer to start from the network".to_owned(),
        ("running", _, Some(phase)) => format!("{}{}", word(&phase), percent(session.progress)),
        (state, ..) => state.to_owned(),
    }
}

fn percent(progress: Progress) -> String {
    let done = u128::from(progress.done_bytes.min(progress.total_bytes)) * 100;
    done.checked_div(progress.total_bytes.into()).map_or_else(String::new, |percent| format!(" {percent} %"))
}

fn row(session: &SessionView, now: Timestamp) -> Vec<String> {
    let took = session.started.map(|started| duration(session.ended.unwrap_or(now).since(started)));
    vec![
        session.id.to_string(),
        session.computer_name.clone(),
        does(session),
        standing(session),
        took.unwrap_or_else(|| "-".to_owned()),
        ago(session.requested, now),
    ]
}

/// The question that a session waits with, and how to answer it.
fn question(session: &SessionView) -> String {
    if session.question.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{} has several disks. Which one does session {} mean?\n",
        session.computer_name, session.id
    );
    for (index, candidate) in session.question.iter().enumerate() {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "  {}  {}", index + 1, disk(candidate));
    }
    let _written = writeln!(text, "Answer with: mimeo answer {} NUMBER", session.id);
    text
}

/// The disk that a person means by its number in the list, its serial number or its WWN.
fn chosen(session: &SessionView, which: &str) -> Result<DiskPin, CliError> {
    if session.question.is_empty() {
        return Err(CliError::Refused(format!("session {} has no question open", session.id)));
    }
    let says = |text: &Option<String>| text.as_deref().is_some_and(|text| text.eq_ignore_ascii_case(which));
    let mut named = session.question.iter().filter(|pin| says(&pin.serial) || says(&pin.wwn));
    let by_number = which.parse().ok().and_then(|number: usize| session.question.get(number.checked_sub(1)?));
    match (named.next(), named.next()) {
        (Some(pin), None) => Ok(pin.clone()),
        (None, None) => by_number.cloned().ok_or_else(|| {
            CliError::Refused(format!("no disk in question is {which}:{}", question(session).trim_end()))
        }),
        _ => Err(CliError::Refused(format!(
            "several disks in question are {which}, give the number in the list"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{chosen, standing};
    use crate::api::sessions::SessionView;

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
            let pin = chosen(&session_7, typed).expect(typed);
            assert_eq!(pin.wwn.as_deref(), Some(wwn), "{typed}");
        }
        let serial_before_number = chosen(&session_7, "2").expect("a serial number");
        assert_eq!(serial_before_number.wwn.as_deref(), Some("wwn-2"));
        for (typed, expect) in [("CCC", "several disks"), ("0", "no disk"), ("5", "no disk"), ("", "no disk")]
        {
            let error = chosen(&session_7, typed).expect_err(typed).to_string();
            assert!(error.contains(expect), "{error}");
        }
        let unasked = chosen(&session("running", &[]), "1").expect_err("no question").to_string();
        assert!(unasked.contains("no question"), "{unasked}");
    }

    #[test]
    fn a_session_is_told_by_what_it_waits_for_or_does() {
        assert_eq!(standing(&session("running", &[])), "write 45 %");
        assert_eq!(standing(&session("waiting", &[("AAA", "w")])), "waiting: which disk?");
        assert_eq!(standing(&session("waiting", &[])), "waiting for the computer to start from the network");
        assert_eq!(standing(&session("cancelled", &[])), "cancelled");
    }
}
