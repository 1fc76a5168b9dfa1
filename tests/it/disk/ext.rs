//! ext2, ext3 and ext4 with the options that change how blocks are accounted for.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use mimeo_core::{
    disk::{
        filesystem::FileSystem,
        used_blocks::{self, UsedBlocksError},
    },
    failure::UncleanReason,
    units::Extent,
};

use super::{
    image::{Image, add_unix_oddities, age, fill_and_halve, hashes, run, run_any},
    matrix::{Case, Group, case},
    oracle,
};

const MIB: u64 = 1 << 20;

const CHECKER: [&str; 2] = ["e2fsck", "-fn"];

const AGED: Group = Group {
    kind: FileSystem::Ext,
    mkfs: "mke2fs",
    life: "new; aged by Linux",
    account: "dumpe2fs",
    partclone: Some("partclone.ext4"),
    checker: &CHECKER,
    content: "every file's hash",
    cases: &[],
};

/// Makes a file system, fills and ages it, and checks its map in every way there is.
fn check(group: &Group, case: &Case) {
    check_after(group, case, |root| {
        age(root, case.bytes / 10, 1);
        add_unix_oddities(root);
    });
}

fn mke2fs(case: &Case) -> Image {
    let image = Image::of_bytes(case.bytes);
    run("mke2fs", &[&["-q", "-F"], case.mkfs, &[image.str()]].concat());
    image
}

fn check_after(group: &Group, case: &Case, fill: impl Fn(&Path)) {
    let (name, image) = (case.name, mke2fs(case));
    // First as mkfs left it: most groups have no bitmap yet.
    check_map(name, &image);
    fill(&image.mount("loop").at);
    check_map(name, &image);
    check_restored(name, &image);
    check_partclone(group, name, &image);
}

fn check_partclone(group: &Group, name: &str, image: &Image) {
    if let Some(partclone) = group.partclone {
        let missing = oracle::uncovered(&image.map(FileSystem::Ext), &oracle::partclone(partclone, image));
        assert_eq!(missing, [], "{name}: used for partclone");
    }
}

/// The map must be the complement of what dumpe2fs lists as free, to the block.
fn check_map(name: &str, image: &Image) {
    let map = image.map(FileSystem::Ext);
    let (block_bytes, blocks, free) = dumpe2fs(image);
    // What lies behind the file system counts too.
    let end = fs::metadata(&image.path).expect("the image").len();
    assert!(blocks * block_bytes <= end, "{name}");
    let used = oracle::complement(&free, end);
    assert_eq!(oracle::uncovered(&map, &used), [], "{name}: in use for dumpe2fs, missing in the map");
    // The boot block is in no bitmap where it is not part of block 0.
    let more = oracle::covered_bytes_in(&map, &free);
    assert_eq!(more, 0, "{name}: free for dumpe2fs");
    let used_bytes: u64 = used.iter().map(|extent| extent.length_bytes).sum();
    assert!(map.used_bytes.abs_diff(used_bytes) <= u64::from(map.block_bytes), "{name}");
}

/// Block size, number of blocks, and the free extents in order.
fn dumpe2fs(image: &Image) -> (u64, u64, Vec<Extent>) {
    let text = run("dumpe2fs", &[image.str()]);
    let number = |label: &str| -> u64 {
        let line =
            text.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{label}:\n{text}"));
        line[label.len()..].trim().parse().expect("a number")
    };
    let block_bytes = number("Block size:");
    let lists = text.lines().filter_map(|line| line.strip_prefix("  Free blocks: "));
    let ranges = lists.flat_map(|list| list.split(", ")).filter(|range| !range.trim().is_empty());
    // Of the last free cluster of a range, dumpe2fs names the first block only.
    let cluster = if text.contains("\nCluster size:") { number("Cluster size:") / block_bytes } else { 1 };
    let extent = |range: &str| {
        let (first, last) = range.trim().split_once('-').unwrap_or((range.trim(), range.trim()));
        let first: u64 = first.parse().expect("a block");
        let last: u64 = last.parse().expect("a block");
        let last = if cluster > 1 { last / cluster * cluster + cluster - 1 } else { last };
        Extent { start_bytes: first * block_bytes, length_bytes: (last + 1 - first) * block_bytes }
    };
    (block_bytes, number("Block count:"), ranges.map(extent).collect())
}

pub(super) fn check_sound(name: &str, image: &Image) {
    let (code, text) = run_any(CHECKER[0], &[&CHECKER[1..], &[image.str()]].concat());
    assert_eq!(code, Some(0), "{name}: e2fsck\n{text}");
}

