//! A server on a folder of its own, and clients without machines.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{Request, StatusCode, header::AUTHORIZATION},
    response::Response,
};
use bytes::Bytes;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, seal},
    disk::table::{PartitionTable, Scheme},
    failure::Failure,
    ids::{ComputerId, MacAddr, Secret, SessionId},
    machine::{DiskReport, MachineReport, disk_facts::DiskFacts},
    manifest::{Content, DiskGeometry, Manifest, ManifestRoot, Region, RegionKind, Run, SignedManifest},
    messages::{
        ChunkList, Heartbeat, HeartbeatReply, Hello, Language, Orders, Outcome, PROTOCOL_VERSION, Phase,
        Progress, VersionQuestion, VersionReply, Welcome, paths, records,
    },
    units::{Extent, SectorSize},
};
use serde::{Serialize, de::DeserializeOwned};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    api::client::{ClientApi, answers::AnswerRoom},
    clock::Timestamp,
    db,
    events::Events,
    imaging::{
        keys::load_signing_key,
        master::MasterName,
        session::State,
        store::{Store, StoreOptions, backend::Backend},
    },
    inventory::{
        boot_token::{Purpose, mint},
        computer::tests::report,
    },
    wiring::{Services, requests::RequestError},
};

pub(super) const MAC_A: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xa]);
pub(super) const MAC_B: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xb]);
pub(super) const ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 4321);
pub(super) const PAYLOAD: &[u8] = b"the second part";
pub(super) const CHUNK_BYTES: usize = ChunkSize::DEFAULT.bytes_u32() as usize;
pub(super) const DISK_BYTES: u64 = 4 << 20;

pub(super) struct House {
    pub(super) services: Services,
    router: Router,
    folder: Arc<TempDir>,
    reserve_bytes: u64,
    answers: AnswerRoom,
}

/// A client after its welcome.
#[derive(Clone)]
pub(super) struct Client {
    router: Router,
    pub(super) credential: Secret,
    pub(super) computer: ComputerId,
    pub(super) welcomed: Orders,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{}: {error}: {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

impl House {
    pub(super) async fn new() -> Self {
        Self::with_reserve(0).await
    }

    /// A server whose store leaves so much of its disk free.
    pub(super) async fn with_reserve(reserve_bytes: u64) -> Self {
        Self::open(Arc::new(tempfile::tempdir().expect("a folder")), reserve_bytes, AnswerRoom::new()).await
    }

    /// A server with so much memory for answers.
    pub(super) async fn with_answers(answers: AnswerRoom) -> Self {
        Self::open(Arc::new(tempfile::tempdir().expect("a folder")), 0, answers).await
    }

    async fn open(folder: Arc<TempDir>, reserve_bytes: u64, answers: AnswerRoom) -> Self {
        let pool = db::open(&folder.path().join("mimeo.db")).await.expect("a database");
        let backend = Backend::folder(&folder.path().join("store")).expect("a backend");
        let options = StoreOptions { reserve_bytes, ..StoreOptions::default() };
        let store = Store::open(backend, options).await.expect("a store");
        let key = load_signing_key(&pool).await.expect("a key");
        let services = Services::new(pool, Events::new(), store, key);
        let logs = folder.path().join("logs");
        std::fs::create_dir_all(&logs).expect("a folder");
        let payload = Bytes::from_static(PAYLOAD);
        let api = ClientApi::with(services.clone(), payload, Language::En, logs, answers.clone());
        Self { services, router: api.router(), folder, reserve_bytes, answers }
    }

    /// What a killed server leaves, opened by the next; and the client, whose connection now reaches that one.
    pub(super) async fn restart(self, client: Client) -> (Self, Client) {
        let Self { services, router, folder, reserve_bytes, answers } = self;
        let Client { router: connection, credential, computer, welcomed } = client;
        services.pool.close().await;
        // The store's folder is in use for as long as anybody can reach it.
        drop((services, router, connection));
        let house = Self::open(folder, reserve_bytes, answers).await;
        house.services.sessions.resume_after_start(Timestamp::now()).await.expect("resumed");
        let client = Client { router: house.router.clone(), credential, computer, welcomed };
        (house, client)
    }

    pub(super) async fn boot(&self, mac: MacAddr) -> Client {
        self.boot_as(mac, machine(mac)).await
    }

    pub(super) async fn boot_with_two_disks(&self, mac: MacAddr) -> Client {
        let mut report = machine(mac);
        report.disks.push(disk("SECOND"));
        self.boot_as(mac, report).await
    }

    pub(super) async fn boot_as(&self, mac: MacAddr, report: MachineReport) -> Client {
        let token =
            mint(&self.services.pool, mac, Purpose::Register, Timestamp::now()).await.expect("minted");
        let hello = Hello { protocol: PROTOCOL_VERSION, token, report };
        let welcome: Welcome = self.post_json(None, paths::HELLO, &hello).await.json();
        let Welcome { credential, computer, orders: welcomed, .. } = welcome;
        Client { router: self.router.clone(), credential, computer, welcomed }
    }

    pub(super) async fn request_capture(&self, computer: ComputerId) -> SessionId {
        let name: MasterName = "debian".parse().expect("a name");
        let session = self.services.request_capture(computer, name, None, None, Timestamp::now()).await;
        session.expect("requested").id
    }

    pub(super) async fn request_deploy(
        &self,
        computer: ComputerId,
        master: &str,
    ) -> Result<SessionId, RequestError> {
        let master = master.parse().expect("a master");
        Ok(self.services.request_deploy(computer, &master, None, None, Timestamp::now()).await?.id)
    }

    /// A whole capture of a disk with this content.
    pub(super) async fn capture(&self, client: &Client, seed: u8) {
        let session = self.request_capture(client.computer).await;
        client.orders().await;
        client.upload(session, &disk_content(seed)).await;
        let reply = client.hand_in(session, &manifest_of(&disk_content(seed)).encode()).await;
        assert!(matches!(reply, VersionReply::Published { .. }), "{reply:?}");
        client.outcome(session, None).await;
    }

    pub(super) async fn state(&self, session: SessionId) -> State {
        self.services.sessions.load(session).await.expect("loaded").state
    }

    pub(super) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("logs").join(name)).expect("a log")
    }

