//! XFS with the options that change how blocks are accounted for.
//!
//! `xfs_db` says which blocks are free. It counts the free lists of the groups too, which a map carries.

#[path = "xfs/damaged.rs"]
mod damaged;
#[path = "xfs/refused.rs"]
mod refused;
#[path = "xfs/unmounted.rs"]
pub(super) mod unmounted;

use std::{fs, path::Path};

use mimeo_core::{
    disk::{
        filesystem::FileSystem,
        used_blocks::{self, UsedBlocksError, UsedMap},
    },
    units::Extent,
};

use super::{
    image::{Image, add_unix_oddities, age, fill_and_halve, hashes, run, run_any},
    matrix::{Case, Group, case},
    oracle,
};

const MIB: u64 = 1 << 20;

const PARTCLONE: &str = "partclone.xfs";

/// mkfs.xfs makes volumes below 300 MiB only for the tests of its authors, which name themselves so.
const SMALL: [&str; 3] = ["TEST_DIR=1", "TEST_DEV=1", "QA_CHECK_FS=1"];

pub(super) fn mkfs(megabytes: u64, arguments: &[&str]) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run("env", &[&SMALL[..], &["mkfs.xfs", "-q", "-f"], arguments, &[image.str()]].concat());
    image
}

/// Runs commands of xfs_db on the image, whose log may be dirty.
fn xfs_db(image: &Image, commands: &[&str]) -> String {
    let commands: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
    run("xfs_db", &[&["-r"], &commands[..], &[image.str()]].concat())
}

/// Fields of the superblock or of a group's header.
fn fields<const N: usize>(image: &Image, place: &str, names: [&str; N]) -> [u64; N] {
    let text = xfs_db(image, &[place, &format!("print {}", names.join(" "))]);
    names.map(|name| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
        line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}:\n{text}"))
    })
}

/// Block size, blocks, and the free extents in order.
fn freesp(image: &Image) -> (u64, u64, Vec<Extent>) {
    let names = ["blocksize", "dblocks", "agblocks"];
    let [block_bytes, blocks, group_blocks] = fields(image, "sb 0", names);
    let text = xfs_db(image, &["freesp -d"]);
    let lines = text.lines().take_while(|line| !line.contains("from")).skip(1);
    let extent = |line: &str| {
        let numbers: Vec<u64> = line.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        let [group, block, length] = numbers[..] else { panic!("{line}") };
        let start_bytes = (group * group_blocks + block) * block_bytes;
        Extent { start_bytes, length_bytes: length * block_bytes }
    };
    let mut free: Vec<Extent> = lines.map(extent).collect();
    free.sort_by_key(|extent| extent.start_bytes);
    (block_bytes, blocks, free)
}

/// The map must be what xfs_db does not list as free, to the block, and the free lists beside.
fn check_map(name: &str, image: &Image) -> UsedMap {
    let map = image.map(FileSystem::Xfs);
    let (block_bytes, blocks, free) = freesp(image);
    assert_eq!(u64::from(map.block_bytes), block_bytes, "{name}");
    // What lies behind the file system counts too.
    let end = fs::metadata(&image.path).expect("the image").len();
    assert!(blocks * block_bytes <= end, "{name}");
    let used = oracle::complement(&free, end);
    assert_eq!(oracle::uncovered(&map, &used), [], "{name}: in use for xfs_db, missing in the map");
    let [groups] = fields(image, "sb 0", ["agcount"]);
    let listed = (0..groups).map(|group| fields(image, &format!("agf {group}"), ["flcount"])[0]);
    let listed: u64 = listed.sum::<u64>() * block_bytes;
    assert_eq!(oracle::covered_bytes_in(&map, &free), listed, "{name}: free for xfs_db");
    let used: u64 = used.iter().map(|extent| extent.length_bytes).sum();
    assert_eq!(map.used_bytes, used + listed, "{name}");
    let missing = oracle::uncovered(&map, &oracle::partclone(PARTCLONE, image));
    assert_eq!(missing, [], "{name}: used for partclone");
    map
}

