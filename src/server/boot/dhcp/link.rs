//! The wire below IP: Ethernet frames in and out of one interface.
//!
//! Needed where UDP sockets do not reach: to ask by ARP whether an address is in use, and to hear and to ask other
//! DHCP servers as a client without an address does, whoever holds port 68 on this host.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::AsRawFd,
};

use mimeo_core::ids::MacAddr;
use nix::{
    ifaddrs::getifaddrs,
    sys::socket::{LinkAddr, MsgFlags, bind, recv, send},
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::net::UdpSocket;

/// EtherType (IEEE 802 numbers).
pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;

/// The longest frame that is read: an Ethernet frame, or what a virtual interface puts together from several.
const FRAME_BYTES_MAX: usize = 9216;
const ETHERNET_HEADER_BYTES: usize = 14;
const IPV4_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const UDP: u8 = 17;

/// An interface, as the kernel knows it now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    address: LinkAddr,
    pub(super) mac: MacAddr,
}

impl Link {
    pub(super) fn find(interface: &str) -> io::Result<Self> {
        getifaddrs()?
            .filter(|entry| entry.interface_name == interface)
            .filter_map(|entry| entry.address?.as_link_addr().copied())
            .find_map(|address| Some(Self { address, mac: MacAddr(address.addr()?) }))
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such Ethernet interface"))
    }

    /// Opens the interface for frames of one EtherType, of those only what `filter` accepts.
    pub(super) fn open(&self, ethertype: u16, filter: &[SockFilter]) -> io::Result<FrameSocket> {
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if !filter.is_empty() {
            socket.attach_filter(filter)?;
        }
        // The address names no protocol: the socket keeps its own (packet(7)).
        bind(socket.as_raw_fd(), &self.address)?;
        // Until it was bound the socket heard every interface.
        let mut frame = [0];
        while recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT).is_ok() {}
        Ok(FrameSocket { socket: UdpSocket::from_std(socket.into())? })
    }
}

/// A socket for whole frames of one interface.
///
/// It is dressed as a UDP socket, since tokio has no type for packet sockets: connected receiving and sending and
/// waiting are the same calls for every kind of datagram socket, and no others are made.
#[derive(Debug)]
pub(super) struct FrameSocket {
    socket: UdpSocket,
}

impl FrameSocket {
    /// Waits until there is a frame. Cancel-safe.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// The next frame, if one was waited for.
    pub(super) fn try_read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        match self.socket.try_recv(&mut frame) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a frame at once or not at all.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let _bytes = send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}

/// A classic BPF program that accepts UDP to one port, unfragmented, over IPv4.
pub(super) fn udp_to(port: u16) -> [SockFilter; 9] {
    use nix::libc::{
        BPF_ABS, BPF_B, BPF_H, BPF_IND, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_LDX, BPF_MSH, BPF_RET,
    };
    let op = |code: u32, jt, jf, k| SockFilter::new(code as u16, jt, jf, k);
    [
        op(BPF_LD | BPF_B | BPF_ABS, 0, 0, 23),
        op(BPF_JMP | BPF_JEQ | BPF_K, 0, 6, UDP.into()),
        op(BPF_LD | BPF_H | BPF_ABS, 0, 0, 20),
        op(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 0x1fff),
        op(BPF_LDX | BPF_B | BPF_MSH, 0, 0, 14),
        op(BPF_LD | BPF_H | BPF_IND, 0, 0, 16),
        op(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, port.into()),
        op(BPF_RET | BPF_K, 0, 0, u32::MAX),
        op(BPF_RET | BPF_K, 0, 0, 0),
    ]
}

/// A broadcast frame with a UDP datagram. Its UDP checksum is left out, as IPv4 allows (RFC 768).
pub(super) fn udp_broadcast(
    source: MacAddr,
    from: SocketAddrV4,
    to_port: u16,
    payload: &[u8],
) -> Option<Vec<u8>> {
    let udp_length = u16::try_from(UDP_HEADER_BYTES + payload.len()).ok()?;
    let ip_length = udp_length.checked_add(IPV4_HEADER_BYTES as u16)?;
    let mut header = [0; IPV4_HEADER_BYTES];
    header[0] = 0x45;
    header[2..4].copy_from_slice(&ip_length.to_be_bytes());
    header[8] = 64; // time to live
    header[9] = UDP;
    header[12..16].copy_from_slice(&from.ip().octets());
    header[16..20].copy_from_slice(&Ipv4Addr::BROADCAST.octets());
    let checksum = internet_checksum(&header);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    let mut frame = [0xff; 6].to_vec();
    frame.extend(source.0);
    frame.extend(ETHERTYPE_IPV4.to_be_bytes());
    frame.extend(header);
    for field in [from.port(), to_port, udp_length, 0] {
        frame.extend(field.to_be_bytes());
    }
    frame.extend(payload);
    Some(frame)
}

/// The payload of a frame that [`udp_to`] accepted. Checksums are not looked at: the kernel hands out frames of the
/// same host before the card would have filled them in.
pub(super) fn udp_payload(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(ETHERNET_HEADER_BYTES..)?;
    let header = usize::from(packet.first()? & 0xf) * 4;
    let datagram = packet.get(header..)?;
    let length = usize::from(u16::from_be_bytes([*datagram.get(4)?, *datagram.get(5)?]));
    datagram.get(UDP_HEADER_BYTES..length)
}

/// RFC 1071, over whole 16-bit words.
fn internet_checksum(header: &[u8; IPV4_HEADER_BYTES]) -> u16 {
    let sum: u32 = header.as_chunks::<2>().0.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use mimeo_core::ids::MacAddr;
    use proptest::prelude::{any, proptest};

    use super::{internet_checksum, udp_broadcast, udp_payload};

    #[test]
    fn a_datagram_is_read_back_from_its_frame() {
        let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68);
        let frame = udp_broadcast(MacAddr([2, 0, 0, 0, 0, 1]), from, 67, b"hello").expect("short");
        assert_eq!(udp_payload(&frame), Some(b"hello".as_slice()));
        assert_eq!(udp_broadcast(MacAddr([2; 6]), from, 67, &vec![0; 65_535]), None, "too long for IPv4");
    }

    #[test]
    fn the_checksum_is_the_one_of_a_header_seen_on_a_wire() {
        let mut header: [u8; 20] = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0x00, 0x01, 0xc0,
            0xa8, 0x00, 0xc7,
        ];
        assert_eq!(internet_checksum(&header), 0xb861);
        header[10..12].copy_from_slice(&[0xb8, 0x61]);
        assert_eq!(internet_checksum(&header), 0);
    }

    proptest! {
        #[test]
        fn any_frame_may_be_looked_into(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(payload) = udp_payload(&frame) {
                assert!(payload.len() < frame.len());
            }
        }
    }
}
