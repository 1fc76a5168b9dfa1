//! `mimeo capture` and `mimeo deploy`: what would happen, the question, and then the request.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal, Write as _},
};

use serde_json::Value;

use super::{
    CaptureOptions, DeployOptions,
    connection::{Connection, understand},
    failure::CliError,
    follow,
    format::{bytes, disk, word},
    screen::{plain, print, print_json},
    sessions::{does, standing},
};
use crate::api::sessions::{DiskPreview, SessionPreview, SessionRequest, SessionView};

pub(super) async fn capture(
    connection: &Connection,
    options: CaptureOptions,
    json: bool,
) -> Result<(), CliError> {
    let CaptureOptions { computer, name, disk, wait } = options;
    let request = SessionRequest::Capture { computer, master: name, disk, shown: None };
    request_all(connection, &[request], wait, json).await
}

pub(super) async fn deploy(
    connection: &Connection,
    options: DeployOptions,
    json: bool,
) -> Result<(), CliError> {
    let DeployOptions { master, computers, disk: rule, yes, wait } = options;
    let mut previews = Vec::new();
    let mut requests = Vec::new();
    // All are looked at before the first is asked for: a name typed wrongly must not leave half a classroom.
    for computer in computers {
        let request =
            SessionRequest::Deploy { computer, master: master.clone(), disk: rule.clone(), shown: None };
        let preview: SessionPreview = understand(&connection.post("/sessions/preview", &request).await?)?;
        let [meant] = &preview.disks[..] else { return Err(CliError::Refused(several_disks(&preview))) };
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
        confirm(&previews)?;
    }
    request_all(connection, &requests, wait, json).await
}

async fn request_all(
    connection: &Connection,
    requests: &[SessionRequest],
    wait: bool,
    json: bool,
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
                say(answers, &sessions, json);
                return Err(error);
            }
        }
    }
    if wait {
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        return follow::wait(connection, &ids, json).await;
    }
    say(answers, &sessions, json);
    Ok(())
}

fn say(answers: Vec<Value>, sessions: &[SessionView], json: bool) {
    if json {
        return print_json(&Value::Array(answers));
    }
    for session in sessions {
        let (id, computer) = (session.id, &session.computer_name);
        print(&format!("Session {id}: {computer}, {}: {}.", does(session), standing(session)));
    }
}

fn several_disks(preview: &SessionPreview) -> String {
    let mut text = format!("{} has several disks, say which with --disk:", preview.computer_name);
    for disk_preview in &preview.disks {
        // Writing to a string cannot fail.
        let _written = write!(text, "\n  {}", disk(&disk_preview.pin));
    }
    text
}

/// Shows what will be erased and asks a person, who has to be there.
fn confirm(previews: &[SessionPreview]) -> Result<(), CliError> {
    let mut text = String::from("This will erase:\n");
    for preview in previews {
        for disk_preview in &preview.disks {
            text.push_str(&lost(&preview.computer_name, disk_preview));
        }
    }
    let input = io::stdin();
    if !input.is_terminal() {
        let advice = "nobody is at the terminal to confirm this: give --yes if all of it may be erased";
        return Err(CliError::Refused(format!("{}\n{advice}", text.trim_end())));
    }
    // Not on the standard output, which is for the answer.
    ask(&format!("{text}Type yes to erase and deploy: "))
        .map_err(|error| CliError::Refused(error.to_string()))?;
    let mut typed = String::new();
    match input.lock().read_line(&mut typed) {
        Ok(_) if typed.trim() == "yes" => Ok(()),
        _ => Err(CliError::Refused("nothing was done".into())),
    }
}

fn ask(question: &str) -> io::Result<()> {
    let mut output = io::stderr();
    output.write_all(question.as_bytes())?;
    output.flush()
}

fn lost(computer: &str, preview: &DiskPreview) -> String {
    let mut text = format!("  {computer}: {} ({})\n", disk(&preview.pin), plain(&preview.kernel_name));
    if preview.partitions.is_empty() {
        text.push_str("      no partitions\n");
    }
    for partition in &preview.partitions {
        let filesystem = partition.filesystem.as_ref().map_or_else(|| "unknown content".to_owned(), word);
        let size = bytes(partition.place.length_bytes);
        // Writing to a string cannot fail.
        let _written =
            writeln!(text, "      {} {filesystem} {size} {}", partition.number, plain(&partition.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::lost;

    #[test]
    fn what_is_erased_stands_on_lines_of_its_own_whatever_a_machine_calls_it() {
        let preview = serde_json::from_value(json!({
            "kernel_name": "sda\n  pc-2: nothing", "model": "Disk\u{1b}[2K", "serial": "S1\r", "wwn": null,
            "size_bytes": 1000, "logical_sector": 512,
            "partitions": [{ "number": 1, "place": { "start_bytes": 0, "length_bytes": 1000 },
                             "name": "Data\n      nothing", "filesystem": null }],
        }));
        let text = lost("pc-1", &preview.expect("a preview"));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            !text.contains(['\u{1b}', '\r']) && text.contains("unknown content 1\u{a0}kB Data"),
            "{text}"
        );
    }
}