fn refusal(image: &Image) -> UsedBlocksError {
    used_blocks::map(FileSystem::Xfs, &image.open()).expect_err("this must be refused")
}

/// What was restored from the map alone passes xfs_repair.
fn restore(name: &str, image: &Image, map: &UsedMap) -> Image {
    let restored = image.restored(map);
    check_sound(name, &restored);
    restored
}

pub(super) fn check_sound(name: &str, image: &Image) {
    let (code, text) = run_any(CHECKER[0], &[&CHECKER[1..], &[image.str()]].concat());
    assert_eq!(code, Some(0), "{name}: xfs_repair\n{text}");
}

/// What was restored passes xfs_repair and has every file.
fn check_restored(name: &str, image: &Image) {
    let restored = restore(name, image, &image.map(FileSystem::Xfs));
    let expected = hashes(&image.mount("loop,ro").at);
    assert!(expected.len() > 20, "{name}: too few files to prove anything");
    assert_eq!(hashes(&restored.mount("loop,ro").at), expected, "{name}");
}

const CHECKER: [&str; 2] = ["xfs_repair", "-n"];

const AGED: Group = Group {
    kind: FileSystem::Xfs,
    mkfs: "mkfs.xfs",
    life: "new; aged by Linux, with shared extents",
    account: "xfs_db",
    partclone: Some(PARTCLONE),
    checker: &CHECKER,
    content: "every file's hash",
    cases: &[],
};

/// Makes a file system, fills and ages it, and checks its map in every way there is.
fn check(_: &Group, case: &Case) {
    check_after(case, |root| {
        age(root, (case.bytes / 10).min(32 * MIB), 1);
        add_unix_oddities(root);
        if !case.mkfs.iter().any(|argument| argument.contains("reflink=0")) {
            share(root);
        }
    });
}

fn check_after(case: &Case, fill: impl Fn(&Path)) {
    let image = mkfs(case.bytes / MIB, case.mkfs);
    check_map(case.name, &image);
    fill(&image.mount("loop").at);
    check_map(case.name, &image);
    check_restored(case.name, &image);
}

/// Copies that share their blocks, one of them changed in the middle.
fn share(root: &Path) {
    let original = root.join("original");
    fs::write(&original, vec![3; 2_000_000]).expect("a file");
    for copy in ["copy 1", "copy 2"] {
        let (from, to) = (original.to_str().expect("UTF-8"), root.join(copy));
        run("cp", &["--reflink=always", from, to.to_str().expect("UTF-8")]);
    }
    let copy = fs::File::options().write(true).open(root.join("copy 1")).expect("the copy");
    std::os::unix::fs::FileExt::write_all_at(&copy, &[4; 100_000], 700_000).expect("writing");
    fs::remove_file(original).expect("deleting the original");
}

pub(super) const ORDINARY: Group = Group {
    cases: &[
        case("as installers make it", 320, &[]),
        case("with reverse mappings", 96, &["-m", "rmapbt=1"]),
        case(
            "as early version 5",
            96,
            &["-m", "reflink=0,finobt=0,inobtcount=0,bigtime=0", "-i", "sparse=0", "-n", "size=8k"],
        ),
    ],
    ..AGED
};

#[test]
fn xfs_with_ordinary_options() {
    ORDINARY.each(check);
}

pub(super) const UNUSUAL: Group = Group {
    cases: &[
        case(
            "many small groups, 1k, wide counts",
            112,
            &["-b", "size=1k", "-d", "agsize=16m", "-m", "rmapbt=1", "-i", "nrext64=1"],
        ),
        case("sectors of 4k", 96, &["-s", "size=4096", "-i", "size=2048"]),
        case("2k blocks, striped log", 192, &["-b", "size=2k", "-l", "su=256k", "-d", "su=64k,sw=4"]),
        case("log in the first group", 96, &["-l", "agnum=0"]),
        case("64 groups", 1024, &["-d", "agcount=64", "-m", "rmapbt=1"]),
    ],
    ..AGED
};