/// What was restored from the map alone passes e2fsck and has every file.
fn check_restored(name: &str, image: &Image) {
    let restored = image.restored(&image.map(FileSystem::Ext));
    check_sound(name, &restored);
    let expected = hashes(&image.mount("loop,ro").at);
    assert!(expected.len() > 20, "{name}: too few files to prove anything");
    assert_eq!(hashes(&restored.mount("loop,ro").at), expected, "{name}");
}

pub(super) const OLD: Group = Group {
    cases: &[
        case("ext2 1k", 96, &["-t", "ext2", "-b", "1024"]),
        case(
            "ext2 every group a superblock",
            96,
            &["-t", "ext2", "-b", "1024", "-O", "^sparse_super,^resize_inode"],
        ),
        case("ext3 4k", 200, &["-t", "ext3", "-b", "4096"]),
        case("ext3 2k small groups", 96, &["-t", "ext3", "-b", "2048", "-g", "2048"]),
        case("ext2 revision 0", 64, &["-t", "ext2", "-r", "0", "-O", "none"]),
    ],
    ..AGED
};

#[test]
fn ext2_and_ext3() {
    OLD.each(check);
}

pub(super) const ORDINARY: Group = Group {
    cases: &[
        case("ext4 as installers make it", 300, &["-t", "ext4", "-b", "4096"]),
        case("ext4 1k", 96, &["-t", "ext4", "-b", "1024"]),
        case("ext4 without 64bit", 200, &["-t", "ext4", "-O", "^64bit"]),
        case("ext4 without flex_bg", 200, &["-t", "ext4", "-O", "^flex_bg", "-g", "8192"]),
        case("ext4 without journal", 96, &["-t", "ext4", "-O", "^has_journal"]),
        case("ext4 without checksums", 96, &["-t", "ext4", "-O", "^metadata_csum,^uninit_bg"]),
        case("ext4 uninit_bg", 96, &["-t", "ext4", "-b", "1024", "-O", "^metadata_csum,uninit_bg"]),
        case(
            "ext4 uninit_bg without 64bit",
            96,
            &["-t", "ext4", "-O", "^metadata_csum,^64bit,uninit_bg", "-g", "4096"],
        ),
    ],
    ..AGED
};

#[test]
fn ext4_with_ordinary_options() {
    ORDINARY.each(check);
}

pub(super) const UNUSUAL: Group = Group {
    cases: &[
        case("meta_bg", 200, &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"]),
        case("meta_bg 4k", 300, &["-t", "ext4", "-O", "meta_bg,^resize_inode", "-g", "1024"]),
        case(
            "meta_bg without flex_bg and 64bit",
            200,
            &["-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode,^flex_bg,^64bit"],
        ),
        case("sparse_super2", 200, &["-t", "ext4", "-b", "1024", "-O", "sparse_super2,^resize_inode"]),
        case("large flex groups", 200, &["-t", "ext4", "-g", "1024", "-G", "64"]),
        case(
            "inline data, large inodes",
            96,
            &["-t", "ext4", "-O", "inline_data,metadata_csum_seed", "-I", "512"],
        ),
        case("orphan_file, large_dir, ea_inode", 96, &["-t", "ext4", "-O", "orphan_file,large_dir,ea_inode"]),
        case("packed metadata", 200, &["-t", "ext4", "-E", "packed_meta_blocks=1"]),
        case(
            "sparse_super2 with one backup",
            96,
            &["-t", "ext4", "-O", "sparse_super2", "-E", "num_backup_sb=1"],
        ),
        case(
            "sparse_super2 without a backup",
            96,
            &["-t", "ext4", "-b", "1024", "-O", "sparse_super2", "-E", "num_backup_sb=0"],
        ),
        case("multiple mount protection", 96, &["-t", "ext4", "-O", "mmp"]),
        case("encrypt, verity, stable_inodes", 96, &["-t", "ext4", "-O", "encrypt,verity,stable_inodes"]),
        case("fast_commit", 96, &["-t", "ext4", "-O", "fast_commit"]),
    ],
    ..AGED
};

#[test]
fn ext4_with_unusual_options() {
    UNUSUAL.each(check);
}

/// partclone 0.3.23 breaks bigalloc: it takes clusters for blocks.
pub(super) const CLUSTERS: Group = Group {
    partclone: None,
    cases: &[
        case("bigalloc", 256, &["-t", "ext4", "-b", "4096", "-C", "65536", "-O", "bigalloc"]),
        case("bigalloc 1k", 128, &["-t", "ext4", "-b", "1024", "-C", "16384", "-O", "bigalloc"]),
        case("bigalloc without flex_bg", 256, &["-t", "ext4", "-C", "16384", "-O", "bigalloc,^flex_bg"]),
        case(
            "bigalloc, meta_bg, sparse_super2",
            256,
            &["-t", "ext4", "-C", "32768", "-O", "bigalloc,meta_bg,sparse_super2,^resize_inode"],
        ),
    ],
    ..AGED
};

#[test]
fn ext4_with_clusters() {
    CLUSTERS.each(check);
}

#[test]
fn an_ext4_that_was_grown_and_shrunk() {
    let image = Image::of_bytes(400 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "1024", image.str(), "100M"]);
    age(&image.mount("loop").at, 12 * MIB, 2);
    for size in ["390M", "200M"] {
        run("e2fsck", &["-fy", image.str()]);
        run("resize2fs", &[image.str(), size]);
        check_map(size, &image);
        check_restored(size, &image);
    }
}

