//! FAT12, FAT16 and FAT32 as mkfs.fat makes them, filled through mtools: the kernel here may lack a driver.

use std::{fs, path::Path};

use mimeo_core::{
    disk::{ReadAt, filesystem::FileSystem},
    units::Extent,
};

use super::{
    image::{Image, age, hashes, run, run_any},
    matrix::{Case, Group, case},
    oracle,
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const CHECKER: [&str; 3] = ["fsck.fat", "-n", "-v"];

/// What fsck.fat says of an image in which it finds nothing.
pub(super) fn check_sound(name: &str, image: &Image) -> String {
    let (code, text) = run_any(CHECKER[0], &[&CHECKER[1..], &[image.str()]].concat());
    assert_eq!(code, Some(0), "{name}: fsck.fat\n{text}");
    text
}

fn check(group: &Group, case: &Case) {
    let (name, image) = (case.name, Image::of_bytes(case.bytes));
    run("mkfs.fat", &[case.mkfs, &[image.str()]].concat());
    fill(&image, case.bytes / 12);
    let map = image.map(group.kind);

    let restored = image.restored(&map);
    let text = check_sound(name, &restored);
    let expected = content(&image);
    assert!(expected.len() > 3, "{name}: {} files", expected.len());
    assert_eq!(content(&restored), expected, "{name}");
    check_count(name, &image, map.used_bytes, &text);
    if let Some(partclone) = group.partclone {
        let missing = oracle::uncovered(&map, &oracle::partclone(partclone, &image));
        // partclone copies whole "clusters" up to the end of the volume; the map ends with the last sector.
        let inside = Extent { start_bytes: 0, length_bytes: image.open().length_bytes() };
        let missing: Vec<_> =
            missing.iter().filter(|extent| extent.end_bytes() <= inside.end_bytes()).collect();
        assert!(missing.is_empty(), "{name}: used for partclone: {missing:?}");
    }
}

/// fsck.fat counts used clusters ("12 files, 345/678 clusters") and says where the data area starts.
fn check_count(name: &str, image: &Image, used_bytes: u64, fsck: &str) {
    let map =
        image.map(mimeo_core::disk::filesystem::detect(&image.open()).expect("reading").expect("a FAT"));
    let counts = fsck.lines().find_map(|line| line.split_once(" files, ")).expect("a count").1;
    let clusters: u64 = counts.split('/').next().and_then(|count| count.parse().ok()).expect("a number");
    let line = fsck.lines().find(|line| line.contains("Data area starts at byte ")).expect("a place");
    let start: u64 = line.split_whitespace().find_map(|word| word.parse().ok()).expect("a number");
    // fsck.fat does not count FAT32's root directory among the files' clusters; the tail is less than one.
    // What lies behind the volume, which mkfs.fat ends with a whole track, counts too.
    let boot = image.read(0, 64);
    let u16_at = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let sectors = match u16_at(19) {
        0 => u16_at(32) | u16_at(34) << 16,
        sectors => sectors,
    };
    let rest = image.open().length_bytes() - sectors * u16_at(11);
    let expected = start + clusters * u64::from(map.block_bytes) + rest;
    let more =
        used_bytes.checked_sub(expected).unwrap_or_else(|| panic!("{name}: {used_bytes} < {expected}"));
    assert!(more <= 2 * u64::from(map.block_bytes), "{name}: {more} bytes more than {expected}");
}

pub(super) fn fill(image: &Image, bytes: u64) {
    let tree = image.directory.path().join("tree");
    fs::create_dir(&tree).expect("a directory");
    age(&tree, bytes, 9);
    let mut directories: Vec<_> =
        fs::read_dir(&tree).expect("the tree").map(|entry| entry.expect("an entry").path()).collect();
    directories.sort();
    let copy =
        |path: &Path| run("mcopy", &["-s", "-Q", "-i", image.str(), path.to_str().expect("UTF-8"), "::/"]);
    directories.iter().for_each(|path| drop(copy(path)));
    // Every other directory goes and comes again behind the others.
    for path in directories.iter().step_by(2) {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        run("mdeltree", &["-i", image.str(), &format!("::/{name}")]);
    }
    for path in directories.iter().step_by(4) {
        copy(path);
    }
}

pub(super) fn content(image: &Image) -> std::collections::BTreeMap<std::path::PathBuf, (u64, blake3::Hash)> {
    let out = image.directory.path().join("out");
    fs::create_dir_all(&out).expect("a directory");
    run("mcopy", &["-s", "-n", "-Q", "-i", image.str(), "::/", out.to_str().expect("UTF-8")]);
    hashes(&out)
}

pub(super) const FAT12: Group = Group {
    kind: FileSystem::Fat12,
    mkfs: "mkfs.fat",
    life: "filled by mtools, half emptied, filled again",
    account: "fsck.fat -v",
    // 0.3.23 loses clusters.
    partclone: None,
    checker: &CHECKER,
    content: "every file's hash",
    cases: &[
        case("floppy", 0, &[]).of_bytes(1440 * KIB),
        case("fat12", 0, &["-F", "12", "-s", "4"]).of_bytes(7 * MIB + 512),
        case("fat12 in large clusters", 60, &["-F", "12", "-s", "64"]),
    ],
};

pub(super) const FAT16: Group = Group {
    kind: FileSystem::Fat16,
    partclone: Some("partclone.fat"),
    cases: &[
        case("fat16", 100, &["-F", "16"]),
        case("fat16, one table, large root", 40, &["-F", "16", "-f", "1", "-r", "1024", "-s", "4"]),
    ],
    ..FAT12
};

pub(super) const FAT32: Group =
    Group { kind: FileSystem::Fat32, cases: &[case("fat32", 300, &["-F", "32"])], ..FAT16 };

pub(super) const FAT32_LARGE_SECTORS: Group = Group {
    partclone: None,
    cases: &[case("fat32 of 4k sectors", 300, &["-F", "32", "-S", "4096"])],
    ..FAT32
};

#[test]
fn fat12_fat16_and_fat32() {
    FAT12.each(check);
    FAT16.each(check);
    FAT32.each(check);
    FAT32_LARGE_SECTORS.each(check);
}

#[test]
fn a_small_fat32_is_one_whatever_its_number_of_clusters() {
    // An EFI system partition as some installers make it: too few clusters for the rule, and FAT32 to Linux, EDK2
    // and fsck.fat. mtools goes by the rule and cannot fill it.
    let image = Image::of_bytes(40 * MIB);
    run("mkfs.fat", &["-F", "32", "-s", "8", image.str()]);
    let map = image.map(FileSystem::Fat32);
    let restored = image.restored(&map);
    let text = run("fsck.fat", &["-n", "-v", restored.str()]);
    check_count("small fat32", &image, map.used_bytes, &text);
}

#[test]
fn the_backup_boot_sector_and_all_tables_are_carried() {
    let image = Image::of_bytes(100 * MIB);
    run("mkfs.fat", &["-F", "32", "-s", "1", "-R", "32", "-b", "6", image.str()]);
    let map = image.map(FileSystem::Fat32);
    let fat_sectors = u64::from(u32::from_le_bytes(image.read(36, 4).try_into().expect("four bytes")));
    let wanted = Extent { start_bytes: 0, length_bytes: (32 + 2 * fat_sectors) * 512 };
    assert_eq!(oracle::uncovered(&map, &[wanted]), []);
}

#[test]
fn a_cluster_that_only_the_second_table_names_is_carried_and_a_bad_one_is_not() {
    let image = Image::of_bytes(100 * MIB);
    run("mkfs.fat", &["-F", "32", "-s", "1", "-R", "32", image.str()]);
    let fat_bytes = 512 * u64::from(u32::from_le_bytes(image.read(36, 4).try_into().expect("four bytes")));
    let clusters_start = 32 * 512 + 2 * fat_bytes;
    image.write(32 * 512 + fat_bytes + 4 * 1000, &0x0FFF_FFFF_u32.to_le_bytes());
    for table in 0..2 {
        image.write(32 * 512 + table * fat_bytes + 4 * 2000, &0x0FFF_FFF7_u32.to_le_bytes());
    }
    let map = image.map(FileSystem::Fat32);
    let cluster =
        |number: u64| Extent { start_bytes: clusters_start + (number - 2) * 512, length_bytes: 512 };
    assert_eq!(oracle::uncovered(&map, &[cluster(1000)]), []);
    assert_eq!(oracle::uncovered(&map, &[cluster(2000)]), [cluster(2000)]);
}

#[test]
fn a_volume_left_dirty_is_mapped_all_the_same() {
    let image = Image::of_bytes(100 * MIB);
    run("mkfs.fat", &["-F", "32", "-R", "32", image.str()]);
    let before = image.map(FileSystem::Fat32);
    // The bit "properly unmounted" in the second entry, and Linux' flag in the boot sector.
    image.write(32 * 512 + 7, &[0x07]);
    image.write(65, &[0x01]);
    assert_eq!(image.map(FileSystem::Fat32), before);
}
