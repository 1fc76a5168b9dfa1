//! Btrfs with the profiles and options that change how space is accounted for.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    time::{Duration, Instant},
};

use mimeo_core::{
    disk::{filesystem::FileSystem, used_blocks::UsedMap},
    units::{Extent, MIB},
};

use super::{
    image::{Image, add_unix_oddities, age, fill_and_halve, hashes, run, run_any},
    matrix::{Case, Group, case},
    oracle,
};

/// Where the copies of the superblock stand.
pub(super) const SUPERBLOCKS: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];

pub(super) fn mkfs(megabytes: u64, arguments: &[&str]) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run("mkfs.btrfs", &[&["-q"], arguments, &[image.str()]].concat());
    image
}

const CHECKER: [&str; 4] = ["btrfs", "check", "--readonly", "--check-data-csum"];

/// What partclone says is held against the map where everything is kept once ([`check_partclone`]).
const AGED: Group = Group {
    kind: FileSystem::Btrfs,
    mkfs: "mkfs.btrfs",
    life: "new; aged by Linux, with subvolumes, snapshots, shared and compressed extents",
    account: "btrfs inspect-internal",
    partclone: None,
    checker: &CHECKER,
    content: "every file's hash, `btrfs scrub`",
    cases: &[],
};

/// Makes a file system, fills and ages it, and checks its map in every way there is.
fn check(_: &Group, case: &Case) {
    let (name, image) = (case.name, mkfs(case.bytes / MIB, case.mkfs));
    check_map(name, &image);
    fill(&image, if case.mount.is_empty() { "defaults" } else { case.mount }, 10 * MIB);
    check_map(name, &image);
    check_restored(name, &image);
    if case.mkfs.starts_with(&["-m", "single", "-d", "single"]) {
        check_partclone(name, &image);
    }
}

/// What partclone copies of data. 0.3.23 rounds to nodes, loses second copies, and takes all that follows a node in
/// its chunk for in use.
fn check_partclone(name: &str, image: &Image) {
    let chunks = run("btrfs", &["inspect-internal", "dump-tree", "-t", "chunk", image.str()]);
    let outside = merged(
        parse_chunks(&chunks)
            .values()
            .filter(|chunk| chunk.of_data)
            .map(|chunk| Extent { start_bytes: chunk.places[0], length_bytes: chunk.length })
            .collect(),
    );
    let outside = oracle::complement(&outside, fs::metadata(&image.path).expect("the image").len());
    let mut known = image.map(FileSystem::Btrfs);
    known.extents = merged([known.extents, outside].concat());
    let missing = oracle::uncovered(&known, &oracle::partclone("partclone.btrfs", image));
    assert_eq!(missing, [], "{name}: used for partclone");
}

/// Files, holes and links, subvolumes and snapshots, shared and compressed extents.
fn fill(image: &Image, options: &str, bytes: u64) {
    let mounted = image.mount(&format!("loop,{options}"));
    let at = |name: &str| mounted.at.join(name).to_str().expect("UTF-8").to_owned();
    run("btrfs", &["subvolume", "create", &at("home")]);
    age(&mounted.at, bytes, 1);
    run("btrfs", &["subvolume", "snapshot", "-r", mounted.at.to_str().expect("UTF-8"), &at("before")]);
    age(&mounted.at.join("home"), bytes / 2, 2);
    add_unix_oddities(&mounted.at.join("home"));
    run("btrfs", &["subvolume", "snapshot", &at("home"), &at("after")]);
    let words = b"all work and no play makes a dull file\n".repeat(60_000);
    fs::write(mounted.at.join("after/words"), &words).expect("a file that shrinks");
    run("cp", &["--reflink=always", &at("after/words"), &at("shared")]);
    // Of an extent that is overwritten in part, all stays in use.
    let mut part = fs::File::options().write(true).open(mounted.at.join("shared")).expect("the file");
    part.write_all(&words[..300_000]).and_then(|()| part.sync_all()).expect("overwriting");
}

/// The map must be what the extent tree names, at every place where the chunks put it, and the reserved places.
pub(super) fn check_map(name: &str, image: &Image) -> UsedMap {
    let map = image.map(FileSystem::Btrfs);
    let used = inspected(image);
    assert_eq!(oracle::uncovered(&map, &used), [], "{name}: in use for btrfs, missing in the map");
    let free = oracle::complement(&used, fs::metadata(&image.path).expect("the image").len());
    assert_eq!(oracle::covered_bytes_in(&map, &free), 0, "{name}: free for btrfs");
    assert_eq!(map.used_bytes, used.iter().map(|extent| extent.length_bytes).sum::<u64>(), "{name}");
    map
}

