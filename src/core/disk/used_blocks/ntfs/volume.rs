//! An NTFS volume: boot sector, master file table, and the values of files' attributes.

use super::{
    record::{ATTRIBUTE_LIST, Attribute, DATA, Record},
    runs::{Runs, Value},
};
use crate::disk::{
    ReadAt,
    fields::{has, u8_at, u16_at, u32_at, u64_at},
    used_blocks::UsedBlocksError,
};

/// Cluster sizes that Windows makes.
const CLUSTER_BYTES: std::ops::RangeInclusive<u64> = 512..=2 << 20;
/// Sizes of a file record: 1 KiB on disks of 512-byte sectors, 4 KiB on others. Larger ones, which Linux' ntfs3 refuses
/// too, would let a list of attributes that names one record ten thousand times have gigabytes read.
const RECORD_BYTES: std::ops::RangeInclusive<u64> = 512..=4096;
/// The largest attribute list that Windows writes.
const ATTRIBUTE_LIST_BYTES_MAX: u64 = 256 << 10;
/// A reference to a file record: 48 bits of number, 16 bits that count how often the record was used.
const NUMBER_MASK: u64 = (1 << 48) - 1;

/// A volume whose boot sector and master file table could be read.
pub(super) struct Volume<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) sector_bytes: u64,
    pub(super) cluster_bytes: u64,
    /// Whole clusters.
    pub(super) clusters: u64,
    /// What the boot sector says, without the backup boot sector behind it.
    pub(super) bytes: u64,
    record_bytes: u64,
    pub(super) mft: Runs,
}

impl<'a> Volume<'a> {
    pub(super) fn open(source: &'a dyn ReadAt) -> Result<Self, UsedBlocksError> {
        let mut boot = [0; 512];
        source.read_exact_at(&mut boot, 0)?;
        let mut volume = Self::parse_boot_sector(source, &boot)?;
        let mft_lcn = u64_at(&boot, 0x30);
        if mft_lcn == 0 || mft_lcn >= volume.clusters {
            return Err(damaged(0x30, volume.clusters, mft_lcn, "the place of the master file table"));
        }
        let offset = mft_lcn * volume.cluster_bytes;
        let mut bytes = vec![0; volume.record_bytes as usize];
        source.read_exact_at(&mut bytes, offset)?;
        let record = Record::parse(bytes, 0, offset)?;
        volume.map_mft(&record)?;
        Ok(volume)
    }

    fn parse_boot_sector(source: &'a dyn ReadAt, boot: &[u8; 512]) -> Result<Self, UsedBlocksError> {
        if !has(boot, 3, b"NTFS    ") || !has(boot, 510, &[0x55, 0xAA]) {
            return Err(UsedBlocksError::Unsupported { what: "this is no NTFS boot sector".into() });
        }
        let sector_bytes = u64::from(u16_at(boot, 0x0B));
        if !sector_bytes.is_power_of_two() || !(512..=4096).contains(&sector_bytes) {
            return Err(damaged(0x0B, 512, sector_bytes, "the bytes per sector"));
        }
        let sectors = power_or_count(u8_at(boot, 0x0D), 128);
        let cluster_bytes = sectors.saturating_mul(sector_bytes);
        if !sectors.is_power_of_two() || !CLUSTER_BYTES.contains(&cluster_bytes) {
            return Err(damaged(0x0D, 4096, cluster_bytes, "the cluster size"));
        }
        let bytes = u64_at(boot, 0x28).saturating_mul(sector_bytes);
        if bytes == 0 || bytes > source.length_bytes() {
            return Err(damaged(0x28, source.length_bytes(), bytes, "the length of the volume"));
        }
        // Positive: clusters; negative: a power of two of bytes.
        let record_bytes = match u8_at(boot, 0x40) {
            count @ 0..=127 => u64::from(count) * cluster_bytes,
            power => power_or_count(power, 127),
        };
        if !record_bytes.is_power_of_two() || !RECORD_BYTES.contains(&record_bytes) {
            return Err(damaged(0x40, 1024, record_bytes, "the size of a file record"));
        }
        let clusters = bytes / cluster_bytes;
        let mft = Runs::default();
        Ok(Self { source, sector_bytes, cluster_bytes, clusters, bytes, record_bytes, mft })
    }

    /// Learns where the master file table lies from its own record. Its list of attributes, which very fragmented
    /// tables have, names records that lie in the parts learned before.
    fn map_mft(&mut self, record: &Record) -> Result<(), UsedBlocksError> {
        let mut mft = Runs::default();
        for attribute in record.attributes()?.iter().filter(|attribute| attribute.is(DATA, "")) {
            mft.append(attribute, self)?;
        }
        self.mft = mft;
        if self.mft.is_empty() {
            return Err(self.damaged(0, 1, 0, "the data runs of the master file table"));
        }
        for entry in self.list_entries(record, DATA, "")? {
            // The part in the base record is known already.
            if entry.record != 0 {
                let part = self.part(entry, DATA, "")?;
                let mut mft = std::mem::take(&mut self.mft);
                let attributes = part.attributes()?;
                if let Some(attribute) = entry.find(&attributes, DATA, "") {
                    mft.append(attribute, self)?;
                }
                self.mft = mft;
            }
        }
        Ok(())
    }

