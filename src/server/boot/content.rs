//! Bytes to be sent that lie in several places of the memory, and parts of them.

use std::ops::Range;

use bytes::Bytes;

/// A file to be sent: its pieces in order. Cloning and cutting copy nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pieces: Vec<Bytes>,
}

impl Content {
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect() }
    }

    pub fn length_bytes(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    /// The part within `range`, as much of it as there is.
    pub fn slice(&self, range: Range<u64>) -> Self {
        let mut start = 0;
        let mut parts = Vec::new();
        for piece in &self.pieces {
            let end = start + piece.len() as u64;
            let (from, to) = (range.start.clamp(start, end), range.end.clamp(start, end));
            if from < to {
                // Both lie within the piece, so they fit its index type.
                parts.push(piece.slice((from - start) as usize..(to - start) as usize));
            }
            start = end;
        }
        Self { pieces: parts }
    }

    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::new([bytes])
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::Content;

    proptest! {
        #[test]
        fn a_part_of_pieces_is_a_part_of_their_whole(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..5),
            from in 0usize..50, to in 0usize..50,
        ) {
            let whole = pieces.concat();
            let content = Content::new(pieces.into_iter().map(Bytes::from));
            prop_assert_eq!(content.length_bytes(), whole.len() as u64);
            let expect = whole.get(from.min(whole.len())..to.min(whole.len())).unwrap_or_default();
            prop_assert_eq!(content.slice(from as u64..to as u64).into_pieces().concat(), expect);
        }
    }
}
