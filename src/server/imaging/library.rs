//! A library: a folder like a server's own, with `mimeo.db`, the list of its masters, and `store/`, their chunks. One
//! process at a time uses it. It may lie on a disk that is carried from one appliance to another.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use mimeo_core::causes::causes;
use mimeo_core::manifest::{BYTES_MAX, Manifest, ManifestError, SignedManifest};

use super::{
    keys::{LoadKeyError, load_signing_key},
    local::Shelf,
    master::{self, MasterError, Version},
    store::{PACK_BYTES, Store, StoreOptions, backend::Backend, error::StoreError},
};
use crate::{
    clock::Timestamp,
    data_dir::{DataDir, DataDirError},
    db::{self, OpenDbError},
    folder_lock::LOCK,
};

/// The names that a server gives to these in its own folder.
const DATABASE: &str = "mimeo.db";
const STORE: &str = "store";

/// What of a library is written, its store's own folders included.
const WRITTEN: [&str; 11] = [
    LOCK,
    DATABASE,
    "mimeo.db-wal",
    "mimeo.db-shm",
    "mimeo.db-journal",
    STORE,
    "store/lock",
    "store/proofs",
    "store/packs",
    "store/manifests",
    "store/incoming",
];

/// FAT32 holds no file of 4 GiB, and a library may lie on it. A pack has its records and a footer that is shorter.
const _: () = assert!((PACK_BYTES as u64) < 1 << 31 && (BYTES_MAX as u64) < 1 << 32);

/// A library that this process alone uses.
pub struct Library {
    pub shelf: Shelf,
    /// Without symbolic links.
    pub folder: PathBuf,
    opened: Timestamp,
    _claim: DataDir,
}

impl Library {
    /// Opens the library in `folder`, which must be one.
    pub async fn open(folder: &Path) -> Result<Self, LibraryError> {
        match content_of(folder)? {
            Content::Library => Self::claim(folder, DataDir::claim_as_is(folder), Expected::Any).await,
            Content::Nothing | Content::Else => Err(LibraryError::None { folder: folder.to_owned() }),
        }
    }

    /// Opens the library in `folder`, which must be one, and which somebody else may have prepared: nothing that is
    /// written, cleared away or locked in it may lie elsewhere.
    pub async fn open_foreign(folder: &Path) -> Result<Self, LibraryError> {
        for name in WRITTEN {
            let path = folder.join(name);
            if path.is_symlink() {
                return Err(LibraryError::Link { path });
            }
        }
        Self::open(folder).await
    }

    /// Opens the library in `folder`, or makes one there: in a new folder or an empty one, which is then root's alone.
    pub async fn make(folder: &Path) -> Result<Self, LibraryError> {
        match content_of(folder)? {
            Content::Library => Self::claim(folder, DataDir::claim_as_is(folder), Expected::Any).await,
            Content::Nothing => Self::claim(folder, DataDir::claim(folder), Expected::NoVersions).await,
            Content::Else => Err(LibraryError::NotEmpty { folder: folder.to_owned() }),
        }
    }

    async fn claim(
        folder: &Path,
        claim: Result<DataDir, DataDirError>,
        expected: Expected,
    ) -> Result<Self, LibraryError> {
        let claim = claim.map_err(|error| match error {
            DataDirError::InUse { path } => LibraryError::InUse { folder: path },
            DataDirError::Unusable { path, source } => LibraryError::Folder { path, source },
        })?;
        let opened = Timestamp::now();
        let canonical = fs::canonicalize(folder).map_err(|source| LibraryError::folder(folder, source))?;
        let db = db::open(&claim.join(DATABASE)).await?;
        // A list that names something had its chunks elsewhere.
        if expected == Expected::NoVersions && !master::list(&db).await?.is_empty() {
            return Err(LibraryError::NotEmpty { folder: folder.to_owned() });
        }
        let backend = Backend::folder(&claim.join(STORE))?;
        let store = Store::open(backend, StoreOptions::default()).await?;
        let key = load_signing_key(&db).await?;
        Ok(Self { shelf: Shelf { store, db, key }, folder: canonical, opened, _claim: claim })
    }

    /// The manifest of a version, of which the hash was proved and not the signature.
    pub async fn manifest(&self, version: &Version) -> Result<(SignedManifest, Manifest), LibraryError> {
        let signed = self.shelf.store.read_manifest(version.manifest_root).await?;
        let manifest = Manifest::decode(&signed.encoded)?;
        Ok((signed, manifest))
    }

    /// Leaves the list in one file, so that a disk that is pulled out now has all of it there, and what was read back of
    /// the store for who opens it next.
    pub async fn close(self) {
        if let Err(error) = self.shelf.store.keep_proofs(self.opened).await {
            tracing::warn!(error = %causes(&error), "the next use of this library reads back what this one has");
        }
        self.shelf.db.close().await;
    }
}

/// What the list of a folder may hold that is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Any,
    /// It is only now made a library.
    NoVersions,
}

/// What a folder holds.
enum Content {
    Nothing,
    /// A list of masters and their chunks. The list of an appliance whose store is elsewhere is no library: a version
    /// would be listed there whose chunks are here.
    Library,
    Else,
}

fn content_of(folder: &Path) -> Result<Content, LibraryError> {
    let list = match fs::read_dir(folder) {
        Ok(list) => list,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
        Err(error) => return Err(LibraryError::folder(folder, error)),
    };
    if folder.join(DATABASE).is_file() && folder.join(STORE).is_dir() {
        return Ok(Content::Library);
    }
    // Something that was killed while it made a library leaves its lock, and perhaps its list with SQLite's files beside.
    let begun = |name: &OsStr| {
        name == LOCK
            || name
                .to_str()
                .and_then(|name| name.strip_prefix(DATABASE))
                .is_some_and(|rest| matches!(rest, "" | "-wal" | "-shm" | "-journal"))
    };
    let others = list.filter_map(Result::ok).filter(|entry| !begun(&entry.file_name()));
    Ok(if others.count() == 0 { Content::Nothing } else { Content::Else })
}

/// Why a library cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    #[error("there is no library of masters in {}", folder.display())]
    None { folder: PathBuf },
    #[error("{} is neither empty nor a library", folder.display())]
    NotEmpty { folder: PathBuf },
    #[error("another program uses {} now", folder.display())]
    InUse { folder: PathBuf },
    #[error("{} is a link, and nothing of a library from elsewhere may be one", path.display())]
    Link { path: PathBuf },
    #[error("{}", path.display())]
    Folder { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Db(#[from] OpenDbError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Master(#[from] MasterError),
    #[error(transparent)]
    Keys(#[from] LoadKeyError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl LibraryError {
    fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder { path: path.to_owned(), source }
    }
}
