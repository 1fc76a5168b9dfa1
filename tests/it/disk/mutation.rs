//! Every parser on real images with random damage: an error or a well-formed map, after few reads, never a panic.

use std::{
    cell::Cell,
    io,
    panic::{self, AssertUnwindSafe},
};

use mimeo_core::{
    disk::{
        ReadAt,
        filesystem::{self, FileSystem},
        gpt, layout, used_blocks,
    },
    units::{Extent, SectorSize},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    image::{Image, age, check_form, run},
    ntfs::mkntfs,
};
use crate::{
    fuzz_ext::fuzz_ext, fuzz_fat::fuzz_fat, fuzz_gpt::fuzz_gpt, fuzz_mbr::fuzz_mbr, fuzz_ntfs::fuzz_ntfs,
};

const MIB: u64 = 1 << 20;
/// Damaged versions of each image.
const ROUNDS: u64 = 1500;
/// Most reads of a volume, whatever its bytes say: a sound one of this size takes some hundred.
const READS_MAX: u64 = 20_000;

/// Bytes that count how often they are read.
struct Counted<'a> {
    bytes: &'a [u8],
    reads: Cell<u64>,
    bytes_read: Cell<u64>,
}

impl ReadAt for Counted<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        self.bytes_read.set(self.bytes_read.get() + buffer.len() as u64);
        self.bytes.read_exact_at(buffer, offset_bytes)
    }

    fn length_bytes(&self) -> u64 {
        self.bytes.length_bytes()
    }
}

impl<'a> Counted<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, reads: Cell::new(0), bytes_read: Cell::new(0) }
    }

    fn check(&self) {
        let (reads, bytes_read) = (self.reads.get(), self.bytes_read.get());
        assert!(reads < READS_MAX, "{reads} reads");
        assert!(bytes_read < 4 * self.bytes.len() as u64 + MIB, "{bytes_read} bytes read");
    }
}

/// Reads any bytes as a volume that holds `filesystem`.
pub(crate) fn check_volume(filesystem: FileSystem, bytes: &[u8]) {
    let volume = Counted::new(bytes);
    filesystem::detect(&volume).expect("memory does not fail");
    if let Ok(map) = used_blocks::map(filesystem, &volume) {
        check_form(&map, volume.length_bytes());
    }
    volume.check();
}

/// Reads any bytes as a disk, and fits what was found to others.
pub(crate) fn check_disk(bytes: &[u8]) {
    let disk = Counted::new(bytes);
    let layout = layout::read(&disk, SectorSize::B512);
    disk.check();
    let Ok(layout) = layout else { return };
    let mut places: Vec<Extent> = layout.table.partitions.iter().map(|partition| partition.place).collect();
    places.extend(layout.gaps.iter().chain([&layout.boot_area]));
    places.sort();
    assert!(places.windows(2).all(|pair| pair[0].end_bytes() <= pair[1].start_bytes), "{places:?}");
    assert!(places.iter().all(|place| place.end_bytes() <= disk.length_bytes()), "{places:?}");

    let head = &bytes[..layout.boot_area.length_bytes as usize];
    for (head, disk_bytes) in [(head, 5 * MIB), (head, 3 * MIB), (&head[..512], 9 * MIB)] {
        let Ok(writes) = gpt::fit_to_disk(head, &layout.table, SectorSize::B512, disk_bytes) else {
            continue;
        };
        for write in writes.groups.iter().flatten() {
            assert!(write.offset_bytes + write.bytes.len() as u64 <= disk_bytes, "a write behind the disk");
        }
    }
}

/// Damages `image` in the places that matter, again and again.
fn torment(name: &str, image: &Image, places: &[std::ops::Range<u64>], fuzz: fn(&[u8])) {
    let sound = std::fs::read(&image.path).expect("the image");
    let mut random = StdRng::seed_from_u64(7);
    let mut bytes = sound.clone();
    for round in 0..ROUNDS {
        let mut changes = Vec::new();
        for _ in 0..random.random_range(1..6) {
            let place = places[random.random_range(0..places.len())].clone();
            let at = random.random_range(place) as usize;
            let width = [1, 1, 2, 4, 8][random.random_range(0..5)].min(bytes.len() - at);
            let value = match random.random_range(0..4) {
                0 => random.random::<u64>(),
                1 => u64::MAX,
                2 => 1 << random.random_range(0..64),
                _ => 0,
            };
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            changes.push((at, width, value));
        }
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| fuzz(&bytes)));
        assert!(outcome.is_ok(), "{name}, round {round}: failed after {changes:x?}");
        for (at, width, _) in changes {
            bytes[at..at + width].copy_from_slice(&sound[at..at + width]);
        }
    }
}

