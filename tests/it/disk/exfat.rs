//! exFAT as mkfs.exfat makes it, filled and aged through exfat-fuse: the kernel here may lack a driver.

use std::{collections::BTreeMap, fs, path::PathBuf};

use mimeo_core::{
    disk::{
        ReadAt,
        filesystem::FileSystem,
        used_blocks::{self, UsedBlocksError},
    },
    failure::UncleanReason,
    units::Extent,
};

use super::{
    image::{Image, age, hashes, run, run_any},
    matrix::{Case, Group, case},
    oracle,
};

const MIB: u64 = 1 << 20;

pub(super) fn mkfs(bytes: u64, arguments: &[&str]) -> Image {
    let image = Image::of_bytes(bytes);
    run("mkfs.exfat", &[arguments, &[image.str()]].concat());
    image
}

pub(super) fn content(image: &Image) -> BTreeMap<PathBuf, (u64, blake3::Hash)> {
    hashes(&image.mount_as("exfat-fuse", "ro").at)
}

/// Numbers of the boot sector, read for the tests alone.
struct Geometry {
    fat_at: u64,
    heap_at: u64,
    cluster_bytes: u64,
    clusters: u64,
}

fn geometry(image: &Image) -> Geometry {
    let field = |at| u64::from(u32::from_le_bytes(image.read(at, 4).try_into().expect("four bytes")));
    let shifts = image.read(108, 2);
    let sector_bytes = 1 << shifts[0];
    Geometry {
        fat_at: field(80) * sector_bytes,
        heap_at: field(88) * sector_bytes,
        cluster_bytes: sector_bytes << shifts[1],
        clusters: field(92),
    }
}

impl Geometry {
    fn cluster(&self, number: u64) -> Extent {
        let start_bytes = self.heap_at + (number - 2) * self.cluster_bytes;
        Extent { start_bytes, length_bytes: self.cluster_bytes }
    }

    /// Where the FAT's entry of a cluster stands.
    fn entry(&self, number: u64) -> u64 {
        self.fat_at + 4 * number
    }
}

fn check_case(_: &Group, case: &Case) {
    // Every file takes a cluster.
    let bytes = if case.mkfs.contains(&"32M") { MIB } else { case.bytes / 12 };
    check(case.name, &mkfs(case.bytes, case.mkfs), bytes);
}

fn check(name: &str, image: &Image, bytes: u64) {
    let cluster_bytes = geometry(image).cluster_bytes;
    {
        let mounted = image.mount_as("exfat-fuse", "rw");
        age(&mounted.at, bytes, cluster_bytes);
        // A root directory of many clusters, chained around the files.
        for number in 0..300 {
            let content = if number % 50 == 0 { &b"content"[..] } else { b"" };
            fs::write(mounted.at.join(format!("{number:0200}")), content).expect("a small file");
        }
        // While it is mounted it is not to be captured.
        assert_eq!(refused(image), UncleanReason::Dirty, "{name}");
    }
    let map = image.map(FileSystem::ExFat);
    check_counts(name, image, map.used_bytes);
    let missing = oracle::uncovered(&map, &oracle::partclone(PARTCLONE, image));
    assert_eq!(missing, [], "{name}: used for partclone");

    let restored = image.restored(&map);
    check_clean(name, &restored);
    let expected = content(image);
    assert!(expected.len() > 300, "{name}: {} files", expected.len());
    assert_eq!(content(&restored), expected, "{name}");
}

/// The map must be what stands before the clusters and as many clusters as dump.exfat counts.
fn check_counts(name: &str, image: &Image, used_bytes: u64) {
    let geometry = geometry(image);
    let dump = run("dump.exfat", &[image.str()]);
    let number = |label: &str| -> u64 {
        let line = dump.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{dump}"));
        line.rsplit(':').next().and_then(|number| number.trim().parse().ok()).expect("a number")
    };
    let dumped = (number("Cluster size"), number("Total Clusters"));
    assert_eq!(dumped, (geometry.cluster_bytes, geometry.clusters), "{name}");
    let used = geometry.clusters - number("Free Clusters");
    assert_eq!(used_bytes, geometry.heap_at + used * geometry.cluster_bytes, "{name}: {used} clusters");
}

