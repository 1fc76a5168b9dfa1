//! The superblock: features, sizes, and where the trees begin (btrfs documentation, "On-disk Format").

use super::{Damage, checksum::Checksum};
use crate::{
    disk::{
        ReadAt,
        fields::{array_at, has, u8_at, u16_at, u32_at, u64_at},
        used_blocks::UsedBlocksError,
    },
    failure::UncleanReason,
};

/// Where copies of the superblock stand, as far as the device reaches. Every mount reads the first alone; the
/// others are for `btrfs rescue super-recover`.
pub(super) const COPIES_AT: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];
pub(super) const SUPERBLOCK_BYTES: u64 = 4096;
const MAGIC: &[u8] = b"_BHRfS_M";

/// Sizes of sectors and of nodes, as the kernel takes them.
const SIZES: std::ops::RangeInclusive<u64> = 4096..=64 << 10;
/// The largest `sys_chunk_array`.
const SYSTEM_CHUNKS_BYTES: usize = 2048;

/// `flags`: written; relocation, of old; errors were seen; a seed, on which others may stand and which is whole.
const FLAG_ERROR: u64 = 1 << 2;
const FLAGS_AT_REST: u64 = 1 | 1 << 1 | 1 << 32;
/// An image of the metadata alone, made by `btrfs-image`.
const FLAGS_METADUMP: u64 = 1 << 33 | 1 << 34;

const INCOMPAT_METADATA_UUID: u64 = 1 << 10;
/// What is understood: mixed back references, default subvolume, mixed groups, LZO, zstd, big metadata, extended
/// references, RAID 5/6 and RAID 1 of three and four (told by the chunks), skinny metadata, no holes, metadata
/// UUID, simple quotas. Zoned devices, the second extent tree, the RAID stripe tree and the remap tree keep another
/// account of space, and what is unknown might.
const INCOMPAT_KNOWN: u64 = 0xFFF | 1 << 16;

const RO_BLOCK_GROUP_TREE: u64 = 1 << 3;
/// Free space tree, and that it is valid; fs-verity; block group tree.
const RO_KNOWN: u64 = 0xF;

/// Where a tree begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TreeRoot {
    /// The number of the tree, which every node names as its owner.
    pub(super) owner: u64,
    pub(super) logical: u64,
    pub(super) generation: u64,
    pub(super) level: u8,
}

/// A superblock whose numbers agree with each other and with the volume's length.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) sector_bytes: u64,
    pub(super) node_bytes: u64,
    /// Bytes of the volume that the file system takes.
    pub(super) device_bytes: u64,
    pub(super) device_id: u64,
    pub(super) checksum: Checksum,
    /// The UUID in the head of every node.
    pub(super) node_uuid: [u8; 16],
    pub(super) root_tree: TreeRoot,
    pub(super) chunk_tree: TreeRoot,
    pub(super) has_block_group_tree: bool,
    /// Keys and chunks, enough to read the chunk tree.
    pub(super) system_chunks: Vec<u8>,
}

impl Superblock {
    /// Reads the superblock that a mount would read, and refuses a file system that is not at rest or not alone.
    pub(super) fn read(volume: &dyn ReadAt) -> Result<Self, UsedBlocksError> {
        let mut bytes = vec![0; SUPERBLOCK_BYTES as usize];
        volume.read_exact_at(&mut bytes, COPIES_AT[0])?;
        let magic = has(&bytes, 0x40, MAGIC);
        check("the magic number of the superblock", 0x40, 1, magic.into(), magic)?;
        let kind = u16_at(&bytes, 0xC4);
        let checksum = Checksum::of_kind(kind)
            .ok_or_else(|| unsupported(format!("Btrfs with checksums of kind {kind}")))?;
        checksum.check("the checksum of the superblock", COPIES_AT[0], &bytes)?;
        check_eq("the place of the superblock", 0x30, COPIES_AT[0], u64_at(&bytes, 0x30))?;
        check_alone(&bytes)?;
        check_features(&bytes)?;
        check_at_rest(&bytes)?;
        Self::parse(&bytes, checksum, volume.length_bytes())
    }

