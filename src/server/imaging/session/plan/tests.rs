use mimeo_core::{
    failure::FailureCause,
    machine::{
        DiskReport, FirmwareMode, Identity, MachineReport, PartitionReport, Processor, SecureBoot,
        disk_facts::DiskFacts,
    },
    messages::DiskPin,
    units::{Extent, SectorSize},
};
use proptest::{
    prelude::{Strategy, any, prop, proptest},
    sample::select,
};

use super::{DiskRule, Need, Plan, confirm, plan, preview_erase};

const GB: u64 = 1_000_000_000;

/// A fixed disk; the tests change what matters to them.
pub(crate) fn disk(serial: &str, size_bytes: u64) -> DiskReport {
    DiskReport {
        facts: DiskFacts {
            kernel_name: "sda".into(),
            model: Some("Model".into()),
            serial: (!serial.is_empty()).then(|| serial.to_owned()),
            wwn: None,
            size_bytes,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
            removable: false,
            transport: Some("sata".into()),
            rotational: false,
        },
        partitions: Vec::new(),
    }
}

fn with(mut disk: DiskReport, change: impl FnOnce(&mut DiskFacts)) -> DiskReport {
    change(&mut disk.facts);
    disk
}

/// A machine with these disks.
pub(crate) fn report(disks: Vec<DiskReport>) -> MachineReport {
    MachineReport {
        identity: Identity::default(),
        firmware: FirmwareMode::Uefi,
        secure_boot: SecureBoot::Off,
        processor: Processor::default(),
        memory_bytes: 0,
        disks,
        nics: Vec::new(),
    }
}

fn target(min_bytes: u64) -> Need {
    Need::Target { min_bytes, sector: SectorSize::B512 }
}

fn rule(text: &str) -> DiskRule {
    text.parse().expect("a rule")
}

#[test]
fn the_only_disk_is_meant_and_several_are_a_question() {
    let (one, two) = (disk("A", 256 * GB), disk("B", GB));
    assert_eq!(plan(&report(vec![one.clone()]), Need::Source, None), Plan::Pinned(one.facts.pin()));
    let both = report(vec![one.clone(), two.clone()]);
    assert_eq!(plan(&both, Need::Source, None), Plan::Ask(vec![one.facts.pin(), two.facts.pin()]));
    // Only one would fit: still a question, with that one as its only answer.
    assert_eq!(plan(&both, target(2 * GB), None), Plan::Ask(vec![one.facts.pin()]));
}

#[test]
fn removable_disks_are_never_chosen_not_even_by_a_rule() {
    let stick = with(disk("STICK", 64 * GB), |facts| facts.removable = true);
    let audio = with(disk("AUDIO", GB / 10), |facts| facts.transport = Some("usb".into()));
    let nvme = disk("NVME", 256 * GB);
    let all = report(vec![audio.clone(), stick.clone(), nvme.clone()]);
    assert_eq!(plan(&all, target(GB), None), Plan::Pinned(nvme.facts.pin()));
    for removable in [&stick, &audio] {
        let refused =
            plan(&all, Need::Source, Some(&rule(removable.facts.serial.as_deref().expect("a serial"))));
        assert!(matches!(refused, Plan::Impossible(FailureCause::DiskMissing { .. })), "{refused:?}");
        let refused = confirm(&all, &removable.facts.pin());
        assert!(matches!(refused, Plan::Impossible(FailureCause::DiskMissing { .. })), "{refused:?}");
    }
    let nothing = plan(&report(vec![stick]), Need::Source, None);
    assert!(matches!(nothing, Plan::Impossible(FailureCause::DiskMissing { .. })), "{nothing:?}");
}

#[test]
fn a_rule_names_a_disk_by_serial_or_wwn_and_nothing_stands_in_for_it() {
    let ssd = with(disk("S3Z9", 256 * GB), |facts| facts.wwn = Some("naa.5000C500A1B2C3D4".into()));
    let both = report(vec![disk("OTHER", 256 * GB), ssd.clone()]);
    for text in ["S3Z9", "s3z9", " S3Z9 ", "0x5000c500a1b2c3d4", "naa.5000c500a1b2c3d4", "5000c500a1b2c3d4"] {
        assert_eq!(plan(&both, target(GB), Some(&rule(text))), Plan::Pinned(ssd.facts.pin()), "{text}");
    }
    // The pinned disk died; the other one must not take its place.
    let missing = plan(&report(vec![disk("OTHER", 256 * GB)]), target(GB), Some(&rule("S3Z9")));
    let wanted =
        DiskPin { serial: Some("S3Z9".into()), model: None, size_bytes: GB, ..disk("", 0).facts.pin() };
    assert_eq!(missing, Plan::Impossible(FailureCause::DiskMissing { wanted }));
    assert!("".parse::<DiskRule>().is_err());
    assert!("0x".parse::<DiskRule>().is_err());
    assert!("x".repeat(129).parse::<DiskRule>().is_err());
}

