//! ARP frames in and out of one card.

use std::{io, os::fd::AsRawFd};

use mimeo_core::wire::arp::{ArpPacket, ETHERTYPE_ARP, FRAME_BYTES};
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, MsgFlags, bind, recv, send},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::interface::Interface;

/// Hears and asks whoever is on the card's network.
pub(super) struct ArpSocket {
    socket: Socket,
}

impl ArpSocket {
    pub(super) fn open(interface: &Interface) -> io::Result<Self> {
        let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        // The address names no protocol: the socket keeps its own (packet(7)).
        bind(socket.as_raw_fd(), &link_address(interface)?)?;
        // Until it was bound the socket heard every card, and other networks may well use the same addresses.
        let mut frame = [0; FRAME_BYTES];
        while recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT).is_ok() {}
        Ok(Self { socket })
    }

    pub(super) fn ask(&self, packet: ArpPacket) -> io::Result<()> {
        let _bytes = send(self.socket.as_raw_fd(), &packet.emit_request(), MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }
}

fn link_address(interface: &Interface) -> io::Result<LinkAddr> {
    getifaddrs()?
        .filter(|entry| entry.interface_name == interface.name)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the card has no hardware address"))
}
