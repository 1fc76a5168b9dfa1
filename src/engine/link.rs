//! The engine's view of the server, and how long it bears the server's absence.

use std::{
    thread,
    time::{Duration, Instant},
};

use mimeo_core::{
    chunk::{ChunkId, Effort, NamedChunk, SealedChunk},
    failure::FailureCause,
    manifest::{ManifestRoot, SignedManifest},
    messages::{Heartbeat, HeartbeatReply, VersionReply},
};

use crate::{board::Board, halt::Halt};

/// What one session asks of the server. The client does it over HTTPS, and a store that is at hand
/// by itself (`mimeo image`).
pub trait SessionServer: Sync {
    fn heartbeat(&self, beat: &Heartbeat) -> Result<HeartbeatReply, ServerError>;

    /// Those of `ids` (at most `CHUNK_LIST_MAX`) that the store lacks.
    fn missing(&self, ids: &[ChunkId]) -> Result<Vec<ChunkId>, ServerError>;

    /// Seals chunks (at most `CHUNK_LIST_MAX`) and hands them in, and gives how many bytes that moved. They are durable
    /// only once a version that names them is published.
    fn hand_in(&self, chunks: &[NamedChunk<'_>], effort: Effort) -> Result<u64, ServerError>;

    /// The chunks of these ids (at most `CHUNK_LIST_MAX`), in the order asked; what they hold is not proved yet.
    fn fetch(&self, ids: &[ChunkId]) -> Result<Vec<SealedChunk>, ServerError>;

    /// What became of the manifest with this root; `ManifestWanted` where the server does not have it.
    fn ask_version(&self, root: ManifestRoot) -> Result<VersionReply, ServerError>;

    /// Hands in an encoded manifest, to become a version.
    fn publish(&self, encoded: &[u8]) -> Result<VersionReply, ServerError>;

    /// The manifest that is to be deployed.
    fn manifest(&self) -> Result<SignedManifest, ServerError>;
}

/// Why the server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// No answer, or one that promises a later one: the server restarts, the cable is out. Worth another try.
    #[error("the server does not answer: {0}")]
    Unreachable(String),
    /// The server is well and has no room for this yet: worth as many tries as it takes.
    #[error("the server has no room yet: {0}")]
    Busy(String),
    /// The server said no, with the cause that ends the session.
    #[error("the server refused: {0:?}")]
    Refused(FailureCause),
    /// The server answered something else than the protocol has.
    #[error("the server's answer is not understood: {0}")]
    Malformed(String),
}

/// How long the engine goes on trying to reach a server that is gone.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The first pause between two tries; each further one doubles it.
    pub first_pause: Duration,
    pub longest_pause: Duration,
    /// From the first failed try to giving up.
    pub give_up_after: Duration,
}

impl Default for Patience {
    /// Five minutes outlast a restart of the server, of the virtual machine under it, and a technician who
    /// plugs the cable back in; pauses of at most 5 s keep the loss of time small once it is back.
    fn default() -> Self {
        Self {
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(5),
            give_up_after: Duration::from_secs(300),
        }
    }
}

/// How finely a pause is cut so that a stop is noticed in it.
const STOP_LOOK: Duration = Duration::from_millis(50);

/// A server that is asked again while it does not answer.
pub(crate) struct Link<'a> {
    pub(crate) server: &'a dyn SessionServer,
    pub(crate) board: &'a Board,
    pub(crate) patience: Patience,
}

impl Link<'_> {
    /// Asks until there is an answer, patience ends, or the session is stopped. A server that says that it has no room
    /// yet is waited for however long that takes: it is there, and a person can stop the session. Every request of
    /// [`SessionServer`] can be repeated without harm: chunks have names, a manifest has a root.
    pub(crate) fn ask<T>(
        &self,
        request: impl Fn(&dyn SessionServer) -> Result<T, ServerError>,
    ) -> Result<T, Halt> {
        let mut gone_since = None;
        let mut pause = self.patience.first_pause;
        loop {
            if self.board.is_stopped() {
                return Err(Halt::Stopped);
            }
            let reason = match request(self.server) {
                Ok(answer) => return Ok(answer),
                Err(ServerError::Refused(cause)) => return Err(cause.into()),
                Err(ServerError::Malformed(detail)) => return Err(FailureCause::Internal { detail }.into()),
                Err(ServerError::Busy(reason)) => {
                    tracing::debug!(reason, "the server has no room yet, trying again");
                    gone_since = None;
                    pause = self.patience.first_pause;
                    self.sleep(pause)?;
                    continue;
                }
                Err(ServerError::Unreachable(reason)) => reason,
            };
            let gone_for = gone_since.get_or_insert_with(Instant::now).elapsed();
            if gone_for >= self.patience.give_up_after {
                let detail = format!("{reason} (tried for {} s)", gone_for.as_secs());
                return Err(FailureCause::ServerLost { detail }.into());
            }
            tracing::warn!(
                reason,
                pause_ms = pause.as_millis() as u64,
                "the server does not answer, trying again"
            );
            self.sleep(pause)?;
            pause = (pause * 2).min(self.patience.longest_pause);
        }
    }

    /// Waits, unless the session is stopped meanwhile.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<(), Halt> {
        let until = Instant::now() + duration;
        loop {
            if self.board.is_stopped() {
                return Err(Halt::Stopped);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(STOP_LOOK));
        }
    }
}
