//! What to do about each datagram: the service as a pure machine.
//!
//! It takes what was heard and the time, changes its tables and says what is to be done; [`super::socket`] does
//! it. By mode, a datagram goes to [`super::proxy`] (what to boot), to [`super::addresses`] (what address), or to
//! both:
//!
//! | mode | ordinary client | PXE firmware | HTTP boot, iPXE |
//! |---|---|---|---|
//! | `Proxy` | – | proxy | proxy |
//! | `Pxe` | – | addresses, or proxy if it passed ours over before | proxy |
//! | `Full` | addresses | addresses | addresses |
//!
//! Port 4011 is always the proxy's.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
};

use mimeo_core::ids::MacAddr;

use super::{
    choices::Choices,
    lease::{Change, Lease},
    observe::{ForeignServers, Obstacle},
    packet::{Ask, Overheard, Request},
    pool::Pool,
    reply::{Answer, Reply},
    settings::{Mode, Settings, SettingsError},
    told::Told,
    transactions::Transactions,
};
use crate::{
    boot::{
        firmware::{BootFile, Speaker, boot_file},
        notices::Notice,
        target::{LoaderChoice, Machine},
    },
    clock::Timestamp,
    events::Event,
};

pub(super) const SERVER_PORT: u16 = 67;
pub(super) const CLIENT_PORT: u16 = 68;
/// The PXE boot server's port (PXE 2.1 section 2.2.1).
pub(super) const BOOT_SERVER_PORT: u16 = 4011;

/// Offers that may wait for a check at one time: a site of 1,000 machines starting at once. What comes beyond is
/// dropped, and asks again within seconds.
const WAITING_MAX: usize = 1024;

/// Which of our two sockets a datagram came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Server,
    BootServer,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) request: Request,
    pub(super) port: Port,
    pub(super) from: SocketAddrV4,
    /// Which loader this computer is to get where more than one would do.
    pub(super) loader: LoaderChoice,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Send {
        bytes: Vec<u8>,
        to: SocketAddrV4,
        port: Port,
    },
    /// Check whether somebody answers for the address, and come back with [`Server::checked`].
    Check(Ipv4Addr),
    /// To be durable before any datagram of the same decision is sent.
    Store(Change),
    /// What is known of a machine now.
    Learn(Machine),
    /// An ordinary client has this address now, which tells something only of a machine known already.
    LearnAddress(MacAddr, Ipv4Addr),
    Tell(Event),
    /// To be shown to the administrator.
    Notice(Notice),
    /// What was shown of the machine is no longer so.
    NoticeOver(MacAddr),
}

/// What is to be done about a datagram, and the words for it in the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decision {
    pub(super) answer: &'static str,
    pub(super) actions: Vec<Action>,
}

impl Decision {
    pub(super) fn new(answer: &'static str, actions: Vec<Action>) -> Self {
        Self { answer, actions }
    }

    pub(super) fn silence(answer: &'static str) -> Self {
        Self::new(answer, Vec::new())
    }

    /// This decision, and what else is to be done after it.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.actions.extend(other.actions);
        self
    }
}

/// The state of the service on one interface.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) pool: Pool,
    pub(super) foreign: ForeignServers,
    /// Requests that wait for the check of the address chosen for them.
    pub(super) waiting: HashMap<Ipv4Addr, Waiting>,
    /// Which firmware passes our addresses over, in mode `Pxe`.
    pub(super) choices: Choices,
    transactions: Transactions,
    told_obstacles: Told<(MacAddr, Obstacle)>,
    told_servers: Told<(Ipv4Addr, bool, Option<Ipv4Addr>)>,
    told_exhaustion: Told<()>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) heard: Heard,
    /// Addresses tried so far for this request.
    pub(super) tries: u32,
}

impl Server {
    pub(super) fn new(settings: Settings, leases: &[Lease]) -> Result<Self, SettingsError> {
        settings.check()?;
        let pool = Pool::new(&settings, leases);
        Ok(Self {
            settings,
            pool,
            foreign: ForeignServers::default(),
            waiting: HashMap::new(),
            choices: Choices::default(),
            transactions: Transactions::default(),
            told_obstacles: Told::default(),
            told_servers: Told::default(),
            told_exhaustion: Told::default(),
        })
    }

    /// Decides about a client's datagram.
    pub(super) fn hear(&mut self, heard: &Heard, now: Timestamp) -> Decision {
        let request = &heard.request;
        match request.speaker {
            Some(Speaker::Pxe) => self.transactions.asked(request.mac, request.xid),
            Some(Speaker::Ipxe) => self.choices.ipxe_speaks(request.mac, now),
            Some(Speaker::Http) | None => {}
        }
        let mut decision = match (self.settings.mode, heard.port, request.speaker) {
            (Mode::Off, _, _) => Decision::silence("nothing, the service is off"),
            (_, Port::BootServer, _) => self.answer_boot_server(heard, now),
            (Mode::Full, _, _) => self.serve_address(heard, now),
            (_, _, None) => return Decision::silence("nothing, no boot client"),
            (Mode::Pxe, _, Some(Speaker::Pxe)) => self.serve_firmware(heard, now),
            (Mode::Proxy | Mode::Pxe, _, Some(_)) => self.answer_proxy(heard, now),
        };
        if request.speaker == Some(Speaker::Ipxe) {
            decision.actions.push(Action::NoticeOver(request.mac));
        }
        // Unknown firmware is recorded too: the pages show who could not be answered.
        if request.speaker.is_some() {
            decision.actions.push(Action::Learn(self.machine(request)));
        }
        decision
    }

