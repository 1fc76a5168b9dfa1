//! How a session may end badly: a cause that a technician understands, with the numbers.
//!
//! The cause is data, alike on the console, in the page, in the log and in the report; [`crate::text`] turns it
//! into a sentence that says what to do next.

use serde::{Deserialize, Serialize};

use crate::{
    bad_sectors::BadSectorLimit,
    chunk::ChunkId,
    disk::filesystem::FileSystem,
    messages::{DiskPin, Phase},
    units::SectorSize,
};

/// What went wrong, and in which phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub phase: Phase,
    pub cause: FailureCause,
}

/// Why a session failed. A file system of the source is in a partition, or in a `volume` of LVM in that partition, which
/// is named `group/volume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum FailureCause {
    /// No disk agrees with the plan.
    DiskMissing { wanted: DiskPin },
    /// More than one disk agrees with the plan.
    DiskAmbiguous { wanted: DiskPin, found: u32 },
    /// The target ends before the master's content does.
    DiskTooSmall { needed_bytes: u64, actual_bytes: u64 },
    /// 512-byte and 4096-byte sectors do not fit each other.
    SectorSizeDiffers { master: SectorSize, target: SectorSize },
    /// The kernel, a RAID or a swap uses the disk.
    DiskBusy { holder: String },
    /// The partition table of the source cannot be read.
    SourceTable { detail: String },
    /// A file system was not closed properly, or Windows sleeps in it: its content on disk is not whole.
    SourceUnclean {
        partition: u32,
        filesystem: FileSystem,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
        reason: UncleanReason,
    },
    /// A file system contradicts itself.
    SourceDamaged {
        partition: u32,
        filesystem: FileSystem,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
        detail: String,
    },
    /// A file system keeps its journal on another device, without which it cannot be mounted.
    SourceJournalElsewhere {
        partition: u32,
        filesystem: FileSystem,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
    },
    /// A file system keeps files on another device, without which they are lost.
    SourceFilesElsewhere {
        partition: u32,
        filesystem: FileSystem,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
    },
    /// A file system spans several devices, and one of them alone is nothing. Where it is LVM, the volume is the group,
    /// whose name may be elsewhere too.
    SourceOnSeveralDevices {
        partition: u32,
        filesystem: FileSystem,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<String>,
    },
    /// The disk gave an error where it was read.
    ReadFailed { offset_bytes: u64, detail: String },
    /// The source has sectors in use that cannot be read: `found` by the time the capture gave up, the first of them at
    /// `offset_bytes`, and no more than `tolerated` were allowed for.
    SourceUnreadable { offset_bytes: u64, found: u64, tolerated: BadSectorLimit, detail: String },
    /// The disk gave an error where it was written.
    WriteFailed { offset_bytes: u64, detail: String },
    /// The disk gives back other bytes than were written.
    VerifyMismatch { offset_bytes: u64, chunk: ChunkId },
    /// The store holds other bytes than the chunk's name says.
    ChunkDamaged { chunk: ChunkId, detail: String },
    /// The store lacks a chunk that the version names.
    ChunkMissing { chunk: ChunkId },
    /// The manifest is not the one that was ordered, or not signed by this appliance.
    ManifestRefused { detail: String },
    /// The server's disk has no room left.
    StoreFull { detail: String },
    /// The store could not be written or read.
    StoreFailed { detail: String },
    /// The client lost the server for longer than it keeps trying.
    ServerLost { detail: String },
    /// The computer was not heard of for longer than a lease, more often than a session is tried.
    ClientLost { attempts: u32 },
    /// The computer was sent into the client so many times in a row, and the client never said a word.
    ClientSilent { boots: u32 },
    /// A program in the client failed.
    Tool { name: String, detail: String },
    /// A defect of Mimeo.
    Internal { detail: String },
}

impl FailureCause {
    /// That `found` disks agree with the plan.
    pub fn disk_ambiguous(wanted: DiskPin, found: usize) -> Self {
        Self::DiskAmbiguous { wanted, found: u32::try_from(found).unwrap_or(u32::MAX) }
    }
}

/// Why a file system cannot be captured as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UncleanReason {
    /// Windows hibernates, or "fast startup" left it half asleep; in a swap area: Linux hibernates.
    Hibernated,
    /// The volume's dirty flag is set.
    Dirty,
    /// The journal holds changes that are not in place yet.
    JournalNotEmpty,
}
