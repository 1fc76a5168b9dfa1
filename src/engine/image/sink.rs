//! Where an image goes: a file with holes, or a pipe.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
};

use mimeo_core::units::Extent;

/// Takes an image from its first byte to its last.
pub trait ImageSink {
    /// Called first. `content` is where something else than zeros may come: sorted, disjoint, in whole.
    fn begin(&mut self, length_bytes: u64, content: &[Extent]) -> io::Result<()>;

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()>;

    fn zeros(&mut self, length_bytes: u64) -> io::Result<()>;

    /// Called last: all of it was handed over. Once this returns, a file of it survives a power cut.
    fn finish(&mut self) -> io::Result<()>;
}

/// What holds only zeros is left out of a file in pieces of this length, at multiples of it: the block of nearly every
/// file system.
const BLOCK_BYTES: usize = 4096;

/// An empty file that gets holes where the image has zeros, as far as its file system can have them.
pub struct SparseFile {
    file: File,
    at: u64,
}

impl SparseFile {
    pub fn new(file: File) -> Self {
        Self { file, at: 0 }
    }
}

impl ImageSink for SparseFile {
    fn begin(&mut self, _: u64, _: &[Extent]) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        // The first piece may be shorter, so that the others are whole blocks of the file.
        let into_block = (self.at % BLOCK_BYTES as u64) as usize;
        let (first, rest) = bytes.split_at((BLOCK_BYTES - into_block).min(bytes.len()));
        let pieces: Vec<&[u8]> = std::iter::once(first).chain(rest.chunks(BLOCK_BYTES)).collect();
        let mut from = 0;
        for run in pieces.chunk_by(|one, next| is_zero(one) == is_zero(next)) {
            let length: usize = run.iter().map(|piece| piece.len()).sum();
            if !is_zero(run[0]) {
                self.file.write_all_at(&bytes[from..from + length], self.at + from as u64)?;
            }
            from += length;
        }
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn zeros(&mut self, length_bytes: u64) -> io::Result<()> {
        self.at = self.at.checked_add(length_bytes).ok_or(io::ErrorKind::FileTooLarge)?;
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.set_len(self.at)?;
        self.file.sync_all()
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}

/// What takes bytes one after the other and cannot have holes.
pub struct Stream<W> {
    output: W,
}

/// Zeros that are written at once.
const ZEROS: &[u8] = &[0; 256 << 10];

impl<W: Write> Stream<W> {
    pub fn new(output: W) -> Self {
        Self { output }
    }
}

impl<W: Write> ImageSink for Stream<W> {
    fn begin(&mut self, _: u64, _: &[Extent]) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)
    }

    fn zeros(&mut self, mut length_bytes: u64) -> io::Result<()> {
        while length_bytes > 0 {
            let piece = length_bytes.min(ZEROS.len() as u64);
            self.output.write_all(&ZEROS[..piece as usize])?;
            length_bytes -= piece;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read, os::unix::fs::MetadataExt};

    use proptest::prelude::{any, prop, proptest};

    use super::{ImageSink, SparseFile, Stream};

    #[test]
    fn a_file_has_holes_where_the_image_has_zeros_and_is_as_long_as_the_image() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut sink = SparseFile::new(file.reopen().expect("the same file"));
        let mut bytes = vec![0; 1 << 20];
        bytes[500_000] = 7;
        sink.zeros(1 << 26).expect("zeros");
        sink.bytes(&bytes).expect("bytes");
        sink.zeros(5).expect("zeros");
        sink.finish().expect("the end");
        let about = fs::metadata(file.path()).expect("it is there");
        assert_eq!(about.len(), (1 << 26) + (1 << 20) + 5);
        assert!(about.blocks() * 512 <= 64 << 10, "{} blocks for one byte", about.blocks());
        let mut read = Vec::new();
        file.read_to_end(&mut read).expect("it can be read");
        assert_eq!(read.iter().position(|&byte| byte == 7), Some((1 << 26) + 500_000));
        assert_eq!(read.iter().filter(|&&byte| byte != 0).count(), 1);
    }

    proptest! {
        #[test]
        fn a_file_and_a_pipe_get_the_same_bytes(
            parts in prop::collection::vec((any::<bool>(), any::<bool>(), 0..20_000_usize), 0..12),
        ) {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            let mut sparse = SparseFile::new(file.reopen().unwrap());
            let mut piped = Vec::new();
            let mut pipe = Stream::new(&mut piped);
            let mut expected = Vec::new();
            for &(hole, dense, length) in &parts {
                // Blocks of zeros and blocks with something, in turn, unless all of it is dense.
                let bytes: Vec<u8> = (0..length).map(|at| u8::from(!hole && (dense || at / 4096 % 2 == 1))).collect();
                for sink in [&mut sparse as &mut dyn ImageSink, &mut pipe] {
                    if hole { sink.zeros(length as u64).unwrap() } else { sink.bytes(&bytes).unwrap() }
                }
                expected.extend(bytes);
            }
            sparse.finish().unwrap();
            pipe.finish().unwrap();
            let mut read = Vec::new();
            file.read_to_end(&mut read).unwrap();
            assert_eq!(read, expected);
            assert_eq!(piped, expected);
        }
    }
}
