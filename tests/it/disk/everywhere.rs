//! Every file system in every kind of partition table, through the engine: captured, and restored onto another disk.

use std::{collections::BTreeMap, fs, io::Write, path::PathBuf, process::Stdio};

use clap::Parser;
use mimeo_core::{
    disk::{
        ReadAt,
        filesystem::{self, FileSystem},
        layout,
        used_blocks::{self, UsedBlocksError},
    },
    units::{MIB, SectorSize},
};
use mimeo_lab::content;
use mimeo_server::cli::{self, Cli};

use super::{
    btrfs, exfat, ext, f2fs, fat,
    image::{Image, age, hashes, run},
    lvm_tools::{self, Tools},
    ntfs, oracle, xfs,
};

/// The test below that goes through both lists.
pub(super) const TEST: &str = "every_file_system_in_every_table";

/// Where the first partition starts, and what stands between two: the record of a logical one.
const GAP: u64 = MIB;
/// Old rubbish in the free space of a volume, which must stay behind.
const RUBBISH: [u8; 4096] = [0xA5; 4096];

type Files = BTreeMap<PathBuf, (u64, blake3::Hash)>;

pub(super) struct Volume {
    pub(super) name: &'static str,
    /// How it is carried, in a word for people.
    pub(super) carried: &'static str,
    kind: Option<FileSystem>,
    /// The type of its partition in a master boot record.
    partition_type: &'static str,
    make: fn() -> Image,
    sound: fn(&Image),
    /// Empty where nothing here can read files out.
    files: fn(&Image) -> Files,
}

const BY_USE: &str = "by use";
const RAW: &str = "raw";
const NO_TABLE: &str = "no table";

impl Volume {
    /// What becomes of it in a table. Bytes that nobody knows are no disk by themselves, and where no table calls a
    /// swap area one, its signature alone is too little.
    pub(super) fn carried_in(&self, table: &Table) -> &'static str {
        match self.kind {
            None if table.name == NO_TABLE => "refused",
            Some(FileSystem::Swap) if table.name == NO_TABLE => RAW,
            _ => self.carried,
        }
    }
}

