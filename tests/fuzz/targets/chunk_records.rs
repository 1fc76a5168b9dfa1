//! Chunk records, as clients upload them and servers answer with them.

use mimeo_core::{
    chunk::{ChunkId, Codec, SealedChunk, open, seal},
    messages::records,
};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "chunk_records",
    whose: "a client that uploads; the server that a client fetches from",
    check,
    seeds,
    words: &[b"MCHK\0\0\0\0", b"MCHK\x01\0\0\0", b"\x28\xb5\x2f\xfd", b"\0\0\x10\0"],
    input_bytes_max: 16 << 10,
    // Ten chunks of the largest size, opened one after the other, and zstd's own window.
    memory_bytes_max: 16 << 20,
};

/// Records read back as they were written; what opens is what its name says, and never larger than a chunk.
fn check(input: &[u8]) {
    let Ok(chunks) = records::parse_all(input) else { return };
    let mut again = Vec::new();
    for chunk in &chunks {
        records::append(chunk, &mut again);
        if let Ok(plain) = open(chunk) {
            assert_eq!((plain.len(), ChunkId::of(&plain)), (chunk.plain_bytes as usize, chunk.id));
        }
    }
    assert_eq!(again, input);
    // Past the hash, which no fuzzer guesses: the frame under the name of what it really holds.
    for chunk in chunks.iter().filter(|chunk| chunk.codec == Codec::Raw) {
        let named = SealedChunk { id: ChunkId::of(&chunk.frame), ..chunk.clone() };
        assert_eq!(open(&named).is_ok(), chunk.frame.len() == chunk.plain_bytes as usize);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let emit = |plains: &[&[u8]]| {
        let mut bytes = Vec::new();
        plains.iter().for_each(|plain| records::append(&seal(plain), &mut bytes));
        bytes
    };
    let text = "the quick brown fox ".repeat(300);
    vec![emit(&[b"raw"]), emit(&[&[0; 131_072]]), emit(&[text.as_bytes(), b"", b"more"])]
}
