//! The manifest: what makes a master version. It says of every byte of a disk where its content is to be
//! found, and it is signed; its hash is the version's name.
//!
//! A disk is cut into **regions** that follow each other without overlap: the boot area before the first
//! partition, each partition, and the gaps between them. A region is cut into chunks from its own start, so a
//! partition that moves by a sector still yields the same chunks.

pub mod volumes;
pub mod warning;

use std::fmt;

use ed25519_dalek::{Signer, SigningKey, Verifier, VerifyingKey};
use serde::{Deserialize, Serialize};

use self::volumes::OpaqueVolume;
use crate::{
    chunk::{ChunkId, ChunkSize},
    disk::{filesystem::FileSystem, table::PartitionTable},
    units::{Extent, SectorSize},
};

/// The first bytes of every encoded manifest, before its format version.
const MAGIC: &[u8; 8] = b"MIMEOMAN";
/// The format that this program writes, and the only one it reads.
pub const FORMAT_VERSION: u16 = 2;
/// The largest manifest, encoded: 32 bytes for each 128 KiB, so enough for 1 TiB of content, and little enough to hold
/// in memory.
pub const BYTES_MAX: usize = 256 << 20;
/// The longest part of it before the regions: a GPT of 1,024 partitions with the longest names takes a third.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Most regions: a partition and a gap for each of 512 partitions, four times what a GPT has room for.
const REGIONS_MAX: u64 = 1024;
/// Most runs in all regions together: a disk of 1 TiB that changes its nature with every second chunk. Two bytes can
/// encode a run that takes 32 in memory, so the length of the manifest is no limit.
const RUNS_MAX: u64 = 4 << 20;
/// Most parts of a disk that could not be read: a disk with more of them is no source of a master.
pub const UNREAD_MAX: u64 = 4096;

/// A whole disk, as content addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub disk: DiskGeometry,
    pub chunk_size: ChunkSize,
    pub table: PartitionTable,
    /// In the order of their place on the disk, without overlap.
    pub regions: Vec<Region>,
    /// What the source disk could not read although it was in use, in order, without overlap. Zeros stand for it. Empty
    /// unless whoever captured it allowed for bad sectors.
    pub unread: Vec<Extent>,
}

/// The outer measures of the captured disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskGeometry {
    pub size_bytes: u64,
    pub logical_sector: SectorSize,
    pub physical_sector: SectorSize,
}

/// One contiguous part of the disk that is carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub place: Extent,
    pub kind: RegionKind,
    /// What the region's content was understood as; decides which bytes were carried.
    pub content: Content,
    /// Chunk by chunk from the region's start. The last chunk may be shorter than the others.
    pub runs: Vec<Run>,
}

/// What a region is to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionKind {
    /// Everything before the first partition: boot code, the partition table itself, GRUB's embedded core.
    BootArea,
    /// A partition, by its number in the table.
    Partition(u32),
    /// Carried bytes that belong to no partition: extended boot records, alignment gaps.
    Gap,
}

/// How a region's used bytes were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Every byte counts.
    Raw {
        /// What was recognised and is carried byte by byte nevertheless: what is encrypted, a member of a RAID, a file
        /// system whose account of space this program does not read.
        found: Option<FileSystem>,
    },
    /// The file system's own map says what counts.
    Mapped {
        filesystem: FileSystem,
        /// The file system's block, cluster or sector, in which it accounts for space.
        block_bytes: u32,
        /// Bytes in use by that account.
        used_bytes: u64,
    },
    /// A physical volume of LVM, mapped likewise, in which these logical volumes are worth a warning. Without any it is
    /// [`Content::Mapped`].
    MappedGroup {
        block_bytes: u32,
        used_bytes: u64,
        #[serde(deserialize_with = "volumes::deserialize")]
        opaque: Vec<OpaqueVolume>,
    },
}

impl Content {
    /// What the region was recognised as.
    pub fn filesystem(&self) -> Option<FileSystem> {
        match self {
            Self::Raw { found } => *found,
            Self::Mapped { filesystem, .. } => Some(*filesystem),
            Self::MappedGroup { .. } => Some(FileSystem::Lvm),
        }
    }

    /// The bytes in use, where a map says which they are.
    pub fn mapped_bytes(&self) -> Option<u64> {
        match self {
            Self::Raw { .. } => None,
            Self::Mapped { used_bytes, .. } | Self::MappedGroup { used_bytes, .. } => Some(*used_bytes),
        }
    }
}

