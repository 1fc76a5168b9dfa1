//! Fuzz target for GUID partition tables: any bytes as a disk. `it/disk/mutation.rs` calls it with damaged real ones.

use crate::disk::mutation::check_disk;

/// Panics where a layout is ill-formed, or where it took too many reads to find none. Checksums are tried as they
/// are and as they should be: no fuzzer guesses one.
pub(crate) fn fuzz_gpt(input: &[u8]) {
    check_disk(input);
    check_disk(&crate::disk::mutation::with_right_checksums(input));
}
