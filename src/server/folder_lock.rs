//! Who uses a folder: one process at a time, said by a lock that the kernel lets go of however the process ends.

use std::{
    fs::{File, TryLockError},
    io,
    path::Path,
};

/// The file in the folder that is locked. It stays.
pub const LOCK: &str = "lock";

/// A folder that nobody else uses until this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    file: File,
}

impl FolderLock {
    /// Takes a folder that is there; `None` while somebody else has it.
    pub fn take(folder: &Path) -> io::Result<Option<Self>> {
        let file = File::options().create(true).write(true).truncate(false).open(folder.join(LOCK))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }

    /// Whether somebody has the folder now.
    pub fn is_taken(folder: &Path) -> bool {
        let lock = File::options().write(true).open(folder.join(LOCK));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for FolderLock {
    /// Closing would not do: a program that is being started has every file of this process until it runs.
    fn drop(&mut self) {
        // Closed right after, which lets go of it too, if later.
        let _let_go = self.file.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::FolderLock;

    #[test]
    fn a_folder_is_one_owner_s_until_that_lets_go_of_it() {
        let folder = tempfile::tempdir().expect("a directory");
        assert!(!FolderLock::is_taken(folder.path()));
        let held = FolderLock::take(folder.path()).expect("there").expect("free");
        assert!(FolderLock::is_taken(folder.path()));
        assert!(FolderLock::take(folder.path()).expect("there").is_none());
        drop(held);
        assert!(!FolderLock::is_taken(folder.path()));
        assert!(FolderLock::take(folder.path()).expect("there").is_some());
        assert!(FolderLock::take(&folder.path().join("none")).is_err());
    }
}