/// A stretch of chunks of one nature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Run {
    /// Chunks with content, by name. Bytes that are not in use are zero in them.
    Chunks(Vec<ChunkId>),
    /// So many chunks that are in use and hold only zeros.
    Zero(u32),
    /// So many chunks of which nothing is in use: what the target holds there does not matter.
    DontCare(u32),
}

impl Run {
    /// How many chunks the run covers.
    pub fn chunk_count(&self) -> u64 {
        match self {
            Self::Chunks(ids) => ids.len() as u64,
            Self::Zero(count) | Self::DontCare(count) => u64::from(*count),
        }
    }
}

/// What a chunk of a region is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkContent {
    Data(ChunkId),
    Zero,
    DontCare,
}

impl ChunkContent {
    /// The chunk that the content is to be fetched as, if any.
    pub fn id(self) -> Option<ChunkId> {
        match self {
            Self::Data(id) => Some(id),
            Self::Zero | Self::DontCare => None,
        }
    }
}

impl Region {
    /// Every chunk of the region with its place on the disk, in order.
    pub fn chunks(&self, chunk_size: ChunkSize) -> impl Iterator<Item = (Extent, ChunkContent)> + Send + '_ {
        let contents =
            self.runs.iter().flat_map(|run| -> Box<dyn Iterator<Item = ChunkContent> + Send + '_> {
                match run {
                    Run::Chunks(ids) => Box::new(ids.iter().map(|&id| ChunkContent::Data(id))),
                    Run::Zero(count) => Box::new((0..*count).map(|_| ChunkContent::Zero)),
                    Run::DontCare(count) => Box::new((0..*count).map(|_| ChunkContent::DontCare)),
                }
            });
        contents.zip(0u64..).map(move |(content, index)| (self.place_of(index, chunk_size), content))
    }

    /// Every run of the region with the number of its first chunk.
    fn numbered_runs(&self) -> impl Iterator<Item = (u64, &Run)> {
        self.runs.iter().scan(0u64, |next, run| {
            let first = *next;
            *next = next.saturating_add(run.chunk_count());
            Some((first, run))
        })
    }

    /// Where a chunk of the region lies on the disk.
    fn place_of(&self, index: u64, chunk_size: ChunkSize) -> Extent {
        let offset = index * chunk_size.bytes();
        let length_bytes = chunk_size.bytes().min(self.place.length_bytes.saturating_sub(offset));
        Extent { start_bytes: self.place.start_bytes + offset, length_bytes }
    }
}