    /// Changes a byte inside the first chunk of every pack, as a dying disk would.
    pub(super) fn damage_packs(&self) {
        let packs = files_below(self.folder.path().join("store/packs"));
        assert!(!packs.is_empty());
        for pack in packs {
            let mut bytes = std::fs::read(&pack).expect("a pack");
            let first = bytes.windows(4).position(|window| window == b"MCHK").expect("a record");
            bytes[first + records::HEADER_BYTES + 20] ^= 0x40;
            std::fs::write(&pack, bytes).expect("damaged");
        }
    }

    pub(super) async fn post_json(
        &self,
        credential: Option<&Secret>,
        path: &str,
        body: &impl Serialize,
    ) -> Answer {
        self.send(credential, path, serde_json::to_vec(body).expect("json")).await
    }

    pub(super) async fn send(&self, credential: Option<&Secret>, path: &str, body: Vec<u8>) -> Answer {
        let method = if path.ends_with("/manifest") { "GET" } else { "POST" };
        send(&self.router, credential, method, path, body).await
    }

    pub(super) async fn get(&self, credential: Option<&Secret>, path: &str) -> Answer {
        send(&self.router, credential, "GET", path, Vec::new()).await
    }
}

impl Client {
    pub(super) async fn orders(&self) -> Orders {
        send(&self.router, Some(&self.credential), "POST", paths::ORDERS, Vec::new()).await.json()
    }

    pub(super) async fn post(&self, session: SessionId, path: &str, body: Vec<u8>) -> Answer {
        send(&self.router, Some(&self.credential), "POST", &paths::of_session(path, session), body).await
    }

    async fn post_json<T: DeserializeOwned>(
        &self,
        session: SessionId,
        path: &str,
        body: &impl Serialize,
    ) -> T {
        self.post(session, path, serde_json::to_vec(body).expect("json")).await.json()
    }

    pub(super) async fn heartbeat(&self, session: SessionId, phase: Phase) -> HeartbeatReply {
        let heartbeat = Heartbeat { phase, progress: Progress::default() };
        self.post_json(session, paths::HEARTBEAT, &heartbeat).await
    }

    pub(super) async fn outcome(&self, session: SessionId, failure: Option<Failure>) -> Orders {
        self.post_json(
            session,
            paths::OUTCOME,
            &Outcome { progress: Progress::default(), phases: Vec::new(), failure },
        )
        .await
    }

    pub(super) async fn missing(&self, session: SessionId, ids: &[ChunkId]) -> Vec<ChunkId> {
        let list = ChunkList { ids: ids.to_vec() };
        self.post_json::<ChunkList>(session, paths::CHUNKS_MISSING, &list).await.ids
    }