    fn parse(bytes: &[u8], checksum: Checksum, volume_bytes: u64) -> Result<Self, UsedBlocksError> {
        let sector_bytes = size("the size of a sector", bytes, 0x90)?;
        let node_bytes = size("the size of a node", bytes, 0x94)?;
        check("the size of a node", 0x94, sector_bytes, node_bytes, node_bytes >= sector_bytes)?;
        let device_bytes = u64_at(bytes, 0xD1);
        let fits = device_bytes <= volume_bytes && device_bytes > COPIES_AT[0] + SUPERBLOCK_BYTES;
        check("the bytes of the device", 0xD1, volume_bytes, device_bytes, fits)?;
        let system_bytes = u32_at(bytes, 0xA0) as usize;
        let system_chunks = bytes
            .get(0x32B..0x32B + system_bytes.min(SYSTEM_CHUNKS_BYTES + 1))
            .filter(|_| system_bytes <= SYSTEM_CHUNKS_BYTES)
            .ok_or_else(|| {
                damaged(
                    "the length of the system chunks",
                    0xA0,
                    SYSTEM_CHUNKS_BYTES as u64,
                    system_bytes as u64,
                )
            })?;
        let metadata_uuid = u64_at(bytes, 0xBC) & INCOMPAT_METADATA_UUID != 0;
        let root = |owner, logical, generation, level| TreeRoot {
            owner,
            logical: u64_at(bytes, logical),
            generation: u64_at(bytes, generation),
            level: u8_at(bytes, level),
        };
        Ok(Self {
            sector_bytes,
            node_bytes,
            device_bytes,
            device_id: u64_at(bytes, 0xC9),
            checksum,
            node_uuid: array_at(bytes, if metadata_uuid { 0x23B } else { 0x20 }),
            root_tree: root(super::ROOT_TREE, 0x50, 0x48, 0xC6),
            chunk_tree: root(super::CHUNK_TREE, 0x58, 0xA4, 0xC7),
            has_block_group_tree: u64_at(bytes, 0xB4) & RO_BLOCK_GROUP_TREE != 0,
            system_chunks: system_chunks.to_vec(),
        })
    }

    /// Where copies of the superblock stand on this device.
    pub(super) fn copies(&self) -> impl Iterator<Item = u64> {
        let device_bytes = self.device_bytes;
        COPIES_AT.into_iter().filter(move |at| at + SUPERBLOCK_BYTES <= device_bytes)
    }
}

/// One device of several is no file system, and carried raw it would be no more. The target of a replacement that
/// goes on has the number 0.
fn check_alone(bytes: &[u8]) -> Result<(), UsedBlocksError> {
    match (u64_at(bytes, 0x88), u64_at(bytes, 0xC9)) {
        (0, _) => Err(damaged("the number of devices", 0x88, 1, 0)),
        (1, 1..) => Ok(()),
        _ => Err(UsedBlocksError::SeveralDevices),
    }
}

fn check_features(bytes: &[u8]) -> Result<(), UsedBlocksError> {
    let incompat = u64_at(bytes, 0xBC) & !INCOMPAT_KNOWN;
    let ro_compat = u64_at(bytes, 0xB4) & !RO_KNOWN;
    if incompat | ro_compat != 0 {
        return Err(unsupported(format!("Btrfs with features {incompat:#x} and {ro_compat:#x}")));
    }
    if u64_at(bytes, 0x38) & FLAGS_METADUMP != 0 {
        return Err(unsupported("Btrfs that holds metadata alone".into()));
    }
    Ok(())
}

/// A tree of a log holds what was written by `fsync` since the last commit. Its data is in no account until a mount
/// replays it, so that such a file system is not whole as it is.
fn check_at_rest(bytes: &[u8]) -> Result<(), UsedBlocksError> {
    let flags = u64_at(bytes, 0x38);
    if flags & FLAG_ERROR != 0 {
        return Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty });
    }
    // `btrfstune` marks the superblock while it rewrites UUIDs or checksums.
    check("the flags of the superblock", 0x38, FLAGS_AT_REST, flags, flags & !FLAGS_AT_REST == 0)?;
    if u64_at(bytes, 0x60) != 0 {
        return Err(UsedBlocksError::Unclean { reason: UncleanReason::JournalNotEmpty });
    }
    Ok(())
}

fn size(what: &'static str, bytes: &[u8], at: usize) -> Result<u64, UsedBlocksError> {
    let size = u64::from(u32_at(bytes, at));
    check(what, at, *SIZES.start(), size, SIZES.contains(&size) && size.is_power_of_two())?;
    Ok(size)
}

fn check_eq(what: &'static str, at: usize, expected: u64, actual: u64) -> Result<(), UsedBlocksError> {
    check(what, at, expected, actual, expected == actual)
}

fn check(
    what: &'static str,
    at: usize,
    expected: u64,
    actual: u64,
    holds: bool,
) -> Result<(), UsedBlocksError> {
    if holds { Ok(()) } else { Err(damaged(what, at, expected, actual)) }
}

fn damaged(what: &'static str, at: usize, expected: u64, actual: u64) -> UsedBlocksError {
    Damage { what, expected, actual }.at(COPIES_AT[0] + at as u64)
}

fn unsupported(what: String) -> UsedBlocksError {
    UsedBlocksError::Unsupported { what }
}
