//! Which disks there are, and which of them a plan means.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mimeo_core::{
    failure::FailureCause, machine::printable::printable, messages::DiskPin, units::SectorSize,
};

use super::device::{Access, BlockDevice, KernelDevice, OpenDeviceError};

/// A look at the disks of a computer. [`SysProbe`] looks at this one.
pub trait DiskProbe: Sync {
    /// Every disk, removable ones too, in the order of their kernel names.
    fn disks(&self) -> io::Result<Vec<FoundDisk>>;

    /// Opens a disk that [`DiskProbe::disks`] gave. An exclusive claim: a disk in use is refused.
    fn open(&self, disk: &FoundDisk, access: Access) -> Result<Box<dyn BlockDevice>, OpenDeviceError> {
        let device = KernelDevice::open(&disk.device, access, disk.size_bytes, disk.logical_sector)?;
        Ok(Box::new(device))
    }
}

/// A disk as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDisk {
    /// For people and logs, never for choosing.
    pub kernel_name: String,
    /// The node under `/dev`.
    pub device: PathBuf,
    pub model: Option<String>,
    pub serial: Option<String>,
    pub wwn: Option<String>,
    pub size_bytes: u64,
    pub logical_sector: SectorSize,
    pub physical_sector: SectorSize,
    /// Anything a person can pull out: USB whatever the device says of itself, SD cards, optical drives.
    pub removable: bool,
    /// `nvme`, `sata`, `usb`, `virtio`, `mmc`, `scsi`.
    pub transport: Option<String>,
    pub rotational: bool,
}

impl FoundDisk {
    /// Whether the disk agrees with every fact that the pin gives.
    pub fn agrees_with(&self, pin: &DiskPin) -> bool {
        let agrees = |wanted: &Option<String>, actual: &Option<String>| {
            wanted.as_deref().is_none_or(|wanted| actual.as_deref().map(str::trim) == Some(wanted.trim()))
        };
        self.size_bytes == pin.size_bytes
            && self.logical_sector == pin.logical_sector
            && agrees(&pin.serial, &self.serial)
            && agrees(&pin.wwn, &self.wwn)
            && agrees(&pin.model, &self.model)
    }
}

/// The one disk that the pin means. Removable disks are not even looked at.
pub fn find<'a>(pin: &DiskPin, disks: &'a [FoundDisk]) -> Result<&'a FoundDisk, FailureCause> {
    let candidates: Vec<_> = disks.iter().filter(|disk| !disk.removable && disk.agrees_with(pin)).collect();
    match candidates.as_slice() {
        [disk] => Ok(disk),
        [] => Err(FailureCause::DiskMissing { wanted: pin.clone() }),
        several => Err(FailureCause::DiskAmbiguous {
            wanted: pin.clone(),
            found: u32::try_from(several.len()).unwrap_or(u32::MAX),
        }),
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
    let number = |path: &str| text(folder, path)?.parse::<u64>().ok();
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
    let card = text(folder, "device/type").as_deref() == Some("SD");
    Some(FoundDisk {
        kernel_name: name.to_owned(),
        device: dev.join(name),
        model: text(folder, "device/model").or_else(|| text(folder, "device/name")),
        serial: text(folder, "serial")
            .or_else(|| text(folder, "device/serial"))
            .or_else(|| unit_serial(folder)),
        wwn: text(folder, "wwid").or_else(|| text(folder, "device/wwid")),
        size_bytes,
        logical_sector,
        physical_sector: sector("queue/physical_block_size").unwrap_or(logical_sector),
        removable: number("removable") == Some(1)
            || optical_or_floppy
            || card
            || transport.as_deref() == Some("usb"),
        rotational: number("queue/rotational") == Some(1),
        transport,
    })
}

/// One file of a sysfs folder, trimmed; `None` where it is absent or empty.
fn text(folder: &Path, path: &str) -> Option<String> {
    let text = fs::read(folder.join(path)).ok()?;
    let text = String::from_utf8_lossy(&text);
    harmless(&text)
}

/// The text as the server keeps it, by which a plan pins the disk; `None` where nothing is left of it.
fn harmless(text: &str) -> Option<String> {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| printable(text))
}

/// The serial number of a SCSI or SATA disk: vital product data page 0x80 (SPC-4, 7.8.15), which the kernel
/// passes on as it is: four bytes of header, the fourth being the length, then ASCII.
fn unit_serial(folder: &Path) -> Option<String> {
    let page = fs::read(folder.join("device/vpd_pg80")).ok()?;
    let (&[_, 0x80, high, low], rest) = page.split_first_chunk()? else { return None };
    let serial = rest.get(..usize::from(u16::from_be_bytes([high, low])))?;
    let serial = String::from_utf8_lossy(serial);
    harmless(&serial)
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
