//! The receiver's side of the packets.

use super::{
    block::Symbol,
    cipher::{Cipher, GroupSecret, PacketBytes, PacketKey},
    packet::{ChannelNumber, Content, Epoch, HEADER_BYTES, Header, PacketError, Sequence},
    window::{Reception, Window},
};

/// What lets a channel's packets in: genuine ones, each once.
///
/// It holds the keys of two epochs, since packets of the old one are still on their way when the new one begins, and the
/// new secret may come over its connection before or after the first packet that needs it.
pub struct Opener {
    cipher: Cipher,
    channel: ChannelNumber,
    newest: PacketKey,
    previous: Option<PacketKey>,
    window: Window,
    strangers: u64,
}

/// A packet that was proved.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    pub sequence: Sequence,
    pub content: Content,
    /// Zeros in a probe.
    pub symbol: &'a Symbol,
}

impl Opener {
    pub fn new(cipher: Cipher, channel: ChannelNumber, epoch: Epoch, secret: &GroupSecret) -> Self {
        let newest = PacketKey::derive(secret, cipher, channel, epoch);
        Self { cipher, channel, newest, previous: None, window: Window::default(), strangers: 0 }
    }

    /// Takes the secret of another epoch. The epoch before the last is forgotten with it; a secret that is told again, or
    /// corrected, takes its own place.
    pub fn take_secret(&mut self, epoch: Epoch, secret: &GroupSecret) {
        let key = PacketKey::derive(secret, self.cipher, self.channel, epoch);
        let last = std::mem::replace(&mut self.newest, key);
        if last.epoch != epoch {
            self.previous = Some(last);
        }
    }

