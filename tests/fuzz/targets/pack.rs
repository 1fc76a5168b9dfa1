//! A pack of the store: any bytes, as they are and under a hash that is right.

use mimeo_server::imaging::store::pack::{
    PackEntry, PackError, PackName, index_bytes, parse_index,
    salvage::{WRONG_MAX, salvage},
};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "pack",
    whose: "the store's disk, damaged",
    check,
    seeds: || [&[0][..], &[5, 0, 90], &[1; 9]].map(seed).into(),
    words: &[b"MIMEOPAK\x02\0\0\0", b"MCHK\0\0\0\0", b"\x01\0\0\0"],
    input_bytes_max: 4096,
    memory_bytes_max: 4 << 20,
};

/// Length of the hash at the end of a pack.
const HASH_BYTES: usize = 32;

/// What is had without a footer lies apart, and little of it is wrong. A footer that is accepted fills its pack, record by
/// record.
fn check(input: &[u8]) {
    let found = salvage(input);
    let mut end = 0;
    for entry in &found.sound {
        assert!(u64::from(entry.offset) >= end);
        end = u64::from(entry.offset) + 48 + u64::from(entry.frame_bytes);
    }
    assert!(end <= input.len() as u64 && found.lost.len() <= WRONG_MAX);
    assert!(parse(PackName([0; 32]), input).is_err(), "a pack bears a name that nothing hashes to");
    // Past the hash, which no fuzzer would guess.
    let Ok(index_length) = index_bytes(input) else { return };
    let Some(start) = input.len().checked_sub(index_length as usize) else { return };
    let mut pack = input.to_vec();
    let hash_start = pack.len() - HASH_BYTES;
    let hash: [u8; 32] = blake3::hash(&pack[start..hash_start]).into();
    pack[hash_start..].copy_from_slice(&hash);
    let Ok(entries) = parse(PackName(hash), &pack) else { return };
    let mut end = 0;
    for entry in entries {
        assert_eq!(u64::from(entry.offset), end);
        end += 48 + u64::from(entry.frame_bytes);
    }
    assert_eq!(end, start as u64);
}

/// Reads a whole pack as the store does, from its end.
fn parse(name: PackName, pack: &[u8]) -> Result<Vec<PackEntry>, PackError> {
    let (index_bytes, pack_bytes) = (index_bytes(pack)?, pack.len() as u64);
    let start = pack_bytes.checked_sub(index_bytes);
    let start = start.ok_or(PackError::IndexDoesNotFit { index_bytes, pack_bytes })?;
    parse_index(name, &pack[start as usize..], pack_bytes)
}

/// A pack of records with empty frames of the given lengths.
fn seed(frames: &[u32]) -> Vec<u8> {
    let (mut records, mut footer) = (Vec::new(), Vec::new());
    for &frame in frames {
        footer.extend_from_slice(&[7; 32]);
        [records.len() as u32, frame, frame].iter().for_each(|n| footer.extend_from_slice(&n.to_le_bytes()));
        records.extend_from_slice(b"MCHK\0\0\0\0");
        [frame, frame].iter().for_each(|length| records.extend_from_slice(&length.to_le_bytes()));
        records.resize(records.len() + 32 + frame as usize, 7);
    }
    let count = (frames.len() as u32).to_le_bytes();
    [&records, &footer, b"MIMEOPAK".as_slice(), &[2, 0, 0, 0], &count, &[0; HASH_BYTES]].concat()
}
