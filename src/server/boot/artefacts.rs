//! The files that machines boot: loaders, kernel, initramfs, memory test.
//!
//! They come from Debian's packages and from our own build, into one folder with a list of what they are and what they
//! hash to. All are read and checked once, at the start: a boot must not find out that a file is missing or damaged.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use mimeo_core::appliance::{self, Appliance};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The list beside the files.
pub const LIST_NAME: &str = "manifest.json";

/// Longest file that is read: the payload of the initramfs has some hundred megabytes, and all of them are in memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// The names of the files, as they are in the folder and as they are served.
pub mod names {
    /// iPXE for BIOS.
    pub const IPXE_BIOS: &str = "undionly.kpxe";
    /// iPXE for UEFI that uses the firmware's own network driver.
    pub const IPXE_UEFI: &str = "snponly.efi";
    /// The first loader that Microsoft signed.
    pub const SHIM: &str = "shimx64.efi";
    /// Debian's signed GRUB that knows the network; shim loads it by this name.
    pub const GRUB_NET: &str = "grubx64.efi";
    /// Debian's signed GRUB that knows disks, for the image of UEFI HTTP boot.
    pub const GRUB_DISK: &str = "grub-disk-x64.efi";
    /// Debian's signed kernel.
    pub const KERNEL: &str = "vmlinuz";
    /// The first part of the initramfs, before the appliance's certificate is added.
    pub const INITRAMFS_FIRST: &str = "initramfs-first.cpio.zst";
    /// The second part, which the client fetches over TLS.
    pub const INITRAMFS_PAYLOAD: &str = "initramfs-payload.tar.zst";
    /// Memory test for BIOS and for UEFI.
    pub const MEMORY_TEST_BIOS: &str = "memtest.bin";
    pub const MEMORY_TEST_UEFI: &str = "memtest.efi";

    /// Switches the machine off, on BIOS and on UEFI: iPXE as Debian builds it cannot.
    pub const POWER_OFF_BIOS: &str = "power-off.pxe";
    pub const POWER_OFF_UEFI: &str = "power-off.efi";

    /// Without these nothing boots, or a menu promises what it cannot do.
    pub const REQUIRED: [&str; 12] = [
        IPXE_BIOS,
        IPXE_UEFI,
        SHIM,
        GRUB_NET,
        GRUB_DISK,
        KERNEL,
        INITRAMFS_FIRST,
        INITRAMFS_PAYLOAD,
        MEMORY_TEST_BIOS,
        MEMORY_TEST_UEFI,
        POWER_OFF_BIOS,
        POWER_OFF_UEFI,
    ];

    /// The initramfs as loaders get it. Made at the start, so it is in no folder.
    pub const INITRAMFS: &str = "initramfs";
}

/// All boot artefacts, verified, in memory.
#[derive(Debug, Clone)]
pub struct Artefacts {
    files: BTreeMap<String, Bytes>,
    list: Vec<Artefact>,
}

/// Where a file comes from and what it is, as the list says and as was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artefact {
    pub name: String,
    pub bytes: u64,
    /// BLAKE3 in hexadecimal.
    pub blake3: String,
    /// The package that it was taken from, and its version.
    pub package: String,
    pub version: String,
}

/// `manifest.json`, as the recipe writes it.
#[derive(Debug, Deserialize)]
struct List {
    artefacts: Vec<Artefact>,
}

/// Why the boot artefacts cannot be served. Each says what to build or fetch again.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("reading {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is no list of boot artefacts")]
    List { path: PathBuf, source: serde_json::Error },
    #[error("{path} names {name:?}, expected a plain file name")]
    Name { path: PathBuf, name: String },
    #[error("{path} does not list {name}, which is needed to boot")]
    Missing { path: PathBuf, name: &'static str },
    #[error("{path} is damaged: expected {expected_bytes} bytes, found {actual_bytes}")]
    Length { path: PathBuf, expected_bytes: u64, actual_bytes: u64 },
    #[error("{path} is damaged: expected BLAKE3 {expected}, found {actual}")]
    Hash { path: PathBuf, expected: String, actual: String },
}

impl Artefacts {
    /// Reads and verifies every file that the folder's list names, and adds to the initramfs what makes it this
    /// appliance's: its CA certificate, its start, and the hash of the second part.
    pub fn load(folder: &Path, ca_pem: &str, started: Timestamp) -> Result<Self, LoadError> {
        let list_path = folder.join(LIST_NAME);
        let text = std::fs::read(&list_path)
            .map_err(|source| LoadError::Read { path: list_path.clone(), source })?;
        let list: List = serde_json::from_slice(&text)
            .map_err(|source| LoadError::List { path: list_path.clone(), source })?;
        let mut files = BTreeMap::new();
        for artefact in &list.artefacts {
            if !is_plain(&artefact.name) {
                return Err(LoadError::Name { path: list_path, name: artefact.name.clone() });
            }
            files.insert(artefact.name.clone(), read_verified(folder, artefact)?);
        }
        for name in names::REQUIRED {
            if !files.contains_key(name) {
                return Err(LoadError::Missing { path: list_path, name });
            }
        }
        let mut artefacts = Self { files, list: list.artefacts };
        let initramfs = artefacts.initramfs(ca_pem, started);
        artefacts.files.insert(names::INITRAMFS.into(), initramfs);
        Ok(artefacts)
    }

