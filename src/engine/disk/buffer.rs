//! Memory that a disk can read into and write from without a copy.

use std::ops::{Deref, DerefMut};

/// The alignment that satisfies every disk: `O_DIRECT` wants that of the logical sector, which is at most this.
pub const ALIGNMENT: usize = 4096;

/// Zeroed bytes that start at a multiple of [`ALIGNMENT`].
pub struct AlignedBuffer {
    /// Longer than asked for by [`ALIGNMENT`]. Never grown, so what is aligned stays so.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    pub fn zeroed(length: usize) -> Self {
        let memory = vec![0; length + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT);
        // `align_offset` may give up (only in constant evaluation, as of today): unaligned memory still works,
        // the device takes it through the page cache.
        Self { memory, start: if start <= ALIGNMENT { start } else { 0 }, length }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, AlignedBuffer};

    #[test]
    fn buffers_are_aligned_zeroed_and_as_long_as_asked() {
        for length in [0, 1, 511, 4096, 1 << 20] {
            let buffer = AlignedBuffer::zeroed(length);
            assert_eq!(buffer.len(), length);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
            assert!(buffer.iter().all(|&byte| byte == 0));
        }
    }
}
