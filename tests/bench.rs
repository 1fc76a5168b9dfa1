//! `make bench`: what Mimeo does in a second, beside what others do with the same client, files and machine in the same
//! run. `make bench CASE=boot.tftp` measures the cases whose names begin so.
//!
//! One line for each peer, the figures being medians:
//!
//! ```text
//! bench <case>.<peer> ours=… peer=… ratio=… unit=… peer_is="…"
//! ```
//!
//! A ratio above 1 says that Mimeo is better, whether more or less of the unit is. Lines go to standard output, progress
//! to standard error. The figures mean something only on a machine that does nothing else.
#![expect(clippy::print_stderr, reason = "progress, for whoever waits")]

#[path = "bench/chain.rs"]
mod chain;
#[path = "bench/dhcp.rs"]
mod dhcp;
#[path = "bench/engine.rs"]
mod engine;
#[path = "bench/measure.rs"]
mod measure;
#[path = "bench/peers.rs"]
mod peers;
#[path = "bench/store.rs"]
mod store;
#[path = "bench/tftp.rs"]
mod tftp;

use std::{process::ExitCode, time::Instant};

use mimeo_lab::{classroom, network};

use crate::measure::Outcome;

/// Measures a case of this name.
type Run = Box<dyn Fn(&str) -> Outcome<()>>;

/// Something to measure, which prints its own lines.
struct Case {
    name: String,
    run: Run,
}

fn main() -> ExitCode {
    match run(&std::env::args().nth(1).unwrap_or_default()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the bench failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(wanted: &str) -> Outcome<()> {
    let all = [tftp::cases(), dhcp::cases(), chain::cases(), store::cases(), engine::cases()];
    let all: Vec<Case> = all.into_iter().flatten().collect();
    let chosen: Vec<&Case> = all.iter().filter(|case| case.name.starts_with(wanted)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = all.iter().map(|case| case.name.as_str()).collect();
        return Err(format!("no case begins with {wanted:?}; there are:\n{}", names.join("\n")).into());
    }
    network::sweep()?;
    classroom::sweep();
    tell_conditions()?;
    let begun = Instant::now();
    for (case, number) in chosen.iter().zip(1..) {
        eprintln!("case {number} of {}: {}", chosen.len(), case.name);
        (case.run)(&case.name).map_err(|error| format!("{}: {error}", case.name))?;
    }
    let seconds = begun.elapsed().as_secs();
    eprintln!("{} cases in {} min {} s", chosen.len(), seconds / 60, seconds % 60);
    tell_conditions()
}

/// What the figures have to be read with.
fn tell_conditions() -> Outcome<()> {
    let processors = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let build = if cfg!(debug_assertions) { "a debug build, which means nothing" } else { "a release build" };
    let load = load.split(' ').next().unwrap_or_default();
    eprintln!("{processors} processors, load {load}, {build}");
    Ok(())
}
