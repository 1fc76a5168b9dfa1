//! Which file system a partition holds, told by its magic numbers.

use std::io;

use serde::{Deserialize, Serialize};

use super::{
    ReadAt,
    fields::{has, u16_at},
    used_blocks::{fat::BootSector, swap},
};

/// A file system or container that can be told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileSystem {
    Ntfs,
    Ext,
    Fat12,
    Fat16,
    Fat32,
    ExFat,
    Xfs,
    Btrfs,
    F2fs,
    Swap,
    Lvm,
    LinuxRaid,
    Luks,
    BitLocker,
}

/// How much of the start of a volume holds every magic below but those of Btrfs and of old RAIDs.
const HEAD_BYTES: u64 = 64 << 10;
/// Where in the head they stand: the first sectors (LUKS, BitLocker, labels of LVM, and of file systems all that are not
/// named here), the ends of pages that can be the first of a swap area, and a RAID of metadata 1.2.
const PLACES: [(usize, usize); 7] =
    [(0, 2048), (4086, 10), (8182, 10), (16_374, 10), (32_758, 10), (65_526, 10), (4096, 4)];
/// The superblock of Btrfs, its magic 64 bytes further on.
const BTRFS_AT: u64 = 64 << 10;
/// Where RAID superblocks of metadata 0.90 stand: at the last 64 KiB boundary that leaves 64 KiB behind it.
const RAID_090_ALIGN: u64 = 64 << 10;
const RAID_MAGIC: [u8; 4] = 0xA92B_4EFC_u32.to_le_bytes();
/// BitLocker To Go keeps a FAT boot sector for old systems and this GUID in it.
const BITLOCKER_TO_GO: [u8; 16] =
    [0x3B, 0xD6, 0x67, 0x49, 0x29, 0x2E, 0xD8, 0x4A, 0x83, 0x99, 0xF6, 0xA3, 0x39, 0xE3, 0xD0, 0x01];

/// Says what `volume` holds; `None` where nothing is recognised.
///
/// Containers are asked first: what is inside a RAID, a LUKS or a BitLocker volume may show through at the very
/// place where it would stand alone. A FAT volume beside another file system is neither: formatting as FAT touches few
/// sectors and can leave the superblock of what was there before, whose account of space is void.
///
/// A sector that cannot be read is an error where a magic may stand in it, and none elsewhere.
pub fn detect(volume: &dyn ReadAt) -> io::Result<Option<FileSystem>> {
    let head = read_head(volume)?;
    if is_linux_raid(volume, &head)? {
        return Ok(Some(FileSystem::LinuxRaid));
    }
    if let Some(found) = container(&head) {
        return Ok(Some(found));
    }
    let (other, fat) = file_systems(volume, &head)?;
    Ok(if other.is_some() && fat.is_some() { None } else { other.or(fat) })
}

/// Whether the start of any file system stands in `volume`, be it beside the label of a container.
pub(super) fn shows_file_system(volume: &dyn ReadAt) -> io::Result<bool> {
    let head = read_head(volume)?;
    let (other, fat) = file_systems(volume, &head)?;
    Ok(other.is_some() || fat.is_some())
}

/// The start of a volume. Where it cannot be read as a whole, nothing but the places where magics stand.
fn read_head(volume: &dyn ReadAt) -> io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD_BYTES.min(volume.length_bytes()) as usize];
    if volume.read_exact_at(&mut head, 0).is_err() {
        head.fill(0);
        for (start, length) in PLACES {
            let end = (start + length).min(head.len());
            if let Some(place) = head.get_mut(start..end) {
                volume.read_exact_at(place, start as u64)?;
            }
        }
    }
    Ok(head)
}

/// What is found in `volume` beside FAT, and FAT.
fn file_systems(volume: &dyn ReadAt, head: &[u8]) -> io::Result<(Option<FileSystem>, Option<FileSystem>)> {
    let btrfs = has_at(volume, BTRFS_AT + 64, b"_BHRfS_M")?.then_some(FileSystem::Btrfs);
    let fat = BootSector::parse(head).ok().map(|boot| boot.kind().filesystem());
    Ok((file_system(head).or(btrfs), fat))
}