/// This kernel may lack what these take: mke2fs fills them from a folder.
pub(super) const UNMOUNTED: Group = Group {
    life: "filled by mke2fs",
    partclone: None,
    cases: &[
        case("blocks of 64 KiB", 256, &["-F", "-b", "65536"]),
        case("quota, project", 128, &["-t", "ext4", "-O", "quota,project"]),
        case("casefold", 128, &["-t", "ext4", "-O", "casefold", "-E", "encoding=utf8"]),
    ],
    ..AGED
};

/// Every file of an image that is not mounted.
fn dumped(image: &Image) -> BTreeMap<PathBuf, (u64, blake3::Hash)> {
    let into = tempfile::tempdir().expect("a directory");
    run("debugfs", &["-R", &format!("rdump / {}", into.path().display()), image.str()]);
    hashes(into.path())
}

#[test]
fn what_the_kernel_may_not_mount() {
    UNMOUNTED.each(|_, case| {
        let folder = ["-d", "/usr/share/perl5"];
        let image = Image::of_bytes(case.bytes);
        run("mke2fs", &[&["-q", "-F"], case.mkfs, &folder, &[image.str()]].concat());
        // mke2fs counts quotas before it fills.
        let (_, text) = run_any("e2fsck", &["-fy", image.str()]);
        check_sound(&text, &image);
        check_map(case.name, &image);
        let restored = image.restored(&image.map(FileSystem::Ext));
        check_sound(case.name, &restored);
        let expected = dumped(&image);
        assert!(expected.len() > 100, "{}: {} files", case.name, expected.len());
        assert_eq!(dumped(&restored), expected, "{}", case.name);
    });
}

pub(super) const FULL: Group = Group {
    life: "full, then half emptied by Linux",
    cases: &[
        case("as installers make it", 160, &["-t", "ext4"]),
        case("1k, without extents", 64, &["-t", "ext3", "-b", "1024"]),
    ],
    ..AGED
};

#[test]
fn an_ext4_that_was_full() {
    FULL.each(|group, case| check_after(group, case, |root| fill_and_halve(root, 5)));
}

#[test]
fn what_lies_behind_a_file_system_shorter_than_its_partition_is_carried() {
    let image = Image::of_bytes(200 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext4", image.str(), "100M"]);
    image.write(150 * MIB, &[0x77; 1 << 20]);
    check_map("short", &image);
    let map = image.map(FileSystem::Ext);
    let last = map.extents.last().expect("extents");
    assert!(last.start_bytes <= 100 * MIB && last.end_bytes() == 200 * MIB, "{last:?}");
    assert!(map.used_bytes < 120 * MIB, "{}", map.used_bytes);
    let restored = image.restored(&map);
    check_sound("short", &restored);
    assert!(restored.read(150 * MIB, 1 << 20) == [0x77; 1 << 20]);
}

#[test]
fn a_journal_that_must_be_replayed_is_refused() {
    let image = Image::of_bytes(64 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext4", image.str()]);
    let copy = Image::of_bytes(0);
    {
        let mounted = image.mount("loop");
        let mut file = fs::File::create(mounted.at.join("written")).expect("a file");
        file.write_all(&[1; 100_000]).and_then(|()| file.sync_all()).expect("writing");
        drop(file);
        // As a power cut would leave the disk.
        run("cp", &["--sparse=always", image.str(), copy.str()]);
    }
    let unclean = used_blocks::map(FileSystem::Ext, &copy.open());
    let journal = UncleanReason::JournalNotEmpty;
    assert!(matches!(unclean, Err(UsedBlocksError::Unclean { reason }) if reason == journal), "{unclean:?}");
    image.map(FileSystem::Ext);
}

#[test]
fn an_ext2_that_was_not_unmounted_is_refused() {
    let image = Image::of_bytes(64 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext2", image.str()]);
    let _mounted = image.mount("loop");
    run("sync", &["-f", image.str()]);
    let unclean = used_blocks::map(FileSystem::Ext, &image.open());
    assert!(matches!(unclean, Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty })), "{unclean:?}");
}

#[test]
fn errors_that_the_kernel_noted_are_refused() {
    let image = Image::of_bytes(64 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext4", image.str()]);
    run("debugfs", &["-w", "-R", "set_super_value state 3", image.str()]);
    let unclean = used_blocks::map(FileSystem::Ext, &image.open());
    assert!(matches!(unclean, Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty })), "{unclean:?}");
}

