//! The conversation between the client and the server, over TLS 1.3 with the appliance's own CA.
//!
//! ```text
//! client                                         server
//!   (GET payload)
//!   Hello { token, report }              ──▶     who is this? the token is used up
//!                                        ◀──     Welcome { credential, computer, orders }
//!   NextOrders                           ──▶     (answers at once, or within ORDERS_WAIT)
//!                                        ◀──     Orders
//!   Heartbeat { phase, progress } …      ──▶     keeps the session's lease
//!                                        ◀──     HeartbeatReply: go on, or stop
//!   (chunks: see the paths below)
//!   Outcome                              ──▶     the session ends
//!                                        ◀──     Orders: wait, reboot, power off
//! ```
//!
//! Every request after the first carries `Authorization: Bearer <credential>`. Bodies are JSON, except where
//! chunks and manifests travel as bytes.
//!
//! A request that the server must refuse for good is answered with a 4xx or 5xx status and, as the body, the
//! [`FailureCause`](crate::failure::FailureCause) as JSON: it ends the session with that cause. 5xx, 408 and 429
//! without a cause ask the client to try again; it does so for some minutes before it gives the server up. 503 with
//! `Retry-After` comes from a server that is well and has no room in its memory yet: the client waits its turn,
//! however long that takes.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    bad_sectors::BadSectorLimit,
    chunk::{ChunkId, ChunkSize},
    failure::Failure,
    ids::{ComputerId, Secret, SessionId, VersionNumber},
    machine::MachineReport,
    manifest::ManifestRoot,
    units::SectorSize,
};

/// Which conversation this is. Client and server come from one build, so a difference means that an old boot
/// artefact is still around: the server refuses and says so.
pub const PROTOCOL_VERSION: u32 = 3;

/// Where each request goes. `{session}` stands for a session id.
pub mod paths {
    /// POST [`super::Hello`] → [`super::Welcome`].
    pub const HELLO: &str = "/client/v1/hello";
    /// POST nothing → [`super::Orders`].
    pub const ORDERS: &str = "/client/v1/orders";
    /// GET, without a credential → the initramfs' second part. It is no secret, and the client needs its storage
    /// drivers before it can say anything of itself. [`crate::appliance::Appliance`] has its hash.
    pub const PAYLOAD: &str = "/client/v1/payload";
    /// POST [`super::Heartbeat`] → [`super::HeartbeatReply`].
    pub const HEARTBEAT: &str = "/client/v1/sessions/{session}/heartbeat";
    /// POST [`super::Outcome`] → [`super::Orders`].
    pub const OUTCOME: &str = "/client/v1/sessions/{session}/outcome";
    /// POST plain text, at most [`super::LOG_BYTES_MAX`]: added to the computer's log.
    pub const LOG: &str = "/client/v1/log";
    /// POST [`super::ChunkList`] → [`super::ChunkList`]: those of them that the store lacks.
    pub const CHUNKS_MISSING: &str = "/client/v1/sessions/{session}/chunks/missing";
    /// POST chunk records (`crate::messages::records`) → nothing. Received, not yet durable: only
    /// [`VERSION`] makes it so.
    pub const CHUNKS_UPLOAD: &str = "/client/v1/sessions/{session}/chunks/upload";
    /// POST [`super::ChunkList`] → chunk records, in the order asked.
    pub const CHUNKS_FETCH: &str = "/client/v1/sessions/{session}/chunks/fetch";
    /// POST an encoded [`crate::manifest::Manifest`] → [`super::VersionReply`].
    pub const VERSION: &str = "/client/v1/sessions/{session}/version";
    /// POST [`super::VersionQuestion`] → [`super::VersionReply`]: what became of a manifest that was handed in, without
    /// bringing it again. Where chunks were missing and came meanwhile, its version is made now.
    pub const VERSION_ASK: &str = "/client/v1/sessions/{session}/version/ask";
    /// GET → a [`crate::manifest::SignedManifest`] as bytes.
    pub const MANIFEST: &str = "/client/v1/sessions/{session}/manifest";

    /// Puts a session's id into one of the paths above.
    pub fn of_session(path: &str, session: crate::ids::SessionId) -> String {
        path.replace("{session}", &session.to_string())
    }
}

/// How long the server holds [`paths::ORDERS`] open before it answers "wait". Shorter than the half minute after
/// which some switches and proxies drop a silent connection.
pub const ORDERS_WAIT: Duration = Duration::from_secs(20);

/// How often a client in a session says that it lives.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);

/// Most ids in one [`ChunkList`]: 8 MiB of content at the default chunk size, so one answer fits comfortably in
/// memory on either side and a round trip is rare.
pub const CHUNK_LIST_MAX: usize = 64;

/// Longest log text that is taken at once.
pub const LOG_BYTES_MAX: usize = 256 << 10;

/// The first word of a client.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hello {
    pub protocol: u32,
    /// The one-time token from the boot script.
    pub token: Secret,
    pub report: MachineReport,
}

/// The server knows who this is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Welcome {
    /// What the client shows from now on, until it reboots.
    pub credential: Secret,
    pub computer: ComputerId,
    /// The name under which people know this computer.
    pub computer_name: String,
    /// Language of the console.
    pub language: Language,
    pub orders: Orders,
}

