//! The files in which Windows keeps memory: their contents are not carried, and come back as zeros.
//!
//! A running Windows reads nothing from a page file that it has not written itself since it started, and nothing from
//! the hibernation file unless its first page says that a system sleeps there, which a volume that is captured
//! does not. They hold gigabytes, and what its users last worked on.
//!
//! They come back as zeros and not as whatever the target held, which would cost a deploy less:
//! - a page file that starts with an old crash dump is taken for one at the next start, and a hibernation file that
//!   starts with an old system's first page may be woken;
//! - every system that mounts the volume shows these files to whoever may read it (ntfs-3g to everybody by default),
//!   while free space is shown only to those who may read the whole disk. What an earlier user of the target
//!   left there is not for them.
//!
//! In doubt a file is carried like any other: when it is not marked hidden and system, as Windows marks all three; when
//! it has a second name, or a name that another file has but for the case; when it is compressed, encrypted or has
//! holes; when its record is damaged, or its clusters are also those of another of these files or of the
//! volume's own.

use std::ops::Range;

use super::{
    directory::Found,
    file,
    record::{DATA, FILE_NAME, STANDARD_INFORMATION},
    runs::Value,
    volume::Volume,
};
use crate::disk::{
    fields::{u32_at, u64_at},
    used_blocks::UsedBlocksError,
};

pub(super) const HIBERNATION: &str = "hiberfil.sys";
pub(super) const NAMES: [&str; 3] = [HIBERNATION, "pagefile.sys", "swapfile.sys"];

/// File attributes (`$STANDARD_INFORMATION`).
const HIDDEN_AND_SYSTEM: u32 = 0x02 | 0x04;
/// `$Boot`, at the start of the volume, is this long.
const BOOT_BYTES: u64 = 8 << 10;

/// The clusters whose contents are not carried: sorted, apart from each other. `bitmap` is the volume's, `found` are
/// the files of its root directory by these names.
pub(super) fn clusters(
    volume: &Volume<'_>,
    bitmap: &Value,
    found: &[Found],
) -> Result<Vec<Range<u64>>, UsedBlocksError> {
    let boot = 0..BOOT_BYTES.div_ceil(volume.cluster_bytes);
    let mut taken: Vec<Range<u64>> = Vec::from([boot]);
    taken.extend(volume.mft.clusters().unwrap_or_default());
    taken.extend(clusters_of(bitmap).unwrap_or_default());
    let mut left_out = Vec::new();
    for name in NAMES {
        let mut alike = found.iter().filter(|file| file.name == name);
        let (Some(file), None) = (alike.next(), alike.next()) else { continue };
        match content(volume, file) {
            Ok(Some(clusters)) => left_out.extend(clusters),
            // A damaged file is carried as it is.
            Ok(None) | Err(UsedBlocksError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    taken.extend(left_out.iter().cloned());
    taken.sort_by_key(|clusters| clusters.start);
    if taken.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Ok(Vec::new());
    }
    left_out.sort_by_key(|clusters| clusters.start);
    left_out.dedup_by(|next, kept| {
        let touch = kept.end == next.start;
        if touch {
            kept.end = next.end;
        }
        touch
    });
    Ok(left_out)
}

/// The clusters of a file's content; `None` where it is better carried.
fn content(volume: &Volume<'_>, found: &Found) -> Result<Option<Vec<Range<u64>>>, UsedBlocksError> {
    let record = volume.record(found.record)?;
    if !record.is_plain_file(found.sequence) {
        return Ok(None);
    }
    let information = volume.value(&record, STANDARD_INFORMATION, "")?;
    // Of a file with several names this is an error.
    let name = volume.value(&record, FILE_NAME, "")?;
    let mut fields = [0; 0x24];
    if information.bytes().min(name.bytes()) < fields.len() as u64 {
        return Ok(None);
    }
    information.read(volume, 0, &mut fields)?;
    let attributes = u32_at(&fields, 0x20);
    name.read(volume, 0, &mut fields)?;
    let directory = u64_at(&fields, 0) & ((1 << 48) - 1);
    if attributes & HIDDEN_AND_SYSTEM != HIDDEN_AND_SYSTEM || directory != file::ROOT {
        return Ok(None);
    }
    // Of compressed and encrypted content this is an error too.
    Ok(clusters_of(&volume.value(&record, DATA, "")?))
}

/// A value in its file's record has none, and is short.
fn clusters_of(value: &Value) -> Option<Vec<Range<u64>>> {
    match value {
        Value::Resident(_) => None,
        Value::InClusters { runs, .. } => runs.clusters(),
    }
}
