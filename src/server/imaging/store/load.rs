//! Rebuilds the index from the packs' footers, at every start; of a pack without one, from its records.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    PACK_BYTES,
    backend::{Backend, ObjectInfo, ReadRangeError},
    error::StoreError,
    index::Index,
    pack::{
        self, PackEntry, PackError, PackName, TRAILER_BYTES,
        salvage::{self, Salvage},
    },
    proofs::Proofs,
};

/// Packs whose footers are read at once: enough to hide the latency of a remote backend, few enough for its
/// limits and for the file descriptors of a local one.
const FOOTERS_AT_ONCE: usize = 16;

/// Read of every pack's end at first. The footer of a usual pack (700 records of some 45 KB) takes 31 KiB, so a
/// second read is rare.
const TAIL_BYTES: u64 = 64 << 10;

/// The longest pack of which the records are looked through, so that a foreign file cannot take the memory.
const SALVAGE_BYTES_MAX: u64 = 4 * PACK_BYTES as u64;

/// Of a pack that cannot be read in one piece, how much is read at once: what a bad sector costs.
const PIECE_BYTES: u64 = 64 << 10;

/// What the end of one pack tells or, without it, its records.
enum Footer {
    Read(Vec<PackEntry>),
    Unreadable(PackError, Salvage),
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
    let proofs = &Proofs::take(backend).await;
    let mut footers = stream::iter(packs)
        .map(|(name, object)| async move {
            let footer = load_footer(backend, name, &object).await?;
            let proved_at = proofs.time_of(backend, name).await?;
            Ok::<_, StoreError>((name, object.bytes, footer, proved_at))
        })
        .buffered(FOOTERS_AT_ONCE);
    let mut index = Index::default();
    let mut unreadable = Vec::new();
    while let Some((name, bytes, footer, proved_at)) = footers.try_next().await? {
        match footer {
            Footer::Read(entries) => {
                index.add_pack(name, bytes, &entries);
                index.note_earlier_proof(name, proved_at);
            }
            Footer::Unreadable(error, salvage) => unreadable.push((name, bytes, error, salvage)),
        }
    }
    // After all others: what lies in a sound pack, too, is read there.
    for (name, bytes, error, salvage) in unreadable {
        index.add_unreadable(name, bytes, error, &salvage);
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
    let salvage = salvage(backend, name).await.ok().flatten();
    Ok(Footer::Unreadable(error, salvage.unwrap_or_default()))
}

/// What can be had of a pack without its footer; `None` where it is too long to be looked through.
pub(super) async fn salvage(backend: &Backend, name: PackName) -> Result<Option<Salvage>, StoreError> {
    let object = name.object();
    let Some(bytes) = backend.length(&object).await? else { return Ok(Some(Salvage::default())) };
    if bytes > SALVAGE_BYTES_MAX {
        return Ok(None);
    }
    let pack = match backend.read(&object).await {
        Ok(read) => read.unwrap_or_default(),
        Err(_) => read_pieces(backend, &object, bytes).await?,
    };
    let looked = tokio::task::spawn_blocking(move || salvage::salvage(&pack));
    looked.await.map(Some).map_err(|_| StoreError::Stopped)
}

/// Reads what the disk still gives of a pack, with zeros for the rest.
async fn read_pieces(backend: &Backend, object: &str, bytes: u64) -> Result<Bytes, StoreError> {
    let mut pack = Vec::new();
    for start in (0..bytes).step_by(PIECE_BYTES as usize) {
        let end = bytes.min(start + PIECE_BYTES);
        match backend.read_range(object, start..end).await {
            Ok(piece) => pack.extend_from_slice(&piece),
            Err(ReadRangeError::Lost(_)) => pack.resize(pack.len() + (end - start) as usize, 0),
            Err(ReadRangeError::Failed(error)) => return Err(error),
        }
    }
    Ok(pack.into())
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
