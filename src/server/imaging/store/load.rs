//! Rebuilds the index from the packs' footers, at every start.

use futures_util::{StreamExt, TryStreamExt, stream};
use mimeo_core::chunk::ChunkId;

use super::{
    PACK_BYTES,
    backend::{Backend, ObjectInfo, ReadRangeError},
    error::StoreError,
    index::Index,
    pack::{self, PackEntry, PackError, PackName, TRAILER_BYTES},
    proofs::Proofs,
};

/// Packs whose footers are read at once: enough to hide the latency of a remote backend, few enough for its
/// limits and for the file descriptors of a local one.
const FOOTERS_AT_ONCE: usize = 16;

/// Read of every pack's end at first. The footer of a usual pack (700 records of some 45 KB) takes 31 KiB, so a
/// second read is rare.
const TAIL_BYTES: u64 = 64 << 10;

/// The longest pack in which lost chunks are looked for, so that a foreign file cannot take the memory.
const RECOGNISE_BYTES_MAX: u64 = 4 * PACK_BYTES as u64;

/// What the end of one pack tells.
enum Footer {
    Read(Vec<PackEntry>),
    Unreadable(PackError, Vec<ChunkId>),
}

/// Reads the footer of every pack there is.
pub(super) async fn load(backend: &Backend) -> Result<Index, StoreError> {
    let mut packs = Vec::new();
    for object in backend.list(pack::FOLDER).await? {
        match PackName::of_object(&object.name) {
            Some(name) => packs.push((name, object)),
            None => tracing::warn!(object = object.name, "store: {} is no pack, left alone", object.name),
        }
    }
    // Always the same order, so that a chunk which lies twice is read from the same place after each start.
    packs.sort_by_key(|(name, _)| name.0);
    let proofs = &Proofs::load(backend).await;
    let mut footers = stream::iter(packs)
        .map(|(name, object)| async move {
            let footer = load_footer(backend, name, &object).await?;
            let proved_at = proofs.time_of(backend, name).await?;
            Ok::<_, StoreError>((name, object.bytes, footer, proved_at))
        })
        .buffered(FOOTERS_AT_ONCE);
    let mut index = Index::default();
    while let Some((name, bytes, footer, proved_at)) = footers.try_next().await? {
        match footer {
            Footer::Read(entries) => {
                index.add_pack(name, bytes, &entries);
                index.note_earlier_proof(name, proved_at);
            }
            Footer::Unreadable(error, ids) => index.add_unreadable(name, error, &ids),
        }
    }
    Ok(index)
}

/// Reads the footer of one pack again. The outer error is the backend's, the inner one the pack's.
pub(super) async fn check_pack(
    backend: &Backend,
    name: PackName,
) -> Result<Result<(), PackError>, StoreError> {
    Ok(load_entries(backend, name).await?.map(drop))
}

/// Reads where the chunks of one pack lie. The outer error is the backend's, the inner one the pack's.
pub(super) async fn load_entries(
    backend: &Backend,
    name: PackName,
) -> Result<Result<Vec<PackEntry>, PackError>, StoreError> {
    let object = name.object();
    match backend.length(&object).await? {
        Some(bytes) => read_entries(backend, name, &ObjectInfo { name: object, bytes }).await,
        None => Ok(Err(PackError::Unreadable("the pack is gone".into()))),
    }
}

async fn load_footer(backend: &Backend, name: PackName, object: &ObjectInfo) -> Result<Footer, StoreError> {
    let error = match read_entries(backend, name, object).await? {
        Ok(entries) => return Ok(Footer::Read(entries)),
        Err(error) => error,
    };
    let ids = recognise(backend, name).await.ok().flatten();
    Ok(Footer::Unreadable(error, ids.unwrap_or_default()))
}

/// The chunks that can be recognised in a pack without its footer; `None` where it cannot be read, or is too long.
pub(super) async fn recognise(backend: &Backend, name: PackName) -> Result<Option<Vec<ChunkId>>, StoreError> {
    let object = name.object();
    if backend.length(&object).await?.is_some_and(|bytes| bytes > RECOGNISE_BYTES_MAX) {
        return Ok(None);
    }
    let read = backend.read(&object).await.ok();
    Ok(read.map(|bytes| bytes.map(|bytes| pack::recognise_ids(&bytes)).unwrap_or_default()))
}

/// The outer error is the backend's, the inner one the pack's.
async fn read_entries(
    backend: &Backend,
    name: PackName,
    object: &ObjectInfo,
) -> Result<Result<Vec<PackEntry>, PackError>, StoreError> {
    let pack_bytes = object.bytes;
    if pack_bytes < TRAILER_BYTES as u64 {
        return Ok(Err(PackError::TooShort { bytes: pack_bytes }));
    }
    let read_last =
        async |bytes: u64| match backend.read_range(&object.name, pack_bytes - bytes..pack_bytes).await {
            Ok(tail) => Ok(Ok(tail)),
            Err(ReadRangeError::Lost(detail)) => Ok(Err(PackError::Unreadable(detail))),
            Err(ReadRangeError::Failed(error)) => Err(error),
        };
    let mut tail = match read_last(pack_bytes.min(TAIL_BYTES)).await? {
        Ok(tail) => tail,
        Err(error) => return Ok(Err(error)),
    };
    let index_bytes = match pack::index_bytes(&tail) {
        Ok(index_bytes) if index_bytes <= pack_bytes => index_bytes,
        Ok(index_bytes) => return Ok(Err(PackError::IndexDoesNotFit { index_bytes, pack_bytes })),
        Err(error) => return Ok(Err(error)),
    };
    if index_bytes > tail.len() as u64 {
        tail = match read_last(index_bytes).await? {
            Ok(tail) => tail,
            Err(error) => return Ok(Err(error)),
        };
    }
    // At most as long as the tail at hand, so it fits.
    let start = tail.len() - usize::try_from(index_bytes).unwrap_or(tail.len());
    Ok(pack::parse_index(name, &tail[start..], pack_bytes))
}
