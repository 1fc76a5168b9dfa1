//! The chunk store beside borg, which also keeps every piece once under the name of its content: the same pieces of
//! 128 KiB, the same compression, no encryption, from a file into a store and out of it, all in memory.
//!
//! Of the archivers in Debian 12 with such a store (borg, restic, casync) borg was the quickest at this.

use std::{path::Path, process::Command, time::Instant};

use mimeo_lab::{
    process,
    store_bench::{self, CHUNK_BYTES, StoreSpeed},
};
use tokio::runtime::Runtime;

use crate::{
    Case,
    measure::{Outcome, RUNS, Unit, median, print},
};

/// 512 MiB.
const CHUNKS: u32 = 4096;

/// Where the stores lie.
const MEMORY: &str = "/dev/shm";

pub(crate) fn cases() -> Vec<Case> {
    vec![Case { name: "store".into(), run: Box::new(run) }]
}

fn run(name: &str) -> Outcome<()> {
    let (mut ours, mut borgs) = (Vec::new(), Vec::new());
    for run in 1..=RUNS {
        let folder = tempfile::tempdir_in(MEMORY)?;
        let own = Runtime::new()?.block_on(store_bench::measure_store(folder.path(), CHUNKS))?;
        drop(folder);
        let borg = measure_borg()?;
        told(name, run, &own, &borg);
        ours.push(own);
        borgs.push(borg);
    }
    let line = |part: &str, of: fn(&StoreSpeed) -> f64, peer_is: &str| {
        let middle = |all: &[StoreSpeed]| median(all.iter().map(of).collect());
        print(
            &format!("{name}.{part}.borg"),
            Unit::MegabytesPerSecond,
            middle(&ours),
            middle(&borgs),
            peer_is,
        );
    };
    line("intake", |speed| speed.intake, "borg create, fixed chunks of 128 KiB, zstd 1, no encryption");
    line("verify", |speed| speed.verify, "borg check --verify-data");
    line("read", |speed| speed.read, "borg extract --stdout");
    Ok(())
}

fn measure_borg() -> Outcome<StoreSpeed> {
    let folder = tempfile::tempdir_in(MEMORY)?;
    let content = folder.path().join("content");
    store_bench::write_content(&content, CHUNKS)?;
    let megabytes = f64::from(CHUNKS) * CHUNK_BYTES as f64 / 1e6;
    let borg = |arguments: &[&str]| -> Outcome<f64> {
        let begun = Instant::now();
        process::run(&mut borg_command(folder.path(), arguments))?;
        Ok(megabytes / begun.elapsed().as_secs_f64())
    };
    borg(&["init", "-e", "none", "store"])?;
    let pieces = format!("fixed,{CHUNK_BYTES}");
    let intake = borg(&["create", "--chunker-params", &pieces, "-C", "zstd,1", "store::one", "content"])?;
    let verify = borg(&["check", "--verify-data", "store"])?;
    std::fs::remove_file(content)?;
    let read = borg(&["extract", "--stdout", "store::one"])?;
    let stored: u64 = store_bench::folder_bytes(&folder.path().join("store"))?;
    Ok(StoreSpeed { intake, verify, read, stored_ratio: stored as f64 / 1e6 / megabytes })
}

/// With its cache and keys in the folder, too, and what it writes to its standard output thrown away.
fn borg_command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec borg \"$@\" >/dev/null", "borg"]).args(arguments).current_dir(folder);
    command.env("BORG_BASE_DIR", folder.join("base"));
    command.env("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes");
    command
}

#[expect(clippy::print_stderr, reason = "progress, for whoever waits")]
fn told(name: &str, run: usize, ours: &StoreSpeed, borg: &StoreSpeed) {
    eprintln!("  {name}, {run} of {RUNS}: mimeo {ours:.2?}, borg {borg:.2?}");
}
