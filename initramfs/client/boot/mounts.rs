//! The kernel's own file systems, without which nothing can be seen.

use std::{fs, io, path::Path};

use nix::mount::{MsFlags, mount};

/// File systems in the order in which they are needed: source, target, type.
const MOUNTS: [(&str, &str, &str); 5] = [
    ("proc", "/proc", "proc"),
    ("sysfs", "/sys", "sysfs"),
    ("devtmpfs", "/dev", "devtmpfs"),
    ("tmpfs", "/run", "tmpfs"),
    ("tmpfs", "/tmp", "tmpfs"),
];

/// A kernel file system could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("mounting {file_system} on {target}")]
pub struct MountError {
    file_system: &'static str,
    target: &'static str,
    source: io::Error,
}

/// Mounts what every Linux program expects to find.
pub fn mount_all() -> Result<(), MountError> {
    for (source, target, file_system) in MOUNTS {
        let error = |source| MountError { file_system, target, source };
        fs::create_dir_all(target).map_err(error)?;
        mount(Some(source), target, Some(file_system), MsFlags::MS_NOSUID, None::<&str>)
            .map_err(|errno| error(errno.into()))?;
    }
    Ok(())
}

/// Mounts the firmware's variables, for Secure Boot's state and boot entries. Only there on UEFI machines, and only
/// once the driver of that file system is loaded.
pub fn mount_firmware_variables() {
    let folder = "/sys/firmware/efi/efivars";
    if Path::new(folder).exists() {
        let mounted = mount(Some("efivarfs"), folder, Some("efivarfs"), MsFlags::MS_NOSUID, None::<&str>);
        if let Err(errno) = mounted {
            tracing::warn!(%errno, "mounting efivarfs");
        }
    }
}
