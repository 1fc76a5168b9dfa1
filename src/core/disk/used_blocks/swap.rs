//! Swap areas of Linux: the first page names the area, and the rest is memory of a system that no longer runs.
//!
//! ```text
//! first page   1024 boot code · version · last page · bad pages · UUID, label …   signature in the last 10 bytes
//! ```
//!
//! A system that hibernates writes its memory into the area and another signature over the page's own
//! (`kernel/power/swap.c`, `kernel/power/user.c`); the next start of that system takes its memory from there.

use super::{UsedBlocksError, UsedMap};
use crate::{
    disk::{
        ReadAt,
        fields::{has, u32_at},
    },
    failure::UncleanReason,
    units::Extent,
};

/// Sizes of the page, which is that of the machine that made the area.
const PAGES: [usize; 5] = [4 << 10, 8 << 10, 16 << 10, 32 << 10, 64 << 10];
const SIGNATURE_BYTES: usize = 10;
/// Where the version stands (`include/linux/swap.h`, `union swap_header`), and the only one that there ever was.
const VERSION_AT: usize = 1024;
const VERSION: u32 = 1;
/// The number of the last page that is the area's.
const LAST_PAGE_AT: usize = 1028;
const AWAKE: [&[u8]; 2] = [b"SWAPSPACE2", b"SWAP-SPACE"];
/// The kernel's own, that of user-space suspend, and that of suspend to both.
const ASLEEP: [&[u8]; 4] = [b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"];

/// What the first page of a swap area says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    page_bytes: usize,
    asleep: bool,
}

impl Header {
    /// Looks for the signature of any page size in the start of a volume.
    pub fn find(head: &[u8]) -> Option<Self> {
        let signed = |page: usize, signatures: &[&[u8]]| {
            signatures.iter().any(|signature| has(head, page - SIGNATURE_BYTES, signature))
        };
        PAGES.into_iter().find_map(|page_bytes| {
            let asleep = signed(page_bytes, &ASLEEP);
            (asleep || signed(page_bytes, &AWAKE)).then_some(Self { page_bytes, asleep })
        })
    }
}

/// Maps a swap area: its first page, by whose UUID or label `/etc/fstab` names it. An area in which a system sleeps
/// is refused: its twin on another computer would wake to file systems that are not the ones it knew.
///
/// A signature alone is no swap area: what uses a partition without a label of its own, such as a plain dm-crypt, may
/// leave the ten bytes of what was there before. Nor is one that would be longer than its volume, which Linux does not
/// swap to either (`mm/swapfile.c`, `read_swap_header`).
pub fn map(volume: &dyn ReadAt) -> Result<UsedMap, UsedBlocksError> {
    let longest = PAGES[PAGES.len() - 1] as u64;
    let mut head = vec![0; longest.min(volume.length_bytes()) as usize];
    volume.read_exact_at(&mut head, 0)?;
    let header = Header::find(&head)
        .ok_or_else(|| UsedBlocksError::Unsupported { what: "this is no swap area".into() })?;
    let version = u32_at(&head, VERSION_AT);
    if version != VERSION && !header.asleep {
        return Err(UsedBlocksError::Unsupported { what: format!("a swap area of version {version}") });
    }
    if header.asleep {
        return Err(UsedBlocksError::Unclean { reason: UncleanReason::Hibernated });
    }
    let length_bytes = header.page_bytes as u64;
    let last_page = u64::from(u32_at(&head, LAST_PAGE_AT));
    let end_bytes = (last_page + 1) * length_bytes;
    if last_page == 0 || end_bytes > volume.length_bytes() {
        let what = format!("a swap area whose last page is {last_page}, in {} bytes", volume.length_bytes());
        return Err(UsedBlocksError::Unsupported { what });
    }
    Ok(UsedMap {
        // At most 64 KiB.
        block_bytes: header.page_bytes as u32,
        used_bytes: length_bytes,
        extents: vec![Extent { start_bytes: 0, length_bytes }],
        zeroed: Vec::new(),
        end_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::{UsedBlocksError, map};
    use crate::{disk::filesystem, failure::UncleanReason};

    fn volume(page_bytes: usize, signature: &[u8]) -> Vec<u8> {
        let mut volume = vec![0; 256 << 10];
        volume[1024] = 1;
        volume[1028] = ((256 << 10) / page_bytes - 1) as u8;
        volume[page_bytes - 10..page_bytes].copy_from_slice(signature);
        volume
    }

    #[test]
    fn the_first_page_is_in_use_whatever_its_size() {
        for page_bytes in [4 << 10, 16 << 10, 64 << 10] {
            let map = map(&&volume(page_bytes, b"SWAPSPACE2")[..]).expect("a map");
            assert_eq!(map.extents.len(), 1);
            assert_eq!((map.extents[0].start_bytes, map.extents[0].length_bytes), (0, page_bytes as u64));
        }
    }

    #[test]
    fn an_area_in_which_a_system_sleeps_is_a_swap_area_and_refused() {
        for signature in [b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"] {
            let volume = volume(4096, signature);
            assert_eq!(filesystem::detect(&&volume[..]).ok().flatten(), Some(filesystem::FileSystem::Swap));
            let refused = map(&&volume[..]);
            let hibernated = UncleanReason::Hibernated;
            assert!(
                matches!(refused, Err(UsedBlocksError::Unclean { reason }) if reason == hibernated),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_signature_that_was_left_behind_makes_no_swap_area() {
        let mut volume = volume(4096, b"SWAPSPACE2");
        volume[1024] = 0x7A;
        assert!(matches!(map(&&volume[..]), Err(UsedBlocksError::Unsupported { .. })));
        volume[1024] = 1;
        for (last_page, is_one) in [(63, true), (64, false), (0, false), (62, true)] {
            volume[1028] = last_page;
            assert_eq!(map(&&volume[..]).is_ok(), is_one, "{last_page}");
        }
    }

    #[test]
    fn what_is_no_swap_area_has_no_map() {
        for length in [0, 4095, 4096, 100_000] {
            assert!(matches!(map(&&vec![0; length][..]), Err(UsedBlocksError::Unsupported { .. })));
        }
    }
}
