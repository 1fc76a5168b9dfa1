//! Metadata that is damaged, or that contradicts itself under checksums that are right.

use std::{io, ops::Range};

use mimeo_core::disk::{
    ReadAt,
    filesystem::FileSystem,
    used_blocks::{self, UsedBlocksError, UsedMap},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Group, bytes, ext4};
use crate::disk::image::check_form;

/// The first metadata area, and in its header the place, the length and the checksum of the description.
const AREA: usize = 4096;
const PLACE: usize = AREA + 40;
const LENGTH: usize = AREA + 48;
const SUM: usize = AREA + 56;

/// As much of the start of a volume as is changed here: label, area and description lie in it.
const HEAD: usize = 64 << 10;

/// Nothing is free in this group.
fn sample() -> Vec<u8> {
    let mut group = Group::make(14, &[], |tools| {
        tools.create("vg", "root", 9, &[]);
        tools.create("vg", "other", 3, &[]);
        tools.run("lvextend", &["-L", "+1m", "vg/root"]);
    });
    group.put("root", bytes(&ext4(10)));
    bytes(&group.image)
}

/// A volume whose start is another.
struct Changed<'a> {
    head: Vec<u8>,
    volume: &'a [u8],
}

impl<'a> Changed<'a> {
    fn new(volume: &'a [u8]) -> Self {
        Self { head: volume[..HEAD].to_vec(), volume }
    }

    fn map(&self) -> Result<UsedMap, UsedBlocksError> {
        let map = used_blocks::map(FileSystem::Lvm, self)?;
        check_form(&map, self.length_bytes());
        Ok(map)
    }

    /// With another description, under checksums that are right.
    fn described(volume: &'a [u8], text: &[u8]) -> Self {
        let mut changed = Self::new(volume);
        let head = &mut changed.head;
        let start = description(volume).start;
        head[start..start + text.len()].copy_from_slice(text);
        head[LENGTH..LENGTH + 8].copy_from_slice(&(text.len() as u64).to_le_bytes());
        head[SUM..SUM + 4].copy_from_slice(&crc(text).to_le_bytes());
        changed.seal(AREA, AREA + 4..AREA + 512);
        changed
    }

    /// Puts the checksum of `what` at `place`.
    fn seal(&mut self, place: usize, what: Range<usize>) {
        let sum = crc(&self.head[what]);
        self.head[place..place + 4].copy_from_slice(&sum.to_le_bytes());
    }
}

impl ReadAt for Changed<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.volume.read_exact_at(buffer, offset_bytes)?;
        if let Some(head) = self.head.get(offset_bytes as usize..) {
            let length = head.len().min(buffer.len());
            buffer[..length].copy_from_slice(&head[..length]);
        }
        Ok(())
    }

    fn length_bytes(&self) -> u64 {
        self.volume.len() as u64
    }
}

/// LVM's checksum: that of Ethernet, begun otherwise and not inverted.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xF597_A6CF, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    })
}

fn number(volume: &[u8], at: usize) -> usize {
    u64::from_le_bytes(volume[at..at + 8].try_into().expect("eight bytes")) as usize
}

fn description(volume: &[u8]) -> Range<usize> {
    let start = AREA + number(volume, PLACE);
    start..start + number(volume, LENGTH)
}

#[test]
fn a_byte_that_changed_is_noticed_or_does_not_matter() {
    let volume = sample();
    let right = Changed::new(&volume).map().expect("a map");
    let mut changed = Changed::new(&volume);
    let mut noticed = 0;
    for place in (512..1024).chain(AREA..AREA + 512).chain(description(&volume)) {
        changed.head[place] ^= 1 << (place % 8);
        match changed.map() {
            Ok(map) => assert_eq!(map, right, "byte {place}"),
            // The magic of the label is what makes it one.
            Err(UsedBlocksError::Damaged { .. } | UsedBlocksError::Unsupported { .. }) => noticed += 1,
            Err(error) => panic!("byte {place}: {error:?}"),
        }
        changed.head[place] = volume[place];
    }
    assert!(noticed > 1500, "{noticed}");
    for length in [0, 1, 511, 512, 1023, 2048, 4096, 5000, 1 << 20, 10 << 20] {
        let cut = used_blocks::map(FileSystem::Lvm, &&volume[..length]);
        assert!(cut.is_err(), "cut to {length}");
    }
}

