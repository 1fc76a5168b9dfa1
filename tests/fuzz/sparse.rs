//! A disk as a fuzzer can hold it: its length, and the few sectors that are not all zeros.
//!
//! ```text
//! 4         length of the disk in sectors
//! 4 + 512   number of a sector, and its bytes; again and again
//! ```

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    io,
};

use mimeo_core::disk::ReadAt;

const SECTOR: usize = 512;
const RECORD: usize = 4 + SECTOR;

/// Largest disk that an input can claim, in sectors: 64 MiB, for the smallest F2FS has 52. Reading a map takes time in
/// proportion to the disk, and every other rule shows on a small one.
const SECTORS_MAX: u32 = 128 << 10;

/// A disk of an input. It counts how often and how much it is read.
pub struct SparseDisk {
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    length_bytes: u64,
    reads: Cell<u64>,
    bytes_read: Cell<u64>,
}

impl SparseDisk {
    /// Reads any bytes as a disk. Of a sector that is named twice the last counts.
    pub fn parse(input: &[u8]) -> Self {
        let (length, records) = input.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let mut sectors = BTreeMap::new();
        for record in records.chunks(RECORD) {
            let Some((number, bytes)) = record.split_first_chunk() else { break };
            let mut sector = [0; SECTOR];
            sector[..bytes.len()].copy_from_slice(bytes);
            sectors.insert(u32::from_le_bytes(*number).into(), sector);
        }
        let length_bytes = u64::from(u32::from_le_bytes(*length) % (SECTORS_MAX + 1)) * SECTOR as u64;
        Self { sectors, length_bytes, reads: Cell::new(0), bytes_read: Cell::new(0) }
    }

    /// An input that stands for `disk`, as far as `reader` reads it: what a parser does not look at would only be
    /// ballast in a corpus.
    pub fn emit(disk: &[u8], reader: impl FnOnce(&dyn ReadAt)) -> Vec<u8> {
        let watched = Watched { disk, sectors: RefCell::new(BTreeSet::new()) };
        reader(&watched);
        let mut input = ((disk.len() / SECTOR) as u32).to_le_bytes().to_vec();
        for number in watched.sectors.into_inner() {
            let Some(sector) = disk.chunks_exact(SECTOR).nth(number) else { continue };
            if sector.iter().any(|&byte| byte != 0) {
                input.extend_from_slice(&(number as u32).to_le_bytes());
                input.extend_from_slice(sector);
            }
        }
        input
    }

    /// A copy of the bytes from the start of the disk.
    pub fn head(&self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length.min(self.length_bytes as usize)];
        self.copy(&mut bytes, 0);
        bytes
    }

    /// Overwrites bytes that lie in one sector.
    pub fn put(&mut self, offset: u64, bytes: &[u8]) {
        let at = (offset % SECTOR as u64) as usize;
        let sector = self.sectors.entry(offset / SECTOR as u64).or_insert([0; SECTOR]);
        sector[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Where the blocks of this size begin that are not all zeros.
    pub fn blocks_in_use(&self, block_bytes: u64) -> BTreeSet<u64> {
        let places = self.sectors.keys().map(|number| number * SECTOR as u64);
        places.map(|place| place - place % block_bytes).collect()
    }

    /// How many reads there were, and of how many bytes.
    pub fn was_read(&self) -> (u64, u64) {
        (self.reads.get(), self.bytes_read.get())
    }

    fn copy(&self, buffer: &mut [u8], offset: u64) {
        buffer.fill(0);
        let sector = SECTOR as u64;
        let end = offset + buffer.len() as u64;
        for (&number, bytes) in self.sectors.range(offset / sector..end.div_ceil(sector)) {
            let (from, to) = ((number * sector).max(offset), ((number + 1) * sector).min(end));
            let source = &bytes[(from - number * sector) as usize..(to - number * sector) as usize];
            buffer[(from - offset) as usize..(to - offset) as usize].copy_from_slice(source);
        }
    }
}

impl ReadAt for SparseDisk {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.reads.set(self.reads.get() + 1);
        self.bytes_read.set(self.bytes_read.get() + buffer.len() as u64);
        let end = offset_bytes.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length_bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.copy(buffer, offset_bytes);
        Ok(())
    }

    fn length_bytes(&self) -> u64 {
        self.length_bytes
    }
}

/// A disk that notes which of its sectors are read.
struct Watched<'a> {
    disk: &'a [u8],
    sectors: RefCell<BTreeSet<usize>>,
}

impl ReadAt for Watched<'_> {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let first = offset_bytes as usize / SECTOR;
        let last = (offset_bytes as usize + buffer.len()).div_ceil(SECTOR);
        self.sectors.borrow_mut().extend(first..last);
        self.disk.read_exact_at(buffer, offset_bytes)
    }

    fn length_bytes(&self) -> u64 {
        self.disk.len() as u64
    }
}
