//! A client made of bytes: says what a test wants said, hears what everybody answers.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::{Duration, Instant},
};

use mimeo_core::ids::MacAddr;
use mimeo_lab::network::Host;
use socket2::{Domain, Socket, Type};

use super::net::PATIENCE;

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const REQUEST: u8 = 3;

pub(crate) const ORDINARY: &[u8] = b"\x3c\x08MSFT 5.0";
pub(crate) const UEFI_PXE: &[u8] =
    b"\x3c\x20PXEClient:Arch:00007:UNDI:003000\x5d\x02\0\x07\x5e\x03\x01\x03\0";
pub(crate) const BIOS_PXE: &[u8] =
    b"\x3c\x20PXEClient:Arch:00000:UNDI:002001\x5d\x02\0\0\x5e\x03\x01\x02\x01";
pub(crate) const UEFI_HTTP: &[u8] =
    b"\x3c\x21HTTPClient:Arch:00016:UNDI:003000\x5d\x02\0\x10\x5e\x03\x01\x03\0";
pub(crate) const IPXE: &[u8] =
    b"\x3c\x20PXEClient:Arch:00007:UNDI:003000\x5d\x02\0\x07\x4d\x04iPXE\xaf\x03\xb1\x01\x01";

/// What some server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: u8,
    pub(crate) server: Ipv4Addr,
    /// `yiaddr`
    pub(crate) address: Ipv4Addr,
    /// `siaddr`
    pub(crate) next_server: Ipv4Addr,
    pub(crate) file: String,
    pub(crate) options: Vec<(u8, Vec<u8>)>,
}

impl Said {
    pub(crate) fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(other, _)| *other == code).map(|(_, value)| value.as_slice())
    }

    fn parse(bytes: &[u8], xid: u32) -> Option<Self> {
        (bytes.first() == Some(&2) && bytes.get(4..8)? == xid.to_be_bytes()).then_some(())?;
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?));
        let mut options = Vec::new();
        let mut rest = bytes.get(240..)?;
        while let [code, length, tail @ ..] = rest {
            match code {
                0 => rest = &rest[1..],
                255 => break,
                code => {
                    let (value, tail) = tail.split_at_checked(usize::from(*length))?;
                    options.push((*code, value.to_vec()));
                    rest = tail;
                }
            }
        }
        let option = |code: u8| options.iter().find(|(other, _)| *other == code).map(|(_, value)| value);
        let server = Ipv4Addr::from(<[u8; 4]>::try_from(option(54)?.as_slice()).ok()?);
        let file = option(67).map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        let kind = *option(53)?.first()?;
        Some(Self { kind, server, address: address(16)?, next_server: address(20)?, file, options })
    }
}

/// A card on a host.
pub(crate) struct Client {
    socket: UdpSocket,
    pub(crate) mac: MacAddr,
    xid: u32,
    /// Since when it asks, as it says itself.
    begun: Instant,
}

impl Client {
    /// A client with a card of its own number. It holds port 68 of its host.
    pub(crate) fn open(host: &Host, number: u8) -> Self {
        let socket = host.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
            // Without it a broadcast to everybody would need a route.
            socket.bind_device(Some(b"eth0")).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.bind(&SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68).into()).unwrap();
            UdpSocket::from(socket)
        });
        let (mac, xid) = (MacAddr([2, 0x77, 0, 0, 0, number]), rand::random());
        Self { socket: socket.unwrap(), mac, xid, begun: Instant::now() }
    }

    /// Begins anew, as a program that starts does.
    pub(crate) fn begin(&mut self) {
        self.xid = rand::random();
        self.begun = Instant::now();
    }

    pub(crate) fn message(&self, kind: u8, options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 240];
        bytes[..3].copy_from_slice(&[1, 1, 6]);
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        let seconds = self.begun.elapsed().as_secs() as u16;
        bytes[8..10].copy_from_slice(&seconds.to_be_bytes());
        bytes[10] = 0x80; // answer by broadcast
        bytes[28..34].copy_from_slice(&self.mac.0);
        bytes[236..].copy_from_slice(&[99, 130, 83, 99]);
        bytes.extend([53, 1, kind]);
        bytes.extend(options);
        bytes.push(255);
        bytes
    }

    /// Sends to everybody's port 67.
    pub(crate) fn broadcast(&self, message: &[u8]) {
        self.send(message, SocketAddrV4::new(Ipv4Addr::BROADCAST, 67));
    }

    pub(crate) fn send(&self, message: &[u8], to: SocketAddrV4) {
        self.socket.send_to(message, to).unwrap();
    }

    /// What is answered within that time.
    pub(crate) fn hear(&self, time: Duration) -> Vec<Said> {
        let deadline = Instant::now() + time;
        let mut heard = Vec::new();
        let mut bytes = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            if let Ok((length, _)) = self.socket.recv_from(&mut bytes) {
                heard.extend(Said::parse(&bytes[..length], self.xid));
            }
            if Instant::now() >= deadline {
                return heard;
            }
        }
    }

    /// Asks, again every second, until somebody gave the answer that is waited for; fails when nobody does. Tells
    /// all that was answered.
    pub(crate) fn ask_until(
        &mut self,
        kind: u8,
        options: &[u8],
        to: SocketAddrV4,
        done: impl Fn(&[Said]) -> bool,
    ) -> Vec<Said> {
        let deadline = Instant::now() + PATIENCE;
        let mut heard = Vec::new();
        while !done(&heard) {
            assert!(Instant::now() < deadline, "nobody gave the answer; heard {heard:?}");
            self.send(&self.message(kind, options), to);
            heard.extend(self.hear(Duration::from_secs(1)));
        }
        heard
    }

    /// DISCOVER until each of these servers has offered something.
    pub(crate) fn discover(&mut self, class: &[u8], servers: &[Ipv4Addr]) -> Vec<Said> {
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
        let all =
            |heard: &[Said]| servers.iter().all(|server| heard.iter().any(|said| said.server == *server));
        self.ask_until(DISCOVER, class, everybody, all)
    }

    /// REQUEST of an offer: the answer.
    pub(crate) fn take(&mut self, class: &[u8], offer: &Said) -> Said {
        let mut options = class.to_vec();
        options.extend([50, 4]);
        options.extend(offer.address.octets());
        options.extend([54, 4]);
        options.extend(offer.server.octets());
        let everybody = SocketAddrV4::new(Ipv4Addr::BROADCAST, 67);
        let answered = |said: &Said| said.kind >= 5;
        let heard = self.ask_until(REQUEST, &options, everybody, |heard| heard.iter().any(answered));
        heard.into_iter().find(answered).unwrap()
    }
}
