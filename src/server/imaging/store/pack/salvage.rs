//! What can be had of a pack without its footer: each record says itself what it is, and its chunk is its proof.

use mimeo_core::{
    chunk::{self, ChunkId, SealedChunk},
    messages::records::{HEADER_BYTES, MAGIC, RecordHeader},
};

use super::PackEntry;

/// Records that prove wrong after which the rest of a pack is not looked through: each costs as much as opening a chunk,
/// and a pack from elsewhere may be made of nothing else.
pub const WRONG_MAX: usize = 64;

/// What the records of a pack say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Salvage {
    /// The chunks that are what their ids say, in the order in which they lie there.
    pub sound: Vec<PackEntry>,
    /// The chunks whose record begins there and is damaged.
    pub lost: Vec<ChunkId>,
}

impl Salvage {
    /// Every chunk that is recognised.
    pub fn ids(&self) -> Vec<ChunkId> {
        self.sound.iter().map(|entry| entry.id).chain(self.lost.iter().copied()).collect()
    }
}

/// Looks through the records of a pack, from its beginning. Behind a damaged one it goes on at the next place that looks
/// like a record: nothing vouches for that but the chunk's own hash, which is enough.
///
/// Keeps a processor busy: 50 ms for an ordinary pack.
pub fn salvage(pack: &[u8]) -> Salvage {
    let mut salvage = Salvage::default();
    let mut at = 0;
    while let Some((header, rest)) = pack.get(at..).and_then(<[u8]>::split_first_chunk::<HEADER_BYTES>) {
        let record = RecordHeader::parse(header).ok();
        match record.map(|header| (header, rest.get(..header.frame_bytes as usize))) {
            Some((header, Some(frame))) if is_sound(header, frame) => {
                // No pack is longer than its offsets reach.
                let Ok(offset) = u32::try_from(at) else { break };
                let RecordHeader { id, codec, plain_bytes, frame_bytes } = header;
                salvage.sound.push(PackEntry { id, offset, plain_bytes, frame_bytes, codec });
                at += HEADER_BYTES + frame.len();
                continue;
            }
            Some((header, _)) => {
                salvage.lost.push(header.id);
                if salvage.lost.len() == WRONG_MAX {
                    break;
                }
            }
            None => {}
        }
        let Some(next) = find_record(&pack[at + 1..]) else { break };
        at += 1 + next;
    }
    salvage
}

fn is_sound(header: RecordHeader, frame: &[u8]) -> bool {
    let RecordHeader { id, codec, plain_bytes, .. } = header;
    chunk::prove(&SealedChunk { id, codec, plain_bytes, frame: frame.to_vec() }).is_ok()
}

fn find_record(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}
