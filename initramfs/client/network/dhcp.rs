//! The client's side of DHCP (RFC 2131 section 4.4) as a pure machine.
//!
//! ```text
//! Selecting ──OFFER──▶ Requesting ──ACK──▶ Bound ──T1──▶ Renewing ──T2──▶ Rebinding ──expiry──▶ Lost
//!     ▲                    │                 ▲              │                 │
//!     └───────NAK, silence─┘                 └────ACK───────┴─────────────────┘
//! ```
//!
//! Time is the time since the machine was made. The machine is a plain DHCP client to every server: it sends no
//! PXE class, so that a boot pool for PXE clients leaves it alone.

use std::{net::Ipv4Addr, ops::Range, time::Duration};

use dhcproto::{
    Decodable, Decoder, Encodable,
    v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode},
};
use mimeo_core::ids::MacAddr;

/// First wait for an answer; each further one is twice as long, up to [`RETRY_MAX`] (RFC 2131 section 4.1, which
/// begins at 4 s for shared networks of 1997; servers of today answer within milliseconds, or after an ARP probe).
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(16);

/// Requests for one offer before the client starts again with DISCOVER.
const REQUESTS_MAX: u32 = 3;

/// A renewal is repeated after half of what is left, but not more often than this (RFC 2131 section 4.4.5), or than
/// an eighth of a lease that is shorter than the RFC thought of.
const RENEW_RETRY_MIN: Duration = Duration::from_secs(60);

/// A lease shorter than this would have the client renew without end; it is taken for this long.
const LEASE_MIN: Duration = Duration::from_secs(10);

/// A mask that is missing or empty stands for the network of a classroom.
const PREFIX_LENGTH_DEFAULT: u8 = 24;

/// The MTU that every IPv4 network has at least (RFC 2132 section 5.1 allows down to 68, on which nothing works), and
/// that of Ethernet, which every card has from the start.
const MTU_RANGE: Range<u16> = 576..1500;

/// Where a message says how long its hardware address is (RFC 2131 section 2).
const HLEN_OFFSET: usize = 2;

/// What a server granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    pub router: Option<Ipv4Addr>,
    /// Where the network carries less than Ethernet does (a tunnel between sites), the longest packet.
    pub mtu: Option<u16>,
    pub server: Ipv4Addr,
    pub duration: Duration,
}

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send to 255.255.255.255.
    Broadcast(Vec<u8>),
    /// Send to the server that granted the lease.
    Unicast(Ipv4Addr, Vec<u8>),
    /// The lease holds (again) from now on.
    Bound(Lease),
    /// The lease ran out and nobody renewed it.
    Lost,
}

/// One card's conversation.
#[derive(Debug)]
pub struct Machine {
    mac: MacAddr,
    transaction: u32,
    state: State,
    /// When to do something although nobody answered.
    deadline: Duration,
}

#[derive(Debug)]
enum State {
    Selecting { sent: u32 },
    Requesting { offer: Lease, sent: u32 },
    Bound { lease: Lease, expires: Duration },
    Lost,
}

impl Machine {
    /// A machine that begins with DISCOVER. `transaction` is random: it tells our answers from others'.
    pub fn new(mac: MacAddr, transaction: u32) -> Self {
        Self { mac, transaction, state: State::Selecting { sent: 0 }, deadline: Duration::ZERO }
    }

    /// A machine that holds `lease` since `now` and has to renew it in time.
    pub fn bound(mac: MacAddr, transaction: u32, lease: Lease, now: Duration) -> Self {
        let mut machine = Self::new(mac, transaction);
        machine.bind(lease, now);
        machine
    }

    /// When [`Machine::on_time`] wants to be called.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What is due at `now`.
    pub fn on_time(&mut self, now: Duration) -> Option<Action> {
        if now < self.deadline {
            return None;
        }
        match &mut self.state {
            State::Selecting { sent } => {
                self.deadline = now + retry_after(*sent);
                *sent += 1;
                Some(Action::Broadcast(self.discover()))
            }
            State::Requesting { sent, .. } if *sent >= REQUESTS_MAX => {
                self.state = State::Selecting { sent: 0 };
                self.deadline = now;
                self.on_time(now)
            }
            State::Requesting { offer, sent } => {
                self.deadline = now + retry_after(*sent);
                *sent += 1;
                let offer = offer.clone();
                Some(Action::Broadcast(self.request_offered(&offer)))
            }
            State::Bound { lease, expires } => {
                let (lease, expires) = (lease.clone(), *expires);
                self.renew(&lease, expires, now)
            }
            State::Lost => None,
        }
    }

