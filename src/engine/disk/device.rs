//! One opened disk.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{FileExt, OpenOptionsExt},
    },
    path::Path,
    ptr,
};

use mimeo_core::{
    disk::ReadAt,
    units::{Extent, SectorSize},
};
use nix::fcntl::{FallocateFlags, PosixFadviseAdvice, fallocate, posix_fadvise};

use super::{
    buffer::{ALIGNMENT, AlignedBuffer},
    ioctl,
};

/// What can be done with an opened disk. [`KernelDevice`] does it to a real one; the tests' double can lose power.
pub trait BlockDevice: Send + Sync {
    /// Fills `buffer`; an error where the disk ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()>;

    /// As [`BlockDevice::read_exact_at`], so that a sector that cannot be read takes no neighbour with it: from the disk
    /// itself and not in whole pages of the cache. `buffer` begins at a multiple of [`ALIGNMENT`], the rest is whole
    /// sectors.
    fn read_sectors_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset_bytes)
    }

    /// Hands bytes to the disk. They survive a power cut only after [`BlockDevice::sync`].
    fn write_all_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<()>;

    /// Returns once everything written before survives a power cut. What is read afterwards comes from the disk
    /// and not from memory.
    fn sync(&self) -> io::Result<()>;

    /// Tells the disk that the content of `extent` is not needed; false where it has no such command. What the
    /// extent holds afterwards is not known: some disks give zeros, some the old bytes, some a mixture.
    fn discard(&self, extent: Extent) -> io::Result<bool>;

    /// Has the kernel read the partition table again.
    fn reread_table(&self) -> io::Result<()>;
}

/// What a disk is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// A disk of this computer, opened so that nobody else can mount it or open it for themselves.
///
/// Aligned requests, which is all bulk traffic, go to the device itself (`O_DIRECT`); small odd ones, such as
/// a file system's structures, through the page cache.
pub struct KernelDevice {
    /// Holds the exclusive claim (`O_EXCL` on a block device).
    cached: File,
    /// `None` where the thing opened cannot do direct I/O (an image file on some file systems).
    direct: Option<File>,
    /// What offsets and lengths of direct I/O must be multiples of.
    sector: SectorSize,
    is_block_device: bool,
}

impl KernelDevice {
    /// Opens and claims `path`, and checks that what was opened still has the length and the sector size that
    /// were seen when the disk was chosen: names move when a disk is unplugged.
    pub fn open(
        path: &Path,
        access: Access,
        length_bytes: u64,
        sector: SectorSize,
    ) -> Result<Self, OpenDeviceError> {
        let open = |flags| {
            OpenOptions::new().read(true).write(access == Access::Write).custom_flags(flags).open(path)
        };
        let cached = open(libc::O_EXCL).map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => OpenDeviceError::Busy,
            _ => OpenDeviceError::Io(error),
        })?;
        let is_block_device = ioctl::is_block_device(&cached)?;
        let actual_bytes = cached.length_bytes();
        if actual_bytes != length_bytes {
            return Err(OpenDeviceError::LengthChanged { expected: length_bytes, actual: actual_bytes });
        }
        if is_block_device {
            let actual = ioctl::logical_sector_bytes(&cached)?;
            if u64::from(actual) != sector.bytes() {
                return Err(OpenDeviceError::SectorChanged { expected: sector, actual });
            }
        }
        let direct = match open(libc::O_DIRECT) {
            Ok(direct) => Some(direct),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { cached, direct, sector, is_block_device })
    }

    /// Fills `buffer` with no more sectors than hold it.
    fn read_past_cache(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let sector = self.sector.bytes();
        let inside = (offset_bytes % sector) as usize;
        let length = (inside + buffer.len()).next_multiple_of(sector as usize);
        let mut sectors = AlignedBuffer::zeroed(length);
        self.read_sectors_at(&mut sectors, offset_bytes - inside as u64)?;
        buffer.copy_from_slice(&sectors[inside..inside + buffer.len()]);
        Ok(())
    }

    /// The way for one request: direct where memory, place and length allow it.
    fn file_for(&self, bytes: &[u8], offset_bytes: u64) -> &File {
        // Below a file is a disk of its own, whose sectors may be longer than those of the image.
        let sector = if self.is_block_device { self.sector.bytes() } else { ALIGNMENT as u64 };
        let aligned = (bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT)
            && offset_bytes.is_multiple_of(sector)
            && (bytes.len() as u64).is_multiple_of(sector);
        self.direct.as_ref().filter(|_| aligned).unwrap_or(&self.cached)
    }
}

impl BlockDevice for KernelDevice {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let file = self.file_for(buffer, offset_bytes);
        match FileExt::read_exact_at(file, buffer, offset_bytes) {
            // A page of the cache is lost as a whole where one of its sectors cannot be read.
            Err(error) if error.raw_os_error() == Some(libc::EIO) && ptr::eq(file, &self.cached) => {
                self.read_past_cache(buffer, offset_bytes).map_err(|_| error)
            }
            read => read,
        }
    }

    fn read_sectors_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let read_cached = |buffer: &mut [u8]| FileExt::read_exact_at(&self.cached, buffer, offset_bytes);
        let Some(direct) = &self.direct else { return read_cached(buffer) };
        match FileExt::read_exact_at(direct, buffer, offset_bytes) {
            // Below a file is a disk whose sectors are longer than those of the image.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => read_cached(buffer),
            read => read,
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.file_for(bytes, offset_bytes).write_all_at(bytes, offset_bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.cached.sync_all()?;
        if self.is_block_device {
            ioctl::forget_cache(&self.cached)
        } else {
            let whole_file = 0;
            posix_fadvise(self.cached.as_fd(), 0, whole_file, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
            Ok(())
        }
    }

    fn discard(&self, extent: Extent) -> io::Result<bool> {
        let discarded = if self.is_block_device {
            ioctl::discard(&self.cached, extent)
        } else {
            punch_hole(&self.cached, extent)
        };
        match discarded {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn reread_table(&self) -> io::Result<()> {
        if self.is_block_device { ioctl::reread_partition_table(&self.cached) } else { Ok(()) }
    }
}

/// Gives the room of `extent` back to the file system below, which shows zeros there. EOPNOTSUPP where it cannot.
fn punch_hole(file: &File, extent: Extent) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let start = i64::try_from(extent.start_bytes).map_err(too_long)?;
    let length = i64::try_from(extent.length_bytes).map_err(too_long)?;
    Ok(fallocate(file.as_fd(), flags, start, length)?)
}

/// Why a disk that was found could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenDeviceError {
    #[error("the disk is in use")]
    Busy,
    #[error("the disk had {expected} bytes when it was chosen and has {actual} now")]
    LengthChanged { expected: u64, actual: u64 },
    #[error("the disk had sectors of {expected} bytes when it was chosen and has sectors of {actual} now")]
    SectorChanged { expected: SectorSize, actual: u32 },
    #[error(transparent)]
    Io(#[from] io::Error),
}
