//! What a group has beside file systems: what stands behind their ends, and what is encrypted.

use std::fs;

use mimeo_core::{
    disk::{
        filesystem::FileSystem,
        used_blocks::{UsedMap, lvm},
    },
    units::MIB,
};

use super::{Group, HIDDEN, SHOWN, add_volumes, bytes, ext4, linear, volume};
use crate::disk::{
    image::Image,
    lvm_tools::{self, Tools},
};

fn covered_bytes(map: &UsedMap) -> u64 {
    map.extents.iter().map(|extent| extent.length_bytes).sum()
}

fn pattern(length: u64) -> Vec<u8> {
    (0..length).map(|byte| (byte % 251) as u8).collect()
}

#[test]
fn what_stands_behind_a_file_system_in_a_volume_is_carried() {
    let mut group = Group::make(40, &[], |tools| {
        tools.create("vg", "first", 7, &[]);
        tools.create("vg", "root", 12, &[]);
        tools.create("vg", "after", 3, &[]);
        tools.run("lvremove", &["-y", "vg/first"]);
        tools.run("lvextend", &["-L", "+4m", "vg/root"]);
    });
    let mut content = bytes(&ext4(9));
    content.extend(pattern(7 * MIB));
    group.put("root", content);
    let map = group.check(&["root"]);
    assert!(group.pieces.iter().filter(|piece| piece.volume == "root").count() > 1, "{:?}", group.pieces);
    assert!(covered_bytes(&map) > 7 * MIB && covered_bytes(&map) < 19 * MIB, "{map:?}");
    let restored = group.restored(&map);
    let root = bytes(&group.extract(&restored, "root"));
    assert!(root[9 << 20..] == pattern(7 * MIB), "behind the file system");
}

#[test]
fn what_stands_behind_a_physical_volume_that_is_shorter_than_its_partition_is_carried() {
    let mut group = Group::make(24, &[], |tools| tools.create("vg", "root", 9, &[]));
    group.put("root", bytes(&ext4(9)));
    let before = covered_bytes(&group.check(&["root"]));
    let file = fs::File::options().write(true).open(&group.image.path).expect("the image");
    file.set_len(28 * MIB).expect("a longer image");
    group.image.write(26 * MIB, &pattern(MIB));
    let map = group.image.map(FileSystem::Lvm);
    assert_eq!(covered_bytes(&map), before + 4 * MIB);
    assert!(group.image.restored(&map).read(26 * MIB, 1 << 20) == pattern(MIB));
}

/// The first bytes of something that is encrypted.
fn encrypted(megabytes: u64, at: usize, magic: &[u8]) -> Vec<u8> {
    let mut content = vec![0; (megabytes * MIB) as usize];
    content[at..at + magic.len()].copy_from_slice(magic);
    content
}

#[test]
fn volumes_that_are_encrypted_or_one_of_several_are_told_by_their_names_where_they_begin() {
    let images = [Image::of_bytes(32 * MIB), Image::of_bytes(32 * MIB)];
    let pieces = {
        let tools = Tools::on(&[(&images[0].path, 0, 32 * MIB), (&images[1].path, 0, 32 * MIB)]);
        for number in [0, 1] {
            tools.run("pvcreate", &["-ff", "-y", tools.device(number)]);
        }
        tools.run("vgcreate", &["-s", "1m", "vg", tools.device(0), tools.device(1)]);
        tools.create("vg", "windows", 4, &[]);
        tools.create("vg", "root", 9, &[]);
        tools.create("vg", "member", 4, &[tools.device(1)]);
        tools.create("vg", "across", 8, &["-i", "2"]);
        tools.create("vg", "home", 6, &[tools.device(0)]);
        tools.run("lvextend", &["-L", "+4m", "vg/home", tools.device(1)]);
        tools.describe("vg", |text| {
            let raid = "type = \"raid1\" device_count = 2 region_size = 1024 raids = [\"raid_rmeta_0\", \
                        \"raid_rimage_0\", \"raid_rmeta_1\", \"raid_rimage_1\"]";
            let place = |number, at| linear(at).replace("pv0", &format!("pv{number}"));
            let volumes = [
                volume("raid", 1, SHOWN, 2, raid),
                volume("raid_rmeta_0", 2, HIDDEN, 1, &place(1, 20)),
                volume("raid_rimage_0", 3, HIDDEN, 2, &place(1, 21)),
                volume("raid_rmeta_1", 4, HIDDEN, 1, &place(1, 23)),
                volume("raid_rimage_1", 5, HIDDEN, 2, &place(1, 24)),
            ];
            add_volumes(text, &volumes)
        });
        tools.pieces("vg")
    };
    let files = images.each_ref().map(|image| fs::File::options().write(true).open(&image.path).expect("it"));
    let devices = [(&files[0], 0), (&files[1], 0)];
    let luks = |megabytes| encrypted(megabytes, 0, b"LUKS\xBA\xBE");
    let put = |volume, content: Vec<u8>| lvm_tools::write(&devices, &pieces, volume, &content);
    put("windows", encrypted(4, 3, b"-FVE-FS-"));
    put("root", bytes(&ext4(9)));
    put("member", encrypted(4, 4096, &0xA92B_4EFC_u32.to_le_bytes()));
    put("across", luks(8));
    put("home", luks(10));
    put("raid_rimage_0", luks(2));

    let open = images.each_ref().map(Image::open);
    let physical = open.each_ref().map(|image| lvm::PhysicalVolume::read(image).expect("a physical volume"));
    let opaque = [0, 1].map(|number| {
        let mapped = lvm::map(&open[number], &physical[number], &physical).expect("a map");
        mapped.opaque.into_iter().map(|(name, found)| format!("{name} {found:?}")).collect::<Vec<_>>()
    });
    // Where its first piece is.
    let expected = [0, 1].map(|device| -> Vec<String> {
        let begins_here = |(volume, _): &(&str, &str)| {
            let mut all = pieces.iter();
            all.any(|piece| piece.volume == *volume && piece.start == 0 && piece.device == device)
        };
        let all = [
            ("across", "Luks"),
            ("home", "Luks"),
            ("member", "LinuxRaid"),
            ("raid_rimage_0", "Luks"),
            ("windows", "BitLocker"),
        ];
        all.into_iter().filter(begins_here).map(|(volume, found)| format!("vg/{volume} {found}")).collect()
    });
    assert_eq!(opaque, expected);
    assert_eq!(opaque.concat().len(), 5, "{opaque:?}");
}
