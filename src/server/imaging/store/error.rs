//! How the store may fail, with the chunk, the pack and the numbers.

use std::{error::Error, io, path::Path, sync::Arc};

use mimeo_core::{
    causes::causes,
    chunk::{ChunkId, OpenChunkError},
    failure::FailureCause,
    manifest::{ManifestError, ManifestRoot},
};

use super::pack::PackName;

/// Why the store could not do what it was asked. Cloneable, because one failed write fails everything that
/// still wanted to go into the same pack.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store is as sound as before; what was to be written is not in it.
    #[error(
        "the store's disk is full: {needed_bytes} bytes were to be written, {free_bytes} are free, of which \
         {reserve_bytes} are kept back"
    )]
    Full { needed_bytes: u64, free_bytes: u64, reserve_bytes: u64 },
    /// The store had this chunk, and cannot give it any more.
    #[error(transparent)]
    Damaged(Damage),
    /// The store has no such chunk, as far as its readable packs tell.
    #[error("chunk {chunk} is not in the store ({unreadable_packs} packs are unreadable)")]
    Missing { chunk: ChunkId, unreadable_packs: usize },
    /// What was handed in is not what its id says.
    #[error("a chunk is refused")]
    Refused(#[source] OpenChunkError),
    #[error("manifest {root} is not in the store")]
    ManifestMissing { root: ManifestRoot },
    #[error("manifest {root} is damaged on the store's disk")]
    ManifestDamaged { root: ManifestRoot, source: ManifestError },
    /// The disk gives its bytes no more.
    #[error("manifest {root} cannot be read from the store's disk: {detail}")]
    ManifestUnreadable { root: ManifestRoot, detail: String },
    /// What was written is not what the backend gives back.
    #[error("{object} reads back otherwise than it was written: the store's disk, or the memory, is failing")]
    ReadBackDiffers { object: String },
    /// A collection is under way.
    #[error("the store is being collected already")]
    Collecting,
    /// Another server uses the store's folder.
    #[error("store folder {path} is in use by another server")]
    InUse { path: String },
    #[error("{doing} {object}")]
    Backend { doing: &'static str, object: String, source: Arc<object_store::Error> },
    #[error("{doing} {path}")]
    Io { doing: &'static str, path: String, source: Arc<io::Error> },
    /// Others fill the memory for captures; the same may be asked again.
    #[error("the store takes in too much at once, come back later")]
    NoRoom,
    /// The server is stopping.
    #[error("the server stops")]
    Stopped,
}

/// A chunk that is lost on the store's disk, and where it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk} is damaged in pack {pack}: {detail}")]
pub struct Damage {
    pub chunk: ChunkId,
    pub pack: PackName,
    pub detail: String,
}

impl StoreError {
    /// How a session ends that this happens to; `None` where it should ask again, for the server comes back or has room
    /// again.
    pub fn cause(&self) -> Option<FailureCause> {
        let detail = causes(self);
        match self {
            Self::Full { .. } => Some(FailureCause::StoreFull { detail }),
            Self::Damaged(damage) => Some(FailureCause::ChunkDamaged { chunk: damage.chunk, detail }),
            Self::Missing { chunk, .. } => Some(FailureCause::ChunkMissing { chunk: *chunk }),
            Self::ManifestMissing { .. } | Self::ManifestDamaged { .. } | Self::ManifestUnreadable { .. } => {
                Some(FailureCause::ManifestRefused { detail })
            }
            Self::Stopped | Self::NoRoom => None,
            _ => Some(FailureCause::StoreFailed { detail }),
        }
    }

    pub(super) fn backend(doing: &'static str, object: &str, source: object_store::Error) -> Self {
        Self::Backend { doing, object: object.into(), source: Arc::new(source) }
    }

    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.display().to_string(), source: Arc::new(source) }
    }

    /// A write that failed; [`StoreError::Full`] where that was for want of room.
    pub(super) fn writing(object: &str, source: object_store::Error) -> Self {
        if io_cause(&source).is_some_and(is_no_room) {
            Self::no_room()
        } else {
            Self::backend("writing", object, source)
        }
    }

    /// As [`StoreError::writing`], where the operating system spoke itself.
    pub(super) fn io_writing(object: &str, root: &Path, source: io::Error) -> Self {
        if is_no_room(&source) { Self::no_room() } else { Self::io("writing", &root.join(object), source) }
    }

    /// The disk said so itself: whoever knows the numbers fills them in.
    fn no_room() -> Self {
        Self::Full { needed_bytes: 0, free_bytes: 0, reserve_bytes: 0 }
    }
}

/// The operating system's error at the bottom of an error, where there is one.
pub(super) fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        cause = error.source();
    }
    None
}

/// A quota counts as a full disk: the way out is the same.
fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
