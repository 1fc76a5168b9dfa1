//! One header of a GUID partition table and its entries, as bytes (UEFI 2.10, 5.3.2 and 5.3.3).

use crate::{
    disk::{
        checksum::crc32,
        fields::{array_at, has, u32_at, u64_at},
        table::{Partition, PartitionKind},
    },
    units::{Extent, Lba, SectorSize},
};

const SIGNATURE: &[u8] = b"EFI PART";
/// The header of revision 1.0. Later revisions may be longer, never shorter.
const HEADER_BYTES_MIN: usize = 92;
/// The entry of revision 1.0; others are this times a power of two.
const ENTRY_BYTES_MIN: u32 = 128;
/// Largest entry that is read: 32 times what any known program writes.
const ENTRY_BYTES_MAX: u32 = 4096;
/// Most bytes of entries that are read: 8,192 ordinary entries; 16 KiB is what every installer writes.
const ENTRIES_BYTES_MAX: u64 = 1 << 20;
/// UTF-16 units of a name.
const NAME_UNITS: usize = 36;

/// Offsets inside the header.
mod at {
    pub(super) const REVISION: usize = 8;
    pub(super) const HEADER_BYTES: usize = 12;
    pub(super) const CHECKSUM: usize = 16;
    pub(super) const MY_LBA: usize = 24;
    pub(super) const ALTERNATE_LBA: usize = 32;
    pub(super) const FIRST_USABLE: usize = 40;
    pub(super) const LAST_USABLE: usize = 48;
    pub(super) const DISK_GUID: usize = 56;
    pub(super) const ENTRIES_LBA: usize = 72;
    pub(super) const ENTRY_COUNT: usize = 80;
    pub(super) const ENTRY_BYTES: usize = 84;
    pub(super) const ENTRIES_CHECKSUM: usize = 88;
}

/// What is wrong with one copy of the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    #[error("it has no signature")]
    NoSignature,
    #[error("its header claims {actual} bytes, expected 92 to {max}")]
    HeaderBytes { actual: u32, max: u64 },
    #[error("its header has checksum {actual:08x}, expected {expected:08x}")]
    HeaderChecksum { expected: u32, actual: u32 },
    #[error("its header at sector {found} says that it stands at sector {claimed}")]
    WrongPlace { found: u64, claimed: u64 },
    #[error("it has {count} entries of {bytes} bytes, which no program writes")]
    EntryShape { count: u32, bytes: u32 },
    #[error("its entries at sector {lba} lie outside the disk")]
    EntriesOutside { lba: u64 },
    #[error("its entries have checksum {actual:08x}, expected {expected:08x}")]
    EntriesChecksum { expected: u32, actual: u32 },
}

/// A header whose checksum is right, with the whole sector it stands in: what is not understood is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    sector: Vec<u8>,
}

impl Header {
    /// Checks the header in `sector`, found at `lba`.
    pub(super) fn parse(sector: &[u8], lba: Lba) -> Result<Self, Fault> {
        if !has(sector, 0, SIGNATURE) {
            return Err(Fault::NoSignature);
        }
        let claimed = u32_at(sector, at::HEADER_BYTES);
        if (claimed as usize) < HEADER_BYTES_MIN || claimed as usize > sector.len() {
            return Err(Fault::HeaderBytes { actual: claimed, max: sector.len() as u64 });
        }
        let header = Self { sector: sector.to_vec() };
        let (expected, actual) = (header.checksum(), u32_at(sector, at::CHECKSUM));
        if expected != actual {
            return Err(Fault::HeaderChecksum { expected, actual });
        }
        if header.my_lba() != lba {
            return Err(Fault::WrongPlace { found: lba.0, claimed: header.my_lba().0 });
        }
        let (count, bytes) = (header.entry_count(), header.entry_bytes());
        if !is_entry_shape(count, bytes) {
            return Err(Fault::EntryShape { count, bytes });
        }
        Ok(header)
    }

    /// A header of revision 1.0 for entries of the given shape, all places still zero.
    pub(super) fn new(sector: SectorSize, disk_guid: [u8; 16], entry_count: u32, entry_bytes: u32) -> Self {
        let mut header = Self { sector: vec![0; sector.bytes() as usize] };
        header.put(0, SIGNATURE);
        header.put(at::REVISION, &0x0001_0000_u32.to_le_bytes());
        header.put(at::HEADER_BYTES, &(HEADER_BYTES_MIN as u32).to_le_bytes());
        header.put(at::DISK_GUID, &disk_guid);
        header.put(at::ENTRY_COUNT, &entry_count.to_le_bytes());
        header.put(at::ENTRY_BYTES, &entry_bytes.to_le_bytes());
        header
    }

    pub(super) fn my_lba(&self) -> Lba {
        Lba(u64_at(&self.sector, at::MY_LBA))
    }

    pub(super) fn alternate_lba(&self) -> Lba {
        Lba(u64_at(&self.sector, at::ALTERNATE_LBA))
    }

    pub(super) fn last_usable(&self) -> Lba {
        Lba(u64_at(&self.sector, at::LAST_USABLE))
    }

    pub(super) fn disk_guid(&self) -> [u8; 16] {
        array_at(&self.sector, at::DISK_GUID)
    }

    pub(super) fn entries_lba(&self) -> Lba {
        Lba(u64_at(&self.sector, at::ENTRIES_LBA))
    }

