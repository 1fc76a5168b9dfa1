//! Which disks there are.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mimeo_core::{
    machine::{disk_facts::DiskFacts, printable::word},
    units::SectorSize,
};

use super::device::{Access, BlockDevice, KernelDevice, OpenDeviceError};
use crate::sysfs;

/// A look at the disks of a computer. [`SysProbe`] looks at this one.
pub trait DiskProbe: Sync {
    /// Every disk, removable ones too, in the order of their kernel names.
    fn disks(&self) -> io::Result<Vec<FoundDisk>>;

    /// Opens a disk that [`DiskProbe::disks`] gave. An exclusive claim: a disk in use is refused.
    fn open(&self, disk: &FoundDisk, access: Access) -> Result<Box<dyn BlockDevice>, OpenDeviceError> {
        let DiskFacts { size_bytes, logical_sector, .. } = disk.facts;
        let device = KernelDevice::open(&disk.device, access, size_bytes, logical_sector)?;
        Ok(Box::new(device))
    }
}

/// A disk of this computer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDisk {
    /// The node under `/dev`.
    pub device: PathBuf,
    pub facts: DiskFacts,
}

impl AsRef<DiskFacts> for FoundDisk {
    fn as_ref(&self) -> &DiskFacts {
        &self.facts
    }
}

/// The disks of this computer, from `/sys/block`.
pub struct SysProbe {
    sys_block: PathBuf,
    dev: PathBuf,
}

impl Default for SysProbe {
    fn default() -> Self {
        Self::at("/sys/block", "/dev")
    }
}

impl SysProbe {
    /// A probe of other folders of the same form.
    pub fn at(sys_block: impl Into<PathBuf>, dev: impl Into<PathBuf>) -> Self {
        Self { sys_block: sys_block.into(), dev: dev.into() }
    }
}

impl DiskProbe for SysProbe {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        let mut names: Vec<String> = fs::read_dir(&self.sys_block)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names.iter().filter_map(|name| describe(&self.sys_block.join(name), name, &self.dev)).collect())
    }
}

/// Describes one entry of `/sys/block`; `None` for what is no piece of hardware (loop, RAM, device mapper, RAID:
/// they lack the `device` link), has no medium, or is only a path to another entry.
fn describe(folder: &Path, name: &str, dev: &Path) -> Option<FoundDisk> {
    let text = |path: &str| sysfs::word(&folder.join(path));
    let number = |path: &str| sysfs::number::<u64>(&folder.join(path));
    // The eMMC's boot areas and the spare paths of a multipath NVMe namespace are not disks of their own.
    let aside = name.starts_with("mmcblk") && name.contains("boot") || number("hidden") == Some(1);
    if aside || !folder.join("device").exists() {
        return None;
    }
    let sector = |path: &str| number(path).and_then(|bytes| SectorSize::new(u32::try_from(bytes).ok()?).ok());
    // The kernel counts in 512 bytes here whatever the disk's sectors are.
    let size_bytes = number("size")?.checked_mul(512).filter(|&bytes| bytes > 0)?;
    let logical_sector = sector("queue/logical_block_size")?;
    let transport = transport(folder, name);
    let optical_or_floppy = name.starts_with("sr") || name.starts_with("fd");
    let card = text("device/type").as_deref() == Some("SD");
    let facts = DiskFacts {
        kernel_name: name.to_owned(),
        model: text("device/model").or_else(|| text("device/name")),
        serial: text("serial").or_else(|| text("device/serial")).or_else(|| unit_serial(folder)),
        wwn: text("wwid").or_else(|| text("device/wwid")),
        size_bytes,
        logical_sector,
        physical_sector: sector("queue/physical_block_size").unwrap_or(logical_sector),
        removable: number("removable") == Some(1)
            || optical_or_floppy
            || card
            || transport.as_deref() == Some("usb"),
        rotational: number("queue/rotational") == Some(1),
        transport,
    };
    Some(FoundDisk { device: dev.join(name), facts })
}

/// The serial number of a SCSI or SATA disk: vital product data page 0x80 (SPC-4, 7.8.15), which the kernel
/// passes on as it is: four bytes of header, the fourth being the length, then ASCII.
fn unit_serial(folder: &Path) -> Option<String> {
    let page = fs::read(folder.join("device/vpd_pg80")).ok()?;
    let (&[_, 0x80, high, low], rest) = page.split_first_chunk()? else { return None };
    let serial = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
    word(&String::from_utf8_lossy(serial))
}

/// How the disk is attached, from the path of the bus that it hangs on.
fn transport(folder: &Path, name: &str) -> Option<String> {
    let bus = fs::canonicalize(folder.join("device")).ok()?;
    let bus = bus.to_string_lossy();
    let on = |part: &str| bus.split('/').any(|piece| piece.starts_with(part));
    // Order matters: a USB bridge shows a SCSI disk, an NVMe disk may sit behind Thunderbolt.
    let transport = if on("usb") {
        "usb"
    } else if name.starts_with("nvme") {
        "nvme"
    } else if name.starts_with("mmcblk") {
        "mmc"
    } else if on("virtio") {
        "virtio"
    } else if on("ata") {
        "sata"
    } else if on("host") {
        "scsi"
    } else {
        return None;
    };
    Some(transport.to_owned())
}

#[cfg(test)]
mod tests;
