//! Btrfs that is not at rest, not alone, not whole, or not understood.

use std::{fs, io::Write};

use mimeo_core::{
    disk::{
        filesystem::FileSystem,
        used_blocks::{self, UsedBlocksError, UsedMap},
    },
    failure::UncleanReason,
    units::MIB,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    btrfs::{SUPERBLOCKS, check_map, key, mkfs, number, parse_chunks, places},
    image::{Image, run},
};

#[test]
fn one_device_of_several_is_refused() {
    for (data, metadata) in [("single", "dup"), ("raid1", "raid1"), ("raid0", "raid0")] {
        let (first, second) = (Image::of_bytes(200 * MIB), Image::of_bytes(200 * MIB));
        run("mkfs.btrfs", &["-q", "-d", data, "-m", metadata, first.str(), second.str()]);
        for image in [first, second] {
            let refused = used_blocks::map(FileSystem::Btrfs, &image.open());
            assert!(matches!(refused, Err(UsedBlocksError::SeveralDevices)), "{data}: {refused:?}");
        }
    }
}

#[test]
fn a_device_that_is_being_replaced_is_refused_until_it_is_done() {
    let (old, new) = (mkfs(200, &[]), Image::of_bytes(200 * MIB));
    let device = run("losetup", &["--find", "--show", new.str()]).trim().to_owned();
    {
        let mounted = old.mount("loop");
        run("btrfs", &["replace", "start", "-B", "1", &device, mounted.at.to_str().expect("UTF-8")]);
    }
    run("losetup", &["--detach", &device]);
    check_map("replaced", &new);
    // The state of the finished replacement, in the tree of devices.
    let text = run("btrfs", &["inspect-internal", "dump-tree", "-t", "dev", new.str()]);
    let after = |label: &str| {
        let rest = text.split_once(label).expect("the label").1;
        number(rest.split_whitespace().next().expect("a number"))
    };
    let state = 0x65 + after("(0 DEV_REPLACE 0) itemoff") as usize + 32;
    let chunks = parse_chunks(&run("btrfs", &["inspect-internal", "dump-tree", "-t", "chunk", new.str()]));
    for (number, several) in [(2, false), (1, true), (3, false), (4, true)] {
        for place in places(&chunks, after("\nleaf")) {
            let mut leaf = new.read(place, 16384);
            leaf[state] = number;
            new.write(place, &sealed(leaf));
        }
        let map = used_blocks::map(FileSystem::Btrfs, &new.open());
        assert_eq!(matches!(map, Err(UsedBlocksError::SeveralDevices)), several, "state {number}: {map:?}");
        assert_eq!(map.is_ok(), !several, "state {number}");
    }
}

#[test]
fn a_log_that_must_be_replayed_is_refused() {
    let image = mkfs(200, &[]);
    let copy = Image::of_bytes(0);
    {
        let mounted = image.mount("loop,commit=300");
        run("sync", &["-f", mounted.at.to_str().expect("UTF-8")]);
        let mut file = fs::File::create(mounted.at.join("written")).expect("a file");
        file.write_all(&[1; 100_000]).and_then(|()| file.sync_all()).expect("writing");
        drop(file);
        // As a power cut would leave the disk.
        run("cp", &["--sparse=always", image.str(), copy.str()]);
    }
    let unclean = used_blocks::map(FileSystem::Btrfs, &copy.open());
    let journal = UncleanReason::JournalNotEmpty;
    assert!(matches!(unclean, Err(UsedBlocksError::Unclean { reason }) if reason == journal), "{unclean:?}");
    // What the sentence tells the technician to do.
    drop(copy.mount("loop"));
    check_map("replayed", &copy);
    assert_eq!(fs::read(copy.mount("loop,ro").at.join("written")).expect("the file"), [1; 100_000]);
    check_map("unmounted", &image);
}

/// The bytes of a superblock or node, with the CRC-32C that belongs to them.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = bytes[32..].iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 })
    });
    bytes[..4].copy_from_slice(&(!crc).to_le_bytes());
    bytes
}

/// The map of an image whose superblock was changed by `change`; the image stays as it was.
fn map_with(image: &Image, change: impl FnOnce(&mut [u8])) -> Result<UsedMap, UsedBlocksError> {
    let before = image.read(SUPERBLOCKS[0], 4096);
    let mut changed = before.clone();
    change(&mut changed);
    image.write(SUPERBLOCKS[0], &sealed(changed));
    let map = used_blocks::map(FileSystem::Btrfs, &image.open());
    image.write(SUPERBLOCKS[0], &before);
    map
}

