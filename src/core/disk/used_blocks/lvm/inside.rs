//! What is inside a logical volume: a file system that has a map, or bytes of which each is carried.

use super::{view::View, volume::Volume};
use crate::disk::{
    filesystem::{self, FileSystem},
    used_blocks::{self, UsedBlocksError, UsedMap},
};

/// What people and installers call a volume of swap, as a word of its name and with or without a number behind it:
/// Debian `swap_1`, Fedora `swap` and `lv_swap`, openSUSE `swap`, many a person `lvswap`.
const SWAP_WORDS: [&str; 2] = ["swap", "lvswap"];

/// How a logical volume is carried.
#[derive(Debug)]
pub(super) enum Inside {
    Mapped(UsedMap),
    /// Byte by byte, as what was recognised.
    Raw(Option<FileSystem>),
}

impl Inside {
    /// What a copy does not show of itself, and its owner has to know.
    pub(super) fn opaque(&self) -> Option<FileSystem> {
        match *self {
            Self::Raw(found) => found.filter(|&found| is_opaque(found)),
            Self::Mapped(_) => None,
        }
    }
}

fn is_opaque(found: FileSystem) -> bool {
    matches!(found, FileSystem::Luks | FileSystem::BitLocker | FileSystem::LinuxRaid)
}

/// Maps a logical volume by the file system in it.
pub(super) fn map(volume: &Volume, view: &View<'_>) -> Result<Inside, (FileSystem, UsedBlocksError)> {
    let found = filesystem::detect(view).map_err(|error| (FileSystem::Lvm, error.into()))?;
    // A group in a volume of a group is somebody's virtual machine. It ends here, or it would never have to.
    let Some(filesystem) = found.filter(|&found| found != FileSystem::Lvm) else {
        return Ok(Inside::Raw(found));
    };
    match used_blocks::map(filesystem, view) {
        // A partition is a swap area by its type in the table (`engine/plan.rs`): a signature can be left over from
        // what was there before, in a volume of virtual memory as in one that a database uses without a file system,
        // and a wrong guess loses all but the first page. LVM knows no types of volumes, so their names have to do.
        Ok(_) if filesystem == FileSystem::Swap && !is_called_swap(&volume.name) => Ok(Inside::Raw(found)),
        Ok(map) => Ok(Inside::Mapped(map)),
        Err(UsedBlocksError::Unsupported { .. }) => Ok(Inside::Raw(found)),
        Err(error) => Err((filesystem, error)),
    }
}

/// What a volume is by its first bytes alone, if that is something which [`Inside::opaque`] tells.
pub(super) fn opaque(head: &View<'_>) -> Result<Option<FileSystem>, UsedBlocksError> {
    Ok(filesystem::detect(head)?.filter(|&found| is_opaque(found)))
}

fn is_called_swap(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let words = name.split(|sign: char| !sign.is_ascii_alphanumeric());
    let mut words = words.map(|word| word.trim_end_matches(|sign: char| sign.is_ascii_digit()));
    words.any(|word| SWAP_WORDS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::is_called_swap;

    #[test]
    fn a_volume_is_called_swap_by_a_whole_word_of_its_name() {
        for name in ["swap", "swap_1", "Swap_1", "lv_swap", "swap00", "lvswap", "pc-swap", "vm-7.swap"] {
            assert!(is_called_swap(name), "{name}");
        }
        for name in ["noswap", "swapfiles", "swappable_data", "root", "swapfs", "1", "", "swap1a"] {
            assert!(!is_called_swap(name), "{name}");
        }
    }
}
