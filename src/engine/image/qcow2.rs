//! A disk image as QEMU keeps it: qcow2, version 3 (docs/interop/qcow2.rst of QEMU), uncompressed.
//!
//! Which clusters have content is known before the first byte of it, so the whole layout is: header, tables, and then
//! the clusters with content in the order of the disk. So it is written from front to back, into a pipe too, and a file
//! that was cut off lacks clusters that its tables name, which `qemu-img check` says.
//!
//! ```text
//! header │ L1 table │ refcount table │ refcount blocks │ L2 tables, only those needed │ clusters with content
//! ```

use std::{io, ops::Range};

use mimeo_core::units::Extent;

use super::sink::ImageSink;

/// The usual length of a cluster, and QEMU's own choice.
const CLUSTER_BITS: u32 = 16;
const CLUSTER_BYTES: u64 = 1 << CLUSTER_BITS;
/// An entry of the L1, L2 and refcount tables.
const ENTRY_BYTES: u64 = 8;
/// Clusters that one L2 table tells of: 512 MiB of the disk.
const L2_ENTRIES: u64 = CLUSTER_BYTES / ENTRY_BYTES;
/// log2 of a reference count's bits: 16, as QEMU has it.
const REFCOUNT_ORDER: u32 = 4;
/// Clusters that one refcount block counts: 2 GiB of the file.
const REFCOUNTS: u64 = CLUSTER_BYTES * 8 / (1 << REFCOUNT_ORDER);
const HEADER_BYTES: u32 = 104;
/// The longest L1 table that QEMU opens, 32 MiB (`QCOW_MAX_L1_SIZE`), tells of this much disk: 2 PiB.
const LENGTH_MAX: u64 = (32 << 20) / ENTRY_BYTES * L2_ENTRIES * CLUSTER_BYTES;
/// In an entry of L1 and L2: what it points at is referred to once, so it may be written in place.
const COPIED: u64 = 1 << 63;

/// Wraps an image in a qcow2 on its way to another sink.
pub struct Qcow2<S> {
    inner: S,
    /// The clusters of the disk that have content: sorted, disjoint.
    runs: Vec<Range<u64>>,
    /// How much of the disk was handed over, and how many of the runs lie before.
    at: u64,
    passed: usize,
}

impl<S: ImageSink> Qcow2<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, runs: Vec::new(), at: 0, passed: 0 }
    }

    /// How many of the next bytes of the disk lie in clusters with content.
    fn pass(&mut self, length_bytes: u64) -> u64 {
        let (from, to) = (self.at, self.at + length_bytes);
        self.at = to;
        let mut inside = 0;
        while let Some(run) = self.runs.get(self.passed) {
            let (start, end) = (run.start * CLUSTER_BYTES, run.end * CLUSTER_BYTES);
            inside += end.min(to).saturating_sub(start.max(from));
            if end > to {
                break;
            }
            self.passed += 1;
        }
        inside
    }

    /// Writes entries of eight bytes, and zeros up to the end of the last cluster.
    fn table(&mut self, entries: impl Iterator<Item = u64>) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(CLUSTER_BYTES as usize);
        for entry in entries {
            bytes.extend_from_slice(&entry.to_be_bytes());
            if bytes.len() as u64 == CLUSTER_BYTES {
                self.inner.bytes(&bytes)?;
                bytes.clear();
            }
        }
        if !bytes.is_empty() {
            bytes.resize(CLUSTER_BYTES as usize, 0);
            self.inner.bytes(&bytes)?;
        }
        Ok(())
    }

    fn write_l2_tables(&mut self, layout: &Layout) -> io::Result<()> {
        let runs = std::mem::take(&mut self.runs);
        let mut clusters = runs.iter().cloned().flatten().peekable();
        let mut host = layout.data_start();
        while let Some(&first) = clusters.peek() {
            let table = first / L2_ENTRIES;
            let mut entries = vec![0; L2_ENTRIES as usize];
            while let Some(cluster) = clusters.next_if(|cluster| cluster / L2_ENTRIES == table) {
                entries[(cluster % L2_ENTRIES) as usize] = (host * CLUSTER_BYTES) | COPIED;
                host += 1;
            }
            self.table(entries.into_iter())?;
        }
        self.runs = runs;
        Ok(())
    }
}

