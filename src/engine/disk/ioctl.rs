//! What only the kernel's block layer answers. `linux/fs.h` has the numbers; no crate in the house offers these
//! calls safely.
#![allow(unsafe_code)]

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::FileTypeExt},
};

use mimeo_core::units::Extent;

mod raw {
    nix::ioctl_none!(blkrrpart, 0x12, 95);
    nix::ioctl_none!(blkflsbuf, 0x12, 97);
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), libc::c_int);
    nix::ioctl_write_ptr_bad!(blkdiscard, nix::request_code_none!(0x12, 119), [u64; 2]);
}

/// Whether an opened file is a block device: image files take part in tests and know no ioctl.
pub(crate) fn is_block_device(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_type().is_block_device())
}

/// The size of a logical sector in bytes.
pub(crate) fn logical_sector_bytes(device: &File) -> io::Result<u32> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: BLKSSZGET writes one int, and `bytes` is one that outlives the call.
    unsafe { raw::blksszget(device.as_raw_fd(), &raw mut bytes) }?;
    u32::try_from(bytes).map_err(io::Error::other)
}

/// Has the kernel read the partition table again. It refuses (EBUSY) while a partition is in use.
pub(crate) fn reread_partition_table(device: &File) -> io::Result<()> {
    // SAFETY: BLKRRPART takes no argument.
    unsafe { raw::blkrrpart(device.as_raw_fd()) }?;
    Ok(())
}

/// Writes back and forgets what the page cache holds of the device.
pub(crate) fn forget_cache(device: &File) -> io::Result<()> {
    // SAFETY: BLKFLSBUF takes no argument.
    unsafe { raw::blkflsbuf(device.as_raw_fd()) }?;
    Ok(())
}

/// Tells the device that the content of `extent` is not needed any more. EOPNOTSUPP where it has no such command.
pub(crate) fn discard(device: &File, extent: Extent) -> io::Result<()> {
    let range = [extent.start_bytes, extent.length_bytes];
    // SAFETY: BLKDISCARD reads two u64 (start, length in bytes), and `range` is those and outlives the call.
    unsafe { raw::blkdiscard(device.as_raw_fd(), &raw const range) }?;
    Ok(())
}
