//! From network cards without an address to one that reaches the server.
//!
//! Every wired card with a link is tried in turn: it gets an address by DHCP, and counts only when the server
//! answers through it. A PC in a school often has a second card in another network.
//!
//! [`dhcp`] decides, [`socket`] carries its packets, [`interface`] sets up cards.

pub mod dhcp;
pub mod interface;
pub mod socket;

use std::{
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use self::{dhcp::Lease, interface::Interface};

/// How long a machine without any working card keeps trying: a switch with spanning tree needs 30–50 s before it
/// forwards anything.
const GIVE_UP_AFTER: Duration = Duration::from_secs(180);

/// How long one card gets for its address. Two retransmissions of RFC 2131 section 4.1 fit.
const ADDRESS_WITHIN: Duration = Duration::from_secs(15);

/// How long the server gets to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Pause between two looks at the cards while none has a link.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The card that reaches the server, and the address it has.
#[derive(Debug, Clone)]
pub struct Connection {
    pub interface: Interface,
    pub lease: Lease,
}

/// No card reaches the server.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("this machine has no network card that this kernel has a driver for")]
    NoInterface,
    #[error("no network card has a link: {cards}")]
    NoLink { cards: String },
    #[error("no network card reaches {server}: {attempts}")]
    Unreachable { server: SocketAddr, attempts: String },
    #[error("setting up the network")]
    Setup(#[from] interface::SetupError),
}

/// Finds the card that reaches `server` and keeps its lease alive from then on.
///
/// `say` hears what is going on, for the console.
pub fn connect(server: SocketAddr, say: &dyn Fn(&str)) -> Result<Connection, NetworkError> {
    let started = Instant::now();
    let setup = interface::Setup::new()?;
    loop {
        match try_every_interface(&setup, server, say) {
            Ok(connection) => {
                keep_lease(&connection);
                return Ok(connection);
            }
            Err(error) if started.elapsed() > GIVE_UP_AFTER => return Err(error),
            Err(error) => {
                tracing::info!(%error, "no connection yet");
                thread::sleep(LOOK_AGAIN_AFTER);
            }
        }
    }
}

fn try_every_interface(
    setup: &interface::Setup,
    server: SocketAddr,
    say: &dyn Fn(&str),
) -> Result<Connection, NetworkError> {
    let interfaces = interface::wired();
    if interfaces.is_empty() {
        return Err(NetworkError::NoInterface);
    }
    for interface in &interfaces {
        setup.up(interface)?;
    }
    let linked: Vec<_> = interfaces.iter().filter(|interface| interface.has_link()).collect();
    if linked.is_empty() {
        let cards = interfaces.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(NetworkError::NoLink { cards });
    }
    let mut attempts = Vec::new();
    for interface in linked {
        say(&interface.name);
        match try_interface(setup, interface, server) {
            Ok(lease) => return Ok(Connection { interface: interface.clone(), lease }),
            Err(reason) => attempts.push(format!("{}: {reason}", interface.name)),
        }
    }
    Err(NetworkError::Unreachable { server, attempts: attempts.join("; ") })
}

fn try_interface(
    setup: &interface::Setup,
    interface: &Interface,
    server: SocketAddr,
) -> Result<Lease, String> {
    let lease = socket::acquire(interface, ADDRESS_WITHIN).map_err(|error| error.to_string())?;
    setup.configure(interface, &lease).map_err(|error| error.to_string())?;
    match TcpStream::connect_timeout(&server, CONNECT_WITHIN) {
        Ok(_) => Ok(lease),
        Err(error) => {
            // The next card must not find this one's route in its way.
            setup.deconfigure(interface, &lease).map_err(|error| error.to_string())?;
            Err(format!("has the address {}, the server does not answer: {error}", lease.address))
        }
    }
}

/// Renews the lease for as long as the client runs; a deploy may well outlive it. The thread ends with the program.
fn keep_lease(connection: &Connection) {
    let Connection { interface, lease } = connection.clone();
    thread::spawn(move || {
        let error = socket::keep(&interface, lease);
        tracing::error!(interface = interface.name, %error, "the address is no longer ours");
    });
}
