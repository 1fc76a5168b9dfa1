use proptest::prelude::{any, prop, proptest};

use super::{ENTRY_BYTES, Table, TableError, TableHead};
use crate::{
    chunk::{ChunkId, Codec, seal},
    messages::records::{self, RecordHeader},
    multicast::block::{BlockNumber, BlockShape},
};

/// A record of a chunk of its own.
fn record(number: u32, frame_bytes: u32) -> RecordHeader {
    let id = ChunkId::of(&number.to_le_bytes());
    RecordHeader { id, codec: Codec::Raw, plain_bytes: frame_bytes, frame_bytes }
}

fn table(frames: &[u32]) -> Table {
    Table::build((0..).zip(frames).map(|(number, &frame_bytes)| record(number, frame_bytes))).unwrap()
}

/// How many records each block holds.
fn layout(frames: &[u32]) -> Vec<usize> {
    let table = table(frames);
    table.chunk_blocks().map(|block| table.records(BlockNumber(block)).unwrap().len()).collect()
}

#[test]
fn blocks_are_filled_in_order_and_never_cut_a_record() {
    const CHUNK: u32 = 128 << 10;
    assert_eq!(layout(&[CHUNK; 7]), [3, 3, 1]);
    assert_eq!(layout(&[64 << 10; 7]), [6, 1]);
    // To the last byte, and one more.
    assert_eq!(layout(&[BlockShape::FILL_BYTES - 96, 0, 0]), [2, 1]);
    assert_eq!(layout(&[BlockShape::FILL_BYTES - 95, 0]), [1, 1]);
    // Larger than what others share: alone.
    assert_eq!(layout(&[10, 1 << 20, 1 << 20, 10]), [1, 1, 1, 1]);
    let table = table(&[1 << 20]);
    assert_eq!(table.shape(BlockNumber(1)).map(|shape| shape.sources().get()), Some(745));
    assert_eq!((table.blocks(), table.chunk_blocks()), (2, 1..=1));
}

#[test]
fn the_table_is_the_first_blocks() {
    let table = table(&[0; 30_000]);
    let (head, bytes) = (table.head(), table.encode());
    assert_eq!((head.bytes(), head.blocks()), (30_000 * ENTRY_BYTES, 3));
    let parts: Vec<_> = (0..3).map(|block| head.part(BlockNumber(block)).unwrap()).collect();
    assert_eq!(parts, [0..394_240, 394_240..788_480, 788_480..1_170_000]);
    for (block, part) in (0..).zip(parts).map(|(block, part)| (BlockNumber(block), part)) {
        assert_eq!(table.shape(block), head.shape(block));
        assert_eq!(head.shape(block).map(BlockShape::bytes), Some(part.len()));
        assert_eq!(table.records(block), None);
        assert_eq!(table.check(block, &bytes[part]), Err(TableError::NoChunkBlock { block }));
    }
    for behind in [3, 4, u32::MAX].map(BlockNumber) {
        assert_eq!((head.part(behind), head.shape(behind)), (None, None));
    }
    assert_eq!(table.shape(BlockNumber(table.blocks())), None);
    assert_eq!(Table::parse(head, &bytes), Ok(table));
}

#[test]
fn a_chunk_of_several_places_travels_once() {
    let twice = [record(1, 10), record(2, 20), record(1, 10)];
    let table = Table::build(twice).unwrap();
    assert_eq!(table.all_records(), &twice[..2]);
    let mut bytes = table.encode();
    bytes.extend_from_within(..ENTRY_BYTES);
    let named_twice = TableError::NamedTwice { chunk: twice[0].id };
    assert_eq!(Table::parse(TableHead::of(&bytes).unwrap(), &bytes), Err(named_twice));
}

#[test]
fn what_is_no_table_is_refused() {
    assert_eq!(Table::build([]), Err(TableError::BadLength { bytes: 0 }));
    let too_long = RecordHeader { frame_bytes: (1 << 20) + 1, ..record(1, 5) };
    assert!(matches!(Table::build([too_long]), Err(TableError::Record(_))));
    let good = table(&[5, 6]);
    let bytes = good.encode();
    for cut in [0, 1, ENTRY_BYTES - 1, ENTRY_BYTES + 1] {
        assert!(matches!(TableHead::of(&bytes[..cut]), Err(TableError::BadLength { .. })), "{cut}");
        assert!(matches!(Table::parse(good.head(), &bytes[..cut]), Err(TableError::OtherTable { .. })));
    }
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            matches!(Table::parse(good.head(), &damaged), Err(TableError::OtherTable { .. })),
            "bit {bit}"
        );
    }
    // Under its own head: a codec that nobody knows, a frame longer than the largest chunk.
    for (at, byte) in [(32, 9), (38, 0x11), (35, 0xff)] {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        let parsed = Table::parse(TableHead::of(&bytes).unwrap(), &bytes);
        assert!(matches!(parsed, Err(TableError::Record(_))), "{at}: {parsed:?}");
    }
}

