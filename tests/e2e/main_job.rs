//! The main job: a PC's disk becomes a master, another PC gets it, bit for bit, and boots from it.

use std::{fs, path::Path, process::Command};

use mimeo_lab::{
    classroom::{ALONE, Classroom},
    hardware::{Bus, Disk, Firmware},
    images, process,
};

use crate::support::{
    DEBIAN, Outcome, QUICKEST, WINDOWS, capture, deploy, first_disk, holds_the_master, own_disk_boots, pc,
    source, target,
};

fn main_job(label: &str, firmware: Firmware) -> Outcome {
    let classroom = Classroom::open(label, ALONE)?;
    let mut source = source(&classroom, DEBIAN, firmware)?;
    capture(&classroom, &mut source, DEBIAN)?;
    source.cut_power();
    let mut target = target(&classroom, "target", 2, firmware)?;
    deploy(&classroom, &mut target, DEBIAN)?;
    holds_the_master(&target, DEBIAN)?;
    target.resume()?;
    own_disk_boots(&mut target)
}

#[test]
fn main_job_bios() -> Outcome {
    main_job("bios", Firmware::Bios)
}

#[test]
fn main_job_uefi() -> Outcome {
    main_job("uefi", Firmware::Uefi)
}

#[test]
fn main_job_secure_boot() -> Outcome {
    main_job("sb", Firmware::UefiSecureBoot)
}

/// ESP, MSR, NTFS and recovery partition, from a SATA disk to an NVMe disk.
#[test]
fn main_job_windows_layout() -> Outcome {
    let classroom = Classroom::open("windows", ALONE)?;
    let image = classroom.master_disk("source.raw", WINDOWS)?;
    let disk = Disk { bus: Bus::Ahci, ..Disk::new(&image, "SATA-DISK") };
    let mut source = pc(&classroom, "source", 1, QUICKEST, vec![disk])?;
    capture(&classroom, &mut source, WINDOWS)?;
    source.cut_power();

    let image = classroom.blank_disk("target.raw", 2 << 30)?;
    let disk = Disk { bus: Bus::Nvme, ..Disk::new(&image, "NVME-DISK") };
    let mut target = pc(&classroom, "target", 2, Firmware::Uefi, vec![disk])?;
    deploy(&classroom, &mut target, WINDOWS)?;
    holds_the_master(&target, WINDOWS)?;
    target.cut_power();
    let listing = fs::read_to_string(images::master(WINDOWS)?.with_extension("files"))?;
    assert!(listing.lines().count() > 4000, "the listing of the master is too short to prove anything");
    assert!(windows_tree(first_disk(&target), classroom.folder())? == listing, "the tree differs");
    Ok(())
}

/// Lists the tree of the Windows volume of a disk (its third partition) as the recipe of the master does, with ntfs-3g.
/// Everything that it mounts and attaches goes away with its namespaces.
fn windows_tree(disk: &Path, folder: &Path) -> Result<String, process::ProcessError> {
    const LIST: &str = "
        set -- \"$@\" $(partx --noheadings --output START,SECTORS --nr 3 \"$1\")
        place=\"--offset $(($4 * 512)) --sizelimit $(($5 * 512))\"
        volume=$(losetup --find --show --read-only $place \"$1\")
        trap 'losetup --detach $volume' EXIT
        mkdir \"$2/mount\"
        ntfs-3g -o ro,streams_interface=xattr,compression $volume \"$2/mount\"
        \"$3\" list \"$2/mount\"
        umount \"$2/mount\"";
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/../masters/windows-layout/tree.py");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", LIST, "sh"]);
    process::run(command.arg(disk).arg(folder).arg(recipe))
}
