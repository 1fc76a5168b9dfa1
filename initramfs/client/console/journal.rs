//! The client's log: kept in memory until the server took it, and written to a serial console as it comes.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mimeo_core::messages::LOG_BYTES_MAX;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that are kept for the server while it does not answer: an hour of a session's chatter. Older ones go first.
const LINES_MAX: usize = 4096;

/// The longest line that is kept: what is beyond stays on the serial console. A line longer than the server takes at
/// once would never leave, nor any after it.
const LINE_BYTES_MAX: usize = 16 << 10;
const _: () = assert!(LINE_BYTES_MAX < LOG_BYTES_MAX);

/// The log. Cloning gives another handle to the same.
#[derive(Clone, Default)]
pub struct Journal {
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// Lines that the server has not taken yet.
    unsent: VecDeque<String>,
    serial: Option<File>,
}

impl Journal {
    /// A journal that also writes to the serial port that the kernel command line names as its console.
    pub fn new(cmdline: &str) -> Self {
        let serial = serial_console(cmdline).and_then(|path| OpenOptions::new().write(true).open(path).ok());
        Self { kept: Arc::new(Mutex::new(Kept { unsent: VecDeque::new(), serial })) }
    }

    /// Takes the lines out, as one text of at most `bytes_max` bytes.
    pub fn take(&self, bytes_max: usize) -> String {
        let mut kept = self.lock();
        let mut text = String::new();
        while let Some(line) = kept.unsent.front().filter(|line| text.len() + line.len() <= bytes_max) {
            text.push_str(line);
            kept.unsent.pop_front();
        }
        text
    }

    /// Puts back what could not be delivered, as far as what was said since leaves room for it.
    pub fn put_back(&self, text: &str) {
        let mut kept = self.lock();
        let room = LINES_MAX.saturating_sub(kept.unsent.len());
        for line in text.split_inclusive('\n').rev().take(room) {
            kept.unsent.push_front(line.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Lines are whole whenever the lock is free.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The device of the last serial `console=` on the kernel command line.
pub(crate) fn serial_console(cmdline: &str) -> Option<String> {
    let mut consoles = cmdline.split_ascii_whitespace().filter_map(|word| word.strip_prefix("console="));
    let name = consoles.rfind(|name| name.starts_with("ttyS"))?.split(',').next()?;
    Some(format!("/dev/{name}"))
}

/// One event of `tracing`, written whole.
pub struct Line {
    journal: Journal,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut line = String::from_utf8_lossy(&self.bytes).into_owned();
        let mut kept = self.journal.lock();
        if let Some(serial) = &mut kept.serial {
            // A serial port that nobody reads must not stop a deploy.
            let _written = serial.write_all(line.replace('\n', "\r\n").as_bytes());
        }
        if line.len() > LINE_BYTES_MAX {
            line.truncate(line.floor_char_boundary(LINE_BYTES_MAX - 1));
            line.push('\n');
        }
        if kept.unsent.len() >= LINES_MAX {
            kept.unsent.pop_front();
        }
        kept.unsent.push_back(line);
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { journal: self.clone(), bytes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tracing_subscriber::fmt::MakeWriter;

    use super::{Journal, LINES_MAX, LOG_BYTES_MAX, serial_console};

    fn say(journal: &Journal, line: &str) {
        journal.make_writer().write_all(line.as_bytes()).expect("memory takes it");
    }

    #[test]
    fn lines_are_taken_in_order_and_no_more_than_fit() {
        let journal = Journal::default();
        say(&journal, "one\n");
        say(&journal, "two\n");
        assert_eq!(journal.take(6), "one\n");
        assert_eq!(journal.take(100), "two\n");
        assert_eq!(journal.take(100), "");
    }

    #[test]
    fn what_was_put_back_comes_before_what_was_said_since() {
        let journal = Journal::default();
        say(&journal, "one\n");
        say(&journal, "two\n");
        let taken = journal.take(100);
        say(&journal, "three\n");
        journal.put_back(&taken);
        assert_eq!(journal.take(100), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_server_that_is_long_gone_costs_bounded_memory() {
        let journal = Journal::default();
        for number in 0..LINES_MAX + 10 {
            say(&journal, &format!("{number}\n"));
        }
        assert!(journal.take(100).starts_with("10\n"));
    }

    #[test]
    fn what_was_said_since_is_dropped_last() {
        let journal = Journal::default();
        for number in 0..LINES_MAX {
            say(&journal, &format!("{number}\n"));
        }
        let taken = journal.take(8);
        say(&journal, "newest\n");
        journal.put_back(&taken);
        assert!(journal.take(usize::MAX).ends_with("newest\n"));
    }

    #[test]
    fn a_line_too_long_for_the_server_does_not_block_the_lines_after_it() {
        let journal = Journal::default();
        say(&journal, &format!("{}\n", "é".repeat(LOG_BYTES_MAX)));
        say(&journal, "two\n");
        let taken = journal.take(LOG_BYTES_MAX);
        assert!(taken.starts_with("éé") && taken.ends_with("é\ntwo\n"));
    }

    #[test]
    fn the_serial_console_is_the_kernel_s() {
        assert_eq!(serial_console("quiet console=tty0 console=ttyS0,115200n8"), Some("/dev/ttyS0".into()));
        assert_eq!(serial_console("quiet console=tty0"), None);
    }
}
