//! `mimeo store`.

use std::{io::IsTerminal, time::Duration};

use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    screen::{print, print_json},
    words::Words,
};
use crate::api::store::{
    BrokenVersionView, CollectRequest, CollectedView, DamagedChunkView, FoundView, JobView, StoreView,
    VersionFiguresView,
};

/// How often a running job is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

const COLUMNS: [&str; 7] = [
    "column-master",
    "column-content",
    "column-new",
    "column-shared",
    "column-freed-if-removed",
    "column-ratio",
    "column-state",
];

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
        /// Also compress again what captures compressed in a hurry: a seventh smaller, at some 15 MB/s
        #[arg(long, conflicts_with = "dry_run")]
        recompress: bool,
    },
}

pub(super) async fn run(connection: &Connection, command: StoreCommand, out: Output) -> Result<(), CliError> {
    match command {
        StoreCommand::Stats => stats(connection, out).await,
        StoreCommand::Verify => verify(connection, out).await,
        StoreCommand::Gc { dry_run, recompress } => {
            collect(connection, CollectRequest { dry_run, recompress }, out).await
        }
    }
}

async fn stats(connection: &Connection, out: Output) -> Result<(), CliError> {
    let answer = connection.get("/store").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let store: StoreView = understand(&answer)?;
    let rows: Vec<Vec<String>> = store.versions.iter().map(|version| row(out.words, version)).collect();
    print(&out.words.table(&COLUMNS, &rows, "none-masters"));
    print(&summary(out.words, &store));
    Ok(())
}

fn row(words: Words, version: &VersionFiguresView) -> Vec<String> {
    let state = match (version.without_manifest, version.lost_chunks) {
        (true, _) => words.say("store-without-manifest"),
        (false, 0) => words.say("store-whole"),
        (false, lost) => words.say_of("store-lost-chunks", "number", lost),
    };
    let bytes = |count| words.bytes(count);
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

fn summary(words: Words, store: &StoreView) -> String {
    let bytes = |count| words.bytes(count);
    let number = |count: u64| count.to_string();
    let lines = [
        Some(words.say_with(
            "store-holds",
            &[
                ("bytes", &bytes(store.pack_bytes)),
                ("packs", &number(store.packs)),
                ("chunks", &number(store.chunks)),
                ("needed", &bytes(store.needed_bytes)),
            ],
        )),
        store.ratio.map(|_| {
            let values = [("content", &*bytes(store.content_bytes)), ("ratio", &*ratio(store.ratio))];
            words.say_with("store-ratio", &values)
        }),
        store.free_bytes.map(|free| words.say_of("store-free", "free", bytes(free))),
        (store.damaged_chunks > 0 || !store.unreadable_packs.is_empty()).then(|| {
            let (chunks, packs) = (store.damaged_chunks, store.unreadable_packs.len() as u64);
            words.say_with("store-is-damaged", &[("chunks", &number(chunks)), ("packs", &number(packs))])
        }),
    ];
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.1}"))
}

async fn verify(connection: &Connection, out: Output) -> Result<(), CliError> {
    let begun = connection.post("/store/verify", &json!({})).await?;
    let answer = follow(connection, &begun, out).await?;
    let job: JobView = understand(&answer)?;
    let Some(found) = job.found else { return Err(lost(out.words, job.error)) };
    if out.json {
        print_json(&answer);
    } else {
        print(&told(out.words, &found));
    }
    match found.broken.len() {
        0 if found.damaged_chunks == 0 && found.unreadable_packs.is_empty() => Ok(()),
        broken => Err(CliError::Refused(out.words.say_of("store-damaged", "versions", broken))),
    }
}

fn told(words: Words, found: &FoundView) -> String {
    let read = [("bytes", &*words.bytes(found.read_bytes)), ("chunks", &*found.proved_chunks.to_string())];
    let mut lines = vec![words.say_with("store-read-back", &read)];
    if found.rewritten_packs > 0 {
        lines.push(words.say_of("store-rewritten-packs", "number", found.rewritten_packs));
    }
    lines.extend(found.unreadable_packs.iter().map(|pack| {
        words.say_with("store-unreadable-pack", &[("pack", &pack.pack.to_string()), ("reason", &pack.reason)])
    }));
    lines.extend(found.damaged.iter().map(|chunk| damage(words, chunk)));
    let unnamed = found.damaged_chunks.saturating_sub(found.damaged.len() as u64);
    if unnamed > 0 {
        lines.push(words.say_of("store-more-damaged", "number", unnamed));
    }
    lines.extend(found.broken.iter().map(|broken| told_broken(words, broken)));
    lines.join("\n")
}

