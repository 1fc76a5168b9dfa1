//! The chunk: the piece in which disk content is named, kept, moved and proved.
//!
//! A chunk is named by the BLAKE3 hash of its plain bytes. It travels and rests **sealed**: as one independent
//! zstd frame, or as it is where compression would not shrink it. [`open`] is the only way back, and it hashes:
//! bytes that are not what their id says never reach a disk.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ids::ParseIdError;

/// The name of a chunk: the BLAKE3 hash of its plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub [u8; 32]);

impl ChunkId {
    pub fn of(plain: &[u8]) -> Self {
        Self(blake3::hash(plain).into())
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ChunkId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError {
            expected: "a chunk id of 64 hexadecimal digits",
            found: text.chars().take(64).collect(),
        })?;
        Ok(Self(bytes))
    }
}

/// Text for a person's formats (JSON), 32 bare bytes for ours (the manifest).
impl Serialize for ChunkId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for ChunkId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// How many bytes of disk one chunk covers: a power of two from 64 KiB to 1 MiB, one size per master.
///
/// The default of 128 KiB was measured: larger chunks compress up to 4 % better but make an update of an NTFS
/// master cost up to twice as much, smaller ones double the manifest (ADR 0003).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkSize(u32);

impl ChunkSize {
    pub const DEFAULT: Self = Self(128 << 10);
    pub const LARGEST: Self = Self(1 << 20);

    pub fn new(bytes: u32) -> Result<Self, BadChunkSize> {
        if bytes.is_power_of_two() && (64 << 10..=1 << 20).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(BadChunkSize(bytes))
        }
    }

    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// As [`ChunkSize::bytes`], for lengths that a format keeps in 32 bits.
    pub const fn bytes_u32(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for ChunkSize {
    type Error = BadChunkSize;

    fn try_from(bytes: u32) -> Result<Self, BadChunkSize> {
        Self::new(bytes)
    }
}

impl From<ChunkSize> for u32 {
    fn from(size: ChunkSize) -> u32 {
        size.0
    }
}

/// A chunk size outside the range that the format allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a chunk size that is a power of two from 65536 to 1048576 bytes, found {0}")]
pub struct BadChunkSize(pub u32);

/// How the bytes of a sealed chunk are to be read. The numbers are part of the store's and the wire's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Codec {
    /// The plain bytes themselves.
    Raw = 0,
    /// One zstd frame, made in a hurry: by the computer whose disk is captured.
    Zstd = 1,
    /// One zstd frame that was made with time, and is not worth making again.
    Dense = 2,
}

impl TryFrom<u8> for Codec {
    type Error = OpenChunkError;

    fn try_from(number: u8) -> Result<Self, OpenChunkError> {
        match number {
            0 => Ok(Self::Raw),
            1 => Ok(Self::Zstd),
            2 => Ok(Self::Dense),
            other => Err(OpenChunkError::UnknownCodec(other)),
        }
    }
}

/// A chunk in the form in which it travels and rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChunk {
    pub id: ChunkId,
    pub codec: Codec,
    /// Length of the plain bytes.
    pub plain_bytes: u32,
    /// The frame.
    pub frame: Vec<u8>,
}

/// How much time compressing a chunk may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// As little as is worth it: the processor is what everybody waits for.
    Hurried,
    /// Four times as long, where the processor waits for others.
    Thorough,
}

/// Bytes of a chunk with their name.
#[derive(Debug, Clone, Copy)]
pub struct NamedChunk<'a> {
    id: ChunkId,
    plain: &'a [u8],
}

impl<'a> NamedChunk<'a> {
    /// Hashes the bytes.
    pub fn of(plain: &'a [u8]) -> Self {
        Self { id: ChunkId::of(plain), plain }
    }

    pub fn id(self) -> ChunkId {
        self.id
    }

    /// Compresses it.
    ///
    /// # Panics
    /// As [`seal`].
    pub fn seal(self, effort: Effort) -> SealedChunk {
        let Self { id, plain } = self;
        let plain_bytes =
            u32::try_from(plain.len()).ok().filter(|&bytes| u64::from(bytes) <= ChunkSize::LARGEST.bytes());
        let plain_bytes = plain_bytes.unwrap_or_else(|| panic!("a chunk of {} bytes was cut", plain.len()));
        let frame_bytes_max = plain.len() - plain.len() / WORTHWHILE_SAVING;
        match workshop::compress(plain, frame_bytes_max, effort) {
            Some(frame) => SealedChunk { id, codec: Codec::Zstd, plain_bytes, frame },
            None => SealedChunk { id, codec: Codec::Raw, plain_bytes, frame: plain.to_vec() },
        }
    }

