//! A failure as a sentence that says what happened and what to do next.

use super::{Texts, size};
use crate::{
    bad_sectors::BadSectorLimit,
    disk::{filesystem::FileSystem, table::WHOLE_DISK},
    failure::{FailureCause, UncleanReason},
    messages::{DiskPin, Phase},
};

/// What happened, with the numbers, and the next step.
pub fn sentence(texts: &Texts, cause: &FailureCause) -> String {
    let say = |key: &str, values: &[(&str, &str)]| texts.say_with(key, values);
    match cause {
        FailureCause::DiskMissing { wanted } => missing(texts, wanted),
        FailureCause::DiskAmbiguous { wanted, found } => {
            say("failure-disk-ambiguous", &[("disk", &disk(texts, wanted)), ("found", &found.to_string())])
        }
        FailureCause::DiskTooSmall { needed_bytes, actual_bytes } => {
            too_small(texts, *needed_bytes, *actual_bytes)
        }
        FailureCause::SectorSizeDiffers { master, target } => {
            say("failure-sector-size", &[("master", &master.to_string()), ("target", &target.to_string())])
        }
        FailureCause::DiskBusy { holder } => say("failure-disk-busy", &[("holder", holder)]),
        FailureCause::SourceTable { detail } => say("failure-source-table", &[("detail", detail)]),
        FailureCause::SourceUnclean { partition, filesystem, volume, reason } => {
            let place = (*partition, *filesystem, volume.as_deref());
            of_source(texts, unclean_key(*filesystem, *reason), place)
        }
        FailureCause::SourceDamaged { partition, filesystem, volume, detail } => {
            damaged(texts, (*partition, *filesystem, volume.as_deref()), detail)
        }
        FailureCause::SourceJournalElsewhere { partition, filesystem, volume } => {
            let place = (*partition, *filesystem, volume.as_deref());
            of_source(texts, journal_elsewhere_key(*filesystem), place)
        }
        FailureCause::SourceFilesElsewhere { partition, filesystem, volume } => {
            of_source(texts, "failure-files-elsewhere", (*partition, *filesystem, volume.as_deref()))
        }
        FailureCause::SourceOnSeveralDevices { partition, filesystem: FileSystem::Lvm, volume } => {
            group_elsewhere(texts, *partition, volume.as_deref())
        }
        FailureCause::SourceOnSeveralDevices { partition, filesystem, volume } => {
            of_source(texts, "failure-several-devices", (*partition, *filesystem, volume.as_deref()))
        }
        FailureCause::ReadFailed { offset_bytes, detail } => {
            say("failure-read", &[("offset", &offset_bytes.to_string()), ("detail", detail)])
        }
        FailureCause::SourceUnreadable { offset_bytes, found, tolerated, detail } => {
            unreadable(texts, *offset_bytes, *found, *tolerated, detail)
        }
        FailureCause::WriteFailed { offset_bytes, detail } => {
            say("failure-write", &[("offset", &offset_bytes.to_string()), ("detail", detail)])
        }
        FailureCause::VerifyMismatch { offset_bytes, chunk } => {
            say("failure-verify", &[("offset", &offset_bytes.to_string()), ("chunk", &chunk.to_string())])
        }
        FailureCause::ChunkDamaged { chunk, detail } => {
            say("failure-chunk-damaged", &[("chunk", &chunk.to_string()), ("detail", detail)])
        }
        FailureCause::ChunkMissing { chunk } => {
            say("failure-chunk-missing", &[("chunk", &chunk.to_string())])
        }
        FailureCause::ManifestRefused { detail } => say("failure-manifest", &[("detail", detail)]),
        FailureCause::StoreFull { detail } => say("failure-store-full", &[("detail", detail)]),
        FailureCause::StoreFailed { detail } => say("failure-store", &[("detail", detail)]),
        FailureCause::ServerLost { detail } => say("failure-server-lost", &[("detail", detail)]),
        FailureCause::ClientLost { attempts } => {
            say("failure-client-lost", &[("attempts", &attempts.to_string())])
        }
        FailureCause::ClientSilent { boots } => {
            say("failure-client-silent", &[("boots", &boots.to_string())])
        }
        FailureCause::Tool { name, detail } => say("failure-tool", &[("name", name), ("detail", detail)]),
        FailureCause::Internal { detail } => say("failure-internal", &[("detail", detail)]),
    }
}

