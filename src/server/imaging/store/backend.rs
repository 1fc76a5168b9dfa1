//! Where a store's objects live, and what "written" means there.
//!
//! An S3-compatible cluster acknowledges an object once it is whole and durable. The local folder of
//! `object_store` promises only the first half: it renames a file into place without ever asking the kernel to
//! write it out (seen in 0.13.2), so a power cut may leave the name and not the bytes. [`Backend::put_durable`]
//! closes that gap: the object is written under `incoming/`, synchronised, read back from the disk, moved to its name,
//! and the folder is synchronised after it. So a name never leads to something that was not read back, and what had it
//! before is there until then.

use std::{
    io,
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, local::LocalFileSystem, memory::InMemory};

use super::{
    error::StoreError,
    medium::{LocalFolder, Medium},
    proofs::FileIdentity,
};

/// Where an object lies until it is durable. Nothing is ever read from here.
const INCOMING: &str = "incoming";

const INNER_FOLDERS: [&str; 3] = [super::pack::FOLDER, super::manifests::FOLDER, INCOMING];

/// Where objects are kept. Cloning gives another handle to the same place.
#[derive(Debug, Clone)]
pub struct Backend {
    objects: Arc<dyn ObjectStore>,
    folder: Option<Arc<Folder>>,
    /// Makes the names under `incoming/` differ, also where two captures bring the same pack.
    puts: Arc<AtomicU64>,
}

/// What a local folder needs beyond `object_store`.
#[derive(Debug)]
struct Folder {
    medium: Box<dyn Medium>,
}

/// How much is read back at once to be compared: enough for the disk, little beside the pack in memory.
const COMPARED_BYTES: u64 = 4 << 20;

/// An object's name and length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectInfo {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// Why a range of an object cannot be had.
#[derive(Debug)]
pub(super) enum ReadRangeError {
    /// The bytes are lost: the object is gone or too short, or the disk cannot read it any more.
    Lost(String),
    /// The backend failed; the bytes may be sound.
    Failed(StoreError),
}

impl Backend {
    /// A folder of this computer, made where there is none. Fails with [`StoreError::InUse`] while another
    /// server uses it.
    ///
    /// Blocks: it is called once, when the server starts.
    pub fn folder(root: &Path) -> Result<Self, StoreError> {
        let medium = LocalFolder::claim(root, &INNER_FOLDERS)?;
        let objects = LocalFileSystem::new_with_prefix(medium.root())
            .map_err(|source| StoreError::backend("opening", &medium.root().display().to_string(), source))?;
        Self::on_medium(Arc::new(objects), Box::new(medium))
    }

    /// A folder's files, and the disk that they lie on.
    pub(super) fn on_medium(
        objects: Arc<dyn ObjectStore>,
        medium: Box<dyn Medium>,
    ) -> Result<Self, StoreError> {
        // A server that was killed may have moved a pack to its name and not made the name durable; from here on the
        // index takes it to be.
        for folder in INNER_FOLDERS.iter().chain(&[""]) {
            let failed = |source| StoreError::io("opening store folder", medium.root(), source);
            medium.sync(folder).map_err(failed)?;
        }
        Ok(Self { objects, folder: Some(Arc::new(Folder { medium })), puts: Arc::default() })
    }

    /// Any other object store whose acknowledged puts are atomic and durable, as S3's are.
    pub fn remote(objects: Arc<dyn ObjectStore>) -> Self {
        Self { objects, folder: None, puts: Arc::default() }
    }

    /// Objects in memory: for tests.
    pub fn in_memory() -> Self {
        Self::remote(Arc::new(InMemory::new()))
    }

