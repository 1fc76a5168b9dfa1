//! Btrfs on one device: the extent tree lists what is in use.
//!
//! Trees speak in logical addresses. Chunks say where those lie on the device: in one place, or (`DUP`) in two, and
//! both are carried. Snapshots, subvolumes, compression and caches of free space are extents like any other.
//!
//! Sources: btrfs documentation, "On-disk Format" and "Btrees"; `btrfs inspect-internal` for what real programs write.

mod account;
mod checksum;
mod chunks;
mod node;
mod placement;
mod superblock;
mod tree;

use account::{Account, BLOCK_GROUP_ITEM};
use chunks::{CHUNK_ITEM, Chunks};
use node::Key;
use placement::placed;
use superblock::{SUPERBLOCK_BYTES, Superblock, TreeRoot};
use tree::Nodes;

use super::{UsedBlocksError, UsedMap};
use crate::{
    disk::{
        ReadAt,
        fields::{u8_at, u64_at},
    },
    units::MIB,
};

/// Numbers of trees, and of the object under which the chunk tree keeps chunks.
const ROOT_TREE: u64 = 1;
const EXTENT_TREE: u64 = 2;
const CHUNK_TREE: u64 = 3;
const DEVICE_TREE: u64 = 4;
const BLOCK_GROUP_TREE: u64 = 11;
const CHUNK_TREE_OBJECT: u64 = 256;

/// Kinds of items: the root of a tree, the state of a replacement.
const ROOT_ITEM: u8 = 132;
const DEVICE_REPLACE: u8 = 250;

/// The start of the device belongs to boot loaders, GRUB's core among them; no chunk is put there.
const RESERVED_BYTES: u64 = MIB;

/// Maps a Btrfs. It must be at rest, with no log to replay, and have no other device.
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let superblock = Superblock::read(volume)?;
    let nodes = open(volume, &superblock)?;
    check_no_replacement(&nodes)?;

    let mut account = Account::new(&superblock, &nodes.chunks);
    let all = Key::FIRST..=Key::LAST;
    nodes.walk(tree(&nodes, EXTENT_TREE)?, &all, |item| account.take(item))?;
    if superblock.has_block_group_tree {
        nodes.walk(tree(&nodes, BLOCK_GROUP_TREE)?, &all, |item| match item.key.kind {
            BLOCK_GROUP_ITEM => account.take(item),
            _ => Ok(()),
        })?;
    }
    let (extents, used_bytes) = account.finish()?;
    let gathered = placed(&extents, &nodes.chunks, superblock.copies(), superblock.device_bytes);
    let mut map = gathered.finish(superblock.sector_bytes as u32);
    // What lies between extents and is carried because there are too many of them is not in use.
    let outside: u64 = RESERVED_BYTES + superblock.copies().skip(1).map(|_| SUPERBLOCK_BYTES).sum::<u64>();
    map.used_bytes = map.used_bytes.min(used_bytes + outside);
    map.end_bytes = superblock.device_bytes;
    Ok(map)
}

/// Reads the chunk tree, through the system chunks that the superblock names.
fn open<'a>(volume: &'a dyn ReadAt, superblock: &'a Superblock) -> Result<Nodes<'a>, UsedBlocksError> {
    let mut nodes = Nodes::new(volume, superblock, Chunks::of_system(superblock)?);
    let mut chunks = Chunks::default();
    let first = Key { object: CHUNK_TREE_OBJECT, kind: CHUNK_ITEM, offset: 0 };
    nodes.walk(superblock.chunk_tree, &(first..=Key { offset: u64::MAX, ..first }), |item| {
        chunks.add(item.value, item.key, item.leaf, superblock)
    })?;
    chunks.check_apart()?;
    nodes.chunks = chunks;
    Ok(nodes)
}

/// Where the tree `number` begins, by the tree of trees.
fn tree(nodes: &Nodes<'_>, number: u64) -> Result<TreeRoot, UsedBlocksError> {
    let key = Key { object: number, kind: ROOT_ITEM, offset: 0 };
    let root_tree = nodes.superblock.root_tree;
    let mut found = None;
    nodes.walk(root_tree, &(key..=key), |item| {
        found = Some(TreeRoot {
            owner: number,
            logical: u64_at(item.value, 176),
            generation: u64_at(item.value, 160),
            level: u8_at(item.value, 238),
        });
        Ok(())
    })?;
    let what = "the root of a tree";
    found.ok_or_else(|| Damage { what, expected: number, actual: 0 }.at(root_tree.logical))
}

/// While a device is being replaced, the superblock still counts one, but no mount does without the other.
fn check_no_replacement(nodes: &Nodes<'_>) -> Result<(), UsedBlocksError> {
    const STARTED: u64 = 1;
    const SUSPENDED: u64 = 4;
    let key = Key { object: 0, kind: DEVICE_REPLACE, offset: 0 };
    nodes.walk(tree(nodes, DEVICE_TREE)?, &(key..=key), |item| match u64_at(item.value, 32) {
        STARTED | SUSPENDED => Err(UsedBlocksError::SeveralDevices),
        _ => Ok(()),
    })
}

/// A number that is not what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Damage {
    what: &'static str,
    expected: u64,
    actual: u64,
}

impl Damage {
    fn at(self, offset: u64) -> UsedBlocksError {
        let Self { what, expected, actual } = self;
        UsedBlocksError::Damaged { offset, expected, actual, what }
    }
}
