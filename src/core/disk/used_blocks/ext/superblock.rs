//! The superblock of ext2, ext3 and ext4 (Linux, `Documentation/filesystems/ext4/super.rst`).

use crate::disk::{
    checksum::crc32c,
    fields::{array_at, u16_at, u32_at},
    used_blocks::UsedBlocksError,
};
use crate::failure::UncleanReason;

/// Where the superblock stands, whatever the block size, and how long it is.
pub(super) const SUPERBLOCK_AT: u64 = 1024;
pub(super) const SUPERBLOCK_BYTES: usize = 1024;
const MAGIC: u64 = 0xEF53;

/// Most block groups that are read: 128 TiB in blocks of 4 KiB, 8 TiB in blocks of 1 KiB. What is kept of each
/// takes 100 bytes.
const GROUPS_MAX: u64 = 1 << 20;
/// Descriptors of `64bit` file systems have 64 bytes; larger ones have never been written.
const DESCRIPTOR_BYTES: std::ops::RangeInclusive<u64> = 64..=1024;

/// `s_state`: unmounted cleanly; errors were seen.
const STATE_VALID: u16 = 1;
const STATE_ERROR: u16 = 2;

const COMPAT_HAS_JOURNAL: u32 = 0x4;
const COMPAT_SPARSE_SUPER2: u32 = 0x200;

const INCOMPAT_RECOVER: u32 = 0x4;
const INCOMPAT_JOURNAL_DEV: u32 = 0x8;
const INCOMPAT_META_BG: u32 = 0x10;
const INCOMPAT_64BIT: u32 = 0x80;
const INCOMPAT_CSUM_SEED: u32 = 0x2000;
/// What is understood: file type, recover, journal device (told apart), meta_bg, extents, 64bit, mmp, flex_bg,
/// ea_inode, dirdata, csum_seed, large_dir, inline_data, encrypt, casefold. None of the others changes how used
/// blocks are accounted for; an unknown one might.
const INCOMPAT_KNOWN: u32 = 0x2
    | 0x4
    | 0x8
    | 0x10
    | 0x40
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x1000
    | 0x2000
    | 0x4000
    | 0x8000
    | 0x1_0000
    | 0x2_0000;

const RO_SPARSE_SUPER: u32 = 0x1;
const RO_GDT_CSUM: u32 = 0x10;
const RO_BIGALLOC: u32 = 0x200;
const RO_METADATA_CSUM: u32 = 0x400;
/// sparse_super, large_file, btree_dir, huge_file, gdt_csum, dir_nlink, extra_isize, quota, bigalloc,
/// metadata_csum, read-only, project, verity, orphan_present. `bigalloc` shows that an unknown one cannot be passed over.
const RO_KNOWN: u32 =
    0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200 | 0x400 | 0x1000 | 0x2000 | 0x8000 | 0x1_0000;

/// How groups and bitmaps are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksums {
    None,
    /// `uninit_bg`: CRC-16 over each descriptor.
    Descriptors,
    /// `metadata_csum`: CRC-32C over everything, from this seed.
    All {
        seed: u32,
    },
}

/// A superblock whose numbers agree with each other and with the volume's length.
#[derive(Debug, Clone)]
pub(super) struct Superblock {
    pub(super) block_bytes: u64,
    pub(super) blocks: u64,
    pub(super) first_data_block: u64,
    /// Blocks for which one bit of a bitmap stands: 1, or more with bigalloc.
    pub(super) blocks_per_bit: u64,
    pub(super) bits_per_group: u64,
    pub(super) groups: u64,
    pub(super) inode_table_blocks: u64,
    pub(super) descriptor_bytes: u64,
    pub(super) uuid: [u8; 16],
    pub(super) checksums: Checksums,
    /// The first descriptor block that stands in its own group instead of behind the superblock.
    pub(super) first_meta_group: Option<u64>,
    reserved_descriptor_blocks: u64,
    sparse: Sparse,
}