    /// Compresses it and proves it by opening it again. The bytes are hashed once more rather than compared: they may have
    /// changed in a bad memory since they were named.
    pub fn seal_proved(self, effort: Effort) -> Result<ProvedChunk, OpenChunkError> {
        ProvedChunk::prove(self.seal(effort))
    }
}

/// A sealed chunk of which it was seen that it opens to what its id names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvedChunk(SealedChunk);

impl ProvedChunk {
    /// Opens a chunk that comes from elsewhere.
    pub fn prove(sealed: SealedChunk) -> Result<Self, OpenChunkError> {
        prove(&sealed)?;
        Ok(Self(sealed))
    }

    pub fn sealed(&self) -> &SealedChunk {
        &self.0
    }
}

/// A frame is kept compressed only where that saves at least one part in this many (5 %): reading a raw
/// chunk costs nothing.
const WORTHWHILE_SAVING: usize = 20;

/// Names and compresses a chunk, in a hurry.
///
/// # Panics
/// Where `plain` is larger than [`ChunkSize::LARGEST`]: callers cut disks at a [`ChunkSize`].
pub fn seal(plain: &[u8]) -> SealedChunk {
    NamedChunk::of(plain).seal(Effort::Hurried)
}

/// Gives back the plain bytes of a sealed chunk, proved to be the ones its id names.
pub fn open(sealed: &SealedChunk) -> Result<Vec<u8>, OpenChunkError> {
    let mut plain = vec![0; plain_length(sealed)?];
    open_into(sealed, &mut plain)?;
    Ok(plain)
}

/// As [`open`], into memory of the chunk's length that is at hand. After an error it holds anything.
pub fn open_into(sealed: &SealedChunk, plain: &mut [u8]) -> Result<(), OpenChunkError> {
    let &SealedChunk { id, codec, ref frame, .. } = sealed;
    let expected = plain_length(sealed)?;
    let wrong_length = |actual| OpenChunkError::WrongLength { id, expected, actual };
    if plain.len() != expected {
        return Err(wrong_length(plain.len()));
    }
    let actual = match codec {
        Codec::Raw if frame.len() == expected => {
            plain.copy_from_slice(frame);
            expected
        }
        Codec::Raw => frame.len(),
        Codec::Zstd | Codec::Dense => workshop::decompress(frame, plain)
            .map_err(|source| OpenChunkError::Undecodable { id, reason: source.to_string() })?,
    };
    if actual != expected {
        return Err(wrong_length(actual));
    }
    match ChunkId::of(plain) {
        actual if actual == id => Ok(()),
        actual => Err(OpenChunkError::WrongContent { expected: id, actual }),
    }
}

/// Compresses a sealed chunk once more, with time, and proves what that gives: some 15 MB/s a core for a frame that is
/// a seventh smaller. What was kept raw stays raw: noise does not shrink at any level.
pub fn densify(sealed: &SealedChunk) -> Result<SealedChunk, OpenChunkError> {
    let plain = open(sealed)?;
    let &SealedChunk { id, plain_bytes, ref frame, .. } = sealed;
    if sealed.codec != Codec::Zstd {
        return Ok(sealed.clone());
    }
    // A frame that does not shrink is as dense as it gets, and known as such from now on.
    let frame = workshop::compress_dense(&plain, frame.len()).unwrap_or_else(|| frame.clone());
    let dense = SealedChunk { id, codec: Codec::Dense, plain_bytes, frame };
    prove(&dense)?;
    Ok(dense)
}

/// Sees whether a sealed chunk opens to what its id names.
pub fn prove(sealed: &SealedChunk) -> Result<(), OpenChunkError> {
    workshop::with_plain(plain_length(sealed)?, |plain| open_into(sealed, plain))
}

/// The length that a sealed chunk claims, if any chunk can have it.
fn plain_length(sealed: &SealedChunk) -> Result<usize, OpenChunkError> {
    match sealed.plain_bytes {
        bytes if u64::from(bytes) > ChunkSize::LARGEST.bytes() => {
            Err(OpenChunkError::TooLarge { id: sealed.id, bytes })
        }
        bytes => Ok(bytes as usize),
    }
}

/// Why the bytes at hand are not the chunk that they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenChunkError {
    #[error("unknown codec {0}, this version reads 0 (raw), 1 (zstd) and 2 (dense zstd)")]
    UnknownCodec(u8),
    #[error("chunk {id} claims {bytes} bytes, the largest has 1048576")]
    TooLarge { id: ChunkId, bytes: u32 },
    #[error("chunk {id} cannot be decompressed: {reason}")]
    Undecodable { id: ChunkId, reason: String },
    #[error("chunk {id} has {actual} bytes instead of {expected}")]
    WrongLength { id: ChunkId, expected: usize, actual: usize },
    #[error("chunk {expected} holds the content of {actual}")]
    WrongContent { expected: ChunkId, actual: ChunkId },
}

