//! Disk images: plain files, sparse, so that a 3 GiB disk costs what is written to it.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use thiserror::Error;

use crate::process::{self, ProcessError};

/// Where the recipes leave what they make, unless `MIMEO_BUILD` names another folder.
const BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../build");

#[derive(Debug, Error)]
pub enum ImageError {
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("{path} is missing: run `make {target}`")]
    NotBuilt { path: PathBuf, target: &'static str },
    #[error(transparent)]
    Copy(#[from] ProcessError),
}

/// Makes an empty disk of `size_bytes`.
pub fn blank_disk(path: &Path, size_bytes: u64) -> Result<(), ImageError> {
    let failed = |source| ImageError::File { path: path.to_owned(), source };
    File::create(path).map_err(failed)?.set_len(size_bytes).map_err(failed)
}

/// Copies a disk and keeps its holes.
pub fn copy_disk(source: &Path, target: &Path) -> Result<(), ImageError> {
    process::run(Command::new("cp").args(["--sparse=always", "--"]).args([source, target]))?;
    Ok(())
}

/// Copies a folder with everything in it to a place where nothing is yet, or into a folder that is there and empty.
pub fn copy_folder(source: &Path, target: &Path) -> Result<(), ImageError> {
    process::run(
        Command::new("cp").args(["--archive", "--no-target-directory", "--"]).args([source, target]),
    )?;
    Ok(())
}

/// How many bytes a disk image really occupies on the machine that holds it.
pub fn occupied_bytes(path: &Path) -> Result<u64, ImageError> {
    use std::os::unix::fs::MetadataExt;
    /// `st_blocks` counts in these, whatever the file system (stat(2)).
    const STAT_BLOCK_BYTES: u64 = 512;
    let metadata = std::fs::metadata(path);
    let metadata = metadata.map_err(|source| ImageError::File { path: path.to_owned(), source })?;
    Ok(metadata.blocks() * STAT_BLOCK_BYTES)
}

/// A file among the boot artefacts.
pub fn artefact(name: &str) -> Result<PathBuf, ImageError> {
    built(&format!("artefacts/{name}"), "artefacts")
}

/// The disk of a reference master.
pub fn master(name: &str) -> Result<PathBuf, ImageError> {
    built(&format!("masters/{name}.raw"), "masters")
}

/// A program that Mimeo is measured beside and that cannot be installed.
pub fn peer(name: &str) -> Result<PathBuf, ImageError> {
    built(&format!("peers/{name}"), "bench")
}

/// The folder of the boot artefacts, for a server that checks it itself.
pub fn artefacts_folder() -> PathBuf {
    build_folder().join("artefacts")
}

fn build_folder() -> PathBuf {
    std::env::var_os("MIMEO_BUILD").map_or_else(|| PathBuf::from(BUILD), PathBuf::from)
}

fn built(path: &str, target: &'static str) -> Result<PathBuf, ImageError> {
    let path = build_folder().join(path);
    if path.exists() { Ok(path) } else { Err(ImageError::NotBuilt { path, target }) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_copy_has_the_same_bytes_and_the_same_holes() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (folder.path().join("source"), folder.path().join("target"));
        blank_disk(&source, 64 << 20).unwrap();
        assert_eq!(occupied_bytes(&source).unwrap(), 0);
        File::options().write(true).open(&source).unwrap().write_all_at(b"data", 32 << 20).unwrap();
        copy_disk(&source, &target).unwrap();
        assert_eq!(std::fs::read(&source).unwrap(), std::fs::read(&target).unwrap());
        assert!(occupied_bytes(&target).unwrap() < 1 << 20);
    }

    #[test]
    fn what_is_not_built_names_the_target_that_builds_it() {
        let error = master("no-such-master").unwrap_err().to_string();
        assert!(error.ends_with("no-such-master.raw is missing: run `make masters`"), "{error}");
    }
}
