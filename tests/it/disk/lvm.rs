//! LVM as its own tools make it: each logical volume is carried by its own file system's map, to the sector.

#[path = "lvm/damaged.rs"]
mod damaged;
#[path = "lvm/inside.rs"]
mod inside;
#[path = "lvm/refused.rs"]
mod refused;

use std::{collections::BTreeMap, fs, path::Path};

use mimeo_core::{
    disk::{
        ReadAt as _,
        filesystem::{self, FileSystem},
        used_blocks::{self, UsedMap},
    },
    units::{Extent, MIB},
};

use super::{
    image::{Image, add_unix_oddities, age, hashes, run},
    lvm_tools::{self, Piece, Tools},
};

const SECTOR: u64 = 512;
/// What stands in a physical volume before anything is made of it.
const STALE: u8 = 0x77;
/// mkfs.xfs makes volumes below 300 MiB only for the tests of its authors, which name themselves so.
const SMALL_XFS: [&str; 4] = ["TEST_DIR=1", "TEST_DEV=1", "QA_CHECK_FS=1", "mkfs.xfs"];

/// A physical volume, and where the tools say that everything is.
struct Group {
    image: Image,
    pieces: Vec<Piece>,
    own_areas: Vec<(u64, u64)>,
    content: BTreeMap<&'static str, Vec<u8>>,
}

impl Group {
    /// A group of one physical volume with extents of 1 MiB, to be filled by `fill`.
    fn make(megabytes: u64, pvcreate: &[&str], fill: impl FnOnce(&Tools)) -> Self {
        let image = Image::of_bytes(megabytes * MIB);
        fs::write(&image.path, vec![STALE; (megabytes * MIB) as usize]).expect("an image");
        let (pieces, own_areas) = {
            let tools = tools(&image);
            tools.run("pvcreate", &[pvcreate, &["-ff", "-y", tools.device(0)]].concat());
            tools.run("vgcreate", &["-s", "1m", "vg", tools.device(0)]);
            fill(&tools);
            (tools.pieces("vg"), tools.own_areas(0))
        };
        Self { image, pieces, own_areas, content: BTreeMap::new() }
    }

    fn put(&mut self, volume: &'static str, content: Vec<u8>) {
        let file = fs::File::options().write(true).open(&self.image.path).expect("the image");
        lvm_tools::write(&[(&file, 0)], &self.pieces, volume, &content);
        self.content.insert(volume, content);
    }

    /// What is in use, sector by sector: by the places that the tools tell, and for volumes in `mapped` by the map of
    /// their content where it stands alone.
    fn expected(&self, mapped: &[&str]) -> Vec<bool> {
        let length = fs::metadata(&self.image.path).expect("the image").len();
        let mut used = vec![false; (length / SECTOR) as usize];
        let mut mark = |start: u64, end: u64| {
            used[(start / SECTOR) as usize..(end / SECTOR) as usize].fill(true);
        };
        mark(0, 4096);
        self.own_areas.iter().for_each(|&(start, length)| mark(start, start + length));
        for piece in &self.pieces {
            let Some(content) = self.content.get(&*piece.volume).filter(|_| mapped.contains(&&*piece.volume))
            else {
                mark(piece.place, piece.place + piece.length);
                continue;
            };
            let alone = &&content[..];
            let filesystem = filesystem::detect(alone).expect("memory").expect("a file system");
            for extent in used_blocks::map(filesystem, alone).expect("a map").extents {
                let start = extent.start_bytes.max(piece.start);
                let end = extent.end_bytes().min(piece.start + piece.length);
                if start < end {
                    mark(piece.place + start - piece.start, piece.place + end - piece.start);
                }
            }
        }
        used
    }

    /// The map is what is expected, to the sector, and what is carried is all that the tools and the volumes need.
    fn check(&self, mapped: &[&str]) -> UsedMap {
        let map = self.image.map(FileSystem::Lvm);
        let expected = self.expected(mapped);
        let mut covered = vec![false; expected.len()];
        for extent in &map.extents {
            assert!(extent.start_bytes.is_multiple_of(SECTOR) && extent.length_bytes.is_multiple_of(SECTOR));
            covered[(extent.start_bytes / SECTOR) as usize..(extent.end_bytes() / SECTOR) as usize]
                .fill(true);
        }
        let differs = covered.iter().zip(&expected).position(|(covered, expected)| covered != expected);
        assert_eq!(differs, None, "the sector, of {mapped:?} in\n{:#?}", self.pieces);
        let in_use = expected.iter().filter(|used| **used).count() as u64 * SECTOR;
        assert_eq!(map.used_bytes, in_use, "in use");
        map
    }

