//! `mimeo store`.

use std::{io::IsTerminal, time::Duration};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    connection::{Connection, understand},
    failure::CliError,
    format::{bytes, table},
    screen::{print, print_json},
};
use crate::api::store::{
    BrokenVersionView, CollectRequest, CollectedView, FoundView, JobView, StoreView, VersionFiguresView,
};

/// How often a running job is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Count what the store holds, and what each version takes and shares
    Stats,
    /// Read everything back and name what is damaged; exit status 1 if something is
    Verify,
    /// Free what no version needs; captures and deploys may go on meanwhile
    Gc {
        /// Say what would be freed, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub(super) async fn run(connection: &Connection, command: StoreCommand, json: bool) -> Result<(), CliError> {
    match command {
        StoreCommand::Stats => stats(connection, json).await,
        StoreCommand::Verify => verify(connection, json).await,
        StoreCommand::Gc { dry_run } => collect(connection, dry_run, json).await,
    }
}

async fn stats(connection: &Connection, json: bool) -> Result<(), CliError> {
    let answer = connection.get("/store").await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let store: StoreView = understand(&answer)?;
    let rows: Vec<Vec<String>> = store.versions.iter().map(row).collect();
    let columns = ["MASTER", "CONTENT", "NEW", "SHARED", "FREED IF REMOVED", "RATIO", "STATE"];
    print(&table(&columns, &rows, "There are no versions yet."));
    print(&summary(&store));
    Ok(())
}

fn row(version: &VersionFiguresView) -> Vec<String> {
    let state = match (version.without_manifest, version.lost_chunks) {
        (true, _) => "its manifest is lost".to_owned(),
        (false, 0) => "whole".to_owned(),
        (false, lost) => format!("{lost} chunks are lost"),
    };
    vec![
        format!("{}@{}", version.master, version.version),
        bytes(version.content_bytes),
        bytes(version.new_bytes),
        bytes(version.shared_bytes),
        bytes(version.own_bytes),
        ratio(version.ratio),
        state,
    ]
}

fn summary(store: &StoreView) -> String {
    let StoreView { chunks, packs, pack_bytes, needed_bytes, content_bytes, .. } = store;
    let mut text = format!(
        "{} in {packs} packs, {chunks} chunks; versions need {}.\n",
        bytes(*pack_bytes),
        bytes(*needed_bytes)
    );
    if store.ratio.is_some() {
        let times = ratio(store.ratio);
        text.push_str(&format!(
            "All versions together hold {}: {times} times that.\n",
            bytes(*content_bytes)
        ));
    }
    if let Some(free_bytes) = store.free_bytes {
        text.push_str(&format!("{} are free on the store's disk.\n", bytes(free_bytes)));
    }
    if store.damaged_chunks > 0 || !store.unreadable_packs.is_empty() {
        text.push_str(&format!(
            "{} chunks are damaged and {} packs cannot be read: `mimeo store verify` names the versions.\n",
            store.damaged_chunks,
            store.unreadable_packs.len()
        ));
    }
    text
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}"))
}

async fn verify(connection: &Connection, json: bool) -> Result<(), CliError> {
    let begun = connection.post("/store/verify", &json!({})).await?;
    let answer = follow(connection, &begun, json).await?;
    let job: JobView = understand(&answer)?;
    let Some(found) = job.found else { return Err(lost(job.error)) };
    if json {
        print_json(&answer);
    } else {
        print(&told(&found));
    }
    match found.broken.len() {
        0 if found.damaged_chunks == 0 && found.unreadable_packs.is_empty() => Ok(()),
        broken => Err(CliError::Refused(format!(
            "the store is damaged, {broken} versions cannot be deployed any more"
        ))),
    }
}

fn told(found: &FoundView) -> String {
    let mut text =
        format!("{} read back, {} chunks are sound.\n", bytes(found.read_bytes), found.proved_chunks);
    for pack in &found.unreadable_packs {
        text.push_str(&format!("Pack {} cannot be read: {}\n", pack.pack, pack.reason));
    }
    for chunk in &found.damaged {
        text.push_str(&format!(
            "Chunk {} is damaged in pack {}: {}\n",
            chunk.chunk, chunk.pack, chunk.reason
        ));
    }
    let unnamed = found.damaged_chunks.saturating_sub(found.damaged.len() as u64);
    if unnamed > 0 {
        text.push_str(&format!("{unnamed} more chunks are damaged.\n"));
    }
    for broken in &found.broken {
        text.push_str(&told_broken(broken));
    }
    text
}

