//! Chunks on the wire: sealed chunks one after the other, each behind a header of 48 bytes.
//!
//! ```text
//! offset  bytes
//!      0  4      "MCHK"
//!      4  1      codec
//!      5  3      zero
//!      8  4      length of the plain bytes, little endian
//!     12  4      length of the frame that follows, little endian
//!     16  32     chunk id
//! ```
//!
//! A store's pack holds the same records, so a chunk goes from disk to wire as it is.

use crate::chunk::{ChunkId, ChunkSize, Codec, OpenChunkError, SealedChunk};

/// Length of a record's header.
pub const HEADER_BYTES: usize = 48;

/// The first bytes of every record.
pub const MAGIC: [u8; 4] = *b"MCHK";

/// A frame is never longer than the plain bytes: [`crate::chunk::seal`] keeps what does not shrink as it is.
const FRAME_BYTES_MAX: u32 = ChunkSize::LARGEST.bytes_u32();

/// What the header of a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    pub id: ChunkId,
    pub codec: Codec,
    pub plain_bytes: u32,
    pub frame_bytes: u32,
}

impl RecordHeader {
    pub fn emit(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&MAGIC);
        header[4] = self.codec as u8;
        header[8..12].copy_from_slice(&self.plain_bytes.to_le_bytes());
        header[12..16].copy_from_slice(&self.frame_bytes.to_le_bytes());
        header[16..].copy_from_slice(&self.id.0);
        header
    }

    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, RecordError> {
        let [m0, m1, m2, m3, codec, z0, z1, z2, p0, p1, p2, p3, f0, f1, f2, f3, id @ ..] = *bytes;
        if [m0, m1, m2, m3] != MAGIC || [z0, z1, z2] != [0; 3] {
            return Err(RecordError::NotARecord { found: [m0, m1, m2, m3] });
        }
        let header = Self {
            id: ChunkId(id),
            codec: Codec::try_from(codec)?,
            plain_bytes: u32::from_le_bytes([p0, p1, p2, p3]),
            frame_bytes: u32::from_le_bytes([f0, f1, f2, f3]),
        };
        for length in [header.plain_bytes, header.frame_bytes] {
            if length > FRAME_BYTES_MAX {
                return Err(RecordError::TooLong { id: header.id, bytes: length });
            }
        }
        Ok(header)
    }
}

/// The header of a chunk's record, which the frame follows.
pub fn header_of(chunk: &SealedChunk) -> RecordHeader {
    let frame_bytes = u32::try_from(chunk.frame.len()).unwrap_or(u32::MAX);
    RecordHeader { id: chunk.id, codec: chunk.codec, plain_bytes: chunk.plain_bytes, frame_bytes }
}

/// Appends one chunk to a buffer of records.
pub fn append(chunk: &SealedChunk, records: &mut Vec<u8>) {
    records.extend_from_slice(&header_of(chunk).emit());
    records.extend_from_slice(&chunk.frame);
}

/// Takes the first record off `bytes`; `None` at the end.
pub fn take_first<'a>(bytes: &mut &'a [u8]) -> Result<Option<(RecordHeader, &'a [u8])>, RecordError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let (header, rest) = bytes.split_first_chunk().ok_or(RecordError::Truncated { left: bytes.len() })?;
    let header = RecordHeader::parse(header)?;
    let frame = rest.get(..header.frame_bytes as usize).ok_or(RecordError::Truncated { left: rest.len() })?;
    *bytes = &rest[frame.len()..];
    Ok(Some((header, frame)))
}

/// Reads a whole buffer of records.
pub fn parse_all(mut bytes: &[u8]) -> Result<Vec<SealedChunk>, RecordError> {
    let mut chunks = Vec::new();
    while let Some((RecordHeader { id, codec, plain_bytes, .. }, frame)) = take_first(&mut bytes)? {
        chunks.push(SealedChunk { id, codec, plain_bytes, frame: frame.to_vec() });
    }
    Ok(chunks)
}

/// Why bytes are no chunk records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("expected a chunk record, found bytes {found:02x?}")]
    NotARecord { found: [u8; 4] },
    #[error("chunk {id} claims a length of {bytes} bytes, the largest has 1048576")]
    TooLong { id: ChunkId, bytes: u32 },
    #[error("a chunk record ends after {left} bytes")]
    Truncated { left: usize },
    #[error(transparent)]
    Codec(#[from] OpenChunkError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{RecordError, append, parse_all};
    use crate::chunk::seal;

    #[test]
    fn records_follow_each_other() {
        let chunks = [seal(b"one"), seal(&[0; 70_000]), seal(b"")];
        let mut bytes = Vec::new();
        for chunk in &chunks {
            append(chunk, &mut bytes);
        }
        assert_eq!(parse_all(&bytes).as_deref(), Ok(chunks.as_slice()));
        for cut in 1..super::HEADER_BYTES {
            assert!(matches!(parse_all(&bytes[..cut]), Err(RecordError::Truncated { .. })), "cut at {cut}");
        }
        assert!(matches!(
            parse_all(&bytes[..bytes.len() - super::HEADER_BYTES - 1]),
            Err(RecordError::Truncated { .. })
        ));
    }

    proptest! {
        #[test]
        fn foreign_bytes_give_an_error_or_records(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut framed = b"MCHK\x00\x00\x00\x00".to_vec();
            framed.extend_from_slice(&bytes);
            for foreign in [bytes, framed] {
                if let Ok(chunks) = parse_all(&foreign) {
                    let mut again = Vec::new();
                    chunks.iter().for_each(|chunk| append(chunk, &mut again));
                    assert_eq!(again, foreign);
                }
            }
        }
    }
}