    /// A copy of what the map says, in which the tools find the group as it was.
    fn restored(&self, map: &UsedMap) -> Image {
        let restored = self.image.restored(map);
        let said = |image: &Image| {
            let tools = tools(image);
            tools.run("vgck", &["vg"]);
            let listed = tools.run("lvs", &["-a", "-o", "lv_all,vg_all", "--nosuffix", "--units", "b", "vg"]);
            listed.replace(tools.device(0), "the device")
        };
        assert_eq!(said(&self.image), said(&restored));
        restored
    }

    /// A volume of a copy, in an image of its own.
    fn extract(&self, restored: &Image, volume: &str) -> Image {
        let image = Image::of_bytes(0);
        let file = restored.open();
        fs::write(&image.path, lvm_tools::read(&[(&file, 0)], &self.pieces, volume)).expect("an image");
        image
    }
}

/// The tools on one image.
fn tools(image: &Image) -> Tools {
    Tools::on(&[(&image.path, 0, image.open().length_bytes())])
}

/// An ext4 with a life behind it.
fn ext4(megabytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run("mkfs.ext4", &["-q", "-F", image.str()]);
    let mounted = image.mount("loop");
    age(&mounted.at, megabytes * MIB / 4, megabytes);
    add_unix_oddities(&mounted.at);
    drop(mounted);
    image
}

fn xfs(megabytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run("env", &[&SMALL_XFS[..], &["-q", "-f", image.str()]].concat());
    let mounted = image.mount("loop");
    age(&mounted.at, megabytes * MIB / 4, megabytes);
    drop(mounted);
    image
}

fn bytes(image: &Image) -> Vec<u8> {
    fs::read(&image.path).expect("the image")
}

/// The head of a swap area, and behind it what a system once put there.
fn swap(megabytes: u64) -> Vec<u8> {
    let image = Image::of_bytes(megabytes * MIB);
    fs::write(&image.path, vec![0x5A; (megabytes * MIB) as usize]).expect("an image");
    run("mkswap", &["-U", "6f9619ff-8b86-d011-b42d-00cf4fc964ff", image.str()]);
    bytes(&image)
}

fn files_of(image: &Image) -> BTreeMap<std::path::PathBuf, (u64, blake3::Hash)> {
    hashes(Path::new(&image.mount("loop,ro").at))
}

#[test]
fn each_volume_is_mapped_by_the_file_system_in_it_also_where_their_extents_lie_between_each_other_s() {
    let mut group = Group::make(140, &["--bootloaderareasize", "256k"], |tools| {
        for (volume, megabytes) in [("root", 20), ("home", 24), ("Swap_1", 8), ("blob", 3), ("memory", 4)] {
            tools.create("vg", volume, megabytes, &[]);
        }
        tools.create("vg", "gone", 5, &[]);
        tools.run("lvextend", &["-L", "+12m", "vg/root"]);
        tools.run("lvextend", &["-L", "+8m", "vg/home"]);
        tools.run("lvextend", &["-L", "+7m", "vg/root"]);
        tools.run("lvremove", &["-y", "vg/gone"]);
        tools.create("vg", "empty", 2, &[]);
        tools.create("vg", "luks", 16, &[]);
    });
    assert!(group.pieces.iter().filter(|piece| piece.volume == "root").count() > 2, "{:?}", group.pieces);
    let (root, home) = (ext4(39), xfs(32));
    group.put("root", bytes(&root));
    group.put("home", bytes(&home));
    group.put("Swap_1", swap(8));
    // The same, in a volume whose name does not say so.
    group.put("memory", swap(4));
    group.put("blob", (0..3 << 20).map(|byte: u32| (byte % 251) as u8).collect());
    let luks = Image::of_bytes(16 * MIB);
    let format = ["luksFormat", "-q", "--type", "luks1", "--pbkdf-force-iterations", "1000", "--key-file"];
    fs::write(luks.directory.path().join("key"), "a secret").expect("a key");
    let key = luks.directory.path().join("key");
    run("cryptsetup", &[&format[..], &[key.to_str().expect("UTF-8"), luks.str()]].concat());
    group.put("luks", bytes(&luks));

    let map = group.check(&["root", "home", "Swap_1"]);
    let restored = group.restored(&map);
    let (root_again, home_again) = (group.extract(&restored, "root"), group.extract(&restored, "home"));
    run("e2fsck", &["-fn", root_again.str()]);
    run("xfs_repair", &["-n", "-o", "force_geometry", home_again.str()]);
    assert!(files_of(&root).len() > 20 && files_of(&home).len() > 20);
    assert_eq!(files_of(&root_again), files_of(&root));
    assert_eq!(files_of(&home_again), files_of(&home));
    assert!(run("swaplabel", &[group.extract(&restored, "Swap_1").str()]).contains("6f9619ff"));
    for raw in ["blob", "memory", "luks"] {
        assert!(bytes(&group.extract(&restored, raw)) == group.content[raw], "{raw}");
    }
    run("cryptsetup", &["luksDump", group.extract(&restored, "luks").str()]);
}

