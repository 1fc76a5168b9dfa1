//! The packet: where its fields stand. What goes over it is sealed ([`super::cipher`]).
//!
//! ```text
//! offset  bytes
//!      0  1      version
//!      1  1      kind: 0 a symbol, 1 a probe
//!      2  1      key epoch
//!      3  1      zero
//!      4  4      channel
//!      8  4      block, 0 in a probe
//!     12  2      symbol, 0 in a probe
//!     14  2      how many source symbols the block has, 0 in a probe
//!     16  6      sequence number
//!     22  1408   the symbol, encrypted; zeros in a probe
//!   1430  16     tag over all that stands before it
//! ```
//!
//! Numbers are little endian. All packets have one length: the kernel cuts many of them from one buffer, and a probe that
//! arrives shows that symbols do.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::block::{BlockNumber, SYMBOL_BYTES, SourceCount, SymbolNumber};

/// The format of packets, of the table, of the keys' derivation and of the code that makes parity. Sender and receivers
/// are of one build; a packet of another is refused.
pub const VERSION: u8 = 1;

/// Length of what stands before the symbol.
pub const HEADER_BYTES: usize = 22;
/// Length of the tag that proves a packet, with either cipher.
pub const TAG_BYTES: usize = 16;
/// Length of every packet, as UDP's payload.
pub const PACKET_BYTES: usize = HEADER_BYTES + SYMBOL_BYTES + TAG_BYTES;

// Ethernet carries 1,500 bytes, of which IPv6 takes 40 and UDP 8.
const _: () = assert!(PACKET_BYTES <= 1500 - 40 - 8);

/// Which of an appliance's channels: no two that run at once have the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelNumber(pub u32);

impl fmt::Display for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which of a channel's keys, counted from 0. After 255 comes 0 again: receivers hold the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u8);

impl Epoch {
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A packet's number among all of its channel, counted from 0, through all epochs. It has 48 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// Numbers from here on do not exist: at 10 Gbit/s they would be reached after ten years.
    pub const END: u64 = 1 << 48;

    /// The packet of this number, if there can be one.
    pub fn new(number: u64) -> Option<Self> {
        (number < Self::END).then_some(Self(number))
    }

    pub fn get(self) -> u64 {
        self.0
    }

    pub(super) fn to_bytes(self) -> [u8; 6] {
        let [a, b, c, d, e, f, ..] = self.0.to_le_bytes();
        [a, b, c, d, e, f]
    }

    fn from_bytes([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// One symbol of one block, of which such a block has one of that number. It says how many source symbols there are, so
    /// who has not got the table yet can begin the block.
    Symbol { block: BlockNumber, number: SymbolNumber, sources: SourceCount },
    /// Nothing: whether it arrives is what is asked.
    Probe,
}

/// What stands before the symbol, in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub channel: ChannelNumber,
    pub epoch: Epoch,
    pub sequence: Sequence,
    pub content: Content,
}

const KIND_SYMBOL: u8 = 0;
const KIND_PROBE: u8 = 1;

impl Header {
    pub fn emit(&self) -> [u8; HEADER_BYTES] {
        let (kind, block, number, sources) = match self.content {
            Content::Symbol { block, number, sources } => (KIND_SYMBOL, block.0, number.0, sources.get()),
            Content::Probe => (KIND_PROBE, 0, 0, 0),
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[..3].copy_from_slice(&[VERSION, kind, self.epoch.0]);
        bytes[4..8].copy_from_slice(&self.channel.0.to_le_bytes());
        bytes[8..12].copy_from_slice(&block.to_le_bytes());
        bytes[12..14].copy_from_slice(&number.to_le_bytes());
        bytes[14..16].copy_from_slice(&sources.to_le_bytes());
        bytes[16..].copy_from_slice(&self.sequence.to_bytes());
        bytes
    }

    /// Reads what [`Header::emit`] wrote. Who wrote it is not known before the packet is opened.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, PacketError> {
        let [version, kind, epoch, zero, c0, c1, c2, c3, b0, b1, b2, b3, n0, n1, s0, s1, sequence @ ..] =
            *bytes;
        if version != VERSION {
            return Err(PacketError::UnknownVersion { found: version });
        }
        let block = BlockNumber(u32::from_le_bytes([b0, b1, b2, b3]));
        let number = SymbolNumber(u16::from_le_bytes([n0, n1]));
        let sources = u16::from_le_bytes([s0, s1]);
        let content = match kind {
            _ if zero != 0 => return Err(PacketError::UnknownKind { found: [kind, zero] }),
            KIND_SYMBOL => match SourceCount::new(sources) {
                Ok(sources) if number.0 < sources.symbols() => Content::Symbol { block, number, sources },
                _ => return Err(PacketError::NoSuchSymbol { number, sources }),
            },
            KIND_PROBE if (block.0, number.0, sources) == (0, 0, 0) => Content::Probe,
            KIND_PROBE => return Err(PacketError::ProbeOfBlock { block, number }),
            _ => return Err(PacketError::UnknownKind { found: [kind, zero] }),
        };
        Ok(Self {
            channel: ChannelNumber(u32::from_le_bytes([c0, c1, c2, c3])),
            epoch: Epoch(epoch),
            sequence: Sequence::from_bytes(sequence),
            content,
        })
    }
}

/// Why bytes from the network are no packet of this channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    #[error("expected a packet of {PACKET_BYTES} bytes, found {actual}")]
    WrongLength { actual: usize },
    #[error("unknown packet version {found}, this program reads {VERSION}")]
    UnknownVersion { found: u8 },
    #[error("unknown kind of packet, bytes {found:02x?}")]
    UnknownKind { found: [u8; 2] },
    #[error("a probe names symbol {number} of block {block}")]
    ProbeOfBlock { block: BlockNumber, number: SymbolNumber },
    #[error("symbol {number} of a block of {sources} source symbols")]
    NoSuchSymbol { number: SymbolNumber, sources: u16 },
    #[error("expected a packet of channel {expected}, found one of {found}")]
    OtherChannel { expected: ChannelNumber, found: ChannelNumber },
    #[error("no key of epoch {found} is held")]
    UnknownEpoch { found: Epoch },
    #[error("packet {sequence} was not made with the channel's key")]
    NotGenuine { sequence: Sequence },
    #[error(transparent)]
    Stale(#[from] super::window::Stale),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{
        BlockNumber, ChannelNumber, Content, Epoch, HEADER_BYTES, Header, PACKET_BYTES, PacketError,
        Sequence, SourceCount, SymbolNumber,
    };

