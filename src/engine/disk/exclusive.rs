//! The right to read or to write a disk, as a value.

use std::{fmt, fs, io, path::Path, sync::Arc};

use mimeo_core::{
    disk::ReadAt,
    failure::FailureCause,
    machine::disk_facts::{self, DiskFacts},
    manifest::DiskGeometry,
    messages::DiskPin,
    units::{Extent, SectorSize},
};

use super::{
    device::{Access, BlockDevice, OpenDeviceError},
    probe::DiskProbe,
};

/// The disk that a capture reads: the one the server named, claimed so that nobody mounts it meanwhile, and
/// opened without the right to write.
#[derive(Clone)]
pub struct SourceDisk {
    device: Arc<dyn BlockDevice>,
    facts: DiskFacts,
}

impl SourceDisk {
    pub fn open(pin: &DiskPin, probe: &dyn DiskProbe) -> Result<Self, FailureCause> {
        let (facts, device) = open(pin, probe, Access::Read)?;
        Ok(Self { device: Arc::from(device), facts })
    }

    pub fn geometry(&self) -> DiskGeometry {
        geometry(&self.facts)
    }

    /// Reads whole sectors so that one that cannot be read takes no neighbour with it. `buffer` begins at a multiple of
    /// [`ALIGNMENT`](super::buffer::ALIGNMENT).
    pub(crate) fn read_sectors_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.device.read_sectors_at(buffer, offset_bytes).map_err(|error| self.named(error))
    }

    fn named(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), OfDevice { device: self.facts.kernel_name.clone(), error })
    }
}

/// An error with the name of the device that gave it.
#[derive(Debug, thiserror::Error)]
#[error("{device}: {error}")]
struct OfDevice {
    device: String,
    error: io::Error,
}

/// Whether a sector is at fault and not the disk as a whole or the way to it: how the kernel passes on what a disk says of
/// its medium (Linux, block/blk-core.c, `blk_errors`: I/O, critical medium, protection, critical target).
pub(crate) fn is_medium_error(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<OfDevice>());
    let number = inner.map_or(error, |inner| &inner.error).raw_os_error();
    matches!(number, Some(libc::EIO | libc::ENODATA | libc::EILSEQ | libc::EREMOTEIO))
}

impl ReadAt for SourceDisk {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.device.read_exact_at(buffer, offset_bytes).map_err(|error| self.named(error))
    }

    fn length_bytes(&self) -> u64 {
        self.facts.size_bytes
    }
}

/// The proof that this is the disk which the server named, and that nobody else uses it. Whatever writes to a
/// disk demands one, mutably.
pub struct ExclusiveDisk {
    device: Arc<dyn BlockDevice>,
    facts: DiskFacts,
}

impl ExclusiveDisk {
    pub fn open(pin: &DiskPin, probe: &dyn DiskProbe) -> Result<Self, FailureCause> {
        let (facts, device) = open(pin, probe, Access::Write)?;
        Ok(Self { device: Arc::from(device), facts })
    }

    pub fn facts(&self) -> &DiskFacts {
        &self.facts
    }

    pub fn size_bytes(&self) -> u64 {
        self.facts.size_bytes
    }

    pub fn logical_sector(&self) -> SectorSize {
        self.facts.logical_sector
    }

    /// A way to read the disk while another thread writes elsewhere on it.
    pub fn reader(&self) -> SourceDisk {
        SourceDisk { device: Arc::clone(&self.device), facts: self.facts.clone() }
    }

    /// Hands bytes to the disk; they are durable only after [`ExclusiveDisk::sync`].
    pub fn write_all_at(&mut self, bytes: &[u8], offset_bytes: u64) -> Result<(), FailureCause> {
        let end = offset_bytes.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.facts.size_bytes) {
            let detail = format!(
                "{self}: {} bytes would end behind the disk's {}",
                bytes.len(),
                self.facts.size_bytes
            );
            return Err(FailureCause::WriteFailed { offset_bytes, detail });
        }
        self.device
            .write_all_at(bytes, offset_bytes)
            .map_err(|error| FailureCause::WriteFailed { offset_bytes, detail: format!("{self}: {error}") })
    }

    /// Returns once everything written survives a power cut; later reads come from the disk, not from memory.
    pub fn sync(&mut self) -> Result<(), FailureCause> {
        self.device.sync().map_err(|error| FailureCause::WriteFailed {
            offset_bytes: 0,
            detail: format!("{self}: flushing the write cache: {error}"),
        })
    }

    /// Tells the disk that the content of `extent` may go. False where it has no such command or fails it: the discard
    /// is a favour to the disk, and what it leaves behind is never relied upon.
    pub fn discard(&mut self, extent: Extent) -> bool {
        self.device.discard(extent).unwrap_or_else(|error| {
            tracing::warn!(disk = %self, %error, "the disk failed a discard");
            false
        })
    }

    /// Has the kernel read the new partition table, as far as it likes: nothing here depends on it, and the
    /// computer restarts soon.
    pub fn reread_table(&mut self) {
        if let Err(error) = self.device.reread_table() {
            tracing::info!(disk = %self, %error, "the kernel keeps its old view of the partition table");
        }
    }
}