    /// What follows from a packet that arrived on the client's port.
    pub fn on_packet(&mut self, bytes: &[u8], now: Duration) -> Option<Action> {
        // dhcproto takes the length of the hardware address on trust and panics where it is beyond its field.
        if bytes.get(HLEN_OFFSET) != Some(&(self.mac.0.len() as u8)) {
            return None;
        }
        let message = Message::decode(&mut Decoder::new(bytes)).ok()?;
        if message.opcode() != Opcode::BootReply
            || message.xid() != self.transaction
            || message.chaddr() != self.mac.0.as_slice()
        {
            return None;
        }
        match (message.opts().msg_type()?, &self.state) {
            (MessageType::Offer, State::Selecting { .. }) => {
                self.state = State::Requesting { offer: lease(&message)?, sent: 0 };
                self.deadline = now;
                self.on_time(now)
            }
            (MessageType::Ack, State::Requesting { .. } | State::Bound { .. }) => {
                let lease = lease(&message)?;
                self.bind(lease.clone(), now);
                Some(Action::Bound(lease))
            }
            (MessageType::Nak, State::Requesting { .. }) => {
                self.state = State::Selecting { sent: 0 };
                self.deadline = now + RETRY_FIRST;
                None
            }
            (MessageType::Nak, State::Bound { .. }) => {
                self.state = State::Lost;
                Some(Action::Lost)
            }
            _ => None,
        }
    }

    fn bind(&mut self, lease: Lease, now: Duration) {
        self.deadline = now + lease.duration / 2;
        self.state = State::Bound { expires: now + lease.duration, lease };
    }

    /// T1 has come: ask the server that granted the lease; from T2 (seven eighths) on ask anybody.
    fn renew(&mut self, lease: &Lease, expires: Duration, now: Duration) -> Option<Action> {
        if now >= expires {
            self.state = State::Lost;
            return Some(Action::Lost);
        }
        let left = expires - now;
        let retry_min = RENEW_RETRY_MIN.min(lease.duration / 8);
        self.deadline = (now + (left / 2).max(retry_min)).min(expires);
        let request = self.request_renewal(lease);
        let rebinding = left <= lease.duration / 8;
        Some(if rebinding { Action::Broadcast(request) } else { Action::Unicast(lease.server, request) })
    }

    fn discover(&self) -> Vec<u8> {
        self.message(MessageType::Discover, Ipv4Addr::UNSPECIFIED, vec![])
    }

    fn request_offered(&self, offer: &Lease) -> Vec<u8> {
        let named =
            vec![DhcpOption::RequestedIpAddress(offer.address), DhcpOption::ServerIdentifier(offer.server)];
        self.message(MessageType::Request, Ipv4Addr::UNSPECIFIED, named)
    }

    fn request_renewal(&self, lease: &Lease) -> Vec<u8> {
        self.message(MessageType::Request, lease.address, vec![])
    }

    fn message(&self, kind: MessageType, ciaddr: Ipv4Addr, options: Vec<DhcpOption>) -> Vec<u8> {
        let mut message = Message::default();
        message
            .set_opcode(Opcode::BootRequest)
            .set_xid(self.transaction)
            .set_chaddr(&self.mac.0)
            .set_ciaddr(ciaddr);
        if ciaddr.is_unspecified() {
            // Without an address of its own the kernel takes only broadcasts.
            message.set_flags(Flags::default().set_broadcast());
        }
        let wanted = vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::InterfaceMtu,
            OptionCode::AddressLeaseTime,
        ];
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        message.opts_mut().insert(DhcpOption::ParameterRequestList(wanted));
        options.into_iter().for_each(|option| {
            message.opts_mut().insert(option);
        });
        // A vector takes what it is given, and no option above is too long for its length byte.
        message.to_vec().unwrap_or_else(|error| panic!("encoding a DHCP message: {error}"))
    }
}

fn retry_after(sent: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << sent.min(8)).min(RETRY_MAX)
}

/// The lease in an OFFER or ACK; `None` where it offers no address (a ProxyDHCP server's answer) or says not whose.
fn lease(message: &Message) -> Option<Lease> {
    let address = message.yiaddr();
    let option = |code| message.opts().get(code);
    let server = match option(OptionCode::ServerIdentifier) {
        Some(DhcpOption::ServerIdentifier(server)) => *server,
        _ => return None,
    };
    if address.is_unspecified() {
        return None;
    }
    let prefix_length = match option(OptionCode::SubnetMask) {
        Some(DhcpOption::SubnetMask(mask)) if !mask.is_unspecified() => u32::from(*mask).leading_ones() as u8,
        _ => PREFIX_LENGTH_DEFAULT,
    };
    let router = match option(OptionCode::Router) {
        Some(DhcpOption::Router(routers)) => routers.first().copied(),
        _ => None,
    };
    let mtu = match option(OptionCode::InterfaceMtu) {
        Some(DhcpOption::InterfaceMtu(mtu)) if MTU_RANGE.contains(mtu) => Some(*mtu),
        _ => None,
    };
    let seconds = match option(OptionCode::AddressLeaseTime) {
        Some(DhcpOption::AddressLeaseTime(seconds)) => *seconds,
        _ => u32::MAX,
    };
    let duration = Duration::from_secs(seconds.into()).max(LEASE_MIN);
    Some(Lease { address, prefix_length, router, mtu, server, duration })
}

#[cfg(test)]
mod tests;