    #[test]
    fn fields_stand_where_they_belong() {
        let header = Header {
            channel: ChannelNumber(0x0403_0201),
            epoch: Epoch(9),
            sequence: Sequence::new(0x0605_0403_0201).unwrap(),
            content: Content::Symbol {
                block: BlockNumber(0x0807_0605),
                number: SymbolNumber(0x0109),
                sources: SourceCount::new(0x0203).unwrap(),
            },
        };
        let expected = [1, 0, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 3, 2, 1, 2, 3, 4, 5, 6];
        assert_eq!(header.emit(), expected);
        assert_eq!(Header::parse(&expected), Ok(header));
        assert_eq!(PACKET_BYTES, 1446);
        assert_eq!(Sequence::new(1 << 48), None);
    }

    #[test]
    fn what_no_sender_writes_is_refused() {
        let probe = Header {
            channel: ChannelNumber(1),
            epoch: Epoch(0),
            sequence: Sequence::new(0).unwrap(),
            content: Content::Probe,
        };
        assert_eq!(Header::parse(&probe.emit()), Ok(probe));
        let refuse = |at: usize, byte: u8| {
            let mut bytes = probe.emit();
            bytes[at] = byte;
            Header::parse(&bytes).expect_err("refused")
        };
        assert_eq!(refuse(0, 2), PacketError::UnknownVersion { found: 2 });
        assert_eq!(refuse(1, 2), PacketError::UnknownKind { found: [2, 0] });
        assert_eq!(refuse(3, 1), PacketError::UnknownKind { found: [1, 1] });
        for at in 8..16 {
            assert!(matches!(refuse(at, 1), PacketError::ProbeOfBlock { .. }), "byte {at}");
        }
    }

    #[test]
    fn a_symbol_is_one_that_its_block_has() {
        let check = |number: u16, sources: u16| {
            let mut bytes = [0; HEADER_BYTES];
            bytes[0] = 1;
            bytes[12..14].copy_from_slice(&number.to_le_bytes());
            bytes[14..16].copy_from_slice(&sources.to_le_bytes());
            Header::parse(&bytes).map(drop)
        };
        for (number, sources) in [(0, 1), (128, 1), (407, 280), (872, 745)] {
            assert_eq!(check(number, sources), Ok(()));
        }
        for (number, sources) in [(0, 0), (129, 1), (408, 280), (873, 745), (0, 746), (u16::MAX, u16::MAX)] {
            let expected = PacketError::NoSuchSymbol { number: SymbolNumber(number), sources };
            assert_eq!(check(number, sources), Err(expected));
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(mut bytes in prop::array::uniform22(any::<u8>()), known in any::<bool>()) {
            if known {
                bytes[0] = 1;
                bytes[1] &= 1;
                bytes[3] = 0;
                bytes[13] &= 3;
                bytes[15] &= 3;
            }
            if let Ok(header) = Header::parse(&bytes) {
                assert_eq!(header.emit(), bytes);
            }
        }
    }
}
