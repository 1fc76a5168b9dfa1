//! Symbols to a block, on the receiver's side.

use reed_solomon_simd::ReedSolomonDecoder;

use super::{
    block::{BlockShape, PARITY_MOST, SYMBOL_BYTES, SourceCount, Symbol, SymbolNumber},
    coding::CodingError,
};

/// What restores blocks, and the memory for that: 0.7 MB for usual blocks, 1.4 MB for the longest, and 130 KB of the stack
/// while it works. One for each thread that restores. The first in a program computes 8 MB of tables that all share.
pub struct Decoder {
    decoder: ReedSolomonDecoder,
}

impl Decoder {
    pub fn new() -> Result<Self, CodingError> {
        let decoder = ReedSolomonDecoder::new(1, usize::from(PARITY_MOST), SYMBOL_BYTES)?;
        Ok(Self { decoder })
    }
}

/// One bit for each symbol that any block has.
const SEEN_WORDS: usize = (SourceCount::MOST + PARITY_MOST).div_ceil(64) as usize;

/// Stands for no symbol: no block has so many.
const NOTHING: u16 = u16::MAX;

/// A block on its way in.
///
/// It has room for as many symbols as restore the block, and no more: a source symbol lies at its own place, and parity lies
/// at the place of a source symbol that has not come; if that comes later, the parity makes way to another such place.
pub struct Assembly {
    sources: SourceCount,
    /// One place for each source symbol.
    places: Vec<Symbol>,
    /// Which symbol lies at each place.
    holds: Vec<u16>,
    /// Which symbols came.
    seen: [u64; SEEN_WORDS],
    held: u16,
}

/// What became of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// The block needs one less.
    Kept,
    /// It came before.
    Repeated,
    /// The block had enough already.
    Surplus,
}

impl Assembly {
    /// Room for a block of so many source symbols, of which nothing came yet.
    pub fn new(sources: SourceCount) -> Self {
        let mut assembly =
            Self { sources, places: Vec::new(), holds: Vec::new(), seen: [0; SEEN_WORDS], held: 0 };
        assembly.begin(sources);
        assembly
    }

    /// Forgets what came and begins another block in the same memory, which grows where that one is longer.
    pub fn begin(&mut self, sources: SourceCount) {
        let places = usize::from(sources.get());
        self.sources = sources;
        self.places.resize(places, [0; SYMBOL_BYTES]);
        self.holds.clear();
        self.holds.resize(places, NOTHING);
        self.seen = [0; SEEN_WORDS];
        self.held = 0;
    }

    pub fn sources(&self) -> SourceCount {
        self.sources
    }

    /// How many symbols are missing, any that have not come.
    pub fn missing(&self) -> u16 {
        self.sources.get() - self.held
    }

    /// Takes a symbol, in any order.
    pub fn add(&mut self, number: SymbolNumber, symbol: &Symbol) -> Result<Added, CodingError> {
        let symbols = self.sources.symbols();
        if number.0 >= symbols {
            return Err(CodingError::Foreign { number, symbols });
        }
        let (word, mask) = (usize::from(number.0 / 64), 1 << (number.0 % 64));
        if self.seen[word] & mask != 0 {
            return Ok(Added::Repeated);
        }
        // While a symbol is missing, there is a free place.
        let Some(free) = self.free_place(number) else { return Ok(Added::Surplus) };
        let own = usize::from(number.0);
        if own < self.places.len() && own != free {
            self.places.copy_within(own..=own, free);
            self.holds[free] = self.holds[own];
            self.places[own] = *symbol;
            self.holds[own] = number.0;
        } else {
            self.places[free] = *symbol;
            self.holds[free] = number.0;
        }
        self.seen[word] |= mask;
        self.held += 1;
        Ok(Added::Kept)
    }

    /// A place where nothing lies: the symbol's own, if it has one and that is free, or any.
    fn free_place(&self, number: SymbolNumber) -> Option<usize> {
        let own = usize::from(number.0);
        match self.holds.get(own) {
            Some(&NOTHING) => Some(own),
            // Parity comes behind the block: what is missing in front will hardly come by itself.
            _ => self.holds.iter().position(|&held| held == NOTHING),
        }
    }