/// Which groups have a copy of the superblock and of the descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sparse {
    EveryGroup,
    /// 0, 1 and the powers of 3, 5 and 7.
    Powers,
    /// 0 and at most two more.
    Two([u32; 2]),
}

impl Superblock {
    /// Reads the superblock of a volume of `volume_bytes`, and refuses a file system that is not at rest.
    pub(super) fn parse(bytes: &[u8; SUPERBLOCK_BYTES], volume_bytes: u64) -> Result<Self, UsedBlocksError> {
        check_eq("the magic number of the superblock", 0x38, MAGIC, u64::from(u16_at(bytes, 0x38)))?;
        let features = Features::parse(bytes)?;
        let checksums = checksums(bytes, &features)?;
        check_at_rest(bytes, &features)?;

        let log_block = u32_at(bytes, 0x18);
        check("the logarithm of the block size", 0x18, 6, log_block.into(), log_block <= 6)?;
        let block_bytes = 1024_u64 << log_block;
        let wide =
            if features.incompat & INCOMPAT_64BIT != 0 { u64::from(u32_at(bytes, 0x150)) << 32 } else { 0 };
        let blocks = wide | u64::from(u32_at(bytes, 0x04));
        let blocks_max = volume_bytes / block_bytes;
        check("the number of blocks", 0x04, blocks_max, blocks, blocks > 0 && blocks <= blocks_max)?;
        let first_data_block = u64::from(u32_at(bytes, 0x14));
        check(
            "the first data block",
            0x14,
            1,
            first_data_block,
            first_data_block <= 1 && first_data_block < blocks,
        )?;

        let (blocks_per_bit, bits_per_group) = bitmap_shape(bytes, &features, log_block, block_bytes)?;
        let groups = (blocks - first_data_block).div_ceil(bits_per_group * blocks_per_bit);
        if groups > GROUPS_MAX {
            return Err(UsedBlocksError::Unsupported { what: format!("ext file system of {groups} groups") });
        }
        let descriptor_bytes = match u64::from(u16_at(bytes, 0xFE)) {
            _ if features.incompat & INCOMPAT_64BIT == 0 => 32,
            size if DESCRIPTOR_BYTES.contains(&size) && size.is_power_of_two() => size,
            size => return Err(damaged("the size of a group descriptor", 0xFE, 64, size)),
        };
        Ok(Self {
            block_bytes,
            blocks,
            first_data_block,
            blocks_per_bit,
            bits_per_group,
            groups,
            inode_table_blocks: inode_table_blocks(bytes, block_bytes)?,
            descriptor_bytes,
            uuid: array_at(bytes, 0x68),
            checksums,
            first_meta_group: (features.incompat & INCOMPAT_META_BG != 0)
                .then(|| u32_at(bytes, 0x104).into()),
            reserved_descriptor_blocks: u16_at(bytes, 0xCE).into(),
            sparse: if features.compat & COMPAT_SPARSE_SUPER2 != 0 {
                Sparse::Two([u32_at(bytes, 0x24C), u32_at(bytes, 0x250)])
            } else if features.ro_compat & RO_SPARSE_SUPER != 0 {
                Sparse::Powers
            } else {
                Sparse::EveryGroup
            },
        })
    }

    pub(super) fn blocks_per_group(&self) -> u64 {
        self.bits_per_group * self.blocks_per_bit
    }

    /// Bytes for which one bit of a bitmap stands: a block, or a cluster with bigalloc.
    pub(super) fn bit_bytes(&self) -> u64 {
        self.block_bytes * self.blocks_per_bit
    }

    /// The first block of `group` that belongs to it. With blocks of 1 KiB and bigalloc, block 0 of group 0 is the
    /// boot block and the superblock block 1, though groups are counted from block 0.
    pub(super) fn group_start(&self, group: u64) -> u64 {
        self.first_data_block + group * self.blocks_per_group()
    }