    /// Writes a whole object, reads it back, and only then gives it its name, replacing one that had it.
    ///
    /// Durable: once this returns, the object survives a power cut. Atomic: whatever happens before that, readers
    /// find either all of it or what was there before. [`StoreError::ReadBackDiffers`]: what was there before is.
    ///
    /// CANCEL-SAFETY: a dropped call leaves what it wrote under `incoming/` until the next start, or an object that
    /// nobody was told of. So whoever calls this does it in a task of its own.
    pub(super) async fn put_durable(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let target = object_store::path::Path::from(name);
        let number = self.puts.fetch_add(1, Ordering::Relaxed);
        let incoming = object_store::path::Path::from(format!("{INCOMING}/{number}"));
        let failed = |source| StoreError::writing(name, source);
        let written = async {
            self.objects.put(&incoming, PutPayload::from(bytes.clone())).await.map_err(failed)?;
            // A descriptor opened now still learns of a write-back error that nobody was told of (Linux 4.17).
            self.sync_local(incoming.as_ref(), name).await?;
            if !self.reads_back_as(incoming.as_ref(), &bytes).await? {
                return Err(StoreError::ReadBackDiffers { object: name.to_owned() });
            }
            self.objects.rename(&incoming, &target).await.map_err(failed)
        };
        if let Err(error) = written.await {
            // What cannot be removed now is cleared away at the next start.
            let _removed = self.objects.delete(&incoming).await;
            return Err(error);
        }
        let parent = name.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.sync_local(parent, name).await
    }

    /// Whether the backend gives back what was just written to it. From a local folder the bytes come from the disk, not
    /// from the kernel's memory of what was written.
    async fn reads_back_as(&self, object: &str, written: &[u8]) -> Result<bool, StoreError> {
        self.forget_cached(object).await?;
        let mut offset_bytes = 0;
        for part in written.chunks(COMPARED_BYTES as usize) {
            let end_bytes = offset_bytes + part.len() as u64;
            match self.read_range(object, offset_bytes..end_bytes).await {
                Ok(read) if read == part => offset_bytes = end_bytes,
                Ok(_) | Err(ReadRangeError::Lost(_)) => return Ok(false),
                Err(ReadRangeError::Failed(error)) => return Err(error),
            }
        }
        Ok(self.length(object).await? == Some(offset_bytes))
    }

