//! F2FS as mkfs.f2fs makes it, filled by sload.f2fs: the kernel here may lack a driver. So nothing
//! is deleted, and no journal but those of these tools is seen.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

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
    matrix::{Group, case},
    oracle,
};

const MIB: u64 = 1 << 20;
const BLOCK: u64 = 4096;

pub(super) fn mkfs(bytes: u64, arguments: &[&str]) -> Image {
    let image = Image::of_bytes(bytes);
    run("mkfs.f2fs", &[&["-q", "-f"], arguments, &[image.str()]].concat());
    image
}

fn field(image: &Image, at: u64) -> u64 {
    u64::from(u32::from_le_bytes(image.read(1024 + at, 4).try_into().expect("four bytes")))
}

/// The blocks that dump.f2fs calls valid, segment by segment, as extents; and all blocks before the main area.
fn valid(image: &Image) -> Vec<Extent> {
    let dumped = Command::new("dump.f2fs")
        .args(["-s", "0~-1", image.str()])
        .current_dir(image.directory.path())
        .output()
        .expect("dump.f2fs is needed (apt install f2fs-tools)");
    assert!(dumped.status.success(), "{dumped:?}");
    let text = fs::read_to_string(image.directory.path().join("dump_sit")).expect("a dump");
    let main = field(image, 92);
    let mut valid = vec![Extent { start_bytes: 0, length_bytes: main * BLOCK }];
    let mut next = 0;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("segno:") {
            let number: u64 =
                rest.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number");
            next = main + number * 512;
        } else if line.starts_with("  ") {
            for byte in line.split_whitespace().map(|word| u8::from_str_radix(word, 16).expect("a byte")) {
                for bit in (0..8).filter(|bit| byte << bit & 0x80 != 0) {
                    valid.push(Extent { start_bytes: (next + bit) * BLOCK, length_bytes: BLOCK });
                }
                next += 8;
            }
        }
    }
    valid
}

fn bytes(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.length_bytes).sum()
}

/// The map must be what dump.f2fs calls valid and nothing else, and a copy a volume with nothing to repair.
fn check(name: &str, image: &Image) {
    let map = image.map(FileSystem::F2fs);
    let valid = valid(image);
    assert_eq!(oracle::uncovered(&map, &valid), [], "{name}: valid, missing in the map");
    assert_eq!(map.used_bytes, bytes(&valid), "{name}");
    check_sound(name, image);
    let restored = image.restored(&map);
    check_sound(name, &restored);
    assert_eq!(restored.map(FileSystem::F2fs), map, "{name}");
}

/// A tree of files on the volume, loaded in two goes.
pub(super) fn fill(image: &Image, megabytes: u64) -> PathBuf {
    let trees = image.directory.path().join("trees");
    for (seed, name) in [(3, "one"), (4, "two")] {
        let tree = trees.join(name);
        fs::create_dir_all(&tree).expect("a directory");
        age(&tree, megabytes * MIB, seed);
        // Files of one name would overwrite each other when they are taken out.
        for path in hashes(&tree).into_keys() {
            let file_name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
            let named = path.with_file_name(format!("{name} {file_name}"));
            fs::rename(tree.join(&path), tree.join(named)).expect("renaming a file");
        }
        let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        run("sload.f2fs", &["-f", &path(&tree), "-t", &format!("/{name}"), image.str()]);
    }
    trees
}

/// Every file of the volume with its hash, as dump.f2fs takes them out: by the last part of their names.
fn content(image: &Image, inodes: u64) -> BTreeMap<OsString, (u64, blake3::Hash)> {
    let into = tempfile::tempdir().expect("a directory");
    let answer = into.path().join("answer");
    fs::write(&answer, "Y\n").expect("an answer to its question");
    for inode in 4..4 + inodes {
        let dump = Command::new("dump.f2fs")
            .args(["-i", &format!("{inode:#x}"), image.str()])
            .current_dir(into.path())
            .stdin(fs::File::open(&answer).expect("the answer"))
            .output();
        dump.expect("dump.f2fs");
    }
    by_name(&into.path().join("lost_found"))
}

