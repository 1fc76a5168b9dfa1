//! Partition tables: of the disk that is captured, and fitted to others.

use mimeo_core::{
    disk::{
        ReadAt,
        gpt::{self, FitError, GptError, ParsedGpt},
        layout::{self, Layout},
        table::{Scheme, TableWrites},
    },
    units::{Extent, MIB, SectorSize},
};

use super::volume_images;
use crate::{Target, sparse::SparseDisk};

pub(super) const GPT: Target = Target {
    name: "gpt",
    whose: "the disk that is captured",
    check: |input| {
        check(&SparseDisk::parse(input));
        let mut disk = SparseDisk::parse(input);
        put_right_checksums(&mut disk, 512);
        let length = disk.length_bytes();
        put_right_checksums(&mut disk, length.saturating_sub(512));
        check(&disk);
    },
    seeds: || vec![seed(&volume_images::gpt())],
    words: &[
        b"EFI PART",
        b"\x00\x00\x01\x00\x5c\x00\x00\x00",
        b"\x80\x00\x00\x00\x80\x00\x00\x00",
        b"\x55\xaa",
        b"\xee",
    ],
    input_bytes_max: 32 << 10,
    memory_bytes_max: 64 << 20,
};

pub(super) const MBR: Target = Target {
    name: "mbr",
    whose: "the disk that is captured",
    check: |input| check(&SparseDisk::parse(input)),
    seeds: || vec![seed(&volume_images::mbr())],
    words: &[b"\x55\xaa", b"\x80", b"\x05", b"\x0f", b"\x85", b"\x42", b"\xee"],
    input_bytes_max: 8 << 10,
    memory_bytes_max: 64 << 20,
};

/// The head of a disk that is handed to the fitting: as much as holds a table of ordinary shape.
const HEAD_BYTES: usize = 256 << 10;

fn seed(disk: &[u8]) -> Vec<u8> {
    SparseDisk::emit(disk, |disk| drop(layout::read(disk, SectorSize::B512)))
}

/// What is found lies on the disk without overlap, whatever the size of a sector, and took few reads.
fn check(disk: &SparseDisk) {
    for sector in [SectorSize::B512, SectorSize::B4096] {
        let Ok(layout) = layout::read(disk, sector) else { continue };
        check_places(&layout, disk.length_bytes());
        check_fit(&layout, disk, sector);
    }
    let (reads, bytes_read) = disk.was_read();
    assert!(reads < 1000, "{reads} reads");
    assert!(bytes_read < 16 * MIB, "{bytes_read} bytes read");
}

fn check_places(layout: &Layout, disk_bytes: u64) {
    let mut places: Vec<Extent> = layout.table.partitions.iter().map(|partition| partition.place).collect();
    places.extend(layout.gaps.iter().chain([&layout.boot_area]));
    places.sort();
    assert!(places.windows(2).all(|pair| pair[0].end_bytes() <= pair[1].start_bytes), "{places:?}");
    assert!(places.iter().all(|place| place.end_bytes() <= disk_bytes), "{places:?}");
}

/// The table on disks of other sizes: refused with numbers, or writes that lie on the disk and read back as the table.
fn check_fit(layout: &Layout, disk: &SparseDisk, sector: SectorSize) {
    let head = disk.head(HEAD_BYTES.min(layout.boot_area.length_bytes as usize));
    let first_sector = &head[..head.len().min(sector.bytes() as usize)];
    for (head, disk_bytes) in [(&head[..], 5 * MIB), (&head, 3 * MIB), (first_sector, 9 * MIB)] {
        let writes = match gpt::fit_to_disk(head, &layout.table, sector, disk_bytes) {
            Ok(writes) => writes,
            Err(FitError::DiskTooSmall { needed, actual }) => {
                assert!(needed > actual - actual % sector.bytes(), "{needed} bytes do not fit into {actual}");
                continue;
            }
            Err(_) => continue,
        };
        for write in writes.groups.iter().flatten() {
            assert!(write.offset_bytes + write.bytes.len() as u64 <= disk_bytes, "a write behind the disk");
        }
        if matches!(layout.table.scheme, Scheme::Gpt { .. }) {
            let read = read_back(&writes, sector, disk_bytes).expect("the table that was written");
            assert_eq!((&read.table, read.primary, read.backup), (&layout.table, Ok(()), Ok(())));
        }
    }
}

/// What is read of a blank disk after these writes.
pub(super) fn read_back(
    writes: &TableWrites,
    sector: SectorSize,
    disk_bytes: u64,
) -> Result<ParsedGpt, GptError> {
    let mut disk = vec![0; disk_bytes as usize];
    for write in writes.groups.iter().flatten() {
        disk[write.offset_bytes as usize..][..write.bytes.len()].copy_from_slice(&write.bytes);
    }
    gpt::parse(&disk.as_slice(), sector)
}

/// Puts both checksums of the header at `at` as they should be: no fuzzer guesses one.
fn put_right_checksums(disk: &mut SparseDisk, at: u64) {
    let mut header = [0; 512];
    if disk.read_exact_at(&mut header, at).is_err() {
        return;
    }
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let entries_at = u64::from(number(72)) * 512;
    let length = (number(80) as usize).saturating_mul(number(84) as usize).min(64 << 10);
    let mut entries = vec![0; length];
    if disk.read_exact_at(&mut entries, entries_at).is_err() {
        return;
    }
    let header_bytes = (number(12) as usize).min(512);
    header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
    header[16..20].fill(0);
    let checksum = crc32(&header[..header_bytes]);
    header[16..20].copy_from_slice(&checksum.to_le_bytes());
    disk.put(at, &header);
}

fn crc32(bytes: &[u8]) -> u32 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    CRC.checksum(bytes)
}
