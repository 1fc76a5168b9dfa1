//! Which blocks somebody needs: one bit each.

use mimeo_core::multicast::block::BlockNumber;

/// A set of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSet {
    words: Vec<u64>,
    blocks: u32,
    count: u32,
}

impl BlockSet {
    pub fn empty(blocks: u32) -> Self {
        Self { words: vec![0; blocks.div_ceil(64) as usize], blocks, count: 0 }
    }

    pub fn full(blocks: u32) -> Self {
        let mut set = Self::empty(blocks);
        (0..blocks).for_each(|block| {
            set.insert(BlockNumber(block));
        });
        set
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn contains(&self, block: BlockNumber) -> bool {
        block.0 < self.blocks && self.words[(block.0 / 64) as usize] >> (block.0 % 64) & 1 == 1
    }

    /// Whether the block was not in the set. A number beyond the last block never is.
    pub fn insert(&mut self, block: BlockNumber) -> bool {
        let new = block.0 < self.blocks && !self.contains(block);
        if new {
            self.words[(block.0 / 64) as usize] |= 1 << (block.0 % 64);
            self.count += 1;
        }
        new
    }

    /// Whether the block was in the set.
    pub fn remove(&mut self, block: BlockNumber) -> bool {
        let there = self.contains(block);
        if there {
            self.words[(block.0 / 64) as usize] &= !(1 << (block.0 % 64));
            self.count -= 1;
        }
        there
    }

    /// The first block of the set from `from` on.
    pub fn next(&self, from: u32) -> Option<BlockNumber> {
        let first = (from / 64) as usize;
        let words = self.words.iter().enumerate().skip(first);
        for (index, word) in words {
            let word = if index == first { word & (u64::MAX << (from % 64)) } else { *word };
            if word != 0 {
                return Some(BlockNumber(index as u32 * 64 + word.trailing_zeros()));
            }
        }
        None
    }

    pub fn iter(&self) -> impl Iterator<Item = BlockNumber> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let block = self.next(from)?;
            from = block.0 + 1;
            Some(block)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_blocks_is_a_set(changes in vec((any::<bool>(), 0u32..150), 0..200), from in 0u32..150) {
            let mut set = BlockSet::empty(130);
            let mut model = BTreeSet::new();
            for (insert, block) in changes {
                match insert {
                    true => prop_assert_eq!(set.insert(BlockNumber(block)), block < 130 && model.insert(block)),
                    false => prop_assert_eq!(set.remove(BlockNumber(block)), model.remove(&block)),
                }
            }
            prop_assert_eq!(set.count() as usize, model.len());
            prop_assert_eq!(set.next(from).map(|block| block.0), model.range(from..).next().copied());
            prop_assert!(set.iter().map(|block| block.0).eq(model.iter().copied()));
        }
    }

    #[test]
    fn a_full_set_has_every_block_and_no_other() {
        let set = BlockSet::full(65);
        assert_eq!((set.count(), set.next(64), set.next(65)), (65, Some(BlockNumber(64)), None));
    }
}
