//! The imaging engine: captures a disk, deploys a disk.
//!
//! Plain threads and bounded queues; no async runtime stands between a disk and the network. Reading order:
//! [`link`] is what the engine asks of the server and [`board`] where it shows how far it is; `capture` and
//! `deploy` tell the two stories, phase by phase; `plan`, `used` and `runs` work out what a capture carries,
//! `bad_sectors` reads past what a failing disk cannot read, `slots` and `pipeline` move it, `write`, `verify` and
//! `boot_table` are the phases of a deploy, and `delta` decides how much of the target is looked at before it is
//! written. [`image`] reads a version out into a file or a pipe.

mod bad_sectors;
pub mod board;
mod boot_table;
mod capture;
mod delta;
mod deploy;
pub mod disk;
mod fetch;
mod halt;
pub mod image;
pub mod link;
mod pipeline;
mod plan;
mod runs;
mod slots;
pub mod sysfs;
mod used;
mod verify;
mod write;

use std::{convert::Infallible, sync::mpsc, thread};

use mimeo_core::{
    failure::Failure,
    messages::{CaptureOrder, DeployOrder, HEARTBEAT_EVERY, HeartbeatReply, Outcome},
};

use crate::{
    board::Board,
    disk::probe::DiskProbe,
    halt::Halt,
    link::{Link, Patience, ServerError, SessionServer},
    pipeline::Width,
};

/// What a session is to do.
#[derive(Debug, Clone, Copy)]
pub enum Order<'a> {
    Capture(&'a CaptureOrder),
    Deploy(&'a DeployOrder),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each session")]
pub enum Ending {
    /// Succeeded or failed: the server is to be told.
    Over(Outcome),
    /// The server, or somebody at the console, stopped it. The server has nothing to learn from that.
    Stopped,
}

/// Runs one session to its end. Meanwhile a thread of its own sends heartbeats and stops the engine when the server
/// says so; it ends with this function.
pub fn run(
    order: Order<'_>,
    server: &dyn SessionServer,
    probe: &dyn DiskProbe,
    board: &Board,
    patience: Patience,
) -> Ending {
    let link = Link { server, board, patience };
    let width = Width::of_this_computer();
    let (end, ended) = mpsc::sync_channel(0);
    let result = thread::scope(|scope| {
        let (link, end) = (&link, end);
        scope.spawn(move || send_heartbeats(link, &ended));
        let result = match order {
            Order::Capture(order) => capture::capture(order, link, probe, width),
            Order::Deploy(order) => deploy::deploy(order, link, probe, width),
        };
        drop(end);
        result
    });
    ending(result, board)
}

/// How a session ended, for whoever tells of it.
fn ending(result: Result<(), Halt>, board: &Board) -> Ending {
    let standing = board.standing();
    let failure = match result {
        Ok(()) => None,
        Err(Halt::Stopped) => {
            tracing::info!(phase = ?standing.phase, "the session was stopped");
            return Ending::Stopped;
        }
        Err(Halt::Failed(cause)) => {
            tracing::error!(phase = ?standing.phase, ?cause, "the session failed");
            Some(Failure { phase: standing.phase, cause })
        }
    };
    Ending::Over(Outcome { progress: standing.progress, phases: board.phase_times(), failure })
}

/// Sends a heartbeat at once and then every [`HEARTBEAT_EVERY`], until the engine drops its end of `ended`.
fn send_heartbeats(link: &Link<'_>, ended: &mpsc::Receiver<Infallible>) {
    loop {
        match link.server.heartbeat(&link.board.standing()) {
            Ok(HeartbeatReply::GoOn) => {}
            Ok(HeartbeatReply::Stop) => link.board.stop(),
            // Whether the server is gone for too long is the data path's decision: it is the one that needs it.
            Err(ServerError::Unreachable(reason) | ServerError::Busy(reason)) => {
                tracing::debug!(reason, "a heartbeat was not answered")
            }
            Err(error) => {
                tracing::warn!(%error, "a heartbeat was refused, the session is no longer this computer's");
                link.board.stop();
            }
        }
        if ended.recv_timeout(HEARTBEAT_EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
            return;
        }
    }
}
