//! What stands in the first 32 bytes of every superblock and node.

use blake2::{Blake2b, digest::consts::U32};
use sha2::{Digest, Sha256};

use super::Damage;
use crate::disk::{
    checksum::{crc32c, xxhash64},
    fields::{array_at, u64_at},
    used_blocks::UsedBlocksError,
};

/// The longest checksum. What it covers begins behind it.
const BYTES: usize = 32;

/// How superblocks and nodes are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checksum {
    Crc32c,
    XxHash64,
    Sha256,
    Blake2b,
}

impl Checksum {
    /// The checksum of `csum_type`.
    pub(super) fn of_kind(kind: u16) -> Option<Self> {
        [Self::Crc32c, Self::XxHash64, Self::Sha256, Self::Blake2b].get(usize::from(kind)).copied()
    }

    /// Checks `bytes`, which stand at `offset` of the volume.
    pub(super) fn check(self, what: &'static str, offset: u64, bytes: &[u8]) -> Result<(), UsedBlocksError> {
        let sum: [u8; BYTES] = array_at(bytes, 0);
        let expected = self.of(bytes.get(BYTES..).unwrap_or_default());
        if expected == sum[..expected.len()] {
            return Ok(());
        }
        // Of a long checksum, eight bytes tell.
        let start = |sum: &[u8]| u64_at(&[sum, &[0; 8]].concat(), 0);
        Err(Damage { what, expected: start(&expected), actual: start(&sum[..expected.len()]) }.at(offset))
    }

    fn of(self, covered: &[u8]) -> Vec<u8> {
        match self {
            Self::Crc32c => (!crc32c(!0, &[covered])).to_le_bytes().to_vec(),
            Self::XxHash64 => xxhash64(covered).to_le_bytes().to_vec(),
            Self::Sha256 => Sha256::digest(covered).to_vec(),
            Self::Blake2b => Blake2b::<U32>::digest(covered).to_vec(),
        }
    }
}
