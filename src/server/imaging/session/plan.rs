//! Which disk is meant. Chosen by what a disk is, never by the order in which a kernel names disks, and never
//! guessed: erasing the wrong one is the worst that this house can do.
//!
//! - A removable disk, and whatever hangs on USB, is never chosen, not even by a rule. (An audio interface with 100 MB
//!   of storage was once erased in place of an NVMe disk.)
//! - A rule names one disk by serial number or WWN. Without that disk nothing happens, whatever else is there.
//! - Without a rule, the only disk is meant. Several are a question, even where only one would fit: a person who has
//!   two disks in a computer knows what is on the other.
//! - A deploy to a disk that is too small or has other sectors is refused here, before anything is written.

use std::str::FromStr;

use mimeo_core::{
    failure::FailureCause,
    machine::{
        DiskReport, MachineReport, PartitionReport,
        disk_facts::{self, DiskFacts},
    },
    messages::DiskPin,
    units::SectorSize,
};

/// Longest rule: more than the longest serial number that SCSI and NVMe know.
const RULE_CHARS_MAX: usize = 128;

/// A person's word on which disk is meant: its serial number or its WWN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRule(String);

/// Text that names no disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a disk's serial number or WWN of 1 to {RULE_CHARS_MAX} characters, found {length}")]
pub struct BadDiskRule {
    length: usize,
}

/// What a disk must be like to be read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Any disk can be captured.
    Source,
    /// A target must hold the master and have its sectors.
    Target { min_bytes: u64, sector: SectorSize },
}

/// What the disks of a computer allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    Pinned(DiskPin),
    /// These could be meant.
    Ask(Vec<DiskPin>),
    Impossible(FailureCause),
}

/// What will be lost if a disk is chosen, for the eyes of the person who is about to confirm it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasePreview {
    pub pin: DiskPin,
    /// For people only: the name changes from boot to boot.
    pub kernel_name: String,
    pub partitions: Vec<PartitionReport>,
}

/// Chooses among the disks that a computer reported.
pub fn plan(report: &MachineReport, need: Need, rule: Option<&DiskRule>) -> Plan {
    let fixed: Vec<_> = report.disks.iter().filter(|disk| disk.facts.is_fixed()).collect();
    let meant: Vec<_> =
        fixed.iter().copied().filter(|disk| rule.is_none_or(|rule| rule.names(&disk.facts))).collect();
    let several_named = rule.is_some() && meant.len() > 1;
    match meant[..] {
        [] => Plan::Impossible(FailureCause::DiskMissing { wanted: wanted(need, rule) }),
        [only] => match misfit(only, need) {
            None => Plan::Pinned(only.facts.pin()),
            Some(cause) => Plan::Impossible(cause),
        },
        _ if several_named => Plan::Impossible(FailureCause::disk_ambiguous(wanted(need, rule), meant.len())),
        _ => ask(&meant, need),
    }
}

/// Whether a disk that was pinned before is there, and is the only one that agrees with the pin.
pub fn confirm(report: &MachineReport, pin: &DiskPin) -> Plan {
    match disk_facts::find(pin, &report.disks) {
        Ok(_) => Plan::Pinned(pin.clone()),
        Err(cause) => Plan::Impossible(cause),
    }
}

/// What stands on the disks that a plan names.
pub fn preview_erase(report: &MachineReport, plan: &Plan) -> Vec<ErasePreview> {
    let pins = match plan {
        Plan::Pinned(pin) => std::slice::from_ref(pin),
        Plan::Ask(pins) => pins,
        Plan::Impossible(_) => &[],
    };
    pins.iter()
        .filter_map(|pin| {
            let disk = disk_facts::find(pin, &report.disks).ok()?;
            Some(ErasePreview {
                pin: pin.clone(),
                kernel_name: disk.facts.kernel_name.clone(),
                partitions: disk.partitions.clone(),
            })
        })
        .collect()
}

fn ask(disks: &[&DiskReport], need: Need) -> Plan {
    let fitting: Vec<_> = disks.iter().copied().filter(|disk| misfit(disk, need).is_none()).collect();
    if fitting.is_empty() {
        let largest = disks.iter().max_by_key(|disk| disk.facts.size_bytes);
        if let Some(cause) = largest.and_then(|disk| misfit(disk, need)) {
            return Plan::Impossible(cause);
        }
    }
    // Two disks that nothing tells apart cannot be pinned, so nobody can choose one of them.
    let twins = |disk: &DiskReport| {
        let pin = disk.facts.pin();
        disks.iter().filter(|other| other.facts.agrees_with(&pin)).count()
    };
    let pins: Vec<_> = fitting.iter().filter(|disk| twins(disk) == 1).map(|disk| disk.facts.pin()).collect();
    match fitting.first() {
        Some(first) if pins.is_empty() => {
            Plan::Impossible(FailureCause::disk_ambiguous(first.facts.pin(), twins(first)))
        }
        _ => Plan::Ask(pins),
    }
}

/// Why a disk cannot be the target, with the numbers.
fn misfit(disk: &DiskReport, need: Need) -> Option<FailureCause> {
    let Need::Target { min_bytes, sector } = need else { return None };
    disk.facts.check_target(min_bytes, sector).err()
}

/// What was looked for where nothing was found.
fn wanted(need: Need, rule: Option<&DiskRule>) -> DiskPin {
    let (size_bytes, logical_sector) = match need {
        Need::Source => (0, SectorSize::B512),
        Need::Target { min_bytes, sector } => (min_bytes, sector),
    };
    DiskPin { model: None, serial: rule.map(|rule| rule.0.clone()), wwn: None, size_bytes, logical_sector }
}

impl DiskRule {
    /// Whether the rule is about this disk. Letters' case does not matter, nor the prefix that says which kind of
    /// WWN it is (the kernel writes `naa.5000…` or `eui.0025…`, labels and udev `0x5000…`).
    pub fn names(&self, disk: &DiskFacts) -> bool {
        let same = |text: &Option<String>| {
            text.as_deref().is_some_and(|text| bare(text).eq_ignore_ascii_case(bare(&self.0)))
        };
        same(&disk.serial) || same(&disk.wwn)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn bare(text: &str) -> &str {
    let text = text.trim();
    ["naa.", "eui.", "0x", "0X"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text)
}

impl FromStr for DiskRule {
    type Err = BadDiskRule;

    fn from_str(text: &str) -> Result<Self, BadDiskRule> {
        let text = text.trim();
        let length = text.chars().count();
        if (1..=RULE_CHARS_MAX).contains(&length) && !bare(text).is_empty() {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadDiskRule { length })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
