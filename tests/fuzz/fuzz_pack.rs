//! Fuzz target for packs: any bytes as a pack, as they are and as a footer whose hash is right.
//!
//! [`fuzz_pack`] is what a fuzzer calls; the test below calls it with mutated packs for a moment.

use mimeo_server::imaging::store::pack::{
    PackEntry, PackError, PackName, TRAILER_BYTES, index_bytes, parse_index, recognise_ids,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Rounds of the test: about a second in a build for tests.
const ROUNDS: u32 = 100_000;

/// Length of the hash at the end of a pack.
const HASH_BYTES: usize = 32;

/// Panics where a footer is read that points outside its pack.
pub(crate) fn fuzz_pack(input: &[u8]) {
    assert!(recognise_ids(input).len() <= input.len() / 48);
    if parse(PackName([0; 32]), input).is_ok() {
        panic!("a pack bears a name that nothing hashes to");
    }
    // Past the hash, which no fuzzer would guess.
    let Ok(index_length) = index_bytes(input) else { return };
    let Some(start) = input.len().checked_sub(index_length as usize) else { return };
    let mut pack = input.to_vec();
    let hash_start = pack.len() - HASH_BYTES;
    let hash: [u8; 32] = blake3::hash(&pack[start..hash_start]).into();
    pack[hash_start..].copy_from_slice(&hash);
    let entries = parse(PackName(hash), &pack).unwrap_or_default();
    let mut end = 0;
    for entry in entries {
        assert_eq!(u64::from(entry.offset), end);
        end += 48 + u64::from(entry.frame_bytes);
        assert!(end <= start as u64);
    }
}

/// Reads a whole pack as the store does, from its end.
fn parse(name: PackName, pack: &[u8]) -> Result<Vec<PackEntry>, PackError> {
    let (index_bytes, pack_bytes) = (index_bytes(pack)?, pack.len() as u64);
    let start = pack_bytes.checked_sub(index_bytes);
    let start = start.ok_or(PackError::IndexDoesNotFit { index_bytes, pack_bytes })?;
    parse_index(name, &pack[start as usize..], pack_bytes)
}

/// A pack of records with empty frames of the given lengths.
fn seed_pack(frames: &[u32]) -> Vec<u8> {
    let (mut records, mut footer) = (Vec::new(), Vec::new());
    for &frame in frames {
        footer.extend_from_slice(&[7; 32]);
        [records.len() as u32, frame, frame].iter().for_each(|n| footer.extend_from_slice(&n.to_le_bytes()));
        records.extend_from_slice(b"MCHK\0\0\0\0");
        [frame, frame].iter().for_each(|length| records.extend_from_slice(&length.to_le_bytes()));
        records.resize(records.len() + 32 + frame as usize, 7);
    }
    let count = (frames.len() as u32).to_le_bytes();
    [&records, &footer, b"MIMEOPAK".as_slice(), &[1, 0, 0, 0], &count, &[0; HASH_BYTES]].concat()
}

#[test]
fn mutated_packs_break_nothing() {
    let mut random = StdRng::seed_from_u64(48);
    let seeds = [seed_pack(&[0]), seed_pack(&[5, 0, 90]), seed_pack(&[1; 9])];
    for seed in &seeds {
        let index_length = index_bytes(seed).expect("a seed is a pack");
        assert_eq!((index_length as usize - TRAILER_BYTES) % 44, 0);
        assert!(!recognise_ids(seed).is_empty());
    }
    for _ in 0..ROUNDS {
        let mut input = seeds[random.random_range(0..seeds.len())].clone();
        for _ in 0..random.random_range(0..4) {
            let place = random.random_range(0..input.len());
            match random.random_range(0..4) {
                0 => input[place] ^= 1 << random.random_range(0..8),
                1 => drop(input.drain(place..(place + random.random_range(0..50)).min(input.len() - 1))),
                2 => input.insert(place, random.random()),
                _ => input[place] = [0, 1, 0x7f, 0xff][random.random_range(0..4)],
            }
        }
        fuzz_pack(&input);
    }
}
