//! Fuzz target for master boot records and the chains of extended ones: any bytes as a disk. `it/disk/mutation.rs` calls it with damaged real ones.

use crate::disk::mutation::check_disk;

/// Panics where a layout is ill-formed, or where it took too many reads to find none.
pub(crate) fn fuzz_mbr(input: &[u8]) {
    check_disk(input);
}