    /// The initramfs with the appliance in front of it, in an archive of its own.
    ///
    /// The kernel unpacks archives one after the other and skips zeros between them (Documentation/driver-api/
    /// early-userspace/buffer-format.rst). An uncompressed one must begin on a multiple of four bytes, so it comes
    /// first, where that is certain; what follows a compressed one is not.
    fn initramfs(&self, ca_pem: &str, started: Timestamp) -> Bytes {
        let (payload, hash) = self.payload();
        let appliance = Appliance {
            ca_pem: ca_pem.to_owned(),
            started_unix_seconds: u64::try_from(started.0 / 1000).unwrap_or(0),
            payload_blake3: hash.to_owned(),
            payload_bytes: payload.len() as u64,
        };
        let text = serde_json::to_vec(&appliance).expect("text and numbers have a form in JSON");
        let path = appliance::PATH.trim_start_matches('/');
        let mut initramfs = archive_of(path, &text).expect("writing to memory does not fail");
        initramfs.resize(initramfs.len().next_multiple_of(4), 0);
        initramfs.extend_from_slice(&self.required(names::INITRAMFS_FIRST));
        initramfs.into()
    }

    /// A file by its name. Cheap: the content is shared.
    pub fn get(&self, name: &str) -> Option<Bytes> {
        self.files.get(name).cloned()
    }

    /// A file that [`Artefacts::load`] has made sure of.
    ///
    /// # Panics
    /// If `name` is none of [`names`]: the names are this module's own, so that is a mistake in the program.
    pub fn required(&self, name: &'static str) -> Bytes {
        self.get(name).unwrap_or_else(|| panic!("{name} is among the names that loading makes sure of"))
    }

    /// What there is and where it comes from, for people.
    pub fn list(&self) -> &[Artefact] {
        &self.list
    }

    /// The initramfs' second part: its content, and its BLAKE3 in hexadecimal, which the client checks.
    pub fn payload(&self) -> (Bytes, &str) {
        let listed = self.list.iter().find(|artefact| artefact.name == names::INITRAMFS_PAYLOAD);
        let hash = listed.map_or("", |artefact| artefact.blake3.as_str());
        (self.required(names::INITRAMFS_PAYLOAD), hash)
    }
}

/// Whether a name stays in the folder and can stand in a boot script and an address as it is.
fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

fn read_verified(folder: &Path, artefact: &Artefact) -> Result<Bytes, LoadError> {
    let path = folder.join(&artefact.name);
    let read_error = |source| LoadError::Read { path: path.clone(), source };
    // The length first: a file that grew beyond all measure must not fill the memory before it is refused.
    let actual_bytes = std::fs::metadata(&path).map_err(read_error)?.len();
    if actual_bytes != artefact.bytes || actual_bytes > FILE_BYTES_MAX {
        return Err(LoadError::Length { path, expected_bytes: artefact.bytes, actual_bytes });
    }
    let content = std::fs::read(&path).map_err(read_error)?;
    let actual = blake3::hash(&content).to_hex().to_string();
    if !actual.eq_ignore_ascii_case(&artefact.blake3) {
        return Err(LoadError::Hash { path, expected: artefact.blake3.clone(), actual });
    }
    Ok(content.into())
}

