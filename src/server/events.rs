//! What happened, as typed facts in the past tense. Log lines, live pages and (later) audit and metrics are views
//! of these; state is never derived from them.

use mimeo_core::{
    chunk::ChunkId,
    failure::Failure,
    ids::{ComputerId, MacAddr, MasterId, SessionId, VersionNumber},
    messages::{Phase, Progress},
};
use serde::Serialize;
use tokio::sync::broadcast;

/// How many events a slow listener may lag behind before it loses some. A page that lost some reloads its state,
/// so nothing depends on this number but memory.
const BACKLOG: usize = 1024;

/// One fact.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A machine nobody knew became a computer.
    ComputerRegistered {
        computer: ComputerId,
        name: String,
    },
    /// A known computer booted into the client.
    ComputerBooted {
        computer: ComputerId,
    },
    SessionRequested {
        session: SessionId,
        computer: ComputerId,
    },
    /// The disk is not clear: a person has to choose.
    SessionAsked {
        session: SessionId,
    },
    /// Somebody chose the disk.
    SessionAnswered {
        session: SessionId,
        computer: ComputerId,
    },
    SessionStarted {
        session: SessionId,
    },
    SessionProgressed {
        session: SessionId,
        phase: Phase,
        progress: Progress,
    },
    SessionSucceeded {
        session: SessionId,
    },
    SessionFailed {
        session: SessionId,
        failure: Failure,
    },
    SessionCancelled {
        session: SessionId,
    },
    VersionPublished {
        master: MasterId,
        name: String,
        version: VersionNumber,
    },
    /// An administrator took it off the list, or its time was over.
    VersionRemoved {
        name: String,
        version: VersionNumber,
    },
    ChunkFoundDamaged {
        chunk: ChunkId,
        detail: String,
    },
    /// A version lacks chunks that the store has lost, or its manifest (then the number is 0).
    VersionFoundBroken {
        /// `NAME@VERSION`.
        version: String,
        lost_chunks: u64,
    },
    /// What no version needed was removed from the store.
    StoreCollected {
        freed_bytes: u64,
        removed_packs: u64,
        rewritten_packs: u64,
        /// More could go, if there were room to copy what is needed of it.
        out_of_room: bool,
    },
    /// The store's disk has less room than an ordinary capture may take.
    StoreShortOfRoom {
        free_bytes: u64,
    },
    /// The administrator's name and password were set with a setup code.
    AccountSetUp {
        account: String,
        address: String,
    },
    /// Root asked for a code that sets the administrator's name and password anew.
    SetupCodeRenewed,
    LoggedIn {
        account: String,
        address: String,
    },
    TokenCreated {
        name: String,
    },
    TokenDeleted {
        name: String,
    },
    /// Something secret was asked for by one who may not have it.
    CredentialRefused {
        address: String,
        reason: String,
    },
    /// Another DHCP server answered on one of our networks.
    ForeignDhcpSeen {
        server: String,
        next_server: Option<String>,
    },
    /// On this network a machine with Secure Boot on cannot boot from us; the reason says what would help.
    SecureBootOutOfReach {
        mac: MacAddr,
        reason: String,
    },
    /// No address of our DHCP pool, which has so many, was left for a machine.
    DhcpPoolExhausted {
        addresses: usize,
    },
    /// A machine asked for its boot and was answered.
    MachineBooted {
        mac: MacAddr,
        target: String,
    },
}

/// Where facts are told and heard. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Events {
    sender: broadcast::Sender<Event>,
}

impl Events {
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(BACKLOG) }
    }

    /// Tells everybody who listens, and the log.
    pub fn emit(&self, event: Event) {
        match &event {
            Event::SessionProgressed { .. } => tracing::debug!(?event, "progress"),
            _ => tracing::info!(?event, "event"),
        }
        // Nobody listening is no error.
        let _listeners = self.sender.send(event);
    }

    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.sender.subscribe()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
