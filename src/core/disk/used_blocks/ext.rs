//! ext2, ext3 and ext4: one bitmap per block group.
//!
//! A group whose bitmap was never written (`BLOCK_UNINIT`) has garbage in its place: what is in use there is
//! worked out from the file system's structure. The same structures are added to every group, so that a map is
//! never smaller than what the next mount needs to find.

mod bitmaps;
mod group;
mod structures;
mod superblock;

use bitmaps::{Bitmaps, read_groups};
use structures::Structures;
use superblock::{SUPERBLOCK_AT, SUPERBLOCK_BYTES, Superblock};

use super::{UsedBlocksError, UsedMap, extents::Gathered};
use crate::disk::ReadAt;

/// Maps an ext file system. It must be at rest: cleanly unmounted, its journal empty, no errors noted.
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let mut bytes = [0; SUPERBLOCK_BYTES];
    volume.read_exact_at(&mut bytes, SUPERBLOCK_AT)?;
    let superblock = Superblock::parse(&bytes, volume.length_bytes())?;
    let groups = read_groups(volume, &superblock)?;
    let structures = Structures::of(&superblock, &groups);
    let mut bitmaps = Bitmaps::new(volume, &superblock, &groups);

    let mut gathered = Gathered::new(superblock.blocks * superblock.block_bytes);
    // The boot block, which no bitmap covers where blocks have 1 KiB.
    gathered.add(0, SUPERBLOCK_AT);
    let mut bits = vec![0; superblock.block_bytes as usize];
    for (number, group) in groups.iter().enumerate() {
        if group.has_bitmap {
            let bitmap = bitmaps.read(number)?;
            group.check_bitmap(bitmap, &superblock)?;
            bits.copy_from_slice(bitmap);
        } else {
            bits.fill(0);
        }
        let number = number as u64;
        let start = superblock.group_start(number);
        let blocks = superblock.group_blocks(number);
        for (first, end) in structures.within(start, start + blocks) {
            set_bits(
                &mut bits,
                (first - start) / superblock.blocks_per_bit,
                (end - 1 - start) / superblock.blocks_per_bit,
            );
        }
        let (bit_bytes, bit_count) = (superblock.bit_bytes(), blocks.div_ceil(superblock.blocks_per_bit));
        let used = gathered.add_bits(&bits, start * superblock.block_bytes, bit_bytes, bit_count);
        group.check_free(number, bit_count - used, &superblock)?;
    }
    // Clusters have at most 512 MiB.
    Ok(gathered.finish(superblock.bit_bytes() as u32))
}

/// Sets the bits from `first` to `last` inclusive.
fn set_bits(bits: &mut [u8], first: u64, last: u64) {
    for bit in first..=last {
        if let Some(byte) = bits.get_mut(bit as usize / 8) {
            *byte |= 1 << (bit % 8);
        }
    }
}
