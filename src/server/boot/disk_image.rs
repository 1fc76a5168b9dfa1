//! The disk that UEFI HTTP boot gets: one FAT image with everything on it, which the firmware holds in memory and
//! boots like a stick, Secure Boot included.
//!
//! It is laid out once, around the artefacts as they are in memory. What differs between machines is GRUB's
//! configuration, a file of fixed length padded with empty lines: a machine's own image is the common one with its
//! configuration in that place, and nothing is copied.

use bytes::Bytes;

use super::{
    artefacts::{Artefacts, names},
    content::Content,
    fat::{self, FatError, File},
    menu::grub::{DISK_INITRAMFS, DISK_KERNEL, DISK_MEMORY_TEST},
};

/// Room for one machine's configuration: three times the longest menu, kernel options included.
pub const CONFIG_BYTES: usize = 8192;

/// Where the GRUB that knows disks looks for its configuration: the prefix in Debian's image.
const CONFIG_PATH: &str = "EFI/debian/grub.cfg";

/// The image without any machine's configuration.
#[derive(Debug, Clone)]
pub struct DiskImage {
    before: Content,
    after: Content,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum DiskImageError {
    #[error("laying out the boot image")]
    Layout(#[from] FatError),
    #[error("a boot configuration of {found} bytes, expected at most {CONFIG_BYTES}")]
    ConfigTooLong { found: usize },
}

impl DiskImage {
    /// Lays out the image that all machines share.
    pub fn build(artefacts: &Artefacts) -> Result<Self, DiskImageError> {
        let artefact = |path, name| File { path, content: artefacts.required(name) };
        let files = [
            File { path: CONFIG_PATH, content: Bytes::from_static(&[b'\n'; CONFIG_BYTES]) },
            artefact("EFI/BOOT/BOOTX64.EFI", names::SHIM),
            artefact("EFI/BOOT/grubx64.efi", names::GRUB_DISK),
            artefact(DISK_KERNEL, names::KERNEL),
            artefact(DISK_INITRAMFS, names::INITRAMFS),
            artefact(DISK_MEMORY_TEST, names::MEMORY_TEST_UEFI),
        ];
        let (image, starts) = fat::volume(&files)?;
        let start = starts[0];
        let end = start + CONFIG_BYTES as u64;
        Ok(Self { before: image.slice(0..start), after: image.slice(end..image.length_bytes()) })
    }

    /// The image as one machine gets it.
    pub fn with_config(&self, config: &str) -> Result<Content, DiskImageError> {
        if config.len() > CONFIG_BYTES {
            return Err(DiskImageError::ConfigTooLong { found: config.len() });
        }
        let mut area = config.as_bytes().to_vec();
        area.resize(CONFIG_BYTES, b'\n');
        let (before, after) = (self.before.clone().into_pieces(), self.after.clone().into_pieces());
        Ok(Content::new(before.into_iter().chain([area.into()]).chain(after)))
    }

    /// How long the image is, whatever the configuration.
    pub fn length_bytes(&self) -> u64 {
        self.before.length_bytes() + CONFIG_BYTES as u64 + self.after.length_bytes()
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
        Artefacts::load(folder.path(), artefacts::tests::CA, artefacts::tests::STARTED)
            .expect("good artefacts")
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
            assert_eq!(read(&bytes, "mimeo/initrd"), artefacts.required(names::INITRAMFS));
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
