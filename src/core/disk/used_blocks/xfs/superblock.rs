//! The superblock, in the first sector of the volume ("Superblocks").

use crate::{
    disk::{
        ReadAt,
        checksum::crc32c,
        fields::{array_at, be_u16_at, be_u32_at, be_u64_at, u8_at, u32_at},
        used_blocks::UsedBlocksError,
    },
    units::Extent,
};

const MAGIC: u64 = 0x5846_5342;
/// The superblock's fields end before this; the sector it has for itself may be longer.
const HEAD_BYTES: usize = 512;
const CHECKSUM_AT: usize = 224;

/// Most allocation groups that are read: 16 TiB in the smallest that mkfs makes, which have 16 MiB.
const GROUPS_MAX: u64 = 1 << 20;
/// Largest allocation group: 1 TiB.
const GROUP_BYTES_MAX: u64 = 1 << 40;
/// Smallest allocation group, also at the end of the volume.
const GROUP_BLOCKS_MIN: u64 = 64;
/// Largest log: block numbers in it are signed 32-bit byte counts in the kernel.
const LOG_BYTES_MAX: u64 = 1 << 31;

const VERSION_MASK: u16 = 0xF;
/// `sb_versionnum`: `sb_features2` counts.
const VERSION_MORE: u16 = 0x8000;
/// `sb_versionnum`: shared between computers, which no kernel that is in use mounts.
const VERSION_SHARED: u16 = 0x200;

/// `sb_features2`: the counters of free space are made right only when the file system is unmounted.
const FEATURES2_LAZY_COUNT: u32 = 0x2;
/// Lazy counters, version 2 attributes, parent pointers of IRIX, 32-bit project numbers, checksums, file types.
const FEATURES2_KNOWN: u32 = 0x2 | 0x8 | 0x10 | 0x80 | 0x100 | 0x200;

/// The tree of free inodes, reverse mappings, shared extents, counts of inode tree blocks. None of them changes what
/// the trees of free space mean; an unknown one might.
const RO_COMPAT_KNOWN: u32 = 0x1 | 0x2 | 0x4 | 0x8;
const INCOMPAT_META_UUID: u32 = 0x4;
const INCOMPAT_NEEDS_REPAIR: u32 = 0x10;
const INCOMPAT_ZONED: u32 = 0x200;
/// File types, sparse inodes, metadata UUID, big timestamps, needs repair (told apart), 64-bit extent counts, exchanged
/// ranges, parent pointers, a directory of metadata.
const INCOMPAT_KNOWN: u32 = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x100;

/// A superblock whose numbers agree with each other and with the volume's length.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) block_bytes: u64,
    pub(super) sector_bytes: u64,
    pub(super) blocks: u64,
    pub(super) groups: u64,
    pub(super) group_blocks: u64,
    pub(super) log: Extent,
    /// With version 5: what every structure names as its file system. Without, nothing has a checksum.
    pub(super) uuid: Option<[u8; 16]>,
    /// Free blocks by the superblock, where that count is exact at rest.
    free: Option<u64>,
}

impl Superblock {
    /// Reads the superblock of `volume` and refuses what must not be carried or is not understood.
    pub(super) fn read(volume: &dyn ReadAt) -> Result<Self, UsedBlocksError> {
        let mut bytes = vec![0; HEAD_BYTES];
        volume.read_exact_at(&mut bytes, 0)?;
        check_eq("the magic number of the superblock", 0, MAGIC, u64::from(be_u32_at(&bytes, 0)))?;
        let sector_bytes = u64::from(be_u16_at(&bytes, 102));
        let sane = sector_bytes.is_power_of_two() && (512..=32 << 10).contains(&sector_bytes);
        check("the size of a sector", 102, 512, sector_bytes, sane)?;
        bytes.resize(sector_bytes as usize, 0);
        volume.read_exact_at(&mut bytes, 0)?;

        let uuid = check_features(&bytes)?;
        let block_bytes = u64::from(be_u32_at(&bytes, 4));
        let sane = block_bytes.is_power_of_two() && (sector_bytes..=64 << 10).contains(&block_bytes);
        check("the block size", 4, 4096, block_bytes, sane)?;
        check_eq(
            "the logarithm of the block size",
            120,
            block_bytes.ilog2().into(),
            u8_at(&bytes, 120).into(),
        )?;
        let blocks = be_u64_at(&bytes, 8);
        let blocks_max = volume.length_bytes() / block_bytes;
        check("the number of blocks", 8, blocks_max, blocks, blocks > 0 && blocks <= blocks_max)?;
        let (groups, group_blocks) = groups(&bytes, blocks, block_bytes)?;
        let mut superblock = Self {
            block_bytes,
            sector_bytes,
            blocks,
            groups,
            group_blocks,
            log: Extent { start_bytes: 0, length_bytes: 0 },
            uuid,
            free: has_lazy_count(&bytes).then(|| be_u64_at(&bytes, 144)),
        };
        superblock.log = superblock.log(&bytes)?;
        Ok(superblock)
    }

