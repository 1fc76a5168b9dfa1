//! Packets of a multicast channel, as anybody on the network can send them.

use mimeo_core::multicast::{
    block::{BlockNumber, SYMBOL_BYTES, SourceCount, SymbolNumber},
    cipher::Cipher,
    opening::Opener,
    packet::{ChannelNumber, Content, Epoch, HEADER_BYTES, Header, PACKET_BYTES, PacketError, Sequence},
    sealing::{Batch, FreshSecret, SenderKey},
    window::Window,
};

use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "multicast_packet",
    whose: "anybody on the network, while a receiver listens",
    check,
    seeds,
    words: &[b"\x01\0\0\0\x07\0\0\0", b"\x01\x01\0\0\x07\0\0\0", b"\xff\xff\xff\xff\xff\xff"],
    input_bytes_max: 2 * PACKET_BYTES,
    memory_bytes_max: 1 << 20,
};

const CHANNEL: ChannelNumber = ChannelNumber(7);
const BLOCK: BlockNumber = BlockNumber(5);
const NUMBER: SymbolNumber = SymbolNumber(300);
const SYMBOL: [u8; SYMBOL_BYTES] = [0x5a; SYMBOL_BYTES];

/// Three ways to read the input: as it is from the network, as changes to a genuine packet, and as the numbers of genuine
/// packets.
fn check(input: &[u8]) {
    check_raw(input);
    check_changed(input);
    check_numbers(input);
}

/// Nothing is let in that the sender did not seal. Past that, a header means what it says.
fn check_raw(input: &[u8]) {
    let mut whole = input.to_vec();
    whole.resize(PACKET_BYTES, 0);
    for mut packet in [input.to_vec(), whole] {
        let (genuine, mut opener) = channel();
        let same = packet == genuine;
        assert_eq!(opener.open(&mut packet).is_ok(), same, "a tag was guessed");
    }
    let Some(head) = input.first_chunk::<HEADER_BYTES>() else { return };
    if let Ok(header) = Header::parse(head) {
        assert_eq!(header.emit(), *head);
    }
}

/// A genuine packet, changed at a few places and cut or prolonged, is let in only if it is the same after all; and after
/// whatever came, the genuine one is let in once.
fn check_changed(input: &[u8]) {
    let (genuine, mut opener) = channel();
    let Some((length, changes)) = input.split_first_chunk() else { return };
    let mut changed = genuine.clone();
    let (places, _) = changes.as_chunks();
    for &[low, high, flip] in places {
        changed[usize::from(u16::from_le_bytes([low, high])) % PACKET_BYTES] ^= flip;
    }
    match u16::from_le_bytes(*length) {
        0 => {}
        length => changed.resize(usize::from(length) % (2 * PACKET_BYTES), 0),
    }
    let same = changed == genuine;
    assert_eq!(opener.open(&mut changed).is_ok(), same);
    let mut first = genuine.clone();
    match opener.open(&mut first) {
        Ok(opened) => assert_eq!((opened.content, opened.symbol), (content(), &SYMBOL)),
        Err(error) => assert!(same && matches!(error, PacketError::Stale(_)), "{error}"),
    }
    assert!(matches!(opener.open(&mut genuine.clone()), Err(PacketError::Stale(_))), "let in twice");
}

/// The window takes any numbers, each once, and loses no more than were sent.
fn check_numbers(input: &[u8]) {
    let mut window = Window::default();
    let mut newest: Option<u64> = None;
    let (numbers, _) = input.as_chunks();
    for &[a, b, c, d, e, f] in numbers {
        let number = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        let Some(sequence) = Sequence::new(number) else { continue };
        let taken = window.accept(sequence).is_ok();
        assert!(taken || newest.is_some_and(|newest| number <= newest), "{number} is new");
        assert!(window.accept(sequence).is_err(), "{number} came twice");
        newest = newest.max(Some(number));
    }
    let reception = window.take_reception();
    assert!(reception.came + reception.lost <= newest.map_or(0, |newest| newest + 1) + reception.late);
    assert!(reception.lost_per_million() <= 1_000_000);
}

fn sources() -> SourceCount {
    SourceCount::new(280).expect("a usual number")
}

fn content() -> Content {
    Content::Symbol { block: BLOCK, number: NUMBER, sources: sources() }
}

/// A genuine packet, and a receiver that has not seen it.
fn channel() -> (Vec<u8>, Opener) {
    let mut key = SenderKey::new(Cipher::Aes128Gcm, CHANNEL, FreshSecret::from_random([3; 32]));
    let mut batch = Batch::new(1);
    batch.add_symbol(&mut key, BLOCK, NUMBER, sources(), &SYMBOL).expect("room for one packet");
    let opener = Opener::new(key.cipher(), key.channel(), key.epoch(), key.secret());
    (batch.bytes().to_vec(), opener)
}

fn seeds() -> Vec<Vec<u8>> {
    let (genuine, _) = channel();
    let head = |content| {
        let sequence = Sequence::new(9).expect("a small number");
        let header = Header { channel: CHANNEL, epoch: Epoch(0), sequence, content };
        let mut bytes = header.emit().to_vec();
        bytes.resize(PACKET_BYTES, 1);
        bytes
    };
    // Another key's packet of the same channel.
    let mut other = SenderKey::new(Cipher::Aes128Gcm, CHANNEL, FreshSecret::from_random([4; 32]));
    let mut batch = Batch::new(1);
    batch.add_probe(&mut other).expect("room for one packet");
    vec![
        genuine[..PACKET_BYTES - 1].to_vec(),
        batch.bytes().to_vec(),
        head(Content::Probe),
        head(content()),
        vec![0, 0],
        vec![0, 0, 14, 0, 1],
        vec![0xa5, 5, 0, 0, 0],
        [[1, 0, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 0]].concat(),
    ]
}
