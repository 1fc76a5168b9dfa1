//! Whether a deployed disk holds what its source held.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use mimeo_core::{
    disk::{ReadAt, Window, filesystem, layout, used_blocks},
    units::{Extent, SectorSize},
};
use thiserror::Error;

/// The first bytes of a disk, in which the partition table lies, from sector 0 to the end of a GPT's entries: on a
/// larger disk it differs, and other checks look at it.
const TABLE_BYTES: u64 = 64 << 10;

const BUFFER_BYTES: usize = 1 << 20;

#[derive(Debug, Error)]
pub enum ContentError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the layout of the source: {0}")]
    Layout(String),
    #[error("{target} differs from {source_disk} at byte {offset}, in {extent}")]
    Differs { source_disk: PathBuf, target: PathBuf, offset: u64, extent: Extent },
}

/// Every byte of a disk that a deploy has to reproduce, with the partition table's own left out: the disk's layout
/// and the file systems' own account of what is in use say so.
pub fn used_extents(disk: &dyn ReadAt, sector: SectorSize) -> Result<Vec<Extent>, ContentError> {
    let failed = |error: &dyn std::fmt::Display| ContentError::Layout(error.to_string());
    let layout = layout::read(disk, sector).map_err(|error| failed(&error))?;
    let mut used = Vec::new();
    used.extend(Extent::between(TABLE_BYTES, layout.boot_area.end_bytes()));
    used.extend(layout.gaps);
    for partition in layout.table.partitions {
        let volume = Window::new(disk, partition.place);
        let found = filesystem::detect(&volume).map_err(|error| failed(&error))?;
        match found.and_then(|found| used_blocks::map(found, &volume).ok()) {
            Some(map) => used.extend(map.extents.iter().map(|extent| Extent {
                start_bytes: partition.place.start_bytes + extent.start_bytes,
                length_bytes: extent.length_bytes,
            })),
            None => used.push(partition.place),
        }
    }
    Ok(used)
}

/// Compares two disk images bit for bit over everything that the source uses, and tells how many bytes that were.
pub fn compare(source: &Path, target: &Path, sector: SectorSize) -> Result<u64, ContentError> {
    let open = |path: &Path| File::open(path).map_err(|error| file_error(path, error));
    let (source_disk, target_disk) = (open(source)?, open(target)?);
    let used = used_extents(&source_disk, sector)?;
    for extent in &used {
        if let Some(offset) = difference((source, &source_disk), (target, &target_disk), *extent)? {
            let (source_disk, target) = (source.to_owned(), target.to_owned());
            return Err(ContentError::Differs { source_disk, target, offset, extent: *extent });
        }
    }
    Ok(used.iter().map(|extent| extent.length_bytes).sum())
}

/// The first byte of an extent that two disks do not have in common.
fn difference(
    (source_path, source): (&Path, &File),
    (target_path, target): (&Path, &File),
    extent: Extent,
) -> Result<Option<u64>, ContentError> {
    let (mut expected, mut found) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut at = extent.start_bytes;
    while at < extent.end_bytes() {
        let length = (extent.end_bytes() - at).min(BUFFER_BYTES as u64) as usize;
        let (expected, found) = (&mut expected[..length], &mut found[..length]);
        source.read_exact_at(expected, at).map_err(|error| file_error(source_path, error))?;
        target.read_exact_at(found, at).map_err(|error| file_error(target_path, error))?;
        if let Some(index) = expected.iter().zip(found.iter()).position(|(a, b)| a != b) {
            return Ok(Some(at + index as u64));
        }
        at += length as u64;
    }
    Ok(None)
}

fn file_error(path: &Path, source: io::Error) -> ContentError {
    ContentError::File { path: path.to_owned(), source }
}
