//! What a program took: time, processor time, memory.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use mimeo_lab::process;
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeValLike,
};

use crate::measure::Outcome;

/// GNU time, which alone tells the memory of one child from that of its siblings; `scripts/fetch-peers.sh` puts it there.
const TIME: &str = "build/peers/time";

/// What one run took.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) seconds: f64,
    /// User and system time of the program and all that it started.
    pub(super) cpu_seconds: f64,
    /// Most memory that was resident, of the largest of its processes.
    pub(super) peak_megabytes: f64,
}

/// What is in memory of files before a program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cache {
    Cold,
    AsItIs,
}

/// Runs a program to its end.
pub(super) fn cost(program: &Path, arguments: &[&str], cache: Cache) -> Outcome<Cost> {
    if cache == Cache::Cold {
        process::run(Command::new("sh").args(["-c", "sync; echo 3 > /proc/sys/vm/drop_caches"]))?;
    }
    let said = tempfile::NamedTempFile::new()?;
    let (before, began) = (cpu_seconds_of_children()?, Instant::now());
    let mut timed = Command::new(time_program());
    timed.args(["-f", "%M", "-o"]).arg(said.path()).arg(program).args(arguments);
    process::run(&mut timed)?;
    let seconds = began.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds_of_children()? - before;
    let peak_kibibytes: f64 = std::fs::read_to_string(said.path())?.trim().parse()?;
    Ok(Cost { seconds, cpu_seconds, peak_megabytes: peak_kibibytes * 1024.0 / 1e6 })
}

/// Runs a script of bash, whose `$1`, `$2` … are the arguments.
pub(super) fn cost_of_script(script: &str, arguments: &[&Path], cache: Cache) -> Outcome<Cost> {
    let arguments: Vec<String> = arguments.iter().map(|path| path.display().to_string()).collect();
    let mut all = vec!["-o", "pipefail", "-c", script, "peer"];
    all.extend(arguments.iter().map(String::as_str));
    cost(Path::new("bash"), &all, cache)
}

fn time_program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(TIME)
}

fn cpu_seconds_of_children() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}