#[test]
fn a_disk_that_does_not_fit_is_refused_with_the_numbers() {
    let small = report(vec![disk("A", 10 * GB)]);
    let too_small = FailureCause::DiskTooSmall { needed_bytes: 20 * GB, actual_bytes: 10 * GB };
    assert_eq!(plan(&small, target(20 * GB), None), Plan::Impossible(too_small.clone()));
    assert_eq!(plan(&small, target(20 * GB), Some(&rule("A"))), Plan::Impossible(too_small));
    let exact = plan(&small, target(10 * GB), None);
    assert!(matches!(exact, Plan::Pinned(_)), "{exact:?}");

    let native = with(disk("A", 10 * GB), |facts| facts.logical_sector = SectorSize::B4096);
    let differs = FailureCause::SectorSizeDiffers { master: SectorSize::B512, target: SectorSize::B4096 };
    assert_eq!(plan(&report(vec![native]), target(GB), None), Plan::Impossible(differs));

    let two_small = report(vec![disk("A", 10 * GB), disk("B", 12 * GB)]);
    let largest = FailureCause::DiskTooSmall { needed_bytes: 20 * GB, actual_bytes: 12 * GB };
    assert_eq!(plan(&two_small, target(20 * GB), None), Plan::Impossible(largest));
}

#[test]
fn twins_without_a_serial_cannot_be_chosen() {
    let twins = report(vec![disk("", GB), disk("", GB)]);
    match plan(&twins, Need::Source, None) {
        Plan::Impossible(FailureCause::DiskAmbiguous { found, .. }) => assert_eq!(found, 2),
        other => panic!("{other:?}"),
    }
    let with_third = report(vec![disk("", GB), disk("", GB), disk("C", GB)]);
    assert_eq!(plan(&with_third, Need::Source, None), Plan::Ask(vec![disk("C", GB).facts.pin()]));
    let ambiguous = confirm(&twins, &disk("", GB).facts.pin());
    assert!(matches!(ambiguous, Plan::Impossible(FailureCause::DiskAmbiguous { found: 2, .. })));
}

#[test]
fn the_preview_shows_what_stands_on_each_disk_that_may_be_erased() {
    let place = Extent { start_bytes: 1 << 20, length_bytes: GB };
    let partition = PartitionReport { number: 1, place, name: "Windows".into(), filesystem: None };
    let full = DiskReport { partitions: vec![partition.clone()], ..disk("A", 256 * GB) };
    let computer = report(vec![full, disk("B", GB)]);
    let previews = preview_erase(&computer, &plan(&computer, target(GB), None));
    assert_eq!(previews.len(), 2);
    assert_eq!(previews[0].partitions, [partition]);
    assert_eq!(
        preview_erase(&computer, &plan(&computer, target(GB), Some(&rule("B"))))[0].pin.size_bytes,
        GB
    );
    assert!(preview_erase(&computer, &plan(&computer, target(1000 * GB), None)).is_empty());
}

fn any_disk() -> impl Strategy<Value = DiskReport> {
    (select(vec!["", "A", "B"]), select(vec![0, GB, 2 * GB]), any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(serial, size_bytes, removable, usb, native)| {
            with(disk(serial, size_bytes), |facts| {
                facts.removable = removable;
                facts.transport = Some(if usb { "usb" } else { "nvme" }.into());
                facts.logical_sector = if native { SectorSize::B4096 } else { SectorSize::B512 };
            })
        })
}

proptest! {
    #[test]
    fn whatever_is_pinned_is_one_fixed_disk_that_fits(
        disks in prop::collection::vec(any_disk(), 0..5),
        min_bytes in select(vec![1, GB, 2 * GB]),
        rule in select(vec![None, Some("A"), Some("B")]),
    ) {
        let computer = report(disks);
        let rule = rule.map(|text| text.parse::<DiskRule>().expect("a rule"));
        let pins = match plan(&computer, target(min_bytes), rule.as_ref()) {
            Plan::Pinned(pin) => {
                let fixed = computer.disks.iter().filter(|disk| disk.facts.is_fixed()).count();
                assert!(rule.is_some() || fixed == 1);
                vec![pin]
            }
            Plan::Ask(pins) => pins,
            Plan::Impossible(_) => vec![],
        };
        for pin in pins {
            assert!(pin.size_bytes >= min_bytes && pin.logical_sector == SectorSize::B512);
            assert_eq!(confirm(&computer, &pin), Plan::Pinned(pin.clone()));
            assert!(rule.as_ref().is_none_or(|rule| Some(rule.as_str()) == pin.serial.as_deref()));
        }
    }
}