/// Another description of a volume, in LVM's words.
fn volume(name: &str, number: u32, status: &str, extents: u64, segment: &str) -> String {
    format!(
        "{name} {{\nid = \"llF9Fi-MG0q-X3Me-gnxG-8vdy-eVge-LeXz{number:02}\"\nstatus = [{status}]\nflags = []\n\
         segment_count = 1\nsegment1 {{\nstart_extent = 0\nextent_count = {extents}\n{segment}\n}}\n}}\n"
    )
}

const SHOWN: &str = r#""READ", "WRITE", "VISIBLE""#;
const HIDDEN: &str = r#""READ", "WRITE""#;

/// A segment in one place.
fn linear(extent: u64) -> String {
    format!("type = \"striped\"\nstripe_count = 1\nstripes = [\"pv0\", {extent}]")
}

/// Adds volumes to the description of a group.
fn add_volumes(text: String, volumes: &[String]) -> String {
    let end = text.rfind("\t}\n\n}").expect("the end of the volumes");
    format!("{}{}{}", &text[..end], volumes.concat(), &text[end..])
}

#[test]
fn stripes_are_put_together_and_taken_apart() {
    // The tools put stripes on several devices only; the format knows no such rule.
    let mut group = Group::make(80, &[], |tools| {
        tools.create("vg", "first", 1, &[]);
        tools.describe("vg", |text| {
            let three = "type = \"striped\"\nstripe_count = 3\nstripe_size = 128\n\
                         stripes = [\"pv0\", 44, \"pv0\", 2, \"pv0\", 23]";
            let two = "type = \"striped\"\nstripe_count = 2\nstripe_size = 16\nstripes = [\"pv0\", 14, \"pv0\", 57]";
            add_volumes(text, &[volume("root", 1, SHOWN, 36, three), volume("home", 2, SHOWN, 16, two)])
        });
    });
    let (root, home) = (ext4(36), xfs(16));
    group.put("root", bytes(&root));
    group.put("home", bytes(&home));
    let map = group.check(&["root", "home"]);
    assert!(map.extents.len() > 100, "{}", map.extents.len());
    let restored = group.restored(&map);
    let (root_again, home_again) = (group.extract(&restored, "root"), group.extract(&restored, "home"));
    run("e2fsck", &["-fn", root_again.str()]);
    run("xfs_repair", &["-n", "-o", "force_geometry", home_again.str()]);
    assert_eq!(files_of(&root_again), files_of(&root));
    assert_eq!(files_of(&home_again), files_of(&home));
}

