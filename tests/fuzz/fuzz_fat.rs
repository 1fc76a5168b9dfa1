//! Fuzz target for FAT12, FAT16 and FAT32: any bytes as a volume. `it/disk/mutation.rs` calls it with damaged real ones.

use mimeo_core::disk::filesystem::FileSystem;

use crate::disk::mutation::check_volume;

/// Panics where a map is ill-formed, or where it took too many reads to find none.
pub(crate) fn fuzz_fat(input: &[u8]) {
    check_volume(FileSystem::Fat32, input);
}