pub(super) const VOLUMES: &[Volume] = &[
    Volume {
        name: "ext4",
        carried: BY_USE,
        kind: Some(FileSystem::Ext),
        partition_type: "83",
        make: || filled("mke2fs", &["-q", "-F", "-t", "ext4"], 64),
        sound: |image| ext::check_sound("ext4", image),
        files: |image| hashes(&image.mount("loop,ro").at),
    },
    Volume {
        name: "XFS",
        carried: BY_USE,
        kind: Some(FileSystem::Xfs),
        partition_type: "83",
        make: || {
            let image = xfs::mkfs(64, &[]);
            age(&image.mount("loop").at, 4 * MIB, 21);
            image
        },
        sound: |image| xfs::check_sound("XFS", image),
        files: |image| hashes(&image.mount("loop,ro,nouuid").at),
    },
    Volume {
        name: "Btrfs",
        carried: BY_USE,
        kind: Some(FileSystem::Btrfs),
        partition_type: "83",
        make: || filled("mkfs.btrfs", &["-q"], 128),
        sound: |image| btrfs::check_sound("Btrfs", image),
        files: |image| hashes(&image.mount("loop,ro").at),
    },
    Volume {
        name: "F2FS",
        carried: BY_USE,
        kind: Some(FileSystem::F2fs),
        partition_type: "83",
        make: || {
            let image = f2fs::mkfs(128 * MIB, &[]);
            f2fs::fill(&image, 2);
            image
        },
        sound: |image| f2fs::check_sound("F2FS", image),
        files: |_| Files::new(),
    },
    Volume {
        name: "FAT16",
        carried: BY_USE,
        kind: Some(FileSystem::Fat16),
        partition_type: "e",
        make: || fat_of(&["-F", "16"], 40),
        sound: |image| drop(fat::check_sound("FAT16", image)),
        files: fat::content,
    },
    Volume {
        name: "FAT32",
        carried: BY_USE,
        kind: Some(FileSystem::Fat32),
        partition_type: "c",
        make: || fat_of(&["-F", "32", "-s", "1"], 64),
        sound: |image| drop(fat::check_sound("FAT32", image)),
        files: fat::content,
    },
    Volume {
        name: "exFAT",
        carried: BY_USE,
        kind: Some(FileSystem::ExFat),
        partition_type: "7",
        make: || {
            let image = exfat::mkfs(64 * MIB, &[]);
            age(&image.mount_as("exfat-fuse", "rw").at, 4 * MIB, 22);
            image
        },
        sound: |image| exfat::check_clean("exFAT", image),
        files: exfat::content,
    },
    Volume {
        name: "NTFS",
        carried: BY_USE,
        kind: Some(FileSystem::Ntfs),
        partition_type: "7",
        make: || {
            let image = ntfs::mkntfs(64, 4096);
            age(&image.mount_ntfs("big_writes").at, 4 * MIB, 23);
            image
        },
        sound: |image| ntfs::check_sound("NTFS", image),
        files: |image| hashes(&image.mount_ntfs("ro").at),
    },
    Volume {
        name: "swap",
        carried: "UUID and label",
        kind: Some(FileSystem::Swap),
        partition_type: "82",
        make: || {
            let image = Image::of_bytes(16 * MIB);
            run("chmod", &["600", image.str()]);
            run("mkswap", &["-L", "swap", image.str()]);
            image.write(MIB, &[0x77; 1 << 20]);
            image
        },
        sound: |image| assert!(run("swaplabel", &[image.str()]).contains("LABEL: swap")),
        files: |_| Files::new(),
    },
    Volume {
        name: "LVM2: ext4 and swap",
        carried: BY_USE,
        kind: Some(FileSystem::Lvm),
        partition_type: "8e",
        make: group,
        sound: |image| {
            tools(image).run("vgck", &[GROUP]);
            ext::check_sound("ext4 in a group", &volume_of(image, "root"));
            assert!(run("swaplabel", &[volume_of(image, "swap_1").str()]).contains("LABEL: swap"));
        },
        files: |image| hashes(&volume_of(image, "root").mount("loop,ro").at),
    },
    Volume {
        name: "LUKS",
        carried: RAW,
        kind: Some(FileSystem::Luks),
        partition_type: "83",
        make: || luks("luks2"),
        sound: |image| drop(run("cryptsetup", &["isLuks", image.str()])),
        files: |_| Files::new(),
    },
    Volume {
        name: "unknown bytes",
        carried: RAW,
        kind: None,
        partition_type: "da",
        make: || {
            let image = Image::of_bytes(8 * MIB);
            image.write(3 * MIB + 77, &(0..300_000_u32).flat_map(u32::to_le_bytes).collect::<Vec<_>>());
            image
        },
        sound: |image| assert_eq!(image.read(3 * MIB + 77 + 4 * 77_777, 4), 77_777_u32.to_le_bytes()),
        files: |_| Files::new(),
    },
];

/// A file system that Linux fills.
fn filled(mkfs: &str, arguments: &[&str], megabytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run(mkfs, &[arguments, &[image.str()]].concat());
    age(&image.mount("loop").at, 4 * MIB, 20);
    image
}

fn fat_of(arguments: &[&str], megabytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    run("mkfs.fat", &[arguments, &[image.str()]].concat());
    fat::fill(&image, 3 * MIB);
    image
}

const GROUP: &str = "debian";

/// A group with an ext4 in two pieces, swap, and free extents.
fn group() -> Image {
    let image = Image::of_bytes(64 * MIB);
    let tools = tools(&image);
    tools.run("pvcreate", &["-ff", "-y", tools.device(0)]);
    tools.run("vgcreate", &["-s", "1m", GROUP, tools.device(0)]);
    tools.create(GROUP, "root", 20, &[]);
    tools.create(GROUP, "swap_1", 8, &[]);
    tools.run("lvextend", &["-L", "+12m", &format!("{GROUP}/root")]);
    let (swap, pieces) = (Image::of_bytes(8 * MIB), tools.pieces(GROUP));
    run("chmod", &["600", swap.str()]);
    run("mkswap", &["-L", "swap", swap.str()]);
    let file = fs::File::options().write(true).open(&image.path).expect("the image");
    for (volume, content) in [("root", filled("mke2fs", &["-q", "-F", "-t", "ext4"], 32)), ("swap_1", swap)] {
        let content = fs::read(&content.path).expect("the content");
        lvm_tools::write(&[(&file, 0)], &pieces, volume, &content);
    }
    drop(tools);
    image
}

fn tools(image: &Image) -> Tools {
    Tools::on(&[(&image.path, 0, image.open().length_bytes())])
}

