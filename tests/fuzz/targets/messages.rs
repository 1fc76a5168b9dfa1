//! The JSON that client and server send each other.

use std::fmt::Debug;

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    chunk::{ChunkId, ChunkSize},
    disk::filesystem::FileSystem,
    failure::{Failure, FailureCause},
    ids::{ComputerId, MacAddr, Secret, SessionId, VersionNumber},
    machine::{
        DiskReport, FirmwareMode, Identity, MachineReport, NicReport, PartitionReport, Processor, SecureBoot,
        disk_facts::DiskFacts,
    },
    manifest::ManifestRoot,
    messages::{
        CaptureOrder, ChunkList, DeployOrder, DiskPin, Heartbeat, HeartbeatReply, Hello, Language, Orders,
        Outcome, Phase, PhaseTime, Progress, VersionQuestion, VersionReply, Welcome,
    },
    text::{failure, texts},
    units::{Extent, MIB, SectorSize},
};
use mimeo_server::inventory::name::ComputerName;
use serde::{Serialize, de::DeserializeOwned};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "messages",
    whose: "a client that says anything; a server that answers anything",
    check,
    seeds,
    words: &[
        b"\"protocol\":1",
        b"\"token\":\"",
        b"\"do\":\"deploy\"",
        b"\"is\":\"missing\"",
        b"\"cause\":\"",
        b"\"system_uuid\":",
        b"18446744073709551615",
        b"null",
        b"\\ud800",
    ],
    input_bytes_max: 4096,
    memory_bytes_max: 4 << 20,
};

/// The first byte says which message the rest is. What is accepted is said again in the same words.
fn check(input: &[u8]) {
    let Some((kind, body)) = input.split_first() else { return };
    match kind % 9 {
        0 => {
            if let Some(hello) = repeat::<Hello>(body) {
                let facts = hello.report.identity.facts();
                let all = [facts.system_uuid, facts.system_serial, facts.board_serial, facts.chassis_serial];
                assert!(all.iter().flatten().all(|fact| fact.trim() == fact && !fact.is_empty()), "{all:?}");
                let name = ComputerName::suggest(&hello.report, MacAddr([0x52, 0x54, 0, 1, 2, 3]));
                for name in [name.numbered(u32::MAX), name] {
                    assert_eq!(name.as_str().parse().as_ref(), Ok(&name), "a computer is called by no name");
                }
            }
        }
        1 => drop(repeat::<Welcome>(body)),
        2 => drop(repeat::<Orders>(body)),
        3 => drop(repeat::<Heartbeat>(body)),
        4 => drop(repeat::<HeartbeatReply>(body)),
        5 => {
            if let Some(Outcome { failure: Some(Failure { cause, .. }), .. }) = repeat::<Outcome>(body) {
                for language in [Language::En, Language::Fr] {
                    assert!(!failure::sentence(texts(language), &cause).is_empty());
                }
            }
        }
        6 => drop(repeat::<ChunkList>(body)),
        7 => drop(repeat::<VersionReply>(body)),
        _ => drop(repeat::<VersionQuestion>(body)),
    }
}

/// Reads a message, writes it and reads it again.
fn repeat<T: Serialize + DeserializeOwned + Debug>(body: &[u8]) -> Option<T> {
    let message: T = serde_json::from_slice(body).ok()?;
    let said = serde_json::to_vec(&message).expect("a message can be written");
    let again: T = serde_json::from_slice(&said).expect("what was written can be read");
    assert_eq!(serde_json::to_vec(&again).expect("a message can be written"), said);
    Some(message)
}

fn seeds() -> Vec<Vec<u8>> {
    let secret = Secret::from_random([7; 32]);
    let (session, root) = (SessionId(3), ManifestRoot::of(b"a manifest"));
    let pin = DiskPin {
        model: Some("QEMU HARDDISK".into()),
        serial: Some("S1".into()),
        wwn: None,
        size_bytes: 16 * MIB,
        logical_sector: SectorSize::B512,
    };
    let capture = Orders::Capture(CaptureOrder {
        session,
        master_name: "debian-12".into(),
        source: pin.clone(),
        chunk_size: ChunkSize::DEFAULT,
        tolerate_bad_sectors: BadSectorLimit::new(8).expect("few"),
    });
    let deploy = Orders::Deploy(DeployOrder {
        session,
        master_name: "debian-12".into(),
        version: VersionNumber(2),
        manifest_root: root,
        manifest_key: [9; 32],
        target: pin.clone(),
        verify: true,
    });
    let failures = [
        FailureCause::DiskMissing { wanted: pin },
        FailureCause::DiskTooSmall { needed_bytes: 9 * MIB, actual_bytes: MIB },
        FailureCause::VerifyMismatch { offset_bytes: 512, chunk: ChunkId([1; 32]) },
    ];
    let outcome = |cause| {
        let failure = Some(Failure { phase: Phase::Write, cause });
        seed(
            5,
            &Outcome {
                progress: Progress::default(),
                phases: vec![PhaseTime { phase: Phase::Write, ms: 7 }],
                failure,
            },
        )
    };
    let welcome = Welcome {
        credential: secret.clone(),
        computer: ComputerId(1),
        computer_name: "pc-17".into(),
        language: Language::Fr,
        orders: Orders::Wait,
    };
    let list = ChunkList { ids: vec![ChunkId([2; 32])] };
    let mut seeds = vec![
        seed(0, &Hello { protocol: 1, token: secret, report: report() }),
        seed(1, &welcome),
        seed(2, &capture),
        seed(2, &deploy),
        seed(3, &Heartbeat { phase: Phase::Read, progress: Progress::default() }),
        seed(4, &HeartbeatReply::Stop),
        seed(6, &list),
        seed(7, &VersionReply::Published { version: VersionNumber(1), root }),
        seed(7, &VersionReply::Missing(list)),
        seed(7, &VersionReply::ManifestWanted),
        seed(8, &VersionQuestion { root }),
    ];
    seeds.extend(failures.map(outcome));
    seeds
}

fn seed(kind: u8, message: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![kind];
    serde_json::to_writer(&mut bytes, message).expect("a message can be written");
    bytes
}

fn report() -> MachineReport {
    let partition = PartitionReport {
        number: 1,
        place: Extent { start_bytes: MIB, length_bytes: MIB },
        name: "root".into(),
        filesystem: Some(FileSystem::Ext),
    };
    let disk = DiskReport {
        facts: DiskFacts {
            kernel_name: "sda".into(),
            model: Some("QEMU HARDDISK".into()),
            serial: Some("S1".into()),
            wwn: None,
            size_bytes: 16 * MIB,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
            removable: false,
            transport: Some("sata".into()),
            rotational: false,
        },
        partitions: vec![partition],
    };
    let nic = NicReport {
        kernel_name: "eth0".into(),
        mac: MacAddr([0x52, 0x54, 0, 1, 2, 3]),
        driver: Some("e1000".into()),
        usb: false,
        speed_mbps: Some(1000),
        booted: true,
    };
    MachineReport {
        identity: Identity {
            system_uuid: Some("4c4c4544-0044-3510-8052-b4c04f564432".into()),
            system_serial: Some("To be filled by O.E.M.".into()),
            ..Identity::default()
        },
        firmware: FirmwareMode::Uefi,
        secure_boot: SecureBoot::On,
        processor: Processor { model: "QEMU Virtual CPU".into(), threads: 2 },
        memory_bytes: 2 << 30,
        disks: vec![disk],
        nics: vec![nic],
    }
}