    pub(super) async fn upload(&self, session: SessionId, content: &[u8]) {
        let mut body = Vec::new();
        plain_chunks(content).iter().for_each(|plain| records::append(&seal(plain), &mut body));
        let answer = self.post(session, paths::CHUNKS_UPLOAD, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    }

    /// Hands a manifest in and waits until something else than "still reading" is answered.
    pub(super) async fn hand_in(&self, session: SessionId, manifest: &[u8]) -> VersionReply {
        match self.post(session, paths::VERSION, manifest.to_vec()).await.json() {
            VersionReply::Verifying { .. } => self.ask_version(session, manifest).await,
            reply => reply,
        }
    }

    /// Asks what became of a manifest, by its name alone, until something else than "still reading" is answered.
    pub(super) async fn ask_version(&self, session: SessionId, manifest: &[u8]) -> VersionReply {
        let question = VersionQuestion { root: ManifestRoot::of(manifest) };
        for _ in 0..30 {
            match self.post_json(session, paths::VERSION_ASK, &question).await {
                VersionReply::Verifying { .. } => {}
                reply => return reply,
            }
        }
        panic!("a minute of reading back");
    }

    pub(super) async fn manifest(&self, session: SessionId) -> SignedManifest {
        let path = paths::of_session(paths::MANIFEST, session);
        let answer = send(&self.router, Some(&self.credential), "GET", &path, Vec::new()).await;
        SignedManifest::from_bytes(&answer.body).expect("a signed manifest")
    }

    /// Asks for chunks and takes no byte of what comes.
    pub(super) async fn fetch_untaken(&self, session: SessionId, ids: &[ChunkId]) -> Response {
        let list = serde_json::to_vec(&ChunkList { ids: ids.to_vec() }).expect("json");
        let path = paths::of_session(paths::CHUNKS_FETCH, session);
        respond(&self.router, Some(&self.credential), "POST", &path, list).await
    }

    pub(super) async fn fetch(&self, session: SessionId, ids: &[ChunkId]) -> Answer {
        let list = ChunkList { ids: ids.to_vec() };
        self.post(session, paths::CHUNKS_FETCH, serde_json::to_vec(&list).expect("json")).await
    }
}

async fn send(
    router: &Router,
    credential: Option<&Secret>,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Answer {
    let response = respond(router, credential, method, path, body).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body").to_vec();
    Answer { status, body }
}

async fn respond(
    router: &Router,
    credential: Option<&Secret>,
    method: &str,
    path: &str,
    body: Vec<u8>,
) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(credential) = credential {
        request = request.header(AUTHORIZATION, format!("Bearer {}", credential.reveal()));
    }
    let request = request.extension(ConnectInfo(ADDRESS)).body(Body::from(body)).expect("a request");
    router.clone().oneshot(request).await.expect("a router never fails")
}

/// A virtual PC: a UUID and a disk that follow from its card.
pub(super) fn machine(mac: MacAddr) -> MachineReport {
    let uuid = format!("4c4c4544-0044-3510-8052-b4c04f5644{:02x}", mac.0[5]);
    MachineReport { disks: vec![disk("FIRST")], ..report(Some(&uuid), &[mac]) }
}

fn disk(serial: &str) -> DiskReport {
    DiskReport {
        facts: DiskFacts {
            kernel_name: "vda".into(),
            model: None,
            serial: Some(serial.into()),
            wwn: None,
            size_bytes: DISK_BYTES,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
            removable: false,
            transport: Some("virtio".into()),
            rotational: false,
        },
        partitions: Vec::new(),
    }
}

/// Four chunks that do not compress; another seed gives other content.
pub(super) fn disk_content(seed: u8) -> Vec<u8> {
    let mut content = vec![0; CHUNK_BYTES * 4];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut content);
    content
}

pub(super) fn plain_chunks(content: &[u8]) -> Vec<&[u8]> {
    content.chunks(CHUNK_BYTES).collect()
}

/// The manifest of a disk that begins with this content.
pub(super) fn manifest_of(content: &[u8]) -> Manifest {
    let ids = plain_chunks(content).into_iter().map(ChunkId::of).collect();
    let sector = SectorSize::B512;
    Manifest {
        disk: DiskGeometry { size_bytes: DISK_BYTES, logical_sector: sector, physical_sector: sector },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: Vec::new() },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes: content.len() as u64 },
            kind: RegionKind::BootArea,
            content: Content::Raw { found: None },
            runs: vec![Run::Chunks(ids)],
        }],
        unread: vec![],
    }
}

fn files_below(folder: PathBuf) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files.extend(files_below(path)) } else { files.push(path) }
    }
    files
}