/// A logical volume in an image of its own.
fn volume_of(image: &Image, volume: &str) -> Image {
    let (copy, file) = (Image::of_bytes(0), image.open());
    let content = lvm_tools::read(&[(&file, 0)], &tools(image).pieces(GROUP), volume);
    fs::write(&copy.path, content).expect("an image");
    run("chmod", &["600", copy.str()]);
    copy
}

/// A volume whose key takes no time to find, which is of no matter here.
fn luks(version: &str) -> Image {
    let image = Image::of_bytes(32 * MIB);
    let quick = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let quick = if version == "luks1" { &quick[2..] } else { &quick };
    let mut format = std::process::Command::new("cryptsetup")
        .args([&["luksFormat", "-q", "--type", version], quick, &[image.str(), "-"]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .expect("cryptsetup is needed (apt install cryptsetup-bin)");
    format.stdin.take().expect("a pipe").write_all(b"secret").expect("cryptsetup reads");
    assert!(format.wait().expect("it ends").success());
    image
}

#[test]
fn an_encrypted_volume_is_recognised_and_left_to_a_raw_capture() {
    for version in ["luks1", "luks2"] {
        let image = luks(version);
        assert_eq!(filesystem::detect(&image.open()).expect("reading"), Some(FileSystem::Luks), "{version}");
        let map = used_blocks::map(FileSystem::Luks, &image.open());
        assert!(matches!(map, Err(UsedBlocksError::Unsupported { .. })), "{version}: {map:?}");
    }
}

pub(super) struct Table {
    pub(super) name: &'static str,
    /// Partitions a disk, at these places (first MiB and how many) for the volumes in their order.
    partition: fn(&Image, &[(u64, u64)]),
}

pub(super) const TABLES: &[Table] = &[
    Table { name: "GPT", partition: gpt },
    Table {
        name: "GPT with a hybrid MBR",
        partition: |disk, places| {
            gpt(disk, places);
            run("sgdisk", &["-h", "1:2:3", disk.str()]);
        },
    },
    Table { name: "MBR: three primary, the others logical", partition: mbr },
    Table { name: NO_TABLE, partition: |_, _| () },
];

fn gpt(disk: &Image, places: &[(u64, u64)]) {
    for (number, (start, length)) in (1..).zip(places) {
        let swap = VOLUMES[number - 1].kind == Some(FileSystem::Swap);
        let kind = if swap { "8200" } else { "8300" };
        let place = format!("{number}:{start}M:+{length}M");
        run("sgdisk", &["-n", &place, "-t", &format!("{number}:{kind}"), disk.str()]);
    }
}

fn mbr(disk: &Image, places: &[(u64, u64)]) {
    const PRIMARY: usize = 3;
    let lines = places.iter().zip(VOLUMES).map(|((start, length), volume)| {
        format!("start={}, size={}, type={}\n", start * 2048, length * 2048, volume.partition_type)
    });
    let mut lines: Vec<String> = lines.collect();
    // The record of each logical partition stands in the gap before it.
    lines.insert(PRIMARY, format!("start={}, type=5\n", (places[PRIMARY].0 - GAP / MIB) * 2048 + 1024));
    let script = disk.directory.path().join("script");
    fs::write(&script, format!("label: dos\n{}", lines.concat())).expect("a script");
    let mut sfdisk = std::process::Command::new("sfdisk");
    sfdisk.args(["-q", disk.str()]).stdin(fs::File::open(&script).expect("the script"));
    let made = sfdisk.output().expect("sfdisk is needed");
    assert!(made.status.success(), "{made:?}");
}

/// The disks of a table: one with all volumes in it, or one for each volume. With them, where each volume lies in bytes.
fn disks(table: &Table, volumes: &[Image]) -> Vec<(Image, Vec<(usize, u64)>)> {
    if table.name == NO_TABLE {
        let alone = |(number, volume): (usize, &Image)| {
            let disk = Image::of_bytes(0);
            run("cp", &["--sparse=always", volume.str(), disk.str()]);
            (disk, vec![(number, 0)])
        };
        let known = volumes.iter().enumerate().filter(|(number, _)| VOLUMES[*number].kind.is_some());
        return known.map(alone).collect();
    }
    let mut places = Vec::new();
    let mut at = GAP;
    for volume in volumes {
        let length = volume.open().length_bytes();
        places.push((at / MIB, length / MIB));
        at += length + GAP;
    }
    let disk = Image::of_bytes(at + GAP);
    (table.partition)(&disk, &places);
    for (volume, (start, _)) in volumes.iter().zip(&places) {
        let seek = format!("seek={start}");
        let (from, to) = (format!("if={}", volume.str()), format!("of={}", disk.str()));
        run("dd", &[&from, &to, "bs=1M", &seek, "conv=notrunc,sparse", "status=none"]);
    }
    vec![(disk, places.iter().map(|(start, _)| start * MIB).enumerate().collect())]
}

async fn mimeo_image(arguments: &[&str], library: &str) {
    let line = [&["mimeo", "--json", "image"], arguments, &["--store", library]].concat();
    let Cli { options, command } = Cli::parse_from(line);
    let code = format!("{:?}", cli::run(options, command).await);
    assert_eq!(code, format!("{:?}", std::process::ExitCode::SUCCESS), "{arguments:?}");
}

/// The disk goes into the library and onto another one.
async fn carried(disk: &Image, library: &str) -> Image {
    let target = Image::of_bytes(0);
    fs::remove_file(&target.path).expect("it was made just now");
    mimeo_image(&["capture", disk.str(), "--name", "disk"], library).await;
    mimeo_image(&["restore", "disk", target.str()], library).await;
    target
}

/// The middle of the longest free piece of a volume that is carried by use.
fn free_place(volume: &Volume, image: &Image) -> Option<u64> {
    let map = image.map(volume.kind.filter(|_| volume.carried != RAW)?);
    let free = oracle::complement(&map.extents, image.open().length_bytes());
    let longest = free.iter().max_by_key(|extent| extent.length_bytes).expect("free space");
    assert!(longest.length_bytes > 4 * RUBBISH.len() as u64, "{}: hardly anything is free", volume.name);
    Some(longest.start_bytes + longest.length_bytes / 2)
}

/// The volumes of the restored disk: in use the same bytes, sound, and every file there.
fn check_volume(table: &Table, volume: &Volume, original: &Image, expected: &Files, disk: &Image, at: u64) {
    let name = format!("{} in {}", volume.name, table.name);
    let length = original.open().length_bytes();
    let restored = Image::of_bytes(length);
    let skip = format!("skip={at}");
    let count = format!("count={length}");
    let (from, to) = (format!("if={}", disk.str()), format!("of={}", restored.str()));
    run("dd", &[&from, &to, "bs=1M", "iflag=skip_bytes,count_bytes", &skip, &count, "status=none"]);
    assert_eq!(filesystem::detect(&restored.open()).expect("reading"), volume.kind, "{name}");
    match volume.kind {
        Some(kind) if volume.carried_in(table) != RAW => {
            assert!(restored.map(kind) == original.map(kind), "{name}: another map");
            let place = free_place(volume, original).expect("a map");
            assert!(original.read(place, RUBBISH.len()) == RUBBISH);
            assert!(restored.read(place, RUBBISH.len()) != RUBBISH, "{name}: free space was carried");
        }
        _ => {
            assert!(fs::read(&restored.path).expect("it") == fs::read(&original.path).expect("it"), "{name}")
        }
    }
    (volume.sound)(&restored);
    assert_eq!(&(volume.files)(&restored), expected, "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_system_in_every_table() {
    let volumes: Vec<Image> = VOLUMES.iter().map(|volume| (volume.make)()).collect();
    for (volume, image) in VOLUMES.iter().zip(&volumes) {
        if let Some(place) = free_place(volume, image) {
            image.write(place, &RUBBISH);
        }
    }
    let expected: Vec<Files> =
        VOLUMES.iter().zip(&volumes).map(|(volume, image)| (volume.files)(image)).collect();
    assert_eq!(expected.iter().filter(|files| files.len() > 5).count(), 8, "too few files to prove anything");
    let unknown = VOLUMES.iter().position(|volume| volume.kind.is_none()).expect("one that nobody knows");
    assert!(layout::read(&volumes[unknown].open(), SectorSize::B512).is_err());
    for table in TABLES {
        let library = tempfile::tempdir().expect("a folder");
        let library = library.path().join("library");
        for (disk, places) in disks(table, &volumes) {
            let layout = layout::read(&disk.open(), SectorSize::B512);
            assert_eq!(layout.map(|layout| layout.table.partitions.len()).ok(), Some(places.len()));
            let target = carried(&disk, library.to_str().expect("UTF-8")).await;
            let bytes = content::compare(&disk.path, &target.path, SectorSize::B512).expect(table.name);
            assert!(bytes > 0, "{}", table.name);
            for (number, at) in places {
                check_volume(table, &VOLUMES[number], &volumes[number], &expected[number], &target, at);
            }
        }
    }
}
