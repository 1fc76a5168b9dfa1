//! The whole program, in the order in which it comes to life.
//!
//! Tasks: one per service, in one set. The first that ends before it was told to stops all others; so do SIGTERM and
//! SIGINT. None of them holds anything that a power cut would lose.

pub mod data_dir;
pub mod ports;
pub(crate) mod settings;
pub mod web;

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    data_dir::{DataDir, DataDirError},
    ports::{PortError, Ports},
};
use crate::{
    api,
    app::App,
    auth::{Auth, AuthError},
    boot::{
        self,
        artefacts::{Artefacts, LoadError},
        dhcp,
        disk_image::DiskImageError,
        files::BootFiles,
        http_listener,
        machines::Machines,
        menu::KernelOptionsError,
        target::BootSource,
    },
    clock::Timestamp,
    config::{
        Config,
        interface::{self, InterfaceError, ServedInterface},
    },
    db::{self, OpenDbError},
    events::Events,
    imaging::{
        keys::{self, LoadKeyError},
        store::{Store, StoreOptions, backend::Backend, error::StoreError},
    },
    tls::{self, Tls, TlsError},
    wiring::{Services, boot_source::HouseBootSource},
};

/// How long services may take to end once they were told to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How often the server's certificate is looked at.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Runs the appliance until it is told to stop.
pub async fn run(config: Config) -> Result<(), ServeError> {
    let now = Timestamp::now();
    let served = interface::find(&config.network)?;
    let data = DataDir::claim(&config.server.data_dir)?;
    // Migrations run here, before anybody can ask anything.
    let db = db::open(&data.join("mimeo.db")).await?;
    let tls = Tls::open(&data.join("tls"), &tls::server_names(IpAddr::V4(served.address)), now)?;
    let artefacts = Arc::new(Artefacts::load(&config.server.artefacts_dir, tls.authority_pem()).map_err(|source| {
        ServeError::Artefacts { dir: config.server.artefacts_dir.clone(), source: Box::new(source) }
    })?);
    let store = Store::open(Backend::folder(&config.store.path)?, StoreOptions::default()).await?;
    let events = Events::new();
    let signing_key = keys::load_signing_key(&db).await?;
    let services = Services::new(db.clone(), events.clone(), store, signing_key);
    let stop = CancellationToken::new();
    let app = App {
        services: services.clone(),
        auth: Auth::new(db.clone(), events.clone(), config.auth.login_lasts),
        artefacts: artefacts.clone(),
        authority_pem: tls.authority_pem().into(),
        started: now,
        stopping: stop.clone(),
    };
    let source: Arc<dyn BootSource> =
        Arc::new(HouseBootSource::new(services.clone(), settings::boot_policy(&config)));
    let machines = Machines::default();
    let menu = settings::menu(&config, &served)?;
    let files = Arc::new(BootFiles::new(artefacts, source.clone(), machines.clone(), events.clone(), menu)?);
    let ports = Ports::open(&config, served.address, &local_socket(&config.server.data_dir)).await?;

    let mut tasks = Tasks::new(stop.clone());
    if let Some(listener) = ports.boot_http {
        let router = boot::http::router(files.clone());
        tasks.spawn("boot HTTP", infallible(http_listener::serve(listener, router, stop.clone())));
    }
    if let Some(tftp) = ports.tftp {
        tasks.spawn("TFTP", infallible(tftp.serve(files, stop.clone())));
    }
    let dhcp = settings::dhcp(&config, &served);
    tasks.spawn("DHCP", {
        let served = dhcp::socket::serve(dhcp, source, machines, events, db, stop.clone());
        async { served.await.map_err(|error| ServeError::Dhcp(Box::new(error))) }
    });
    tasks.spawn("sessions", until(stop.clone(), async move { services.keep_sessions().await }));
    tasks.spawn("certificate", until(stop.clone(), keep_certificate(tls.clone())));
    let router = api::router::router(app.clone());
    tasks.spawn("local socket", {
        let served = web::serve_local(ports.local, router.clone(), stop.clone());
        async { served.await.map_err(|source| ServeError::Listening { service: "local socket", source }) }
    });
    tasks.spawn("HTTPS", {
        let stop = stop.clone();
        async move {
            let served = web::serve_tls(ports.https, &tls, router, stop).await;
            served.map_err(|source| ServeError::Listening { service: "HTTPS", source })
        }
    });
    greet(&app, &config, &served).await?;
    // Nobody but systemd listens, and without it there is nobody to tell.
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tasks.wait().await
}

