//! From network cards without an address to one that reaches the server.
//!
//! Every wired card with a link asks for an address by DHCP, all at once: a PC in a school often has a second card,
//! in another network or in none. A card counts only when the server answers through it, and that is tried one card
//! after the other, because two addresses at a time could be in each other's way.
//!
//! [`dhcp`] decides, [`socket`] carries its packets and [`arp`] its questions, [`interface`] sets up cards.

mod arp;
pub mod dhcp;
pub mod interface;
pub mod socket;

use std::{
    collections::{BTreeMap, HashSet},
    error::Error,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::{Duration, Instant},
};

use mimeo_core::causes::causes;

use self::{
    dhcp::Lease,
    interface::{Interface, Setup, SetupError},
    socket::DhcpError,
};

/// How long a machine without any working card keeps trying: a switch with spanning tree needs 30–50 s before it
/// forwards anything, and a server that restarts a minute.
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);

/// How long one card asks for its address before that is told and it begins anew. Three retransmissions of RFC 2131
/// section 4.1 fit, and after a switch port begins to forward, the next question is at most 8 s away.
const ADDRESS_WITHIN: Duration = Duration::from_secs(15);

/// How long the server gets to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two looks at the cards: some appear late (on USB), and so do links.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Pause before a new address is asked for after the last one was lost and none was to be had.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The card that reaches the server, and the address it has.
#[derive(Debug, Clone)]
pub struct Connection {
    pub interface: Interface,
    pub lease: Lease,
}

/// How far the search for a connection has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    NoCard,
    /// These cards have no link.
    NoLink(String),
    /// These cards ask for an address.
    Asking(String),
    /// This card has an address, from which the server is tried.
    Reaching {
        card: String,
        address: Ipv4Addr,
    },
}

/// No card reaches the server.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("this machine has no network card that this kernel has a driver for")]
    NoCard,
    #[error("no network card has a link: {cards}")]
    NoLink { cards: String },
    #[error("no network card got an address: {attempts}")]
    NoAddress { attempts: String },
    #[error("no network card reaches {server}: {attempts}")]
    Unreachable { server: SocketAddr, attempts: String },
    #[error("setting up the network")]
    Setup(#[from] SetupError),
}

/// Finds the card that reaches `server` and keeps its lease alive from then on.
///
/// `cards` lists the wired cards, which may become more; `say` hears what is going on, for the console.
pub fn connect(
    server: SocketAddr,
    cards: &mut dyn FnMut() -> Vec<Interface>,
    say: &dyn Fn(Progress),
) -> Result<Connection, NetworkError> {
    let started = Instant::now();
    let mut search = Search::new(Setup::new()?, server);
    while started.elapsed() < GIVE_UP_AFTER {
        search.look(&cards(), say);
        let until = Instant::now() + LOOK_AGAIN_AFTER;
        while let Ok((interface, answer)) =
            search.answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if let Some(connection) = search.try_answer(interface, answer, say) {
                keep_lease(search.setup, connection.clone());
                return Ok(connection);
            }
        }
    }
    Err(search.failure())
}

/// What a card's question for an address came to.
type Answer = (Interface, Result<Lease, DhcpError>);

struct Search {
    setup: Setup,
    server: SocketAddr,
    /// By name: every card that was seen, and what became of it the last time.
    attempts: BTreeMap<String, String>,
    switched_on: HashSet<u32>,
    linked: HashSet<u32>,
    /// Each of them has a thread, which ends with its answer, after [`ADDRESS_WITHIN`], or once `over` is set.
    asking: HashSet<u32>,
    had_address: bool,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
    over: Over,
}

