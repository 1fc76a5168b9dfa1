//! Walking trees: from the root down, in the order of the keys, each node once.

use std::{cell::Cell, ops::RangeInclusive};

use super::{
    Damage,
    chunks::Chunks,
    node::{Key, LEVEL_MAX, Node, Wanted},
    superblock::{Superblock, TreeRoot},
};
use crate::disk::{ReadAt, used_blocks::UsedBlocksError};

/// An item of a leaf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    pub(super) key: Key,
    pub(super) value: &'a [u8],
    /// Where its leaf stands on the device, for errors.
    pub(super) leaf: u64,
}

/// The nodes of a file system, as far as the chunks are known.
pub(super) struct Nodes<'a> {
    pub(super) volume: &'a dyn ReadAt,
    pub(super) superblock: &'a Superblock,
    pub(super) chunks: Chunks,
    /// How many more nodes there can be: as many as the volume has room for.
    left: Cell<u64>,
}

/// A node on the way from the root to where a walk is.
struct Open {
    node: Node,
    next: usize,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(volume: &'a dyn ReadAt, superblock: &'a Superblock, chunks: Chunks) -> Self {
        let left = Cell::new(superblock.device_bytes / superblock.node_bytes);
        Self { volume, superblock, chunks, left }
    }

    /// Calls `each` for every item whose key lies in `range`, in order.
    pub(super) fn walk(
        &self,
        root: TreeRoot,
        range: &RangeInclusive<Key>,
        mut each: impl FnMut(Item<'_>) -> Result<(), UsedBlocksError>,
    ) -> Result<(), UsedBlocksError> {
        if root.level > LEVEL_MAX {
            let (expected, actual) = (LEVEL_MAX.into(), root.level.into());
            return Err(Damage { what: "the level of a tree", expected, actual }.at(root.logical));
        }
        let mut last = None;
        let mut path = vec![self.open(Wanted { root, first: None }, range)?];
        while let Some(open) = path.last_mut() {
            let index = open.next;
            if index >= open.node.count() || open.node.key(index) > *range.end() {
                path.pop();
                continue;
            }
            open.next += 1;
            let key = open.node.key(index);
            if open.node.level > 0 {
                let child = open.node.child(index, root.owner);
                path.push(self.open(child, range)?);
                continue;
            }
            // Keys that ascend through the whole walk are what ends it: no leaf can be met twice.
            if last.is_some_and(|last| last >= key) {
                let what = "keys in order in a tree";
                return Err(Damage { what, expected: 1, actual: 0 }.at(open.node.offset));
            }
            last = Some(key);
            if range.contains(&key) {
                each(Item { key, value: open.node.value(index), leaf: open.node.offset })?;
            }
        }
        Ok(())
    }

    fn open(&self, wanted: Wanted, range: &RangeInclusive<Key>) -> Result<Open, UsedBlocksError> {
        let node = self.read(&wanted)?;
        // Of an inner node, what begins before the range may reach into it.
        let mut next = (0..node.count()).take_while(|&index| node.key(index) < *range.start()).count();
        if node.level > 0 && (next == node.count() || node.key(next) != *range.start()) {
            next = next.saturating_sub(1);
        }
        Ok(Open { node, next })
    }

    /// Reads a node from the first of its copies that is sound.
    fn read(&self, wanted: &Wanted) -> Result<Node, UsedBlocksError> {
        let (logical, node_bytes) = (wanted.root.logical, self.superblock.node_bytes);
        let Some(left) = self.left.get().checked_sub(1) else {
            let expected = self.superblock.device_bytes / node_bytes;
            let what = "the nodes of the file system";
            return Err(Damage { what, expected, actual: expected + 1 }.at(logical));
        };
        self.left.set(left);
        let mut failed = None;
        for offset in self.chunks.places(logical, node_bytes) {
            let mut bytes = vec![0; node_bytes as usize];
            let read = self.volume.read_exact_at(&mut bytes, offset).map_err(UsedBlocksError::from);
            match read.and_then(|()| Node::parse(bytes, offset, wanted, self.superblock)) {
                Ok(node) => return Ok(node),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let what = "a chunk for a node";
        Err(failed.unwrap_or_else(|| Damage { what, expected: logical, actual: 0 }.at(logical)))
    }
}
