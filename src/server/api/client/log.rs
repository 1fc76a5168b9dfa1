//! The clients' logs: one file for each session, and one for each computer where a boot has none.

use std::{io, path::Path};

use axum::extract::State;
use bytes::Bytes;
use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt,
};

use super::{ClientApi, access::Caller, error::ClientError};

/// Longest log file: a session's whole story with the output of every tool takes a few hundred kilobytes. A file
/// that grew beyond is put aside as `….old`, in place of the one before, so each story keeps at most two.
const FILE_BYTES_MAX: u64 = 8 << 20;

pub(super) async fn append(
    State(api): State<ClientApi>,
    Caller(boot): Caller,
    text: Bytes,
) -> Result<(), ClientError> {
    let session = api.inner.services.sessions.find_of_boot(boot.id).await?;
    let name = match session {
        Some(session) => format!("session-{}.log", session.id),
        None => format!("computer-{}.log", boot.computer),
    };
    Ok(append_to(&api.inner.logs.join(name), &text, FILE_BYTES_MAX).await?)
}

/// Adds text to a file that may not grow beyond `bytes_max`.
async fn append_to(path: &Path, text: &[u8], bytes_max: u64) -> io::Result<()> {
    let length = match fs::metadata(path).await {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if length > 0 && length + text.len() as u64 > bytes_max {
        fs::rename(path, path.with_extension("log.old")).await?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(path).await?;
    file.write_all(printable(text).as_bytes()).await?;
    file.flush().await
}

/// Text that does nothing to the terminal of the person who reads it.
fn printable(text: &[u8]) -> String {
    let shown =
        |char: char| if char.is_control() && !matches!(char, '\n' | '\t') { '\u{fffd}' } else { char };
    String::from_utf8_lossy(text).chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::{append_to, printable};

    #[test]
    fn a_log_cannot_steer_a_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\tc\n\xff"), "a\u{fffd}[2Jb\tc\n\u{fffd}");
    }

    #[tokio::test]
    async fn a_log_that_grew_too_long_is_put_aside_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("session-1.log");
        for text in ["one\n", "two\n", "three\n", "four\n"] {
            append_to(&path, text.as_bytes(), 10).await.expect("appended");
        }
        let read = |name| std::fs::read_to_string(folder.path().join(name)).expect("a file");
        assert_eq!(
            (read("session-1.log.old").as_str(), read("session-1.log").as_str()),
            ("three\n", "four\n")
        );
    }
}
