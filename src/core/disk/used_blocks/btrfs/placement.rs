//! From logical addresses to places on the device.

use super::{RESERVED_BYTES, chunks::Chunks, superblock::SUPERBLOCK_BYTES};
use crate::{disk::used_blocks::extents::Gathered, units::Extent};

/// The extents of logical space where they lie on the device, every copy of them, and what is in no account: the start
/// of the device and the copies of the superblock, which come in order.
///
/// Chunks lie in any order, and each copy of one elsewhere. What is gathered must come in the order of the device, so
/// each place of a chunk looks up its own extents.
pub(super) fn placed(
    extents: &[Extent],
    chunks: &Chunks,
    superblocks: impl Iterator<Item = u64>,
    device_bytes: u64,
) -> Gathered {
    let mut gathered = Gathered::new(device_bytes);
    gathered.add(0, RESERVED_BYTES);
    let mut superblocks = superblocks.peekable();
    for (place, number) in chunks.by_place() {
        let chunk = chunks.as_slice()[number];
        let first = extents.partition_point(|extent| extent.end_bytes() <= chunk.logical);
        // An extent may reach over several chunks where gaps are carried.
        for extent in extents[first..].iter().take_while(|extent| extent.start_bytes < chunk.end()) {
            let start = extent.start_bytes.max(chunk.logical);
            let at = place + (start - chunk.logical);
            while let Some(copy) = superblocks.next_if(|&copy| copy <= at) {
                gathered.add(copy, SUPERBLOCK_BYTES);
            }
            gathered.add(at, extent.end_bytes().min(chunk.end()) - start);
        }
    }
    for copy in superblocks {
        gathered.add(copy, SUPERBLOCK_BYTES);
    }
    gathered
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{
        super::chunks::{Chunk, Chunks},
        placed,
    };
    use crate::units::{Extent, MIB};

    const SECTOR: u64 = 4096;
    const DEVICE_SECTORS: usize = 2000;
    const SUPERBLOCKS: [u64; 3] = [64 << 10, 700 * SECTOR, 1500 * SECTOR];

    proptest! {
        #[test]
        fn every_copy_of_every_extent_is_there_and_nothing_else(
            // Gap and length in sectors, whether there are two copies, in which order the places are dealt out.
            shapes in proptest::collection::vec((0u64..9, 1u64..60, any::<bool>(), any::<u16>()), 0..12),
            pieces in proptest::collection::vec((1u64..20, 1u64..50), 0..40),
        ) {
            let chunks = chunks(&shapes);
            let mut extents = Vec::new();
            let mut at = 0;
            for (gap, length) in pieces {
                extents.push(Extent { start_bytes: (at + gap) * SECTOR, length_bytes: length * SECTOR });
                at += gap + length;
            }
            let mut expected = vec![false; DEVICE_SECTORS];
            expected[..(MIB / SECTOR) as usize].fill(true);
            for copy in SUPERBLOCKS {
                expected[(copy / SECTOR) as usize] = true;
            }
            for (chunk, extent) in chunks.as_slice().iter().flat_map(|c| extents.iter().map(move |e| (c, e))) {
                let (start, end) = (extent.start_bytes.max(chunk.logical), extent.end_bytes().min(chunk.end()));
                for (copy, logical) in chunk.copies().flat_map(|c| (start..end).step_by(4096).map(move |l| (c, l))) {
                    expected[((copy + logical - chunk.logical) / SECTOR) as usize] = true;
                }
            }
            let device_bytes = DEVICE_SECTORS as u64 * SECTOR;
            let map = placed(&extents, &chunks, SUPERBLOCKS.into_iter(), device_bytes).finish(4096);
            let mut found = vec![false; DEVICE_SECTORS];
            for extent in map.extents {
                found[(extent.start_bytes / SECTOR) as usize..(extent.end_bytes() / SECTOR) as usize].fill(true);
            }
            prop_assert_eq!(found, expected);
        }
    }

    /// Chunks one after the other in logical space, their copies anywhere on the device.
    fn chunks(shapes: &[(u64, u64, bool, u16)]) -> Chunks {
        let mut order: Vec<(u16, usize, usize)> = Vec::new();
        for (number, (_, _, twice, turn)) in shapes.iter().enumerate() {
            order.push((*turn, number, 0));
            order.extend(twice.then_some((turn.rotate_left(5), number, 1)));
        }
        order.sort_unstable();
        let mut chunks = Vec::new();
        let mut logical = 0;
        for (gap, length, ..) in shapes {
            logical += gap * SECTOR;
            chunks.push(Chunk { logical, length: length * SECTOR, copies: [None; 2] });
            logical += length * SECTOR;
        }
        let mut place = MIB - 3 * SECTOR;
        for (_, number, copy) in order {
            chunks[number].copies[copy] = Some(place);
            place += chunks[number].length + SECTOR;
        }
        Chunks::of(chunks)
    }
}
