//! The sender's side of the packets.

use zeroize::Zeroize;

use super::{
    block::{BlockNumber, SYMBOL_BYTES, SourceCount, Symbol, SymbolNumber},
    cipher::{Cipher, GroupSecret, PacketBytes, PacketKey, SealError},
    packet::{ChannelNumber, Content, Epoch, HEADER_BYTES, Header, PACKET_BYTES, Sequence},
};

/// 32 bytes from a cryptographic random generator that nobody has used yet. A sender's key takes it, so no second one can
/// be made of it and number its packets alike.
pub struct FreshSecret([u8; 32]);

impl FreshSecret {
    /// Takes bytes that a cryptographic random generator made just now.
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl Drop for FreshSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Most packets under one key: 378 GB. So many of up to 2,048 bytes may be sealed with AES-GCM (RFC 9001, appendix B.1.1);
/// ChaCha20-Poly1305 would allow more.
pub const PACKETS_PER_EPOCH: u64 = 1 << 28;

/// What seals a channel's packets. There is one for each epoch; each packet it seals has the next number, and numbers go on
/// from epoch to epoch, so receivers count what was lost across them. It can be neither copied nor made again.
pub struct SenderKey {
    cipher: Cipher,
    secret: GroupSecret,
    key: PacketKey,
    next: u64,
    end: u64,
}

impl SenderKey {
    /// The first key of a channel, epoch 0.
    pub fn new(cipher: Cipher, channel: ChannelNumber, secret: FreshSecret) -> Self {
        Self::from_number(cipher, channel, Epoch(0), secret, 0)
    }

    /// The next epoch's key, after a receiver left that is to open nothing more, or because this one is nearly used up. Who
    /// holds only the old secret cannot open what comes now.
    pub fn succeed(self, secret: FreshSecret) -> Self {
        Self::from_number(self.cipher, self.key.channel, self.key.epoch.next(), secret, self.next)
    }

    fn from_number(
        cipher: Cipher,
        channel: ChannelNumber,
        epoch: Epoch,
        secret: FreshSecret,
        next: u64,
    ) -> Self {
        let secret = GroupSecret::new(secret.0);
        let key = PacketKey::derive(&secret, cipher, channel, epoch);
        let end = next.saturating_add(PACKETS_PER_EPOCH).min(Sequence::END);
        Self { cipher, secret, key, next, end }
    }

    pub fn channel(&self) -> ChannelNumber {
        self.key.channel
    }

    pub fn epoch(&self) -> Epoch {
        self.key.epoch
    }

    pub fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// What receivers are given.
    pub fn secret(&self) -> &GroupSecret {
        &self.secret
    }

    /// How many more packets this key may seal.
    pub fn packets_left(&self) -> u64 {
        self.end - self.next
    }

    /// Leaves room for one packet more.
    #[cfg(test)]
    pub(super) fn skip_to_last(&mut self) {
        self.next = self.end - 1;
    }

    /// Seals what lies at the symbol's place of `packet`, under the next number.
    fn seal(&mut self, content: Content, packet: &mut PacketBytes) -> Result<Sequence, SealError> {
        let (channel, epoch) = (self.key.channel, self.key.epoch);
        let number = Sequence::new(self.next).filter(|_| self.next < self.end);
        let sequence = number.ok_or(SealError::KeyUsedUp { channel, epoch, packets: PACKETS_PER_EPOCH })?;
        // Used whatever happens: a number under which something was sealed never comes again.
        self.next += 1;
        self.key.seal(&Header { channel, epoch, sequence, content }, packet)?;
        Ok(sequence)
    }
}

/// Packets one behind the other, in memory that is taken once: what the kernel is handed with one call, and cuts every
/// [`PACKET_BYTES`] bytes.
pub struct Batch {
    packets: Vec<PacketBytes>,
    filled: usize,
}

impl Batch {
    /// Most packets that the kernel takes at once: together they are no longer than one UDP packet over IPv4 may be.
    pub const PACKETS_MOST: usize = (65_535 - 20 - 8) / PACKET_BYTES;

    /// A batch with room for so many packets, but at least one and at most [`Batch::PACKETS_MOST`].
    pub fn new(packets: usize) -> Self {
        Self { packets: vec![[0; PACKET_BYTES]; packets.clamp(1, Self::PACKETS_MOST)], filled: 0 }
    }

    /// Seals a symbol into the batch.
    pub fn add_symbol(
        &mut self,
        key: &mut SenderKey,
        block: BlockNumber,
        number: SymbolNumber,
        sources: SourceCount,
        symbol: &Symbol,
    ) -> Result<Sequence, SealError> {
        self.add(key, Content::Symbol { block, number, sources }, symbol)
    }

    /// Seals a probe into the batch.
    pub fn add_probe(&mut self, key: &mut SenderKey) -> Result<Sequence, SealError> {
        self.add(key, Content::Probe, &[0; SYMBOL_BYTES])
    }

    fn add(&mut self, key: &mut SenderKey, content: Content, symbol: &Symbol) -> Result<Sequence, SealError> {
        let room = self.packets.len();
        let packet = self.packets.get_mut(self.filled).ok_or(SealError::BatchFull { room })?;
        packet[HEADER_BYTES..HEADER_BYTES + symbol.len()].copy_from_slice(symbol);
        let sequence = key.seal(content, packet)?;
        self.filled += 1;
        Ok(sequence)
    }

    /// The packets, one behind the other.
    pub fn bytes(&self) -> &[u8] {
        self.packets[..self.filled].as_flattened()
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.filled
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub fn is_full(&self) -> bool {
        self.filled == self.packets.len()
    }

    /// Empties it for the next packets.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}