    /// Reads a file record.
    pub(super) fn record(&self, number: u64) -> Result<Record, UsedBlocksError> {
        let mut bytes = vec![0; self.record_bytes as usize];
        let start = number.saturating_mul(self.record_bytes);
        let offset = self.mft.read(self, start, &mut bytes)?;
        Record::parse(bytes, number, offset)
    }

    /// The value of an attribute of the file whose base record is `record`, gathered from other records where it
    /// is spread over several.
    pub(super) fn value(&self, record: &Record, kind: u32, name: &str) -> Result<Value, UsedBlocksError> {
        let missing = || self.damaged(record.number(), 1, 0, "an attribute that the file must have");
        self.value_if_any(record, kind, name)?.ok_or_else(missing)
    }

    pub(super) fn value_if_any(
        &self,
        record: &Record,
        kind: u32,
        name: &str,
    ) -> Result<Option<Value>, UsedBlocksError> {
        let mut value = None;
        for attribute in record.attributes()?.iter().filter(|attribute| attribute.is(kind, name)) {
            self.add_part(&mut value, attribute)?;
        }
        for entry in self.list_entries(record, kind, name)? {
            if entry.record != record.number() {
                let part = self.part(entry, kind, name)?;
                if let Some(attribute) = entry.find(&part.attributes()?, kind, name) {
                    self.add_part(&mut value, attribute)?;
                }
            }
        }
        Ok(value)
    }

    fn add_part(&self, value: &mut Option<Value>, attribute: &Attribute<'_>) -> Result<(), UsedBlocksError> {
        match value {
            None => *value = Some(Value::parse(attribute, self)?),
            Some(value) => value.append(attribute, self)?,
        }
        Ok(())
    }

    /// Reads the record that holds one part of a spread attribute.
    fn part(&self, entry: ListEntry, kind: u32, name: &str) -> Result<Record, UsedBlocksError> {
        let record = self.record(entry.record)?;
        let found = entry.find(&record.attributes()?, kind, name).is_some();
        if found {
            return Ok(record);
        }
        Err(self.damaged(entry.record, entry.first_vcn, 0, "a part of an attribute that a list names"))
    }

    fn list_entries(
        &self,
        record: &Record,
        kind: u32,
        name: &str,
    ) -> Result<Vec<ListEntry>, UsedBlocksError> {
        let attributes = record.attributes()?;
        let Some(list) = attributes.iter().find(|attribute| attribute.is(ATTRIBUTE_LIST, "")) else {
            return Ok(Vec::new());
        };
        let list = Value::parse(list, self)?;
        let length = list.bytes();
        if length > ATTRIBUTE_LIST_BYTES_MAX {
            let what = "the length of an attribute list";
            return Err(self.damaged(record.number(), ATTRIBUTE_LIST_BYTES_MAX, length, what));
        }
        let mut bytes = vec![0; length as usize];
        list.read(self, 0, &mut bytes)?;
        Ok(ListEntry::parse_all(&bytes, kind, name))
    }

    pub(super) fn damaged(
        &self,
        record: u64,
        expected: u64,
        actual: u64,
        what: &'static str,
    ) -> UsedBlocksError {
        let offset = self.mft.place(self, record.saturating_mul(self.record_bytes)).unwrap_or(0);
        damaged(offset, expected, actual, what)
    }
}

/// An entry of an attribute list: which record holds the part of an attribute that starts at a cluster.
#[derive(Debug, Clone, Copy)]
struct ListEntry {
    record: u64,
    first_vcn: u64,
}

impl ListEntry {
    /// The entries for one attribute, in the order of the list, which is that of the clusters.
    fn parse_all(mut bytes: &[u8], kind: u32, name: &str) -> Vec<Self> {
        let mut entries = Vec::new();
        while bytes.len() >= 0x1A {
            let length = usize::from(u16_at(bytes, 4));
            let Some(entry) = bytes.get(..length).filter(|entry| entry.len() >= 0x1A) else { break };
            bytes = &bytes[length..];
            let name_at = usize::from(u8_at(entry, 7));
            let units = (0..usize::from(u8_at(entry, 6))).map(|unit| u16_at(entry, name_at + 2 * unit));
            if u32_at(entry, 0) == kind && units.eq(name.encode_utf16()) {
                let record = u64_at(entry, 0x10) & NUMBER_MASK;
                entries.push(Self { record, first_vcn: u64_at(entry, 8) });
            }
        }
        entries
    }

    fn find<'r, 'a>(
        self,
        attributes: &'r [Attribute<'a>],
        kind: u32,
        name: &str,
    ) -> Option<&'r Attribute<'a>> {
        attributes
            .iter()
            .find(|attribute| attribute.is(kind, name) && attribute.first_vcn() == self.first_vcn)
    }
}

/// A byte that counts up to `count_max` and beyond it is the negated exponent of a power of two.
fn power_or_count(byte: u8, count_max: u8) -> u64 {
    if byte <= count_max {
        byte.into()
    } else {
        1_u64.checked_shl(u32::from(byte.wrapping_neg())).unwrap_or(0)
    }
}

fn damaged(offset: u64, expected: u64, actual: u64, what: &'static str) -> UsedBlocksError {
    UsedBlocksError::Damaged { offset, expected, actual, what }
}