#[test]
fn damaged_ext_file_systems() {
    for (name, arguments) in [
        ("with checksums", &["-t", "ext4", "-b", "1024", "-g", "1024"][..]),
        ("without", &["-t", "ext4", "-b", "1024", "-g", "1024", "-O", "^metadata_csum,^uninit_bg"]),
        (
            "meta_bg",
            &[
                "-t",
                "ext4",
                "-b",
                "1024",
                "-g",
                "512",
                "-O",
                "meta_bg,^resize_inode,^metadata_csum,^uninit_bg",
            ],
        ),
        ("bigalloc", &["-t", "ext4", "-b", "1024", "-C", "8192", "-O", "bigalloc,^metadata_csum,^uninit_bg"]),
    ] {
        let image = Image::of_bytes(6 * MIB);
        run("mke2fs", &[&["-q", "-F"], arguments, &[image.str()]].concat());
        torment(name, &image, &[1024..2048, 1024..1400, 2048..8192, 8192..100_000], fuzz_ext);
    }
}

#[test]
fn damaged_fat_file_systems() {
    for (kind, sectors) in [("12", "8"), ("16", "1"), ("32", "1")] {
        let image = Image::of_bytes(8 * MIB);
        run("mkfs.fat", &["-F", kind, "-s", sectors, image.str()]);
        torment(kind, &image, &[0..90, 0..90, 512..40_000], fuzz_fat);
    }
}

#[test]
fn damaged_ntfs_file_systems() {
    let image = mkntfs(6, 1024);
    {
        let mounted = image.mount_ntfs("big_writes");
        age(&mounted.at, 300_000, 4);
        for number in 0..40 {
            std::fs::write(mounted.at.join(format!("{number:090}")), b"x").expect("a file");
        }
        std::fs::write(mounted.at.join("hiberfil.sys"), [0; 5000]).expect("a file");
    }
    let bytes = std::fs::read(&image.path).expect("the image");
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    let table = number(0x30) * 1024;
    let index = bytes.windows(4).position(|window| window == b"INDX").expect("an index block") as u64;
    let records = [0, 2, 3, 5, 6].map(|record| table + record * 1024..table + (record + 1) * 1024 - 600);
    let places = [&records[..], &[0..0x50, index..index + 4096]].concat();
    torment("ntfs", &image, &places, fuzz_ntfs);
}

#[test]
fn damaged_guid_partition_tables() {
    let image = Image::of_bytes(4 * MIB);
    run("sgdisk", &["-n", "1:2048:+512K", "-n", "2:0:+512K", image.str()]);
    let end = 4 * MIB;
    let places = [440..512, 512..604, 1024..1400, end - 512..end - 420, end - 33 * 512..end - 32 * 512];
    torment("gpt", &image, &places, fuzz_gpt);
}

#[test]
fn damaged_master_boot_records() {
    let image = mbr_disk(8);
    let record = |at: u64| at * 512 + 440..at * 512 + 512;
    torment("mbr", &image, &[record(0), record(4096), record(8192)], fuzz_mbr);
}

/// A disk with both checksums of its first header as they should be.
pub(crate) fn with_right_checksums(disk: &[u8]) -> Vec<u8> {
    let mut disk = disk.to_vec();
    let crc = |bytes: &[u8]| -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        };
        !bytes.iter().fold(!0, step)
    };
    if disk.len() < 128 << 10 {
        return disk;
    }
    let field = |disk: &[u8], at: usize| {
        u32::from_le_bytes(disk[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let length = field(&disk, 512 + 80).saturating_mul(field(&disk, 512 + 84)).min(64 << 10);
    let entries = crc(&disk[1024..1024 + length]);
    disk[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
    disk[512 + 16..512 + 20].fill(0);
    let header = crc(&disk[512..512 + field(&disk, 512 + 12).min(512)]);
    disk[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
    disk
}

/// A disk with one primary and two logical partitions.
fn mbr_disk(megabytes: u64) -> Image {
    let image = Image::of_bytes(megabytes * MIB);
    let script = image.directory.path().join("script");
    std::fs::write(
        &script,
        "label: dos\nstart=2048,size=1024\nstart=4096,type=5\nstart=4200,size=512\n\
        start=8292,size=512\n",
    )
    .expect("a script");
    let script = std::fs::File::open(&script).expect("the script");
    let made = std::process::Command::new("sfdisk").args(["-q", image.str()]).stdin(script).status();
    assert!(made.expect("sfdisk is needed (apt install fdisk)").success());
    image
}