/// A language that Mimeo speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    Fr,
    En,
}

/// What the client is to do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Orders {
    /// Nothing yet: ask again.
    Wait,
    /// A session waits for a person to say which disk is meant.
    Question(DiskQuestion),
    Capture(CaptureOrder),
    Deploy(DeployOrder),
    /// The session that the computer came for failed before it could begin. The console shows why, then the client asks
    /// again.
    Refused(Failure),
    /// Leave, and start the computer from its own disk.
    Reboot,
    PowerOff,
}

/// Several disks could be meant and no rule says which: nothing happens until somebody answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskQuestion {
    pub session: SessionId,
    pub wanted_for: DiskUse,
    pub candidates: Vec<DiskPin>,
}

/// What the disk in question is wanted for. For the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskUse {
    Capture { master_name: String },
    Deploy { master_name: String, version: VersionNumber },
}

/// Which disk is meant. The client works on the one disk that agrees with every fact given here, or on none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskPin {
    pub model: Option<String>,
    pub serial: Option<String>,
    pub wwn: Option<String>,
    pub size_bytes: u64,
    pub logical_sector: SectorSize,
}

/// Read a disk into a new version of a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureOrder {
    pub session: SessionId,
    /// For the console.
    pub master_name: String,
    pub source: DiskPin,
    pub chunk_size: ChunkSize,
    /// With more sectors in use that cannot be read than this, the capture fails.
    pub tolerate_bad_sectors: BadSectorLimit,
}

/// Write a version of a master to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployOrder {
    pub session: SessionId,
    /// For the console.
    pub master_name: String,
    pub version: VersionNumber,
    pub manifest_root: ManifestRoot,
    /// The appliance's Ed25519 key, with which the manifest is signed.
    pub manifest_key: [u8; 32],
    pub target: DiskPin,
    /// Read everything back and compare, once it is written. Without it, every chunk is proved by its hash before it is
    /// written all the same, and the disk has to report all of it as durable.
    pub verify: bool,
}

/// The named steps of a session, alike in code, log, page and report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Find the disk, check everything that can be checked before the first write.
    Prepare,
    /// Capture: read what is in use and hand in what the store lacks.
    Read,
    /// Deploy: take the old partition table away, so that the disk cannot be mistaken for a bootable one.
    Partition,
    /// Deploy: place the content.
    Write,
    /// Read back and compare.
    Verify,
    /// Deploy: let file systems fill their new partitions.
    Grow,
    /// Deploy: name, drivers, domain.
    Personalise,
    /// Capture: the version becomes visible. Deploy: the new partition table is written, the disk can boot.
    Finish,
}

/// How far a phase has come. Bytes are of the disk unless they say otherwise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Of `total_bytes`, done in this phase.
    pub done_bytes: u64,
    pub total_bytes: u64,
    /// Since the session began: read from the disk, written to it, sent to the server, received from it.
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    /// Capture: sectors in use that the source could not read, so far. Zeros stand for them.
    #[serde(default)]
    pub unread_sectors: u64,
    /// Deploy: what has to be on the disk in the end; of that, compared before it was written, and found in place.
    #[serde(default)]
    pub carried_bytes: u64,
    #[serde(default)]
    pub compared_bytes: u64,
    #[serde(default)]
    pub kept_bytes: u64,
}

impl Progress {
    /// Sets what is done of the phase to the share of `done` in `total`, in whatever these are counted.
    pub fn set_share(&mut self, done: u64, total: u64) {
        let share = u128::from(done) * u128::from(self.total_bytes);
        self.done_bytes = u64::try_from(share / u128::from(total.max(1))).unwrap_or(u64::MAX);
    }
}

/// A sign of life in a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub phase: Phase,
    pub progress: Progress,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeartbeatReply {
    GoOn,
    /// Somebody cancelled the session, or it no longer is this client's: stop at once.
    Stop,
}

/// How a session ended on the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub progress: Progress,
    /// How long each phase took, in the order in which they began.
    #[serde(default)]
    pub phases: Vec<PhaseTime>,
    /// `None`: it succeeded.
    pub failure: Option<Failure>,
}

/// How long a phase took on the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseTime {
    pub phase: Phase,
    pub ms: u64,
}

/// The seconds that went into each phase, for programs.
pub fn phase_seconds(times: &[PhaseTime]) -> BTreeMap<Phase, f64> {
    let mut seconds = BTreeMap::new();
    for time in times {
        *seconds.entry(time.phase).or_default() += time.ms as f64 / 1000.0;
    }
    seconds
}

/// Ids of chunks, at most [`CHUNK_LIST_MAX`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkList {
    pub ids: Vec<ChunkId>,
}

/// Asks what became of the manifest with this root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionQuestion {
    pub root: ManifestRoot,
}

/// What became of a manifest that was handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum VersionReply {
    /// Every chunk is durable and was read back; the version is listed.
    Published { version: VersionNumber, root: ManifestRoot },
    /// The store lost these (it was restarted, say): hand them in, then ask again.
    Missing(ChunkList),
    /// Chunks are being read back. Ask again; the session's lease is kept meanwhile.
    Verifying { done_chunks: u64, total_chunks: u64 },
    /// The server does not have this manifest, or no longer (it was restarted, say): hand it in.
    ManifestWanted,
}

pub mod records;
