//! NTFS as mkntfs and ntfs-3g make it, in every cluster size.

use std::{fs, io::Write, path::Path};

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
    image::{Image, age, fill_and_halve, hashes, run, run_any},
    matrix::{Case, Group, case},
    oracle,
};

const MIB: u64 = 1 << 20;

pub(super) fn mkntfs(megabytes: u64, cluster_bytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run("mkntfs", &["-F", "-Q", "-q", "-c", &cluster_bytes.to_string(), image.str()]);
    image
}

const PARTCLONE: &str = "partclone.ntfs";
const CHECKER: [&str; 2] = ["ntfsfix", "-n"];

pub(super) fn check_sound(name: &str, image: &Image) {
    let (code, text) = run_any(CHECKER[0], &[CHECKER[1], image.str()]);
    assert_eq!(code, Some(0), "{name}: ntfsfix\n{text}");
}

fn cluster_bytes(case: &Case) -> u64 {
    case.mkfs[1].parse().expect("a number")
}

fn check(_: &Group, case: &Case) {
    let cluster_bytes = cluster_bytes(case);
    check_after(case, |root| {
        // Small files take a cluster each.
        let bytes = if cluster_bytes > 65_536 { 6 * MIB } else { case.bytes / 12 };
        age(root, bytes, cluster_bytes);
        // A directory whose index needs blocks of its own, the root among them.
        for number in 0..400 {
            fs::write(root.join(format!("{number:080}")), [3; 10]).expect("a small file");
        }
    });
}

fn check_after(case: &Case, fill: impl Fn(&Path)) {
    let (name, cluster_bytes) = (case.name, cluster_bytes(case));
    let image = mkntfs(case.bytes / MIB, cluster_bytes);
    fill(&image.mount_ntfs("big_writes").at);
    check_map(name, &image, cluster_bytes);

    let restored = image.restored(&image.map(FileSystem::Ntfs));
    check_sound(name, &restored);
    let expected = hashes(&image.mount_ntfs("ro").at);
    assert!(expected.len() > 50, "{name}: {} files", expected.len());
    assert_eq!(hashes(&restored.mount_ntfs("ro").at), expected, "{name}");
    let missing = oracle::uncovered(&image.map(FileSystem::Ntfs), &oracle::partclone(PARTCLONE, &image));
    assert_eq!(missing, [], "{name}: used for partclone");
}

/// The map must be `$Bitmap` as ntfscat reads it, and the sectors behind the last cluster.
fn check_map(name: &str, image: &Image, cluster_bytes: u64) {
    let map = image.map(FileSystem::Ntfs);
    assert_eq!(u64::from(map.block_bytes), cluster_bytes);
    let bitmap =
        std::process::Command::new("ntfscat").args(["-f", "-i", "6", image.str()]).output().expect("ntfscat");
    let bytes = image.open().length_bytes();
    let clusters = (bytes - 512) / cluster_bytes;
    let is_used = |cluster: u64| bitmap.stdout[cluster as usize / 8] >> (cluster % 8) & 1 == 1;
    let extent = |cluster: u64| Extent { start_bytes: cluster * cluster_bytes, length_bytes: cluster_bytes };
    let (used, free): (Vec<u64>, Vec<u64>) = (0..clusters).partition(|&cluster| is_used(cluster));
    let used: Vec<Extent> = used.into_iter().map(extent).collect();
    let free: Vec<Extent> = free.into_iter().map(extent).collect();
    assert_eq!(oracle::uncovered(&map, &used), [], "{name}: in $Bitmap, missing in the map");
    assert_eq!(oracle::covered_bytes_in(&map, &free), 0, "{name}: free in $Bitmap");
    let last_sector = Extent { start_bytes: bytes - 512, length_bytes: 512 };
    assert_eq!(oracle::uncovered(&map, &[last_sector]), [], "{name}: the backup boot sector");
    assert_eq!(image.read(bytes - 512, 512), image.read(0, 512), "{name}: mkntfs puts the backup there");
}

