//! The main job: a PC's disk becomes a master, another PC gets it, bit for bit, and boots from it.

use std::{fs, path::Path, process::Command};

use mimeo_lab::{
    classroom::{ALONE, Classroom},
    hardware::Disk,
    images,
    main_jobs::{self, MainJob},
    process,
};

use crate::support::{
    Outcome, QUICKEST, TARGET_BYTES, capture, deploy, first_disk, holds_the_master, own_disk_boots, pc,
};

fn main_job(job: &MainJob) -> Outcome {
    let held = main_jobs::volumes(&images::master(job.master)?)?;
    assert_eq!(held, job.volumes, "{} is not what is said of it", job.master);
    let classroom = Classroom::open(job.name, ALONE)?;
    let image = classroom.master_disk("source.raw", job.master)?;
    let disk = Disk { bus: job.buses[0], ..Disk::new(&image, "SOURCE-DISK") };
    // What starts no system does not care about the firmware that it is captured under.
    let firmware = if job.starts { job.firmware } else { QUICKEST };
    let mut source = pc(&classroom, "source", 1, firmware, vec![disk])?;
    capture(&classroom, &mut source, job.master)?;
    source.cut_power();

    let image = classroom.blank_disk("target.raw", TARGET_BYTES)?;
    let disk = Disk { bus: job.buses[1], ..Disk::new(&image, "TARGET-DISK") };
    let mut target = pc(&classroom, "target", 2, job.firmware, vec![disk])?;
    deploy(&classroom, &mut target, job.master)?;
    holds_the_master(&target, job.master)?;
    if job.starts {
        target.resume()?;
        return own_disk_boots(&mut target);
    }
    target.cut_power();
    let listing = fs::read_to_string(images::master(job.master)?.with_extension("files"))?;
    assert!(listing.lines().count() > 4000, "the listing of the master is too short to prove anything");
    assert!(windows_tree(first_disk(&target), classroom.folder())? == listing, "the tree differs");
    Ok(())
}

#[test]
fn main_job_bios() -> Outcome {
    main_job(&main_jobs::BIOS)
}

#[test]
fn main_job_uefi() -> Outcome {
    main_job(&main_jobs::UEFI)
}

#[test]
fn main_job_secure_boot() -> Outcome {
    main_job(&main_jobs::SECURE_BOOT)
}

/// From a SATA disk to an NVMe disk.
#[test]
fn main_job_windows_layout() -> Outcome {
    main_job(&main_jobs::WINDOWS_LAYOUT)
}

#[test]
fn main_job_lvm() -> Outcome {
    main_job(&main_jobs::LVM)
}

#[test]
fn main_job_btrfs() -> Outcome {
    main_job(&main_jobs::BTRFS)
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
