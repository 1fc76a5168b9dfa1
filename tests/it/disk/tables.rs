//! Partition tables as sgdisk and sfdisk write them, damaged, and fitted to other disks.

use std::{fs::File, panic};

use mimeo_core::{
    disk::{
        ReadAt,
        filesystem::{self, FileSystem},
        gpt::{self, FitError, GptError},
        layout::{self, Layout, LayoutError, LayoutWarning},
        mbr::ChainError,
        table::{PartitionKind, PartitionTable, Scheme, TableWrite, WHOLE_DISK},
    },
    units::{Extent, SectorSize},
};

use super::image::{Image, run, run_any};

const MIB: u64 = 1 << 20;
const SECTOR: SectorSize = SectorSize::B512;

/// A disk as an installer leaves it: EFI system partition, a system with attributes, one out of order.
fn gpt_disk(megabytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    let arguments = [
        "-n",
        "1:2048:+16M",
        "-t",
        "1:ef00",
        "-c",
        "1:EFI système \u{1F4BE}",
        "-n",
        "3:60M:+8M",
        "-t",
        "3:8200",
        "-n",
        "2:24M:+20M",
        "-t",
        "2:0700",
        "-A",
        "2:set:63",
        "-A",
        "2:set:0",
    ];
    run("sgdisk", &[&arguments[..], &[image.str()]].concat());
    // Boot code, as GRUB puts it there.
    image.write(0, &[0xEB, 0x63, 0x90, 0xC0, 0xDE]);
    image
}

fn read(image: &Image) -> Layout {
    layout::read(&image.open(), SECTOR).unwrap_or_else(|error| panic!("{error}"))
}

/// Number, start and sectors of every partition by sfdisk, which the layout must agree with.
fn check_against_sfdisk(image: &Image, layout: &Layout) {
    let json: serde_json::Value = serde_json::from_str(&run("sfdisk", &["-J", image.str()])).expect("JSON");
    let listed = json["partitiontable"]["partitions"]
        .as_array()
        .expect("partitions")
        .iter()
        .filter(|partition| !["5", "f", "85"].contains(&partition["type"].as_str().expect("a type")));
    let expected: Vec<(u32, u64, u64, String)> = listed
        .map(|partition| {
            let node = partition["node"].as_str().expect("a node").trim_start_matches(image.str());
            let sectors = |key: &str| partition[key].as_u64().expect("a number") * 512;
            let name = partition["name"].as_str().unwrap_or_default().to_owned();
            (node.parse().expect("a number"), sectors("start"), sectors("size"), name)
        })
        .collect();
    let mut actual: Vec<_> = layout
        .table
        .partitions
        .iter()
        .map(|p| (p.number, p.place.start_bytes, p.place.length_bytes, p.name.clone()))
        .collect();
    actual.sort();
    assert_eq!(actual, expected);
}

/// Writes what `fit_to_disk` orders onto a blank disk.
fn fitted(source: &Image, table: &PartitionTable, disk_bytes: u64) -> Result<Image, FitError> {
    let head = source.read(0, MIB as usize);
    let writes = gpt::fit_to_disk(&head, table, SECTOR, disk_bytes)?;
    let target = Image::of_bytes(disk_bytes);
    for write in writes.groups.iter().flatten() {
        assert_eq!((write.offset_bytes % 512, write.bytes.len() % 512), (0, 0), "whole sectors");
        target.write(write.offset_bytes, &write.bytes);
    }
    Ok(target)
}

fn check_gpt(image: &Image) {
    let text = run("sgdisk", &["-v", image.str()]);
    assert!(text.contains("No problems found"), "{text}");
    let device = File::options().read(true).write(true).open(&image.path).expect("the image");
    let opened =
        ::gpt::GptConfig::new().only_valid_headers(true).open_from_device(device).expect("the gpt crate");
    assert_eq!(opened.partitions().len(), read(image).table.partitions.len());
}

#[test]
fn a_gpt_is_read_as_sfdisk_reads_it() {
    let image = gpt_disk(100);
    let layout = read(&image);
    check_against_sfdisk(&image, &layout);
    assert_eq!(layout.warnings, []);
    assert_eq!(layout.boot_area, Extent { start_bytes: 0, length_bytes: MIB });
    assert_eq!(
        layout.gaps,
        [
            Extent { start_bytes: 17 * MIB, length_bytes: 7 * MIB },
            Extent { start_bytes: 44 * MIB, length_bytes: 16 * MIB },
        ]
    );
    let second = layout.table.partitions.iter().find(|partition| partition.number == 2).expect("partition 2");
    assert_eq!(second.attributes, 1 << 63 | 1);
}