    /// The first block of group `number`, counted from the start of the volume.
    pub(super) fn group_start(&self, number: u64) -> u64 {
        number * self.group_blocks
    }

    /// How many blocks group `number` has: fewer in the last one.
    pub(super) fn blocks_of_group(&self, number: u64) -> u64 {
        self.group_blocks.min(self.blocks - self.group_start(number))
    }

    /// Blocks at the start of each group for its superblock, free space header, inode header and free list, which
    /// have a sector each.
    pub(super) fn header_blocks(&self) -> u64 {
        (4 * self.sector_bytes).div_ceil(self.block_bytes)
    }

    /// Checks that the groups do not claim more free space than the superblock counts: then one of them would be older
    /// than the rest. That they claim less does no harm.
    pub(super) fn check_free(&self, actual: u64) -> Result<(), UsedBlocksError> {
        match self.free {
            Some(free) => check("the free blocks of all groups", 144, free, actual, actual <= free),
            None => Ok(()),
        }
    }

    /// Where the log is. Its block number has the group in its upper bits, which need not be consecutive.
    fn log(&self, bytes: &[u8]) -> Result<Extent, UsedBlocksError> {
        let place = be_u64_at(bytes, 48);
        let group_bits = u32::from(u8_at(bytes, 124));
        let (group, block) = (place >> group_bits, place & ((1 << group_bits) - 1));
        check("the place of the log", 48, self.groups, group, group < self.groups)?;
        let length = u64::from(be_u32_at(bytes, 96));
        let end = block + length;
        let sane = length > 0 && length * self.block_bytes <= LOG_BYTES_MAX;
        check("the length of the log", 96, LOG_BYTES_MAX / self.block_bytes, length, sane)?;
        let blocks = self.blocks_of_group(group);
        let fits = block >= self.header_blocks() && end <= blocks;
        check("the end of the log in its group", 48, blocks, end, fits)?;
        Ok(Extent {
            start_bytes: (self.group_start(group) + block) * self.block_bytes,
            length_bytes: length * self.block_bytes,
        })
    }
}

