//! The pack: many chunks in one object, with a footer that says where each lies.
//!
//! ```text
//! records   chunk records as on the wire (`mimeo_core::messages::records`), one after the other
//! footer    44 bytes for each record, in the same order:
//!             32  chunk id
//!              4  offset of the record in the pack, little endian (as all numbers here)
//!              3  length of the plain bytes
//!              1  codec, as in the record
//!              4  length of the frame
//! trailer   48 bytes:
//!              8  "MIMEOPAK"
//!              4  format version
//!              4  number of records
//!             32  BLAKE3 of the footer and the 16 bytes before this field
//! ```
//!
//! A pack is written once and whole, and never changed. Its name is the hash in its trailer, so a pack under
//! another's name is noticed, and bringing the same chunks twice in the same order makes the same pack.
//! The hash covers the footer alone: each chunk is its own proof. So a pack whose footer is lost still gives its chunks
//! ([`salvage`]), and is written anew from them (`mend.rs`).

use std::fmt;

use bytes::Bytes;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, Codec, SealedChunk},
    messages::records::{self, HEADER_BYTES},
};

pub mod salvage;

/// Where packs are, among a store's objects.
pub(super) const FOLDER: &str = "packs";
const SUFFIX: &str = ".pack";

const MAGIC: [u8; 8] = *b"MIMEOPAK";
const FORMAT_VERSION: u32 = 2;
pub(super) const ENTRY_BYTES: usize = 44;
/// Length of the fixed end of a pack.
pub const TRAILER_BYTES: usize = 48;
/// The part of the trailer that its hash covers.
const TRAILER_HEAD_BYTES: usize = 16;

/// Most records in a pack that is read: what a footer of 64 MiB holds. A pack as written here has some
/// thousands; the limit keeps a damaged count from taking memory.
const RECORDS_MAX: u32 = (64 << 20) / ENTRY_BYTES as u32;

/// The name of a pack: the hash in its trailer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackName(pub [u8; 32]);

impl PackName {
    pub(super) fn object(self) -> String {
        format!("{FOLDER}/{self}{SUFFIX}")
    }

    /// The pack that an object is by its name; `None` for anything else that lies among the packs.
    pub(super) fn of_object(object: &str) -> Option<Self> {
        let stem = object.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
        let mut name = [0; 32];
        hex::decode_to_slice(stem, &mut name).ok()?;
        Some(Self(name))
    }
}

impl fmt::Display for PackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PackName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where one chunk lies in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackEntry {
    pub id: ChunkId,
    /// Of the record's header, from the start of the pack.
    pub offset: u32,
    pub plain_bytes: u32,
    pub frame_bytes: u32,
    pub codec: Codec,
}

impl PackEntry {
    /// The first byte after the record.
    fn end(&self) -> u64 {
        u64::from(self.offset) + HEADER_BYTES as u64 + u64::from(self.frame_bytes)
    }
}

/// A pack that is being filled, in memory.
#[derive(Debug, Default)]
pub(super) struct PackBuilder {
    records: Vec<u8>,
    entries: Vec<PackEntry>,
}

/// A finished pack.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    pub(super) name: PackName,
    pub(super) bytes: Bytes,
    pub(super) entries: Vec<PackEntry>,
}

impl Pack {
    /// The part of the pack that is records.
    pub(super) fn records_bytes(&self) -> u64 {
        self.entries.last().map_or(0, PackEntry::end)
    }
}

impl PackBuilder {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether `chunk` still fits into a pack of at most `limit_bytes` of records. One chunk fits always.
    pub(super) fn has_room(&self, chunk: &SealedChunk, limit_bytes: usize) -> bool {
        self.is_empty() || self.records.len() + HEADER_BYTES + chunk.frame.len() <= limit_bytes
    }

    /// Adds a chunk. The caller keeps the pack within `limit_bytes`, which is reserved at once: growing by
    /// doubling would take twice the memory.
    pub(super) fn push(&mut self, chunk: &SealedChunk, limit_bytes: usize) {
        if self.is_empty() {
            self.records.reserve_exact(limit_bytes);
        }
        let [offset, frame_bytes] = [self.records.len(), chunk.frame.len()].map(|length| {
            u32::try_from(length).unwrap_or_else(|_| panic!("a pack of {length} bytes was filled"))
        });
        let &SealedChunk { id, plain_bytes, codec, .. } = chunk;
        self.entries.push(PackEntry { id, offset, plain_bytes, frame_bytes, codec });
        records::append(chunk, &mut self.records);
    }