#[test]
fn a_description_that_contradicts_itself_gives_no_map() {
    let volume = sample();
    let text = String::from_utf8(volume[description(&volume)].to_vec()).expect("a text");
    let same = Changed::described(&volume, text.as_bytes()).map().expect("a map");
    assert_eq!(same, Changed::new(&volume).map().expect("a map"));
    let with = |from: &str, to: &str| {
        let at = text.find(from).unwrap_or_else(|| panic!("{from} in\n{text}"));
        let changed = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
        Changed::described(&volume, changed.as_bytes()).map()
    };
    for (from, to) in [
        ("pe_count = 13", "pe_count = 14"),
        ("pe_start = 2048", "pe_start = 4096"),
        ("extent_size = 2048", "extent_size = 0"),
        ("extent_size = 2048", "extent_size = 4294967295"),
        ("segment_count = 2", "segment_count = 3"),
        ("segment_count = 2", "segment_count = 1"),
        ("start_extent = 9", "start_extent = 8"),
        ("start_extent = 9", "start_extent = 10"),
        ("extent_count = 9", "extent_count = 0"),
        // Over the other volume's extents, and behind the last.
        ("\"pv0\", 12", "\"pv0\", 11"),
        ("\"pv0\", 12", "\"pv0\", 13"),
        ("\"pv0\", 12", "\"pv0\", -1"),
        ("\"pv0\", 12", "\"pv0\", 9223372036854775807"),
        ("stripe_count = 1", "stripe_count = 0"),
        ("stripe_count = 1", "stripe_count = 2"),
    ] {
        let refused = with(from, to);
        assert!(matches!(refused, Err(UsedBlocksError::Damaged { .. })), "{to}: {refused:?}");
    }
    for (from, to) in [
        ("lvm2", "lvm1"),
        ("type = \"striped\"", "type = \"woven\""),
        ("root {", "ro%ot {"),
        ("version = 1", "version = 2"),
        ("extent_count = 9", "extent_count = -9"),
        ("seqno", "s"),
    ] {
        let refused = with(from, to);
        assert!(matches!(refused, Err(UsedBlocksError::Unsupported { .. })), "{to}: {refused:?}");
    }
    let missing = with("flags = []\ndev_size", "flags = [\"MISSING\"]\ndev_size");
    assert!(matches!(missing, Err(UsedBlocksError::GroupElsewhere { group: Some(_) })), "{missing:?}");
}

#[test]
fn no_description_breaks_anything() {
    let volume = sample();
    let mut random = StdRng::seed_from_u64(5);
    let text = volume[description(&volume)].to_vec();
    let words: Vec<&[u8]> = text.split_inclusive(|byte| b" \n".contains(byte)).collect();
    let (mut maps, mut refused) = (0, 0);
    for _ in 0..2000 {
        let mut words = words.clone();
        for _ in 0..random.random_range(1..4) {
            let (from, to) = (random.random_range(0..words.len()), random.random_range(0..words.len()));
            match random.random_range(0..4) {
                0 => words[to] = words[from],
                1 => words.swap(from, to),
                2 => drop(words.remove(to)),
                _ => words.insert(to, b"4294967295 "),
            }
        }
        let changed: Vec<u8> = words.concat();
        match Changed::described(&volume, &changed).map() {
            Ok(_) => maps += 1,
            Err(UsedBlocksError::Io(error)) => panic!("{error}: {}", String::from_utf8_lossy(&changed)),
            Err(_) => refused += 1,
        }
    }
    assert!(maps > 50 && refused > 500, "{maps} maps, {refused} refusals");
}

#[test]
fn a_label_and_an_area_that_lie_under_right_checksums_break_nothing() {
    let volume = sample();
    let mut random = StdRng::seed_from_u64(6);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut changed = Changed::new(&volume);
        for _ in 0..random.random_range(1..4) {
            let at = match random.random_range(0..3) {
                0 => random.random_range(512 + 20..512 + 160),
                1 => random.random_range(AREA + 20..AREA + 72),
                _ => random.random_range(AREA..AREA + 80),
            };
            changed.head[at] = random.random();
        }
        changed.seal(512 + 16, 512 + 20..1024);
        changed.seal(AREA, AREA + 4..AREA + 512);
        refused += usize::from(changed.map().is_err());
    }
    assert!(refused > 2000, "{refused}");
}