impl Manifest {
    /// Every chunk of the disk that carries content, with its place. Takes no time for what carries none: a few bytes
    /// of a manifest can say that of an exabyte.
    pub fn data_chunks(&self) -> impl Iterator<Item = (Extent, ChunkId)> + '_ {
        self.regions.iter().flat_map(move |region| {
            region.numbered_runs().flat_map(move |(first, run)| {
                let ids = match run {
                    Run::Chunks(ids) => ids.as_slice(),
                    Run::Zero(_) | Run::DontCare(_) => &[],
                };
                (first..).zip(ids).map(move |(index, id)| (region.place_of(index, self.chunk_size), *id))
            })
        })
    }

    /// The bytes that a deploy has to place: content and zeros, not what nobody cares about.
    pub fn carried_bytes(&self) -> u64 {
        let carried_of = |region: &Region| -> u64 {
            let carried = region.numbered_runs().filter(|(_, run)| !matches!(run, Run::DontCare(_)));
            let end_of = |index: u64| {
                let end_bytes = index.saturating_mul(self.chunk_size.bytes());
                end_bytes.min(region.place.length_bytes)
            };
            carried.map(|(first, run)| end_of(first.saturating_add(run.chunk_count())) - end_of(first)).sum()
        };
        self.regions.iter().map(carried_of).sum()
    }

    /// How much of what was in use on the source is zeros here, because the disk could not read it.
    pub fn unread_bytes(&self) -> u64 {
        self.unread.iter().map(|place| place.length_bytes).sum()
    }

    /// The same, in sectors of the source.
    pub fn unread_sectors(&self) -> u64 {
        self.unread_bytes().div_ceil(self.disk.logical_sector.bytes())
    }

    /// The size of the smallest disk that can hold this master: where its last region ends, and behind that
    /// what its partition table needs for itself.
    pub fn target_min_bytes(&self) -> u64 {
        let content_end = self.regions.iter().map(|region| region.place.end_bytes()).max().unwrap_or(0);
        self.table.target_min_bytes(content_end, self.disk.logical_sector)
    }

    /// Checks what the types cannot say: regions in order and inside the disk, runs that cover them exactly.
    pub fn check(&self) -> Result<(), ManifestError> {
        let mut previous_end = 0;
        for (index, region) in self.regions.iter().enumerate() {
            let end = region.place.start_bytes.checked_add(region.place.length_bytes);
            let end = end.filter(|&end| end <= self.disk.size_bytes && region.place.length_bytes > 0);
            let end = end.ok_or(ManifestError::RegionOutside {
                index,
                place: region.place,
                disk_bytes: self.disk.size_bytes,
            })?;
            if region.place.start_bytes < previous_end {
                return Err(ManifestError::RegionOverlaps {
                    index,
                    start_bytes: region.place.start_bytes,
                    previous_end,
                });
            }
            previous_end = end;
            let expected = region.place.length_bytes.div_ceil(self.chunk_size.bytes());
            let actual = region.runs.iter().map(Run::chunk_count).sum();
            if expected != actual {
                return Err(ManifestError::RunsDoNotCover { index, expected, actual });
            }
        }
        self.check_unread()
    }

    fn check_unread(&self) -> Result<(), ManifestError> {
        let mut previous_end = 0;
        for &place in &self.unread {
            let end = place.start_bytes.checked_add(place.length_bytes);
            let end = end.filter(|&end| {
                place.start_bytes >= previous_end && end > place.start_bytes && end <= self.disk.size_bytes
            });
            previous_end = end.ok_or(ManifestError::UnreadMisplaced { place, previous_end })?;
        }
        Ok(())
    }

    /// The bytes that are hashed and signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        // Writing to a growing vector of plain structures has no way to fail.
        postcard::to_extend(self, bytes).unwrap_or_else(|error| panic!("encoding a manifest: {error}"))
    }

    /// Reads and checks what [`Manifest::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > BYTES_MAX {
            return Err(ManifestError::TooLong { bytes: bytes.len() });
        }
        let body = bytes.strip_prefix(MAGIC).ok_or(ManifestError::NotAManifest)?;
        let (version, body) = body.split_first_chunk().ok_or(ManifestError::NotAManifest)?;
        let version = u16::from_le_bytes(*version);
        if version != FORMAT_VERSION {
            return Err(ManifestError::UnknownFormat { found: version });
        }
        let manifest = decode_body(body)?;
        manifest.check()?;
        Ok(manifest)
    }
}

/// Reads the fields of a manifest one after the other, which is how postcard lays a structure out, so that each list
/// is held to its limit before it takes memory.
fn decode_body(body: &[u8]) -> Result<Manifest, ManifestError> {
    let undecodable = |source: postcard::Error| ManifestError::Undecodable(source.to_string());
    let head = &body[..body.len().min(HEAD_BYTES_MAX)];
    let ((disk, chunk_size, table), rest) = postcard::take_from_bytes(head).map_err(undecodable)?;
    let mut body = &body[head.len() - rest.len()..];
    let region_count = take_count(&mut body, "regions", REGIONS_MAX)?;
    let mut regions = Vec::new();
    let mut runs_left = RUNS_MAX;
    for _ in 0..region_count {
        let ((place, kind, content), rest) = postcard::take_from_bytes(body).map_err(undecodable)?;
        body = rest;
        let run_count = take_count(&mut body, "runs", runs_left)?;
        runs_left -= run_count;
        let mut runs = Vec::new();
        for _ in 0..run_count {
            let (run, rest) = postcard::take_from_bytes(body).map_err(undecodable)?;
            body = rest;
            runs.push(run);
        }
        regions.push(Region { place, kind, content, runs });
    }
    let unread_count = take_count(&mut body, "unread parts", UNREAD_MAX)?;
    let mut unread = Vec::new();
    for _ in 0..unread_count {
        let (place, rest) = postcard::take_from_bytes(body).map_err(undecodable)?;
        body = rest;
        unread.push(place);
    }
    if !body.is_empty() {
        return Err(ManifestError::Undecodable(format!("{} bytes follow the end", body.len())));
    }
    Ok(Manifest { disk, chunk_size, table, regions, unread })
}

