//! `mimeo about`: which server this is, and what it lets machines boot from.

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    screen::{plain, print, print_json},
};
use crate::{
    api::about::{AboutView, ArtefactView},
    clock::Timestamp,
};

const COLUMNS: [&str; 5] = ["column-file", "column-package", "column-version", "column-size", "column-hash"];

pub(super) async fn show(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/about").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let AboutView { name, version, started, fingerprint, artefacts } = understand(&answer)?;
    let since = out.words.ago(started, Timestamp::now());
    let row = |artefact: &ArtefactView| {
        let ArtefactView { name, bytes, blake3, package, version } = artefact.clone();
        vec![name, package, version, out.words.bytes(bytes), blake3]
    };
    let rows: Vec<Vec<String>> = artefacts.iter().map(row).collect();
    let started = out.words.say_of("about-started", "when", since);
    let table = out.words.table(&COLUMNS, &rows, "none-artefacts");
    let signs = out.words.say_of("about-signs", "fingerprint", plain(&fingerprint));
    print(&format!("{name} {version}, {started}\n{signs}\n{table}"));
    Ok(())
}
