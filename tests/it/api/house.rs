//! A server on loopback with a folder of its own, and those who talk to it.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use mimeo_core::{
    ids::{ComputerId, MacAddr},
    machine::{
        DiskReport, FirmwareMode, Identity, MachineReport, NicReport, Processor, SecureBoot,
        disk_facts::DiskFacts,
    },
    messages::{Hello, Language, PROTOCOL_VERSION, Welcome, paths},
    units::SectorSize,
};
use mimeo_server::{
    api::{client::ClientApi, router},
    app::App,
    auth::Auth,
    boot::{
        artefacts::{Artefact, Artefacts, LIST_NAME, names},
        dhcp::settings::Settings,
        notices::Notices,
    },
    clock::Timestamp,
    db,
    events::Events,
    imaging::{
        keys::load_signing_key,
        store::{Store, StoreOptions, backend::Backend},
    },
    inventory::boot_token::{Purpose, mint},
    serve::{ports, web},
    tls::Tls,
    ui,
    wiring::Services,
};
use reqwest::{Certificate, Client, Method, Response, StatusCode, header};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct House {
    pub(crate) services: Services,
    pub(crate) auth: Auth,
    pub(crate) notices: Notices,
    pub(crate) address: SocketAddr,
    pub(crate) folder: TempDir,
    pub(crate) authority: Certificate,
    _stop: DropGuard,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: Value,
}

/// How one who asks proves who they are, and from which page.
#[derive(Debug, Default, Clone)]
pub(crate) struct As {
    pub(crate) token: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) origin: Option<String>,
}

impl House {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let stop = CancellationToken::new();
        let pool = db::open(&path.join("mimeo.db")).await.expect("a database");
        let store =
            Store::open(Backend::folder(&path.join("store")).expect("a backend"), StoreOptions::default());
        let store = store.await.expect("a store");
        let key = load_signing_key(&pool).await.expect("a key");
        let services = Services::new(pool.clone(), Events::new(), store, key);
        let auth = Auth::new(pool, services.events.clone(), Duration::from_secs(3600));
        let tls =
            Tls::open(&path.join("tls"), &["127.0.0.1".into()], Timestamp::now()).expect("certificates");
        write_artefacts(&path.join("artefacts"));
        let artefacts = Artefacts::load(&path.join("artefacts"), tls.authority_pem(), Timestamp::now())
            .expect("artefacts");
        let authority = Certificate::from_pem(tls.authority_pem().as_bytes()).expect("a certificate");
        let notices = Notices::default();
        let app = App {
            services: services.clone(),
            auth: auth.clone(),
            artefacts: Arc::new(artefacts),
            dhcp: Arc::new(Settings::proxy("lo", [127, 0, 0, 1].into(), 8)),
            notices: notices.clone(),
            authority_pem: tls.authority_pem().into(),
            started: Timestamp::now(),
            stopping: stop.clone(),
        };
        let clients = ClientApi::new(services.clone(), Default::default(), Language::En, path.to_owned());
        let router = router::router(app.clone()).merge(ui::router(app));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let socket = ports::open_local(&path.join("mimeo.sock")).expect("a socket");
        tokio::spawn(web::serve_local(socket, router.clone(), stop.clone()));
        tokio::spawn(web::serve_tls(listener, tls, router.merge(clients.router()), stop.clone()));
        Self { services, auth, notices, address, folder, authority, _stop: stop.drop_guard() }
    }

    pub(crate) fn network(&self) -> Client {
        Client::builder().tls_certs_only([self.authority.clone()]).build().expect("a client")
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    pub(crate) fn own_page(&self) -> Option<String> {
        Some(format!("https://{}", self.address))
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, who: &As, body: Option<Value>) -> Answer {
        let mut request = self.network().request(method, self.url(&format!("/api/v1{path}")));
        if let Some(token) = &who.token {
            request = request.bearer_auth(token);
        }
        if let Some(cookie) = &who.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        if let Some(origin) = &who.origin {
            request = request.header(header::ORIGIN, origin);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        Answer::read(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn get(&self, path: &str, who: &As) -> Answer {
        self.ask(Method::GET, path, who, None).await
    }

    pub(crate) async fn post(&self, path: &str, who: &As, body: Value) -> Answer {
        self.ask(Method::POST, path, who, Some(body)).await
    }

    /// One who shows a token.
    pub(crate) async fn program(&self) -> As {
        let (_, secret) = self.auth.create_token("test", Timestamp::now()).await.expect("a token");
        As { token: Some(secret.reveal()), ..As::default() }
    }

    /// A computer that booted into the client once.
    pub(crate) async fn register(&self, mac: MacAddr, disks: &[&str]) -> ComputerId {
        let token =
            mint(&self.services.pool, mac, Purpose::Register, Timestamp::now()).await.expect("minted");
        let hello = Hello { protocol: PROTOCOL_VERSION, token, report: report(mac, disks) };
        let answer =
            self.network().post(self.url(paths::HELLO)).json(&hello).send().await.expect("an answer");
        answer.json::<Welcome>().await.expect("a welcome").computer
    }
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.expect("a whole body");
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Self { status, headers, body }
    }

    /// The cookie to show from now on.
    pub(crate) fn cookie(&self) -> Option<String> {
        let header = self.headers.get(header::SET_COOKIE)?.to_str().ok()?;
        header.split(';').next().map(str::to_owned)
    }

    pub(crate) fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or_default()
    }
}

/// Boot artefacts that are whole, and boot nothing.
pub(crate) fn write_artefacts(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    let write = |name: &str| {
        std::fs::write(folder.join(name), name).expect("written");
        Artefact {
            name: name.into(),
            bytes: name.len() as u64,
            blake3: blake3::hash(name.as_bytes()).to_hex().to_string(),
            package: "test".into(),
            version: "1".into(),
        }
    };
    let list = serde_json::json!({ "artefacts": names::REQUIRED.map(write) });
    std::fs::write(folder.join(LIST_NAME), list.to_string()).expect("written");
}

pub(crate) fn report(mac: MacAddr, disks: &[&str]) -> MachineReport {
    let disk = |serial: &&str| DiskReport {
        facts: DiskFacts {
            kernel_name: "sda".into(),
            model: Some("Disk".into()),
            serial: Some((*serial).into()),
            wwn: None,
            size_bytes: 4 << 20,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
            removable: false,
            transport: Some("sata".into()),
            rotational: false,
        },
        partitions: Vec::new(),
    };
    MachineReport {
        identity: Identity {
            system_serial: Some(format!("SN{mac}").replace(':', "")),
            ..Identity::default()
        },
        firmware: FirmwareMode::Uefi,
        secure_boot: SecureBoot::On,
        processor: Processor { model: "Processor".into(), threads: 2 },
        memory_bytes: 8 << 30,
        disks: disks.iter().map(disk).collect(),
        nics: vec![NicReport {
            kernel_name: "eth0".into(),
            mac,
            driver: None,
            speed_mbps: None,
            usb: false,
            booted: true,
        }],
    }
}
