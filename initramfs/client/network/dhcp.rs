//! The client's side of DHCP (RFC 2131 section 4.4) as a pure machine.
//!
//! ```text
//! Selecting ──OFFER──▶ Requesting ──ACK──▶ Probing ──silence──▶ Bound ──T1──▶ Renewing ──T2──▶ Rebinding ──expiry──▶ Lost
//!     ▲                    │                  │                  │              │                 │
//!     └───────NAK, silence─┘                  │                  └────ACK───────┴─────────────────┘
//!     └───────────DECLINE──somebody has it────┘
//! ```
//!
//! Time is the time since the machine was made. The machine is a plain DHCP client to every server: it sends no
//! PXE class, so that a boot pool for PXE clients leaves it alone.

mod answer;

use std::{net::Ipv4Addr, time::Duration};

use dhcproto::{
    Encodable,
    v4::{DhcpOption, Flags, Message, MessageType, Opcode},
};
use mimeo_core::{ids::MacAddr, wire::arp::ArpPacket};

use self::answer::{CLASSLESS_ROUTES, INTERFACE_MTU, Kind, LEASE_TIME, ROUTER, SUBNET_MASK};
pub use self::answer::{Lease, Route};

/// First wait for an answer; each further one is twice as long, up to [`RETRY_MAX`] (RFC 2131 section 4.1, which
/// begins at 4 s for shared networks of 1997; servers of today answer within milliseconds, or after an ARP probe).
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MAX: Duration = Duration::from_secs(16);

/// Requests for one offer before the client starts again with DISCOVER.
const REQUESTS_MAX: u32 = 3;

/// How often the network is asked whether somebody uses the address that was granted, and how long each question waits
/// for an answer. RFC 5227 section 2.1.1 has three questions and 4 to 7 s; hosts answer within milliseconds, sleepy
/// ones within a few hundred, and the second question is for a frame that gets lost. The 0.4 s that this takes are a
/// hundredth of a boot.
const PROBES: u32 = 2;
const PROBE_WAIT: Duration = Duration::from_millis(200);

/// A renewal is repeated after half of what is left, but not more often than this (RFC 2131 section 4.4.5), or than
/// an eighth of a lease that is shorter than the RFC thought of.
const RENEW_RETRY_MIN: Duration = Duration::from_secs(60);

/// What a server is asked to tell. Classless routes stand before the router, as RFC 3442 wants it.
const WANTED: [u8; 5] = [SUBNET_MASK, CLASSLESS_ROUTES, ROUTER, INTERFACE_MTU, LEASE_TIME];

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send to 255.255.255.255.
    Broadcast(Vec<u8>),
    /// Send to the server that granted the lease.
    Unicast(Ipv4Addr, Vec<u8>),
    /// Ask this by ARP and hand what is heard to [`Machine::on_arp`].
    Probe(ArpPacket),
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
    /// Addresses that somebody else used, and the last of them.
    declined: u32,
    conflict: Option<Conflict>,
}

/// A granted address that another card uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    pub address: Ipv4Addr,
    pub holder: MacAddr,
}

#[derive(Debug)]
enum State {
    Selecting { sent: u32 },
    Requesting { offer: Lease, sent: u32 },
    Probing { lease: Lease, sent: u32 },
    Bound { lease: Lease, expires: Duration },
    Lost,
}

impl Machine {
    /// A machine that begins with DISCOVER. `transaction` is random: it tells our answers from others'.
    pub fn new(mac: MacAddr, transaction: u32) -> Self {
        let state = State::Selecting { sent: 0 };
        Self { mac, transaction, state, deadline: Duration::ZERO, declined: 0, conflict: None }
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

    /// Whether the network is being asked for the address that was granted: then ARP is to be listened to.
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing { .. })
    }

    /// The last address that was granted and is somebody else's.
    pub fn conflict(&self) -> Option<Conflict> {
        self.conflict
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
            State::Probing { lease, sent } if *sent < PROBES => {
                self.deadline = now + PROBE_WAIT;
                *sent += 1;
                Some(Action::Probe(ArpPacket::probe(self.mac, lease.address)))
            }
            State::Probing { lease, .. } => {
                let lease = lease.clone();
                self.bind(lease.clone(), now);
                Some(Action::Bound(lease))
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
        let answer = answer::parse(bytes, self.mac, self.transaction)?;
        match (answer.kind, &self.state) {
            (Kind::Offer, State::Selecting { .. }) => {
                self.state = State::Requesting { offer: answer.lease?, sent: 0 };
                self.deadline = now;
                self.on_time(now)
            }
            (Kind::Ack, State::Requesting { .. }) => {
                self.state = State::Probing { lease: answer.lease?, sent: 0 };
                self.deadline = now;
                self.on_time(now)
            }
            (Kind::Ack, State::Bound { .. }) => {
                let lease = answer.lease?;
                self.bind(lease.clone(), now);
                Some(Action::Bound(lease))
            }
            (Kind::Nak, State::Requesting { .. } | State::Probing { .. }) => {
                self.state = State::Selecting { sent: 0 };
                self.deadline = now + RETRY_FIRST;
                None
            }
            (Kind::Nak, State::Bound { .. }) => {
                self.state = State::Lost;
                Some(Action::Lost)
            }
            _ => None,
        }
    }

    /// What follows from an ARP packet that was heard: somebody who uses the address, or is about to, keeps it. The
    /// server is told, which then gives another. The more often that happens, the longer is the wait before the next
    /// question (RFC 2131 section 3.1.5 wants 10 s each time, so that nobody asks in a circle without rest).
    pub fn on_arp(&mut self, heard: ArpPacket, now: Duration) -> Option<Action> {
        let State::Probing { lease, .. } = &self.state else { return None };
        if heard.sender == self.mac || heard.claimed() != lease.address {
            return None;
        }
        let decline = Action::Broadcast(self.decline(lease));
        self.conflict = Some(Conflict { address: lease.address, holder: heard.sender });
        self.state = State::Selecting { sent: 0 };
        self.deadline = now + retry_after(self.declined);
        self.declined += 1;
        Some(decline)
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
        self.message(MessageType::Discover, Ipv4Addr::UNSPECIFIED, vec![wanted()])
    }

    fn request_offered(&self, offer: &Lease) -> Vec<u8> {
        let options = [offered(offer), vec![wanted()]].concat();
        self.message(MessageType::Request, Ipv4Addr::UNSPECIFIED, options)
    }

    fn request_renewal(&self, lease: &Lease) -> Vec<u8> {
        self.message(MessageType::Request, lease.address, vec![wanted()])
    }

    fn decline(&self, lease: &Lease) -> Vec<u8> {
        self.message(MessageType::Decline, Ipv4Addr::UNSPECIFIED, offered(lease))
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
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        options.into_iter().for_each(|option| {
            message.opts_mut().insert(option);
        });
        // A vector takes what it is given, and no option above is too long for its length byte.
        message.to_vec().unwrap_or_else(|error| panic!("encoding a DHCP message: {error}"))
    }
}

fn wanted() -> DhcpOption {
    DhcpOption::ParameterRequestList(WANTED.map(Into::into).into())
}

/// Which offer of which server is meant.
fn offered(lease: &Lease) -> Vec<DhcpOption> {
    vec![DhcpOption::RequestedIpAddress(lease.address), DhcpOption::ServerIdentifier(lease.server)]
}

fn retry_after(sent: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << sent.min(8)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests;
