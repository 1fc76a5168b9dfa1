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
    print, print_json,
    sessions::{does, standing},
};
use crate::api::sessions::{DiskPreview, SessionPreview, SessionRequest, SessionView};

pub(super) async fn capture(
    connection: &Connection,
    options: CaptureOptions,
    json: bool,
) -> Result<(), CliError> {
    let CaptureOptions { computer, name, disk, wait } = options;
    let request = SessionRequest::Capture { computer, master: name, disk };
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
            SessionRequest::Deploy { computer: computer.clone(), master: master.clone(), disk: rule.clone() };
        let preview: SessionPreview = understand(&connection.post("/sessions/preview", &request).await?)?;
        let [meant] = &preview.disks[..] else { return Err(CliError::Refused(several_disks(&preview))) };
        // What is asked for is what was shown: this version and this disk, whatever becomes known in between.
        let version = preview.version.map_or_else(String::new, |version| format!("@{version}"));
        requests.push(SessionRequest::Deploy {
            computer: preview.computer.to_string(),
            master: format!("{}{version}", preview.master),
            disk: meant.pin.serial.clone().or_else(|| meant.pin.wwn.clone()).or_else(|| rule.clone()),
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
        let answer = connection.post("/sessions", request).await;
        let answer = answer.inspect_err(|_| announce(&sessions))?;
        sessions.push(understand(&answer)?);
        answers.push(answer);
    }
    if wait {
        let ids: Vec<_> = sessions.iter().map(|session| session.id).collect();
        return follow::wait(connection, &ids, json).await;
    }
    match json {
        true => print_json(&Value::Array(answers)),
        false => announce(&sessions),
    }
    Ok(())
}

fn announce(sessions: &[SessionView]) {
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
    print(&text);
    ask("Type yes to erase and deploy: ").map_err(|error| CliError::Refused(error.to_string()))?;
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
    let mut text = format!("  {computer}: {} ({})\n", disk(&preview.pin), preview.kernel_name);
    if preview.partitions.is_empty() {
        text.push_str("      no partitions\n");
    }
    for partition in &preview.partitions {
        let filesystem = partition.filesystem.as_ref().map_or_else(|| "unknown content".to_owned(), word);
        let size = bytes(partition.place.length_bytes);
        // Writing to a string cannot fail.
        let _written = writeln!(text, "      {} {filesystem} {size} {}", partition.number, partition.name);
    }
    text
}
