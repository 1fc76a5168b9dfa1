//! The disk that UEFI HTTP boot gets: one FAT image with everything on it, which the firmware holds in memory and
//! boots like a stick, Secure Boot included.
//!
//! It is built once. What differs between machines is GRUB's configuration, a file of fixed length padded with empty
//! lines; its place in the image is known, so a machine's own image is two parts of the common one with its
//! configuration between them, and nothing is copied.

use std::io::{self, Cursor, Write as _};

use bytes::Bytes;
use fatfs::{Date, DateTime, Dir, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider};

use super::{
    artefacts::{Artefacts, names},
    content::Content,
    menu::grub::DISK_FOLDER,
};

/// Room for one machine's configuration: three times the longest menu, kernel options included. A multiple of the
/// cluster size, so the file's content lies in one piece when it is the first on the disk.
pub const CONFIG_BYTES: usize = 8192;

/// Where the GRUB that knows disks looks for its configuration: the prefix in Debian's image.
const CONFIG_PATH: &str = "EFI/debian/grub.cfg";

/// What the file system needs beside the files: tables, folders, and the unused end of each file's last cluster.
const OVERHEAD_BYTES: usize = 2 << 20;

/// The image's length is a multiple of this: whole tracks and cylinders for tools that still count in them.
const ROUND_BYTES: usize = 1 << 20;

