//! `mimeo masters remove`.

use std::{
    fmt::Write as _,
    io::{self, BufRead, IsTerminal, Write},
};

use clap::Args;

use super::{
    connection::{Connection, in_path, understand},
    failure::CliError,
    format::{ago, bytes},
    screen::{print, print_json},
};
use crate::{
    api::masters::{MasterView, RemovedView, VersionView},
    clock::Timestamp,
    imaging::master::MasterRef,
};

#[derive(Debug, Args)]
pub struct RemoveOptions {
    /// NAME for the whole master, NAME@VERSION for one version
    pub master: MasterRef,
    /// Do not ask before removing
    #[arg(long)]
    pub yes: bool,
}

pub(super) async fn run(connection: &Connection, options: RemoveOptions, json: bool) -> Result<(), CliError> {
    let wanted = options.master;
    let view = connection.get(&format!("/masters/{}", in_path(wanted.name.as_str()))).await?;
    let mut master: MasterView = understand(&view)?;
    master.versions.retain(|version| wanted.version.is_none_or(|number| number == version.version));
    master.versions.sort_by_key(|version| version.version);
    if !options.yes && !master.versions.is_empty() {
        confirm(&wanted, &master)?;
    }
    // A version that is not there is for the server to name.
    let shown: Vec<String> = master.versions.iter().map(|version| version.version.to_string()).collect();
    let query = if shown.is_empty() { String::new() } else { format!("?versions={}", shown.join(",")) };
    let answer = connection.delete(&format!("/masters/{}{query}", in_path(&wanted.to_string()))).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let RemovedView { name, versions } = understand(&answer)?;
    for version in versions {
        print(&format!("{name}@{version} is removed."));
    }
    print(
        "What only this needed in the store is freed by the next collection: `mimeo store gc` runs one now.",
    );
    Ok(())
}

/// Shows what will be removed and asks a person, who has to be there.
fn confirm(wanted: &MasterRef, master: &MasterView) -> Result<(), CliError> {
    let now = Timestamp::now();
    let mut text = String::from("This will remove for good:\n");
    for VersionView { version, created, carried_bytes, .. } in &master.versions {
        // Writing to a string cannot fail.
        let _written = writeln!(
            text,
            "  {}@{version}, captured {}, {} of content",
            master.name,
            ago(*created, now),
            bytes(*carried_bytes)
        );
    }
    let input = io::stdin();
    if !input.is_terminal() {
        let advice = "nobody is at the terminal to confirm this: give --yes if all of it may be removed";
        return Err(CliError::Refused(format!("{}\n{advice}", text.trim_end())));
    }
    // Not on the standard output, which is for the answer.
    let question = format!("{text}Type {wanted} to remove it: ");
    let asked = io::stderr().write_all(question.as_bytes()).and_then(|()| io::stderr().flush());
    asked.map_err(|error| CliError::Refused(error.to_string()))?;
    let mut typed = String::new();
    match input.lock().read_line(&mut typed) {
        Ok(_) if typed.trim().eq_ignore_ascii_case(&wanted.to_string()) => Ok(()),
        _ => Err(CliError::Refused("nothing was removed".into())),
    }
}