fn by_name(root: &Path) -> BTreeMap<OsString, (u64, blake3::Hash)> {
    let name = |path: PathBuf| path.file_name().expect("a name").to_owned();
    hashes(root).into_iter().map(|(path, hash)| (name(path), hash)).collect()
}

const CHECKER: [&str; 2] = ["fsck.f2fs", "--dry-run"];

pub(super) fn check_sound(name: &str, image: &Image) {
    let (code, text) = run_any(CHECKER[0], &[CHECKER[1], image.str()]);
    assert!(code == Some(0) && !text.contains("[Fail]"), "{name}: fsck.f2fs: {code:?}\n{text}");
}

/// Changes a field of both ends of both checkpoint packs, and their checksums with it.
fn change_checkpoints(image: &Image, packs: &[u64], at: usize, change: impl Fn(u32) -> u32) {
    for pack in packs {
        let first = field(image, 76) + pack * 512;
        let blocks = u32::from_le_bytes(image.read(first * BLOCK + 136, 4).try_into().expect("four bytes"));
        for block in [first, first + u64::from(blocks) - 1] {
            let mut bytes = image.read(block * BLOCK, BLOCK as usize);
            let value = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
            bytes[at..at + 4].copy_from_slice(&change(value).to_le_bytes());
            let sum = checksum(&bytes[..4092]);
            bytes[4092..].copy_from_slice(&sum.to_le_bytes());
            image.write(block * BLOCK, &bytes);
        }
    }
}

/// A CRC-32 that starts from the magic number and is not inverted, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xF2F5_2010, |sum, &byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

