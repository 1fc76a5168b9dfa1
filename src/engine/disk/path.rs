//! A disk that a person named by its path: an image file, a loop device, a disk of this machine.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileTypeExt,
    path::Path,
};

use mimeo_core::{disk::ReadAt, machine::disk_facts::DiskFacts, units::SectorSize};

use super::{
    exclusive::is_device_or_partition,
    ioctl,
    probe::{DiskProbe, FoundDisk},
};
use crate::sysfs;

/// The disk behind one path. Whoever types a path means what is there, so no serial number is asked for; what is opened
/// must still have the length and the sectors that were seen here.
pub struct PathDisk(FoundDisk);

impl PathDisk {
    /// Looks at `path`. A device says what sectors it has; a file has none, so `file_sector` is taken for it.
    ///
    /// Fails where nothing is there, or neither a file nor a block device, or a file that is mounted through a loop
    /// device: the kernel refuses that for devices, and lets everybody open a file.
    pub fn look(path: &Path, file_sector: SectorSize) -> io::Result<Self> {
        let device = fs::canonicalize(path)?;
        let file = File::open(&device)?;
        let kind = file.metadata()?.file_type();
        let (logical_sector, physical_sector) = if kind.is_block_device() {
            sectors(&file, &device)?
        } else if kind.is_file() {
            (file_sector, file_sector)
        } else {
            return Err(unfit("neither a file nor a block device".into()));
        };
        let size_bytes = file.length_bytes();
        if size_bytes == 0 || !size_bytes.is_multiple_of(logical_sector.bytes()) {
            let sector = logical_sector.bytes();
            return Err(unfit(format!("{size_bytes} bytes are no whole sectors of {sector} bytes")));
        }
        if let Some(loop_device) = mounted_loop(&device) {
            return Err(unfit(format!("it is mounted through {loop_device}: unmount it first")));
        }
        let facts = DiskFacts {
            kernel_name: name(&device),
            model: None,
            serial: None,
            wwn: None,
            size_bytes,
            logical_sector,
            physical_sector,
            removable: false,
            transport: None,
            rotational: kind.is_block_device() && is_rotational(&device),
        };
        Ok(Self(FoundDisk { device, facts }))
    }

    pub fn facts(&self) -> &DiskFacts {
        &self.0.facts
    }
}

impl DiskProbe for PathDisk {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        Ok(vec![self.0.clone()])
    }
}

fn sectors(device: &File, path: &Path) -> io::Result<(SectorSize, SectorSize)> {
    let logical = SectorSize::new(ioctl::logical_sector_bytes(device)?).map_err(io::Error::other)?;
    let queue = Path::new("/sys/class/block").join(name(path)).join("queue/physical_block_size");
    let physical = sysfs::number::<u32>(&queue).and_then(|bytes| SectorSize::new(bytes).ok());
    Ok((logical, physical.unwrap_or(logical)))
}

/// A file may lie on anything, and the page cache before it.
fn is_rotational(device: &Path) -> bool {
    let folder = Path::new("/sys/class/block").join(name(device));
    // A partition is shown inside its disk.
    let flags =
        ["queue/rotational", "../queue/rotational"].map(|flag| sysfs::number::<u32>(&folder.join(flag)));
    flags.into_iter().flatten().next() == Some(1)
}

fn unfit(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, reason)
}

/// The loop device through which a file, or a partition in it, is mounted.
fn mounted_loop(file: &Path) -> Option<String> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let devices =
        fs::read_dir("/sys/block").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    devices
        .filter(|device| device.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"loop")))
        .find_map(|device| {
            let behind = fs::read_to_string(device.join("loop/backing_file")).ok()?;
            let node = format!("/dev/{}", name(&device));
            let is_mounted = mounts.lines().any(|line| is_device_or_partition(line, &node));
            (Path::new(behind.trim_end()) == file && is_mounted).then_some(node)
        })
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use mimeo_core::units::SectorSize;

    use super::PathDisk;
    use crate::disk::probe::DiskProbe;

    #[test]
    fn a_file_is_a_disk_of_its_length_and_a_folder_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let image = folder.path().join("disk.img");
        fs::write(&image, [0; 4096]).expect("an image");
        let odd = folder.path().join("odd.img");
        fs::write(&odd, [0; 1000]).expect("an image");
        let disk = PathDisk::look(&image, SectorSize::B4096).expect("a file");
        assert_eq!((disk.facts().size_bytes, disk.facts().logical_sector), (4096, SectorSize::B4096));
        assert_eq!(disk.disks().expect("one").len(), 1);
        for path in [&odd, folder.path(), Path::new("/dev/null"), &folder.path().join("absent")] {
            assert!(PathDisk::look(path, SectorSize::B512).is_err(), "{}", path.display());
        }
    }
}
