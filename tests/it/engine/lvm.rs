//! Volume groups of LVM on their way from one disk to another.

use std::{fs, os::unix::fs::FileExt, path::Path};

use mimeo_core::{
    disk::filesystem::FileSystem,
    failure::{FailureCause, UncleanReason},
    manifest::{
        Content, RegionKind,
        warning::{Opaque, Warning},
    },
    messages::Phase,
    units::{MIB, SectorSize},
};

use super::{
    lab::{
        assert_equal_content, capture, create, deploy, ext4, failure, folder, noise, place, run, succeeded,
        swap, text, used_extents,
    },
    memory_disk::MemoryDisk,
    memory_server::MemoryServer,
};
use crate::disk::lvm_tools::{self, Piece, Tools};

/// What a target held before.
const OLD: u8 = 0xA5;

/// A physical volume of `megabytes` at `start` of `disk`, in which volumes hold an ext4, swap and noise.
fn fill(disk: &Path, start: u64, megabytes: u64, folder: &Path) -> Vec<Piece> {
    let pieces = {
        let tools = Tools::on(&[(disk, start, megabytes * MIB)]);
        tools.run("pvcreate", &["-ff", "-y", tools.device(0)]);
        tools.run("vgcreate", &["-s", "1m", "debian", tools.device(0)]);
        for (volume, megabytes) in [("root", 12), ("swap_1", 8), ("data", 2), ("gone", 3)] {
            tools.create("debian", volume, megabytes, &[]);
        }
        tools.run("lvextend", &["-L", "+8m", "debian/root"]);
        tools.run("lvremove", &["-y", "debian/gone"]);
        tools.pieces("debian")
    };
    let file = fs::File::options().read(true).write(true).open(disk).unwrap();
    for (volume, image) in [("root", ext4(folder, 20 * MIB, 6_000_000)), ("swap_1", swap(folder, 8 * MIB))] {
        lvm_tools::write(&[(&file, start)], &pieces, volume, &fs::read(image).unwrap());
    }
    lvm_tools::write(&[(&file, start)], &pieces, "data", &noise(7, 2 * MIB as usize));
    pieces
}

/// Captures a disk and deploys it to another, and checks what arrived of the group at `start`.
fn check(source: &[u8], pieces: &[Piece], start: u64, folder: &Path) {
    let used = used_extents(&source, SectorSize::B512);
    let server = MemoryServer::new();
    let outcome = capture(&server, &MemoryDisk::new(source.to_vec()));
    succeeded(&outcome);
    assert!(outcome.progress.read_bytes < 16 * MIB, "{outcome:?}");
    let manifest = server.manifest_of_version();
    let mapped = manifest.regions.iter().filter_map(|region| match (&region.kind, &region.content) {
        (RegionKind::Partition(_), Content::Mapped { filesystem, used_bytes, .. }) => {
            Some((*filesystem, *used_bytes))
        }
        _ => None,
    });
    let mapped: Vec<_> = mapped.collect();
    assert!(matches!(mapped[..], [(FileSystem::Lvm, used)] if used < 14 * MIB), "{mapped:?}");

    let target = MemoryDisk::new(vec![OLD; source.len()]);
    succeeded(&deploy(&server, &target));
    let bytes = target.content();
    assert_equal_content(source, &bytes, &used);
    let (disk, root) = (folder.join("deployed.img"), folder.join("root.img"));
    fs::write(&disk, &bytes).unwrap();
    let file = fs::File::open(&disk).unwrap();
    let read = |volume| lvm_tools::read(&[(&file, start)], pieces, volume);
    fs::write(&root, read("root")).unwrap();
    run("e2fsck", &["-fn", &text(&root)]);
    assert!(read("data") == noise(7, 2 * MIB as usize));
    let swap_area = read("swap_1");
    assert_eq!(swap_area[4086..4096], *b"SWAPSPACE2");
    assert!(swap_area[1 << 20..].iter().all(|&byte| byte != 0x5A), "pages of a system that no longer runs");

    let tools = Tools::on(&[(&disk, start, source.len() as u64 - start - if start > 0 { MIB } else { 0 })]);
    tools.run("vgck", &["debian"]);
    assert_eq!(tools.pieces("debian"), pieces);
}