    pub(super) fn entry_count(&self) -> u32 {
        u32_at(&self.sector, at::ENTRY_COUNT)
    }

    pub(super) fn entry_bytes(&self) -> u32 {
        u32_at(&self.sector, at::ENTRY_BYTES)
    }

    /// Bytes of all entries together, as the checksum covers them.
    pub(super) fn entries_bytes(&self) -> u64 {
        u64::from(self.entry_count()) * u64::from(self.entry_bytes())
    }

    /// Checks the entries that belong to this header.
    pub(super) fn check_entries(&self, entries: &[u8]) -> Result<(), Fault> {
        let (expected, actual) = (u32_at(&self.sector, at::ENTRIES_CHECKSUM), crc32(entries));
        if expected == actual { Ok(()) } else { Err(Fault::EntriesChecksum { expected, actual }) }
    }

    pub(super) fn set_places(&mut self, my: Lba, alternate: Lba, entries: Lba) {
        self.put(at::MY_LBA, &my.0.to_le_bytes());
        self.put(at::ALTERNATE_LBA, &alternate.0.to_le_bytes());
        self.put(at::ENTRIES_LBA, &entries.0.to_le_bytes());
    }

    pub(super) fn set_first_usable(&mut self, lba: Lba) {
        self.put(at::FIRST_USABLE, &lba.0.to_le_bytes());
    }

    pub(super) fn set_last_usable(&mut self, lba: Lba) {
        self.put(at::LAST_USABLE, &lba.0.to_le_bytes());
    }

    /// The whole sector, with both checksums right for these entries.
    pub(super) fn emit(&self, entries: &[u8]) -> Vec<u8> {
        let mut header = self.clone();
        header.put(at::ENTRIES_CHECKSUM, &crc32(entries).to_le_bytes());
        let checksum = header.checksum();
        header.put(at::CHECKSUM, &checksum.to_le_bytes());
        header.sector
    }

    /// The header's checksum as it should be: over the bytes that the header claims, its own field as zero.
    fn checksum(&self) -> u32 {
        let length = u32_at(&self.sector, at::HEADER_BYTES) as usize;
        let mut bytes = self.sector.get(..length).unwrap_or_default().to_vec();
        bytes[at::CHECKSUM..at::CHECKSUM + 4].fill(0);
        crc32(&bytes)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.sector[at..at + bytes.len()].copy_from_slice(bytes);
    }
}

/// Whether a table may have so many entries of so many bytes: what is not read must not be written either.
pub(super) fn is_entry_shape(count: u32, bytes: u32) -> bool {
    let all_bytes = u64::from(count) * u64::from(bytes);
    bytes.is_power_of_two()
        && (ENTRY_BYTES_MIN..=ENTRY_BYTES_MAX).contains(&bytes)
        && (1..=ENTRIES_BYTES_MAX).contains(&all_bytes)
}

/// Reads the entries that are in use: those whose type is not all zeros. `Err` names the number of one whose end
/// lies before its start.
pub(super) fn partitions(
    entries: &[u8],
    entry_bytes: u32,
    sector: SectorSize,
) -> Result<Vec<Partition>, u32> {
    let numbered = (1u32..).zip(entries.chunks_exact(entry_bytes as usize));
    numbered
        .filter(|(_, entry)| array_at(entry, 0) != [0; 16])
        .map(|(number, entry)| partition(number, entry, sector).ok_or(number))
        .collect()
}

fn partition(number: u32, entry: &[u8], sector: SectorSize) -> Option<Partition> {
    let start = Lba(u64_at(entry, 32)).offset_bytes(sector)?;
    let end = Lba(u64_at(entry, 40).checked_add(1)?).offset_bytes(sector)?;
    let units = (0..NAME_UNITS).map(|unit| u16::from_le_bytes(array_at(entry, 56 + 2 * unit)));
    let name: Vec<u16> = units.take_while(|&unit| unit != 0).collect();
    Some(Partition {
        number,
        place: Extent::between(start, end).filter(|place| place.length_bytes > 0)?,
        kind: PartitionKind::Guid(array_at(entry, 0)),
        guid: array_at(entry, 16),
        name: String::from_utf16_lossy(&name),
        attributes: u64_at(entry, 48),
    })
}

/// Writes `partition` into the entry that its number names. Only used where no sound entry is left to be copied.
pub(super) fn put_partition(entries: &mut [u8], entry_bytes: u32, partition: &Partition, sector: SectorSize) {
    let index = partition.number.saturating_sub(1) as usize;
    let Some(entry) = entries.chunks_exact_mut(entry_bytes as usize).nth(index) else { return };
    let PartitionKind::Guid(kind) = partition.kind else { return };
    entry[0..16].copy_from_slice(&kind);
    entry[16..32].copy_from_slice(&partition.guid);
    let first = partition.place.start_bytes / sector.bytes();
    let last = (partition.place.end_bytes() / sector.bytes()).saturating_sub(1);
    entry[32..40].copy_from_slice(&first.to_le_bytes());
    entry[40..48].copy_from_slice(&last.to_le_bytes());
    entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
    for (unit, place) in partition.name.encode_utf16().zip(entry[56..128].chunks_exact_mut(2)) {
        place.copy_from_slice(&unit.to_le_bytes());
    }
}