    /// How many blocks `group` has: fewer in the last one.
    pub(super) fn group_blocks(&self, group: u64) -> u64 {
        self.blocks_per_group().min(self.blocks - self.group_start(group))
    }

    pub(super) fn descriptors_per_block(&self) -> u64 {
        self.block_bytes / self.descriptor_bytes
    }

    pub(super) fn descriptor_blocks(&self) -> u64 {
        self.groups.div_ceil(self.descriptors_per_block())
    }

    /// Where block `index` of the group descriptors stands.
    pub(super) fn descriptor_block(&self, index: u64) -> u64 {
        match self.first_meta_group {
            Some(first_meta) if index >= first_meta => {
                let group = index * self.descriptors_per_block();
                self.superblock_block(group) + u64::from(self.has_superblock(group))
            }
            _ => self.superblock_block(0) + 1 + index,
        }
    }

    /// The blocks at the start of `group` that hold the superblock and group descriptors, reserved ones included.
    pub(super) fn head_blocks(&self, group: u64) -> (u64, u64) {
        let has_superblock = u64::from(self.has_superblock(group));
        let per_block = self.descriptors_per_block();
        let descriptors = match self.first_meta_group {
            Some(first_meta) if group / per_block >= first_meta => {
                u64::from([0, 1, per_block - 1].contains(&(group % per_block)))
            }
            Some(first_meta) => has_superblock * first_meta.min(self.descriptor_blocks()),
            None => has_superblock * (self.descriptor_blocks() + self.reserved_descriptor_blocks),
        };
        (self.superblock_block(group), has_superblock + descriptors)
    }

    fn superblock_block(&self, group: u64) -> u64 {
        match self.group_start(group) {
            0 if self.block_bytes == SUPERBLOCK_AT => 1,
            start => start,
        }
    }

    fn has_superblock(&self, group: u64) -> bool {
        let is_power = |base: u64| {
            let mut power = base;
            while power < group {
                power *= base;
            }
            power == group
        };
        match self.sparse {
            _ if group == 0 => true,
            Sparse::EveryGroup => true,
            Sparse::Powers => group == 1 || is_power(3) || is_power(5) || is_power(7),
            Sparse::Two(two) => two.into_iter().any(|backup| u64::from(backup) == group),
        }
    }
}

struct Features {
    compat: u32,
    incompat: u32,
    ro_compat: u32,
}

impl Features {
    fn parse(bytes: &[u8]) -> Result<Self, UsedBlocksError> {
        // Revision 0 had no features; its fields are whatever was there.
        if u32_at(bytes, 0x4C) == 0 {
            return Ok(Self { compat: 0, incompat: 0, ro_compat: 0 });
        }
        let features = Self {
            compat: u32_at(bytes, 0x5C),
            incompat: u32_at(bytes, 0x60),
            ro_compat: u32_at(bytes, 0x64),
        };
        let unsupported = |what: String| Err(UsedBlocksError::Unsupported { what });
        if features.incompat & INCOMPAT_JOURNAL_DEV != 0 {
            return unsupported("the volume is the journal of another ext file system".into());
        }
        let incompat = features.incompat & !INCOMPAT_KNOWN;
        let ro_compat = features.ro_compat & !RO_KNOWN;
        if incompat != 0 || ro_compat != 0 {
            return unsupported(format!(
                "unknown ext features: incompat {incompat:#x}, ro_compat {ro_compat:#x}"
            ));
        }
        Ok(features)
    }
}

fn checksums(bytes: &[u8; SUPERBLOCK_BYTES], features: &Features) -> Result<Checksums, UsedBlocksError> {
    if features.ro_compat & RO_METADATA_CSUM == 0 {
        let descriptors = features.ro_compat & RO_GDT_CSUM != 0;
        return Ok(if descriptors { Checksums::Descriptors } else { Checksums::None });
    }
    let expected = crc32c(!0, &[&bytes[..0x3FC]]);
    check_eq("the checksum of the superblock", 0x3FC, expected.into(), u32_at(bytes, 0x3FC).into())?;
    let seed = if features.incompat & INCOMPAT_CSUM_SEED != 0 {
        u32_at(bytes, 0x270)
    } else {
        crc32c(!0, &[&bytes[0x68..0x78]])
    };
    Ok(Checksums::All { seed })
}

