//! The whole program, in the order in which it comes to life.
//!
//! Tasks: one per service, in one set. The first that ends before it was told to stops all others; so do SIGTERM and
//! SIGINT. None of them holds anything that a power cut would lose.

mod descriptors;
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

use mimeo_core::{causes::causes, text::texts};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::{
    descriptors::DescriptorError,
    ports::{PortError, Ports},
};
use crate::{
    api::{self, client::ClientApi},
    app::App,
    auth::{Auth, AuthError},
    boot::{
        self,
        artefacts::{Artefacts, LoadError},
        dhcp,
        disk_image::DiskImageError,
        files::BootFiles,
        machines::Machines,
        notices::Notices,
        target::BootSource,
    },
    clock::Timestamp,
    config::{
        Config, StoreConfig,
        interface::{self, InterfaceError, ServedInterface},
    },
    data_dir::{DataDir, DataDirError},
    db::{self, OpenDbError},
    doctor,
    events::Events,
    imaging::upkeep::{background::Rules, retention::Retention},
    imaging::{
        keys::{self, LoadKeyError},
        store::{Store, StoreOptions, backend::Backend, error::StoreError},
    },
    listener::{self, Transport},
    tls::{self, Tls, TlsError},
    ui,
    wiring::{Services, boot_source::HouseBootSource, firmware_choices::ChoiceTable},
};

/// How long services may take to end once they were told to.
const STOP_GRACE: Duration = Duration::from_secs(10);

/// How often the server's certificate is looked at.
const RENEW_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Runs the appliance until a signal or `stop` tells it to stop.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), ServeError> {
    let Opened { data, served, tls, app, source, machines, files, ports, logs } =
        open(&config, stop.clone()).await?;
    let Services { pool, events, store, .. } = app.services.clone();
    let started = app.started;
    let mut tasks = Tasks::new(stop.clone());
    if let Some(listener) = ports.boot_http {
        let router = boot::http::router(files.clone());
        let limits = boot::http::LIMITS;
        let boot_http = listener::serve(listener, Transport::Plain, router, limits, stop.clone());
        tasks.spawn("boot HTTP", infallible(boot_http));
    }
    if let Some(tftp) = ports.tftp {
        tasks.spawn("TFTP", infallible(tftp.serve(files, stop.clone())));
    }
    let told = dhcp::socket::Tell { machines, events, notices: app.notices.clone() };
    let keeper = Arc::new(ChoiceTable::new(pool.clone()));
    let dhcp = dhcp::socket::serve(app.dhcp.as_ref().clone(), source, told, pool, keeper, stop.clone());
    tasks.spawn("DHCP", async { dhcp.await.map_err(|error| ServeError::Dhcp(Box::new(error))) });
    let services = app.services.clone();
    tasks.spawn("sessions", until(stop.clone(), async move { services.keep_sessions().await }));
    let &StoreConfig { keep_versions, keep_days, recompress, .. } = &config.store;
    let rules = Rules { retention: Retention { keep_versions, keep_days }, recompress };
    let background = app.services.background(rules);
    tasks.spawn("store", until(stop.clone(), async move { background.keep().await }));
    tasks.spawn("certificate", until(stop.clone(), keep_certificate(tls.clone())));
    let administration = api::router::router(app.clone());
    let local = web::serve_local(ports.local, administration.clone(), stop.clone());
    tasks.spawn("local socket", listening("the local socket", local));
    let payload = app.artefacts.payload().0;
    let clients = ClientApi::new(app.services.clone(), payload, config.server.language, logs).router();
    let https = administration.merge(ui::router(app.clone())).merge(clients);
    let https = web::serve_tls(ports.https, tls, https, stop.clone());
    tasks.spawn("HTTPS", infallible(https));

    if greet(&app, &config, &served).await? == Greeted::ForTheFirstTime {
        tasks.spawn("first look", until(stop.clone(), first_look(config, served)));
    }
    // Nobody but systemd listens, and without it there is nobody to tell.
    let _told = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let ended = tasks.wait().await;
    if let Err(error) = store.keep_proofs(started).await {
        tracing::warn!(error = %causes(&error), "the next start reads back what this one has");
    }
    // The next server may have the folder only when nothing of this one writes any more.
    drop(data);
    ended
}

