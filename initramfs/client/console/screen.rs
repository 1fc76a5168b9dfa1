//! What there is to show, apart from how.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mimeo_core::{
    failure::Failure,
    messages::{DiskPin, Heartbeat, Language},
};

use super::{question::Question, trouble::Trouble};
use crate::{network::Progress, server::contact::Contact};

/// The screen's content. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Screen {
    shown: Arc<Mutex<Shown>>,
}

/// Everything on the screen.
#[derive(Debug, Clone)]
pub struct Shown {
    /// `None` until the server says it: until then, what matters is said in both.
    pub language: Option<Language>,
    /// The computer's name, once the server told it.
    pub computer_name: Option<String>,
    /// The server's address.
    pub server: String,
    pub contact: Contact,
    pub status: Status,
}

/// What is happening.
#[derive(Debug, Clone)]
pub enum Status {
    /// On the way to the server.
    Starting(Step),
    /// Registered; nothing to do yet.
    Waiting,
    /// A person has to say which disk is meant.
    Question(Question),
    Working(Work),
    /// The session failed; what happens next is the server's decision.
    Failed(Failure),
    /// The server ended the session; what happens next is its decision.
    Stopped,
    /// The client cannot go on.
    Stuck {
        trouble: Trouble,
        restart_in: Duration,
    },
    Leaving {
        power_off: bool,
    },
}

/// A step before the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Drivers,
    Network(Progress),
    Payload,
    Inventory,
    Hello,
}

/// A running session.
#[derive(Debug, Clone)]
pub struct Work {
    pub capture: bool,
    /// Master and version, as `debian-12@3`; the name alone for a capture.
    pub master: String,
    pub disk: DiskPin,
    pub standing: Heartbeat,
    pub phase_began: Instant,
}

impl Screen {
    pub fn new(server: String) -> Self {
        let shown = Shown {
            language: None,
            computer_name: None,
            server,
            contact: Contact::default(),
            status: Status::Starting(Step::Drivers),
        };
        Self { shown: Arc::new(Mutex::new(shown)) }
    }

    pub fn shown(&self) -> Shown {
        self.lock().clone()
    }

    pub fn show(&self, status: Status) {
        self.lock().status = status;
    }

    pub fn connect_to(&self, server: &str) {
        self.lock().server = server.to_owned();
    }

    /// From now on the screen says when the server does not answer.
    pub fn watch(&self, contact: &Contact) {
        self.lock().contact = contact.clone();
    }

    pub fn introduce(&self, language: Language, computer_name: &str) {
        let mut shown = self.lock();
        shown.language = Some(language);
        shown.computer_name = Some(computer_name.to_owned());
    }

    /// Brings a running session's figures up to date.
    pub fn progress(&self, standing: Heartbeat) {
        if let Status::Working(work) = &mut self.lock().status {
            if work.standing.phase != standing.phase {
                work.phase_began = Instant::now();
            }
            work.standing = standing;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        // Every change is complete before the lock is released.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    /// Bytes per second in this phase, and the time that is left at that rate.
    pub fn rate(&self, now: Instant) -> Option<(f64, Duration)> {
        let elapsed = now.duration_since(self.phase_began).as_secs_f64();
        let progress = self.standing.progress;
        if elapsed < 1.0 || progress.done_bytes == 0 {
            return None;
        }
        let rate = progress.done_bytes as f64 / elapsed;
        let left = progress.total_bytes.saturating_sub(progress.done_bytes) as f64 / rate;
        Some((rate, Duration::try_from_secs_f64(left).ok()?))
    }

    /// Share of this phase that is done, from 0 to 1.
    pub fn ratio(&self) -> f64 {
        let progress = self.standing.progress;
        if progress.total_bytes == 0 {
            0.0
        } else {
            (progress.done_bytes as f64 / progress.total_bytes as f64).min(1.0)
        }
    }
}
