//! What a local folder needs of its disk beyond `object_store`: durability, room, a fresh look.

use std::{
    fmt,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{PosixFadviseAdvice, posix_fadvise},
    sys::statfs::{BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, FsType, TMPFS_MAGIC, XFS_SUPER_MAGIC, statfs},
};

use super::{error::StoreError, proofs::FileIdentity};
use crate::folder_lock::FolderLock;

/// The disk under a store's folder. Names are relative to the folder. Every method blocks.
///
/// Its other implementation is a disk whose power can be cut, in the tests.
pub(super) trait Medium: fmt::Debug + Send + Sync {
    /// The folder, for messages.
    fn root(&self) -> &Path;

    /// Makes a file's content durable, or the names in a folder.
    fn sync(&self, name: &str) -> io::Result<()>;

    /// Removes every file in a folder, whatever its name, and gives their number.
    fn clear(&self, folder: &str) -> io::Result<usize>;

    /// Room left, in bytes.
    fn free_bytes(&self) -> io::Result<u64>;

    /// What tells a file from one that was put in its place; `None` where there is none, or nothing would tell.
    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>>;

    /// Has the kernel forget its copy of a file, so that the next read comes from the disk itself. A file that is not
    /// there is no error: reading it will say so.
    fn forget_cached(&self, name: &str) -> io::Result<()>;
}

/// A folder of this computer.
#[derive(Debug)]
pub(super) struct LocalFolder {
    root: PathBuf,
    /// Two servers on one folder would clear away each other's incoming files.
    _lock: FolderLock,
}

impl LocalFolder {
    /// Claims a folder, made with its `inner` ones where there are none.
    pub(super) fn claim(root: &Path, inner: &[&str]) -> Result<Self, StoreError> {
        let failed = |source| StoreError::io("opening store folder", root, source);
        fs::create_dir_all(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let in_use = || StoreError::InUse { path: root.display().to_string() };
        let lock = FolderLock::take(&root).map_err(failed)?.ok_or_else(in_use)?;
        for folder in inner {
            fs::create_dir_all(root.join(folder)).map_err(failed)?;
        }
        // A folder that was just made has to have its own name durable too.
        if let Some(parent) = root.parent() {
            sync(parent).map_err(failed)?;
        }
        Ok(Self { root, _lock: lock })
    }
}

impl Medium for LocalFolder {
    fn root(&self) -> &Path {
        &self.root
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        sync(&self.root.join(name))
    }

    fn clear(&self, folder: &str) -> io::Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(self.root.join(folder))? {
            fs::remove_file(entry?.path())?;
            count += 1;
        }
        Ok(count)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let room = nix::sys::statvfs::statvfs(&self.root)?;
        Ok(room.blocks_available().saturating_mul(room.fragment_size()))
    }

    fn identity(&self, name: &str) -> io::Result<Option<FileIdentity>> {
        let path = self.root.join(name);
        match fs::symlink_metadata(&path) {
            Ok(_) if !keeps_identities(statfs(&path)?.filesystem_type()) => Ok(None),
            Ok(file) => Ok(Some(FileIdentity {
                inode: file.ino(),
                bytes: file.len(),
                changed: (file.ctime(), file.ctime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn forget_cached(&self, name: &str) -> io::Result<()> {
        match File::open(self.root.join(name)) {
            Ok(file) => Ok(posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the times of change and the inode numbers of a file system say what they say on Linux's own: on FAT and exFAT a
/// program may set the one, and the other are made up anew at each start.
fn keeps_identities(kind: FsType) -> bool {
    [EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC, TMPFS_MAGIC].contains(&kind)
}

const F2FS_SUPER_MAGIC: FsType = FsType(libc::F2FS_SUPER_MAGIC as _);

fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
