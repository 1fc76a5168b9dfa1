//! Whether a volume is at rest: what stands on the disk is all there is.

use super::{
    directory::Found,
    file, page_files,
    record::{DATA, VOLUME_INFORMATION},
    volume::Volume,
};
use crate::{
    disk::{
        fields::{has, u16_at, u32_at, u64_at},
        used_blocks::UsedBlocksError,
    },
    failure::UncleanReason,
};

/// A hibernation file shorter than its header stands on the volumes that do not hold Windows itself, while
/// Windows sleeps (ntfs-3g's finding).
const HIBERNATION_HEADER_BYTES: u64 = 4096;
/// Windows sleeps, or was interrupted while it woke. After it woke it writes `wake`, and zeros in time.
const SLEEPING: [&[u8; 4]; 4] = [b"hibr", b"HIBR", b"rstr", b"RSTR"];

/// The dirty flag of `$VOLUME_INFORMATION`: chkdsk is due.
const VOLUME_DIRTY: u16 = 0x1;

/// The restart area's list of users of the log is empty; or the volume was closed properly.
const NO_CLIENT: u16 = 0xFFFF;
const RESTART_VOLUME_IS_CLEAN: u16 = 0x2;
/// Pages of the log are this long, or say how long they are in the first.
const LOG_PAGE_BYTES: std::ops::RangeInclusive<u64> = 512..=64 << 10;

/// Refuses a volume in which Windows sleeps, that is marked dirty, or whose log must be replayed. `found` are the
/// files of its root directory that tell of sleep.
pub(super) fn check(volume: &Volume<'_>, found: &[Found]) -> Result<(), UsedBlocksError> {
    let refuse = |reason| Err(UsedBlocksError::Unclean { reason });
    for file in found.iter().filter(|file| file.name == page_files::HIBERNATION) {
        if is_asleep(volume, file)? {
            return refuse(UncleanReason::Hibernated);
        }
    }
    if flags(volume)? & VOLUME_DIRTY != 0 {
        return refuse(UncleanReason::Dirty);
    }
    match log_state(volume)? {
        LogState::Clean => Ok(()),
        LogState::Open => refuse(UncleanReason::JournalNotEmpty),
        LogState::KeptByWindows => refuse(UncleanReason::Hibernated),
    }
}

fn is_asleep(volume: &Volume<'_>, file: &Found) -> Result<bool, UsedBlocksError> {
    let record = volume.record(file.record)?;
    if !record.is_in_use() {
        return Ok(false);
    }
    let data = volume.value(&record, DATA, "")?;
    if data.bytes() < HIBERNATION_HEADER_BYTES {
        return Ok(true);
    }
    let mut signature = [0; 4];
    if data.initialized_bytes() >= signature.len() as u64 {
        data.read(volume, 0, &mut signature)?;
    }
    Ok(SLEEPING.contains(&&signature))
}

fn flags(volume: &Volume<'_>) -> Result<u16, UsedBlocksError> {
    let record = volume.record(file::VOLUME)?;
    let information = volume.value(&record, VOLUME_INFORMATION, "")?;
    if information.bytes() < 12 {
        return Err(volume.damaged(
            file::VOLUME,
            12,
            information.bytes(),
            "the length of $VOLUME_INFORMATION",
        ));
    }
    let mut bytes = [0; 12];
    information.read(volume, 0, &mut bytes)?;
    Ok(u16_at(&bytes, 10))
}

/// What `$LogFile` says of the last mount.
enum LogState {
    Clean,
    /// The power went, or a disk was pulled: changes wait in the log.
    Open,
    /// Version 2.0 of the log: Windows 8 and later write it while they use a volume, and leave it so where
    /// "fast startup" keeps the volume's metadata in the hibernation file.
    KeptByWindows,
}

/// Looks at the two restart pages at the start of the log; the one with the higher sequence number counts.
fn log_state(volume: &Volume<'_>) -> Result<LogState, UsedBlocksError> {
    let log = volume.value(&volume.record(file::LOG_FILE)?, DATA, "")?;
    let read_page = |start: u64| -> Result<[u8; 512], UsedBlocksError> {
        let mut page = [0xFF; 512];
        if start + page.len() as u64 <= log.initialized_bytes() {
            log.read(volume, start, &mut page)?;
        }
        Ok(page)
    };
    let first = read_page(0)?;
    let claimed = u64::from(u32_at(&first, 0x10));
    let page_bytes =
        if is_restart_page(&first) && LOG_PAGE_BYTES.contains(&claimed) { claimed } else { 4096 };
    let pages = [first, read_page(page_bytes)?];
    let newest = pages
        .iter()
        .filter(|page| is_restart_page(&page[..]))
        .max_by_key(|page| u64_at(&page[..], restart_area_at(&page[..])));
    let Some(page) = newest else {
        // A log without pages is an emptied one: mkntfs and ntfs-3g fill it with ff, which Windows accepts.
        let is_empty = pages.iter().all(|page| page.iter().all(|&byte| byte == 0xFF));
        return Ok(if is_empty { LogState::Clean } else { LogState::Open });
    };
    if u16_at(page, 0x1C) >= 2 {
        return Ok(LogState::KeptByWindows);
    }
    let area = restart_area_at(page);
    let closed =
        u16_at(page, area + 0x0C) == NO_CLIENT || u16_at(page, area + 0x0E) & RESTART_VOLUME_IS_CLEAN != 0;
    Ok(if closed { LogState::Clean } else { LogState::Open })
}

fn is_restart_page(page: &[u8]) -> bool {
    has(page, 0, b"RSTR") || has(page, 0, b"CHKD")
}

/// The restart area starts in the first 512 bytes of its page; further away its fields read as zero, which is
/// an open log.
fn restart_area_at(page: &[u8]) -> usize {
    u16_at(page, 0x18).into()
}
