//! Chunks: how logical addresses, in which trees speak, map to places on the device.

use super::{CHUNK_TREE_OBJECT, Damage, node::Key, superblock::Superblock};
use crate::disk::{
    fields::{u16_at, u64_at},
    used_blocks::UsedBlocksError,
};

/// Kind of the items that describe chunks.
pub(super) const CHUNK_ITEM: u8 = 228;
/// Most chunks that are read: 128 TiB in chunks of 1 GiB, larger ones in each that the kernel makes today.
pub(super) const CHUNKS_MAX: usize = 1 << 17;

const HEAD_BYTES: usize = 48;
const STRIPE_BYTES: usize = 32;

/// `type`: data, system, metadata.
const USES: u64 = 0x7;
const RAID0: u64 = 0x8;
const DUP: u64 = 0x20;

/// A run of logical addresses, and the one or two places that hold its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) logical: u64,
    pub(super) length: u64,
    pub(super) copies: [Option<u64>; 2],
}

impl Chunk {
    /// Reads the chunk at `logical` from an item whose leaf or array stands at `offset`; returns its length in bytes
    /// too.
    fn parse(
        value: &[u8],
        key: Key,
        offset: u64,
        superblock: &Superblock,
    ) -> Result<(Self, usize), UsedBlocksError> {
        let damaged = |what, expected, actual| Damage { what, expected, actual }.at(offset);
        let stripes = usize::from(u16_at(value, 44));
        let bytes = HEAD_BYTES + stripes * STRIPE_BYTES;
        if value.len() < bytes || stripes == 0 {
            return Err(damaged("the length of a chunk's item", bytes as u64, value.len() as u64));
        }
        let place = |stripe: usize| HEAD_BYTES + stripe * STRIPE_BYTES;
        if (0..stripes).any(|stripe| u64_at(value, place(stripe)) != superblock.device_id) {
            return Err(UsedBlocksError::SeveralDevices);
        }
        let (length, kind) = (u64_at(value, 0), u64_at(value, 24));
        let copies = match (kind & !USES, stripes) {
            // Striping over one device is none.
            (0 | RAID0, 1) => [Some(u64_at(value, place(0) + 8)), None],
            (DUP, 2) => [Some(u64_at(value, place(0) + 8)), Some(u64_at(value, place(1) + 8))],
            _ => {
                let what = format!("Btrfs with a chunk of kind {kind:#x} in {stripes} stripes");
                return Err(UsedBlocksError::Unsupported { what });
            }
        };
        let aligned = |number: u64| number.is_multiple_of(superblock.sector_bytes);
        if length == 0 || !aligned(length) || !aligned(key.offset) || key.offset.checked_add(length).is_none()
        {
            return Err(damaged("the length of a chunk", superblock.device_bytes, length));
        }
        for copy in copies.into_iter().flatten() {
            let end = copy.checked_add(length).filter(|_| aligned(copy));
            if end.is_none_or(|end| end > superblock.device_bytes) {
                return Err(damaged("the place of a chunk", superblock.device_bytes, copy));
            }
        }
        Ok((Self { logical: key.offset, length, copies }, bytes))
    }

    pub(super) fn end(&self) -> u64 {
        self.logical + self.length
    }

    pub(super) fn copies(&self) -> impl Iterator<Item = u64> {
        self.copies.into_iter().flatten()
    }
}

/// Chunks in the order of their logical addresses, which do not overlap.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    chunks: Vec<Chunk>,
}

impl Chunks {
    #[cfg(test)]
    pub(super) fn of(chunks: Vec<Chunk>) -> Self {
        Self { chunks }
    }

    /// The chunks of the superblock, from which the chunk tree is read.
    pub(super) fn of_system(superblock: &Superblock) -> Result<Self, UsedBlocksError> {
        let offset = super::superblock::COPIES_AT[0];
        let mut rest = &superblock.system_chunks[..];
        let mut chunks = Self::default();
        while !rest.is_empty() {
            let key = Key::parse(rest, 0);
            let value = rest.get(Key::BYTES..).unwrap_or_default();
            if (key.object, key.kind) != (CHUNK_TREE_OBJECT, CHUNK_ITEM) {
                let (expected, actual) = (CHUNK_ITEM.into(), key.kind.into());
                return Err(Damage { what: "the key of a system chunk", expected, actual }.at(offset));
            }
            let (chunk, length) = Chunk::parse(value, key, offset, superblock)?;
            chunks.chunks.push(chunk);
            rest = &value[length..];
        }
        chunks.chunks.sort_by_key(|chunk| chunk.logical);
        chunks.check_apart()?;
        Ok(chunks)
    }

    /// Adds the chunk of an item of the chunk tree. The tree is in order.
    pub(super) fn add(
        &mut self,
        value: &[u8],
        key: Key,
        leaf: u64,
        superblock: &Superblock,
    ) -> Result<(), UsedBlocksError> {
        if self.chunks.len() == CHUNKS_MAX {
            let what = format!("Btrfs of more than {CHUNKS_MAX} chunks");
            return Err(UsedBlocksError::Unsupported { what });
        }
        self.chunks.push(Chunk::parse(value, key, leaf, superblock)?.0);
        Ok(())
    }

    /// Checks that no two chunks share addresses or places.
    pub(super) fn check_apart(&self) -> Result<(), UsedBlocksError> {
        let what = "chunks that do not overlap";
        for pair in self.chunks.windows(2) {
            let (expected, actual) = (pair[0].end(), pair[1].logical);
            if expected > actual {
                return Err(Damage { what, expected, actual }.at(pair[1].logical));
            }
        }
        for pair in self.by_place().windows(2) {
            let (expected, actual) = (pair[0].0 + self.chunks[pair[0].1].length, pair[1].0);
            if expected > actual {
                return Err(Damage { what, expected, actual }.at(actual));
            }
        }
        Ok(())
    }

    /// Every copy of every chunk, as place and number, in the order of the places.
    pub(super) fn by_place(&self) -> Vec<(u64, usize)> {
        let numbered = self.chunks.iter().enumerate();
        let mut places: Vec<(u64, usize)> =
            numbered.flat_map(|(number, chunk)| chunk.copies().map(move |copy| (copy, number))).collect();
        places.sort_unstable();
        places
    }

    pub(super) fn as_slice(&self) -> &[Chunk] {
        &self.chunks
    }

    /// The number of the chunk that holds all of `length` bytes from `logical`.
    pub(super) fn find(&self, logical: u64, length: u64) -> Option<usize> {
        let number = self.chunks.partition_point(|chunk| chunk.end() <= logical);
        let chunk = self.chunks.get(number)?;
        let end = logical.checked_add(length)?;
        (chunk.logical <= logical && end <= chunk.end()).then_some(number)
    }

    /// The places of `length` bytes from `logical`: none where no chunk holds them all.
    pub(super) fn places(&self, logical: u64, length: u64) -> impl Iterator<Item = u64> + use<> {
        let chunk = self.find(logical, length).map(|number| self.chunks[number]);
        let copies = chunk.map_or([None; 2], |chunk| {
            chunk.copies.map(|copy| copy.map(|copy| copy + (logical - chunk.logical)))
        });
        copies.into_iter().flatten()
    }
}