    /// Takes in the outcome of a check: which card answered for the address, if one did. It was made for another
    /// machine than the one that waits where the first went another way: the answer is the same.
    pub(super) fn checked(&mut self, address: Ipv4Addr, holder: Option<MacAddr>, now: Timestamp) -> Decision {
        match self.waiting.remove(&address) {
            Some(waiting) => self.go_on(waiting, address, holder, now),
            None => Decision::silence("nothing, nobody waits for this check any more"),
        }
    }

    /// The check could not be made: nothing is offered unchecked, the machine asks again.
    pub(super) fn unchecked(&mut self, address: Ipv4Addr, now: Timestamp) {
        if let Some(waiting) = self.waiting.remove(&address) {
            self.pool.withdraw(waiting.heard.request.mac, now);
        }
    }

    /// Takes in what another server was heard to answer; `is_ours` tells whether we asked, as firmware would.
    pub(super) fn overhear(&mut self, heard: &Overheard, is_ours: bool, now: Timestamp) -> Option<Event> {
        if heard.server == self.settings.address {
            return None;
        }
        let boots = is_ours || self.transactions.is_firmwares(heard.machine, heard.xid);
        let known = self.foreign.hear(heard, boots, now)?;
        let next_server = known.boot.as_ref().and_then(|boot| boot.next_server);
        let fact = (known.server, known.gives_addresses, next_server);
        self.told_servers.is_news(fact, now).then(|| Event::ForeignDhcpSeen {
            server: fact.0.to_string(),
            next_server: next_server.map(|next| next.to_string()),
        })
    }

    /// Whether one more request may wait for a check.
    pub(super) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_MAX
    }

    pub(super) fn boot_file(&self, request: &Request, loader: LoaderChoice) -> Option<BootFile> {
        boot_file(request.speaker?, request.architecture, loader, request.mac, self.settings.http())
    }

    /// The datagram that carries this reply, addressed as RFC 2131 section 4.1 says.
    ///
    /// A client without an address gets a broadcast whether it asked for one or not: to reach it alone would take a
    /// neighbour entry made for it, and all firmware listens to broadcasts.
    pub(super) fn send(&self, heard: &Heard, answer: Answer, boot: Option<BootFile>) -> Decision {
        let request = &heard.request;
        let words = match answer {
            Answer::Offer { .. } => "offer",
            Answer::Grant { .. } => "acknowledgement",
            Answer::Inform => "configuration",
            Answer::Refusal => "refusal",
            Answer::ProxyOffer => "proxy offer",
            Answer::ProxyAck => "boot server's answer",
        };
        let broadcast = SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT);
        let to = match (heard.port, request.relay_agent, request.client_address) {
            (Port::BootServer, _, _) if !heard.from.ip().is_unspecified() => heard.from,
            (_, Some(agent), _) => SocketAddrV4::new(agent, SERVER_PORT),
            (_, None, _) if answer == Answer::Refusal => broadcast,
            (_, None, Some(client)) => SocketAddrV4::new(client, CLIENT_PORT),
            (_, None, None) => broadcast,
        };
        match (Reply { answer, boot }).emit(request, &self.settings) {
            Ok(bytes) => Decision::new(words, vec![Action::Send { bytes, to, port: heard.port }]),
            Err(_) => Decision::silence("nothing, the client's own options do not fit a reply"),
        }
    }

    /// Tells what keeps a machine from booting with Secure Boot: to the administrator's page whenever it is so, to
    /// the journal unless that was done lately.
    pub(super) fn tell_obstacle(
        &mut self,
        mac: MacAddr,
        obstacle: Option<Obstacle>,
        now: Timestamp,
    ) -> Decision {
        let Some(obstacle) = obstacle else { return Decision::silence("") };
        let mode = self.settings.mode;
        let mut actions = vec![Action::Notice(Notice::SecureBootOutOfReach { mac, obstacle, mode })];
        if self.told_obstacles.is_news((mac, obstacle), now) {
            actions.push(Action::Tell(Event::SecureBootOutOfReach { mac, reason: obstacle.to_string() }));
        }
        Decision::new("", actions)
    }

    /// Tells that no address was left for a machine.
    pub(super) fn tell_exhaustion(&mut self, now: Timestamp) -> Decision {
        let addresses = self.pool.addresses();
        let mut actions = vec![Action::Notice(Notice::PoolExhausted { addresses })];
        if self.told_exhaustion.is_news((), now) {
            actions.push(Action::Tell(Event::DhcpPoolExhausted { addresses }));
        }
        Decision::new("", actions)
    }

    /// What a request says of the machine. The address it asks another server for (option 50) is as good as its
    /// own: it is what GRUB and UEFI's HTTP boot then fetch files from.
    fn machine(&self, request: &Request) -> Machine {
        let taken = (request.ask == Ask::Request).then_some(request.wanted_address).flatten();
        Machine {
            mac: request.mac,
            uuid: request.uuid.clone(),
            architecture: request.architecture,
            address: request.client_address.or(taken),
        }
    }
}

#[cfg(test)]
mod tests;
