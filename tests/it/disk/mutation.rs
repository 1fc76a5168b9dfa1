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
        gpt, layout,
        used_blocks::{self, UsedMap},
    },
    units::SectorSize,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    image::{Image, age, check_form, run},
    ntfs::mkntfs,
};

const MIB: u64 = 1 << 20;
/// Damaged versions of each image.
const ROUNDS: u64 = 1500;

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

/// Damages `image` in the places that matter and reads it, again and again.
fn torment(name: &str, image: &Image, places: &[std::ops::Range<u64>], read: impl Fn(&dyn ReadAt)) {
    let sound = std::fs::read(&image.path).expect("the image");
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..ROUNDS {
        let mut bytes = sound.clone();
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
        let counted = Counted { bytes: &bytes, reads: Cell::new(0), bytes_read: Cell::new(0) };
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| read(&counted)));
        assert!(outcome.is_ok(), "{name}, round {round}: panic after {changes:x?}");
        let (reads, bytes_read) = (counted.reads.get(), counted.bytes_read.get());
        let bound = 4 * bytes.len() as u64;
        assert!(reads < 20_000 && bytes_read < bound, "{name}, round {round}: {reads} reads, {changes:x?}");
    }
}

fn map(expected: FileSystem) -> impl Fn(&dyn ReadAt) {
    move |volume| {
        filesystem::detect(volume).expect("memory does not fail");
        let map: Result<UsedMap, _> = used_blocks::map(expected, volume);
        if let Ok(map) = map {
            check_form(&map, volume.length_bytes());
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
        torment(name, &image, &[1024..2048, 1024..1400, 2048..8192, 8192..100_000], map(FileSystem::Ext));
    }
}

#[test]
fn damaged_fat_file_systems() {
    for (kind, sectors, filesystem) in
        [("12", "8", FileSystem::Fat12), ("16", "1", FileSystem::Fat16), ("32", "1", FileSystem::Fat32)]
    {
        let image = Image::of_bytes(8 * MIB);
        run("mkfs.fat", &["-F", kind, "-s", sectors, image.str()]);
        torment(kind, &image, &[0..90, 0..90, 512..40_000], map(filesystem));
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
    torment("ntfs", &image, &places, map(FileSystem::Ntfs));
}

#[test]
fn damaged_partition_tables() {
    let image = Image::of_bytes(4 * MIB);
    run("sgdisk", &["-n", "1:2048:+512K", "-n", "2:0:+512K", image.str()]);
    let end = 4 * MIB;
    let places = [440..512, 512..604, 1024..1400, end - 512..end - 420, end - 33 * 512..end - 32 * 512];
    let read = |disk: &dyn ReadAt| {
        if let Ok(layout) = layout::read(disk, SectorSize::B512) {
            let mut head = vec![0; layout.boot_area.length_bytes as usize];
            disk.read_exact_at(&mut head, 0).expect("the boot area lies in the disk");
            drop(gpt::fit_to_disk(&head, &layout.table, SectorSize::B512, 5 * MIB));
            drop(gpt::fit_to_disk(&head[..512], &layout.table, SectorSize::B512, 3 * MIB));
        }
    };
    torment("gpt", &image, &places, read);
    // Checksums hide most of the code from random damage: here they are made right again.
    torment("gpt with right checksums", &image, &[524..604, 1024..1400], |disk| {
        let mut bytes = vec![0; disk.length_bytes() as usize];
        disk.read_exact_at(&mut bytes, 0).expect("memory");
        mend_checksums(&mut bytes);
        read(&&bytes[..]);
    });
}

fn mend_checksums(disk: &mut [u8]) {
    let crc = |bytes: &[u8]| -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8)
                .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
        };
        !bytes.iter().fold(!0, step)
    };
    let field = |disk: &[u8], at: usize| {
        u32::from_le_bytes(disk[at..at + 4].try_into().expect("four bytes")) as usize
    };
    let length = field(disk, 512 + 80).saturating_mul(field(disk, 512 + 84)).min(64 << 10);
    let entries = crc(&disk[1024..1024 + length]);
    disk[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
    disk[512 + 16..512 + 20].fill(0);
    let header = crc(&disk[512..512 + field(disk, 512 + 12).min(512)]);
    disk[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
}
