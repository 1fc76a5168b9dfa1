//! One node of a tree: a leaf of items, or pointers to the nodes below.

use super::{
    Damage,
    superblock::{Superblock, TreeRoot},
};
use crate::disk::{
    fields::{array_at, u8_at, u32_at, u64_at},
    used_blocks::UsedBlocksError,
};

/// Nodes above this level have never been written: eight levels hold more than any device.
pub(super) const LEVEL_MAX: u8 = 7;
const HEADER_BYTES: usize = 0x65;
/// A key, a place and a size; a key, a place and a generation.
const ITEM_BYTES: usize = 25;
const POINTER_BYTES: usize = 33;

/// Where an item sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) object: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    pub(super) const BYTES: usize = 17;
    pub(super) const FIRST: Self = Self { object: 0, kind: 0, offset: 0 };
    pub(super) const LAST: Self = Self { object: u64::MAX, kind: u8::MAX, offset: u64::MAX };

    pub(super) fn parse(bytes: &[u8], at: usize) -> Self {
        Self { object: u64_at(bytes, at), kind: u8_at(bytes, at + 8), offset: u64_at(bytes, at + 9) }
    }
}

/// A node as its parent describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) root: TreeRoot,
    /// The first key inside; unknown of the root.
    pub(super) first: Option<Key>,
}

/// A node whose head is what its parent says, and whose keys ascend.
#[derive(Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    /// Where it was read.
    pub(super) offset: u64,
    pub(super) level: u8,
    count: usize,
}

impl Node {
    /// Checks a node that was read from byte `offset` of the volume.
    pub(super) fn parse(
        bytes: Vec<u8>,
        offset: u64,
        wanted: &Wanted,
        superblock: &Superblock,
    ) -> Result<Self, UsedBlocksError> {
        superblock.checksum.check("the checksum of a node", offset, &bytes)?;
        let root = wanted.root;
        let numbers = [
            ("the place of a node", root.logical, u64_at(&bytes, 0x30)),
            ("the generation of a node", root.generation, u64_at(&bytes, 0x50)),
            ("the tree of a node", root.owner, u64_at(&bytes, 0x58)),
            ("the level of a node", root.level.into(), u8_at(&bytes, 0x64).into()),
            ("the file system of a node", 1, (array_at(&bytes, 0x20) == superblock.node_uuid).into()),
        ];
        for (what, expected, actual) in numbers {
            if expected != actual {
                return Err(Damage { what, expected, actual }.at(offset));
            }
        }
        let count = u32_at(&bytes, 0x60) as usize;
        let node = Self { offset, level: root.level, count, bytes };
        let most = (node.bytes.len() - HEADER_BYTES) / node.entry_bytes();
        // Nothing but a root may be empty, and only where it is the only leaf.
        let least = usize::from(wanted.first.is_some() || node.level > 0);
        if !(least..=most).contains(&count) {
            let (expected, actual) = (most as u64, count as u64);
            return Err(Damage { what: "the items of a node", expected, actual }.at(offset));
        }
        node.check_order(wanted.first)?;
        Ok(node)
    }

    fn check_order(&self, first: Option<Key>) -> Result<(), UsedBlocksError> {
        let starts_well = first.is_none_or(|first| first == self.key(0));
        let ascends = (1..self.count).all(|index| self.key(index - 1) < self.key(index));
        if starts_well && ascends {
            return Ok(());
        }
        Err(Damage { what: "keys in order in a node", expected: 1, actual: 0 }.at(self.offset))
    }

    fn entry_bytes(&self) -> usize {
        if self.level == 0 { ITEM_BYTES } else { POINTER_BYTES }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn key(&self, index: usize) -> Key {
        Key::parse(&self.bytes, HEADER_BYTES + index * self.entry_bytes())
    }

    /// The node to which entry `index` of this one points.
    pub(super) fn child(&self, index: usize, owner: u64) -> Wanted {
        let at = HEADER_BYTES + index * POINTER_BYTES + Key::BYTES;
        let (logical, generation) = (u64_at(&self.bytes, at), u64_at(&self.bytes, at + 8));
        let root = TreeRoot { owner, logical, generation, level: self.level.saturating_sub(1) };
        Wanted { root, first: Some(self.key(index)) }
    }

    /// What item `index` of this leaf holds; nothing where it would lie outside.
    pub(super) fn value(&self, index: usize) -> &[u8] {
        let at = HEADER_BYTES + index * ITEM_BYTES + Key::BYTES;
        let (start, length) = (u32_at(&self.bytes, at) as usize, u32_at(&self.bytes, at + 4) as usize);
        self.bytes
            .get(HEADER_BYTES + start..)
            .and_then(|rest| rest.get(..length))
            .filter(|_| start >= self.count * ITEM_BYTES)
            .unwrap_or_default()
    }
}