    /// Whether the block is there once it is computed from parity: worth another thread.
    pub fn needs_decoding(&self) -> bool {
        self.missing() == 0 && !self.is_plain()
    }

    /// Whether every source symbol lies at its place.
    fn is_plain(&self) -> bool {
        (0..).zip(&self.holds).all(|(own, &held)| held == own)
    }

    /// The block, once no symbol is missing. Where all source symbols came, this costs nothing. The shape is what the table
    /// says; a packet that lies about the number of source symbols shows here at the latest.
    pub fn restore(&mut self, shape: BlockShape, decoder: &mut Decoder) -> Result<&[u8], CodingError> {
        if shape.sources() != self.sources {
            let (expected, found) = (shape.sources().get(), self.sources.get());
            return Err(CodingError::OtherShape { expected, found });
        }
        match self.missing() {
            0 if self.is_plain() => {}
            0 => self.decode(&mut decoder.decoder)?,
            missing => return Err(CodingError::Incomplete { missing }),
        }
        Ok(&self.places.as_flattened()[..shape.bytes()])
    }

    fn decode(&mut self, decoder: &mut ReedSolomonDecoder) -> Result<(), CodingError> {
        let sources = self.places.len();
        decoder.reset(sources, usize::from(PARITY_MOST), SYMBOL_BYTES)?;
        for (symbol, &number) in self.places.iter().zip(&self.holds) {
            match usize::from(number).checked_sub(sources) {
                None => decoder.add_original_shard(usize::from(number), symbol)?,
                Some(parity) => decoder.add_recovery_shard(parity, symbol)?,
            }
        }
        let decoded = decoder.decode()?;
        for (own, restored) in decoded.restored_original_iter() {
            self.places[own].copy_from_slice(restored);
        }
        // Parity is gone from all places now.
        for (own, held) in (0..).zip(&mut self.holds) {
            *held = own;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::{Just, Strategy, any, prop, proptest},
        test_runner::Config,
    };

    use super::{
        Added, Assembly, BlockShape, CodingError, Decoder, PARITY_MOST, SYMBOL_BYTES, SourceCount,
        SymbolNumber,
    };
    use crate::multicast::coding::{Encoder, SourceBlock};

    fn noise(length: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn a_block_of_which_nothing_is_missing_needs_no_decoding() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        let bytes = noise(5000, 1);
        let mut block = SourceBlock::new(bytes.clone()).unwrap();
        let mut assembly = Assembly::new(block.shape().sources());
        for number in [3, 0, 2, 1].map(SymbolNumber) {
            assert!(matches!(
                assembly.restore(block.shape(), &mut decoder),
                Err(CodingError::Incomplete { .. })
            ));
            let symbol = *block.symbol(number, &mut encoder).unwrap();
            assert_eq!(assembly.add(number, &symbol), Ok(Added::Kept));
            assert_eq!(assembly.add(number, &symbol), Ok(Added::Repeated));
        }
        assert_eq!(assembly.add(SymbolNumber(4), &[0; SYMBOL_BYTES]), Ok(Added::Surplus));
        assert!(!assembly.needs_decoding());
        assert_eq!(assembly.restore(block.shape(), &mut decoder), Ok(bytes.as_slice()));
    }

    #[test]
    fn a_block_of_one_symbol_comes_from_any_parity() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        let mut block = SourceBlock::new(vec![7; 100]).unwrap();
        let mut assembly = Assembly::new(block.shape().sources());
        for number in (1..=PARITY_MOST).map(SymbolNumber) {
            assembly.begin(block.shape().sources());
            assembly.add(number, block.symbol(number, &mut encoder).unwrap()).unwrap();
            assert_eq!(
                assembly.restore(block.shape(), &mut decoder),
                Ok([7; 100].as_slice()),
                "parity {number}"
            );
        }
    }