/// What `btrfs inspect-internal` finds in use: sorted, apart.
fn inspected(image: &Image) -> Vec<Extent> {
    let dump = |tree: &str| run("btrfs", &["inspect-internal", "dump-tree", "-t", tree, image.str()]);
    let chunks = parse_chunks(&dump("chunk"));
    let label = "nodesize\t\t";
    let superblock = run("btrfs", &["inspect-internal", "dump-super", image.str()]);
    let node_bytes = superblock.lines().find_map(|line| line.strip_prefix(label)).expect("a node size");
    let mut used = vec![Extent { start_bytes: 0, length_bytes: MIB }];
    let length = fs::metadata(&image.path).expect("the image").len();
    let copies = SUPERBLOCKS.into_iter().filter(|at| at + 4096 <= length);
    used.extend(copies.map(|start_bytes| Extent { start_bytes, length_bytes: 4096 }));
    // What lies behind the file system counts too.
    let end = superblock.lines().find_map(|line| line.strip_prefix("dev_item.total_bytes\t"));
    let end = number(end.expect("the length of the device").trim());
    used.extend(Extent::between(end, length).filter(|rest| rest.length_bytes > 0));
    for key in dump("extent").lines().filter_map(key) {
        let length = match key[1] {
            "EXTENT_ITEM" => key[2],
            "METADATA_ITEM" => node_bytes,
            _ => continue,
        };
        let (logical, length_bytes) = (number(key[0]), number(length));
        used.extend(places(&chunks, logical).map(|start_bytes| Extent { start_bytes, length_bytes }));
    }
    merged(used)
}

/// A chunk as `btrfs inspect-internal` shows it.
#[derive(Default)]
pub(super) struct Chunk {
    length: u64,
    of_data: bool,
    places: Vec<u64>,
}

/// Every chunk by its logical address.
pub(super) fn parse_chunks(text: &str) -> BTreeMap<u64, Chunk> {
    let mut chunks = BTreeMap::<u64, Chunk>::new();
    let mut at = None;
    for line in text.lines() {
        if let Some(key) = key(line) {
            at = (key[1] == "CHUNK_ITEM").then(|| number(key[2]));
        }
        let Some(chunk) = at.map(|at| chunks.entry(at).or_default()) else { continue };
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["length", length, .., kind] => {
                (chunk.length, chunk.of_data) = (number(length), kind.starts_with("DATA"));
            }
            ["stripe", _, "devid", _, "offset", place] => chunk.places.push(number(place)),
            _ => {}
        }
    }
    chunks
}

/// Where the byte at a logical address lies.
pub(super) fn places(chunks: &BTreeMap<u64, Chunk>, logical: u64) -> impl Iterator<Item = u64> {
    let (start, chunk) = chunks.range(..=logical).next_back().expect("a chunk");
    chunk.places.iter().map(move |place| place + logical - start)
}

/// The key in a line that begins an item: `item 3 key (1048576 EXTENT_ITEM 4096) itemoff …`.
pub(super) fn key(line: &str) -> Option<[&str; 3]> {
    let (_, rest) = line.trim_start().strip_prefix("item ")?.split_once(" key (")?;
    rest.split_once(')')?.0.split(' ').collect::<Vec<_>>().try_into().ok()
}

pub(super) fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))
}

fn merged(mut extents: Vec<Extent>) -> Vec<Extent> {
    extents.sort_by_key(|extent| extent.start_bytes);
    extents.dedup_by(|next, kept| {
        let touch = next.start_bytes <= kept.end_bytes();
        if touch {
            kept.length_bytes = next.end_bytes().max(kept.end_bytes()) - kept.start_bytes;
        }
        touch
    });
    extents
}

pub(super) fn check_sound(name: &str, image: &Image) {
    let (code, text) = run_any(CHECKER[0], &[&CHECKER[1..], &[image.str()]].concat());
    assert_eq!(code, Some(0), "{name}: btrfs check\n{text}");
}

/// What was restored from the map alone passes the checker and the scrub, and has every file.
fn check_restored(name: &str, image: &Image) {
    let restored = image.restored(&image.map(FileSystem::Btrfs));
    let expected = hashes(&image.mount("loop,ro").at);
    assert!(expected.len() > 20, "{name}: too few files to prove anything");
    check_sound(name, &restored);
    let mounted = restored.mount("loop");
    assert_eq!(hashes(&mounted.at), expected, "{name}");
    let text = run("btrfs", &["scrub", "start", "-B", mounted.at.to_str().expect("UTF-8")]);
    assert!(text.contains("no errors found"), "{name}: btrfs scrub\n{text}");
}

pub(super) const PROFILES: Group = Group {
    cases: &[
        case("as installers make it", 160, &[]),
        case("everything once", 160, &["-m", "single", "-d", "single", "-n", "4096"]),
        case("everything twice", 250, &["-m", "dup", "-d", "dup"]),
        case("mixed", 100, &["-M"]),
        case("mixed twice", 160, &["-M", "-m", "dup", "-d", "dup"]),
        case("stripes over one device", 160, &["-m", "single", "-d", "raid0"]),
    ],
    ..AGED
};

