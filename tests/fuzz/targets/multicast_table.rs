//! The table of a multicast channel.

use mimeo_core::{
    chunk::seal,
    messages::records,
    multicast::{
        block::{BlockNumber, BlockShape, SourceCount},
        table::{ENTRY_BYTES, Table, TableHead},
    },
};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "multicast_table",
    whose: "the server whose channel a receiver joins",
    check,
    seeds,
    words: &[b"\0\0\0\x10\0\0\x10", b"\x01\0\0\x02\0\0\x02", b"\x02\0\0\x02\0\x80\0"],
    input_bytes_max: 64 * ENTRY_BYTES,
    memory_bytes_max: 1 << 20,
};

/// What is accepted is said again in the same bytes, and its blocks hold each record once, in order, within their bounds.
fn check(input: &[u8]) {
    // Past the hash, which no fuzzer guesses: the input under the head of what it is.
    let Ok(head) = TableHead::of(input) else { return };
    let Ok(table) = Table::parse(head, input) else { return };
    assert_eq!(table.encode(), input);
    assert_eq!(Table::build(table.all_records().iter().copied()).as_ref(), Ok(&table));

    let parts: Vec<_> = (0..head.blocks()).filter_map(|block| head.part(BlockNumber(block))).collect();
    let joined: Vec<u8> = parts.into_iter().flat_map(|part| &input[part]).copied().collect();
    assert_eq!(joined, input);

    let mut records = Vec::new();
    for block in (0..table.blocks()).map(BlockNumber) {
        let shape = table.shape(block).expect("a block has a shape");
        assert!((1..=SourceCount::MOST).contains(&shape.sources().get()));
        let Some(held) = table.records(block) else { continue };
        let bytes: usize =
            held.iter().map(|record| records::HEADER_BYTES + record.frame_bytes as usize).sum();
        assert_eq!(bytes, shape.bytes());
        assert!(held.len() == 1 || bytes <= BlockShape::FILL_BYTES as usize);
        records.extend_from_slice(held);
    }
    assert_eq!(records, table.all_records());
    for behind in [table.blocks(), u32::MAX] {
        assert_eq!(table.shape(BlockNumber(behind)), None);
    }
    // The input is no block of records, or one that the table names.
    let block = BlockNumber(head.blocks());
    if table.check(block, input).is_ok() {
        assert_eq!(table.shape(block).map(BlockShape::bytes), Some(input.len()));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let noise = |length: usize| {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&length.to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    };
    let table_of = |plains: &[Vec<u8>]| {
        let records = plains.iter().map(|plain| records::header_of(&seal(plain)));
        Table::build(records).expect("a table").encode()
    };
    let raw: Vec<_> = (0..5).map(|short| noise((128 << 10) - short)).collect();
    let twice = [table_of(&raw[..1]), table_of(&raw[..1])].concat();
    vec![
        table_of(&raw),
        table_of(&[noise(1 << 20), vec![0; 1 << 20], noise(10)]),
        table_of(&[vec![1; 65_536], vec![]]),
        twice,
    ]
}