/// A cpio archive ("newc") that holds one file and the folders on the way to it: the kernel makes no folder that no
/// archive names.
fn archive_of(path: &str, content: &[u8]) -> io::Result<Vec<u8>> {
    const FOLDER: u32 = 0o040_755;
    const FILE: u32 = 0o100_644;
    let mut archive = Vec::new();
    let folders = path.match_indices('/').map(|(end, _)| &path[..end]);
    let mut inode = 0;
    for folder in folders {
        inode += 1;
        archive =
            cpio::newc::Builder::new(folder).ino(inode).mode(FOLDER).nlink(2).write(archive, 0).finish()?;
    }
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let mut file = cpio::newc::Builder::new(path).ino(inode + 1).mode(FILE).nlink(1).write(archive, length);
    io::Write::write_all(&mut file, content)?;
    cpio::newc::trailer(file.finish()?)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use mimeo_core::appliance::Appliance;

    use super::{Artefact, Artefacts, LIST_NAME, LoadError, names};
    use crate::clock::Timestamp;

    pub(crate) const STARTED: Timestamp = Timestamp(1_795_000_000_123);

    pub(crate) const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    /// Writes a folder whose files hold their own names, and its list.
    pub(crate) fn write_folder(folder: &Path) {
        let entry = |name: &&str| {
            std::fs::write(folder.join(name), name).expect("writing an artefact");
            Artefact {
                name: (*name).into(),
                bytes: name.len() as u64,
                blake3: blake3::hash(name.as_bytes()).to_hex().to_string(),
                package: "package".into(),
                version: "1-1".into(),
            }
        };
        write_list(folder, &names::REQUIRED.iter().map(entry).collect::<Vec<_>>());
    }

    fn write_list(folder: &Path, list: &[Artefact]) {
        let text = serde_json::json!({ "artefacts": list }).to_string();
        std::fs::write(folder.join(LIST_NAME), text).expect("writing the list");
    }

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        write_folder(folder.path());
        folder
    }

    fn load_error(folder: &Path) -> String {
        Artefacts::load(folder, CA, STARTED).expect_err("a bad folder").to_string()
    }

    #[test]
    fn every_file_is_there_as_listed() {
        let folder = folder();
        let artefacts = Artefacts::load(folder.path(), CA, STARTED).expect("a good folder");
        for name in names::REQUIRED {
            assert_eq!(artefacts.required(name), name);
        }
        assert_eq!(artefacts.list().len(), names::REQUIRED.len());
        let hash = blake3::hash(names::INITRAMFS_PAYLOAD.as_bytes()).to_hex();
        assert_eq!(artefacts.payload().1, hash.as_str());
        assert_eq!(artefacts.get(LIST_NAME), None);
        assert_eq!(artefacts.get("../etc/passwd"), None);
    }

    #[test]
    fn a_damaged_file_is_named_with_both_hashes() {
        let folder = folder();
        std::fs::write(folder.path().join(names::KERNEL), "vmlinux").expect("damaging it");
        let error = load_error(folder.path());
        let hash = |text: &str| blake3::hash(text.as_bytes()).to_hex().to_string();
        for part in [names::KERNEL, &hash("vmlinuz"), &hash("vmlinux")] {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_has_another_length_is_named() {
        let folder = folder();
        std::fs::write(folder.path().join(names::SHIM), "short").expect("shortening it");
        let error = load_error(folder.path());
        assert!(error.contains("shimx64.efi is damaged: expected 11 bytes, found 5"), "{error}");

        std::fs::remove_file(folder.path().join(names::SHIM)).expect("removing it");
        assert!(load_error(folder.path()).ends_with(names::SHIM));
    }

    #[test]
    fn a_list_without_the_kernel_is_refused() {
        let folder = folder();
        write_list(folder.path(), &[]);
        let error = Artefacts::load(folder.path(), CA, STARTED).expect_err("an empty list");
        assert!(matches!(error, LoadError::Missing { name: names::IPXE_BIOS, .. }), "{error}");
    }

    #[test]
    fn a_list_cannot_point_outside_its_folder() {
        for name in ["../secret", "/etc/passwd", "a/b", "", ".hidden", "a b", "a\"b"] {
            let folder = folder();
            let artefact = Artefact {
                name: name.into(),
                bytes: 0,
                blake3: String::new(),
                package: String::new(),
                version: String::new(),
            };
            write_list(folder.path(), &[artefact]);
            let error = Artefacts::load(folder.path(), CA, STARTED).expect_err("a bad name");
            assert!(matches!(error, LoadError::Name { .. }), "{name:?}: {error}");
        }
    }

    #[test]
    fn the_initramfs_begins_with_the_appliance_and_goes_on_aligned() {
        let folder = folder();
        for length in 0..5 {
            let ca = &CA[..CA.len() - length];
            let artefacts = Artefacts::load(folder.path(), ca, STARTED).expect("a good folder");
            let initramfs = artefacts.required(names::INITRAMFS);
            let first = names::INITRAMFS_FIRST.as_bytes();
            assert!(initramfs.ends_with(first));
            assert_eq!((initramfs.len() - first.len()) % 4, 0);

            let mut reader = cpio::NewcReader::new(&initramfs[..]).expect("an archive");
            let mut found = Vec::new();
            while !reader.entry().is_trailer() {
                let name = reader.entry().name().to_owned();
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut reader, &mut content).expect("its content");
                found.push((name, String::from_utf8(content).expect("text")));
                reader = cpio::NewcReader::new(reader.finish().expect("its end")).expect("the next entry");
            }
            let paths: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(paths, ["etc", "etc/mimeo", "etc/mimeo/appliance.json"]);
            let appliance: Appliance = serde_json::from_str(&found[2].1).expect("what the client reads");
            assert_eq!(appliance.ca_pem, ca);
            assert_eq!(appliance.started_unix_seconds, 1_795_000_000);
            assert_eq!(appliance.payload_blake3, artefacts.payload().1);
            assert_eq!(appliance.payload_bytes, names::INITRAMFS_PAYLOAD.len() as u64);
        }
    }
}
