//! How a disk is understood: its partition table, the file system in each partition, and which bytes of it
//! are in use.
//!
//! Everything here reads through [`ReadAt`] and trusts nothing that it reads: a wrong byte gives an error that
//! names the place, never a panic, an endless loop or unbounded memory. Nothing here writes.

pub mod filesystem;
pub mod gpt;
pub mod layout;
pub mod mbr;
pub mod table;
pub mod used_blocks;

mod checksum;
mod fields;

use std::io;

/// Something that can be read at a place: a disk, a partition, an image file, bytes in memory.
pub trait ReadAt {
    /// Fills `buffer` from `offset_bytes`; an error where the source ends before.
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()>;

    /// The length of the source in bytes.
    fn length_bytes(&self) -> u64;
}

impl ReadAt for [u8] {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let source = usize::try_from(offset_bytes)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buffer.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(source);
        Ok(())
    }

    fn length_bytes(&self) -> u64 {
        self.len() as u64
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        (**self).read_exact_at(buffer, offset_bytes)
    }

    fn length_bytes(&self) -> u64 {
        (**self).length_bytes()
    }
}

#[cfg(unix)]
impl ReadAt for std::fs::File {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, buffer, offset_bytes)
    }

    /// Asks by seeking to the end, which answers for block devices too; 0 where even that fails. Positioned
    /// reads do not use the position that this moves.
    fn length_bytes(&self) -> u64 {
        use std::io::Seek;
        let mut file = self;
        file.seek(io::SeekFrom::End(0)).unwrap_or(0)
    }
}

/// A window into another source: the inside of a partition.
pub struct Window<R> {
    source: R,
    extent: crate::units::Extent,
}

impl<R: ReadAt> Window<R> {
    /// A window that shows `extent` of `source`; reads beyond it fail as at the end of a disk.
    pub fn new(source: R, extent: crate::units::Extent) -> Self {
        Self { source, extent }
    }
}

impl<R: ReadAt> ReadAt for Window<R> {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.extent.length_bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let start = self.extent.start_bytes.checked_add(offset_bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.source.read_exact_at(buffer, start)
    }

    fn length_bytes(&self) -> u64 {
        self.extent.length_bytes
    }
}
