//! A file some of whose sectors cannot be read, as those of a failing disk: QEMU's `blkdebug` says so, and FUSE shows it to
//! every program.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::process::{Process, ProcessError, run};

/// The daemon needs a fraction of a second; a machine that is busy with other tests may need more.
const READY_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug, Error)]
pub enum FailingFileError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("qemu-storage-daemon does not show {path}: {said}")]
    NotShown { path: PathBuf, said: String },
}

/// Shows an image at another place, read-only, until it is dropped.
#[derive(Debug)]
pub struct FailingFile {
    path: PathBuf,
    _daemon: Process,
}

impl FailingFile {
    /// Shows `image` so that the sectors of 512 bytes at these places give an I/O error.
    pub fn show(image: &Path, bad: &[u64]) -> Result<Self, FailingFileError> {
        let path = image.with_extension("failing");
        File::create(&path)?;
        let mut debug = String::from("driver=blkdebug,node-name=failing,image=file");
        for (number, offset_bytes) in bad.iter().enumerate() {
            let rule = format!("inject-error.{number}");
            let sector = offset_bytes / 512;
            // Without an event of its own, the rule holds from the start.
            debug.push_str(&format!(
                ",{rule}.event=none,{rule}.iotype=read,{rule}.errno=5,{rule}.sector={sector}"
            ));
        }
        let mut command = Command::new("qemu-storage-daemon");
        command.arg("--blockdev").arg(format!("driver=file,node-name=file,filename={}", image.display()));
        command.arg("--blockdev").arg(debug);
        let export =
            format!("type=fuse,id=shown,node-name=failing,mountpoint={},writable=off", path.display());
        command.arg("--export").arg(export);
        let mut daemon = Process::start(&command, &image.with_extension("log"))?;
        let (length, deadline) = (fs::metadata(image)?.len(), Instant::now() + READY_WITHIN);
        while fs::metadata(&path)?.len() != length {
            if daemon.has_ended() || Instant::now() > deadline {
                return Err(FailingFileError::NotShown { path, said: daemon.output() });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { path, _daemon: daemon })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for FailingFile {
    fn drop(&mut self) {
        // Where this fails the daemon died before, and the folder goes with the test.
        let _unmounted = run(Command::new("umount").arg(&self.path));
    }
}
