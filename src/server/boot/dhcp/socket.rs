//! The service on its sockets: hears, has [`super::decide`] decide, does what was decided.
//!
//! One loop and no task of its own: whatever is heard while something is done waits in the kernel's buffers, whose
//! size bounds what a flood can cost.

use std::{
    io::{self, IoSlice},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsRawFd,
    sync::Arc,
    time::{Duration, Instant},
};

use mimeo_core::causes::causes;
use nix::{
    libc::{in_addr, in_pktinfo},
    sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg},
};
use socket2::{Domain, Protocol, Socket, Type};
use sqlx::SqlitePool;
use tokio::{io::Interest, net::UdpSocket, time::timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    arp::{Found, Outcome, Prober},
    decide::{Action, BOOT_SERVER_PORT, Decision, Heard, Port, SERVER_PORT, Server},
    ears::Ears,
    keeper::ChoiceKeeper,
    lease::{self, Change, LeaseError},
    link::Link,
    packet::{DATAGRAM_BYTES_MAX, Request},
    settings::{Mode, Settings, SettingsError},
};
use crate::{
    boot::{
        firmware::Speaker,
        machines::Machines,
        notices::Notices,
        target::{BootSource, LoaderChoice},
    },
    clock::Timestamp,
    events::Events,
};

/// Datagrams and frames that are read in one go. Their leases become durable together: one disk flush for all.
const BATCH_MAX: usize = 128;
/// Asked of the kernel for datagrams that wait: 1,000 machines starting at once send 600 kB of them.
const RECEIVE_BUFFER_BYTES: usize = 2 << 20;
/// How long the choice of boot loaders may take for all machines of a batch together. Firmware waits seconds; the
/// default is better than silence.
const LOADER_WAIT: Duration = Duration::from_millis(250);
/// Other servers are asked this often, so that one that changes its mind is noticed.
const ASK_SERVERS_EVERY: Duration = Duration::from_secs(15 * 60);
/// As long as none was heard they are asked more often: the link may not be up yet when we start.
const ASK_NOBODY_EVERY: Duration = Duration::from_secs(30);
/// How long the keeper of choices may take, while nobody is answered; ...
const KEEP_WITHIN: Duration = Duration::from_millis(500);
/// ... and how long it is left alone after it took longer or failed.
const KEEP_PAUSE: Duration = Duration::from_secs(10);
/// Lines about datagrams that are logged per second: 1,000 machines' start is told in ten, a flood fills no disk.
const LOG_LINES_PER_SECOND: u32 = 100;

