//! The folder in which the server keeps everything: only root reads it, and only one server uses it.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::folder_lock::FolderLock;

/// Only the owner may list, read or write.
const MODE: u32 = 0o700;

/// The folder, held by this process until dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: FolderLock,
}

impl DataDir {
    /// Makes the folder where there is none, closes it to others, and takes it.
    pub fn claim(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Unusable { path: path.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(failed)?;
        Self::claim_as_is(path)
    }

    /// Takes a folder that is there as it is, whoever may read it.
    pub fn claim_as_is(path: &Path) -> Result<Self, DataDirError> {
        let failed = |source| DataDirError::Unusable { path: path.to_owned(), source };
        match FolderLock::take(path).map_err(failed)? {
            Some(lock) => Ok(Self { path: path.to_owned(), _lock: lock }),
            None => Err(DataDirError::InUse { path: path.to_owned() }),
        }
    }

    /// Makes a folder inside, if need be.
    pub fn make(&self, name: &str) -> Result<PathBuf, DataDirError> {
        let path = self.path.join(name);
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(DataDirError::Unusable { path, source }),
        }
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("using folder {}: run this as root, or name another with --data-dir", path.display())]
    Unusable { path: PathBuf, source: io::Error },
    #[error("another server uses {} already, stop it first", path.display())]
    InUse { path: PathBuf },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{DataDir, DataDirError};

    #[test]
    fn one_server_at_a_time_has_the_folder_and_nobody_else_reads_it() {
        let parent = tempfile::tempdir().expect("a directory");
        let path = parent.path().join("data");
        let held = DataDir::claim(&path).expect("is free");
        assert!(matches!(DataDir::claim(&path), Err(DataDirError::InUse { .. })));
        assert_eq!(path.metadata().expect("is there").permissions().mode() & 0o777, 0o700);
        drop(held);
        assert!(DataDir::claim(&path).is_ok());
    }
}