fn told_broken(broken: &BrokenVersionView) -> String {
    let version = broken.version.map_or_else(String::new, |version| format!("@{version}"));
    let lacks = match &broken.first_lost {
        Some(first) => format!("lacks {} chunks, the first of them {first}", broken.lost_chunks),
        None => "has lost its manifest".to_owned(),
    };
    let advice = "capture a computer that has it again, or remove it";
    format!("{}{version} {lacks}: {advice}.\n", broken.master)
}

async fn collect(connection: &Connection, dry_run: bool, json: bool) -> Result<(), CliError> {
    let begun = connection.post("/store/gc", &CollectRequest { dry_run }).await?;
    let answer = follow(connection, &begun, json).await?;
    let job: JobView = understand(&answer)?;
    let Some(collected) = job.collected else { return Err(lost(job.error)) };
    if json {
        print_json(&answer);
    } else {
        print(&told_collected(&collected, dry_run));
    }
    Ok(())
}

fn told_collected(collected: &CollectedView, dry_run: bool) -> String {
    let CollectedView { removed_packs, rewritten_packs, removed_manifests, lost_chunks, .. } = collected;
    let (would, freed) = (if dry_run { " would be" } else { "" }, bytes(collected.freed_bytes));
    let mut text = format!(
        "{freed}{would} freed: {removed_packs} packs{would} removed, {rewritten_packs} rewritten, \
         {removed_manifests} manifests{would} removed.\n"
    );
    for chunk in &collected.damaged {
        text.push_str(&format!(
            "Chunk {} is damaged in pack {}: {}\n",
            chunk.chunk, chunk.pack, chunk.reason
        ));
    }
    if *lost_chunks > 0 {
        text.push_str(&format!(
            "{lost_chunks} chunks that versions need are lost: `mimeo store verify` names the versions.\n"
        ));
    }
    if collected.out_of_room {
        text.push_str("More could be freed, but the disk has no room to copy what is needed of it.\n");
    }
    text
}

fn lost(error: Option<String>) -> CliError {
    CliError::Refused(error.unwrap_or_else(|| "the server gave this up, its log says why".to_owned()))
}

/// Waits for the end of a job, and shows how far it is where a person looks.
async fn follow(connection: &Connection, begun: &Value, json: bool) -> Result<Value, CliError> {
    let begun: JobView = understand(begun)?;
    let bar = (!json && std::io::stderr().is_terminal()).then(new_bar);
    loop {
        let answer = connection.get("/store/job").await?;
        let job: JobView = understand(&answer)?;
        // A server that was started anew counts anew.
        if (job.id, job.began) != (begun.id, begun.began) {
            return Err(lost(None));
        }
        if let Some(bar) = &bar {
            bar.set_length(job.total_bytes);
            bar.set_position(job.done_bytes);
        }
        if job.ended.is_some() {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(answer);
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template(
        "{bar:28} {decimal_bytes:>9}/{decimal_total_bytes:9} {decimal_bytes_per_sec:>11}  {eta}",
    );
    // The template is ours; if it ever does not parse, the default style shows the same less nicely.
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{told, told_collected};

    #[test]
    fn damage_is_told_with_the_version_that_suffers() {
        let found = json!({
            "read_bytes": 5_000_000, "proved_chunks": 40, "damaged_chunks": 3,
            "damaged": [{ "chunk": "aa", "pack": "bb", "reason": "its hash differs" }], "unreadable_packs": [],
            "broken": [{ "master": "debian", "version": 2, "lost_chunks": 3, "first_lost": "aa",
                         "without_manifest": false }],
        });
        let text = told(&serde_json::from_value(found).expect("what was found"));
        for expect in [
            "Chunk aa is damaged in pack bb: its hash differs",
            "2 more chunks are damaged",
            "debian@2 lacks 3 chunks, the first of them aa: capture",
        ] {
            assert!(text.contains(expect), "{text}");
        }
    }

    #[test]
    fn a_dry_run_says_what_would_be() {
        let collected = json!({
            "freed_bytes": 2_000_000_000_u64, "removed_packs": 60, "rewritten_packs": 3, "copied_bytes": 0,
            "removed_manifests": 1, "lost_chunks": 0, "damaged": [], "out_of_room": false,
        });
        let collected = serde_json::from_value(collected).expect("what was collected");
        let text = told_collected(&collected, true);
        assert_eq!(
            text,
            "2\u{a0}GB would be freed: 60 packs would be removed, 3 rewritten, 1 manifests would be removed.\n"
        );
        assert!(told_collected(&collected, false).starts_with("2\u{a0}GB freed: 60 packs removed"));
    }
}
