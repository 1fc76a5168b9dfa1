//! A run of several targets: their folders, their processes, and what is said of them at the end.

#![allow(clippy::print_stdout)] // this is what the program says to a person

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, Result};
use mimeo_fuzz::{Target, regressions, targets};

/// An input that takes longer than this is a hang: the slowest honest one takes some tenths of a second.
const INPUT_SECONDS_MAX: u32 = 10;
/// Memory of one process, the corpus and libFuzzer's own tables included. What a single input may take is counted
/// apart and far below this.
const PROCESS_MIB_MAX: u32 = 2048;
/// Lines of a failed target's log that are shown.
const SHOWN_LINES: usize = 40;

/// Prints every target with whose bytes it reads.
pub(crate) fn list() {
    for target in &targets::ALL {
        println!("{:15} {}", target.name, target.whose);
    }
}

/// Runs the named targets, or all, each for so many seconds.
pub(crate) fn run(names: &[String], seconds: u32, jobs: usize, folder: &Path) -> Result<ExitCode> {
    let chosen: Vec<&Target> = if names.is_empty() {
        targets::ALL.iter().collect()
    } else {
        let find = |name: &String| {
            targets::find(name).with_context(|| format!("there is no target {name}, see: fuzz list"))
        };
        names.iter().map(find).collect::<Result<_>>()?
    };
    let queue = Mutex::new(chosen.into_iter());
    let failed = Mutex::new(false);
    println!("{:15} {:>10} {:>8} {:>9} {:>7}  result", "target", "inputs", "a second", "coverage", "corpus");
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().expect("no panic elsewhere").next();
                let Some(target) = next else { return Ok(()) };
                if !fuzz(target, seconds, folder)? {
                    *failed.lock().expect("no panic elsewhere") = true;
                }
            }
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
    })?;
    let failed = failed.into_inner().expect("no panic elsewhere");
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Runs one target; whether it found nothing.
fn fuzz(target: &Target, seconds: u32, folder: &Path) -> Result<bool> {
    let places = Places::make(target, folder)?;
    let program = std::env::current_exe().context("finding this program")?;
    let log = fs::File::create(&places.log)?;
    let status = Command::new(&program)
        .args(["one", target.name])
        .arg(&places.corpus)
        .arg(&places.seeds)
        .arg(format!("-artifact_prefix={}/", places.crashes.display()))
        .arg(format!("-dict={}", places.words.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={}", target.input_bytes_max))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={PROCESS_MIB_MAX}"))
        .args(["-print_final_stats=1", "-use_value_profile=1"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    let log = String::from_utf8_lossy(&fs::read(&places.log)?).into_owned();
    let numbers = Numbers::of(&log);
    let result = if status.success() { "sound" } else { "FAILED" };
    println!(
        "{:15} {:>10} {:>8} {:>9} {:>7}  {result}",
        target.name, numbers.inputs, numbers.per_second, numbers.coverage, numbers.corpus
    );
    if !status.success() {
        let lines: Vec<&str> = log.lines().collect();
        let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        println!("{}\n(all of it: {})", shown.join("\n"), places.log.display());
        let input = log.lines().find_map(|line| line.split("Test unit written to ").nth(1));
        if let Some(input) = input {
            println!("again: {} one {} {input}", program.display(), target.name);
            println!("once it is mended: cp {input} tests/fuzz/regressions/{}/", target.name);
        }
    }
    Ok(status.success())
}

/// Where the files of one target are.
struct Places {
    /// What libFuzzer found worth keeping.
    corpus: PathBuf,
    seeds: PathBuf,
    crashes: PathBuf,
    words: PathBuf,
    log: PathBuf,
}

impl Places {
    /// Makes the folders, and writes the seeds, the regressions and the words anew.
    fn make(target: &Target, folder: &Path) -> Result<Self> {
        let folder = folder.join(target.name);
        let place = |name: &str| folder.join(name);
        let places = Self {
            corpus: place("corpus"),
            seeds: place("seeds"),
            crashes: place("crashes"),
            words: place("words"),
            log: place("log"),
        };
        for path in [&places.corpus, &places.seeds, &places.crashes] {
            fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        }
        let known = regressions(target).into_iter().map(|(_, bytes)| bytes);
        for (number, bytes) in (target.seeds)().into_iter().chain(known).enumerate() {
            fs::write(places.seeds.join(format!("{number:03}")), bytes)?;
        }
        let quoted = |word: &&[u8]| {
            let bytes: String = word.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            format!("\"{bytes}\"\n")
        };
        fs::write(&places.words, target.words.iter().map(quoted).collect::<String>())?;
        Ok(places)
    }
}

/// What libFuzzer says at the end of its log.
#[derive(Default)]
struct Numbers {
    inputs: String,
    per_second: String,
    /// Edges that were reached.
    coverage: String,
    corpus: String,
}

impl Numbers {
    fn of(log: &str) -> Self {
        let statistic = |name: &str| {
            let line = log.lines().rev().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
            line.map(|rest| rest.trim_start_matches(':').trim().to_owned()).unwrap_or_default()
        };
        let last = log.lines().rev().find(|line| line.contains(" cov: ")).unwrap_or_default();
        let word_after = |name: &str| {
            let mut words = last.split_whitespace().skip_while(|word| *word != name);
            words.nth(1).unwrap_or_default().to_owned()
        };
        Self {
            inputs: statistic("number_of_executed_units"),
            per_second: statistic("average_exec_per_sec"),
            coverage: word_after("cov:"),
            corpus: word_after("corp:").split('/').next().unwrap_or_default().to_owned(),
        }
    }
}
