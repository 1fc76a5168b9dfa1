use mimeo_core::chunk::{ChunkId, seal};
use proptest::prelude::{any, prop, proptest};

use super::{
    ENTRY_BYTES, FORMAT_VERSION, MAGIC, Pack, PackBuilder, PackEntry, PackError, PackName, TRAILER_BYTES,
    index_bytes, parse_index,
    salvage::{Salvage, WRONG_MAX, salvage},
};

fn example() -> Pack {
    let mut builder = PackBuilder::default();
    for content in [b"one".repeat(500), b"two".to_vec(), vec![]] {
        builder.push(&seal(&content), 1 << 16);
    }
    builder.finish()
}

/// Reads a whole pack as the store does, from its end.
fn parse(name: PackName, pack: &[u8]) -> Result<Vec<PackEntry>, PackError> {
    let pack_bytes = pack.len() as u64;
    let index_bytes = index_bytes(pack)?;
    let start = pack_bytes.checked_sub(index_bytes);
    let start = start.ok_or(PackError::IndexDoesNotFit { index_bytes, pack_bytes })?;
    parse_index(name, &pack[start as usize..], pack_bytes)
}

/// A pack with any footer, whose hash is right: what a hostile writer could make.
fn with_footer(records_bytes: usize, entries: &[(ChunkId, u32, u32, u32)]) -> (PackName, Vec<u8>) {
    let mut pack = vec![0; records_bytes];
    for (id, offset, plain, frame) in entries {
        pack.extend_from_slice(&id.0);
        [offset, plain, frame].iter().for_each(|number| pack.extend_from_slice(&number.to_le_bytes()));
    }
    pack.extend_from_slice(&MAGIC);
    pack.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    pack.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    let hash = blake3::hash(&pack[records_bytes..]);
    pack.extend_from_slice(hash.as_bytes());
    (PackName(hash.into()), pack)
}

#[test]
fn a_pack_reads_back_as_it_was_written() {
    let pack = example();
    assert_eq!(parse(pack.name, &pack.bytes), Ok(pack.entries.clone()));
    assert_eq!(salvage(&pack.bytes), Salvage { sound: pack.entries.clone(), lost: vec![] });
    assert_eq!(pack.records_bytes() as usize + 3 * ENTRY_BYTES + TRAILER_BYTES, pack.bytes.len());
    assert_eq!(PackName::of_object(&pack.name.object()), Some(pack.name));
}

#[test]
fn only_packs_are_named_like_packs() {
    let hex = "ab".repeat(32);
    assert!(PackName::of_object(&format!("packs/{hex}.pack")).is_some());
    for other in [
        format!("packs/{hex}"),
        format!("packs/{hex}.pack#1"),
        format!("packs/x/{hex}.pack"),
        format!("manifests/{hex}.pack"),
        "packs/00.pack".into(),
    ] {
        assert_eq!(PackName::of_object(&other), None, "{other}");
    }
}

#[test]
fn every_changed_byte_of_footer_and_trailer_is_noticed() {
    let Pack { name, bytes, entries } = example();
    let footer_start = bytes.len() - TRAILER_BYTES - entries.len() * ENTRY_BYTES;
    for at in footer_start..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 0x10;
        assert!(parse(name, &damaged).is_err(), "byte {at}");
    }
}

#[test]
fn a_pack_that_is_cut_short_or_grew_is_noticed() {
    let Pack { name, bytes, .. } = example();
    for cut in 0..bytes.len() {
        assert!(parse(name, &bytes[..cut]).is_err(), "cut to {cut}");
        assert!(parse(name, &bytes[bytes.len() - cut..]).is_err(), "the last {cut}");
    }
    assert!(parse(name, &[&bytes[..], &[0]].concat()).is_err());
}

/// Noise, which is kept as it is: each changed byte of a record is one of its chunk.
#[test]
fn every_record_but_the_damaged_one_is_had_of_a_pack_without_its_footer() {
    let mut builder = PackBuilder::default();
    for number in 0..3u8 {
        let mut content = [0; 200];
        blake3::Hasher::new().update(&[number]).finalize_xof().fill(&mut content);
        builder.push(&seal(&content), 1 << 16);
    }
    let pack = builder.finish();
    let footer = pack.records_bytes() as usize;
    let record_bytes = footer / 3;
    for at in footer..pack.bytes.len() {
        let mut damaged = pack.bytes.to_vec();
        damaged[at] ^= 0x10;
        assert_eq!(salvage(&damaged).sound, pack.entries, "byte {at} of the footer");
        assert_eq!(salvage(&pack.bytes[..at]).sound, pack.entries, "cut to {at}");
    }
    for at in 0..footer {
        let mut damaged = pack.bytes.to_vec();
        damaged[at] ^= 0x10;
        let found = salvage(&damaged);
        let mut others = pack.entries.clone();
        others.remove(at / record_bytes);
        assert_eq!(found.sound, others, "byte {at}");
        assert!(found.lost.len() <= 1, "byte {at}: {found:?}");
    }
    let cut = salvage(&pack.bytes[..footer - 1]);
    assert_eq!((cut.sound.as_slice(), cut.lost), (&pack.entries[..2], vec![pack.entries[2].id]));
}

