//! `mimeo masters`.

use super::{
    connection::{Connection, understand},
    failure::CliError,
    format::{ago, bytes, table},
    screen::{print, print_json},
};
use crate::{api::masters::MasterView, clock::Timestamp};

pub(super) async fn list(connection: &Connection, json: bool) -> Result<(), CliError> {
    let answer = connection.get("/masters").await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let masters: Vec<MasterView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> = masters.iter().flat_map(|master| rows(master, now)).collect();
    let none = "There are no masters yet: make one with `mimeo capture COMPUTER --name NAME`.";
    print(&table(&["MASTER", "DISK", "CONTENT", "STORED", "CAPTURED"], &rows, none));
    Ok(())
}

fn rows(master: &MasterView, now: Timestamp) -> impl Iterator<Item = Vec<String>> {
    master.versions.iter().map(move |version| {
        vec![
            format!("{}@{}", master.name, version.version),
            bytes(version.disk_bytes),
            bytes(version.carried_bytes),
            bytes(version.stored_bytes),
            ago(version.created, now),
        ]
    })
}