#[test]
fn profiles_of_one_device() {
    PROFILES.each(check);
}

pub(super) const NODES: Group = Group {
    cases: &[
        case("nodes of 4k, xxhash", 160, &["-n", "4096", "--csum", "xxhash"]),
        case("nodes of 64k, sha256", 160, &["-n", "65536", "--csum", "sha256"]),
        case("nodes of 32k, blake2", 160, &["-n", "32768", "--csum", "blake2"]),
    ],
    ..AGED
};

#[test]
fn sizes_of_nodes_and_checksums() {
    NODES.each(check);
}

pub(super) const FEATURES: Group = Group {
    cases: &[
        case(
            "as of 2012",
            160,
            &["-n", "4096", "-O", "^no-holes,^skinny-metadata,^extref", "-R", "^free-space-tree"],
        )
        .mounted("space_cache=v1"),
        case("zstd", 160, &[]).mounted("compress-force=zstd"),
        case("lzo, no cache", 160, &["-R", "^free-space-tree"]).mounted("compress=lzo,nospace_cache"),
        case("zlib, quotas", 160, &["-R", "quota"]).mounted("compress=zlib"),
    ],
    ..AGED
};

#[test]
fn features_old_and_new() {
    FEATURES.each(check);
    // What Debian 12's mkfs.btrfs does not know yet.
    let known = run("mkfs.btrfs", &["-O", "list-all"]);
    let newer: [(&str, &[&str]); 2] =
        [("block-group-tree", &["-O", "block-group-tree"]), ("squota", &["-O", "squota"])];
    for (feature, arguments) in newer.into_iter().filter(|(feature, _)| known.contains(feature)) {
        check(&AGED, &case(feature, 160, arguments));
    }
}

pub(super) const FULL: Group =
    Group { life: "full, then half emptied by Linux", cases: &[case("DUP metadata", 200, &[])], ..AGED };

#[test]
fn a_btrfs_that_was_full() {
    FULL.each(|_, case| {
        let image = mkfs(case.bytes / MIB, case.mkfs);
        fill_and_halve(&image.mount("loop").at, 7);
        check_map(case.name, &image);
        check_restored(case.name, &image);
    });
}

#[test]
fn sectors_larger_than_a_page() {
    let image = mkfs(256, &["-s", "65536", "-n", "65536", "--rootdir", "/usr/share/perl5"]);
    check_map("sectors of 64k", &image);
    check_sound("sectors of 64k", &image.restored(&image.map(FileSystem::Btrfs)));
}

#[test]
fn an_ext4_that_became_a_btrfs() {
    let image = Image::of_bytes(300 * MIB);
    run("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", image.str()]);
    {
        let mounted = image.mount("loop");
        age(&mounted.at, 30 * MIB, 3);
        add_unix_oddities(&mounted.at);
    }
    run("btrfs-convert", &[image.str()]);
    check_map("converted", &image);
    fill(&image, "defaults", 10 * MIB);
    check_map("converted and filled", &image);
    check_restored("converted", &image);
}

#[test]
fn a_file_system_that_was_balanced_shrunk_and_renamed() {
    let image = mkfs(400, &[]);
    fill(&image, "defaults", 20 * MIB);
    {
        let mounted = image.mount("loop");
        let at = mounted.at.to_str().expect("UTF-8");
        run("btrfs", &["balance", "start", "--full-balance", at]);
        run("btrfs", &["filesystem", "resize", "300M", at]);
    }
    run("btrfstune", &["-f", "-m", image.str()]);
    let map = check_map("shrunk", &image);
    let last = map.extents.last().expect("extents");
    assert!(last.start_bytes <= 300 * MIB && last.end_bytes() == 400 * MIB, "{last:?}");
    check_restored("shrunk", &image);
}

#[test]
fn a_seed_is_whole() {
    let image = mkfs(200, &[]);
    fill(&image, "defaults", 10 * MIB);
    run("btrfstune", &["-S", "1", image.str()]);
    check_map("seed", &image);
    let restored = image.restored(&image.map(FileSystem::Btrfs));
    let expected = hashes(&image.mount("loop,ro").at);
    assert_eq!(hashes(&restored.mount("loop,ro").at), expected);
}

#[test]
fn two_terabytes_are_mapped_quickly_and_in_little_memory() {
    let image = Image::of_bytes(2 << 40);
    run("mkfs.btrfs", &["-q", "-K", image.str()]);
    fill(&image, "defaults", 20 * MIB);
    let started = Instant::now();
    let map = check_map("2 TiB", &image);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(map.extents.len() < 10_000, "{} extents", map.extents.len());
    assert!(
        map.extents
            .iter()
            .any(|extent| extent.start_bytes <= SUPERBLOCKS[2] && extent.end_bytes() > SUPERBLOCKS[2])
    );
}