#[test]
fn a_group_in_a_partition_arrives_with_what_its_volumes_use() {
    let folder = folder();
    let image = folder.path().join("source.img");
    create(&image, 48 * MIB);
    run("sgdisk", &["-n1:2048:+46M", "-t1:8e00", &text(&image)]);
    let pieces = fill(&image, MIB, 46, folder.path());
    check(&fs::read(&image).unwrap(), &pieces, MIB, folder.path());
}

#[test]
fn a_group_that_fills_a_disk_without_a_table_arrives_too() {
    let folder = folder();
    let image = folder.path().join("source.img");
    create(&image, 48 * MIB);
    let pieces = fill(&image, 0, 48, folder.path());
    check(&fs::read(&image).unwrap(), &pieces, 0, folder.path());
}

/// A disk with physical volumes of one group in both of its partitions, of which `kept` stay.
fn two_partitions(folder: &Path, kept: &[u64]) -> (Vec<u8>, Vec<Piece>) {
    let (image, root) = (folder.join("source.img"), folder.join("ext4.img"));
    create(&image, 64 * MIB);
    run("sgdisk", &["-n1:2048:+30M", "-n2:0:+30M", &text(&image)]);
    let places = [(&*image, MIB, 30 * MIB), (&*image, 31 * MIB, 30 * MIB)];
    let pieces = {
        let tools = Tools::on(&places);
        tools.run("pvcreate", &["-ff", "-y", tools.device(0)]);
        tools.run("pvcreate", &["-ff", "-y", "--pvmetadatacopies", "0", tools.device(1)]);
        tools.run("vgcreate", &["-s", "1m", "debian", tools.device(0), tools.device(1)]);
        tools.create("debian", "root", 20, &[]);
        tools.create("debian", "across", 8, &["-i", "2"]);
        tools.pieces("debian")
    };
    let file = fs::File::options().read(true).write(true).open(&image).unwrap();
    let files = [(&file, MIB), (&file, 31 * MIB)];
    lvm_tools::write(&files, &pieces, "root", &fs::read(ext4(folder, 20 * MIB, 6_000_000)).unwrap());
    lvm_tools::write(&files, &pieces, "across", &noise(8, 8 * MIB as usize));
    fs::remove_file(root).unwrap();
    for number in [1, 2].into_iter().filter(|number| !kept.contains(number)) {
        run("sgdisk", &[&format!("-d{number}"), &text(&image)]);
    }
    (fs::read(&image).unwrap(), pieces)
}

#[test]
fn a_group_in_two_partitions_of_one_disk_arrives_whole() {
    let folder = folder();
    let (source, pieces) = two_partitions(folder.path(), &[1, 2]);
    let server = MemoryServer::new();
    let outcome = capture(&server, &MemoryDisk::new(source.clone()));
    succeeded(&outcome);
    assert!(outcome.progress.read_bytes < 24 * MIB, "{outcome:?}");
    let target = MemoryDisk::new(vec![OLD; source.len()]);
    succeeded(&deploy(&server, &target));
    let disk = folder.path().join("deployed.img");
    fs::write(&disk, target.content()).unwrap();
    let file = fs::File::open(&disk).unwrap();
    let files = [(&file, MIB), (&file, 31 * MIB)];
    assert!(lvm_tools::read(&files, &pieces, "across") == noise(8, 8 * MIB as usize));
    let root = folder.path().join("root.img");
    fs::write(&root, lvm_tools::read(&files, &pieces, "root")).unwrap();
    run("e2fsck", &["-fn", &text(&root)]);
    let tools = Tools::on(&[(&disk, MIB, 30 * MIB), (&disk, 31 * MIB, 30 * MIB)]);
    tools.run("vgck", &["debian"]);
    assert_eq!(tools.pieces("debian"), pieces);
}