/// What the services work with, all of it usable.
struct Opened {
    data: DataDir,
    served: ServedInterface,
    tls: Tls,
    app: App,
    source: Arc<dyn BootSource>,
    machines: Machines,
    files: Arc<BootFiles>,
    ports: Ports,
    /// The folder of the clients' logs.
    logs: PathBuf,
}

/// Opens everything, the ports last: whoever reaches one is answered by a whole server.
async fn open(config: &Config, stopping: CancellationToken) -> Result<Opened, ServeError> {
    let started = Timestamp::now();
    descriptors::make_room()?;
    let served = interface::find(&config.network)?;
    let data = DataDir::claim(&config.server.data_dir)?;
    let logs = data.make("logs")?;
    let db = db::open(&data.join("mimeo.db")).await?;
    let tls = Tls::open(&data.join("tls"), &tls::server_names(IpAddr::V4(served.address)), started)?;
    let artefacts = load_artefacts(&config.server.artefacts_dir, tls.authority_pem(), started)?;
    let store = Store::open(Backend::folder(&config.store.path)?, StoreOptions::default()).await?;
    let events = Events::new();
    let signing_key = keys::load_signing_key(&db).await?;
    let services = Services::new(db.clone(), events.clone(), store, signing_key);
    let app = App {
        services: services.clone(),
        auth: Auth::new(db, events.clone(), config.auth.login_lasts),
        artefacts: artefacts.clone(),
        dhcp: Arc::new(settings::dhcp(config, &served)),
        notices: Notices::default(),
        authority_pem: tls.authority_pem().into(),
        started,
        stopping,
    };
    let source: Arc<dyn BootSource> = Arc::new(HouseBootSource::new(services, settings::boot_policy(config)));
    let machines = Machines::default();
    let menu = settings::menu(config, &served);
    let files = Arc::new(BootFiles::new(artefacts, source.clone(), machines.clone(), events, menu)?);
    let ports = Ports::open(config, served.address, &local_socket(&config.server.data_dir)).await?;
    Ok(Opened { data, served, tls, app, source, machines, files, ports, logs })
}

fn load_artefacts(dir: &Path, authority_pem: &str, started: Timestamp) -> Result<Arc<Artefacts>, ServeError> {
    let loaded = Artefacts::load(dir, authority_pem, started);
    let artefacts =
        loaded.map_err(|source| ServeError::Artefacts { dir: dir.to_owned(), source: Box::new(source) })?;
    Ok(Arc::new(artefacts))
}

async fn listening(
    service: &'static str,
    served: impl Future<Output = io::Result<()>>,
) -> Result<(), ServeError> {
    served.await.map_err(|source| ServeError::Listening { service, source })
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

    fn spawn(
        &mut self,
        service: &'static str,
        task: impl Future<Output = Result<(), ServeError>> + Send + 'static,
    ) {
        self.set.spawn(async move { (service, task.await) });
    }

    /// Waits for the first end or a signal, then for the end of all.
    async fn wait(mut self) -> Result<(), ServeError> {
        let first = tokio::select! {
            // Services that end because they were told to have not ended by themselves.
            biased;
            () = self.stop.cancelled() => Ok(()),
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
                    tracing::warn!(service, error = %causes(&error), "a service ended badly");
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
            tracing::error!(error = %causes(&error), "the server's certificate cannot be renewed");
        }
    }
}

/// Whether anybody has ever logged in.
#[derive(Debug, PartialEq, Eq)]
enum Greeted {
    ForTheFirstTime,
    Again,
}

/// Says where the page is and, as long as nobody has logged in, how to.
#[expect(clippy::print_stdout, reason = "the person at the terminal is to read this, whatever is logged")]
async fn greet(app: &App, config: &Config, served: &ServedInterface) -> Result<Greeted, ServeError> {
    let page = page_address(config, served);
    println!("Mimeo serves {} at {page}", served.name);
    let Some(code) = app.auth.setup_code().await? else { return Ok(Greeted::Again) };
    println!("First login: open {page} and set the administrator's password with setup code {code}");
    Ok(Greeted::ForTheFirstTime)
}

/// Listens to the network once and says which DHCP mode it calls for.
#[expect(clippy::print_stdout, reason = "the person at the terminal is to read this, whatever is logged")]
async fn first_look(config: Config, served: ServedInterface) {
    let finding = doctor::network::dhcp(texts(config.server.language), &config, &served).await;
    println!("DHCP: {}", finding.message);
    std::future::pending().await
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
    Descriptors(#[from] DescriptorError),
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