fn container(head: &[u8]) -> Option<FileSystem> {
    let lvm =
        |sector: usize| has(head, sector * 512, b"LABELONE") && has(head, sector * 512 + 24, b"LVM2 001");
    if has(head, 0, b"LUKS\xBA\xBE") {
        return Some(FileSystem::Luks);
    }
    // Windows Vista wrote other jump bytes, but always this OEM name.
    if has(head, 3, b"-FVE-FS-") || has(head, 424, &BITLOCKER_TO_GO) {
        return Some(FileSystem::BitLocker);
    }
    (0..4).any(lvm).then_some(FileSystem::Lvm)
}

fn file_system(head: &[u8]) -> Option<FileSystem> {
    if has(head, 3, b"NTFS    ") && has(head, 510, &[0x55, 0xAA]) {
        Some(FileSystem::Ntfs)
    } else if has(head, 3, b"EXFAT   ") && has(head, 510, &[0x55, 0xAA]) {
        Some(FileSystem::ExFat)
    } else if has(head, 0, b"XFSB") {
        Some(FileSystem::Xfs)
    } else if u16_at(head, 1024 + 0x38) == 0xEF53 {
        Some(FileSystem::Ext)
    } else if has(head, 1024, &0xF2F5_2010_u32.to_le_bytes()) {
        Some(FileSystem::F2fs)
    } else if swap::Header::find(head).is_some() {
        Some(FileSystem::Swap)
    } else {
        None
    }
}

