//! The second part of the initramfs: storage drivers and tools, fetched over TLS and checked before it is unpacked.

use std::{io, net::SocketAddr, path::Path, thread, time::Duration};

use mimeo_core::{appliance::Appliance, causes::causes};
use mimeo_engine::link::ServerError;

use super::clock;
use crate::{
    console::trouble::Trouble,
    conversation::persist,
    server::{
        Server,
        validity::{ClockCheck, check_clock},
    },
};

/// Largest payload that is taken, well above the 60 MB that the recipe allows: it is held in memory while it is
/// unpacked.
const PAYLOAD_BYTES_MAX: u64 = 256 << 20;

/// How often a payload that is not the announced one is fetched anew. A server that was started again with other
/// artefacts announces other ones, which only a new boot hears of; anything else is a fault that may pass.
const TRIES: u32 = 3;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Fetches the second part from `server` and unpacks it below `root`. The server's certificate is met here for the
/// first time, so a clock that does not fit it is mended here.
pub fn fetch(
    server: &Server,
    address: SocketAddr,
    appliance: &Appliance,
    root: &Path,
) -> Result<(), Trouble> {
    let mut tries = 1;
    loop {
        let bytes = persist(address, || {
            let answer = server.payload(PAYLOAD_BYTES_MAX);
            if let Err(ServerError::Unreachable(_)) = answer {
                mend_clock(address, appliance);
            }
            answer
        })?;
        match unpack(&bytes, &appliance.payload_blake3, appliance.payload_bytes, root) {
            Ok(()) => return Ok(()),
            Err(error) if tries < TRIES => tracing::warn!(tries, "{}", causes(&error)),
            Err(error) => return Err(Trouble::Payload { detail: causes(&error) }),
        }
        tries += 1;
        thread::sleep(TRY_AGAIN_AFTER);
    }
}

fn mend_clock(address: SocketAddr, appliance: &Appliance) {
    let (now, floor) = (clock::unix_seconds(), appliance.started_unix_seconds);
    match check_clock(address, appliance.ca_pem.as_bytes(), now, floor) {
        Ok(ClockCheck::Fits) => {}
        Ok(ClockCheck::Wrong { valid_at_unix_seconds }) => clock::set(valid_at_unix_seconds),
        Err(error) => tracing::debug!("{}", causes(&error)),
    }
}

/// The second part is not what the server announced, or cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("the second part of the initramfs has {actual} bytes instead of {expected}")]
    WrongLength { expected: u64, actual: u64 },
    #[error("the second part of the initramfs hashes to {actual} instead of {expected}")]
    WrongHash { expected: String, actual: String },
    #[error("unpacking the second part of the initramfs")]
    Unpack(#[from] io::Error),
}

/// Checks the bytes against what the server announced and unpacks them below `root`. Nothing is unpacked of bytes
/// that differ.
fn unpack(bytes: &[u8], expected_blake3: &str, expected_bytes: u64, root: &Path) -> Result<(), PayloadError> {
    let actual_bytes = bytes.len() as u64;
    if actual_bytes != expected_bytes {
        return Err(PayloadError::WrongLength { expected: expected_bytes, actual: actual_bytes });
    }
    let actual = blake3::hash(bytes).to_hex().to_string();
    if actual != expected_blake3 {
        return Err(PayloadError::WrongHash { expected: expected_blake3.to_owned(), actual });
    }
    let mut archive = tar::Archive::new(zstd::stream::read::Decoder::new(bytes)?);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    archive.unpack(root)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{PayloadError, unpack};

    fn payload() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o755);
        builder.append_data(&mut header, "usr/bin/tool", b"bytes".as_slice()).expect("append");
        zstd::encode_all(builder.into_inner().expect("tar").as_slice(), 1).expect("compress")
    }

    #[test]
    fn what_was_announced_is_unpacked() {
        let folder = tempfile::tempdir().expect("folder");
        let bytes = payload();
        unpack(&bytes, blake3::hash(&bytes).to_hex().as_str(), bytes.len() as u64, folder.path())
            .expect("unpack");
        assert_eq!(std::fs::read(folder.path().join("usr/bin/tool")).expect("read"), b"bytes");
    }

    #[test]
    fn of_anything_else_not_one_file_is_unpacked() {
        let folder = tempfile::tempdir().expect("folder");
        let mut bytes = payload();
        let (hash, length) = (blake3::hash(&bytes).to_hex().to_string(), bytes.len() as u64);
        bytes[20] ^= 1;
        assert!(matches!(unpack(&bytes, &hash, length, folder.path()), Err(PayloadError::WrongHash { .. })));
        bytes.pop();
        assert!(matches!(
            unpack(&bytes, &hash, length, folder.path()),
            Err(PayloadError::WrongLength { .. })
        ));
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 0);
    }
}