#[test]
fn an_external_journal_is_refused_and_the_journal_device_is_raw() {
    let journal = Image::of_bytes(16 * MIB);
    run("mke2fs", &["-q", "-F", "-O", "journal_dev", "-b", "4096", journal.str()]);
    let unsupported = used_blocks::map(FileSystem::Ext, &journal.open());
    assert!(matches!(unsupported, Err(UsedBlocksError::Unsupported { .. })), "{unsupported:?}");

    let image = Image::of_bytes(64 * MIB);
    // A block device is what `mke2fs -J device=` takes.
    let device = run("losetup", &["--find", "--show", journal.str()]).trim().to_owned();
    let made = run_any(
        "mke2fs",
        &["-q", "-F", "-t", "ext4", "-b", "4096", "-J", &format!("device={device}"), image.str()],
    );
    run("losetup", &["--detach", &device]);
    assert_eq!(made.0, Some(0), "{}", made.1);
    // The number of the device is a hint: 0 where it was given by its UUID alone.
    for hint in [None, Some("0")] {
        if let Some(hint) = hint {
            run("debugfs", &["-w", "-R", &format!("set_super_value journal_dev {hint}"), image.str()]);
        }
        let refused = used_blocks::map(FileSystem::Ext, &image.open());
        assert!(matches!(refused, Err(UsedBlocksError::ExternalJournal)), "{refused:?}");
    }
}

#[test]
fn unknown_features_are_left_to_a_raw_capture() {
    let image = Image::of_bytes(64 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-O", "^metadata_csum", image.str()]);
    for (field, at) in [("incompat", 1024 + 0x60), ("ro_compat", 1024 + 0x64)] {
        let before = image.read(at, 4);
        image.write(at + 3, &[0x40]);
        let unsupported = used_blocks::map(FileSystem::Ext, &image.open());
        assert!(matches!(unsupported, Err(UsedBlocksError::Unsupported { .. })), "{field}: {unsupported:?}");
        image.write(at, &before);
    }
    image.map(FileSystem::Ext);
}

#[test]
fn a_flipped_bit_in_a_bitmap_is_noticed_with_and_without_checksums() {
    for features in ["metadata_csum", "^metadata_csum,uninit_bg", "^metadata_csum,^uninit_bg"] {
        let image = Image::of_bytes(64 * MIB);
        run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", "-O", features, image.str()]);
        let text = run("dumpe2fs", &[image.str()]);
        let line = text.lines().find_map(|line| line.split_once("Block bitmap at ")).expect("a bitmap").1;
        let block: u64 = line
            .split(|letter: char| !letter.is_ascii_digit())
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        let byte = image.read(block * 4096 + 1000, 1)[0];
        image.write(block * 4096 + 1000, &[byte ^ 4]);
        let damaged = used_blocks::map(FileSystem::Ext, &image.open());
        assert!(matches!(damaged, Err(UsedBlocksError::Damaged { .. })), "{features}: {damaged:?}");
    }
}

#[test]
fn two_terabytes_are_mapped_quickly_and_in_little_memory() {
    let image = Image::of_bytes(2 << 40);
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=1,nodiscard", image.str()])
        .status();
    assert!(made.expect("mke2fs").success());
    let started = std::time::Instant::now();
    let map = image.map(FileSystem::Ext);
    assert!(started.elapsed().as_secs() < 20, "{:?} for {} extents", started.elapsed(), map.extents.len());
    assert!(map.extents.len() < 100_000);
}