mod workshop;

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{
        ChunkId, ChunkSize, Codec, Effort, NamedChunk, OpenChunkError, ProvedChunk, SealedChunk, densify,
        open, open_into, prove, seal,
    };

    #[test]
    fn text_is_compressed_and_noise_is_not() {
        assert_eq!(seal(&[b'a'; 4096]).codec, Codec::Zstd);
        let mut noise = [0; 4096];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        assert_eq!(seal(&noise).codec, Codec::Raw);
    }

    #[test]
    fn every_flipped_bit_of_a_raw_frame_is_noticed() {
        let sealed = seal(&[1, 2, 3]);
        for bit in 0..sealed.frame.len() * 8 {
            let mut damaged = sealed.clone();
            damaged.frame[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_dense_chunk_is_the_same_chunk_and_no_larger() {
        // Words that come again and again, each time after others.
        let word = |number: u32| format!("word{} ", number.wrapping_mul(0x9E37_79B1) >> 23);
        let text: String = (0..20_000).map(word).collect();
        let loose = seal(&text.as_bytes()[..65_536]);
        let dense = densify(&loose).expect("it opens");
        assert_eq!((dense.id, dense.codec), (loose.id, Codec::Dense));
        assert!(dense.frame.len() < loose.frame.len(), "{} of {}", dense.frame.len(), loose.frame.len());
        assert_eq!(open(&dense), open(&loose));
        assert_eq!(densify(&dense).expect("it opens"), dense);
        assert_eq!(densify(&seal(b"raw")).expect("it opens").codec, Codec::Raw);
        let damaged = SealedChunk { id: ChunkId([1; 32]), ..loose };
        assert!(densify(&damaged).is_err());
    }

    #[test]
    fn what_is_compressed_thoroughly_is_smaller_and_opens_to_the_same() {
        let plain = include_bytes!("chunk.rs");
        let [hurried, thorough] =
            [Effort::Hurried, Effort::Thorough].map(|effort| NamedChunk::of(plain).seal(effort));
        assert_eq!((thorough.id, thorough.codec), (hurried.id, Codec::Zstd));
        assert!(thorough.frame.len() < hurried.frame.len());
        assert_eq!(open(&thorough).as_deref(), Ok(plain.as_slice()));
    }

    #[test]
    fn a_chunk_opens_only_into_memory_of_its_length() {
        for plain in [&b"content content content content content content"[..], b"raw", b""] {
            let sealed = seal(plain);
            for length in [0, plain.len().saturating_sub(1), plain.len(), plain.len() + 1] {
                let mut memory = vec![7; length];
                let opened = open_into(&sealed, &mut memory);
                assert_eq!(opened.is_ok(), length == plain.len(), "{length} for {}", plain.len());
                assert!(opened.is_err() || memory == plain);
            }
        }
    }

    #[test]
    fn a_frame_under_another_name_is_refused() {
        let mut sealed = seal(b"content");
        sealed.id = ChunkId::of(b"other content");
        assert!(matches!(open(&sealed), Err(OpenChunkError::WrongContent { .. })));
    }

    #[test]
    fn a_small_frame_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
        let mut sealed = seal(&[0; 1 << 16]);
        sealed.plain_bytes = u32::MAX;
        assert!(matches!(open(&sealed), Err(OpenChunkError::TooLarge { .. })));
    }

    #[test]
    fn chunk_sizes_stay_in_their_range() {
        assert_eq!(ChunkSize::new(131_072), Ok(ChunkSize::DEFAULT));
        for bad in [0, 4096, 100_000, 2 << 20] {
            assert!(ChunkSize::new(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_to_itself(plain in prop::collection::vec(any::<u8>(), 0..5000)) {
            let sealed = seal(&plain);
            assert_eq!(sealed.id, ChunkId::of(&plain));
            assert_eq!(prove(&sealed), Ok(()));
            let proved = NamedChunk::of(&plain).seal_proved(Effort::Hurried);
            assert_eq!(proved.as_ref().map(ProvedChunk::sealed), Ok(&sealed));
            assert_eq!(ProvedChunk::prove(sealed.clone()), proved);
            assert_eq!(open(&sealed), Ok(plain));
        }

        #[test]
        fn damage_never_opens_to_other_bytes(plain in prop::collection::vec(any::<u8>(), 1..2000), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let mut sealed = seal(&plain);
            let at = at.index(sealed.frame.len());
            sealed.frame[at] ^= flip;
            assert_eq!(open(&sealed).map(drop), prove(&sealed));
            if let Ok(opened) = open(&sealed) {
                assert_eq!(opened, plain);
            }
        }
    }
}