pub(super) const SMALL: Group = Group {
    kind: FileSystem::Ntfs,
    mkfs: "mkntfs -Q",
    life: "aged by ntfs-3g",
    account: "ntfscat $Bitmap",
    partclone: Some(PARTCLONE),
    checker: &CHECKER,
    content: "every file's hash",
    cases: &[
        case("clusters of 512 bytes", 128, &["-c", "512"]),
        case("clusters of 1 KiB", 128, &["-c", "1024"]),
        case("clusters of 2 KiB", 128, &["-c", "2048"]),
        case("clusters of 4 KiB", 256, &["-c", "4096"]),
        case("clusters of 8 KiB", 256, &["-c", "8192"]),
    ],
};

#[test]
fn ntfs_with_small_clusters() {
    SMALL.each(check);
}

pub(super) const LARGE: Group = Group {
    cases: &[
        case("clusters of 16 KiB", 256, &["-c", "16384"]),
        case("clusters of 32 KiB", 256, &["-c", "32768"]),
        case("clusters of 64 KiB", 256, &["-c", "65536"]),
        case("clusters of 128 KiB", 256, &["-c", "131072"]),
        case("clusters of 256 KiB", 512, &["-c", "262144"]),
        case("clusters of 512 KiB", 512, &["-c", "524288"]),
        case("clusters of 1 MiB", 768, &["-c", "1048576"]),
        case("clusters of 2 MiB", 1024, &["-c", "2097152"]),
    ],
    ..SMALL
};

#[test]
fn ntfs_with_large_clusters() {
    LARGE.each(check);
}

pub(super) const FULL: Group = Group {
    life: "full, then half emptied by ntfs-3g",
    cases: &[case("clusters of 4 KiB", 128, &["-c", "4096"])],
    ..SMALL
};

#[test]
fn an_ntfs_that_was_full() {
    FULL.each(|_, case| check_after(case, |root| fill_and_halve(root, 8)));
}

#[test]
fn a_table_of_files_in_hundreds_of_pieces_is_followed_through_its_attribute_list() {
    let image = mkntfs(128, 512);
    {
        // Small files alternate with space that is taken and freed, so that the table of files grows in splinters.
        let mounted = image.mount_ntfs("big_writes");
        for number in 0..14_000 {
            fs::write(mounted.at.join(format!("a{number}")), [1; 1500]).expect("a file");
        }
        for number in (0..14_000).step_by(2) {
            fs::remove_file(mounted.at.join(format!("a{number}"))).expect("deleting");
        }
        let mut filler = fs::File::create(mounted.at.join("filler")).expect("a file");
        while filler.write_all(&[2; 64 << 10]).is_ok() {}
        drop(filler);
        for number in (1..14_000).step_by(4) {
            fs::remove_file(mounted.at.join(format!("a{number}"))).expect("deleting");
        }
        for number in 0..40_000 {
            if fs::write(mounted.at.join(format!("b{number}")), b"").is_err() {
                break;
            }
        }
    }
    let info = run("ntfsinfo", &["-f", "-v", "-i", "0", image.str()]);
    assert!(info.contains("$ATTRIBUTE_LIST (0x20)"), "the table is not fragmented enough to prove anything");
    check_map("fragmented table", &image, 512);
}

#[test]
fn a_dirty_volume_is_refused() {
    let image = mkntfs(32, 4096);
    run("ntfsfix", &["-d", image.str()]);
    image.map(FileSystem::Ntfs);
    // Without -d, ntfsfix schedules a check at the next boot of Windows: it sets the flag.
    run("ntfsfix", &[image.str()]);
    let refused = used_blocks::map(FileSystem::Ntfs, &image.open());
    assert!(matches!(refused, Err(UsedBlocksError::Unclean { reason: UncleanReason::Dirty })), "{refused:?}");
}

fn with_hibernation_file(content: &[u8]) -> Image {
    let image = mkntfs(32, 4096);
    let mounted = image.mount_ntfs("big_writes");
    for number in 0..300 {
        fs::write(mounted.at.join(format!("{number:0100}")), b"").expect("a file");
    }
    fs::write(mounted.at.join("HiberFil.sys"), content).expect("the hibernation file");
    drop(mounted);
    image
}