#[test]
fn a_gpt_fits_disks_of_other_sizes() {
    let source = gpt_disk(100);
    let table = read(&source).table;
    for megabytes in [70, 100, 101, 4096] {
        let target = fitted(&source, &table, megabytes * MIB).expect("it fits");
        check_gpt(&target);
        let layout = read(&target);
        assert_eq!((&layout.table, &layout.warnings), (&table, &vec![]), "{megabytes} MiB");
        assert_eq!(target.read(0, 440), source.read(0, 440), "boot code");
        let protective = u32::from_le_bytes(target.read(446 + 12, 4).try_into().expect("four bytes"));
        assert_eq!(u64::from(protective), megabytes * 2048 - 1);
    }
    let same = fitted(&source, &table, 100 * MIB).expect("it fits");
    assert_eq!(same.read(0, MIB as usize), source.read(0, MIB as usize), "the same disk, bit for bit");
    assert_eq!(same.read(100 * MIB - 33 * 512, 33 * 512), source.read(100 * MIB - 33 * 512, 33 * 512));

    let needed = 68 * MIB + 33 * 512;
    fitted(&source, &table, needed).expect("it just fits");
    let refused = fitted(&source, &table, needed - 512).map(drop);
    assert_eq!(refused, Err(FitError::DiskTooSmall { needed, actual: needed - 512 }));
}

#[test]
fn the_order_of_the_writes_leaves_no_half_table() {
    let source = gpt_disk(100);
    let head = source.read(0, MIB as usize);
    let writes = gpt::fit_to_disk(&head, &read(&source).table, SECTOR, 200 * MIB).expect("it fits");
    let places: Vec<Vec<u64>> =
        writes.groups.iter().map(|group| group.iter().map(|write| write.offset_bytes).collect()).collect();
    assert_eq!(places, [vec![200 * MIB - 33 * 512, 200 * MIB - 512], vec![1024], vec![512], vec![0]]);
    let target = Image::of_bytes(200 * MIB);
    for (index, group) in writes.groups.iter().enumerate() {
        group.iter().for_each(|write| target.write(write.offset_bytes, &write.bytes));
        let readable = layout::read(&target.open(), SECTOR).is_ok();
        // Without sector 0, sound copies alone are taken for a table by us, not by firmware.
        assert_eq!(readable, index >= 2, "after group {index}");
    }
}

#[test]
fn unusual_counts_of_entries_are_kept() {
    for count in ["4", "56", "256", "1024"] {
        let source = Image::of_bytes(100 * MIB);
        run("sgdisk", &["-S", count, "-n", "1:4096:+16M", "-n", "4:40M:+8M", source.str()]);
        let table = read(&source).table;
        let Scheme::Gpt { entry_count, .. } = table.scheme else { panic!("no GPT") };
        // sgdisk fills whole sectors.
        assert_eq!(entry_count, count.parse::<u32>().expect("a number").next_multiple_of(4));
        let target = fitted(&source, &table, 150 * MIB).expect("it fits");
        check_gpt(&target);
        assert_eq!(read(&target).table, table);
    }
}

#[test]
fn a_table_that_was_moved_away_from_sector_2_stays_there() {
    let source = Image::of_bytes(100 * MIB);
    run("sgdisk", &["-j", "1000", "-n", "1:4096:+16M", source.str()]);
    let table = read(&source).table;
    let target = fitted(&source, &table, 150 * MIB).expect("it fits");
    check_gpt(&target);
    assert_eq!(target.read(1000 * 512, 16 << 10), source.read(1000 * 512, 16 << 10));
}

