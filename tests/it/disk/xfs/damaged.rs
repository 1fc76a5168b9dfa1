//! XFS with wrong bytes: an error or the right map.

use std::{cell::RefCell, io};

use mimeo_core::disk::ReadAt;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{FileSystem, Image, UsedBlocksError, fields, mkfs, refusal, unmounted, used_blocks};

/// Single reads of the log are longer; what is in a log beside the ends of its blocks is of no matter.
const STRUCTURE_BYTES_MAX: usize = 64 << 10;

/// A volume in memory that notes where it is read.
struct Watched<'a> {
    volume: &'a [u8],
    reads: RefCell<Vec<(u64, usize)>>,
}

impl ReadAt for Watched<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.reads.borrow_mut().push((offset_bytes, buffer.len()));
        self.volume.read_exact_at(buffer, offset_bytes)
    }

    fn length_bytes(&self) -> u64 {
        self.volume.length_bytes()
    }
}

/// Changes one to three bytes that a map depends on, again and again.
fn mutate(name: &str, image: &Image, seed: u64) {
    let mut volume = std::fs::read(&image.path).expect("the image");
    let watched = Watched { volume: &volume, reads: RefCell::default() };
    let right = used_blocks::map(FileSystem::Xfs, &watched).expect("a map");
    let mut reads = watched.reads.into_inner();
    reads.retain(|(_, length)| (1..=STRUCTURE_BYTES_MAX).contains(length));
    let mut random = StdRng::seed_from_u64(seed);
    let mut noticed = 0;
    for _ in 0..1500 {
        let mut before = Vec::new();
        for _ in 0..random.random_range(1..4) {
            let (start, length) = reads[random.random_range(0..reads.len())];
            // Most of what counts stands at the start.
            let within = if random.random() { length } else { length.min(128) };
            let at = start as usize + random.random_range(0..within);
            before.push((at, volume[at]));
            volume[at] =
                if random.random() { volume[at] ^ 1 << random.random_range(0..8) } else { random.random() };
        }
        match used_blocks::map(FileSystem::Xfs, &&volume[..]) {
            Ok(map) => assert!(map == right, "{name}: another map after {before:?}"),
            Err(UsedBlocksError::Io(error)) => panic!("{name}: {error} after {before:?}"),
            Err(_) => noticed += 1,
        }
        for (at, byte) in before.into_iter().rev() {
            volume[at] = byte;
        }
    }
    assert!(noticed > 100, "{name}: {noticed} of 1500 noticed");
}

#[test]
fn wrong_bytes_give_an_error_or_the_right_map() {
    let old = ["-m", "crc=0", "-b", "size=512", "-d", "agsize=16m"];
    mutate("version 4", &unmounted::with_holes(32, &old), 1);
    mutate("version 4, one group", &mkfs(16, &["-m", "crc=0"]), 2);
    mutate("version 5", &unmounted::with_holes(32, &["-b", "size=1k", "-m", "rmapbt=1"]), 3);
}

#[test]
fn a_free_extent_that_moved_is_noticed_with_and_without_checksums() {
    for arguments in [["-m", "crc=0"], ["-m", "crc=1"]] {
        let image = mkfs(64, &arguments);
        let [block_bytes, group_blocks] = fields(&image, "sb 0", ["blocksize", "agblocks"]);
        let [root] = fields(&image, "agf 1", ["bnoroot"]);
        let header = if arguments[1] == "crc=0" { 16 } else { 56 };
        let start = (group_blocks + root) * block_bytes;
        let records = u16::from_be_bytes(image.read(start + 6, 2).try_into().expect("two bytes"));
        // The last record of the tree by place, one block further to the front and as long as before.
        let at = start + header + 8 * (u64::from(records) - 1);
        let first = u32::from_be_bytes(image.read(at, 4).try_into().expect("four bytes"));
        image.write(at, &(first - 1).to_be_bytes());
        let refused = refusal(&image);
        assert!(matches!(refused, UsedBlocksError::Damaged { .. }), "{arguments:?}: {refused:?}");
    }
}