#[test]
fn a_volume_in_which_windows_sleeps_is_refused() {
    let page = |signature: &[u8]| [signature, &[0; 8192]].concat();
    for asleep in [page(b"HIBR"), page(b"hibr"), page(b"RSTR"), b"short".to_vec()] {
        let refused = used_blocks::map(FileSystem::Ntfs, &with_hibernation_file(&asleep).open());
        let hibernated = UncleanReason::Hibernated;
        assert!(
            matches!(refused, Err(UsedBlocksError::Unclean { reason }) if reason == hibernated),
            "{refused:?}"
        );
    }
    for awake in [page(b"wake"), page(b"WAKE"), page(&[0; 4])] {
        with_hibernation_file(&awake).map(FileSystem::Ntfs);
    }
}

/// Where the bytes of a system file start.
fn place_of(image: &Image, inode: &str) -> u64 {
    let info = run("ntfsinfo", &["-f", "-v", "-i", inode, image.str()]);
    let runs = info.split("Dumping attribute $DATA").nth(1).expect("data");
    let mut words = runs.split("Runlist:").nth(1).expect("a run list").split_whitespace().skip(4);
    let lcn = words.next().expect("a cluster");
    u64::from_str_radix(lcn.trim_start_matches("0x"), 16).expect("a number") * 4096
}

/// A restart page of a log: version, the list of users of the log, flags.
fn restart_page(major: u16, clients: u16, flags: u16, sequence: u64) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[..4].copy_from_slice(b"RSTR");
    page[0x10..0x14].copy_from_slice(&4096_u32.to_le_bytes());
    page[0x14..0x18].copy_from_slice(&4096_u32.to_le_bytes());
    page[0x18..0x1A].copy_from_slice(&0x30_u16.to_le_bytes());
    page[0x1C..0x1E].copy_from_slice(&major.to_le_bytes());
    page[0x30..0x38].copy_from_slice(&sequence.to_le_bytes());
    page[0x3C..0x3E].copy_from_slice(&clients.to_le_bytes());
    page[0x3E..0x40].copy_from_slice(&flags.to_le_bytes());
    page
}

#[test]
fn a_log_that_must_be_replayed_is_refused() {
    let image = mkntfs(32, 4096);
    let log = place_of(&image, "2");
    let state = |first: Vec<u8>, second: Vec<u8>| {
        image.write(log, &[first, second].concat());
        match used_blocks::map(FileSystem::Ntfs, &image.open()) {
            Ok(_) => None,
            Err(UsedBlocksError::Unclean { reason }) => Some(reason),
            Err(error) => panic!("{error}"),
        }
    };
    let closed = || restart_page(1, 0xFFFF, 0, 5);
    let open = |sequence| restart_page(1, 0, 0, sequence);
    assert_eq!(state(closed(), closed()), None);
    assert_eq!(state(restart_page(1, 0, 2, 5), closed()), None, "open but marked clean");
    assert_eq!(state(open(4), closed()), None, "the newer page counts");
    assert_eq!(state(open(6), closed()), Some(UncleanReason::JournalNotEmpty));
    assert_eq!(state(closed(), open(6)), Some(UncleanReason::JournalNotEmpty));
    assert_eq!(state(restart_page(2, 0xFFFF, 0, 7), closed()), Some(UncleanReason::Hibernated));
    assert_eq!(state(vec![0xFF; 4096], vec![0xFF; 4096]), None, "emptied");
    assert_eq!(state(vec![0; 4096], vec![0; 4096]), Some(UncleanReason::JournalNotEmpty));
}

#[test]
fn a_mirror_of_the_file_table_that_differs_is_no_matter() {
    let image = mkntfs(32, 4096);
    let before = image.map(FileSystem::Ntfs);
    image.write(place_of(&image, "1"), &[0xEE; 4096]);
    assert_eq!(image.map(FileSystem::Ntfs), before);
}
