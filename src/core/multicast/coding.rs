//! A block's bytes to symbols, on the sender's side.
//!
//! The source symbols are the block itself, so a receiver that misses none has nothing to compute. Parity is Reed–Solomon's:
//! any so many different symbols as the block has source symbols restore it. All [`PARITY_MOST`] of a block are made at once,
//! when the first is asked for: which bytes a parity symbol has depends on how many are made, so that number is always the
//! same, on both sides.

use reed_solomon_simd::ReedSolomonEncoder;

use super::block::{BadBlockLength, BlockShape, PARITY_MOST, SYMBOL_BYTES, Symbol, SymbolNumber};

/// What makes parity, and the memory for that: 0.5 MB for usual blocks, 1.3 MB for the longest. One for each thread that
/// sends. The first in a program computes 8 MB of tables that all share, so it is made before the first packet is sent.
pub struct Encoder {
    encoder: ReedSolomonEncoder,
}

impl Encoder {
    pub fn new() -> Result<Self, CodingError> {
        let encoder = ReedSolomonEncoder::new(1, usize::from(PARITY_MOST), SYMBOL_BYTES)?;
        Ok(Self { encoder })
    }

    /// Replaces `parity` by the parity of these symbols.
    fn encode(&mut self, sources: &[Symbol], parity: &mut Vec<Symbol>) -> Result<(), CodingError> {
        self.encoder.reset(sources.len(), usize::from(PARITY_MOST), SYMBOL_BYTES)?;
        for symbol in sources {
            self.encoder.add_original_shard(symbol)?;
        }
        let encoded = self.encoder.encode()?;
        parity.clear();
        parity.extend(encoded.recovery_iter().filter_map(|symbol| symbol.first_chunk::<SYMBOL_BYTES>()));
        Ok(())
    }
}

/// A block as its sender holds it: the bytes, and parity once somebody needs it.
pub struct SourceBlock {
    shape: BlockShape,
    /// Up to the end of the last source symbol, with zeros behind the block.
    padded: Vec<u8>,
    /// Empty, or all of it.
    parity: Vec<Symbol>,
}

impl SourceBlock {
    /// Takes the bytes of a block.
    pub fn new(bytes: Vec<u8>) -> Result<Self, BadBlockLength> {
        let shape = BlockShape::new(u32::try_from(bytes.len()).unwrap_or(u32::MAX))?;
        let mut padded = bytes;
        padded.resize(shape.padded_bytes(), 0);
        Ok(Self { shape, padded, parity: Vec::new() })
    }

    pub fn shape(&self) -> BlockShape {
        self.shape
    }

    /// One symbol of the block. The first that is parity takes the time to make all of it.
    pub fn symbol(&mut self, number: SymbolNumber, encoder: &mut Encoder) -> Result<&Symbol, CodingError> {
        let (sources, _) = self.padded.as_chunks::<SYMBOL_BYTES>();
        let at = usize::from(number.0);
        let Some(parity_at) = at.checked_sub(sources.len()) else { return Ok(&sources[at]) };
        if self.parity.is_empty() && parity_at < usize::from(PARITY_MOST) {
            encoder.encode(sources, &mut self.parity)?;
        }
        let foreign = CodingError::Foreign { number, symbols: self.shape.sources().symbols() };
        self.parity.get(parity_at).ok_or(foreign)
    }

    /// Gives the memory back, for the next block's bytes.
    pub fn into_memory(self) -> Vec<u8> {
        let mut memory = self.padded;
        memory.clear();
        memory
    }
}

/// Why there is no such symbol, or no block yet.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum CodingError {
    #[error("symbol {number} of a block that has {symbols}")]
    Foreign { number: SymbolNumber, symbols: u16 },
    #[error("a block lacks {missing} symbols")]
    Incomplete { missing: u16 },
    #[error("expected a block of {expected} source symbols, found one of {found}")]
    OtherShape { expected: u16, found: u16 },
    /// Does not happen: what is handed to the code was counted and measured before.
    #[error("the code refuses a block: {0}")]
    Refused(#[from] reed_solomon_simd::Error),
}

#[cfg(test)]
mod tests {
    use super::{CodingError, Encoder, PARITY_MOST, SYMBOL_BYTES, SourceBlock, SymbolNumber};

    #[test]
    fn source_symbols_are_the_block_and_zeros() {
        let mut encoder = Encoder::new().unwrap();
        let bytes: Vec<u8> = (0..3000u32).map(|at| (at % 251) as u8 + 1).collect();
        let mut block = SourceBlock::new(bytes.clone()).unwrap();
        let mut sent = Vec::new();
        for number in 0..3 {
            sent.extend_from_slice(block.symbol(SymbolNumber(number), &mut encoder).unwrap());
        }
        assert!(block.parity.is_empty(), "parity that nobody asked for");
        assert_eq!(&sent[..3000], bytes);
        assert_eq!(&sent[3000..], vec![0; 3 * SYMBOL_BYTES - 3000]);
        assert!(block.symbol(SymbolNumber(3), &mut encoder).is_ok());
        assert!(block.symbol(SymbolNumber(2 + PARITY_MOST), &mut encoder).is_ok());
        for foreign in [3 + PARITY_MOST, u16::MAX] {
            let number = SymbolNumber(foreign);
            let expected = CodingError::Foreign { number, symbols: 3 + PARITY_MOST };
            assert_eq!(block.symbol(number, &mut encoder), Err(expected));
        }
        assert!(block.into_memory().is_empty());
        assert!(SourceBlock::new(Vec::new()).is_err() && SourceBlock::new(vec![0; 1_048_625]).is_err());
    }

    /// The code itself is part of the format: another version of the library that made other parity would need another
    /// `packet::VERSION`.
    #[test]
    fn parity_is_what_it_always_was() {
        let mut encoder = Encoder::new().unwrap();
        let mut hash_of = |length: usize| {
            let mut bytes = vec![0; length];
            blake3::Hasher::new().finalize_xof().fill(&mut bytes);
            let mut block = SourceBlock::new(bytes).unwrap();
            let sources = block.shape().sources().get();
            let mut hasher = blake3::Hasher::new();
            for number in sources..sources + PARITY_MOST {
                hasher.update(block.symbol(SymbolNumber(number), &mut encoder).unwrap());
            }
            hasher.finalize().to_hex()[..16].to_owned()
        };
        // Few source symbols, as many as parity, and more: the library has another way for each.
        let hashes = [1, 40_000, 180_000, 394_240, 1_048_624].map(&mut hash_of);
        let expected = [
            "95faa172d9cf3522",
            "a98ef76e1b040d94",
            "5045557bc1be05aa",
            "7152380c46c731a3",
            "126a4f7126a9e8f0",
        ];
        assert_eq!(hashes, expected);
    }
}