    /// Reads a whole object; `None` where there is none.
    pub(super) async fn read(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        let read = async { self.objects.get(&object_store::path::Path::from(name)).await?.bytes().await };
        match read.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(StoreError::backend("reading", name, source)),
        }
    }

    /// Reads a part of an object, exactly as long as asked.
    pub(super) async fn read_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, ReadRangeError> {
        let path = object_store::path::Path::from(name);
        let wanted = range.end - range.start;
        let error = match self.objects.get_range(&path, range.clone()).await {
            Ok(bytes) if bytes.len() as u64 == wanted => return Ok(bytes),
            Ok(_) => None,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(ReadRangeError::Lost("the pack is gone".into()));
            }
            Err(error) if is_medium_error(&error) => return Err(ReadRangeError::Lost(error.to_string())),
            Err(error) => Some(error),
        };
        // Backends word "that is beyond the end" differently: ask for the length instead.
        match (self.objects.head(&path).await, error) {
            (Ok(meta), _) if meta.size < range.end => Err(ReadRangeError::Lost(format!(
                "the pack ends after {} bytes, before byte {}",
                meta.size, range.end
            ))),
            (_, Some(source)) | (Err(source), None) => {
                Err(ReadRangeError::Failed(StoreError::backend("reading", name, source)))
            }
            (Ok(_), None) => Err(ReadRangeError::Lost(format!("the backend gave less than {wanted} bytes"))),
        }
    }

    /// Removes an object; that there is none is no error. A power cut may bring it back.
    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self.objects.delete(&object_store::path::Path::from(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(StoreError::backend("removing", name, source)),
        }
    }

    /// As [`Backend::delete`], so that no power cut brings it back.
    pub(super) async fn delete_durable(&self, name: &str) -> Result<(), StoreError> {
        self.delete(name).await?;
        self.sync_local(name.rsplit_once('/').map_or("", |(parent, _)| parent), name).await
    }

    /// The length of an object; `None` where there is none.
    pub(super) async fn length(&self, name: &str) -> Result<Option<u64>, StoreError> {
        match self.objects.head(&object_store::path::Path::from(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(StoreError::backend("reading", name, source)),
        }
    }

    /// Every object whose name begins with `folder/`.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>, StoreError> {
        let prefix = object_store::path::Path::from(folder);
        let objects = self.objects.list(Some(&prefix));
        let objects = objects.map_ok(|meta| ObjectInfo { name: meta.location.to_string(), bytes: meta.size });
        objects.try_collect().await.map_err(|source| StoreError::backend("listing", folder, source))
    }

    /// Removes what puts left that never finished, and gives their number. Only for a backend that nobody
    /// writes to yet.
    pub(super) async fn clear_incoming(&self) -> Result<usize, StoreError> {
        let Some(folder) = self.folder.clone() else {
            let left = self.list(INCOMING).await?;
            for object in &left {
                self.delete(&object.name).await?;
            }
            return Ok(left.len());
        };
        // Not through `object_store`: it does not list the names under which it writes itself.
        let cleared = folder.clone().on_disk(|medium| medium.clear(INCOMING)).await?;
        cleared.map_err(|source| folder.failed("clearing", INCOMING, source))
    }

    /// Room left for objects, in bytes; `None` where the backend has no such limit.
    pub(super) async fn free_bytes(&self) -> Result<Option<u64>, StoreError> {
        let Some(folder) = self.folder.clone() else { return Ok(None) };
        let measured = folder.clone().on_disk(|medium| medium.free_bytes()).await?;
        Ok(Some(measured.map_err(|source| folder.failed("measuring the free space of", "", source))?))
    }

    /// Whether [`Backend::identity`] says anything.
    pub(super) fn tells_files_apart(&self) -> bool {
        self.folder.is_some()
    }

    /// What tells an object's file from one that was put in its place; `None` where there is none, or nothing would tell.
    pub(super) async fn identity(&self, name: &str) -> Result<Option<FileIdentity>, StoreError> {
        let Some(folder) = self.folder.clone() else { return Ok(None) };
        let file = name.to_owned();
        let told = folder.clone().on_disk(move |medium| medium.identity(&file)).await?;
        told.map_err(|source| folder.failed("looking at", name, source))
    }

    /// Has the kernel forget its copy of an object, so that the next read comes from the disk itself.
    pub(super) async fn forget_cached(&self, name: &str) -> Result<(), StoreError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let file = name.to_owned();
        let advised = folder.clone().on_disk(move |medium| medium.forget_cached(&file)).await?;
        advised.map_err(|source| folder.failed("reading back", name, source))
    }

    /// Makes a file or a folder of the local folder durable on behalf of the object `name`.
    async fn sync_local(&self, path: &str, name: &str) -> Result<(), StoreError> {
        let Some(folder) = self.folder.clone() else { return Ok(()) };
        let path = path.to_owned();
        let synced = folder.clone().on_disk(move |medium| medium.sync(&path)).await?;
        synced.map_err(|source| StoreError::io_writing(name, folder.medium.root(), source))
    }
}

impl Folder {
    /// Runs what waits for a disk where it holds up nobody.
    async fn on_disk<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&dyn Medium) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let task = tokio::task::spawn_blocking(move || work(&*self.medium));
        task.await.map_err(|_| StoreError::Stopped)
    }

    fn failed(&self, doing: &'static str, name: &str, source: io::Error) -> StoreError {
        StoreError::io(doing, &self.medium.root().join(name), source)
    }
}

/// Whether the disk itself gave up on the bytes, as opposed to a backend that cannot be reached.
pub(super) fn is_medium_error(error: &object_store::Error) -> bool {
    super::error::io_cause(error).and_then(io::Error::raw_os_error) == Some(libc::EIO)
}