#[test]
fn a_damaged_copy_is_said_and_mended() {
    let sound = read(&gpt_disk(100));
    let source = gpt_disk(100);
    let table = read(&source).table;
    let end = 100 * MIB;
    type Warned = fn(&LayoutWarning) -> bool;
    let primary: Warned = |warning| matches!(warning, LayoutWarning::PrimaryDamaged(_));
    let backup: Warned = |warning| matches!(warning, LayoutWarning::BackupDamaged(_));
    for (name, offset, warned) in [
        ("first header", 512 + 60, primary),
        ("first entries", 1024 + 300, primary),
        ("second header", end - 512 + 60, backup),
        ("second entries", end - 33 * 512 + 300, backup),
    ] {
        let before = source.read(offset, 1);
        source.write(offset, &[before[0] ^ 0x10]);
        let layout = read(&source);
        assert_eq!(layout.table, table, "{name}");
        assert!(
            matches!(&layout.warnings[..], [warning] if warned(warning)),
            "{name}: {:?}",
            layout.warnings
        );
        let target = fitted(&source, &layout.table, 150 * MIB).expect("it fits");
        check_gpt(&target);
        assert_eq!(read(&target).table, table, "{name}");
        assert_eq!(read(&target).warnings, []);
        source.write(offset, &before);
    }
    assert_eq!(sound.warnings, []);
    source.write(512, &[0; 512]);
    source.write(end - 512, &[0; 512]);
    let both = layout::read(&source.open(), SECTOR);
    assert!(matches!(both, Err(LayoutError::Gpt(GptError::BothDamaged { .. }))), "{both:?}");
}

#[test]
fn an_image_on_a_larger_disk_has_its_second_copy_in_the_middle() {
    let image = gpt_disk(100);
    File::options().write(true).open(&image.path).and_then(|file| file.set_len(120 * MIB)).expect("growing");
    let warnings = read(&image).warnings;
    assert_eq!(warnings, [LayoutWarning::BackupNotAtEnd { lba: 100 * 2048 - 1, last: 120 * 2048 - 1 }]);
    image.write(1024, &[0xFF; 64]);
    assert!(matches!(read(&image).warnings[..], [LayoutWarning::PrimaryDamaged(_), _]));
}

/// A table whose entries have 256 bytes: no partitioning program makes one, the specification allows it.
fn gpt_of_wide_entries() -> (Image, PartitionTable) {
    let source = gpt_disk(100);
    let mut table = read(&source).table;
    if let Scheme::Gpt { entry_bytes, entry_count, .. } = &mut table.scheme {
        (*entry_bytes, *entry_count) = (256, 64);
    }
    // The first copy in the head is damaged, so it is rebuilt in the shape that the table names.
    source.write(512, &[0; 16]);
    (fitted(&source, &table, 100 * MIB).expect("it fits"), table)
}

#[test]
fn wide_entries_are_read_and_kept_where_the_gpt_crate_panics() {
    let (image, table) = gpt_of_wide_entries();
    assert_eq!(read(&image).table, table);
    // A reserved byte behind the name, in both copies, survives the fitting.
    let target = fitted(&image, &table, 130 * MIB).expect("it fits");
    assert_eq!(read(&target).table, table);
    let device = File::options().read(true).write(true).open(&image.path).expect("the image");
    let opened = panic::catch_unwind(|| ::gpt::GptConfig::new().open_from_device(device).map(drop));
    assert!(opened.is_err(), "the gpt crate has learned entry sizes: docs/adr/0006 can be reconsidered");
}

#[test]
fn damaged_entries_are_read_from_the_second_copy_where_the_gpt_crate_gives_up() {
    let image = gpt_disk(100);
    image.write(1024 + 300, &[0xAA]);
    read(&image);
    let device = File::options().read(true).write(true).open(&image.path).expect("the image");
    let opened = ::gpt::GptConfig::new().open_from_device(device);
    assert!(opened.is_err(), "the gpt crate has learned to use the second entries: docs/adr/0006");
}

#[test]
fn a_table_on_a_disk_of_4096_byte_sectors() {
    let image = Image::of_bytes(200 * MIB);
    let device = run("losetup", &["--show", "-f", "-b", "4096", image.str()]).trim().to_owned();
    run("sgdisk", &["-n", "1:2048:+16M", "-n", "2:0:0", &device]);
    run("losetup", &["-d", &device]);
    let layout = layout::read(&image.open(), SectorSize::B4096).expect("a layout");
    assert_eq!(layout.table.partitions[0].place, Extent { start_bytes: 8 * MIB, length_bytes: 16 * MIB });
    let head = image.read(0, 8 << 20);
    let writes = gpt::fit_to_disk(&head, &layout.table, SectorSize::B4096, 300 * MIB).expect("it fits");
    let target = Image::of_bytes(300 * MIB);
    writes.groups.iter().flatten().for_each(|write| target.write(write.offset_bytes, &write.bytes));
    assert_eq!(layout::read(&target.open(), SectorSize::B4096).expect("a layout").table, layout.table);
    let device = run("losetup", &["--show", "-f", "-b", "4096", target.str()]).trim().to_owned();
    let (code, text) = run_any("sgdisk", &["-v", &device]);
    run("losetup", &["-d", &device]);
    assert!(code == Some(0) && text.contains("No problems found"), "{text}");
}

