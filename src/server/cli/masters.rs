//! `mimeo masters`.

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    screen::{plain, print, print_json},
    words::Words,
};
use crate::{
    api::masters::{MasterView, VersionView},
    clock::Timestamp,
};

/// What is said of each version, wherever versions are listed.
pub(super) const COLUMNS: [&str; 6] = [
    "column-master",
    "column-disk",
    "column-content",
    "column-stored",
    "column-captured",
    "column-provenance",
];

pub(super) async fn list(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/masters").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let masters: Vec<MasterView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = masters.iter().flat_map(|master| rows(out.words, master, now)).collect();
    let unread = masters.iter().flat_map(|master| {
        let of = |version: &VersionView| format!("{}@{}", master.name, version.version);
        master.versions.iter().filter_map(move |version| {
            out.words.unread(&of(version), version.unread_sectors, version.unread_bytes)
        })
    });
    let mut lines = out.words.table(&COLUMNS, &rows, "none-masters");
    let warnings = masters.iter().flat_map(MasterView::warned).map(|(versions, warning)| {
        let values = [("versions", &*versions), ("warning", &*out.words.warning(warning))];
        out.words.say_with("masters-warning", &values)
    });
    for sentence in warnings.chain(unread) {
        lines.push_str(&format!("\n! {sentence}"));
    }
    print(&lines);
    Ok(())
}

fn rows(words: Words, master: &MasterView, now: Timestamp) -> impl Iterator<Item = Vec<String>> {
    master.versions.iter().map(move |version| {
        vec![
            format!("{}@{}", master.name, version.version),
            words.bytes(version.disk_bytes),
            words.bytes(version.carried_bytes),
            words.bytes(version.stored_bytes),
            words.ago(version.created, now),
            version.provenance.as_ref().map_or_else(
                || "-".to_owned(),
                |from| plain(&format!("{} {}@{}", from.library, from.master, from.version)),
            ),
        ]
    })
}
