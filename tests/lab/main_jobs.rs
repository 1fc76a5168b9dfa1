//! The main jobs that whole-machine tests do, as a list: the tests take what they do from here, and so does the table
//! of what was shown to work (`docs/matrix.md`).

use std::{fs::File, io, path::Path};

use mimeo_core::{
    disk::{
        Window,
        filesystem::{self, FileSystem},
        layout,
    },
    units::SectorSize,
};

use crate::hardware::{Bus, Firmware};

/// A PC's disk becomes a master, another PC gets it, bit for bit, and starts from it.
#[derive(Debug)]
pub struct MainJob {
    /// The test is named `main_job_` and this.
    pub name: &'static str,
    /// The reference master on the first PC's disk.
    pub master: &'static str,
    /// What its partitions hold, in order of their numbers; `None` where nothing is to be recognised.
    pub volumes: &'static [Option<FileSystem>],
    /// What more there is to say about them.
    pub details: &'static str,
    pub firmware: Firmware,
    /// How the disk of the first PC, and that of the second, is connected.
    pub buses: [Bus; 2],
    /// Whether the second PC's system starts: a reference master without a system proves its files instead.
    pub starts: bool,
}

const DEBIAN: MainJob = MainJob {
    name: "bios",
    master: "debian-12",
    volumes: &[None, Some(FileSystem::Fat32), Some(FileSystem::Ext)],
    details: "GRUB's core in a partition of its own, ext4",
    firmware: Firmware::Bios,
    buses: [Bus::VirtioBlk, Bus::VirtioBlk],
    starts: true,
};

pub const BIOS: MainJob = DEBIAN;
pub const UEFI: MainJob = MainJob { name: "uefi", firmware: Firmware::Uefi, ..DEBIAN };
pub const SECURE_BOOT: MainJob =
    MainJob { name: "secure_boot", firmware: Firmware::UefiSecureBoot, ..DEBIAN };

pub const LVM: MainJob = MainJob {
    name: "lvm",
    master: "debian-12-lvm",
    volumes: &[None, Some(FileSystem::Fat32), Some(FileSystem::Ext), Some(FileSystem::Lvm)],
    details: "/boot on ext4; a volume group with an XFS root and swap",
    firmware: Firmware::UefiSecureBoot,
    ..DEBIAN
};

pub const BTRFS: MainJob = MainJob {
    name: "btrfs",
    master: "debian-12-btrfs",
    volumes: &[None, Some(FileSystem::Fat32), Some(FileSystem::Btrfs)],
    details: "subvolumes @ and @home, compressed with zstd, DUP metadata",
    ..DEBIAN
};

pub const WINDOWS_LAYOUT: MainJob = MainJob {
    name: "windows_layout",
    master: "windows-layout",
    volumes: &[Some(FileSystem::Fat32), None, Some(FileSystem::Ntfs), Some(FileSystem::Ntfs)],
    details: "ESP, MSR, Windows and recovery partition; every file's hash, without a system to start",
    firmware: Firmware::Uefi,
    buses: [Bus::Ahci, Bus::Nvme],
    starts: false,
};

pub const ALL: [&MainJob; 6] = [&BIOS, &UEFI, &SECURE_BOOT, &WINDOWS_LAYOUT, &LVM, &BTRFS];

/// What the partitions of a disk hold, in order of their numbers.
pub fn volumes(disk: &Path) -> io::Result<Vec<Option<FileSystem>>> {
    let disk = File::open(disk)?;
    let mut partitions = layout::read(&disk, SectorSize::B512).map_err(io::Error::other)?.table.partitions;
    partitions.sort_by_key(|partition| partition.number);
    partitions.iter().map(|partition| filesystem::detect(&Window::new(&disk, partition.place))).collect()
}
