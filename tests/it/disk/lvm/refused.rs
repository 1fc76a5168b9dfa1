//! Groups of which a disk has only a part, and volumes that are no source as they are.

use std::fs;

use mimeo_core::{
    disk::{
        filesystem::FileSystem,
        used_blocks::{self, UsedBlocksError, lvm},
    },
    failure::UncleanReason,
    units::MIB,
};

use super::{Group, bytes, ext4, swap, tools};
use crate::disk::{image::Image, lvm_tools::Tools};

/// Two physical volumes of one group, filled by `fill`.
fn pair(first: &[&str], second: &[&str], fill: impl FnOnce(&Tools)) -> [Image; 2] {
    let images = [Image::of_bytes(24 * MIB), Image::of_bytes(24 * MIB)];
    let tools = Tools::on(&[(&images[0].path, 0, 24 * MIB), (&images[1].path, 0, 24 * MIB)]);
    for (number, arguments) in [first, second].into_iter().enumerate() {
        tools.run("pvcreate", &[arguments, &["-ff", "-y", tools.device(number)]].concat());
    }
    tools.run("vgcreate", &["-s", "1m", "vg", tools.device(0), tools.device(1)]);
    fill(&tools);
    drop(tools);
    images
}

fn refusal(image: &Image) -> UsedBlocksError {
    used_blocks::map(FileSystem::Lvm, &image.open()).expect_err("this must be refused")
}

#[test]
fn a_group_with_a_part_elsewhere_is_refused_by_its_name() {
    let images = pair(&[], &["--metadataignore", "y"], |tools| tools.create("vg", "root", 4, &[]));
    let named = refusal(&images[0]);
    assert!(
        matches!(&named, UsedBlocksError::GroupElsewhere { group: Some(group) } if group == "vg"),
        "{named:?}"
    );
    // The other one knows only that some group has it.
    let nameless = refusal(&images[1]);
    assert!(matches!(nameless, UsedBlocksError::GroupElsewhere { group: None }), "{nameless:?}");
}

#[test]
fn physical_volumes_of_one_disk_know_their_group_from_each_other() {
    let images = pair(&[], &["--pvmetadatacopies", "0"], |tools| {
        tools.create("vg", "root", 9, &[]);
        tools.create("vg", "across", 8, &["-i", "2"]);
        // The first has no room left for all of it.
        tools.create("vg", "both", 12, &[]);
    });
    let open = images.each_ref().map(Image::open);
    let physical = open.each_ref().map(|image| lvm::PhysicalVolume::read(image).expect("a physical volume"));
    let maps =
        [0, 1].map(|number| lvm::map(&open[number], &physical[number], &physical).expect("a map").used);
    // Nothing in these volumes is a file system, and their extents are 29 of the 46 that there are.
    let covered = maps.iter().flat_map(|map| &map.extents).map(|extent| extent.length_bytes).sum::<u64>();
    assert_eq!(covered, 29 * MIB + MIB + 4096);
    assert!(maps[1].extents.len() > 1, "{:?}", maps[1]);
    for number in [0, 1] {
        let twice = [physical[number].clone(), physical[number].clone(), physical[1 - number].clone()];
        let refused = lvm::map(&open[number], &physical[number], &twice);
        assert!(matches!(refused, Err(UsedBlocksError::Damaged { .. })), "{refused:?}");
    }
}

#[test]
fn what_no_group_has_is_free_and_what_a_group_exported_is_not() {
    let orphan = Image::of_bytes(24 * MIB);
    {
        let tools = tools(&orphan);
        tools.run("pvcreate", &["-ff", "-y", tools.device(0)]);
    }
    let map = orphan.map(FileSystem::Lvm);
    assert_eq!(map.used_bytes, MIB, "{map:?}");

    let mut group = Group::make(24, &[], |tools| tools.create("vg", "root", 9, &[]));
    tools(&group.image).run("vgexport", &["vg"]);
    group.put("root", bytes(&ext4(9)));
    group.check(&["root"]);

    // A group without volumes, and what becomes of a physical volume that leaves its group.
    let empty = Group::make(24, &[], |_| ());
    assert_eq!(empty.check(&[]).used_bytes, MIB);
    tools(&empty.image).run("vgremove", &["vg"]);
    assert_eq!(empty.image.map(FileSystem::Lvm).used_bytes, MIB);
}

#[test]
fn a_file_system_in_a_volume_must_be_at_rest_and_the_volume_is_named() {
    let mut group = Group::make(40, &[], |tools| {
        tools.create("vg", "root", 16, &[]);
        tools.create("vg", "swap", 8, &[]);
    });
    let (root, torn) = (ext4(16), Image::of_bytes(0));
    {
        let mounted = root.mount("loop");
        fs::write(mounted.at.join("written"), [1; 100_000]).expect("a file");
        // As a power cut would leave the disk.
        fs::copy(&root.path, &torn.path).expect("a copy");
    }
    let check = |group: &Group, volume: &str, filesystem: FileSystem, reason: UncleanReason| match refusal(
        &group.image,
    ) {
        UsedBlocksError::InVolume { volume: named, filesystem: found, error } => {
            assert_eq!((named, found), (format!("vg/{volume}"), filesystem));
            assert!(matches!(*error, UsedBlocksError::Unclean { reason: is } if is == reason), "{error:?}");
        }
        error => panic!("{error:?}"),
    };
    group.put("root", bytes(&torn));
    check(&group, "root", FileSystem::Ext, UncleanReason::JournalNotEmpty);
    group.put("root", bytes(&root));
    let mut asleep = swap(8);
    asleep[4086..4096].copy_from_slice(b"S1SUSPEND\0");
    group.put("swap", asleep);
    check(&group, "swap", FileSystem::Swap, UncleanReason::Hibernated);
    group.put("swap", swap(8));
    group.check(&["root", "swap"]);
}

#[test]
fn what_was_made_over_a_physical_volume_is_not_mapped_by_its_label() {
    let mut group = Group::make(24, &[], |tools| tools.create("vg", "root", 9, &[]));
    group.put("root", bytes(&ext4(9)));
    // mkfs leaves the first kilobyte to boot loaders, and with it the label.
    let mut volume = bytes(&ext4(24));
    volume[..1024].copy_from_slice(&bytes(&group.image)[..1024]);
    group.image.write(0, &volume);
    let map = used_blocks::map(FileSystem::Lvm, &group.image.open());
    assert!(matches!(map, Err(UsedBlocksError::Unsupported { .. })), "{map:?}");
}