/// A pin that a person's rule or nothing but a need stands for says little of a disk: then there was none to begin
/// with.
fn missing(texts: &Texts, wanted: &DiskPin) -> String {
    match (&wanted.model, &wanted.serial) {
        (None, None) if wanted.wwn.is_none() => texts.say("failure-disk-none"),
        (None, Some(serial)) => texts.say_with("failure-disk-unknown", &[("serial", serial)]),
        _ => texts.say_with("failure-disk-missing", &[("disk", &disk(texts, wanted))]),
    }
}

fn too_small(texts: &Texts, needed_bytes: u64, actual_bytes: u64) -> String {
    let bytes = |count: u64| size::bytes(texts.language(), count);
    let values = [
        ("needed", &*bytes(needed_bytes)),
        ("needed_bytes", &needed_bytes.to_string()),
        ("actual", &bytes(actual_bytes)),
        ("actual_bytes", &actual_bytes.to_string()),
    ];
    texts.say_with("failure-disk-too-small", &values)
}

fn unreadable(
    texts: &Texts,
    offset_bytes: u64,
    found: u64,
    tolerated: BadSectorLimit,
    detail: &str,
) -> String {
    let key =
        if tolerated == BadSectorLimit::NONE { "failure-unreadable" } else { "failure-unreadable-more" };
    let values = [
        ("offset", &*offset_bytes.to_string()),
        ("found", &found.to_string()),
        ("tolerated", &tolerated.to_string()),
        ("detail", detail),
    ];
    texts.say_with(key, &values)
}

fn damaged(
    texts: &Texts,
    (partition, filesystem, volume): (u32, FileSystem, Option<&str>),
    detail: &str,
) -> String {
    let filesystem = found(texts, filesystem, volume);
    let values = [("of", &*of_place(texts, partition)), ("filesystem", &*filesystem), ("detail", detail)];
    texts.say_with("failure-source-damaged", &values)
}

/// What is wrong with a file system that was to be captured, where nothing but its name belongs into the sentence.
fn of_source(
    texts: &Texts,
    key: &str,
    (partition, filesystem, volume): (u32, FileSystem, Option<&str>),
) -> String {
    let (place, of) = (place(texts, partition), of_place(texts, partition));
    let filesystem = found(texts, filesystem, volume);
    texts.say_with(key, &[("place", &place), ("of", &of), ("filesystem", &filesystem)])
}

/// A partition, or the disk that one volume fills.
fn place(texts: &Texts, partition: u32) -> String {
    match partition {
        WHOLE_DISK => texts.say("source-disk"),
        partition => texts.say_with("source-partition", &[("partition", &partition.to_string())]),
    }
}

/// The same behind the word for "of", which French contracts.
fn of_place(texts: &Texts, partition: u32) -> String {
    match partition {
        WHOLE_DISK => texts.say("source-of-disk"),
        partition => texts.say_with("source-of-partition", &[("partition", &partition.to_string())]),
    }
}

/// A file system, and the volume of LVM that it is in, if any.
fn found(texts: &Texts, filesystem: FileSystem, volume: Option<&str>) -> String {
    let name = filesystem_name(filesystem);
    match volume {
        Some(volume) => texts.say_with("source-in-volume", &[("filesystem", name), ("volume", volume)]),
        None => name.to_owned(),
    }
}

fn group_elsewhere(texts: &Texts, partition: u32, group: Option<&str>) -> String {
    let place = place(texts, partition);
    match group {
        Some(group) => texts.say_with("failure-group-elsewhere", &[("place", &place), ("group", group)]),
        None => texts.say_with("failure-group-nameless", &[("place", &place)]),
    }
}

fn unclean_key(filesystem: FileSystem, reason: UncleanReason) -> &'static str {
    match reason {
        UncleanReason::Hibernated if filesystem == FileSystem::Swap => "failure-hibernated-linux",
        UncleanReason::Hibernated => "failure-hibernated",
        UncleanReason::Dirty => "failure-dirty",
        UncleanReason::JournalNotEmpty => "failure-journal",
    }
}

/// Only ext can take its journal back.
fn journal_elsewhere_key(filesystem: FileSystem) -> &'static str {
    match filesystem {
        FileSystem::Ext => "failure-journal-elsewhere",
        _ => "failure-journal-stays-elsewhere",
    }
}

/// A phase in words.
pub fn phase(texts: &Texts, phase: Phase) -> String {
    texts.say(match phase {
        Phase::Prepare => "phase-prepare",
        Phase::Read => "phase-read",
        Phase::Partition => "phase-partition",
        Phase::Write => "phase-write",
        Phase::Verify => "phase-verify",
        Phase::Grow => "phase-grow",
        Phase::Personalise => "phase-personalise",
        Phase::Finish => "phase-finish",
    })
}