/// The DHCP service could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("DHCP settings")]
    Settings(#[from] SettingsError),
    #[error("loading leases")]
    Leases(#[from] LeaseError),
    #[error("opening {what} on {interface}")]
    Open { what: &'static str, interface: String, source: io::Error },
}

/// Whom the service tells what it learns.
#[derive(Debug, Clone)]
pub struct Tell {
    /// Which machine is behind an address.
    pub machines: Machines,
    pub events: Events,
    /// What the administrator has to see.
    pub notices: Notices,
}

/// Serves until `cancel`. Returns early only where it cannot start.
///
/// Needs `CAP_NET_RAW` and `CAP_NET_BIND_SERVICE`. Cancel-safe, apart from leases that were granted and not stored
/// yet: nobody was told of those.
pub async fn serve(
    settings: Settings,
    source: Arc<dyn BootSource>,
    told: Tell,
    db: SqlitePool,
    keeper: Arc<dyn ChoiceKeeper>,
    cancel: CancellationToken,
) -> Result<(), ServeError> {
    settings.check()?;
    if settings.mode == Mode::Off {
        cancel.cancelled().await;
        return Ok(());
    }
    let leases = match settings.mode {
        Mode::Pxe | Mode::Full => lease::load(&db).await?,
        Mode::Proxy | Mode::Off => Vec::new(),
    };
    let sockets = Sockets::open(&settings)?;
    let mut server = Server::new(settings, &leases)?;
    if server.settings.mode == Mode::Pxe {
        match keeper.load().await {
            Ok(kept) => server.choices.remember(kept, Timestamp::now()),
            // Some firmware needs one more power-on.
            Err(error) => tracing::error!("{}", causes(&error)),
        }
    }
    let log = LogBudget { second: Instant::now(), left: LOG_LINES_PER_SECOND, dropped: 0 };
    let keep_choices_from = Instant::now();
    let mut service = Service { server, sockets, source, told, db, keeper, keep_choices_from, log };
    tracing::info!(mode = ?service.server.settings.mode, interface = service.server.settings.interface, "DHCP serves");
    service.run(&cancel).await;
    Ok(())
}

struct Sockets {
    server: UdpSocket,
    boot_server: UdpSocket,
    prober: Prober,
    ears: Ears,
    /// Our address as the source of what is sent: the interface may have others.
    source: in_pktinfo,
}

struct Service {
    server: Server,
    sockets: Sockets,
    source: Arc<dyn BootSource>,
    told: Tell,
    db: SqlitePool,
    keeper: Arc<dyn ChoiceKeeper>,
    /// Choices of firmware are not handed to the keeper before.
    keep_choices_from: Instant,
    log: LogBudget,
}

impl Service {
    async fn run(&mut self, cancel: &CancellationToken) {
        let mut asked: Option<Instant> = None;
        while !cancel.is_cancelled() {
            let ask_servers_at = asked.map_or_else(Instant::now, |asked| asked + self.ask_servers_every());
            if ask_servers_at <= Instant::now() {
                asked = Some(Instant::now());
                self.note_io(self.sockets.ears.ask(), "asking for other DHCP servers");
                continue;
            }
            let due = self.sockets.prober.next_due().map_or(ask_servers_at, |due| due.min(ask_servers_at));
            let ready = tokio::select! {
                () = cancel.cancelled() => return,
                ready = self.sockets.server.readable() => ready,
                ready = self.sockets.boot_server.readable() => ready,
                ready = self.sockets.prober.readable() => ready,
                ready = self.sockets.ears.readable() => ready,
                () = tokio::time::sleep_until(due.into()) => Ok(()),
            };
            self.note_io(ready, "waiting for datagrams");
            // What other servers say comes first: it decides what a machine that waits is told.
            self.overhear();
            let mut decisions = self.take_outcomes();
            for port in [Port::Server, Port::BootServer] {
                self.take_requests(port, &mut decisions).await;
            }
            self.perform(decisions).await;
            self.keep_choices().await;
        }
    }

    fn ask_servers_every(&self) -> Duration {
        if self.server.foreign.servers().next().is_some() { ASK_SERVERS_EVERY } else { ASK_NOBODY_EVERY }
    }

    fn overhear(&mut self) {
        let heard = self.sockets.ears.heard().unwrap_or_else(|error| {
            self.note_io(Err(error), "hearing other DHCP servers");
            Vec::new()
        });
        for heard in heard {
            let is_ours = self.sockets.ears.is_ours(&heard);
            if let Some(event) = self.server.overhear(&heard, is_ours, Timestamp::now()) {
                self.told.events.emit(event);
            }
        }
    }

    fn take_outcomes(&mut self) -> Vec<Decision> {
        let (outcomes, failed) = self.sockets.prober.outcomes(BATCH_MAX, Instant::now());
        self.note_io(failed, "checking addresses by ARP");
        let now = Timestamp::now();
        let mut decisions = Vec::new();
        for Outcome { address, found } in outcomes {
            match found {
                Found::Nobody => decisions.push(self.server.checked(address, None, now)),
                Found::Holder(holder) => decisions.push(self.server.checked(address, Some(holder), now)),
                Found::Nothing => self.server.unchecked(address, now),
            }
        }
        decisions
    }

    async fn take_requests(&mut self, port: Port, decisions: &mut Vec<Decision>) {
        let mut bytes = vec![0; DATAGRAM_BYTES_MAX + 1];
        let loaders_until = Instant::now() + LOADER_WAIT;
        for _ in 0..BATCH_MAX {
            let (length, from) = match self.sockets.udp(port).try_recv_from(&mut bytes) {
                Ok((length, SocketAddr::V4(from))) => (length, from),
                Ok((_, SocketAddr::V6(_))) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.note_io(Err(error), "receiving a datagram");
                    return;
                }
            };
            match Request::parse(&bytes[..length]) {
                Ok(request) => decisions.push(self.decide(request, port, from, loaders_until).await),
                Err(error) if self.log.take() => tracing::debug!(%from, %error, "DHCP datagram refused"),
                Err(_) => {}
            }
        }
    }

    async fn decide(
        &mut self,
        request: Request,
        port: Port,
        from: SocketAddrV4,
        loaders_until: Instant,
    ) -> Decision {
        let loader = match request.speaker {
            Some(Speaker::Pxe | Speaker::Http) => {
                timeout_at(loaders_until.into(), self.source.loader(request.mac)).await.unwrap_or_default()
            }
            Some(Speaker::Ipxe) | None => LoaderChoice::default(),
        };
        let heard = Heard { request, port, from, loader };
        let decision = self.server.hear(&heard, Timestamp::now());
        let Heard { request, .. } = heard;
        if request.speaker.is_some() && self.log.take() {
            let mode = self.server.settings.mode;
            tracing::info!(
                machine.mac = %request.mac,
                machine.architecture = %request.architecture,
                ?mode,
                ?port,
                speaker = ?request.speaker,
                ask = ?request.ask,
                answer = decision.answer,
                "DHCP"
            );
        } else if request.speaker.is_none() {
            tracing::debug!(machine.mac = %request.mac, ask = ?request.ask, answer = decision.answer, "DHCP");
        }
        decision
    }

    /// Does what was decided: leases first, and nobody is told of one that could not be stored.
    async fn perform(&mut self, decisions: Vec<Decision>) {
        let changes: Vec<Change> = decisions.iter().flat_map(|decision| decision.changes()).collect();
        let stored = match changes.as_slice() {
            [] => true,
            changes => match lease::store(&self.db, changes).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(%error, cause = ?error, changes = changes.len(), "leases are not stored, so not granted");
                    false
                }
            },
        };
        for decision in decisions {
            if stored || decision.changes().next().is_none() {
                for action in decision.actions {
                    self.act(action).await;
                }
            }
        }
    }

    /// After the answers, and for a moment only: machines wait for this loop. What cannot be kept now is kept later, and
    /// lost at worst: some firmware needs one more power-on then.
    async fn keep_choices(&mut self) {
        if Instant::now() < self.keep_choices_from {
            return;
        }
        let changes = self.server.choices.take_changes();
        if changes.is_empty() {
            return;
        }
        let failure = match tokio::time::timeout(KEEP_WITHIN, self.keeper.store(&changes)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => causes(&error),
            Err(_) => "the database does not take the choices of firmware in time".to_owned(),
        };
        self.server.choices.put_back(&changes);
        self.keep_choices_from = Instant::now() + KEEP_PAUSE;
        if self.log.take() {
            tracing::error!("{failure}");
        }
    }

    async fn act(&mut self, action: Action) {
        match action {
            Action::Store(_) => {}
            Action::Send { bytes, to, port } => {
                let sent = self.sockets.send(port, &bytes, to).await;
                self.note_io(sent, "sending a reply");
            }
            Action::Check(address) => {
                if let Err(error) = self.sockets.prober.ask(address, Instant::now()) {
                    self.note_io(Err(error), "asking by ARP whether an address is in use");
                    self.server.unchecked(address, Timestamp::now());
                }
            }
            Action::Learn(machine) => self.told.machines.record(&machine, Timestamp::now()),
            Action::LearnAddress(mac, address) => {
                if let Some(mut machine) = self.told.machines.by_mac(mac) {
                    machine.address = Some(address);
                    self.told.machines.record(&machine, Timestamp::now());
                }
            }
            Action::Tell(event) => self.told.events.emit(event),
            Action::Notice(notice) => self.told.notices.note(notice, Timestamp::now()),
            Action::NoticeOver(mac) => self.told.notices.machine_boots(mac),
        }
    }

    fn note_io(&mut self, result: io::Result<()>, what: &'static str) {
        if let Err(error) = result
            && self.log.take()
        {
            tracing::warn!(%error, "{what}");
        }
    }
}