    /// Writes footer and trailer behind the records.
    pub(super) fn finish(self) -> Pack {
        let Self { records: mut bytes, entries } = self;
        let footer_start = bytes.len();
        // The records fill what was reserved for them; growing by doubling would take as much again.
        bytes.reserve_exact(entries.len() * ENTRY_BYTES + TRAILER_BYTES);
        for entry in &entries {
            bytes.extend_from_slice(&entry.id.0);
            // No chunk is longer than a megabyte, which leaves the highest byte free.
            let plain_and_codec = entry.plain_bytes | u32::from(entry.codec as u8) << 24;
            for number in [entry.offset, plain_and_codec, entry.frame_bytes] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        // Every record has a header, and offsets fit 32 bits, so their number does.
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        let hash = blake3::hash(&bytes[footer_start..]);
        bytes.extend_from_slice(hash.as_bytes());
        Pack { name: PackName(hash.into()), bytes: bytes.into(), entries }
    }
}

/// The length of footer and trailer together, from the last bytes of a pack (at least the trailer).
pub fn index_bytes(tail: &[u8]) -> Result<u64, PackError> {
    let trailer: &[u8; TRAILER_BYTES] =
        tail.last_chunk().ok_or(PackError::TooShort { bytes: tail.len() as u64 })?;
    let [m0, m1, m2, m3, m4, m5, m6, m7, v0, v1, v2, v3, c0, c1, c2, c3, ..] = *trailer;
    let magic = [m0, m1, m2, m3, m4, m5, m6, m7];
    if magic != MAGIC {
        return Err(PackError::NotAPack { found: magic });
    }
    let version = u32::from_le_bytes([v0, v1, v2, v3]);
    if version != FORMAT_VERSION {
        return Err(PackError::UnknownFormat { found: version });
    }
    let count = u32::from_le_bytes([c0, c1, c2, c3]);
    if count == 0 || count > RECORDS_MAX {
        return Err(PackError::BadCount { count });
    }
    Ok(u64::from(count) * ENTRY_BYTES as u64 + TRAILER_BYTES as u64)
}

/// Reads where the chunks of a pack lie.
///
/// `index` is the end of the pack, as long as [`index_bytes`] says, and `pack_bytes` the length of the whole.
/// The records must fill the pack without a gap: then no entry can point outside, or into another.
pub fn parse_index(name: PackName, index: &[u8], pack_bytes: u64) -> Result<Vec<PackEntry>, PackError> {
    let expected = index_bytes(index)?;
    if index.len() as u64 != expected || expected > pack_bytes {
        return Err(PackError::IndexDoesNotFit { index_bytes: expected, pack_bytes });
    }
    let (covered, hash) = index.split_at(index.len() - (TRAILER_BYTES - TRAILER_HEAD_BYTES));
    let actual: [u8; 32] = blake3::hash(covered).into();
    if actual != *hash {
        return Err(PackError::FooterDamaged);
    }
    if actual != name.0 {
        return Err(PackError::WrongName { expected: name, actual: PackName(actual) });
    }
    let footer = &covered[..covered.len() - TRAILER_HEAD_BYTES];
    let mut entries = Vec::with_capacity(footer.len() / ENTRY_BYTES);
    let mut end = 0;
    for bytes in footer.as_chunks::<ENTRY_BYTES>().0 {
        let entry = parse_entry(bytes)?;
        if u64::from(entry.offset) != end {
            return Err(PackError::RecordsApart { chunk: entry.id, expected: end, actual: entry.offset });
        }
        if entry.plain_bytes.max(entry.frame_bytes) > ChunkSize::LARGEST.bytes_u32() {
            return Err(PackError::TooLong {
                chunk: entry.id,
                bytes: entry.plain_bytes.max(entry.frame_bytes),
            });
        }
        end = entry.end();
        entries.push(entry);
    }
    let records_bytes = pack_bytes - expected;
    if end != records_bytes {
        return Err(PackError::RecordsDoNotFill { expected: records_bytes, actual: end });
    }
    Ok(entries)
}

fn parse_entry(bytes: &[u8; ENTRY_BYTES]) -> Result<PackEntry, PackError> {
    let [o0, o1, o2, o3, p0, p1, p2, codec, f0, f1, f2, f3] = *bytes.last_chunk().unwrap_or(&[0; 12]);
    let mut id = [0; 32];
    id.copy_from_slice(&bytes[..32]);
    let chunk = ChunkId(id);
    Ok(PackEntry {
        id: chunk,
        offset: u32::from_le_bytes([o0, o1, o2, o3]),
        plain_bytes: u32::from_le_bytes([p0, p1, p2, 0]),
        frame_bytes: u32::from_le_bytes([f0, f1, f2, f3]),
        codec: Codec::try_from(codec).map_err(|_| PackError::UnknownCodec { chunk, found: codec })?,
    })
}

/// Why a pack cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    #[error("{bytes} bytes are too short for a pack")]
    TooShort { bytes: u64 },
    #[error("expected the end of a pack, found bytes {found:02x?}")]
    NotAPack { found: [u8; 8] },
    #[error("pack format {found} is unknown, this version reads {FORMAT_VERSION}")]
    UnknownFormat { found: u32 },
    #[error("the pack claims {count} records, expected 1 to {RECORDS_MAX}")]
    BadCount { count: u32 },
    #[error("an index of {index_bytes} bytes does not fit a pack of {pack_bytes} bytes")]
    IndexDoesNotFit { index_bytes: u64, pack_bytes: u64 },
    #[error("the pack's footer is not what its hash says")]
    FooterDamaged,
    #[error("the pack named {expected} is {actual}")]
    WrongName { expected: PackName, actual: PackName },
    #[error("the record of chunk {chunk} begins at byte {actual}, the one before it ends at {expected}")]
    RecordsApart { chunk: ChunkId, expected: u64, actual: u32 },
    #[error("chunk {chunk} claims a length of {bytes} bytes, the largest has 1048576")]
    TooLong { chunk: ChunkId, bytes: u32 },
    #[error("chunk {chunk} has codec {found}, which is unknown")]
    UnknownCodec { chunk: ChunkId, found: u8 },
    #[error("the records end at byte {actual}, the footer begins at {expected}")]
    RecordsDoNotFill { expected: u64, actual: u64 },
    /// The disk gave the end of the pack no more.
    #[error("the end of the pack cannot be read: {0}")]
    Unreadable(String),
}

#[cfg(test)]
mod tests;
