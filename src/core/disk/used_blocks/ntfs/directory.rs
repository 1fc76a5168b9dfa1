//! Looking for a file in the root directory.

use super::{
    file,
    record::{BITMAP, INDEX_ALLOCATION, INDEX_ROOT, undo_fixups},
    volume::Volume,
};
use crate::disk::{
    fields::{u8_at, u16_at, u32_at, u64_at},
    used_blocks::UsedBlocksError,
};

/// The index of a directory by file name.
const INDEX: &str = "$I30";
/// Sizes of an index block; 4 KiB nearly always.
const BLOCK_BYTES: std::ops::RangeInclusive<u64> = 512..=64 << 10;
/// Most of a directory that is searched: a root of half a million files.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;
/// Where the entries' header stands in the root of an index, and in each further block.
const ROOT_HEADER_AT: usize = 0x10;
const BLOCK_HEADER_AT: usize = 0x18;

/// Most files of one name, which differ in case: Windows alone makes no second.
const ALIKE_MAX: usize = 4;

/// A file of the root directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Its name, in small letters.
    pub(super) name: &'static str,
    /// Its file record, and how often that was used when the name was given to it.
    pub(super) record: u64,
    pub(super) sequence: u16,
}

/// The files in the root directory whose names are among `names`, ASCII names, but for the case of letters.
///
/// The tree is read as a whole and not descended: that needs no `$UpCase`, the volume's own idea of which letters
/// are equal, and a root directory is short.
pub(super) fn find_in_root(
    volume: &Volume<'_>,
    names: &[&'static str],
) -> Result<Vec<Found>, UsedBlocksError> {
    let record = volume.record(file::ROOT)?;
    let root = volume.value(&record, INDEX_ROOT, INDEX)?;
    let mut bytes = vec![0; root.bytes().min(64 << 10) as usize];
    root.read(volume, 0, &mut bytes)?;
    let mut found = Vec::new();
    search(&bytes, ROOT_HEADER_AT, names, &mut found);
    let block_bytes = u64::from(u32_at(&bytes, 8));
    let Some(blocks) = volume.value_if_any(&record, INDEX_ALLOCATION, INDEX)? else { return Ok(found) };
    let sane = block_bytes.is_power_of_two() && BLOCK_BYTES.contains(&block_bytes);
    if !sane || blocks.bytes() > DIRECTORY_BYTES_MAX {
        return Err(volume.damaged(
            file::ROOT,
            DIRECTORY_BYTES_MAX,
            blocks.bytes(),
            "the root directory's length",
        ));
    }
    let in_use = volume.value(&record, BITMAP, INDEX)?;
    let count = blocks.bytes() / block_bytes;
    let mut bits = vec![0; in_use.bytes().min(count.div_ceil(8)) as usize];
    in_use.read(volume, 0, &mut bits)?;
    let mut block = vec![0; block_bytes as usize];
    for index in (0..count).filter(|index| u8_at(&bits, *index as usize / 8) >> (index % 8) & 1 == 1) {
        blocks.read(volume, index * block_bytes, &mut block)?;
        undo_fixups(&mut block, b"INDX", 0)?;
        search(&block, BLOCK_HEADER_AT, names, &mut found);
    }
    let alike = |found: &[Found], name| found.iter().filter(|file| file.name == name).count();
    match names.iter().map(|name| alike(&found, *name)).max() {
        Some(most) if most > ALIKE_MAX => {
            let what = "files of one name in the root directory: their number";
            Err(volume.damaged(file::ROOT, ALIKE_MAX as u64, most as u64, what))
        }
        _ => Ok(found),
    }
}

/// Searches the entries whose header stands at `header_at`.
fn search(bytes: &[u8], header_at: usize, names: &[&'static str], found: &mut Vec<Found>) {
    let mut at = header_at + u32_at(bytes, header_at) as usize;
    let end = (header_at + u32_at(bytes, header_at + 4) as usize).min(bytes.len());
    while at + 0x10 <= end {
        let entry = &bytes[at..end];
        let is_last = u16_at(entry, 0x0C) & 2 != 0;
        let length = usize::from(u16_at(entry, 8));
        if is_last || length < 0x10 {
            return;
        }
        // The key is a file name: its length in units at 0x40, the name at 0x42.
        let units = (0..usize::from(u8_at(entry, 0x50))).map(|unit| u16_at(entry, 0x52 + 2 * unit));
        let letters = units.map(|unit| u8::try_from(unit).map_or(0, |letter| letter.to_ascii_lowercase()));
        let reference = u64_at(entry, 0);
        let file = names.iter().find(|name| letters.clone().eq(name.bytes())).map(|name| Found {
            name,
            record: reference & ((1 << 48) - 1),
            sequence: (reference >> 48) as u16,
        });
        found.extend(file);
        at += length;
    }
}