/// The image without any machine's configuration.
#[derive(Debug, Clone)]
pub struct DiskImage {
    before: Bytes,
    after: Bytes,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum DiskImageError {
    #[error("writing the boot image's file system")]
    Write(#[from] io::Error),
    #[error("the boot image's configuration is not in one piece")]
    Scattered,
    #[error("a boot configuration of {found} bytes, expected at most {CONFIG_BYTES}")]
    ConfigTooLong { found: usize },
}

impl DiskImage {
    /// Builds the image that all machines share.
    pub fn build(artefacts: &Artefacts) -> Result<Self, DiskImageError> {
        let kernel = format!("{DISK_FOLDER}/{}", names::KERNEL);
        let initramfs = format!("{DISK_FOLDER}/{}", names::INITRAMFS);
        let memory_test = format!("{DISK_FOLDER}/{}", names::MEMORY_TEST_UEFI);
        let placeholder = placeholder();
        let files: [(&str, Bytes); 6] = [
            // First, so that its clusters follow each other.
            (CONFIG_PATH, placeholder.clone()),
            ("EFI/BOOT/BOOTX64.EFI", artefacts.required(names::SHIM)),
            ("EFI/BOOT/grubx64.efi", artefacts.required(names::GRUB_DISK)),
            (&kernel, artefacts.required(names::KERNEL)),
            (&initramfs, artefacts.required(names::INITRAMFS)),
            (&memory_test, artefacts.required(names::MEMORY_TEST_UEFI)),
        ];
        let image = Bytes::from(write_image(&files)?);
        let start = find(&image, &placeholder).ok_or(DiskImageError::Scattered)?;
        Ok(Self { before: image.slice(..start), after: image.slice(start + CONFIG_BYTES..) })
    }

    /// The image as one machine gets it.
    pub fn with_config(&self, config: &str) -> Result<Content, DiskImageError> {
        if config.len() > CONFIG_BYTES {
            return Err(DiskImageError::ConfigTooLong { found: config.len() });
        }
        let mut area = config.as_bytes().to_vec();
        area.resize(CONFIG_BYTES, b'\n');
        Ok(Content::new([self.before.clone(), area.into(), self.after.clone()]))
    }

    /// How long the image is, whatever the configuration.
    pub fn length_bytes(&self) -> u64 {
        (self.before.len() + CONFIG_BYTES + self.after.len()) as u64
    }
}

/// Content that is nowhere else: the output of a hash function.
fn placeholder() -> Bytes {
    let mut content = vec![0; CONFIG_BYTES];
    blake3::Hasher::new().update(b"the place of a boot configuration").finalize_xof().fill(&mut content);
    content.into()
}

fn find(image: &[u8], wanted: &[u8]) -> Option<usize> {
    // Files begin on sectors.
    (0..image.len()).step_by(512).find(|start| image[*start..].starts_with(wanted))
}

fn write_image(files: &[(&str, Bytes)]) -> io::Result<Vec<u8>> {
    let content_bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    let mut disk = Cursor::new(vec![0; (content_bytes + OVERHEAD_BYTES).next_multiple_of(ROUND_BYTES)]);
    fatfs::format_volume(
        &mut disk,
        FormatVolumeOptions::new().volume_label(*b"MIMEO BOOT ").volume_id(0x4d49_4d45),
    )?;
    let options = FsOptions::new().update_accessed_date(false).time_provider(&FIXED_TIME);
    let filesystem = FileSystem::new(&mut disk, options)?;
    for (path, content) in files {
        write_file(&filesystem.root_dir(), path, content)?;
    }
    filesystem.unmount()?;
    Ok(disk.into_inner())
}

fn write_file<D: fatfs::ReadWriteSeek>(root: &Dir<'_, D>, path: &str, content: &[u8]) -> io::Result<()> {
    for (end, _) in path.match_indices('/') {
        root.create_dir(&path[..end])?;
    }
    let mut file = root.create_file(path)?;
    file.truncate()?;
    file.write_all(content)?;
    file.flush()
}

/// The same artefacts give the same image, whenever it is built.
#[derive(Debug)]
struct FixedTime;

static FIXED_TIME: FixedTime = FixedTime;

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        Date { year: 2020, month: 1, day: 1 }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime { date: self.get_current_date(), time: Time { hour: 0, min: 0, sec: 0, millis: 0 } }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use super::{CONFIG_BYTES, DiskImage, DiskImageError};
    use crate::boot::artefacts::{self, Artefacts, names};

    fn artefacts() -> Artefacts {
        let folder = tempfile::tempdir().expect("a folder");
        artefacts::tests::write_folder(folder.path());
        Artefacts::load(folder.path(), artefacts::tests::CA).expect("good artefacts")
    }

    fn read(image: &[u8], path: &str) -> Vec<u8> {
        let disk = Cursor::new(image.to_vec());
        let filesystem = fatfs::FileSystem::new(disk, fatfs::FsOptions::new()).expect("a file system");
        let mut content = Vec::new();
        let mut file =
            filesystem.root_dir().open_file(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        file.read_to_end(&mut content).expect("its content");
        content
    }

    #[test]
    fn each_machine_gets_its_own_configuration_and_the_common_files() {
        let artefacts = artefacts();
        let image = DiskImage::build(&artefacts).expect("an image");
        for config in ["set a=1\n", "set b=2\n"] {
            let bytes = image.with_config(config).expect("short enough").into_pieces().concat();
            let found = read(&bytes, "EFI/debian/grub.cfg");
            assert_eq!(found.len(), CONFIG_BYTES);
            assert_eq!(found.trim_ascii_end(), config.trim_end().as_bytes());
            assert_eq!(read(&bytes, "EFI/BOOT/BOOTX64.EFI"), artefacts.required(names::SHIM));
            assert_eq!(read(&bytes, "EFI/BOOT/grubx64.efi"), artefacts.required(names::GRUB_DISK));
            assert_eq!(read(&bytes, "mimeo/vmlinuz"), artefacts.required(names::KERNEL));
            assert_eq!(read(&bytes, "mimeo/initramfs"), artefacts.required(names::INITRAMFS));
        }
    }

    #[test]
    fn the_same_artefacts_give_the_same_image() {
        let build = || {
            let image = DiskImage::build(&artefacts()).expect("an image");
            image.with_config("").expect("short").into_pieces().concat()
        };
        assert!(build() == build());
    }

    #[test]
    fn a_configuration_that_does_not_fit_is_refused() {
        let image = DiskImage::build(&artefacts()).expect("an image");
        assert!(image.with_config(&"x".repeat(CONFIG_BYTES)).is_ok());
        let error = image.with_config(&"x".repeat(CONFIG_BYTES + 1)).expect_err("too long");
        assert!(matches!(error, DiskImageError::ConfigTooLong { found: 8193 }), "{error}");
    }
}