fn damage(words: Words, chunk: &DamagedChunkView) -> String {
    let (id, pack) = (chunk.chunk.to_string(), chunk.pack.to_string());
    let values = [("chunk", &*id), ("pack", &*pack), ("reason", &*chunk.reason)];
    words.say_with("store-damaged-chunk", &values)
}

fn told_broken(words: Words, broken: &BrokenVersionView) -> String {
    let version = broken.version.map_or_else(String::new, |version| format!("@{version}"));
    let name = format!("{}{version}", broken.master);
    match &broken.first_lost {
        Some(first) => {
            let (number, first) = (broken.lost_chunks.to_string(), first.to_string());
            let values = [("version", &*name), ("number", &*number), ("first", &*first)];
            words.say_with("store-version-lacks", &values)
        }
        None => words.say_of("store-version-nameless", "version", name),
    }
}

async fn collect(connection: &Connection, request: CollectRequest, out: Output) -> Result<(), CliError> {
    let begun = connection.post("/store/gc", &request).await?;
    let answer = follow(connection, &begun, out).await?;
    let job: JobView = understand(&answer)?;
    let Some(collected) = job.collected else { return Err(lost(out.words, job.error)) };
    if out.json {
        print_json(&answer);
    } else {
        print(&told_collected(out.words, &collected, request.dry_run));
    }
    Ok(())
}

fn told_collected(words: Words, collected: &CollectedView, dry_run: bool) -> String {
    let freed = [
        ("bytes", &*words.bytes(collected.freed_bytes)),
        ("removed", &*collected.removed_packs.to_string()),
        ("rewritten", &*collected.rewritten_packs.to_string()),
        ("manifests", &*collected.removed_manifests.to_string()),
    ];
    let mut lines = vec![words.say_with(if dry_run { "store-would-free" } else { "store-freed" }, &freed)];
    lines.extend(collected.damaged.iter().map(|chunk| damage(words, chunk)));
    if collected.lost_chunks > 0 {
        lines.push(words.say_of("store-needed-is-lost", "number", collected.lost_chunks));
    }
    if collected.out_of_room {
        lines.push(words.say("store-out-of-room"));
    }
    lines.join("\n")
}

pub(super) fn lost(words: Words, error: Option<String>) -> CliError {
    CliError::Refused(error.unwrap_or_else(|| words.say("store-given-up")))
}

/// Waits for the end of a job, and shows how far it is where a person looks.
pub(super) async fn follow(connection: &Connection, begun: &Value, out: Output) -> Result<Value, CliError> {
    let begun: JobView = understand(begun)?;
    let bar = (!out.json && std::io::stderr().is_terminal()).then(new_bar);
    loop {
        // By its id: others may begin others as soon as it has ended.
        let answer = match connection.get(&format!("/store/job?id={}", begun.id)).await {
            Err(CliError::Api(body)) if body.error == "not_found" => return Err(lost(out.words, None)),
            answer => answer?,
        };
        let job: JobView = understand(&answer)?;
        // A server that was started anew counts anew.
        if job.began != begun.began {
            return Err(lost(out.words, None));
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

    use mimeo_core::messages::Language;

    use super::{Words, told, told_collected};

    #[test]
    fn damage_is_told_with_the_version_that_suffers() {
        let found = json!({
            "read_bytes": 5_000_000, "proved_chunks": 40, "damaged_chunks": 3,
            "damaged": [{ "chunk": "aa", "pack": "bb", "reason": "its hash differs" }], "unreadable_packs": [],
            "rewritten_packs": 2,
            "broken": [{ "master": "debian", "version": 2, "lost_chunks": 3, "first_lost": "aa",
                         "without_manifest": false }],
        });
        let text = told(Words::new(Language::En), &serde_json::from_value(found).expect("what was found"));
        for expect in [
            "Chunk aa is damaged in pack bb: its hash differs",
            "2 more chunks are damaged",
            "2 packs had lost the list of their chunks and were written anew",
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
        let words = Words::new(Language::En);
        assert_eq!(
            told_collected(words, &collected, true),
            "2\u{a0}GB would be freed: of packs, 60 would be removed and 3 rewritten; of manifests, 1 would be removed."
        );
        assert!(told_collected(words, &collected, false).starts_with("2\u{a0}GB freed: of packs, 60"));
        let french = told_collected(Words::new(Language::Fr), &collected, true);
        assert!(french.starts_with("2\u{a0}Go seraient"), "{french}");
    }
}