const PARTCLONE: &str = "partclone.exfat";
const CHECKER: [&str; 2] = ["fsck.exfat", "-n"];

pub(super) fn check_clean(name: &str, image: &Image) {
    let (code, text) = run_any(CHECKER[0], &[CHECKER[1], image.str()]);
    assert!(code == Some(0) && text.contains(": clean."), "{name}: fsck.exfat: {code:?}\n{text}");
}

fn refused(image: &Image) -> UncleanReason {
    match used_blocks::map(FileSystem::ExFat, &image.open()) {
        Err(UsedBlocksError::Unclean { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Writes the checksums that the boot region at the start of the volume should have.
fn put_right_checksums(image: &Image) {
    let region = image.read(0, 11 * 512);
    let counted = region.iter().enumerate().filter(|(at, _)| ![106, 107, 112].contains(at));
    let sum = counted.fold(0_u32, |sum, (_, &byte)| sum.rotate_right(1).wrapping_add(byte.into()));
    image.write(11 * 512, &sum.to_le_bytes().repeat(128));
}

pub(super) const SMALL: Group = Group {
    kind: FileSystem::ExFat,
    mkfs: "mkfs.exfat",
    life: "aged by exfat-fuse",
    account: "dump.exfat",
    partclone: Some(PARTCLONE),
    checker: &CHECKER,
    content: "every file's hash",
    cases: &[
        case("sectors as clusters", 0, &["-c", "512"]).of_bytes(100 * MIB + 512),
        case("clusters of 4 KiB", 200, &["-c", "4K"]),
        case("bitmap beside the FAT", 200, &["-c", "32K", "--pack-bitmap"]),
    ],
};

#[test]
fn exfat_with_small_clusters() {
    SMALL.each(check_case);
}

pub(super) const LARGE: Group = Group {
    cases: &[
        case("clusters of 128 KiB", 300, &["-c", "128K", "-b", "16M"]),
        case("clusters of 32 MiB", 2048, &["-c", "32M"]),
    ],
    ..SMALL
};

#[test]
fn exfat_with_large_clusters() {
    LARGE.each(check_case);
}

#[test]
fn exfat_of_large_sectors() {
    let image = Image::of_bytes(200 * MIB);
    let device = run("losetup", &["--find", "--show", "--sector-size", "4096", image.str()]);
    let (code, text) = run_any("mkfs.exfat", &[device.trim()]);
    run("losetup", &["--detach", device.trim()]);
    assert_eq!((code, image.read(108, 1)), (Some(0), vec![12]), "{text}");
    check("sectors of 4 KiB", &image, 16 * MIB);
}

#[test]
fn a_bitmap_in_pieces_is_followed_along_the_fat() {
    let image = mkfs(100 * MIB, &["-c", "512"]);
    let geometry = geometry(&image);
    // The bitmap starts at cluster 2 and has dozens. Its fourth moves behind everything.
    let (from, to) = (5, geometry.clusters + 1);
    image.write(geometry.entry(from - 1), &(to as u32).to_le_bytes());
    image.write(geometry.entry(to), &(from as u32 + 1).to_le_bytes());
    let mut moved = image.read(geometry.cluster(from).start_bytes, 512);
    assert_eq!(moved, [0; 512], "a part of the bitmap that says: free");
    moved[7] = 0x80;
    image.write(geometry.cluster(to).start_bytes, &moved);
    let named = 2 + (from - 2) * 4096 + 63;
    // What once stood in its place calls all free clusters used.
    image.write(geometry.cluster(from).start_bytes, &[0xFF; 512]);

    let map = image.map(FileSystem::ExFat);
    assert_eq!(oracle::uncovered(&map, &[geometry.cluster(named)]), []);
    let free = Extent::between(geometry.cluster(named + 1).start_bytes, geometry.cluster(to).start_bytes);
    assert_eq!(oracle::covered_bytes_in(&map, &[free.expect("a length")]), 0);
    // The bitmap does not say yet that its own new cluster is used.
    assert_eq!(oracle::uncovered(&map, &[geometry.cluster(to)]), []);
}

#[test]
fn two_tables_and_two_bitmaps_are_both_read() {
    let image = mkfs(64 * MIB, &["-c", "4K"]);
    let one = geometry(&image);
    // Between FAT and clusters, mkfs.exfat leaves room that the second FAT takes.
    let fat_bytes = 512 * u64::from(u32::from_le_bytes(image.read(84, 4).try_into().expect("four bytes")));
    let (second_fat, root) = (one.fat_at + fat_bytes, image.read(96, 1)[0]);
    assert!(second_fat + fat_bytes <= one.heap_at);
    image.write(second_fat, &image.read(one.fat_at, fat_bytes as usize));
    image.write(110, &[2]);
    put_right_checksums(&image);
    // The second bitmap, in the last cluster, names itself and one file's cluster.
    let (last, file) = (one.clusters + 1, 1000);
    let mut bitmap = image.read(one.cluster(2).start_bytes, 4096);
    for cluster in [last, file] {
        bitmap[(cluster as usize - 2) / 8] |= 1 << ((cluster - 2) % 8);
    }
    image.write(one.cluster(last).start_bytes, &bitmap);
    let entry = one.cluster(root.into()).start_bytes + 3 * 32;
    let mut fields = [0; 32];
    fields[..2].copy_from_slice(&[0x81, 1]);
    fields[20..24].copy_from_slice(&(last as u32).to_le_bytes());
    fields[24..28].copy_from_slice(&(one.clusters.div_ceil(8) as u32).to_le_bytes());
    image.write(entry, &fields);

    let wanted = [one.cluster(file), one.cluster(last)];
    for active in [0, 1] {
        image.write(106, &[active]);
        assert_eq!(oracle::uncovered(&image.map(FileSystem::ExFat), &wanted), [], "FAT {active}");
    }
    // The root directory ends nowhere in the first FAT, which is not the active one.
    image.write(one.entry(root.into()), &[0; 4]);
    image.map(FileSystem::ExFat);
    image.write(106, &[0]);
    assert!(used_blocks::map(FileSystem::ExFat, &image.open()).is_err(), "a chain without end");
    image.write(one.entry(root.into()), &[0xFF; 4]);
    image.write(entry, &[0x01]);
    let map = image.map(FileSystem::ExFat);
    assert_eq!(oracle::uncovered(&map, &wanted), wanted, "no second bitmap");
    image.write(106, &[1]);
    assert!(used_blocks::map(FileSystem::ExFat, &image.open()).is_err(), "no active bitmap");
}

#[test]
fn a_damaged_boot_region_is_refused_and_a_damaged_backup_is_no_matter() {
    let image = mkfs(64 * MIB, &[]);
    let map = image.map(FileSystem::ExFat);
    let is_damaged = |image: &Image| {
        matches!(used_blocks::map(FileSystem::ExFat, &image.open()), Err(UsedBlocksError::Damaged { .. }))
    };
    image.write(20 * 512, &[0xEE; 512]);
    assert_eq!(image.map(FileSystem::ExFat), map, "the backup");
    // What a mounted volume changes is not summed: media failure, percent in use.
    image.write(106, &[4]);
    image.write(112, &[77]);
    assert_eq!(image.map(FileSystem::ExFat), map);
    image.write(3 * 512 + 9, &[1]);
    assert!(is_damaged(&image), "an extended boot sector");
    put_right_checksums(&image);
    assert_eq!(image.map(FileSystem::ExFat), map);
    let short = image.open().length_bytes() - 512;
    fs::File::options().write(true).open(&image.path).and_then(|file| file.set_len(short)).expect("cutting");
    assert!(is_damaged(&image), "a volume longer than its partition");
}

#[test]
fn a_volume_left_dirty_is_refused() {
    let image = mkfs(64 * MIB, &[]);
    image.map(FileSystem::ExFat);
    image.write(106, &[2]);
    assert_eq!(refused(&image), UncleanReason::Dirty);
}