#[test]
fn xfs_with_unusual_options() {
    UNUSUAL.each(check);
}

/// The tools of Debian 12 do not make these; where they are at hand, the kernel mounts them.
#[test]
#[expect(clippy::print_stderr, reason = "a test speaks to its reader")]
fn xfs_with_what_newer_tools_add() {
    let features = [
        ("exchanged ranges and parent pointers", &["-i", "exchange=1", "-n", "parent=1"][..]),
        ("a directory of metadata", &["-m", "metadir=1"]),
    ];
    let any = Image::of_bytes(320 * MIB);
    for (name, arguments) in features {
        match run_any("mkfs.xfs", &[&["-N", "-f"], arguments, &[any.str()]].concat()) {
            (Some(0), _) => check(&AGED, &case(name, 160, arguments)),
            (_, text) => {
                assert!(text.contains("unknown option"), "{name}: {text}");
                eprintln!("{name}: not tested, this mkfs.xfs does not know it");
            }
        }
    }
}

pub(super) const FULL: Group = Group {
    life: "full, then half emptied by Linux",
    cases: &[case("reverse mappings, small groups", 128, &["-m", "rmapbt=1", "-d", "agsize=16m"])],
    ..AGED
};

#[test]
fn an_xfs_that_was_full() {
    FULL.each(|_, case| check_after(case, |root| fill_and_halve(root, 6)));
}

#[test]
fn an_xfs_that_was_grown_and_got_another_uuid() {
    let image = mkfs(300, &["-d", "size=40m", "-b", "size=1k"]);
    let map = check_map("short", &image);
    let last = map.extents.last().expect("extents");
    assert!(last.start_bytes <= 40 * MIB && last.end_bytes() == 300 * MIB, "{last:?}");
    {
        let mounted = image.mount("loop");
        age(&mounted.at, 4 * MIB, 2);
        run("xfs_growfs", &[mounted.at.to_str().expect("UTF-8")]);
        age(&mounted.at, 20 * MIB, 3);
    }
    run("xfs_admin", &["-U", "generate", image.str()]);
    check_map("grown", &image);
    check_restored("grown", &image);
}

/// Space so scattered that the trees of free space have several levels.
#[test]
fn an_xfs_whose_free_space_is_in_thousands_of_pieces() {
    let image = mkfs(64, &["-b", "size=1k", "-d", "agcount=2"]);
    {
        let mounted = image.mount("loop");
        let many = mounted.at.join("many");
        fs::create_dir(&many).expect("a directory");
        for number in 0..12_000_u32 {
            fs::write(many.join(number.to_string()), number.to_le_bytes().repeat(250)).expect("a file");
        }
        run("sync", &["-f", many.to_str().expect("UTF-8")]);
        for number in (0..12_000).filter(|number| number % 2 == 0) {
            fs::remove_file(many.join(number.to_string())).expect("deleting a file");
        }
    }
    let [levels] = fields(&image, "agf 0", ["bnolevel"]);
    assert!(levels >= 2, "{levels} levels prove nothing");
    let map = check_map("scattered", &image);
    assert!(map.extents.len() > 3000, "{} extents prove nothing", map.extents.len());
    check_restored("scattered", &image);
}

#[test]
fn two_terabytes_are_mapped_quickly_and_in_little_memory() {
    let image = mkfs(2 << 20, &["-K"]);
    let started = std::time::Instant::now();
    let map = image.map(FileSystem::Xfs);
    let (took, extents) = (started.elapsed(), map.extents.len());
    assert!(took.as_secs() < 10, "{took:?} for {extents} extents");
    assert!(extents < 1000 && map.used_bytes < 2 << 30, "{extents} extents, {} bytes", map.used_bytes);
}
