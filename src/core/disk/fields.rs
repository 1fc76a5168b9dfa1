//! Numbers inside sectors. Structures on a PC's disk are little-endian, but for those of XFS.
//!
//! The callers hold buffers of a length they have checked. A field that still lies outside reads as zero, which
//! no parser here takes for a valid size or place, so a mistake shows as an error about the disk and not as a
//! panic of the program that is PID 1.

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(super) fn be_u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array_at(bytes, at))
}

pub(super) fn be_u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array_at(bytes, at))
}

pub(super) fn be_u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array_at(bytes, at))
}

pub(super) fn u8_at(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Whether `bytes` has `magic` at `at`.
pub(super) fn has(bytes: &[u8], at: usize, magic: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

#[cfg(test)]
mod tests {
    use super::{array_at, be_u16_at, be_u32_at, be_u64_at, has, u8_at, u16_at, u32_at, u64_at};

    #[test]
    fn fields_have_their_byte_order_and_are_zero_where_the_buffer_ends() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(u16_at(&bytes, 0), 0x0201);
        assert_eq!(u32_at(&bytes, 4), 0x0807_0605);
        assert_eq!(u64_at(&bytes, 0), 0x0807_0605_0403_0201);
        assert_eq!((be_u16_at(&bytes, 0), be_u32_at(&bytes, 4)), (0x0102, 0x0506_0708));
        assert_eq!((be_u64_at(&bytes, 0), be_u64_at(&bytes, 1)), (0x0102_0304_0506_0708, 0));
        assert_eq!((u16_at(&bytes, 7), u32_at(&bytes, 5), u64_at(&bytes, usize::MAX)), (0, 0, 0));
        assert_eq!((u8_at(&bytes, 7), u8_at(&bytes, 8)), (8, 0));
        assert_eq!(array_at::<2>(&bytes, 6), [7, 8]);
        assert!(has(&bytes, 2, &[3, 4]) && !has(&bytes, 7, &[8, 9]) && !has(&bytes, 9, &[1]));
    }
}
