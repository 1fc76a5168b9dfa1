//! What each thread keeps for compressing and opening chunks: zstd's tables and one buffer. Made anew for every chunk, their
//! memory is mapped, cleared and given back each time.

use std::{cell::RefCell, io};

use super::Effort;
use zstd::{
    bulk::{Compressor, Decompressor},
    zstd_safe::CParameter,
};

/// The zstd level of a capture. The capturing computer's processor is the limit there, not the disk: level 1 runs
/// at 400 MB/s a core, level 3 at 280 (measured, ADR 0003).
const CAPTURE_LEVEL: i32 = 1;
/// What level 1 does differently here. It is tuned for streams, whose window is four times our chunk; shorter matches and
/// twice the table make independent chunks 3 % smaller and 12 % slower, which is half of what level 2 costs for as
/// much (measured on programs and libraries, ADR 0003).
const CAPTURE_TUNING: [CParameter; 2] = [CParameter::MinMatch(5), CParameter::HashLog(14)];

/// The zstd level of a capture of which most is in the store already: its processor waits for the disk, and what is new is
/// a tenth smaller (measured, ADR 0003).
const THOROUGH_LEVEL: i32 = 6;

/// The zstd level of a server that has time: the first at which every way to cut a chunk into matches is weighed
/// (measured, ADR 0003).
const DENSE_LEVEL: i32 = 15;

thread_local! {
    static WORKSHOP: RefCell<Workshop> = RefCell::default();
}

/// `None` until they are used first, or where there was no memory for them.
#[derive(Default)]
struct Workshop {
    compressor: Option<Compressor<'static>>,
    thorough_compressor: Option<Compressor<'static>>,
    dense_compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
    /// Frames while they are made, plain bytes while they are proved. As long as the largest of them so far.
    buffer: Vec<u8>,
}

/// Compresses a chunk; `None` where that takes more than `frame_bytes_max`, or there is no memory for it.
pub(super) fn compress(plain: &[u8], frame_bytes_max: usize, effort: Effort) -> Option<Vec<u8>> {
    WORKSHOP.with_borrow_mut(|Workshop { compressor, thorough_compressor, buffer, .. }| {
        let compressor = match effort {
            Effort::Hurried => kept(compressor, tuned),
            Effort::Thorough => kept(thorough_compressor, || Compressor::new(THOROUGH_LEVEL)),
        };
        let compressor = compressor.ok()?;
        compress_with(compressor, buffer, plain, frame_bytes_max)
    })
}

/// As [`compress`], as small as is worth the time; `None` also where it would be larger than `frame_bytes_max`.
pub(super) fn compress_dense(plain: &[u8], frame_bytes_max: usize) -> Option<Vec<u8>> {
    WORKSHOP.with_borrow_mut(|Workshop { dense_compressor, buffer, .. }| {
        let compressor = kept(dense_compressor, || Compressor::new(DENSE_LEVEL)).ok()?;
        compress_with(compressor, buffer, plain, frame_bytes_max)
    })
}

fn compress_with(
    compressor: &mut Compressor<'_>,
    buffer: &mut Vec<u8>,
    plain: &[u8],
    frame_bytes_max: usize,
) -> Option<Vec<u8>> {
    // zstd leaves its fastest path where it has to watch for the end of the room.
    let room = grown(buffer, zstd::zstd_safe::compress_bound(plain.len()));
    let length = compressor.compress_to_buffer(plain, room).ok()?;
    (length <= frame_bytes_max).then(|| buffer[..length].to_vec())
}

/// What is kept of an earlier use, or is made now.
fn kept<T>(place: &mut Option<T>, make: impl FnOnce() -> io::Result<T>) -> io::Result<&mut T> {
    Ok(match place {
        Some(ready) => ready,
        none => none.insert(make()?),
    })
}

fn tuned() -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(CAPTURE_LEVEL)?;
    for parameter in CAPTURE_TUNING {
        compressor.set_parameter(parameter)?;
    }
    Ok(compressor)
}

/// Opens a frame into `plain`, and gives how much of it that filled.
pub(super) fn decompress(frame: &[u8], plain: &mut [u8]) -> io::Result<usize> {
    WORKSHOP.with_borrow_mut(|Workshop { decompressor, .. }| {
        kept(decompressor, Decompressor::new)?.decompress_to_buffer(frame, plain)
    })
}

/// Lends memory of a length that is bounded by the largest chunk.
pub(super) fn with_plain<R>(length: usize, work: impl FnOnce(&mut [u8]) -> R) -> R {
    // Taken out meanwhile: the work may want the workshop too.
    let mut buffer = WORKSHOP.with_borrow_mut(|workshop| std::mem::take(&mut workshop.buffer));
    let result = work(grown(&mut buffer, length));
    WORKSHOP.with_borrow_mut(|workshop| workshop.buffer = buffer);
    result
}

fn grown(buffer: &mut Vec<u8>, length: usize) -> &mut [u8] {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    &mut buffer[..length]
}