/// Where the local socket of a server lies.
pub fn local_socket(data_dir: &Path) -> PathBuf {
    data_dir.join("mimeo.sock")
}

/// The services that run, and what stops them.
struct Tasks {
    set: JoinSet<(&'static str, Result<(), ServeError>)>,
    stop: CancellationToken,
}

impl Tasks {
    fn new(stop: CancellationToken) -> Self {
        Self { set: JoinSet::new(), stop }
    }

    fn spawn(&mut self, service: &'static str, task: impl Future<Output = Result<(), ServeError>> + Send + 'static) {
        self.set.spawn(async move { (service, task.await) });
    }

    /// Waits for the first end or a signal, then for the end of all.
    async fn wait(mut self) -> Result<(), ServeError> {
        let first = tokio::select! {
            ended = self.set.join_next() => ended.map_or(Ok(()), |ended| match ended {
                Ok((service, Ok(()))) => Err(ServeError::Ended { service }),
                Ok((_, Err(error))) => Err(error),
                Err(panicked) => Err(ServeError::Panicked(panicked)),
            }),
            signal = told_to_stop() => signal.map_err(|source| ServeError::Listening { service: "signals", source }),
        };
        tracing::info!("stopping");
        let _told = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.stop.cancel();
        let ends = async {
            while let Some(ended) = self.set.join_next().await {
                if let Ok((service, Err(error))) = ended {
                    tracing::warn!(service, error = %api::error::causes(&error), "a service ended badly");
                }
            }
        };
        if tokio::time::timeout(STOP_GRACE, ends).await.is_err() {
            tracing::warn!("services that do not end are cut off");
        }
        first
    }
}

async fn told_to_stop() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn infallible(service: impl Future<Output = ()>) -> Result<(), ServeError> {
    service.await;
    Ok(())
}

/// Work that never ends by itself and may be dropped at any point.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) -> Result<(), ServeError> {
    stop.run_until_cancelled(work).await;
    Ok(())
}

async fn keep_certificate(tls: Tls) {
    let mut days = tokio::time::interval(RENEW_EVERY);
    loop {
        days.tick().await;
        if let Err(error) = tls.renew(Timestamp::now()) {
            tracing::error!(error = %api::error::causes(&error), "the server's certificate cannot be renewed");
        }
    }
}

/// Says where the page is and, as long as nobody has logged in, how to.
#[expect(clippy::print_stdout, reason = "the person at the terminal is to read this, whatever is logged")]
async fn greet(app: &App, config: &Config, served: &ServedInterface) -> Result<(), ServeError> {
    let page = page_address(config, served);
    println!("Mimeo serves {} at {page}", served.name);
    if let Some(code) = app.auth.setup_code().await? {
        println!("First login: open {page} and set the administrator's password with setup code {code}");
    }
    Ok(())
}

/// The address that people type.
pub fn page_address(config: &Config, served: &ServedInterface) -> String {
    match config.https.port {
        443 => format!("https://{}/", served.address),
        port => format!("https://{}/", SocketAddrV4::new(served.address, port)),
    }
}

/// Why the server does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Interface(#[from] InterfaceError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Db(#[from] OpenDbError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("boot artefacts in {}: build them with `make artefacts`, or correct [server] artefacts_dir", dir.display())]
    Artefacts { dir: PathBuf, source: Box<LoadError> },
    #[error("opening the store")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Keys(#[from] LoadKeyError),
    #[error("[boot] kernel_options")]
    KernelOptions(#[from] KernelOptionsError),
    #[error(transparent)]
    DiskImage(#[from] DiskImageError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("serving DHCP")]
    Dhcp(#[source] Box<dhcp::socket::ServeError>),
    #[error("serving {service}")]
    Listening { service: &'static str, source: io::Error },
    #[error("{service} ended by itself")]
    Ended { service: &'static str },
    #[error("a service stopped in disorder")]
    Panicked(#[source] tokio::task::JoinError),
}