/// Takes the length of a list off `body`.
fn take_count(body: &mut &[u8], what: &'static str, most: u64) -> Result<u64, ManifestError> {
    let (count, rest) = postcard::take_from_bytes(body)
        .map_err(|source: postcard::Error| ManifestError::Undecodable(source.to_string()))?;
    *body = rest;
    if count > most { Err(ManifestError::TooMany { what, count, most }) } else { Ok(count) }
}

/// The hash of an encoded manifest: the name of a version that nobody can change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ManifestRoot(pub [u8; 32]);

impl ManifestRoot {
    pub fn of(encoded: &[u8]) -> Self {
        Self(blake3::hash(encoded).into())
    }
}

impl fmt::Display for ManifestRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ManifestRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ManifestRoot> for String {
    fn from(root: ManifestRoot) -> Self {
        root.to_string()
    }
}

impl TryFrom<String> for ManifestRoot {
    type Error = ManifestError;

    fn try_from(text: String) -> Result<Self, ManifestError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes).map_err(|_| ManifestError::BadRoot)?;
        Ok(Self(bytes))
    }
}

/// An encoded manifest with the appliance's signature over its root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    pub encoded: Vec<u8>,
    pub signature: [u8; 64],
}

impl SignedManifest {
    pub fn sign(manifest: &Manifest, key: &SigningKey) -> Self {
        let encoded = manifest.encode();
        let signature = key.sign(&signed_message(ManifestRoot::of(&encoded))).to_bytes();
        Self { encoded, signature }
    }

    pub fn root(&self) -> ManifestRoot {
        ManifestRoot::of(&self.encoded)
    }

    /// The manifest, once both its hash and its signature have proved right.
    pub fn open(&self, root: ManifestRoot, key: &VerifyingKey) -> Result<Manifest, ManifestError> {
        let actual = self.root();
        if actual != root {
            return Err(ManifestError::WrongRoot { expected: root, actual });
        }
        let signature = ed25519_dalek::Signature::from_bytes(&self.signature);
        key.verify(&signed_message(root), &signature).map_err(|_| ManifestError::BadSignature { root })?;
        Manifest::decode(&self.encoded)
    }

    /// One run of bytes: the signature, then the encoded manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.signature.as_slice(), &self.encoded].concat()
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        let (signature, encoded) = bytes.split_first_chunk().ok_or(ManifestError::NotAManifest)?;
        Ok(Self { encoded: encoded.to_vec(), signature: *signature })
    }
}

/// What is signed: the root under a name of its own, so that the signature means nothing elsewhere.
fn signed_message(root: ManifestRoot) -> Vec<u8> {
    [b"mimeo manifest v1\0".as_slice(), &root.0].concat()
}

/// Why bytes are not a manifest that may be deployed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error("this is no manifest: it does not begin with MIMEOMAN")]
    NotAManifest,
    #[error(
        "a manifest of {bytes} bytes is longer than the {BYTES_MAX} bytes that are read: the disk holds too much"
    )]
    TooLong { bytes: usize },
    #[error("the manifest has {count} {what}, at most {most} are read")]
    TooMany { what: &'static str, count: u64, most: u64 },
    #[error("manifest format {found} is unknown, this version reads {FORMAT_VERSION}")]
    UnknownFormat { found: u16 },
    #[error("manifest cannot be decoded: {0}")]
    Undecodable(String),
    #[error("expected a manifest root of 64 hexadecimal digits")]
    BadRoot,
    #[error("manifest has root {actual} instead of {expected}")]
    WrongRoot { expected: ManifestRoot, actual: ManifestRoot },
    #[error("the signature of manifest {root} is not this appliance's")]
    BadSignature { root: ManifestRoot },
    #[error("region {index} ({place}) is empty or lies outside the disk of {disk_bytes} bytes")]
    RegionOutside { index: usize, place: Extent, disk_bytes: u64 },
    #[error("region {index} starts at byte {start_bytes}, the one before it ends at {previous_end}")]
    RegionOverlaps { index: usize, start_bytes: u64, previous_end: u64 },
    #[error("the runs of region {index} cover {actual} chunks instead of {expected}")]
    RunsDoNotCover { index: usize, expected: u64, actual: u64 },
    #[error("the unread part {place} is empty, outside the disk or not behind byte {previous_end}")]
    UnreadMisplaced { place: Extent, previous_end: u64 },
}

#[cfg(test)]
mod tests;
