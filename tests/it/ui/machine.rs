//! A machine that boots into the client and works on what it is told, without a disk.

use mimeo_core::{
    chunk::ChunkSize,
    disk::{
        filesystem::FileSystem,
        table::{PartitionTable, Scheme},
    },
    failure::Failure,
    ids::{ComputerId, MacAddr, Secret, SessionId},
    machine::{DiskReport, Identity, MachineReport, PartitionReport, disk_facts::DiskFacts},
    manifest::{Content, DiskGeometry, Manifest, Region, RegionKind, Run},
    messages::{
        Heartbeat, HeartbeatReply, Hello, Orders, Outcome, PROTOCOL_VERSION, Phase, PhaseTime, Progress,
        Welcome, paths,
    },
    units::{Extent, SectorSize},
};
use mimeo_server::{
    clock::Timestamp,
    imaging::{
        keys::load_signing_key,
        publish::{Origin, Publication, publish_version},
    },
    inventory::boot_token::{Purpose, mint},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::api::house::{House, report};

pub(super) const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xa]);

pub(super) const GIB: u64 = 1 << 30;

/// Of the master that [`publish`] makes.
pub(super) const MASTER_BYTES: u64 = 64 * GIB;

pub(super) struct Machine {
    pub(super) computer: ComputerId,
    credential: Secret,
}

impl Machine {
    /// Boots into the client for the first time.
    pub(super) async fn boot(house: &House, mac: MacAddr, report: MachineReport) -> Self {
        let token =
            mint(&house.services.pool, mac, Purpose::Register, Timestamp::now()).await.expect("minted");
        let hello = Hello { protocol: PROTOCOL_VERSION, token, report };
        let request = house.network().post(house.url(paths::HELLO)).json(&hello);
        let welcome: Welcome = request.send().await.expect("an answer").json().await.expect("a welcome");
        Self { computer: welcome.computer, credential: welcome.credential }
    }

    pub(super) async fn orders(&self, house: &House) -> Orders {
        self.post(house, paths::ORDERS, &()).await
    }

    /// Says how far it has come, of a hundred.
    pub(super) async fn heartbeat(&self, house: &House, session: SessionId, phase: Phase, percent: u64) {
        let heartbeat = Heartbeat { phase, progress: progress(percent) };
        let path = paths::of_session(paths::HEARTBEAT, session);
        let reply: HeartbeatReply = self.post(house, &path, &heartbeat).await;
        assert_eq!(reply, HeartbeatReply::GoOn);
    }

    pub(super) async fn fail(&self, house: &House, session: SessionId, failure: Failure) {
        let failure = Some(failure);
        let path = paths::of_session(paths::OUTCOME, session);
        let _next: Orders =
            self.post(house, &path, &Outcome { progress: progress(40), phases: Vec::new(), failure }).await;
    }

    pub(super) async fn succeed(&self, house: &House, session: SessionId) {
        let path = paths::of_session(paths::OUTCOME, session);
        let phases = [(Phase::Write, 120_000), (Phase::Verify, 40_000)];
        let phases = phases.map(|(phase, ms)| PhaseTime { phase, ms }).to_vec();
        let outcome = Outcome { progress: progress(100), phases, failure: None };
        let _next: Orders = self.post(house, &path, &outcome).await;
    }

    async fn post<T: DeserializeOwned>(&self, house: &House, path: &str, body: &impl Serialize) -> T {
        let request = house.network().post(house.url(path)).bearer_auth(self.credential.reveal()).json(body);
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let bytes = answer.bytes().await.expect("a body");
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| panic!("{path}: {status} {error}: {}", String::from_utf8_lossy(&bytes)))
    }
}

fn progress(percent: u64) -> Progress {
    let done_bytes = 20_000_000_000 * percent / 100;
    Progress {
        done_bytes,
        total_bytes: 20_000_000_000,
        read_bytes: 0,
        written_bytes: done_bytes,
        sent_bytes: 120_000,
        received_bytes: done_bytes / 3,
        carried_bytes: 21_000_000_000,
        compared_bytes: 21_000_000_000,
        kept_bytes: 1_000_000_000,
        ..Progress::default()
    }
}

/// A PC as they are sold, with these disks.
pub(super) fn workstation(mac: MacAddr, serial: &str, disks: Vec<DiskReport>) -> MachineReport {
    let mut report = report(mac, &[]);
    report.identity = Identity {
        system_uuid: Some("4c4c4544-0044-3510-8052-b4c04f56440a".into()),
        system_serial: Some(serial.into()),
        manufacturer: Some("Dell Inc.".into()),
        model: Some("OptiPlex 7090".into()),
        ..Identity::default()
    };
    report.processor.model = "Intel(R) Core(TM) i5-10505 CPU @ 3.20GHz".into();
    report.processor.threads = 12;
    report.disks = disks;
    report
}

/// A disk with Windows on it.
pub(super) fn disk(serial: Option<&str>, size_bytes: u64) -> DiskReport {
    let partition = |number, name: &str, start_bytes, length_bytes, filesystem| PartitionReport {
        number,
        place: Extent { start_bytes, length_bytes },
        name: name.into(),
        filesystem,
    };
    DiskReport {
        facts: DiskFacts {
            kernel_name: "nvme0n1".into(),
            model: Some("Samsung SSD 980".into()),
            serial: serial.map(str::to_owned),
            wwn: None,
            size_bytes,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
            removable: false,
            transport: Some("nvme".into()),
            rotational: false,
        },
        partitions: vec![
            partition(1, "EFI system partition", 1 << 20, 100 << 20, Some(FileSystem::Fat32)),
            partition(2, "Microsoft reserved partition", 101 << 20, 16 << 20, None),
            partition(3, "Basic data partition", 117 << 20, size_bytes - (200 << 20), Some(FileSystem::Ntfs)),
        ],
    }
}

/// Lists a version of a master in which nothing but a few zeros is in use.
pub(super) async fn publish(house: &House, master: &str) {
    publish_with(house, master, RegionKind::BootArea, None).await;
}

/// As [`publish`], of a disk whose one region is `kind` and is carried byte by byte though it was recognised.
pub(super) async fn publish_with(house: &House, master: &str, kind: RegionKind, found: Option<FileSystem>) {
    let services = &house.services;
    let length_bytes = MASTER_BYTES - (1 << 20);
    let manifest = Manifest {
        disk: DiskGeometry {
            size_bytes: MASTER_BYTES,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
        },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable {
            scheme: Scheme::Gpt { disk_guid: [7; 16], entry_count: 128, entry_bytes: 128 },
            partitions: vec![],
        },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes },
            kind,
            content: Content::Raw { found },
            runs: vec![
                Run::Zero(8),
                Run::DontCare((length_bytes / u64::from(ChunkSize::DEFAULT.bytes_u32())) as u32 - 8),
            ],
        }],
        unread: vec![],
    };
    let origin = Origin {
        master: master.parse().expect("a name"),
        description: String::new(),
        computer: None,
        session: None,
        stored_bytes: 0,
        provenance: None,
    };
    let key = load_signing_key(&services.pool).await.expect("a key");
    let now = Timestamp::now();
    let published =
        publish_version(&services.store, &services.pool, &key, &manifest, &origin, now, &|_| ()).await;
    assert!(matches!(published, Ok(Publication::Published(_))), "{published:?}");
}