    #[test]
    fn parity_makes_way_for_source_symbols_that_come_late() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        let bytes = noise(4 * SYMBOL_BYTES, 2);
        let mut block = SourceBlock::new(bytes.clone()).unwrap();
        let mut assembly = Assembly::new(block.shape().sources());
        for number in [5, 9, 0, 1].map(SymbolNumber) {
            assert_eq!(assembly.add(number, block.symbol(number, &mut encoder).unwrap()), Ok(Added::Kept));
        }
        assert!(assembly.needs_decoding());
        for _ in 0..2 {
            assert_eq!(assembly.restore(block.shape(), &mut decoder), Ok(bytes.as_slice()));
            assert!(!assembly.needs_decoding());
        }
    }

    #[test]
    fn foreign_numbers_are_errors() {
        let mut assembly = Assembly::new(SourceCount::new(2).unwrap());
        for number in [2 + PARITY_MOST, 1000, u16::MAX].map(SymbolNumber) {
            let expected = CodingError::Foreign { number, symbols: 2 + PARITY_MOST };
            assert_eq!(assembly.add(number, &[0; SYMBOL_BYTES]), Err(expected));
        }
        assert_eq!(assembly.missing(), 2);
    }

    #[test]
    fn a_block_of_another_number_of_symbols_than_the_table_says_is_refused() {
        let mut assembly = Assembly::new(SourceCount::new(1).unwrap());
        assembly.add(SymbolNumber(0), &[0; SYMBOL_BYTES]).unwrap();
        let restored = assembly.restore(BlockShape::new(2000).unwrap(), &mut Decoder::new().unwrap());
        assert_eq!(restored, Err(CodingError::OtherShape { expected: 2, found: 1 }));
    }

    /// A block's length, and all of its symbols in any order.
    fn deliveries(bytes: impl Strategy<Value = u32>) -> impl Strategy<Value = (u32, Vec<u16>)> {
        bytes.prop_flat_map(|bytes| {
            let symbols = BlockShape::new(bytes).unwrap().sources().symbols();
            (Just(bytes), Just((0..symbols).collect::<Vec<_>>()).prop_shuffle())
        })
    }

    fn check(bytes: u32, order: &[u16], seed: u8) {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), Decoder::new().unwrap());
        let plain = noise(bytes as usize, seed);
        let mut block = SourceBlock::new(plain.clone()).unwrap();
        let sources = block.shape().sources().get();
        // Memory of another block, with what came of it.
        let mut assembly = Assembly::new(SourceCount::new(700 / (u16::from(seed) + 1) + 1).unwrap());
        assembly.add(SymbolNumber(0), &[1; SYMBOL_BYTES]).unwrap();
        assembly.begin(block.shape().sources());
        for (&number, missing) in order.iter().zip((1..=sources).rev()) {
            assert_eq!(assembly.missing(), missing);
            let number = SymbolNumber(number);
            let symbol = *block.symbol(number, &mut encoder).unwrap();
            assert_eq!(assembly.add(number, &symbol), Ok(Added::Kept));
            assert!(assembly.add(number, &symbol) == Ok(Added::Repeated));
        }
        assert_eq!(assembly.missing(), 0);
        assert!(
            assembly.restore(block.shape(), &mut decoder) == Ok(plain.as_slice()),
            "{bytes} bytes from {order:?}"
        );
    }

    proptest! {
        #![proptest_config(Config::with_cases(64))]

        #[test]
        fn any_so_many_symbols_restore_a_small_block((bytes, order) in deliveries(1u32..90_000), seed: u8) {
            check(bytes, &order, seed);
        }
    }

    proptest! {
        #![proptest_config(Config::with_cases(8))]

        #[test]
        fn any_so_many_symbols_restore_a_large_block((bytes, order) in deliveries(90_000u32..=BlockShape::BYTES_MOST), seed: u8) {
            check(bytes, &order, seed);
        }

        #[test]
        fn every_number_is_taken_or_refused(numbers in prop::collection::vec(any::<u16>(), 0..2000), bytes in 1u32..=BlockShape::BYTES_MOST) {
            let shape = BlockShape::new(bytes).unwrap();
            let mut assembly = Assembly::new(shape.sources());
            for number in numbers {
                let before = assembly.missing();
                let added = assembly.add(SymbolNumber(number), &[number as u8; SYMBOL_BYTES]);
                assert_eq!(added.is_err(), number >= shape.sources().symbols());
                assert_eq!(before - assembly.missing(), u16::from(added == Ok(Added::Kept)));
            }
            // Whatever lies there, nothing breaks.
            let missing = assembly.missing();
            let restored = assembly.restore(shape, &mut Decoder::new().unwrap()).map(<[u8]>::len);
            assert_eq!(restored.is_ok(), missing == 0);
        }
    }
}