impl Decision {
    fn changes(&self) -> impl Iterator<Item = Change> {
        self.actions.iter().filter_map(|action| match action {
            Action::Store(change) => Some(*change),
            _ => None,
        })
    }
}

impl Sockets {
    fn open(settings: &Settings) -> Result<Self, ServeError> {
        let interface = settings.interface.as_str();
        let error = |what| move |source| ServeError::Open { what, interface: interface.to_owned(), source };
        let link = Link::find(interface).map_err(error("the interface"))?;
        let address = in_addr { s_addr: u32::from(settings.address).to_be() };
        Ok(Self {
            server: bind(interface, SERVER_PORT).map_err(error("UDP port 67"))?,
            boot_server: bind(interface, BOOT_SERVER_PORT).map_err(error("UDP port 4011"))?,
            prober: Prober::open(&link).map_err(error("a socket for ARP"))?,
            ears: Ears::open(&link).map_err(error("a socket for other servers' offers"))?,
            source: in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: in_addr { s_addr: 0 } },
        })
    }

    fn udp(&self, port: Port) -> &UdpSocket {
        match port {
            Port::Server => &self.server,
            Port::BootServer => &self.boot_server,
        }
    }

    async fn send(&self, port: Port, bytes: &[u8], to: SocketAddrV4) -> io::Result<()> {
        let socket = self.udp(port);
        let send = || {
            let control = [ControlMessage::Ipv4PacketInfo(&self.source)];
            let to = SockaddrIn::from(to);
            sendmsg(socket.as_raw_fd(), &[IoSlice::new(bytes)], &control, MsgFlags::MSG_DONTWAIT, Some(&to))?;
            Ok(())
        };
        socket.async_io(Interest::WRITABLE, send).await
    }
}

/// Another server on this host that holds the port is an error that has to be seen, so no address is reused.
fn bind(interface: &str, port: u16) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_broadcast(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into())?;
    UdpSocket::from_std(socket.into())
}

/// Bounds what a flood of datagrams writes into the log.
struct LogBudget {
    second: Instant,
    left: u32,
    dropped: u64,
}

impl LogBudget {
    fn take(&mut self) -> bool {
        if self.second.elapsed() >= Duration::from_secs(1) {
            if self.dropped > 0 {
                tracing::warn!(lines = self.dropped, "lines about DHCP datagrams left out of the log");
            }
            *self = Self { second: Instant::now(), left: LOG_LINES_PER_SECOND, dropped: 0 };
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.dropped += 1,
        }
        self.dropped == 0
    }
}
