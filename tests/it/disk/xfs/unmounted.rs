//! What the kernel need not mount: version 4, and blocks larger than a page. mkfs.xfs fills them from a list of files.

use std::{fmt::Write as _, fs};

use mimeo_core::disk::ReadAt as _;

use super::{
    AGED, Case, Extent, Group, Image, SMALL, case, check_map, fields, oracle, restore, run, run_any,
};

const FILES: u32 = 600;

/// The content of a file: 1 to 40 blocks of 512 bytes, unlike any other.
fn content(number: u32) -> Vec<u8> {
    number.to_le_bytes().repeat(128 * (1 + number as usize * 7 % 40) - 3)
}

const HALVED: Group = Group {
    life: "filled by mkfs.xfs; a third deleted by xfs_repair",
    content: "every file's bytes in their place",
    ..AGED
};

/// Makes a file system with files in it, deletes every third, and checks its map.
fn check(_: &Group, case: &Case) {
    let name = case.name;
    let image = filled(case.bytes >> 20, case.mkfs);
    check_map(name, &image);
    delete_every_third(&image);
    let map = check_map(name, &image);
    let restored = restore(name, &image, &map).open();
    let [block_bytes, group_blocks] = fields(&image, "sb 0", ["blocksize", "agblocks"]);
    let kept: Vec<u32> = (0..FILES).filter(|number| number % 3 > 0).collect();
    let bmap = xfs_db_at_each(&image, &["-r"], kept.iter().copied(), "bmap");
    // data offset 0 startblock 20 (0/20) count 8 flag 0
    let places: Vec<Extent> = bmap
        .lines()
        .map(|line| {
            let word = |at: usize| line.split_whitespace().nth(at).expect("a word");
            assert_eq!(word(2), "0", "{name}: a file in two pieces\n{bmap}");
            let (group, block) = word(5).trim_matches(['(', ')']).split_once('/').expect("group/block");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            let start = number(group) * group_blocks + number(block);
            Extent { start_bytes: start * block_bytes, length_bytes: number(word(7)) * block_bytes }
        })
        .collect();
    assert_eq!(oracle::uncovered(&map, &places), [], "{name}: blocks of files");
    assert_eq!(places.len(), kept.len(), "{name}\n{bmap}");
    for (&number, place) in kept.iter().zip(&places) {
        let expected = content(number);
        let mut bytes = vec![0; expected.len()];
        restored.read_exact_at(&mut bytes, place.start_bytes).expect("reading a restored file");
        assert!(bytes == expected, "{name}: file {number}");
    }
}

/// A file system whose free space is in hundreds of pieces.
pub(super) fn with_holes(megabytes: u64, arguments: &[&str]) -> Image {
    let image = filled(megabytes, arguments);
    delete_every_third(&image);
    image
}

fn filled(megabytes: u64, arguments: &[&str]) -> Image {
    let image = Image::of_bytes(megabytes << 20);
    let folder = image.directory.path();
    let mut list = String::from("/dev/null\n0 0\nd--755 0 0\n");
    for number in 0..FILES {
        let path = folder.join(number.to_string());
        fs::write(&path, content(number)).expect("a file");
        writeln!(list, "{number} ---644 0 0 {}", path.display()).expect("memory");
    }
    list.push_str("$\n");
    let proto = folder.join("proto");
    fs::write(&proto, list).expect("a list");
    let proto = ["-p", proto.to_str().expect("UTF-8")];
    run("env", &[&SMALL[..], &["mkfs.xfs", "-q", "-f"], arguments, &proto, &[image.str()]].concat());
    image
}

/// Empties inodes, whose entries and blocks xfs_repair then frees: the trees are as its code builds them.
fn delete_every_third(image: &Image) {
    let gone = (0..FILES).filter(|number| number % 3 == 0);
    xfs_db_at_each(image, &["-x"], gone, "write core.mode 0");
    let (code, text) = run_any("xfs_repair", &[image.str()]);
    assert_eq!(code, Some(0), "{text}");
}

/// Runs a command of xfs_db at the inode of each file.
fn xfs_db_at_each(
    image: &Image,
    options: &[&str],
    files: impl Iterator<Item = u32>,
    command: &str,
) -> String {
    let commands = files.flat_map(|file| [format!("-cpath /{file}"), format!("-c{command}")]);
    let commands: Vec<String> = commands.collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    run("xfs_db", &[options, &commands, &[image.str()]].concat())
}

pub(in crate::disk) const VERSION_4: Group = Group {
    cases: &[
        case("version 4", 64, &["-m", "crc=0"]),
        case("version 4, blocks of 512 bytes", 48, &["-m", "crc=0", "-b", "size=512", "-d", "agsize=16m"]),
        case(
            "version 4 of old",
            64,
            &["-m", "crc=0", "-l", "version=1,lazy-count=0", "-n", "ftype=0", "-i", "attr=1"],
        ),
        case("version 4, sectors of 4k", 64, &["-m", "crc=0", "-s", "size=4096", "-l", "su=64k"]),
    ],
    ..HALVED
};

#[test]
fn xfs_version_4() {
    VERSION_4.each(check);
}

pub(in crate::disk) const LARGE_BLOCKS: Group = Group {
    cases: &[case("16k", 256, &["-b", "size=16k", "-s", "size=4096"]), case("64k", 256, &["-b", "size=64k"])],
    ..HALVED
};

#[test]
fn blocks_larger_than_a_page() {
    LARGE_BLOCKS.each(check);
}