/// A disk as a technician recognises it: model, serial number, size.
pub fn disk(texts: &Texts, pin: &DiskPin) -> String {
    let size = size::bytes(texts.language(), pin.size_bytes);
    let model = pin.model.as_deref().unwrap_or("?");
    match pin.serial.as_deref().or(pin.wwn.as_deref()) {
        Some(serial) => {
            texts.say_with("disk-with-serial", &[("model", model), ("serial", serial), ("size", &size)])
        }
        None => texts.say_with("disk-without-serial", &[("model", model), ("size", &size)]),
    }
}

/// A file system by the name it goes by.
pub fn filesystem_name(filesystem: FileSystem) -> &'static str {
    match filesystem {
        FileSystem::Ntfs => "NTFS",
        FileSystem::Ext => "ext4",
        FileSystem::Fat12 => "FAT12",
        FileSystem::Fat16 => "FAT16",
        FileSystem::Fat32 => "FAT32",
        FileSystem::ExFat => "exFAT",
        FileSystem::Xfs => "XFS",
        FileSystem::Btrfs => "Btrfs",
        FileSystem::F2fs => "F2FS",
        FileSystem::Swap => "swap",
        FileSystem::Lvm => "LVM",
        FileSystem::LinuxRaid => "Linux RAID",
        FileSystem::Luks => "LUKS",
        FileSystem::BitLocker => "BitLocker",
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::{
        bad_sectors::BadSectorLimit,
        chunk::ChunkId,
        disk::filesystem::FileSystem,
        failure::{FailureCause, UncleanReason},
        messages::{DiskPin, Language},
        text::texts,
        units::SectorSize,
    };

    /// One of each cause: the match in [`super::sentence`] keeps this list honest only together with the
    /// assertion that no sentence shows a bare key.
    fn every_cause() -> Vec<FailureCause> {
        let wanted = DiskPin {
            model: Some("Disk".into()),
            serial: Some("S1".into()),
            wwn: None,
            size_bytes: 512_110_190_592,
            logical_sector: SectorSize::B512,
        };
        let (partition, volume) = (3, None);
        let of_ntfs = FileSystem::Ntfs;
        let unclean =
            |reason| FailureCause::SourceUnclean { partition, filesystem: of_ntfs, volume: None, reason };
        let in_volume = || Some(String::from("debian/root"));
        let detail = || String::from("the detail");
        let unreadable = |found, tolerated| FailureCause::SourceUnreadable {
            offset_bytes: 4096,
            found,
            tolerated: BadSectorLimit::new(tolerated).expect("few"),
            detail: detail(),
        };
        vec![
            FailureCause::DiskMissing { wanted: wanted.clone() },
            FailureCause::DiskMissing { wanted: DiskPin { model: None, ..wanted.clone() } },
            FailureCause::DiskMissing { wanted: DiskPin { model: None, serial: None, ..wanted.clone() } },
            FailureCause::DiskAmbiguous { wanted, found: 2 },
            FailureCause::DiskTooSmall { needed_bytes: 2_000_000_000, actual_bytes: 1_000_000_000 },
            FailureCause::SectorSizeDiffers { master: SectorSize::B512, target: SectorSize::B4096 },
            FailureCause::DiskBusy { holder: "md0".into() },
            FailureCause::SourceTable { detail: detail() },
            unclean(UncleanReason::Hibernated),
            unclean(UncleanReason::Dirty),
            unclean(UncleanReason::JournalNotEmpty),
            FailureCause::SourceUnclean {
                partition,
                filesystem: FileSystem::Swap,
                volume: in_volume(),
                reason: UncleanReason::Hibernated,
            },
            FailureCause::SourceJournalElsewhere {
                partition,
                filesystem: FileSystem::Ext,
                volume: in_volume(),
            },
            FailureCause::SourceJournalElsewhere { partition, filesystem: FileSystem::Xfs, volume: None },
            FailureCause::SourceFilesElsewhere { partition, filesystem: FileSystem::Xfs, volume: None },
            FailureCause::SourceOnSeveralDevices { partition, filesystem: FileSystem::Btrfs, volume },
            FailureCause::SourceOnSeveralDevices {
                partition,
                filesystem: FileSystem::Lvm,
                volume: Some("debian".into()),
            },
            FailureCause::SourceOnSeveralDevices { partition, filesystem: FileSystem::Lvm, volume: None },
            FailureCause::SourceDamaged {
                partition,
                filesystem: FileSystem::Ext,
                volume: in_volume(),
                detail: detail(),
            },
            FailureCause::ReadFailed { offset_bytes: 4096, detail: detail() },
            unreadable(1, 0),
            unreadable(9, 8),
            FailureCause::WriteFailed { offset_bytes: 4096, detail: detail() },
            FailureCause::VerifyMismatch { offset_bytes: 4096, chunk: ChunkId([1; 32]) },
            FailureCause::ChunkDamaged { chunk: ChunkId([1; 32]), detail: detail() },
            FailureCause::ChunkMissing { chunk: ChunkId([1; 32]) },
            FailureCause::ManifestRefused { detail: detail() },
            FailureCause::StoreFull { detail: detail() },
            FailureCause::StoreFailed { detail: detail() },
            FailureCause::ServerLost { detail: detail() },
            FailureCause::ClientLost { attempts: 3 },
            FailureCause::ClientSilent { boots: 5 },
            FailureCause::Tool { name: "efibootmgr".into(), detail: detail() },
            FailureCause::Internal { detail: detail() },
        ]
    }

    #[test]
    fn every_failure_is_a_whole_sentence_in_both_languages() {
        for language in [Language::Fr, Language::En] {
            for cause in every_cause() {
                let sentence = sentence(texts(language), &cause);
                assert!(
                    !sentence.starts_with("failure-") && !sentence.contains("{"),
                    "{cause:?}: {sentence}"
                );
                assert!(sentence.ends_with('.'), "{cause:?}: {sentence}");
            }
        }
    }

    #[test]
    fn a_volume_that_fills_a_disk_is_in_no_partition() {
        let unclean = |partition, filesystem, reason| FailureCause::SourceUnclean {
            partition,
            filesystem,
            volume: None,
            reason,
        };
        let (ext, lvm) = (FileSystem::Ext, FileSystem::Lvm);
        let of = |partition| {
            [
                unclean(partition, ext, UncleanReason::Dirty),
                unclean(partition, ext, UncleanReason::JournalNotEmpty),
                unclean(partition, FileSystem::Ntfs, UncleanReason::Hibernated),
                unclean(partition, FileSystem::Swap, UncleanReason::Hibernated),
                FailureCause::SourceJournalElsewhere { partition, filesystem: ext, volume: None },
                FailureCause::SourceJournalElsewhere { partition, filesystem: FileSystem::Xfs, volume: None },
                FailureCause::SourceFilesElsewhere { partition, filesystem: FileSystem::Xfs, volume: None },
                FailureCause::SourceOnSeveralDevices {
                    partition,
                    filesystem: FileSystem::Btrfs,
                    volume: None,
                },
                FailureCause::SourceOnSeveralDevices { partition, filesystem: lvm, volume: Some("g".into()) },
                FailureCause::SourceOnSeveralDevices { partition, filesystem: lvm, volume: None },
                FailureCause::SourceDamaged { partition, filesystem: ext, volume: None, detail: "x".into() },
            ]
        };
        for (language, disk, partition) in
            [(Language::En, "the disk", "partition 7"), (Language::Fr, "le disque", "la partition 7")]
        {
            let sentences = |number| of(number).map(|cause| sentence(texts(language), &cause));
            for (of_disk, of_partition) in sentences(0).iter().zip(sentences(7)) {
                let names_disk = of_disk.contains(disk) || of_disk.contains("du disque");
                assert!(names_disk && !of_disk.contains('0') && !of_disk.contains("artition 7"), "{of_disk}");
                assert!(of_partition.contains(partition), "{of_partition}");
            }
        }
    }

    #[test]
    fn a_technician_reads_which_volume_is_meant() {
        let cause = |volume: Option<&str>| FailureCause::SourceUnclean {
            partition: 2,
            filesystem: FileSystem::Ext,
            volume: volume.map(str::to_owned),
            reason: UncleanReason::JournalNotEmpty,
        };
        for (language, expected) in [
            (Language::En, "The file system of partition 2 (ext4 in the volume debian/root)"),
            (Language::Fr, "Le système de fichiers de la partition 2 (ext4 dans le volume debian/root)"),
        ] {
            let sentence = |volume| sentence(texts(language), &cause(volume));
            assert!(sentence(Some("debian/root")).starts_with(expected), "{}", sentence(Some("debian/root")));
            assert!(!sentence(None).contains("volume"), "{}", sentence(None));
        }
    }

    #[test]
    fn a_disk_that_is_too_small_is_refused_with_both_numbers() {
        let cause = FailureCause::DiskTooSmall { needed_bytes: 2_000_000_000, actual_bytes: 1_000_000_000 };
        let sentence = sentence(texts(Language::En), &cause);
        assert!(sentence.contains("2000000000") && sentence.contains("1000000000"), "{sentence}");
    }
}
