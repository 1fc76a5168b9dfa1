//! Where a session stands: written by the engine, read by the heartbeat and the console.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use mimeo_core::messages::{Heartbeat, Phase, PhaseTime, Progress};

/// The phase and progress of one session, and the word to stop it.
pub struct Board {
    state: Mutex<State>,
    stop: AtomicBool,
}

struct State {
    standing: Heartbeat,
    /// When the running phase began; `None` before the first.
    began: Option<Instant>,
    /// The phases that are over.
    times: Vec<PhaseTime>,
}

impl Default for Board {
    fn default() -> Self {
        let standing = Heartbeat { phase: Phase::Prepare, progress: Progress::default() };
        Self {
            state: Mutex::new(State { standing, began: None, times: Vec::new() }),
            stop: AtomicBool::new(false),
        }
    }
}

impl Board {
    pub fn standing(&self) -> Heartbeat {
        self.lock().standing.clone()
    }

    /// How long each phase took, the running one so far.
    pub fn phase_times(&self) -> Vec<PhaseTime> {
        let state = self.lock();
        state.times.iter().copied().chain(state.running()).collect()
    }

    /// Has the engine end at the next batch. The disk is left as it is then.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Begins a phase, of which `total_bytes` are to be done.
    pub(crate) fn begin(&self, phase: Phase, total_bytes: u64) {
        tracing::info!(?phase, total_bytes, "phase begins");
        let mut state = self.lock();
        let over = state.running();
        state.times.extend(over);
        state.began = Some(Instant::now());
        state.standing.phase = phase;
        state.standing.progress.done_bytes = 0;
        state.standing.progress.total_bytes = total_bytes;
    }

    /// Changes the figures of the running phase.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock().standing.progress);
    }

    /// The figures are whole after every single change, so a thread that died holding the lock spoiled nothing.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn running(&self) -> Option<PhaseTime> {
        let ms = self.began?.elapsed().as_millis() as u64;
        Some(PhaseTime { phase: self.standing.phase, ms })
    }
}