#[test]
fn what_the_superblock_says_is_heeded() {
    let image = mkfs(200, &[]);
    for (field, at) in [("incompat", 0xBC), ("ro_compat", 0xB4)] {
        let map = map_with(&image, |superblock| superblock[at + 3] |= 0x40);
        assert!(matches!(map, Err(UsedBlocksError::Unsupported { .. })), "{field}: {map:?}");
    }
    let map = map_with(&image, |superblock| superblock[0xBC + 1] |= 0x10);
    assert!(matches!(map, Err(UsedBlocksError::Unsupported { .. })), "zoned: {map:?}");
    let map = map_with(&image, |superblock| superblock[0x38 + 4] |= 0x10);
    assert!(matches!(map, Err(UsedBlocksError::Damaged { .. })), "UUIDs half rewritten: {map:?}");
    let map = map_with(&image, |superblock| superblock[0x38] |= 4);
    let dirty = UncleanReason::Dirty;
    assert!(matches!(map, Err(UsedBlocksError::Unclean { reason }) if reason == dirty), "errors: {map:?}");
    let map = map_with(&image, |superblock| superblock[0xC9] = 0);
    assert!(matches!(map, Err(UsedBlocksError::SeveralDevices)), "target of a replacement: {map:?}");
    let map = map_with(&image, |superblock| superblock[0xD1 + 3] = 0xFF);
    assert!(matches!(map, Err(UsedBlocksError::Damaged { .. })), "longer than its partition: {map:?}");
    assert!(map_with(&image, |_| ()).is_ok());
}

/// Where the root of the extent tree stands, in each of its places.
fn extent_tree_places(image: &Image) -> Vec<u64> {
    let text = run("btrfs", &["inspect-internal", "dump-tree", "-t", "root", image.str()]);
    let mut lines = text.lines().skip_while(|line| !line.contains("(EXTENT_TREE ROOT_ITEM 0)"));
    let place = lines.find_map(|line| line.trim().split_once("bytenr ")).expect("the root's place").1;
    let logical = number(place.split(' ').next().expect("a number"));
    let chunks = parse_chunks(&run("btrfs", &["inspect-internal", "dump-tree", "-t", "chunk", image.str()]));
    places(&chunks, logical).collect()
}

#[test]
fn a_node_is_read_from_its_other_copy_where_one_is_damaged() {
    for checksum in ["crc32c", "xxhash", "sha256", "blake2"] {
        let image = mkfs(200, &["--csum", checksum]);
        let expected = check_map(checksum, &image);
        let places = extent_tree_places(&image);
        assert_eq!(places.len(), 2, "DUP");
        for (damaged, &place) in places.iter().enumerate() {
            let byte = image.read(place + 0x70, 1)[0];
            image.write(place + 0x70, &[byte ^ 1]);
            let map = used_blocks::map(FileSystem::Btrfs, &image.open());
            match map {
                Ok(map) if damaged == 0 => assert_eq!(map, expected, "{checksum}"),
                Err(UsedBlocksError::Damaged { .. }) if damaged == 1 => {}
                map => panic!("{checksum}: {map:?} with {} copies damaged", damaged + 1),
            }
        }
    }
}

/// Where the superblock and the nodes of the trees stand that a map is read from: those of trees, extents, chunks and
/// devices. Nodes have 4096 bytes and one place.
fn nodes(image: &Image) -> Vec<u64> {
    let dump = |tree: &str| run("btrfs", &["inspect-internal", "dump-tree", "-t", tree, image.str()]);
    let chunks = parse_chunks(&dump("chunk"));
    let extents = dump("extent");
    let keys = extents.lines().filter_map(key).filter(|key| key[1] == "METADATA_ITEM");
    let nodes = keys.flat_map(|key| places(&chunks, number(key[0])).collect::<Vec<_>>());
    let read = nodes.filter(|node| matches!(image.read(node + 0x58, 8)[..], [1..=4, 0, 0, 0, 0, 0, 0, 0]));
    read.chain([SUPERBLOCKS[0]]).collect()
}

#[test]
fn damage_is_noticed_or_does_not_matter() {
    let folder = "/usr/share/perl5";
    for checksum in ["crc32c", "xxhash"] {
        let image = mkfs(64, &["-M", "--csum", checksum, "--rootdir", folder]);
        let volume = fs::read(&image.path).expect("the image");
        let expected = used_blocks::map(FileSystem::Btrfs, &&volume[..]).expect("a map");
        let nodes = nodes(&image);
        assert!(nodes.len() > 7, "{nodes:?}");
        let mut random = StdRng::seed_from_u64(1);
        let mut noticed = 0;
        let mut damaged = volume.clone();
        for _ in 0..1500 {
            let place = nodes[random.random_range(0..nodes.len())] as usize;
            let changes = random.random_range(1..4);
            for _ in 0..changes {
                damaged[place + random.random_range(0..4096)] = random.random();
            }
            match used_blocks::map(FileSystem::Btrfs, &&damaged[..]) {
                Ok(map) => assert_eq!(map, expected, "{checksum}: damage of the node at {place}"),
                Err(_) => noticed += 1,
            }
            damaged[place..place + 4096].copy_from_slice(&volume[place..place + 4096]);
        }
        assert!(noticed > 50, "{noticed}");
        for length in (0..volume.len()).step_by(1 << 20) {
            assert!(used_blocks::map(FileSystem::Btrfs, &&volume[..length]).is_err(), "cut to {length}");
        }
    }
}
