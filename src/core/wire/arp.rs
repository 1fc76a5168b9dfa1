//! ARP as far as asking whether an address is in use needs it (RFC 826, RFC 5227 section 2.1.1): whole Ethernet frames.

use std::net::Ipv4Addr;

use crate::ids::MacAddr;

/// EtherType (IEEE 802 numbers).
pub const ETHERTYPE_ARP: u16 = 0x0806;

/// Ethernet, IPv4, six and four bytes of address.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const BROADCAST: [u8; 6] = [0xff; 6];

const HEADER_BYTES: usize = 14;
/// A frame of ARP without the filling that Ethernet may append.
pub const FRAME_BYTES: usize = HEADER_BYTES + 28;

/// What a host says of itself and whom it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArpPacket {
    pub sender: MacAddr,
    pub sender_address: Ipv4Addr,
    pub target_address: Ipv4Addr,
}

impl ArpPacket {
    /// A probe: a question that comes from no address, so that it enters nobody's table.
    pub fn probe(sender: MacAddr, address: Ipv4Addr) -> Self {
        Self { sender, sender_address: Ipv4Addr::UNSPECIFIED, target_address: address }
    }

    /// The address that is in use, or about to be, by the word of the sender: who speaks as an address uses it, and
    /// who probes for one wants it.
    pub fn claimed(self) -> Ipv4Addr {
        if self.sender_address.is_unspecified() { self.target_address } else { self.sender_address }
    }

    /// The packet as a question to everybody.
    pub fn emit_request(self) -> Vec<u8> {
        let ethertype = ETHERTYPE_ARP.to_be_bytes();
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        for part in [
            &BROADCAST[..],
            &self.sender.0,
            &ethertype,
            &KIND,
            &REQUEST,
            &self.sender.0,
            &self.sender_address.octets(),
            &[0; 6],
            &self.target_address.octets(),
        ] {
            frame.extend_from_slice(part);
        }
        frame
    }

    /// Reads a question or an answer; `None` where the frame is neither.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(HEADER_BYTES..FRAME_BYTES)?;
        let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?));
        packet.starts_with(&KIND).then_some(())?;
        let sender = MacAddr(packet.get(8..14)?.try_into().ok()?);
        Some(Self { sender, sender_address: address(14)?, target_address: address(24)? })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::{any, proptest};

    use super::{ArpPacket, FRAME_BYTES};
    use crate::ids::MacAddr;

    const US: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    #[test]
    fn a_probe_says_what_rfc_5227_wants() {
        let frame = ArpPacket::probe(US, ADDRESS).emit_request();
        assert_eq!(
            hex::encode(&frame),
            "ffffffffffff0200000000010806000108000604000102000000000100000000000000000000\
             0a000009"
        );
        assert_eq!(ArpPacket::parse(&frame), Some(ArpPacket::probe(US, ADDRESS)));
    }

    #[test]
    fn an_address_is_claimed_by_who_speaks_as_it_or_probes_for_it() {
        let elsewhere = Ipv4Addr::new(10, 0, 0, 8);
        let says = |sender_address, target_address| {
            ArpPacket { sender: US, sender_address, target_address }.claimed()
        };
        assert_eq!(says(ADDRESS, elsewhere), ADDRESS);
        assert_eq!(says(elsewhere, ADDRESS), elsewhere, "asking for an address as somebody is no use of it");
        assert_eq!(says(Ipv4Addr::UNSPECIFIED, ADDRESS), ADDRESS);
    }

    proptest! {
        #[test]
        fn any_frame_may_be_looked_into(frame in proptest::collection::vec(any::<u8>(), 0..64)) {
            assert!(ArpPacket::parse(&frame).is_none() || frame.len() >= FRAME_BYTES);
        }
    }
}