#[test]
fn what_is_made_of_volumes_or_part_of_one_is_carried_byte_by_byte() {
    let of = |name, number, extents, segment: &str| volume(name, number, SHOWN, extents, segment);
    let part = |name, number, extents, at| volume(name, number, HIDDEN, extents, &linear(at));
    let volumes = [
        of(
            "pool",
            1,
            1,
            "type = \"thin-pool\" metadata = \"pool_tmeta\" pool = \"pool_tdata\" transaction_id = 1 \
                          chunk_size = 128 discards = \"passdown\" zero_new_blocks = 1",
        ),
        part("pool_tmeta", 2, 1, 21),
        part("pool_tdata", 3, 1, 22),
        of("thin", 4, 2, "type = \"thin\" thin_pool = \"pool\" transaction_id = 0 device_id = 1"),
        of("snap", 5, 1, &linear(23)),
        of("snapshot0", 6, 12, "type = \"snapshot\" chunk_size = 8 origin = \"origin\" cow_store = \"snap\""),
        of(
            "raid",
            7,
            1,
            "type = \"raid1\" device_count = 2 region_size = 1024 raids = [\"raid_rmeta_0\", \
                          \"raid_rimage_0\", \"raid_rmeta_1\", \"raid_rimage_1\"]",
        ),
        part("raid_rmeta_0", 8, 1, 24),
        part("raid_rimage_0", 9, 1, 25),
        part("raid_rmeta_1", 10, 1, 26),
        part("raid_rimage_1", 11, 1, 27),
        volume(
            "pvmove0",
            12,
            "\"READ\", \"WRITE\", \"PVMOVE\", \"LOCKED\"",
            2,
            "type = \"mirror\" mirror_count = 2 \
                region_size = 1024 extents_moved = 0 mirrors = [\"pv0\", 28, \"pv0\", 31]",
        ),
        volume(
            "moving",
            13,
            "\"READ\", \"WRITE\", \"VISIBLE\", \"LOCKED\"",
            2,
            "type = \"striped\" stripe_count = 1 stripes = [\"pvmove0\", 0]",
        ),
        of("cached", 14, 9, "type = \"cache\" cache_pool = \"cpool\" origin = \"cached_corig\""),
        part("cached_corig", 15, 9, 34),
        volume(
            "cpool",
            16,
            HIDDEN,
            2,
            "type = \"cache-pool\" data = \"cpool_cdata\" metadata = \"cpool_cmeta\" \
                chunk_size = 128 cache_mode = \"writethrough\" policy = \"smq\"",
        ),
        part("cpool_cdata", 17, 2, 44),
        part("cpool_cmeta", 18, 2, 46),
        of("hole", 19, 2, "type = \"error\""),
        of("nothing", 20, 2, "type = \"zero\""),
        // As a tool of another day might say it.
        volume("locked", 21, "\"READ\", \"WRITE\", \"VISIBLE\", \"LOCKED\"", 9, &linear(49)),
    ];
    let mut group = Group::make(64, &[], |tools| {
        // Named as a word of the format: a type is no reference to a volume.
        tools.create("vg", "striped", 9, &[]);
        tools.create("vg", "origin", 12, &[]);
        tools.describe("vg", |text| add_volumes(text, &volumes));
    });
    // What each of these holds would be a file system by itself.
    let nine = bytes(&ext4(9));
    for volume in ["striped", "cached_corig", "locked"] {
        group.put(volume, nine.clone());
    }
    group.put("origin", bytes(&ext4(12)));
    let map = group.check(&["striped"]);
    let raw = group.pieces.iter().filter(|piece| piece.volume != "striped");
    for piece in raw {
        let covered = map.extents.iter().any(|extent| {
            extent.start_bytes <= piece.place && piece.place + piece.length <= extent.end_bytes()
        });
        assert!(covered, "{piece:?}");
    }
    group.restored(&map);
}

#[test]
fn a_group_in_a_volume_is_carried_byte_by_byte() {
    let mut inner = Group::make(12, &[], |tools| tools.create("vg", "root", 9, &[]));
    inner.put("root", bytes(&ext4(9)));
    let mut group = Group::make(20, &[], |tools| tools.create("vg", "machine", 12, &[]));
    group.put("machine", bytes(&inner.image));
    let map = group.check(&[]);
    let length_bytes = 4096 + group.own_areas.iter().map(|(_, length)| length).sum::<u64>() + 12 * MIB;
    assert_eq!(map.used_bytes, length_bytes);
    assert!(map.extents.iter().map(|extent: &Extent| extent.length_bytes).sum::<u64>() == length_bytes);
}

#[test]
fn both_copies_of_the_metadata_count_and_a_description_goes_round_the_end_of_its_ring() {
    let mut wrapped = false;
    let mut group = Group::make(
        24,
        &["--pvmetadatacopies", "2", "--metadatasize", "32k", "--dataalignment", "64k"],
        |tools| {
            tools.create("vg", "root", 9, &[]);
            for number in 0..150 {
                tools.run("vgchange", &["--addtag", &format!("tag{number}"), "vg"]);
                let said = tools.run("pvck", &["--dump", "headers", tools.device(0)]);
                let value = |key: &str| {
                    let line =
                        said.lines().find_map(|line| line.trim().strip_prefix(key)).expect("the field");
                    line.trim().parse::<u64>().expect("a number")
                };
                let end = value("mda_header_1.raw_locn[0].offset") + value("mda_header_1.raw_locn[0].size");
                if end > value("mda_header_1.size") {
                    wrapped = true;
                    return;
                }
            }
        },
    );
    assert!(wrapped, "the description stayed in one piece");
    assert_eq!(group.own_areas.len(), 2, "{:?}", group.own_areas);
    group.put("root", bytes(&ext4(9)));
    let map = group.check(&["root"]);
    group.restored(&map);
}