fn refused(image: &Image) -> Option<UncleanReason> {
    match used_blocks::map(FileSystem::F2fs, &image.open()) {
        Err(UsedBlocksError::Unclean { reason }) => Some(reason),
        Err(UsedBlocksError::Damaged { .. }) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn f2fs_as_it_is_made_and_with_files_in_it() {
    // The table of segments of a new volume is empty: everything stands in the journal.
    check("new", &mkfs(128 * MIB, &[]));
    let image = mkfs(256 * MIB, &["-O", "extra_attr,sb_checksum,inode_crtime"]);
    let trees = fill(&image, 8);
    check("loaded", &image);
    let missing =
        oracle::uncovered(&image.map(FileSystem::F2fs), &oracle::partclone("partclone.f2fs", &image));
    assert_eq!(missing, [], "used for partclone");
    let files = hashes(&trees);
    let restored = image.restored(&image.map(FileSystem::F2fs));
    let found = content(&restored, files.len() as u64 + 20);
    assert_eq!(found, content(&image, files.len() as u64 + 20));
    // dump.f2fs does not take out rightly what stands in a file's inode.
    let long: BTreeMap<_, _> = by_name(&trees).into_iter().filter(|(_, (bytes, _))| *bytes > BLOCK).collect();
    assert!(long.len() > 50, "{} files", long.len());
    long.iter().for_each(|(name, hash)| assert_eq!(found.get(name), Some(hash), "{}", name.display()));
}

pub(super) const MEASURES: Group = Group {
    kind: FileSystem::F2fs,
    mkfs: "mkfs.f2fs",
    life: "loaded twice by sload.f2fs",
    account: "dump.f2fs",
    // 0.3.23 crashes on some of these.
    partclone: None,
    checker: &CHECKER,
    content: "the same map",
    cases: &[
        case("a large bitmap of nodes", 512, &["-i"]),
        case("four segments to a section", 512, &["-s", "4"]),
        case("sections in zones", 512, &["-s", "2", "-z", "3", "-o", "20"]),
        case(
            "checksums of inodes, compression",
            256,
            &["-O", "extra_attr,inode_checksum,compression,sb_checksum"],
        ),
    ],
};

#[test]
fn f2fs_in_other_measures() {
    MEASURES.each(|_, case| {
        let image = mkfs(case.bytes, case.mkfs);
        fill(&image, 8);
        check(case.name, &image);
    });
}

#[test]
fn a_volume_so_large_that_its_bitmaps_need_blocks_of_their_own() {
    // 8 TiB of holes.
    let image = mkfs(8 << 40, &["-t", "0"]);
    assert!(field(&image, 1664) > 0, "no blocks of payload");
    let map = image.map(FileSystem::F2fs);
    assert_eq!(
        oracle::uncovered(&map, &[Extent { start_bytes: 0, length_bytes: field(&image, 92) * BLOCK }]),
        []
    );
    // The root directory's node and its one block of entries; more on systems with quota files.
    let blocks =
        u64::from_le_bytes(image.read(field(&image, 76) * BLOCK + 16, 8).try_into().expect("eight bytes"));
    assert_eq!(map.used_bytes, (field(&image, 92) + blocks) * BLOCK);
}

#[test]
fn a_volume_that_was_not_unmounted_or_is_to_be_checked_is_refused() {
    let image = mkfs(128 * MIB, &[]);
    fill(&image, 2);
    let whole = image.map(FileSystem::F2fs);
    let flags = |change: &dyn Fn(u32) -> u32| change_checkpoints(&image, &[0, 1], 132, change);
    flags(&|flags| flags & !1);
    assert_eq!(refused(&image), Some(UncleanReason::JournalNotEmpty));
    for flag in [0x08, 0x10, 0x1000, 0x4000] {
        flags(&|flags| flags | 1 | flag);
        assert_eq!(refused(&image), Some(UncleanReason::Dirty), "{flag:#x}");
        flags(&|flags| flags & !flag);
    }
    assert_eq!(image.map(FileSystem::F2fs), whole);
    // The newer pack counts, whichever it is.
    for newer in [0, 1] {
        change_checkpoints(&image, &[newer], 0, |version| version + 10 * (newer as u32 + 1));
        change_checkpoints(&image, &[newer], 132, |flags| flags & !1);
        assert_eq!(refused(&image), Some(UncleanReason::JournalNotEmpty), "pack {newer}");
        change_checkpoints(&image, &[newer], 132, |flags| flags | 1);
    }
}

#[test]
fn what_was_synced_since_a_clean_unmount_waits_to_be_recovered() {
    let image = mkfs(128 * MIB, &[]);
    fill(&image, 2);
    let pack = |number: u64| (field(&image, 76) + number * 512) * BLOCK;
    let number = |at: u64| u64::from_le_bytes(image.read(at, 8).try_into().expect("eight bytes"));
    let newest = if number(pack(1)) > number(pack(0)) { pack(1) } else { pack(0) };
    let (segment, block) = (number(newest + 40) & 0xFFFF_FFFF, number(newest + 70) & 0xFFFF);
    // The next block of the log for files' nodes gets a node: all that counts is the version in its footer.
    let next = (field(&image, 92) + segment * 512 + block) * BLOCK;
    image.map(FileSystem::F2fs);
    image.write(next + BLOCK - 12, &(number(newest) & 0xFFFF_FFFF | 0x1234 << 32).to_le_bytes());
    assert_eq!(refused(&image), Some(UncleanReason::JournalNotEmpty));
    image.write(next + BLOCK - 12, &(number(newest) - 1).to_le_bytes());
    image.map(FileSystem::F2fs);
}

#[test]
fn one_sound_superblock_and_one_sound_checkpoint_are_enough() {
    let image = mkfs(128 * MIB, &["-O", "extra_attr,sb_checksum"]);
    fill(&image, 2);
    let whole = image.map(FileSystem::F2fs);
    let pack = field(&image, 76) * BLOCK;
    image.write(1024 + 200, &[0xEE; 8]);
    assert_eq!(image.map(FileSystem::F2fs), whole);
    // The other pack may be older: dump.f2fs takes it for this volume's state, like Linux.
    image.write(pack + 500, &[0xEE; 8]);
    let map = image.map(FileSystem::F2fs);
    assert_eq!(oracle::uncovered(&map, &valid(&image)), []);
    assert_eq!(map.used_bytes, bytes(&valid(&image)));
    image.write(pack + 512 * BLOCK + 500, &[0xEE; 8]);
    assert_eq!(refused(&image), None, "no checkpoint");
    let image = mkfs(128 * MIB, &[]);
    let short = image.open().length_bytes() - MIB;
    fs::File::options().write(true).open(&image.path).and_then(|file| file.set_len(short)).expect("cutting");
    assert_eq!(refused(&image), None, "a volume longer than its partition");
}
