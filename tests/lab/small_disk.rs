//! A file system with little room, to see what a full disk does.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    classroom::{ClassroomError, scratch_folder},
    images::ImageError,
    process,
};

/// A folder in memory that takes so much and no more. Dropping it takes it away; [`crate::classroom::sweep`] does for
/// one whose program was killed.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    pub fn mount(size_bytes: u64) -> Result<Self, ClassroomError> {
        let disk = Self(scratch_folder()?.keep());
        let size = format!("size={size_bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "mimeo-lab"]).arg(&disk.0);
        process::run(&mut mount).map_err(ImageError::from)?;
        Ok(disk)
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Takes a folder away, and the file system on it if it is one. What cannot be removed now is tried again by the next
/// [`crate::classroom::sweep`].
pub(crate) fn remove(folder: &Path) {
    // Lazily: a server that has just been killed may hold it for a moment longer. An error means that it is a folder
    // like any other.
    let _plain = process::run(Command::new("umount").args(["--quiet", "--lazy"]).arg(folder));
    let _removed = std::fs::remove_dir_all(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_and_nothing_stays() {
        let disk = SmallDisk::mount(1 << 20).unwrap();
        let folder = disk.folder().to_owned();
        std::fs::write(folder.join("fits"), vec![1; 1 << 19]).unwrap();
        let error = std::fs::write(folder.join("does-not"), vec![1; 1 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
        drop(disk);
        assert!(!folder.exists());
    }
}
