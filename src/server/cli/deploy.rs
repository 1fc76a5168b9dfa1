//! `mimeo capture` and `mimeo deploy`: what would happen, the question, and then the request.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal, Write as _},
};

use serde_json::Value;

use super::{
    CaptureOptions, DeployOptions, Output,
    connection::{Connection, understand},
    failure::CliError,
    follow,
    screen::{plain, print, print_json},
    sessions::line,
    words::Words,
};
use crate::api::sessions::{DiskPreview, SessionPreview, SessionRequest, SessionView};

pub(super) async fn capture(
    connection: &Connection,
    options: CaptureOptions,
    out: Output,
) -> Result<(), CliError> {
    let CaptureOptions { computer, name, disk, wait } = options;
    let request = SessionRequest::Capture { computer, master: name, disk, shown: None };
    request_all(connection, &[request], wait, out).await
}

pub(super) async fn deploy(
    connection: &Connection,
    options: DeployOptions,
    out: Output,
) -> Result<(), CliError> {
    let DeployOptions { master, computers, disk: rule, yes, wait } = options;
    let mut previews = Vec::new();
    let mut requests = Vec::new();
    // All are looked at before the first is asked for: a name typed wrongly must not leave half a classroom.
    for computer in computers {
        let request =
            SessionRequest::Deploy { computer, master: master.clone(), disk: rule.clone(), shown: None };
        let preview: SessionPreview = understand(&connection.post("/sessions/preview", &request).await?)?;
        let [meant] = &preview.disks[..] else {
            return Err(CliError::Refused(several_disks(out.words, &preview)));
        };
        // What is asked for is what was shown: this version, this disk and what stands on it.
        let version = preview.version.map_or_else(String::new, |version| format!("@{version}"));
        requests.push(SessionRequest::Deploy {
            computer: preview.computer.to_string(),
            master: format!("{}{version}", preview.master),
            disk: meant.pin.serial.clone().or_else(|| meant.pin.wwn.clone()).or_else(|| rule.clone()),
            shown: Some(preview.shown.clone()),
        });
        previews.push(preview);
    }
    if !yes {
        confirm(out.words, &previews)?;
    }
    request_all(connection, &requests, wait, out).await
}

async fn request_all(
    connection: &Connection,
    requests: &[SessionRequest],
    wait: bool,
    out: Output,
) -> Result<(), CliError> {
    let mut answers = Vec::new();
    let mut sessions: Vec<SessionView> = Vec::new();
    for request in requests {
        match connection.post("/sessions", request).await {
            Ok(answer) => {
                sessions.push(understand(&answer)?);
                answers.push(answer);
            }
            Err(error) => {
                // What was asked for before stands, and whoever asked must know.
                say(answers, &sessions, out);
                return Err(error);
            }
        }
    }
    if wait {
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        return follow::wait(connection, &ids, out).await;
    }
    say(answers, &sessions, out);
    Ok(())
}

fn say(answers: Vec<Value>, sessions: &[SessionView], out: Output) {
    if out.json {
        return print_json(&Value::Array(answers));
    }
    for session in sessions {
        print(&line(out.words, session));
    }
}

fn several_disks(words: Words, preview: &SessionPreview) -> String {
    let mut text = words.say_of("ask-several", "computer", &preview.computer_name);
    for disk in &preview.disks {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n  {}", words.disk(&disk.pin));
    }
    text
}

/// Shows what will be erased and asks a person, who has to be there.
fn confirm(words: Words, previews: &[SessionPreview]) -> Result<(), CliError> {
    let mut text = format!("{}\n", words.say("ask-erase"));
    for preview in previews {
        for disk in &preview.disks {
            text.push_str(&lost(words, &preview.computer_name, disk));
        }
    }
    let input = io::stdin();
    if !input.is_terminal() {
        return Err(CliError::Refused(format!("{}\n{}", text.trim_end(), words.say("ask-nobody"))));
    }
    let yes = words.say("ask-yes");
    // Not on the standard output, which is for the answer.
    ask(&format!("{text}{} ", words.say_of("ask-type", "word", &yes)))
        .map_err(|error| CliError::Refused(error.to_string()))?;
    let mut typed = String::new();
    match input.lock().read_line(&mut typed) {
        Ok(_) if typed.trim() == yes => Ok(()),
        _ => Err(CliError::Refused(words.say("ask-nothing-done"))),
    }
}

fn ask(question: &str) -> io::Result<()> {
    let mut output = io::stderr();
    output.write_all(question.as_bytes())?;
    output.flush()
}

fn lost(words: Words, computer: &str, preview: &DiskPreview) -> String {
    let mut text = format!("  {computer}: {} ({})\n", words.disk(&preview.pin), plain(&preview.kernel_name));
    if preview.partitions.is_empty() {
        text.push_str(&format!("      {}\n", words.say("disk-no-partitions")));
    }
    for partition in &preview.partitions {
        text.push_str(&format!("      {}\n", words.partition(partition)));
    }
    text
}

#[cfg(test)]
mod tests {
    use mimeo_core::messages::Language;
    use serde_json::json;

    use super::lost;
    use crate::cli::words::Words;

    #[test]
    fn what_is_erased_stands_on_lines_of_its_own_whatever_a_machine_calls_it() {
        let preview = serde_json::from_value(json!({
            "kernel_name": "sda\n  pc-2: nothing", "model": "Disk\u{1b}[2K", "serial": "S1\r", "wwn": null,
            "size_bytes": 1000, "logical_sector": 512,
            "partitions": [{ "number": 1, "place": { "start_bytes": 0, "length_bytes": 1000 },
                             "name": "Data\n      nothing", "filesystem": null }],
        }));
        let text = lost(Words::new(Language::En), "pc-1", &preview.expect("a preview"));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            !text.contains(['\u{1b}', '\r']) && text.contains("unknown content  1\u{a0}kB  Data"),
            "{text}"
        );
    }
}