#[test]
fn a_hybrid_record_counts_as_gpt_and_stays_as_it_is() {
    let image = gpt_disk(100);
    run("sgdisk", &["-h", "1:2", image.str()]);
    let layout = read(&image);
    assert_eq!(layout.warnings, [LayoutWarning::Hybrid]);
    let target = fitted(&image, &layout.table, 150 * MIB).expect("it fits");
    assert_eq!(target.read(0, 512), image.read(0, 512));
    assert_eq!(read(&target).table, layout.table);
}

/// Two primary partitions, and three logical ones in an extended one.
fn mbr_disk() -> Image {
    let image = Image::of_bytes(200 * MIB);
    let script = image.directory.path().join("script");
    let text = "label: dos\nlabel-id: 0x1234abcd\n\
        start=2048, size=40960, type=7, bootable\n\
        start=65536, size=262144, type=f\n\
        start=43008, size=2048, type=83\n\
        start=67584, size=20480, type=83\n\
        start=100000, size=20480, type=82\n\
        start=200704, size=4096, type=83\n";
    std::fs::write(&script, text).expect("a script");
    let made = std::process::Command::new("sfdisk")
        .args(["-q", image.str()])
        .stdin(File::open(&script).expect("the script"))
        .status();
    assert!(made.expect("sfdisk").success());
    image
}

#[test]
fn logical_partitions_are_followed_and_their_records_lie_in_carried_bytes() {
    let image = mbr_disk();
    let layout = read(&image);
    check_against_sfdisk(&image, &layout);
    assert_eq!(layout.table.scheme, Scheme::Mbr { disk_signature: 0x1234_ABCD });
    let kinds: Vec<_> = layout.table.partitions.iter().map(|p| (p.number, p.kind)).collect();
    let byte = PartitionKind::Byte;
    assert_eq!(kinds, [(1, byte(7)), (3, byte(0x83)), (5, byte(0x83)), (6, byte(0x82)), (7, byte(0x83))]);
    assert_eq!(layout.table.partitions[0].attributes, 0x80);

    // What is carried outside the partitions makes the same disk again.
    let target = Image::of_bytes(200 * MIB);
    for piece in layout.gaps.iter().chain([&layout.boot_area]) {
        target.write(piece.start_bytes, &image.read(piece.start_bytes, piece.length_bytes as usize));
    }
    let head = image.read(0, MIB as usize);
    let writes = gpt::fit_to_disk(&head, &layout.table, SECTOR, 250 * MIB).expect("it fits");
    assert_eq!(writes.groups.len(), 1);
    assert_eq!(writes.groups[0][0].bytes, image.read(0, 512));
    assert_eq!(read(&target), layout);
}

#[test]
fn a_void_header_of_an_older_table_is_written_right_before_sector_0() {
    let image = mbr_disk();
    let header = gpt_disk(100).read(512, 512);
    image.write(512, &header);
    let layout = read(&image);
    assert_eq!(layout.warnings, [LayoutWarning::OldGptIgnored]);
    let head = image.read(0, MIB as usize);
    let writes = gpt::fit_to_disk(&head, &layout.table, SECTOR, 250 * MIB).expect("it fits");
    let write = |offset_bytes, bytes| vec![TableWrite { offset_bytes, bytes }];
    assert_eq!(writes.groups, [write(512, header), write(0, image.read(0, 512))]);
}

#[test]
fn chains_that_lead_astray_are_refused() {
    let refused = |change: &dyn Fn(&Image)| {
        let image = mbr_disk();
        change(&image);
        layout::read(&image.open(), SECTOR).expect_err("a broken chain")
    };
    // The link of the first extended boot record: entry 1, its first sector at 8.
    let first = 65_536 * 512;
    let link = |to: u32| move |image: &Image| image.write(first + 446 + 16 + 8, &to.to_le_bytes());
    let looped = refused(&link(0));
    assert!(matches!(looped, LayoutError::Chain(ChainError::Loop { lba: 65_536 })), "{looped}");
    let outside = refused(&link(262_144));
    assert!(matches!(outside, LayoutError::Chain(ChainError::Outside { .. })), "{outside}");
    let elsewhere = refused(&link(100));
    assert!(matches!(elsewhere, LayoutError::Chain(ChainError::NotARecord { lba: 65_636 })), "{elsewhere}");
    let overlapping = refused(&|image| image.write(446 + 12, &60_000_u32.to_le_bytes()));
    assert!(matches!(overlapping, LayoutError::Overlap { first: 1, second: 3 }), "{overlapping}");
    let beyond = refused(&|image| image.write(446 + 32 + 12, &u32::MAX.to_le_bytes()));
    assert!(matches!(beyond, LayoutError::PartitionOutside { number: 3, .. }), "{beyond}");
}

