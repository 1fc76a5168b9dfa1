//! What a machine says on its serial port, read as a person at a terminal would: wait for a prompt, go on from there.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use thiserror::Error;

/// How often the log is looked at for more.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// How much of the end of the log an error shows: a kernel's last words fit.
const TAIL_BYTES: usize = 2000;

#[derive(Debug, Error)]
pub enum ConsoleError {
    #[error("{marker:?} did not appear on the console within {waited:?}; it ends:\n{tail}")]
    TimedOut { marker: String, waited: Duration, tail: String },
    #[error("the machine ended before {marker:?} appeared on its console, which ends:\n{tail}")]
    Ended { marker: String, tail: String },
    #[error("reading the console log {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
}

/// The log of a serial port, and how far it has been read.
#[derive(Debug)]
pub struct Console {
    path: PathBuf,
    position: u64,
    /// Read, but not yet passed by a match.
    pending: Vec<u8>,
}

impl Console {
    /// Reads the log at `path`, from its beginning. It need not exist yet.
    pub fn open(path: &Path) -> Console {
        Console { path: path.to_owned(), position: 0, pending: Vec::new() }
    }

    /// Waits until `marker` appears after what was matched last, and returns the text up to and with it.
    ///
    /// `ended` tells whether the machine can still write.
    pub fn wait_for(
        &mut self,
        marker: &str,
        timeout: Duration,
        mut ended: impl FnMut() -> bool,
    ) -> Result<String, ConsoleError> {
        let deadline = Instant::now() + timeout;
        loop {
            // Asked before reading: what was written before the end is then surely read.
            let over = ended();
            self.read_more()?;
            if let Some(at) = find(&self.pending, marker.as_bytes()) {
                let matched: Vec<u8> = self.pending.drain(..at + marker.len()).collect();
                return Ok(String::from_utf8_lossy(&matched).into_owned());
            }
            let marker = marker.to_owned();
            if over {
                return Err(ConsoleError::Ended { marker, tail: self.tail() });
            }
            if Instant::now() >= deadline {
                return Err(ConsoleError::TimedOut { marker, waited: timeout, tail: self.tail() });
            }
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// Everything the machine has said since it was switched on.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.path).unwrap_or_default()).into_owned()
    }

    fn read_more(&mut self) -> Result<(), ConsoleError> {
        let failed = |source| ConsoleError::Read { path: self.path.clone(), source };
        let mut file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed)?,
        };
        file.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        self.position += file.read_to_end(&mut self.pending).map_err(failed)? as u64;
        Ok(())
    }

    fn tail(&self) -> String {
        let text = self.text();
        let mut from = text.len().saturating_sub(TAIL_BYTES);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text[from..].to_owned()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len().max(1)).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &str) -> (tempfile::TempDir, Console) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        std::fs::write(&path, text).unwrap();
        (folder, Console::open(&path))
    }

    #[test]
    fn a_marker_is_met_once_for_each_time_it_was_said() {
        let (_folder, mut console) = console("boot\nlogin: \nreboot\nboot\nlogin: ");
        assert_eq!(console.wait_for("login:", Duration::ZERO, || false).unwrap(), "boot\nlogin:");
        assert_eq!(console.wait_for("login:", Duration::ZERO, || false).unwrap(), " \nreboot\nboot\nlogin:");
        let error = console.wait_for("login:", Duration::ZERO, || false).unwrap_err();
        assert!(matches!(error, ConsoleError::TimedOut { .. }), "{error}");
    }

    #[test]
    fn the_last_words_of_a_machine_that_ended_are_still_read() {
        let (_folder, mut console) = console("Kernel panic");
        assert!(console.wait_for("panic", Duration::from_secs(60), || true).is_ok());
        let error = console.wait_for("login:", Duration::from_secs(60), || true).unwrap_err();
        assert!(matches!(&error, ConsoleError::Ended { tail, .. } if tail == "Kernel panic"), "{error}");
    }

    #[test]
    fn a_marker_that_comes_in_two_pieces_is_found() {
        let (_folder, mut console) = console("log");
        let path = console.path.clone();
        let mut asked = 0;
        let found = console.wait_for("login:", Duration::from_secs(60), || {
            asked += 1;
            if asked == 2 {
                std::fs::write(&path, "login: ").unwrap();
            }
            false
        });
        assert_eq!(found.unwrap(), "login:");
    }
}
