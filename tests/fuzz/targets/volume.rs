//! Volumes: which file system they hold, and which of their bytes are in use.

use mimeo_core::{
    disk::{
        ReadAt as _,
        filesystem::{self, FileSystem},
        used_blocks::{self, UsedMap},
    },
    units::{Extent, MIB},
};

use super::{lvm_image, volume_images};
use crate::{Target, sparse::SparseDisk};

pub(super) const EXT: Target = Target {
    name: "ext",
    whose: "the disk that is captured",
    check: |input| check(FileSystem::Ext, input, 4 * MIB),
    seeds: volume_images::ext,
    words: &[b"\x53\xef", b"\x00\x04\x00\x00", b"\x02\x00", b"\x10\x00\x00\x00", b"\x01\x00\x00\x00"],
    input_bytes_max: 64 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const BTRFS: Target = Target {
    name: "btrfs",
    whose: "the disk that is captured",
    check: |input| {
        check(FileSystem::Btrfs, input, 4 * MIB);
        let mut volume = SparseDisk::parse(input);
        put_right_checksums(&mut volume, &SparseDisk::parse(input));
        check_volume(FileSystem::Btrfs, &volume, 4 * MIB);
    },
    seeds: volume_images::btrfs,
    words: &[
        b"_BHRfS_M",
        b"\x01\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x10\x00\x00",
        b"\xa8",
        b"\xa9",
        b"\xc0",
        b"\xe4",
    ],
    input_bytes_max: 128 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const FAT: Target = Target {
    name: "fat",
    whose: "the disk that is captured",
    check: |input| check(FileSystem::Fat32, input, 4 * MIB),
    seeds: volume_images::fat,
    words: &[b"\xeb\x58\x90", b"\xf8\xff\xff\x0f", b"\x55\xaa", b"\xf7\xff\xff\x0f"],
    input_bytes_max: 32 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const EXFAT: Target = Target {
    name: "exfat",
    whose: "the disk that is captured",
    check: |input| {
        check(FileSystem::ExFat, input, 4 * MIB);
        let mut volume = SparseDisk::parse(input);
        put_right_boot_checksum(&mut volume);
        check_volume(FileSystem::ExFat, &volume, 4 * MIB);
    },
    seeds: volume_images::exfat,
    words: &[b"EXFAT   ", b"\xff\xff\xff\xff", b"\x81\x00", b"\x81\x01", b"\x55\xaa", b"\x09\x00\x02"],
    input_bytes_max: 32 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const F2FS: Target = Target {
    name: "f2fs",
    whose: "the disk that is captured",
    check: |input| {
        check(FileSystem::F2fs, input, 4 * MIB);
        let mut volume = SparseDisk::parse(input);
        put_right_checkpoints(&mut volume);
        check_volume(FileSystem::F2fs, &volume, 4 * MIB);
    },
    seeds: volume_images::f2fs,
    words: &[
        b"\x10\x20\xf5\xf2",
        b"\x09\x00\x00\x00",
        b"\xfc\x0f\x00\x00",
        b"\xc0\x00\x00\x00",
        b"\x00\x10\x00\x00",
    ],
    input_bytes_max: 48 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const LVM: Target = Target {
    name: "lvm",
    whose: "the disk that is captured",
    check: |input| {
        check_logical_volumes(&SparseDisk::parse(input));
        let mut volume = SparseDisk::parse(input);
        lvm_image::put_right_checksums(&mut volume);
        check_logical_volumes(&volume);
    },
    seeds: lvm_image::seeds,
    words: &[
        b"LABELONE",
        b"LVM2 001",
        b" LVM2 x[5A%r0N*>",
        b"stripe_count = 2",
        b"extent_count = 1",
        b"\"pv0\", 1",
        b"type = \"striped\"",
        b"\"VISIBLE\"",
        b"4294967295",
        b"segment2 {",
    ],
    input_bytes_max: 128 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const NTFS: Target = Target {
    name: "ntfs",
    whose: "the disk that is captured",
    check: |input| check(FileSystem::Ntfs, input, NTFS_BYTES_READ),
    seeds: volume_images::ntfs,
    words: &[
        b"NTFS    ",
        b"FILE",
        b"INDX",
        b"RSTR",
        b"$\x00I\x003\x000\x00",
        b"h\0i\0b\0e\0r\0",
        b"p\0a\0g\0e\0f\0",
        b"\xff\xff\xff\xff",
    ],
    input_bytes_max: 96 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const XFS: Target = Target {
    name: "xfs",
    whose: "the disk that is captured",
    check: |input| check(FileSystem::Xfs, input, 4 * MIB),
    seeds: volume_images::xfs,
    words: &[
        b"XFSB",
        b"XAGF",
        b"ABTB",
        b"ABTC",
        b"AB3B",
        b"AB3C",
        b"\xfe\xed\xba\xbe",
        b"\x00\x00\x00\x01",
        b"\xff\xff\xff\xff",
    ],
    input_bytes_max: 96 << 10,
    memory_bytes_max: 64 << 20,
};

/// Most that is read of an NTFS volume beside its bitmap, whatever its size: the root directory, and for each of
/// twenty values an attribute list whose every entry names a file record of 4 KiB.
const NTFS_BYTES_READ: u64 = 1024 * MIB;
/// Most reads of a volume.
const READS_MAX: u64 = 200_000;

/// Puts the checksum of every superblock and node of 4 KiB as it should be: no fuzzer guesses one. `source` has the
/// same content: what is read here must not count as the parser's.
fn put_right_checksums(volume: &mut SparseDisk, source: &SparseDisk) {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    for block in source.blocks_in_use(4096) {
        let mut bytes = [0; 4096];
        if source.read_exact_at(&mut bytes, block).is_ok() {
            volume.put(block, &CRC.checksum(&bytes[32..]).to_le_bytes());
        }
    }
}

fn check(filesystem: FileSystem, input: &[u8], constant_bytes: u64) {
    check_volume(filesystem, &SparseDisk::parse(input), constant_bytes);
}

/// In each logical volume there may be an NTFS, and each of its sectors may be a stripe, which is read alone.
fn check_logical_volumes(volume: &SparseDisk) {
    let reads_max = (4 * volume.length_bytes() + NTFS_BYTES_READ) / 512;
    check_within(FileSystem::Lvm, volume, NTFS_BYTES_READ, reads_max);
}

/// A map is well formed, and took reading in proportion to the volume and `constant_bytes`.
fn check_volume(filesystem: FileSystem, volume: &SparseDisk, constant_bytes: u64) {
    check_within(filesystem, volume, constant_bytes, READS_MAX);
}

fn check_within(filesystem: FileSystem, volume: &SparseDisk, constant_bytes: u64, reads_max: u64) {
    filesystem::detect(volume).expect("memory does not fail");
    if let Ok(map) = used_blocks::map(filesystem, volume) {
        check_form(&map, volume.length_bytes());
    }
    let (reads, bytes_read) = volume.was_read();
    assert!(reads <= reads_max, "{reads} reads");
    let bytes_max = 4 * volume.length_bytes() + constant_bytes;
    assert!(bytes_read <= bytes_max, "{bytes_read} bytes read of a volume of {}", volume.length_bytes());
}

/// A map is in order, merged, inside the volume, and counts what it covers.
fn check_form(map: &UsedMap, volume_bytes: u64) {
    let apart = map.extents.windows(2).all(|pair| pair[0].end_bytes() < pair[1].start_bytes);
    assert!(apart, "extents touch or are out of order");
    let inside =
        map.extents.iter().all(|extent| extent.length_bytes > 0 && extent.end_bytes() <= volume_bytes);
    assert!(inside, "an extent is empty or reaches out of the volume");
    let covered: u64 = map.extents.iter().map(|extent| extent.length_bytes).sum();
    assert!(map.used_bytes <= covered, "{} bytes in use, {covered} covered", map.used_bytes);
    let mut all: Vec<Extent> = map.extents.iter().chain(&map.zeroed).copied().collect();
    all.sort();
    let apart = all.windows(2).all(|pair| pair[0].end_bytes() <= pair[1].start_bytes);
    assert!(apart, "what comes back as zeros is carried too, or twice");
    let inside =
        map.zeroed.iter().all(|extent| extent.length_bytes > 0 && extent.end_bytes() <= volume_bytes);
    assert!(inside, "an extent of zeros is empty or reaches out of the volume");
}

/// Chance does not find the checksum of an exFAT volume's boot region: its last sector becomes what the eleven before
/// it ask for.
fn put_right_boot_checksum(volume: &mut SparseDisk) {
    let head = volume.head(12 * 4096);
    let sector_bytes = 1_usize << head.get(108).map_or(9, |shift| *shift.clamp(&9, &12));
    let Some(region) = head.get(..12 * sector_bytes).map(|region| &region[..11 * sector_bytes]) else {
        return;
    };
    let counted = region.iter().enumerate().filter(|(at, _)| ![106, 107, 112].contains(at));
    let sum = counted.fold(0_u32, |sum, (_, &byte)| sum.rotate_right(1).wrapping_add(byte.into()));
    let sums = sum.to_le_bytes().repeat(128);
    for at in (region.len()..12 * sector_bytes).step_by(512) {
        volume.put(at as u64, &sums);
    }
}

/// Nor the checksums of an F2FS volume's checkpoints: where the first superblock says that they are, the first and the
/// last block of both packs get theirs.
fn put_right_checkpoints(volume: &mut SparseDisk) {
    const BLOCK: u64 = 4096;
    const UNINVERTED: crc::Algorithm<u32> = crc::Algorithm { xorout: 0, ..crc::CRC_32_ISO_HDLC };
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&UNINVERTED);
    let field = |volume: &SparseDisk, at| {
        let mut bytes = [0; 4];
        volume.read_exact_at(&mut bytes, at).map_or(0, |()| u64::from(u32::from_le_bytes(bytes)))
    };
    let first = field(volume, 1024 + 76);
    for start in [first, first + 512] {
        let last = (start + field(volume, start * BLOCK + 136)).saturating_sub(1);
        for place in [start, last].map(|block| block.saturating_mul(BLOCK)) {
            let mut block = [0; BLOCK as usize];
            if volume.read_exact_at(&mut block, place).is_err() {
                continue;
            }
            // Where large bitmaps take the end of the block, the checksum stands before them.
            let at = if field(volume, place + 164) == 192 { 192 } else { block.len() - 4 };
            let mut sum = CRC.digest_with_initial(0xF2F5_2010_u32.reverse_bits());
            sum.update(&block[..at]);
            sum.update(&block[at + 4..]);
            volume.put(place + at as u64, &sum.finalize().to_le_bytes());
        }
    }
}
