//! `mimeo masters`.

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    screen::{print, print_json},
    words::Words,
};
use crate::{api::masters::MasterView, clock::Timestamp};

pub(super) async fn list(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/masters").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let masters: Vec<MasterView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = masters.iter().flat_map(|master| rows(out.words, master, now)).collect();
    let columns = ["column-master", "column-disk", "column-content", "column-stored", "column-captured"];
    let mut lines = out.words.table(&columns, &rows, "none-masters");
    for (versions, warning) in masters.iter().flat_map(MasterView::warned) {
        let values = [("versions", &*versions), ("warning", &*out.words.warning(warning))];
        lines.push_str(&format!("\n! {}", out.words.say_with("masters-warning", &values)));
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
        ]
    })
}