/// Refuses what is not understood, what is on other devices, and what its own tools say is not whole. The UUID that
/// the structures carry, with version 5.
fn check_features(bytes: &[u8]) -> Result<Option<[u8; 16]>, UsedBlocksError> {
    let unsupported = |what: String| Err(UsedBlocksError::Unsupported { what });
    let version = be_u16_at(bytes, 100);
    let number = version & VERSION_MASK;
    if !(4..=5).contains(&number) {
        return unsupported(format!("version {number} of XFS"));
    }
    let (mut ro_compat, mut incompat) = (0, 0);
    if number == 5 {
        check_checksum("the checksum of the superblock", bytes, CHECKSUM_AT, 0)?;
        ro_compat = be_u32_at(bytes, 212);
        incompat = be_u32_at(bytes, 216);
    }
    // Zoned file systems may have the files behind the metadata on the same device (sb_rtstart).
    let is_inside = incompat & INCOMPAT_ZONED != 0 && be_u64_at(bytes, 288) != 0;
    if be_u64_at(bytes, 16) != 0 && !is_inside {
        return Err(UsedBlocksError::FilesElsewhere);
    }
    if be_u64_at(bytes, 48) == 0 {
        return Err(UsedBlocksError::ExternalJournal);
    }
    let features2 = features2(bytes) & !FEATURES2_KNOWN;
    let (ro_compat, unknown) = (ro_compat & !RO_COMPAT_KNOWN, incompat & !INCOMPAT_KNOWN);
    if version & VERSION_SHARED != 0 || features2 != 0 || ro_compat != 0 || unknown != 0 {
        return unsupported(format!(
            "unknown XFS features: version {version:#x}, features2 {features2:#x}, ro_compat {ro_compat:#x}, \
             incompat {unknown:#x}"
        ));
    }
    check_eq(
        "the mark of a file system that was not made or copied to the end",
        126,
        0,
        u8_at(bytes, 126).into(),
    )?;
    check_eq("the mark that asks for a repair", 216, 0, (incompat & INCOMPAT_NEEDS_REPAIR).into())?;
    let uuid_at = if incompat & INCOMPAT_META_UUID != 0 { 248 } else { 32 };
    Ok((number == 5).then(|| array_at(bytes, uuid_at)))
}

/// Some kernels wrote the second word of features into the padding behind it, where it counts as well.
fn features2(bytes: &[u8]) -> u32 {
    let more = be_u16_at(bytes, 100) & VERSION_MORE != 0;
    if more { be_u32_at(bytes, 200) | be_u32_at(bytes, 204) } else { 0 }
}

fn has_lazy_count(bytes: &[u8]) -> bool {
    be_u16_at(bytes, 100) & VERSION_MASK == 5 || features2(bytes) & FEATURES2_LAZY_COUNT != 0
}

/// How many allocation groups there are, and how many blocks each but the last has.
fn groups(bytes: &[u8], blocks: u64, block_bytes: u64) -> Result<(u64, u64), UsedBlocksError> {
    let group_blocks = u64::from(be_u32_at(bytes, 84));
    let sane = group_blocks >= GROUP_BLOCKS_MIN && group_blocks * block_bytes <= GROUP_BYTES_MAX;
    check("the blocks per allocation group", 84, GROUP_BYTES_MAX / block_bytes, group_blocks, sane)?;
    let logarithm = u64::from(group_blocks.next_power_of_two().ilog2());
    check_eq("the logarithm of the group size", 124, logarithm, u8_at(bytes, 124).into())?;
    let groups = blocks.div_ceil(group_blocks);
    check_eq("the number of allocation groups", 88, groups, be_u32_at(bytes, 88).into())?;
    let last = blocks - (groups - 1) * group_blocks;
    check("the blocks of the last group", 8, GROUP_BLOCKS_MIN, last, last >= GROUP_BLOCKS_MIN)?;
    if groups > GROUPS_MAX {
        return Err(UsedBlocksError::Unsupported { what: format!("XFS of {groups} allocation groups") });
    }
    Ok((groups, group_blocks))
}

/// Checks the CRC-32C of a whole structure at `offset` of the volume, which counts as zero in itself. It alone is
/// little-endian.
pub(super) fn check_checksum(
    what: &'static str,
    bytes: &[u8],
    at: usize,
    offset: u64,
) -> Result<(), UsedBlocksError> {
    let (before, after) = (&bytes[..at], &bytes[at + 4..]);
    let expected = !crc32c(!0, &[before, &[0; 4], after]);
    let actual = u32_at(bytes, at);
    if expected == actual {
        return Ok(());
    }
    Err(UsedBlocksError::Damaged { offset, expected: expected.into(), actual: actual.into(), what })
}

fn check(
    what: &'static str,
    at: u64,
    expected: u64,
    actual: u64,
    holds: bool,
) -> Result<(), UsedBlocksError> {
    if holds { Ok(()) } else { Err(UsedBlocksError::Damaged { offset: at, expected, actual, what }) }
}

fn check_eq(what: &'static str, at: u64, expected: u64, actual: u64) -> Result<(), UsedBlocksError> {
    check(what, at, expected, actual, expected == actual)
}
