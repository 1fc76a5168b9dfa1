//! Carries the DHCP machine's packets, and its questions by ARP.

use std::{
    cell::OnceCell,
    fs::File,
    io::{self, Read},
    net::{Ipv4Addr, SocketAddrV4},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use mimeo_core::{ids::MacAddr, wire::arp::ArpPacket};
use socket2::{Domain, Protocol, Socket, Type};

use super::{
    arp::ArpSocket,
    dhcp::{Action, Conflict, Lease, Machine},
    interface::Interface,
};

const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;

/// A DHCP message never exceeds an Ethernet frame unless the client offers to take more, which ours does not.
const PACKET_BYTES_MAX: usize = 1500;

/// No address, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum DhcpError {
    #[error("no DHCP server gave an address within {0:?}")]
    NoAnswer(Duration),
    #[error("the address {address} that DHCP gives is used by the card {holder}")]
    AddressTaken { address: Ipv4Addr, holder: MacAddr },
    #[error("the lease of {0} was refused or not renewed")]
    LeaseLost(Ipv4Addr),
    #[error("speaking DHCP on {interface}")]
    Io { interface: String, source: io::Error },
}

/// Asks for an address, unless `over` says that nobody needs it any more.
pub fn acquire(interface: &Interface, within: Duration, over: &AtomicBool) -> Result<Lease, DhcpError> {
    let started = Instant::now();
    let channel = Channel::open(interface)?;
    let mut machine = Machine::new(interface.mac, channel.random()?);
    // An address that was granted at the last moment is not given away for the fraction of a second that its check takes.
    while (started.elapsed() < within || machine.is_probing()) && !over.load(Ordering::Relaxed) {
        if let Some(Action::Bound(lease)) = channel.step(&mut machine, started, within)? {
            return Ok(lease);
        }
    }
    Err(match machine.conflict() {
        Some(Conflict { address, holder }) => DhcpError::AddressTaken { address, holder },
        None => DhcpError::NoAnswer(within),
    })
}

/// Renews `lease` until that fails, and says why it did. An address that changes without having been lost counts as
/// lost: its user sets it up anew.
pub fn keep(interface: &Interface, lease: Lease) -> DhcpError {
    let started = Instant::now();
    let address = lease.address;
    let run = || {
        let channel = Channel::open(interface)?;
        let mut machine = Machine::bound(interface.mac, channel.random()?, lease, Duration::ZERO);
        loop {
            match channel.step(&mut machine, started, Duration::MAX)? {
                Some(Action::Lost) => return Err(DhcpError::LeaseLost(address)),
                Some(Action::Bound(renewed)) if renewed.address != address => {
                    return Err(DhcpError::LeaseLost(address));
                }
                _ => {}
            }
        }
    };
    run().unwrap_or_else(|error: DhcpError| error)
}

struct Channel<'a> {
    interface: &'a Interface,
    socket: Socket,
    /// Opened for the first question: what was heard before says nothing about now.
    arp: OnceCell<ArpSocket>,
}

impl<'a> Channel<'a> {
    fn open(interface: &'a Interface) -> Result<Self, DhcpError> {
        let open = || {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_address(true)?;
            socket.set_broadcast(true)?;
            socket.bind_device(Some(interface.name.as_bytes()))?;
            socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT).into())?;
            Ok(socket)
        };
        let socket = open().map_err(|source| Self::error(interface, source))?;
        Ok(Self { interface, socket, arp: OnceCell::new() })
    }

    /// Does what is due, then waits for a packet until the next deadline, and says what came of both.
    fn step(
        &self,
        machine: &mut Machine,
        started: Instant,
        until: Duration,
    ) -> Result<Option<Action>, DhcpError> {
        let action = machine.on_time(started.elapsed());
        if let Some(outcome) = self.send(action)? {
            return Ok(Some(outcome));
        }
        let action = match self.arp.get().filter(|_| machine.is_probing()) {
            Some(arp) => {
                let heard =
                    self.receive(arp.socket(), machine.deadline().saturating_sub(started.elapsed()))?;
                let packet = heard.as_deref().and_then(ArpPacket::parse);
                packet.and_then(|packet| machine.on_arp(packet, started.elapsed()))
            }
            None => {
                let within = machine.deadline().min(until).saturating_sub(started.elapsed());
                let heard = self.receive(&self.socket, within)?;
                heard.and_then(|packet| machine.on_packet(&packet, started.elapsed()))
            }
        };
        self.send(action)
    }

    /// Sends what an action has to say; gives back an action that says nothing on the wire.
    fn send(&self, action: Option<Action>) -> Result<Option<Action>, DhcpError> {
        let sent = match action {
            Some(Action::Broadcast(packet)) => self.send_to(Ipv4Addr::BROADCAST, &packet),
            Some(Action::Unicast(server, packet)) => self.send_to(server, &packet),
            Some(Action::Probe(packet)) => self.ask(packet),
            other => return Ok(other),
        };
        match sent {
            // A cable pulled for a moment is what the retries are for.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NetworkDown
                        | io::ErrorKind::NetworkUnreachable
                        | io::ErrorKind::HostUnreachable
                ) =>
            {
                Ok(None)
            }
            sent => sent.map(|()| None).map_err(|error| Self::error(self.interface, error)),
        }
    }

    fn send_to(&self, address: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let _bytes = self.socket.send_to(packet, &SocketAddrV4::new(address, SERVER_PORT).into())?;
        Ok(())
    }

    fn ask(&self, packet: ArpPacket) -> io::Result<()> {
        if self.arp.get().is_none() {
            let _first = self.arp.set(ArpSocket::open(self.interface)?);
        }
        self.arp.get().map_or(Ok(()), |arp| arp.ask(packet))
    }

    fn receive(&self, mut socket: &Socket, within: Duration) -> Result<Option<Vec<u8>>, DhcpError> {
        // A time-out of zero would mean "for ever" to the socket.
        let within = within.max(Duration::from_millis(1));
        socket.set_read_timeout(Some(within)).map_err(|source| Self::error(self.interface, source))?;
        let mut packet = vec![0; PACKET_BYTES_MAX];
        match socket.read(&mut packet) {
            Ok(length) => {
                packet.truncate(length);
                Ok(Some(packet))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(Self::error(self.interface, error)),
        }
    }

    /// A transaction number that others cannot guess.
    fn random(&self) -> Result<u32, DhcpError> {
        let mut bytes = [0; 4];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        read.map_err(|source| Self::error(self.interface, source))?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn error(interface: &Interface, source: io::Error) -> DhcpError {
        DhcpError::Io { interface: interface.name.clone(), source }
    }
}
