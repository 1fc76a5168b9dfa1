//! A session: one capture or deploy of one computer, from request to end.
//!
//! [`plan`] chooses the disk, [`machine`] decides what becomes of a session when something happens, [`table`] keeps
//! it, and [`requests`] is where the rest of the house asks for all this. [`orders`] is what a client is told to do;
//! while it does so, [`capture`] and [`deploy`] move its chunks.
//!
//! ```text
//!   request ──▶ waiting ──begin──▶ running ──outcome──▶ succeeded | failed
//!                  ▲                  │
//!                  └───lease lost─────┤ (at most ATTEMPTS_MAX times, then failed;
//!                                     │  a capture whose version is listed: succeeded)
//!   waiting ──booted UNHEARD_BOOTS_MAX times without a word──▶ failed
//!   waiting, running ──cancel──▶ cancelled
//! ```
//!
//! What has ended never changes again: failed is never cancelled, and cancelled never succeeds.

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    failure::Failure,
    ids::{BootId, ComputerId, SessionId, VersionNumber},
    manifest::ManifestRoot,
    messages::{DiskPin, Phase, PhaseTime, Progress},
};

use self::plan::{DiskRule, Need};
use crate::{clock::Timestamp, imaging::master::MasterName};

pub mod capture;
pub mod deploy;
mod handed;
pub mod machine;
pub mod orders;
pub mod plan;
pub mod requests;
pub mod shown;
pub mod table;

/// One capture or deploy of one computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub id: SessionId,
    pub computer: ComputerId,
    pub job: Job,
    /// What the person who asked for the session said about the disk.
    pub rule: Option<DiskRule>,
    pub disk: DiskChoice,
    pub state: State,
    /// The last phase that the client was in; `None` before it began.
    pub phase: Option<Phase>,
    pub progress: Progress,
    /// How long each phase of the last attempt took, once its client said how it ended.
    pub phase_times: Vec<PhaseTime>,
    /// How many boots have begun to work on it.
    pub attempts: u32,
    /// The boot that works on it, or was the last to.
    pub boot: Option<BootId>,
    /// How many boots in a row were sent into the client and not heard of.
    pub unheard_boots: u32,
    /// When the last of them was counted.
    pub boot_offered: Option<Timestamp>,
    pub requested: Timestamp,
    /// When the first attempt began.
    pub started: Option<Timestamp>,
    pub ended: Option<Timestamp>,
}

/// What a session does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Job {
    Capture {
        /// The master that gets a new version.
        master: MasterName,
        /// How many sectors in use may be unreadable.
        tolerate_bad_sectors: BadSectorLimit,
        /// What it became, once every chunk is durable and was read back.
        published: Option<Published>,
    },
    Deploy {
        master: MasterName,
        version: VersionNumber,
        root: ManifestRoot,
        need: Need,
        /// Whether everything is read back.
        verify: bool,
    },
}

/// A version that a capture became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub version: VersionNumber,
    pub root: ManifestRoot,
}

impl Job {
    pub fn master(&self) -> &MasterName {
        match self {
            Self::Capture { master, .. } | Self::Deploy { master, .. } => master,
        }
    }

    /// What the disk must be like.
    pub fn need(&self) -> Need {
        match self {
            Self::Capture { .. } => Need::Source,
            Self::Deploy { need, .. } => *need,
        }
    }
}

/// Which disk is meant, as far as that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskChoice {
    Pinned(DiskPin),
    /// A person has to choose one of these first.
    Asked(Vec<DiskPin>),
}

/// Where a session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// For the computer to boot into the client, or for the answer to a question.
    Waiting,
    /// A client works on it and is believed to live until then.
    Running {
        lease_until: Timestamp,
    },
    Succeeded,
    Failed(Failure),
    Cancelled,
}

impl State {
    /// Whether something may still become of the session.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Waiting | Self::Running { .. })
    }

    /// The name under which the database and the API know the state.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running { .. } => "running",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