impl<S: ImageSink> ImageSink for Qcow2<S> {
    fn begin(&mut self, length_bytes: u64, content: &[Extent]) -> io::Result<()> {
        if length_bytes > LENGTH_MAX {
            let why =
                format!("QEMU opens no qcow2 of more than {LENGTH_MAX} bytes, this disk has {length_bytes}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        self.runs = cluster_runs(content);
        let layout = Layout::of(length_bytes, &self.runs);
        let file_bytes = layout.clusters() * CLUSTER_BYTES;
        self.inner.begin(file_bytes, &[Extent { start_bytes: 0, length_bytes: file_bytes }])?;
        let mut header = layout.header(length_bytes);
        header.resize(CLUSTER_BYTES as usize, 0);
        self.inner.bytes(&header)?;
        let mut next = layout.l2_start();
        let l1: Vec<u64> = layout
            .l2_needed
            .iter()
            .map(|&needed| {
                let entry = if needed { (next * CLUSTER_BYTES) | COPIED } else { 0 };
                next += u64::from(needed);
                entry
            })
            .collect();
        self.table(l1.into_iter())?;
        let blocks = layout.refcount_block_start()..layout.l2_start();
        self.table(blocks.map(|cluster| cluster * CLUSTER_BYTES))?;
        for block in 0..layout.refcount_blocks {
            let counted = (layout.clusters() - block * REFCOUNTS).min(REFCOUNTS);
            let mut counts = [0, 1].repeat(counted as usize);
            counts.resize(CLUSTER_BYTES as usize, 0);
            self.inner.bytes(&counts)?;
        }
        self.write_l2_tables(&layout)
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.pass(bytes.len() as u64) != bytes.len() as u64 {
            return Err(io::Error::other("there is content where none was announced"));
        }
        self.inner.bytes(bytes)
    }

    fn zeros(&mut self, length_bytes: u64) -> io::Result<()> {
        let inside = self.pass(length_bytes);
        self.inner.zeros(inside)
    }

    fn finish(&mut self) -> io::Result<()> {
        // The disk may end inside its last cluster, the file does not.
        let rest = self.at.next_multiple_of(CLUSTER_BYTES) - self.at;
        self.zeros(rest)?;
        self.inner.finish()
    }
}

/// The clusters of which `content` has anything.
fn cluster_runs(content: &[Extent]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for extent in content.iter().filter(|extent| extent.length_bytes > 0) {
        let (start, end) = (extent.start_bytes / CLUSTER_BYTES, extent.end_bytes().div_ceil(CLUSTER_BYTES));
        match runs.last_mut() {
            Some(last) if start <= last.end => last.end = last.end.max(end),
            _ => runs.push(start..end),
        }
    }
    runs
}

/// How many clusters of the file each part takes, in the order of the file.
struct Layout {
    l1: u64,
    refcount_table: u64,
    refcount_blocks: u64,
    /// For each entry of the L1 table, whether anything of its part of the disk has content.
    l2_needed: Vec<bool>,
    l2_tables: u64,
    data: u64,
}

impl Layout {
    fn of(length_bytes: u64, runs: &[Range<u64>]) -> Self {
        let l1_entries = length_bytes.div_ceil(CLUSTER_BYTES).div_ceil(L2_ENTRIES);
        let mut l2_needed = vec![false; l1_entries as usize];
        for run in runs {
            let tables = (run.start / L2_ENTRIES) as usize..run.end.div_ceil(L2_ENTRIES) as usize;
            l2_needed[tables].fill(true);
        }
        let l1 = (l1_entries * ENTRY_BYTES).div_ceil(CLUSTER_BYTES).max(1);
        let l2_tables = l2_needed.iter().filter(|&&needed| needed).count() as u64;
        let data = runs.iter().map(|run| run.end - run.start).sum();
        let mut layout = Self { l1, refcount_table: 1, refcount_blocks: 1, l2_needed, l2_tables, data };
        // The counts are counted themselves. Both only grow, and slower than what they count, so this ends.
        loop {
            let blocks = layout.clusters().div_ceil(REFCOUNTS);
            let table = (blocks * ENTRY_BYTES).div_ceil(CLUSTER_BYTES);
            if (blocks, table) == (layout.refcount_blocks, layout.refcount_table) {
                return layout;
            }
            (layout.refcount_blocks, layout.refcount_table) = (blocks, table);
        }
    }

    /// Length of the file.
    fn clusters(&self) -> u64 {
        self.data_start() + self.data
    }

    fn refcount_table_start(&self) -> u64 {
        1 + self.l1
    }

    fn refcount_block_start(&self) -> u64 {
        self.refcount_table_start() + self.refcount_table
    }

    fn l2_start(&self) -> u64 {
        self.refcount_block_start() + self.refcount_blocks
    }

    fn data_start(&self) -> u64 {
        self.l2_start() + self.l2_tables
    }

    fn header(&self, length_bytes: u64) -> Vec<u8> {
        // Both counts fit: the length is limited, and the file has not many more clusters than the disk.
        let count = |clusters: usize| u32::try_from(clusters).unwrap_or(u32::MAX);
        let mut bytes = b"QFI\xfb".to_vec();
        let mut put = |field: &[u8]| bytes.extend_from_slice(field);
        put(&3_u32.to_be_bytes());
        // No backing file: its offset and the length of its name.
        put(&[0; 12]);
        put(&CLUSTER_BITS.to_be_bytes());
        put(&length_bytes.to_be_bytes());
        // Not encrypted.
        put(&[0; 4]);
        put(&count(self.l2_needed.len()).to_be_bytes());
        put(&CLUSTER_BYTES.to_be_bytes());
        put(&(self.refcount_table_start() * CLUSTER_BYTES).to_be_bytes());
        put(&count(self.refcount_table as usize).to_be_bytes());
        // No snapshots: their number and place. No features: incompatible, compatible, autoclear.
        put(&[0; 12]);
        put(&[0; 24]);
        put(&REFCOUNT_ORDER.to_be_bytes());
        put(&HEADER_BYTES.to_be_bytes());
        // What follows as zeros is the end of the header's extensions.
        bytes
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::units::Extent;

    use super::{CLUSTER_BYTES, HEADER_BYTES, LENGTH_MAX, Layout, Qcow2, REFCOUNTS, cluster_runs};
    use crate::image::sink::{ImageSink, Stream};

    fn extent(start_bytes: u64, length_bytes: u64) -> Extent {
        Extent { start_bytes, length_bytes }
    }

    #[test]
    fn content_in_one_cluster_or_in_neighbours_is_one_run() {
        let content = [
            extent(5, 0),
            extent(10, 10),
            extent(70_000, 1),
            extent(3 * CLUSTER_BYTES - 1, 2),
            extent(500_000, 1),
        ];
        assert_eq!(cluster_runs(&content), [0..4, 7..8]);
    }

    #[test]
    fn the_header_is_as_long_as_it_says() {
        assert_eq!(Layout::of(1 << 30, &[]).header(1 << 30).len(), HEADER_BYTES as usize);
    }

    #[test]
    fn the_counts_count_themselves() {
        for data in [0, 1, REFCOUNTS - 6, REFCOUNTS - 5, REFCOUNTS, 3 * REFCOUNTS, 9000 * REFCOUNTS] {
            let layout = Layout::of(1 << 50, std::slice::from_ref(&(0..data)));
            assert!(layout.refcount_blocks * REFCOUNTS >= layout.clusters(), "{data}");
            assert!((layout.refcount_blocks - 1) * REFCOUNTS < layout.clusters(), "{data}: a block too many");
            assert!(layout.refcount_table * CLUSTER_BYTES >= layout.refcount_blocks * 8, "{data}");
        }
    }

    #[test]
    fn a_disk_that_qemu_would_not_open_is_refused_before_anything_is_written() {
        let mut written = Vec::new();
        let mut sink = Qcow2::new(Stream::new(&mut written));
        assert!(sink.begin(LENGTH_MAX + 1, &[]).is_err());
        assert!(sink.begin(1 << 20, &[extent(0, 10)]).is_ok());
        assert!(sink.bytes(&[1; 10]).is_ok());
        sink.zeros(2 * CLUSTER_BYTES).expect("zeros");
        assert!(sink.bytes(&[1]).is_err(), "content where none was announced has no place");
        assert!(written.len() as u64 >= 6 * CLUSTER_BYTES);
    }
}