/// A journal that must be replayed holds the newest content of files and of the bitmaps themselves. Without a
/// journal, the state says whether the file system was mounted when the power went.
fn check_at_rest(bytes: &[u8], features: &Features) -> Result<(), UsedBlocksError> {
    if features.incompat & INCOMPAT_RECOVER != 0 {
        return Err(UsedBlocksError::Unclean { reason: UncleanReason::JournalNotEmpty });
    }
    let state = u16_at(bytes, 0x3A);
    if state & STATE_VALID == 0 || state & STATE_ERROR != 0 {
        return Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty });
    }
    // The journal is a file in here or a device that is named by its UUID; its number is only a hint, and may be 0.
    let journal_inode = u32_at(bytes, 0xE0);
    if features.compat & COMPAT_HAS_JOURNAL != 0 && journal_inode == 0 {
        return Err(UsedBlocksError::ExternalJournal);
    }
    Ok(())
}

/// How many blocks a bit stands for, and how many bits a group has.
fn bitmap_shape(
    bytes: &[u8],
    features: &Features,
    log_block: u32,
    block_bytes: u64,
) -> Result<(u64, u64), UsedBlocksError> {
    let blocks_per_group = u64::from(u32_at(bytes, 0x20));
    let (blocks_per_bit, bits) = if features.ro_compat & RO_BIGALLOC != 0 {
        let log_cluster = u32_at(bytes, 0x1C);
        // Clusters of up to 512 MiB can be made (mke2fs 1.47).
        let sane = log_cluster >= log_block && log_cluster <= 19;
        check("the logarithm of the cluster size", 0x1C, log_block.into(), log_cluster.into(), sane)?;
        (1 << (log_cluster - log_block), u64::from(u32_at(bytes, 0x24)))
    } else {
        (1, blocks_per_group)
    };
    let bits_max = block_bytes * 8;
    check("the clusters per group", 0x24, bits_max, bits, bits >= 8 && bits <= bits_max && bits % 8 == 0)?;
    check_eq("the blocks per group", 0x20, bits * blocks_per_bit, blocks_per_group)?;
    Ok((blocks_per_bit, bits))
}

fn inode_table_blocks(bytes: &[u8], block_bytes: u64) -> Result<u64, UsedBlocksError> {
    let inode_bytes = if u32_at(bytes, 0x4C) == 0 { 128 } else { u64::from(u16_at(bytes, 0x58)) };
    let sane = inode_bytes.is_power_of_two() && (128..=block_bytes).contains(&inode_bytes);
    check("the size of an inode", 0x58, 256, inode_bytes, sane)?;
    let inodes = u64::from(u32_at(bytes, 0x28));
    check("the inodes per group", 0x28, block_bytes * 8, inodes, inodes > 0 && inodes <= block_bytes * 8)?;
    Ok((inodes * inode_bytes).div_ceil(block_bytes))
}

fn check(
    what: &'static str,
    at: u64,
    expected: u64,
    actual: u64,
    holds: bool,
) -> Result<(), UsedBlocksError> {
    if holds { Ok(()) } else { Err(damaged(what, at, expected, actual)) }
}

fn check_eq(what: &'static str, at: u64, expected: u64, actual: u64) -> Result<(), UsedBlocksError> {
    check(what, at, expected, actual, expected == actual)
}

fn damaged(what: &'static str, at: u64, expected: u64, actual: u64) -> UsedBlocksError {
    UsedBlocksError::Damaged { offset: SUPERBLOCK_AT + at, expected, actual, what }
}