#[test]
fn a_pack_of_nothing_but_wrong_records_is_given_up_soon() {
    let mut record = seal(b"plain");
    record.id = ChunkId([9; 32]);
    let mut builder = PackBuilder::default();
    (0..10_000).for_each(|_| builder.push(&record, 1 << 20));
    let found = salvage(&builder.finish().bytes);
    assert_eq!((found.sound.len(), found.lost.len()), (0, WRONG_MAX));
}

#[test]
fn a_pack_under_the_name_of_another_is_noticed() {
    let pack = example();
    let other = PackName([7; 32]);
    let error = PackError::WrongName { expected: other, actual: pack.name };
    assert_eq!(parse(other, &pack.bytes), Err(error));
}

#[test]
fn entries_must_fill_the_pack_without_a_gap() {
    let [a, b] = [ChunkId([1; 32]), ChunkId([2; 32])];
    let check = |records_bytes, entries: &[_]| {
        let (name, pack) = with_footer(records_bytes, entries);
        parse(name, &pack).map(|entries| entries.len())
    };
    assert_eq!(check(48 + 5 + 48, &[(a, 0, 9, 5), (b, 53, 0, 0)]), Ok(2));
    let apart = |chunk, expected, actual| Err(PackError::RecordsApart { chunk, expected, actual });
    assert_eq!(check(200, &[(a, 8, 9, 5)]), apart(a, 0, 8));
    assert_eq!(check(101, &[(a, 0, 9, 5), (b, 52, 0, 0)]), apart(b, 53, 52));
    assert_eq!(check(101, &[(a, 0, 9, 5), (b, u32::MAX, 0, 0)]), apart(b, 53, u32::MAX));
    assert_eq!(check(100, &[(a, 0, 9, 5)]), Err(PackError::RecordsDoNotFill { expected: 100, actual: 53 }));
    assert_eq!(check(52, &[(a, 0, 9, 5)]), Err(PackError::RecordsDoNotFill { expected: 52, actual: 53 }));
    assert_eq!(check(100, &[(a, 0, 9, u32::MAX)]), Err(PackError::TooLong { chunk: a, bytes: u32::MAX }));
    assert_eq!(check(100, &[(a, 0, 0xFF_FFFF, 5)]), Err(PackError::TooLong { chunk: a, bytes: 0xFF_FFFF }));
    // The highest byte of the plain length is the codec.
    assert_eq!(check(53, &[(a, 0, 0x0200_0009, 5)]), Ok(1));
    assert_eq!(check(53, &[(a, 0, 0x0300_0009, 5)]), Err(PackError::UnknownCodec { chunk: a, found: 3 }));
    assert_eq!(check(0, &[]), Err(PackError::BadCount { count: 0 }));
}

#[test]
fn a_count_that_no_footer_can_hold_takes_no_memory() {
    let mut trailer = with_footer(0, &[(ChunkId([1; 32]), 0, 0, 0)]).1;
    let at = trailer.len() - TRAILER_BYTES + 12;
    trailer[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(index_bytes(&trailer), Err(PackError::BadCount { count: u32::MAX }));
}

proptest! {
    #[test]
    fn foreign_bytes_give_an_error_or_entries_that_lie_inside(
        records_bytes in 0usize..300,
        entries in prop::collection::vec((any::<[u8; 32]>(), 0u32..300, any::<u32>(), 0u32..300), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        assert!(parse(PackName([0; 32]), &noise).is_err());
        assert_eq!(salvage(&noise), Salvage::default());
        let entries: Vec<_> = entries.into_iter().map(|(id, o, p, f)| (ChunkId(id), o, p, f)).collect();
        let (name, pack) = with_footer(records_bytes, &entries);
        for entry in parse(name, &pack).unwrap_or_default() {
            assert!(entry.end() <= records_bytes as u64);
        }
    }
}
