//! Which file system a partition holds.

use serde::{Deserialize, Serialize};

/// A file system or container that can be told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSystem {
    Ntfs,
    Ext,
    Fat12,
    Fat16,
    Fat32,
    ExFat,
    Xfs,
    Btrfs,
    F2fs,
    Swap,
    Lvm,
    LinuxRaid,
    Luks,
    BitLocker,
}