impl fmt::Display for ExclusiveDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.facts.kernel_name)
    }
}

fn geometry(facts: &DiskFacts) -> DiskGeometry {
    DiskGeometry {
        size_bytes: facts.size_bytes,
        logical_sector: facts.logical_sector,
        physical_sector: facts.physical_sector,
    }
}

fn open(
    pin: &DiskPin,
    probe: &dyn DiskProbe,
    access: Access,
) -> Result<(DiskFacts, Box<dyn BlockDevice>), FailureCause> {
    let list = || {
        probe.disks().map_err(|error| FailureCause::Internal { detail: format!("listing disks: {error}") })
    };
    let disks = list()?;
    let disk = disk_facts::find(pin, &disks)?;
    match probe.open(disk, access) {
        // A name may have passed to another disk between the look and the opening; an open disk keeps its name.
        Ok(device) => match disk_facts::find(pin, &list()?)? {
            still if still.facts.kernel_name == disk.facts.kernel_name => Ok((disk.facts.clone(), device)),
            _ => Err(FailureCause::DiskMissing { wanted: pin.clone() }),
        },
        Err(OpenDeviceError::Busy) => {
            Err(FailureCause::DiskBusy { holder: holder_of(&disk.facts.kernel_name) })
        }
        // The disk that was chosen is not there any more: another took its name.
        Err(OpenDeviceError::LengthChanged { .. } | OpenDeviceError::SectorChanged { .. }) => {
            Err(FailureCause::DiskMissing { wanted: pin.clone() })
        }
        Err(OpenDeviceError::Io(error)) => {
            let detail = format!("opening {}: {error}", disk.device.display());
            Err(match access {
                Access::Read => FailureCause::ReadFailed { offset_bytes: 0, detail },
                Access::Write => FailureCause::WriteFailed { offset_bytes: 0, detail },
            })
        }
    }
}

/// Whether a line begins with this device or one of its partitions, and not with another whose name is longer
/// (`sda` and `sdaa`, `nvme0n1` and `nvme0n10`).
pub(super) fn is_device_or_partition(line: &str, device: &str) -> bool {
    let Some(rest) = line.split_whitespace().next().and_then(|word| word.strip_prefix(device)) else {
        return false;
    };
    let number = if device.ends_with(|last: char| last.is_ascii_digit()) {
        rest.strip_prefix('p')
    } else {
        Some(rest)
    };
    rest.is_empty() || number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Says who uses a disk or one of its partitions, as well as the kernel tells.
fn holder_of(kernel_name: &str) -> String {
    for (list, what) in [("/proc/mounts", "mounted"), ("/proc/swaps", "swap")] {
        let device = format!("/dev/{kernel_name}");
        let lines = fs::read_to_string(list).unwrap_or_default();
        if let Some(line) = lines.lines().find(|line| is_device_or_partition(line, &device)) {
            let mut words = line.split_whitespace();
            let used = words.next().unwrap_or_default();
            return match what {
                "mounted" => format!("{used} is mounted on {}", words.next().unwrap_or_default()),
                _ => format!("{used} is used as swap"),
            };
        }
    }
    let folder = Path::new("/sys/block").join(kernel_name);
    let partitions = fs::read_dir(&folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let holders = std::iter::once(folder.clone())
        .chain(partitions)
        .flat_map(|folder| fs::read_dir(folder.join("holders")).into_iter().flatten())
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    match holders.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => "another program".to_owned(),
        names => names,
    }
}

#[cfg(test)]
mod tests {
    use super::is_device_or_partition;

    #[test]
    fn a_holder_is_looked_for_on_this_disk_and_no_other() {
        for line in ["/dev/sda / ext4", "/dev/sda2 /boot ext4", "/dev/sda"] {
            assert!(is_device_or_partition(line, "/dev/sda"), "{line}");
        }
        for line in ["/dev/sdaa /", "/dev/sdab1 /", "/dev/sdb1 /", "", "tmpfs /dev/sda"] {
            assert!(!is_device_or_partition(line, "/dev/sda"), "{line}");
        }
        assert!(is_device_or_partition("/dev/nvme0n1p3 /", "/dev/nvme0n1"));
        assert!(!is_device_or_partition("/dev/nvme0n10 /", "/dev/nvme0n1"));
        assert!(!is_device_or_partition("/dev/nvme0n10p1 /", "/dev/nvme0n1"));
    }
}