#[test]
fn a_chain_without_end_is_refused() {
    let image = Image::of_bytes(64 * MIB);
    let entry = |kind: u8, first: u32, sectors: u32| {
        let mut entry = [0; 16];
        entry[4] = kind;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        entry
    };
    let record =
        |entries: [[u8; 16]; 2]| [&[0; 446][..], &entries.concat(), &[0; 32], &[0x55, 0xAA]].concat();
    image.write(0, &record([entry(5, 100, 100_000), [0; 16]]));
    for number in 0..200_u32 {
        let here = u64::from(100 + number * 10) * 512;
        image.write(here, &record([entry(0x83, 2, 4), entry(5, (number + 1) * 10, 10)]));
    }
    let endless = layout::read(&image.open(), SECTOR);
    assert!(matches!(endless, Err(LayoutError::Chain(ChainError::TooLong))), "{endless:?}");
}

#[test]
fn a_long_gap_carries_only_the_boot_records_in_it() {
    let image = Image::of_bytes(1024 * MIB);
    let script = image.directory.path().join("script");
    let text = "label: dos\nstart=2048, size=2048\nstart=4096, type=5\nstart=1843200, size=2048\n";
    std::fs::write(&script, text).expect("a script");
    let made = std::process::Command::new("sfdisk")
        .args(["-q", image.str()])
        .stdin(File::open(&script).expect("the script"))
        .status();
    assert!(made.expect("sfdisk").success());
    let layout = read(&image);
    assert_eq!(layout.gaps, [Extent { start_bytes: 2 * MIB, length_bytes: MIB }]);
    assert!(matches!(layout.warnings[..], [LayoutWarning::FreeSpace { bytes, .. }] if bytes == 897 * MIB));
}

#[test]
fn what_is_no_partitioned_disk_is_named() {
    let blank = Image::of_bytes(8 * MIB);
    assert!(matches!(layout::read(&blank.open(), SECTOR), Err(LayoutError::NoTable)));
    blank.write(510, &[0x55, 0xAA]);
    assert!(matches!(layout::read(&blank.open(), SECTOR), Err(LayoutError::Empty)));
    assert!(matches!(layout::read(&&[0_u8; 100][..], SECTOR), Err(LayoutError::Io(_))));

    let ext = Image::of_bytes(8 * MIB);
    run("mke2fs", &["-q", "-F", ext.str()]);
    let ntfs = super::ntfs::mkntfs(16, 4096);
    let fat = Image::of_bytes(8 * MIB);
    run("mkfs.fat", &[fat.str()]);
    for (image, expected) in [(ext, FileSystem::Ext), (ntfs, FileSystem::Ntfs), (fat, FileSystem::Fat12)] {
        let layout = read(&image);
        assert_eq!(filesystem::detect(&image.open()).expect("readable"), Some(expected));
        let [volume] = &layout.table.partitions[..] else { panic!("{:?}", layout.table) };
        let disk = Extent { start_bytes: 0, length_bytes: image.open().length_bytes() };
        assert_eq!((layout.table.scheme, volume.number, volume.place), (Scheme::Whole, WHOLE_DISK, disk));
        assert_eq!((layout.boot_area.length_bytes, layout.gaps), (0, vec![]));
    }

    let dynamic = mbr_disk();
    dynamic.write(446 + 4, &[0x42]);
    assert!(matches!(layout::read(&dynamic.open(), SECTOR), Err(LayoutError::DynamicDisk)));

    // An old GPT under a new master boot record: what the firmware sees counts.
    let old = gpt_disk(100);
    let record = mbr_disk().read(446, 16);
    old.write(446, &record);
    assert_eq!(read(&old).warnings, [LayoutWarning::OldGptIgnored]);
    old.write(446, &[0; 66]);
    assert_eq!(read(&old).warnings, [LayoutWarning::NoProtectiveRecord]);
}