    /// Opens a packet in place. After an error it holds anything; nothing else has changed but the counts.
    pub fn open<'a>(&mut self, packet: &'a mut [u8]) -> Result<Opened<'a>, PacketError> {
        let actual = packet.len();
        let opened = match packet.try_into() {
            Ok(packet) => self.open_whole(packet),
            Err(_) => Err(PacketError::WrongLength { actual }),
        };
        if opened.as_ref().is_err_and(|error| !matches!(error, PacketError::Stale(_))) {
            self.strangers += 1;
        }
        opened
    }

    fn open_whole<'a>(&mut self, packet: &'a mut PacketBytes) -> Result<Opened<'a>, PacketError> {
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&packet[..HEADER_BYTES]);
        let Header { channel, epoch, sequence, content } = Header::parse(&head)?;
        if channel != self.channel {
            return Err(PacketError::OtherChannel { expected: self.channel, found: channel });
        }
        let keys = [Some(&self.newest), self.previous.as_ref()];
        let key = keys.into_iter().flatten().find(|key| key.epoch == epoch);
        let key = key.ok_or(PacketError::UnknownEpoch { found: epoch })?;
        // Only what is proved moves the window: a stranger's number would make the sender's look old.
        let symbol = key.open(sequence, packet)?;
        self.window.accept(sequence)?;
        Ok(Opened { sequence, content, symbol })
    }

    /// What came and was lost since the last call.
    pub fn take_reception(&mut self) -> Reception {
        self.window.take_reception()
    }

    /// How many packets came that are none of this channel, or of an epoch whose secret is not here.
    pub fn strangers(&self) -> u64 {
        self.strangers
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, proptest};

    use super::{Cipher, Content, Opener, PacketError};
    use crate::multicast::{
        block::{BlockNumber, SYMBOL_BYTES, SourceCount, SymbolNumber},
        packet::{ChannelNumber, Epoch, PACKET_BYTES, Sequence},
        sealing::{Batch, FreshSecret, PACKETS_PER_EPOCH, SenderKey},
    };

    const CHANNEL: ChannelNumber = ChannelNumber(7);

    fn sources() -> SourceCount {
        SourceCount::new(280).unwrap()
    }

    fn sender(cipher: Cipher) -> SenderKey {
        SenderKey::new(cipher, CHANNEL, FreshSecret::from_random([5; 32]))
    }

    fn receiver(key: &SenderKey) -> Opener {
        Opener::new(key.cipher(), key.channel(), key.epoch(), key.secret())
    }

    /// The next packet of the sender, with a symbol of one byte.
    fn packet(key: &mut SenderKey, byte: u8) -> Vec<u8> {
        let mut batch = Batch::new(1);
        let number = SymbolNumber(u16::from(byte));
        batch.add_symbol(key, BlockNumber(3), number, sources(), &[byte; SYMBOL_BYTES]).unwrap();
        batch.bytes().to_vec()
    }

    #[test]
    fn a_batch_opens_packet_by_packet() {
        for cipher in [Cipher::Aes128Gcm, Cipher::ChaCha20Poly1305] {
            let mut key = sender(cipher);
            let mut opener = receiver(&key);
            let mut batch = Batch::new(4);
            for turn in 0..2u8 {
                assert!(batch.is_empty());
                for number in 0..3u8 {
                    let (block, symbol) = (BlockNumber(u32::from(turn)), SymbolNumber(u16::from(number)));
                    batch.add_symbol(&mut key, block, symbol, sources(), &[number; SYMBOL_BYTES]).unwrap();
                }
                batch.add_probe(&mut key).unwrap();
                assert!(batch.is_full() && batch.add_probe(&mut key).is_err());
                let mut bytes = batch.bytes().to_vec();
                assert_eq!(bytes.len(), 4 * PACKET_BYTES);
                for (at, sealed) in (0u8..).zip(bytes.chunks_mut(PACKET_BYTES)) {
                    assert!(
                        !sealed.windows(64).any(|part| part.iter().all(|&byte| byte == at)),
                        "in the clear"
                    );
                    let opened = opener.open(sealed).unwrap();
                    assert_eq!(opened.sequence.get(), u64::from(turn * 4 + at));
                    let (content, byte) = match at {
                        3 => (Content::Probe, 0),
                        _ => {
                            let block = BlockNumber(u32::from(turn));
                            let number = SymbolNumber(u16::from(at));
                            (Content::Symbol { block, number, sources: sources() }, at)
                        }
                    };
                    assert_eq!((opened.content, opened.symbol), (content, &[byte; SYMBOL_BYTES]));
                }
                batch.clear();
            }
            assert_eq!(key.packets_left(), PACKETS_PER_EPOCH - 8);
        }
    }

    #[test]
    fn a_packet_is_let_in_once() {
        let mut key = sender(Cipher::Aes128Gcm);
        let mut opener = receiver(&key);
        let sealed = packet(&mut key, 1);
        assert!(opener.open(&mut sealed.clone()).is_ok());
        assert!(matches!(opener.open(&mut sealed.clone()), Err(PacketError::Stale(_))));
        assert_eq!((opener.take_reception().stale, opener.strangers()), (1, 0));
    }

    #[test]
    fn what_is_forged_cut_or_of_another_channel_changes_nothing() {
        let mut key = sender(Cipher::Aes128Gcm);
        let mut opener = receiver(&key);
        let genuine = packet(&mut key, 9);
        for length in [0, 1, 21, 22, 38, PACKET_BYTES - 1, PACKET_BYTES + 1] {
            let mut cut = genuine.clone();
            cut.resize(length, 0);
            assert_eq!(opener.open(&mut cut), Err(PacketError::WrongLength { actual: length }));
        }
        // A far number from a stranger, who knows all but the key.
        let mut far = genuine.clone();
        far[16..22].fill(0xff);
        let sequence = Sequence::new(Sequence::END - 1).unwrap();
        assert_eq!(opener.open(&mut far), Err(PacketError::NotGenuine { sequence }));
        let mut other =
            SenderKey::new(Cipher::Aes128Gcm, ChannelNumber(8), FreshSecret::from_random([5; 32]));
        let mut foreign = packet(&mut other, 9);
        let error = PacketError::OtherChannel { expected: CHANNEL, found: ChannelNumber(8) };
        assert_eq!(opener.open(&mut foreign.clone()), Err(error));
        // The same secret gives another channel other keys.
        foreign[4] = 7;
        assert!(matches!(opener.open(&mut foreign), Err(PacketError::NotGenuine { .. })));
        assert_eq!(opener.strangers(), 10);
        assert!(opener.open(&mut genuine.clone()).is_ok());
        assert_eq!(opener.take_reception().lost, 0);
    }

    #[test]
    fn two_epochs_are_open_at_a_time() {
        let mut first = sender(Cipher::Aes128Gcm);
        let mut opener = receiver(&first);
        let [a, b] = [packet(&mut first, 1), packet(&mut first, 2)];
        let mut second = first.succeed(FreshSecret::from_random([6; 32]));
        assert_eq!(second.epoch(), Epoch(1));
        let [c, d] = [packet(&mut second, 3), packet(&mut second, 4)];
        assert!(opener.open(&mut a.clone()).is_ok());
        let unknown = PacketError::UnknownEpoch { found: Epoch(1) };
        assert_eq!(opener.open(&mut c.clone()), Err(unknown));
        opener.take_secret(Epoch(1), second.secret());
        opener.take_secret(Epoch(1), second.secret());
        assert_eq!(opener.open(&mut c.clone()).map(|opened| opened.sequence.get()), Ok(2));
        assert_eq!(opener.open(&mut b.clone()).map(|opened| opened.sequence.get()), Ok(1));
        let mut third = second.succeed(FreshSecret::from_random([7; 32]));
        opener.take_secret(Epoch(2), third.secret());
        assert!(opener.open(&mut d.clone()).is_ok() && opener.open(&mut packet(&mut third, 5)).is_ok());
        let forgotten = PacketError::UnknownEpoch { found: Epoch(0) };
        assert_eq!(opener.open(&mut b.clone()), Err(forgotten));
    }

    #[test]
    fn a_key_that_is_used_up_seals_nothing_more() {
        let mut key = sender(Cipher::Aes128Gcm);
        key.skip_to_last();
        let mut batch = Batch::new(3);
        assert!(batch.add_probe(&mut key).is_ok());
        assert_eq!(key.packets_left(), 0);
        assert!(batch.add_probe(&mut key).is_err());
        assert_eq!(batch.len(), 1);
        let mut next = key.succeed(FreshSecret::from_random([6; 32]));
        let sequence = batch.add_probe(&mut next).unwrap();
        assert_eq!(sequence.get(), PACKETS_PER_EPOCH);
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        let key = sender(Cipher::Aes128Gcm);
        assert_eq!(format!("{:?}", key.secret()), "GroupSecret(…)");
        let bytes = postcard::to_allocvec(key.secret()).unwrap();
        assert_eq!(bytes.len(), 32);
        assert_eq!(postcard::from_bytes(&bytes).as_ref(), Ok(key.secret()));
    }

    proptest! {
        #[test]
        fn no_changed_byte_is_let_in(at in 0..PACKET_BYTES, flip in 1u8.., chacha: bool) {
            let mut key = sender(if chacha { Cipher::ChaCha20Poly1305 } else { Cipher::Aes128Gcm });
            let mut opener = receiver(&key);
            let mut sealed = packet(&mut key, 1);
            sealed[at] ^= flip;
            assert!(opener.open(&mut sealed).is_err());
            assert_eq!(opener.strangers(), 1);
        }

        #[test]
        fn foreign_bytes_are_let_in_never(bytes in prop::collection::vec(any::<u8>(), PACKET_BYTES), known: bool) {
            let key = sender(Cipher::Aes128Gcm);
            let mut opener = receiver(&key);
            let mut bytes = bytes;
            if known {
                bytes[..16].copy_from_slice(&[1, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 9, 0]);
            }
            assert!(opener.open(&mut bytes).is_err());
        }
    }
}