#[test]
fn a_group_of_which_the_disk_has_only_a_part_is_refused_with_that_cause() {
    for (kept, volume) in [(1, Some("debian".to_owned())), (2, None)] {
        let folder = folder();
        let (source, _) = two_partitions(folder.path(), &[kept.into()]);
        let refused = failure(capture(&MemoryServer::new(), &MemoryDisk::new(source)));
        let cause =
            FailureCause::SourceOnSeveralDevices { partition: kept, filesystem: FileSystem::Lvm, volume };
        assert_eq!(refused, (Phase::Prepare, cause));
    }
}

#[test]
fn an_encrypted_volume_in_a_group_is_warned_of_by_its_name() {
    let folder = folder();
    let image = folder.path().join("source.img");
    create(&image, 48 * MIB);
    let disk = {
        let pieces = fill(&image, 0, 48, folder.path());
        let data = pieces.iter().find(|piece| piece.volume == "data").unwrap().place as usize;
        let mut disk = fs::read(&image).unwrap();
        disk[data..data + 6].copy_from_slice(b"LUKS\xBA\xBE");
        disk
    };
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(disk.clone())));
    let volume = Some(String::from("debian/data").try_into().unwrap());
    let expected = [Warning { what: Opaque::Luks, partition: 0, volume }];
    assert_eq!(server.manifest_of_version().warnings(), expected);
    let target = MemoryDisk::new(vec![OLD; disk.len()]);
    succeeded(&deploy(&server, &target));
    assert_equal_content(&disk, &target.content(), &used_extents(&&disk[..], SectorSize::B512));
}

#[test]
fn what_lies_behind_a_file_system_is_carried_in_a_partition_too() {
    let folder = folder();
    let image = folder.path().join("source.img");
    let disk = create(&image, 48 * MIB);
    run("sgdisk", &["-n1:2048:+40M", &text(&image)]);
    place(&disk, MIB, &ext4(folder.path(), 20 * MIB, 6_000_000));
    let behind = noise(11, MIB as usize);
    disk.write_all_at(&behind, 37 * MIB).unwrap();
    let source = fs::read(&image).unwrap();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
    let target = MemoryDisk::new(vec![OLD; source.len()]);
    succeeded(&deploy(&server, &target));
    assert!(target.content()[21 << 20..41 << 20] == source[21 << 20..41 << 20]);
    assert_equal_content(&source, &target.content(), &used_extents(&&source[..], SectorSize::B512));
}

#[test]
fn a_volume_in_which_a_system_sleeps_is_refused_by_its_name() {
    let folder = folder();
    let image = folder.path().join("source.img");
    create(&image, 48 * MIB);
    let disk = {
        let pieces = fill(&image, 0, 48, folder.path());
        let sleeping = pieces.iter().find(|piece| piece.volume == "swap_1").unwrap().place as usize;
        let mut disk = fs::read(&image).unwrap();
        disk[sleeping + 4086..sleeping + 4096].copy_from_slice(b"S1SUSPEND\0");
        disk
    };
    let refused = failure(capture(&MemoryServer::new(), &MemoryDisk::new(disk)));
    let cause = FailureCause::SourceUnclean {
        partition: 0,
        filesystem: FileSystem::Swap,
        volume: Some("debian/swap_1".into()),
        reason: UncleanReason::Hibernated,
    };
    assert_eq!(refused, (Phase::Prepare, cause));
}

#[test]
fn a_description_that_was_damaged_is_refused() {
    let folder = folder();
    let image = folder.path().join("source.img");
    let disk = create(&image, 48 * MIB);
    fill(&image, 0, 48, folder.path());
    let damage = folder.path().join("damage");
    fs::write(&damage, [0; 16]).unwrap();
    place(&disk, 4096 + 8, &damage);
    let refused = failure(capture(&MemoryServer::new(), &MemoryDisk::new(fs::read(&image).unwrap())));
    let (phase, cause) = refused;
    assert!(
        matches!(&cause, FailureCause::SourceDamaged { filesystem: FileSystem::Lvm, volume: None, .. }),
        "{phase:?} {cause:?}"
    );
}