/// Set for whoever shares it, once this value is dropped.
#[derive(Default)]
struct Over(Arc<AtomicBool>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Search {
    fn new(setup: Setup, server: SocketAddr) -> Self {
        let (sender, answers) = mpsc::channel();
        Self {
            setup,
            server,
            attempts: BTreeMap::new(),
            switched_on: HashSet::new(),
            linked: HashSet::new(),
            asking: HashSet::new(),
            had_address: false,
            sender,
            answers,
            over: Over::default(),
        }
    }

    /// Switches new cards on and has those with a link ask for an address.
    fn look(&mut self, cards: &[Interface], say: &dyn Fn(Progress)) {
        for card in cards {
            if !self.switched_on.contains(&card.index) {
                match self.setup.up(card) {
                    Ok(()) => _ = self.switched_on.insert(card.index),
                    // A card whose driver lacks its firmware must not keep the others from trying.
                    Err(error) => self.note(card, causes(&error)),
                }
            }
            if !card.has_link() {
                self.linked.remove(&card.index);
                self.attempts.entry(card.name.clone()).or_insert_with(|| "no link".to_owned());
            } else {
                self.linked.insert(card.index);
                if self.asking.insert(card.index) {
                    self.ask(card.clone());
                }
            }
        }
        let names = |wanted: &dyn Fn(&Interface) -> bool| {
            let names = cards.iter().filter(|card| wanted(card)).map(|card| card.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        say(if cards.is_empty() {
            Progress::NoCard
        } else if self.linked.is_empty() {
            Progress::NoLink(names(&|_| true))
        } else {
            Progress::Asking(names(&|card| self.linked.contains(&card.index)))
        });
    }

    fn ask(&self, card: Interface) {
        let (sender, over) = (self.sender.clone(), Arc::clone(&self.over.0));
        thread::spawn(move || {
            let answer = socket::acquire(&card, ADDRESS_WITHIN, &over);
            // Nobody takes the answer once a card was found.
            let _taken = sender.send((card, answer));
        });
    }

    /// Whether the server answers through a card that has an address now.
    fn try_answer(
        &mut self,
        interface: Interface,
        answer: Result<Lease, DhcpError>,
        say: &dyn Fn(Progress),
    ) -> Option<Connection> {
        self.asking.remove(&interface.index);
        let lease = match answer {
            Ok(lease) => lease,
            Err(error) => {
                self.note(&interface, causes(&error));
                return None;
            }
        };
        self.had_address = true;
        say(Progress::Reaching { card: interface.name.clone(), address: lease.address });
        let configured = self.setup.configure(&interface, &lease).map_err(|error| causes(&error));
        let connect = || TcpStream::connect_timeout(&self.server, CONNECT_WITHIN).map(drop);
        let reached = configured.and_then(|()| connect().map_err(|error| causes(&error)));
        let Err(reason) = reached else { return Some(Connection { interface, lease }) };
        self.note(&interface, format!("has the address {}, but {reason}", lease.address));
        // The next card must not find this one's route in its way.
        if let Err(error) = self.setup.deconfigure(&interface) {
            tracing::warn!(interface = interface.name, %error, "taking the address away");
        }
        None
    }

    /// Keeps what became of a card, and tells it where that is news.
    fn note(&mut self, card: &Interface, what: String) {
        if self.attempts.get(&card.name) != Some(&what) {
            tracing::info!(interface = card.name, what, "no connection yet");
            self.attempts.insert(card.name.clone(), what);
        }
    }

    fn failure(&self) -> NetworkError {
        let cards = self.attempts.keys().cloned().collect::<Vec<_>>().join(", ");
        let attempts = self.attempts.iter().map(|(name, what)| format!("{name}: {what}"));
        let attempts = attempts.collect::<Vec<_>>().join("; ");
        if self.attempts.is_empty() && self.linked.is_empty() {
            NetworkError::NoCard
        } else if self.had_address {
            NetworkError::Unreachable { server: self.server, attempts }
        } else if self.linked.is_empty() {
            NetworkError::NoLink { cards }
        } else {
            NetworkError::NoAddress { attempts }
        }
    }
}

/// Keeps the card's address for as long as the client runs; a deploy may well outlive the lease. Where the address
/// is lost all the same, the card gets another: requests in flight fail, and the session goes on. The thread ends
/// with the program.
fn keep_lease(setup: Setup, connection: Connection) {
    thread::spawn(move || {
        let Connection { interface, mut lease } = connection;
        loop {
            let error = socket::keep(&interface, lease);
            tracing::warn!(interface = interface.name, %error, "the address is no longer ours, asking for another");
            lease = replace_address(&setup, &interface);
            tracing::info!(interface = interface.name, address = %lease.address, "the card has an address again");
        }
    });
}

/// Takes the address away, which may be another machine's by now, and asks for a new one until there is one.
fn replace_address(setup: &Setup, interface: &Interface) -> Lease {
    let never = AtomicBool::new(false);
    let try_once = || {
        setup.deconfigure(interface)?;
        let lease = socket::acquire(interface, ADDRESS_WITHIN, &never)?;
        setup.configure(interface, &lease)?;
        Ok::<_, Box<dyn Error>>(lease)
    };
    loop {
        match try_once() {
            Ok(lease) => return lease,
            Err(error) => {
                let reason = causes(&*error);
                tracing::warn!(interface = interface.name, reason, "no new address yet");
                thread::sleep(ASK_AGAIN_AFTER);
            }
        }
    }
}

#[cfg(test)]
mod tests;
