//! `mimeo masters remove`.

use clap::Args;

use super::{
    Output,
    ask::Person,
    connection::{Connection, in_path, understand},
    failure::CliError,
    screen::{print, print_json},
    words::Words,
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

pub(super) async fn run(
    connection: &Connection,
    options: RemoveOptions,
    out: Output,
) -> Result<(), CliError> {
    let wanted = options.master;
    let view = connection.get(&format!("/masters/{}", in_path(wanted.name.as_str()))).await?;
    let mut master: MasterView = understand(&view)?;
    master.versions.retain(|version| wanted.version.is_none_or(|number| number == version.version));
    master.versions.sort_by_key(|version| version.version);
    if !options.yes && !master.versions.is_empty() {
        confirm(out.words, &wanted, &master)?;
    }
    // A version that is not there is for the server to name.
    let shown: Vec<String> = master.versions.iter().map(|version| version.version.to_string()).collect();
    let query = if shown.is_empty() { String::new() } else { format!("?versions={}", shown.join(",")) };
    let answer = connection.delete(&format!("/masters/{}{query}", in_path(&wanted.to_string()))).await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let RemovedView { name, versions } = understand(&answer)?;
    for version in versions {
        print(&out.words.say_of("remove-done", "version", format!("{name}@{version}")));
    }
    print(&out.words.say("remove-freed-later"));
    Ok(())
}

/// Shows what will be removed and asks a person, who has to be there.
fn confirm(words: Words, wanted: &MasterRef, master: &MasterView) -> Result<(), CliError> {
    let now = Timestamp::now();
    let mut lines = vec![words.say("remove-what")];
    lines.extend(master.versions.iter().map(|VersionView { version, created, carried_bytes, .. }| {
        let (name, ago) = (format!("{}@{version}", master.name), words.ago(*created, now));
        let values = [("version", &*name), ("ago", &*ago), ("content", &*words.bytes(*carried_bytes))];
        format!("  {}", words.say_with("remove-version", &values))
    }));
    let mut person = Person::at_terminal(words);
    if !person.is_there() {
        lines.push(words.say("remove-nobody"));
        return Err(CliError::Refused(lines.join("\n")));
    }
    lines.push(words.say_of("remove-type", "name", wanted));
    match person.ask(&format!("{} ", lines.join("\n")))? {
        Some(typed) if typed.eq_ignore_ascii_case(&wanted.to_string()) => Ok(()),
        _ => Err(CliError::Refused(words.say("remove-nothing"))),
    }
}