#[test]
fn a_head_travels_only_with_a_length_that_a_table_has() {
    let head = table(&[5]).head();
    let bytes = postcard::to_allocvec(&head).unwrap();
    assert_eq!(postcard::from_bytes(&bytes), Ok(head));
    for length in [0, 38, 40, u32::MAX, 39 * ((8 << 20) + 1)] {
        let bytes = postcard::to_allocvec(&(length, [0u8; 32])).unwrap();
        assert!(postcard::from_bytes::<TableHead>(&bytes).is_err(), "{length}");
    }
    assert!(TableHead::try_from((39 * (8 << 20), [0; 32])).is_ok());
}

#[test]
fn a_block_is_the_records_that_the_table_names() {
    let chunks = [seal(b"one"), seal(&[0; 70_000]), seal(b"three")];
    let table = Table::build(chunks.iter().map(records::header_of)).unwrap();
    let block = BlockNumber(1);
    let records_of = |chunks: &[_]| {
        let mut bytes = Vec::new();
        chunks.iter().for_each(|chunk| records::append(chunk, &mut bytes));
        bytes
    };
    let bytes = records_of(&chunks);
    assert_eq!(table.shape(block).map(BlockShape::bytes), Some(bytes.len()));
    assert_eq!(table.check(block, &bytes), Ok(()));
    let [one, two, three] = chunks;
    let other =
        |expected: &crate::chunk::SealedChunk| TableError::OtherRecord { block, expected: expected.id };
    assert_eq!(table.check(block, &records_of(&[one.clone(), three.clone()])), Err(other(&two)));
    assert_eq!(table.check(block, &records_of(&[one.clone(), two.clone()])), Err(other(&three)));
    let longer = records_of(&[one.clone(), two.clone(), three, one]);
    assert_eq!(table.check(block, &longer), Err(TableError::Behind { block, left: 51 }));
    assert!(matches!(table.check(block, &bytes[..60]), Err(TableError::Record(_))));
    assert_eq!(table.check(BlockNumber(2), &bytes), Err(TableError::NoChunkBlock { block: BlockNumber(2) }));
}

proptest! {
    #[test]
    fn every_record_stands_in_one_block(frames in prop::collection::vec(0u32..=1 << 20, 1..60), small in 1u32..200) {
        let frames: Vec<_> = frames.iter().map(|bytes| bytes / small).collect();
        let table = table(&frames);
        let mut seen = Vec::new();
        for block in table.chunk_blocks().map(BlockNumber) {
            let records = table.records(block).unwrap();
            let bytes: u32 = records.iter().map(|record| 48 + record.frame_bytes).sum();
            assert_eq!(table.shape(block).map(BlockShape::bytes), Some(bytes as usize));
            assert!(records.len() == 1 || bytes <= BlockShape::FILL_BYTES);
            if let Some(next) = table.records(BlockNumber(block.0 + 1)) {
                assert!(bytes + 48 + next[0].frame_bytes > BlockShape::FILL_BYTES, "room was left");
            }
            seen.extend_from_slice(records);
        }
        assert_eq!(seen, table.all_records());
        assert_eq!(Table::parse(table.head(), &table.encode()), Ok(table));
    }

    #[test]
    fn foreign_bytes_are_a_table_that_says_the_same_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400), tame: bool) {
        let mut bytes = bytes;
        if tame {
            bytes.truncate(bytes.len() / ENTRY_BYTES * ENTRY_BYTES);
            for entry in bytes.chunks_mut(ENTRY_BYTES) {
                entry[32] %= 3;
                entry[35] %= 16;
                entry[38] %= 16;
            }
        }
        let Ok(head) = TableHead::of(&bytes) else { return Ok(()) };
        if let Ok(table) = Table::parse(head, &bytes) {
            assert_eq!(table.encode(), bytes);
        }
    }
}