/// A member of a Linux md RAID: metadata 1.1 and 1.2 stand at the start, 1.0 and 0.90 near the end.
fn is_linux_raid(volume: &dyn ReadAt, head: &[u8]) -> io::Result<bool> {
    if has(head, 0, &RAID_MAGIC) || has(head, 4096, &RAID_MAGIC) {
        return Ok(true);
    }
    let length = volume.length_bytes();
    let at_090 = (length / RAID_090_ALIGN).checked_sub(1).map(|blocks| blocks * RAID_090_ALIGN);
    // md: the superblock starts at least 8 KiB before the end, on a 4 KiB boundary.
    let at_10 = length.checked_sub(8 << 10).map(|offset| offset & !0xFFF);
    for offset in [at_090, at_10].into_iter().flatten() {
        if has_at(volume, offset, &RAID_MAGIC)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_at(volume: &dyn ReadAt, offset_bytes: u64, magic: &[u8]) -> io::Result<bool> {
    let mut bytes = vec![0; magic.len()];
    if offset_bytes.saturating_add(magic.len() as u64) > volume.length_bytes() {
        return Ok(false);
    }
    volume.read_exact_at(&mut bytes, offset_bytes)?;
    Ok(bytes == magic)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{FileSystem, detect};
    use crate::disk::ReadAt;

    const LENGTH: usize = 256 << 10;

    /// What is detected where only these bytes are not zero.
    fn check(magics: &[(usize, &[u8])], expected: Option<FileSystem>) {
        let mut volume = vec![0; LENGTH];
        for (at, magic) in magics {
            volume[*at..at + magic.len()].copy_from_slice(magic);
        }
        assert_eq!(detect(&&volume[..]).expect("memory does not fail"), expected, "{magics:?}");
    }

    #[test]
    fn each_magic_is_looked_for_where_it_stands() {
        const END: &[u8] = &[0x55, 0xAA];
        const RAID: &[u8] = &[0xFC, 0x4E, 0x2B, 0xA9];
        check(&[], None);
        check(&[(3, b"NTFS    "), (510, END)], Some(FileSystem::Ntfs));
        check(&[(3, b"EXFAT   "), (510, END)], Some(FileSystem::ExFat));
        check(&[(1024 + 56, &[0x53, 0xEF])], Some(FileSystem::Ext));
        check(&[(0, b"XFSB")], Some(FileSystem::Xfs));
        check(&[(65_536 + 64, b"_BHRfS_M")], Some(FileSystem::Btrfs));
        check(&[(1024, &[0x10, 0x20, 0xF5, 0xF2])], Some(FileSystem::F2fs));
        check(&[(4086, b"SWAPSPACE2")], Some(FileSystem::Swap));
        check(&[(65_526, b"SWAPSPACE2")], Some(FileSystem::Swap));
        check(&[(512, b"LABELONE"), (536, b"LVM2 001")], Some(FileSystem::Lvm));
        check(&[(0, b"LUKS\xBA\xBE")], Some(FileSystem::Luks));
        check(&[(3, b"-FVE-FS-"), (510, END)], Some(FileSystem::BitLocker));
        for at in [0, 4096, LENGTH - 8192, LENGTH - 65_536] {
            check(&[(at, RAID)], Some(FileSystem::LinuxRaid));
        }
    }

    #[test]
    fn a_container_counts_before_what_shows_through_it() {
        let ext: (usize, &[u8]) = (1024 + 56, &[0x53, 0xEF]);
        check(&[ext, (LENGTH - 8192, &[0xFC, 0x4E, 0x2B, 0xA9])], Some(FileSystem::LinuxRaid));
        check(&[ext, (0, b"LUKS\xBA\xBE")], Some(FileSystem::Luks));
    }

    #[test]
    fn a_fat_volume_with_an_older_superblock_left_in_it_is_neither() {
        // 512-byte sectors, 4 to a cluster, 1 reserved, 2 FATs of 1 sector, 512 root entries, 400 sectors.
        let boot: &[u8] = &[
            0xEB, 0x3C, 0x90, b'M', b'S', b'W', b'I', b'N', b'4', b'.', b'1', 0, 2, 4, 1, 0, 2, 0, 2, 0x90,
            1, 0xF8, 1,
        ];
        check(&[(0, boot)], Some(FileSystem::Fat12));
        check(&[(0, boot), (1024 + 56, &[0x53, 0xEF])], None);
        check(&[(0, boot), (65_536 + 64, b"_BHRfS_M")], None);
    }

    /// A volume of which one sector cannot be read.
    struct Failing<'a>(&'a [u8], u64);

    impl ReadAt for Failing<'_> {
        fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
            let end = offset_bytes + buffer.len() as u64;
            if offset_bytes < self.1 + 512 && self.1 < end {
                return Err(io::Error::other("a bad sector"));
            }
            self.0.read_exact_at(buffer, offset_bytes)
        }

        fn length_bytes(&self) -> u64 {
            self.0.len() as u64
        }
    }

    #[test]
    fn a_bad_sector_matters_only_where_a_magic_may_stand_and_is_never_passed_over_there() {
        let magics: [(usize, &[u8]); 4] = [
            (1024 + 56, &[0x53, 0xEF]),
            (4086, b"SWAPSPACE2"),
            (65_526, b"SWAPSPACE2"),
            (65_536 + 64, b"_BHRfS_M"),
        ];
        let must_be_read = [0, 512, 1024, 1536, 3584, 4096, 7680, 15_872, 32_256, 65_024];
        for (at, magic) in magics {
            let mut volume = vec![0; LENGTH];
            volume[at..at + magic.len()].copy_from_slice(magic);
            let whole = detect(&&volume[..]).expect("memory does not fail");
            for bad in (0..65_536).step_by(512) {
                let found = detect(&Failing(&volume, bad));
                match must_be_read.contains(&bad) {
                    true => assert!(found.is_err(), "{bad}: {found:?}"),
                    false => assert_eq!(found.expect("readable enough"), whole, "{bad}"),
                }
            }
        }
        assert!(detect(&Failing(&[0; 100], 0)).is_err());
    }

    #[test]
    fn a_volume_too_short_for_a_superblock_is_unknown() {
        for length in [0, 1, 511, 512, 1024, 5000] {
            assert_eq!(detect(&&vec![0; length][..]).expect("memory does not fail"), None);
        }
    }
}
