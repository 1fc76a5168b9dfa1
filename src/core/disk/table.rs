//! A partition table of either kind, as the rest of the house sees it.

use serde::{Deserialize, Serialize};

use crate::units::{Extent, SectorSize};

/// The kind of table on a disk and the partitions it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionTable {
    pub scheme: Scheme,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
}

/// Which table, and what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// A GUID partition table (UEFI 2.10, chapter 5).
    Gpt {
        disk_guid: [u8; 16],
        /// How many entries the table has room for; 128 nearly always.
        entry_count: u32,
        /// Bytes of one entry; 128 nearly always.
        entry_bytes: u32,
    },
    /// A master boot record, with the disk signature that Windows looks for.
    Mbr { disk_signature: u32 },
    /// None: one volume fills the disk, as on many USB sticks and behind most image files. It stands in the list as
    /// partition [`WHOLE_DISK`].
    Whole,
}

/// The number of the volume that fills a disk without a partition table; real partitions count from 1.
pub const WHOLE_DISK: u32 = 0;

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// As the kernel numbers it: `sda3` has number 3; logical MBR partitions start at 5.
    pub number: u32,
    pub place: Extent,
    pub kind: PartitionKind,
    /// The partition's own GUID (GPT) or all zeros.
    pub guid: [u8; 16],
    /// GPT name; empty for MBR.
    pub name: String,
    /// GPT attributes (required, hidden, read-only, no drive letter…) or, for MBR, the status byte: 0x80 marks
    /// the partition that the BIOS boots.
    pub attributes: u64,
}

/// What the table says a partition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionKind {
    /// GPT partition type, in the byte order in which it stands on the disk.
    Guid([u8; 16]),
    /// MBR partition type.
    Byte(u8),
}

/// The partition types of Linux swap: GPT (as it stands on the disk) and MBR.
const SWAP_GUID: [u8; 16] =
    [0x6D, 0xFD, 0x57, 0x06, 0xAB, 0xA4, 0xC4, 0x43, 0x84, 0xE5, 0x09, 0x33, 0xC8, 0x4B, 0x4F, 0x4F];
const SWAP_BYTE: u8 = 0x82;

impl PartitionKind {
    /// Whether the table says that this is a swap area.
    pub fn is_swap(self) -> bool {
        matches!(self, Self::Guid(SWAP_GUID) | Self::Byte(SWAP_BYTE))
    }
}

/// What must be written to give a disk its partition table, in the order in which it must become durable: each
/// group is flushed before the next one starts, so that a power cut leaves either no table or a whole one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableWrites {
    pub groups: Vec<Vec<TableWrite>>,
}

/// One write of whole sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableWrite {
    pub offset_bytes: u64,
    pub bytes: Vec<u8>,
}

impl PartitionTable {
    /// The bytes that a disk needs to hold content up to `content_end_bytes` under this table: a GPT keeps a
    /// second copy of its header and entries behind everything else, a master boot record only its own sector.
    pub fn target_min_bytes(&self, content_end_bytes: u64, sector: SectorSize) -> u64 {
        match self.scheme {
            Scheme::Gpt { entry_count, entry_bytes, .. } => {
                let entries_bytes = u64::from(entry_count).saturating_mul(u64::from(entry_bytes));
                let copy_sectors = entries_bytes.div_ceil(sector.bytes()) + 1;
                content_end_bytes.saturating_add(copy_sectors * sector.bytes())
            }
            Scheme::Mbr { .. } | Scheme::Whole => content_end_bytes.max(sector.bytes()),
        }
    }
}
