//! Where a session stands: written by the engine, read by the heartbeat and the console.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use mimeo_core::messages::{Heartbeat, Phase, Progress};

/// The phase and progress of one session, and the word to stop it.
pub struct Board {
    standing: Mutex<Heartbeat>,
    stop: AtomicBool,
}

impl Default for Board {
    fn default() -> Self {
        let standing = Heartbeat { phase: Phase::Prepare, progress: Progress::default() };
        Self { standing: Mutex::new(standing), stop: AtomicBool::new(false) }
    }
}

impl Board {
    pub fn standing(&self) -> Heartbeat {
        self.lock().clone()
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
        let mut standing = self.lock();
        standing.phase = phase;
        standing.progress.done_bytes = 0;
        standing.progress.total_bytes = total_bytes;
    }

    /// Changes the figures of the running phase.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.lock().progress);
    }

    /// The figures are whole after every single change, so a thread that died holding the lock spoiled nothing.
    fn lock(&self) -> MutexGuard<'_, Heartbeat> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
