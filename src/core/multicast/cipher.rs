//! How a packet is encrypted and proved.
//!
//! A key is derived from a secret, the channel, the epoch and the cipher, so no two of these ever share one. The nonce is
//! six derived bytes and the packet's number. Header and symbol are proved together.

use std::fmt;

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use super::{
    block::SYMBOL_BYTES,
    packet::{ChannelNumber, Epoch, HEADER_BYTES, Header, PACKET_BYTES, PacketError, Sequence},
};

/// One packet's memory.
pub type PacketBytes = [u8; PACKET_BYTES];

/// What a channel's packets are encrypted with. The server chooses one for each channel: the first, unless a receiver has no
/// instructions for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cipher {
    Aes128Gcm,
    ChaCha20Poly1305,
}

impl Cipher {
    fn algorithm(self) -> &'static aead::Algorithm {
        match self {
            Self::Aes128Gcm => &aead::AES_128_GCM,
            Self::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    /// The cipher's place in the derivation of keys.
    fn number(self) -> u8 {
        match self {
            Self::Aes128Gcm => 0,
            Self::ChaCha20Poly1305 => 1,
        }
    }
}

/// What a receiver is given over its own connection so that it can open the packets of one epoch: 32 bytes. Nothing can be
/// sealed with it. Shown nowhere, and overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupSecret([u8; 32]);

impl GroupSecret {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupSecret(…)")
    }
}

impl Drop for GroupSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The key of one epoch of one channel.
pub(super) struct PacketKey {
    pub(super) channel: ChannelNumber,
    pub(super) epoch: Epoch,
    key: LessSafeKey,
    salt: [u8; 6],
}

/// Says what the derived bytes are for, so that nothing else that uses BLAKE3 gives the same.
const DERIVATION: &str = "mimeo 2026-11 multicast packet key v1";

impl PacketKey {
    pub(super) fn derive(secret: &GroupSecret, cipher: Cipher, channel: ChannelNumber, epoch: Epoch) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(DERIVATION);
        hasher.update(&secret.0).update(&[cipher.number(), epoch.0]).update(&channel.0.to_le_bytes());
        let mut derived = Zeroizing::new([0u8; 38]);
        hasher.finalize_xof().fill(&mut *derived);
        let mut salt = [0; 6];
        salt.copy_from_slice(&derived[..6]);
        let algorithm = cipher.algorithm();
        // Both ciphers' keys fit into the 32 bytes behind the salt, and a key of the cipher's own length is not refused.
        let key = UnboundKey::new(algorithm, &derived[6..6 + algorithm.key_len()])
            .unwrap_or_else(|error| panic!("a key of {} bytes: {error}", algorithm.key_len()));
        Self { channel, epoch, key: LessSafeKey::new(key), salt }
    }

    /// Seals the symbol that lies at its place in `packet`, and writes header and tag. The caller sees to it that no number
    /// is used twice.
    pub(super) fn seal(&self, header: &Header, packet: &mut PacketBytes) -> Result<(), SealError> {
        let (head, rest) = packet.split_at_mut(HEADER_BYTES);
        let (symbol, tag) = rest.split_at_mut(SYMBOL_BYTES);
        head.copy_from_slice(&header.emit());
        let sealed =
            self.key.seal_in_place_separate_tag(self.nonce(header.sequence), Aad::from(&*head), symbol);
        // The ciphers refuse only what is longer than gigabytes.
        tag.copy_from_slice(sealed.map_err(|_| SealError::TooLong)?.as_ref());
        Ok(())
    }

    /// Opens a packet in place. After an error it holds anything.
    pub(super) fn open<'a>(
        &self,
        sequence: Sequence,
        packet: &'a mut PacketBytes,
    ) -> Result<&'a [u8; SYMBOL_BYTES], PacketError> {
        let (head, rest) = packet.split_at_mut(HEADER_BYTES);
        let opened = self.key.open_in_place(self.nonce(sequence), Aad::from(&*head), rest);
        let symbol = opened.ok().and_then(|symbol| symbol.first_chunk());
        symbol.ok_or(PacketError::NotGenuine { sequence })
    }

    fn nonce(&self, sequence: Sequence) -> Nonce {
        let mut nonce = [0; aead::NONCE_LEN];
        nonce[..6].copy_from_slice(&self.salt);
        nonce[6..].copy_from_slice(&sequence.to_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Why a packet was not sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the key of epoch {epoch} of channel {channel} has sealed all {packets} packets that it may")]
    KeyUsedUp { channel: ChannelNumber, epoch: Epoch, packets: u64 },
    #[error("a batch has room for {room} packets and holds as many")]
    BatchFull { room: usize },
    #[error("the cipher refuses a symbol as too long")]
    TooLong,
}
