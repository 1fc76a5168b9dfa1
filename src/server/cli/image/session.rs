//! One session of the engine on this machine, with its bar.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use indicatif::{ProgressBar, ProgressStyle};
use mimeo_core::{
    failure::Failure,
    messages::{Heartbeat, Outcome, Phase, Progress, phase_seconds},
};
use mimeo_engine::{
    Ending, Order,
    board::Board,
    disk::path::PathDisk,
    link::{Patience, SessionServer},
};
use serde_json::json;

use super::SHOW_EVERY;
use crate::cli::{Output, failure::CliError, format::word};

/// A session that succeeded.
pub(super) struct Ended {
    pub(super) progress: Progress,
    pub(super) seconds: f64,
    /// Of which, in each phase.
    pub(super) phases: BTreeMap<Phase, f64>,
}

/// Why a session did not end well.
pub(super) enum Unfinished {
    Failed(Failure),
    Interrupted,
}

impl Unfinished {
    /// For a person; `interrupted` names the sentence about what an interruption left behind.
    pub(super) fn error(self, out: Output, interrupted: &str) -> CliError {
        match self {
            Self::Failed(failure) => CliError::Engine(failure),
            Self::Interrupted => CliError::Refused(out.words.say(interrupted)),
        }
    }
}

/// As a shell says that a program was interrupted: 128 and the number of SIGINT.
const INTERRUPTED: i32 = 130;

/// Runs a session to its end, as [`run_engine`] does.
pub(super) fn run_session(
    order: Order<'_>,
    server: &dyn SessionServer,
    disk: &PathDisk,
    board: &Board,
    out: Output,
) -> Result<Ended, Unfinished> {
    run_engine(board, out, || mimeo_engine::run(order, server, disk, board, Patience::default()))
}

/// Runs the engine to its end, which takes this thread; Ctrl-C ends it at the next batch, a second one at once. Whatever
/// is cut off, the library is sound.
pub(super) fn run_engine(
    board: &Board,
    out: Output,
    engine: impl FnOnce() -> Ending + Send,
) -> Result<Ended, Unfinished> {
    let began = Instant::now();
    let over = AtomicBool::new(false);
    let interrupted = Arc::new(AtomicBool::new(false));
    let listening = tokio::spawn(listen(interrupted.clone()));
    let ending = thread::scope(|scope| {
        let painter = scope.spawn(|| {
            let bar = Bar::new(out, String::new());
            while !over.load(Ordering::Relaxed) {
                if interrupted.load(Ordering::Relaxed) {
                    board.stop();
                }
                bar.show(&board.standing());
                // Until it is over or time to show it again.
                thread::park_timeout(SHOW_EVERY);
            }
            bar.finish();
        });
        // The engine asks the store and waits for it, which a thread of the runtime must not do.
        let engine = scope.spawn(engine);
        let ending = tokio::task::block_in_place(|| engine.join());
        over.store(true, Ordering::Relaxed);
        painter.thread().unpark();
        ending
    });
    listening.abort();
    match ending {
        Ok(Ending::Over(Outcome { failure: None, progress, phases })) => {
            let seconds = began.elapsed().as_secs_f64();
            Ok(Ended { progress, seconds, phases: phase_seconds(&phases) })
        }
        Ok(Ending::Over(Outcome { failure: Some(failure), .. })) => Err(Unfinished::Failed(failure)),
        Ok(Ending::Stopped) => Err(Unfinished::Interrupted),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Notes the first Ctrl-C, and ends the program at the second.
async fn listen(interrupted: Arc<AtomicBool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        interrupted.store(true, Ordering::Relaxed);
        if tokio::signal::ctrl_c().await.is_ok() {
            process::exit(INTERRUPTED);
        }
    }
}

/// Where progress is shown: a bar for a person, lines of JSON for a program, nothing else.
pub(super) struct Bar {
    out: Output,
    bar: Option<ProgressBar>,
}

impl Bar {
    pub(super) fn new(out: Output, doing: String) -> Self {
        let bar = (!out.json && io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0).with_message(doing);
            let style =
                ProgressStyle::with_template("{msg:28!}  {bar:28} {percent:>3} %  {elapsed:>4}  {eta:>4}");
            // The template is ours; if it ever does not parse, the default style shows the same less nicely.
            if let Ok(style) = style { bar.with_style(style) } else { bar }
        });
        Self { out, bar }
    }

    pub(super) fn show(&self, standing: &Heartbeat) {
        if let Some(bar) = &self.bar {
            bar.set_message(self.out.words.phase(standing.phase));
        }
        self.show_count(standing.progress.done_bytes, standing.progress.total_bytes);
        if self.out.json && standing.progress.total_bytes > 0 {
            let Progress { done_bytes, total_bytes, .. } = standing.progress;
            tell(
                &json!({ "phase": word(&standing.phase), "done_bytes": done_bytes, "total_bytes": total_bytes }),
            );
        }
    }

    pub(super) fn say(&self, doing: String) {
        if let Some(bar) = &self.bar {
            bar.set_message(doing);
        }
    }

    pub(super) fn show_count(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Progress goes where it does not mix with the answer.
#[expect(clippy::print_stderr, reason = "progress for a program that follows")]
fn tell(line: &serde_json::Value) {
    eprintln!("{line}");
}
