//! Hearing other DHCP servers, and asking them as a booting machine does.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use dhcproto::{
    Encodable,
    v4::{self, DhcpOption, MessageType, OptionCode, UnknownOption},
};
use mimeo_core::ids::MacAddr;
use tokio::time::{Instant, sleep_until};

use super::{
    decide::{CLIENT_PORT, SERVER_PORT},
    link::{ETHERTYPE_IPV4, FrameSocket, Link, udp_broadcast, udp_payload, udp_to},
    observe::{ForeignServer, ForeignServers},
    packet::Overheard,
};
use crate::clock::Timestamp;

/// Frames that are read in one go before something else has its turn.
const FRAMES_MAX: usize = 64;
/// While listening, servers are asked anew after this time: the first question may have met a switch port that
/// forwards nothing yet.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// How long we say that we have been asking: a server that leaves the first answers to another (`min-secs` of ISC
/// dhcpd) answers this.
const SECONDS_SAID: u16 = 60;

/// Hears what servers broadcast to clients on one interface.
#[derive(Debug)]
pub(super) struct Ears {
    socket: FrameSocket,
    mac: MacAddr,
    /// The number of all our questions: a slow server answers one when the next was asked already.
    xid: u32,
}

impl Ears {
    pub(super) fn open(link: &Link) -> io::Result<Self> {
        let socket = link.open(ETHERTYPE_IPV4, &udp_to(CLIENT_PORT))?;
        Ok(Self { socket, mac: link.mac, xid: rand::random() })
    }

    /// Waits until something was heard. Cancel-safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// What was heard by now.
    pub(super) fn heard(&self) -> io::Result<Vec<Overheard>> {
        let mut heard = Vec::new();
        for _ in 0..FRAMES_MAX {
            let Some(frame) = self.socket.try_read()? else { break };
            heard.extend(udp_payload(&frame).and_then(|bytes| Overheard::parse(bytes).ok()));
        }
        Ok(heard)
    }

    /// Asks every server for an offer, which is never taken.
    pub(super) fn ask(&self) -> io::Result<()> {
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, CLIENT_PORT);
        let frame = question(self.mac, self.xid)
            .and_then(|bytes| udp_broadcast(self.mac, from, SERVER_PORT, &bytes))
            .ok_or(io::ErrorKind::InvalidData)?;
        self.socket.send(&frame)
    }

    /// Whether an answer was to our own question, and not to this host as a client for its own address.
    pub(super) fn is_ours(&self, heard: &Overheard) -> bool {
        (heard.machine, heard.xid) == (self.mac, self.xid)
    }
}

/// Listens on an interface for so long, asking as a booting machine would, and tells which DHCP servers there are:
/// what [`super::observe::propose_mode`] wants to know. Needs no address on the interface.
pub async fn listen(interface: &str, window: Duration) -> io::Result<Vec<ForeignServer>> {
    let ears = Ears::open(&Link::find(interface)?)?;
    let mut servers = ForeignServers::default();
    let end = Instant::now() + window;
    let mut ask_at = Instant::now();
    while Instant::now() < end {
        if ask_at <= Instant::now() {
            ears.ask()?;
            ask_at += ASK_EVERY;
        }
        tokio::select! {
            readable = ears.readable() => readable?,
            () = sleep_until(ask_at.min(end)) => {}
        }
        for heard in ears.heard()? {
            servers.hear(&heard, ears.is_ours(&heard), Timestamp::now());
        }
    }
    Ok(servers.servers().cloned().collect())
}

/// A DISCOVER such as UEFI firmware sends. The client identifier keeps it apart from this host's own lease.
fn question(mac: MacAddr, xid: u32) -> Option<Vec<u8>> {
    let mut message = v4::Message::default();
    message.set_xid(xid).set_chaddr(&mac.0).set_flags(v4::Flags::default().set_broadcast());
    message.set_secs(SECONDS_SAID);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(MessageType::Discover));
    options.insert(DhcpOption::ClassIdentifier(b"PXEClient:Arch:00007:UNDI:003000".to_vec()));
    options.insert(DhcpOption::ClientSystemArchitecture(v4::Architecture::X64));
    options.insert(DhcpOption::ClientNetworkInterface(1, 3, 0));
    let identifier = [b"\0mimeo ".as_slice(), &mac.0].concat();
    options.insert(DhcpOption::Unknown(UnknownOption::new(OptionCode::ClientIdentifier, identifier)));
    options.insert(DhcpOption::ParameterRequestList(vec![
        OptionCode::SubnetMask,
        OptionCode::Router,
        OptionCode::VendorExtensions,
        OptionCode::ClassIdentifier,
        OptionCode::TFTPServerName,
        OptionCode::BootfileName,
    ]));
    let mut bytes = message.to_vec().ok()?;
    bytes.resize(bytes.len().max(v4::MIN_PACKET_SIZE), 0);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::question;
    use crate::boot::{
        dhcp::packet::{Ask, Request},
        firmware::{Architecture, Speaker},
    };

    #[test]
    fn our_question_is_that_of_uefi_firmware() {
        let mac = MacAddr([2, 0, 0, 0, 0, 1]);
        let request = Request::parse(&question(mac, 7).expect("bytes")).expect("well formed");
        let got = (request.ask, request.speaker, request.architecture, request.mac, request.xid);
        assert_eq!(got, (Ask::Discover, Some(Speaker::Pxe), Architecture::UefiX64, mac, 7));
    }
}
