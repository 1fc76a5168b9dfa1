//! Builds the runs of a manifest's region from chunks that come one by one.

use std::ops::Range;

use mimeo_core::{
    chunk::ChunkSize,
    manifest::{ChunkContent, Run},
    units::Extent,
};

/// The runs of one region so far. Chunks that are passed over hold nothing in use, or only what comes back as
/// zeros.
#[derive(Default)]
pub(crate) struct RunBuilder {
    runs: Vec<Run>,
    next_index: u64,
    /// Chunks that hold any of what comes back as zeros, in order.
    zeroed: Vec<Range<u64>>,
}

impl RunBuilder {
    /// Runs of a region in which `zeroed`, sorted and counted from its start, comes back as zeros.
    pub(crate) fn new(zeroed: &[Extent], chunk_size: ChunkSize) -> Self {
        let size = chunk_size.bytes();
        let chunks = |extent: &Extent| extent.start_bytes / size..extent.end_bytes().div_ceil(size);
        Self { zeroed: zeroed.iter().map(chunks).collect(), ..Self::default() }
    }

    /// Adds chunk `index`, which lies behind all added before.
    pub(crate) fn push(&mut self, index: u64, content: ChunkContent) {
        self.pass_to(index);
        self.append(content);
    }

    /// The runs of the whole region, which has `chunk_count` chunks.
    pub(crate) fn finish(mut self, chunk_count: u64) -> Vec<Run> {
        self.pass_to(chunk_count);
        self.runs
    }

    fn pass_to(&mut self, index: u64) {
        while self.next_index < index {
            let after = self.zeroed.partition_point(|chunks| chunks.start <= self.next_index);
            let last = after.checked_sub(1).and_then(|last| self.zeroed.get(last));
            let is_zeroed = last.is_some_and(|chunks| self.next_index < chunks.end);
            self.append(if is_zeroed { ChunkContent::Zero } else { ChunkContent::DontCare });
        }
    }

    fn append(&mut self, content: ChunkContent) {
        self.next_index += 1;
        match (self.runs.last_mut(), content) {
            (Some(Run::Chunks(ids)), ChunkContent::Data(id)) => ids.push(id),
            (Some(Run::Zero(count)), ChunkContent::Zero) if *count < u32::MAX => *count += 1,
            (Some(Run::DontCare(count)), ChunkContent::DontCare) if *count < u32::MAX => *count += 1,
            (_, ChunkContent::Data(id)) => self.runs.push(Run::Chunks(vec![id])),
            (_, ChunkContent::Zero) => self.runs.push(Run::Zero(1)),
            (_, ChunkContent::DontCare) => self.runs.push(Run::DontCare(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::{
        chunk::{ChunkId, ChunkSize},
        manifest::{ChunkContent, Content, Region, RegionKind},
        units::Extent,
    };
    use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

    use super::RunBuilder;

    fn contents() -> impl Strategy<Value = Vec<ChunkContent>> {
        let content = prop_oneof![
            any::<u8>().prop_map(|byte| ChunkContent::Data(ChunkId([byte; 32]))),
            Just(ChunkContent::Zero),
            Just(ChunkContent::DontCare),
        ];
        prop::collection::vec(content, 1..60)
    }

    proptest! {
        #[test]
        fn a_region_reads_back_chunk_by_chunk_as_it_was_built(contents in contents()) {
            let mut builder = RunBuilder::default();
            for (index, &content) in contents.iter().enumerate() {
                if content != ChunkContent::DontCare {
                    builder.push(index as u64, content);
                }
            }
            let runs = builder.finish(contents.len() as u64);
            assert!(runs.windows(2).all(|pair| std::mem::discriminant(&pair[0]) != std::mem::discriminant(&pair[1])));
            let region = Region {
                place: Extent { start_bytes: 0, length_bytes: contents.len() as u64 * ChunkSize::DEFAULT.bytes() },
                kind: RegionKind::BootArea,
                content: Content::Raw { found: None },
                runs,
            };
            assert!(region.chunks(ChunkSize::DEFAULT).map(|(_, content)| content).eq(contents));
        }

        #[test]
        fn what_comes_back_as_zeros_is_zero_where_nothing_else_stands(
            contents in contents(),
            steps in prop::collection::vec((0..400_000u64, 1..400_000u64), 0..8),
        ) {
            let size = ChunkSize::DEFAULT;
            let mut at = 0;
            let mut zeroed = vec![];
            for (gap, length_bytes) in steps {
                zeroed.push(Extent { start_bytes: at + gap, length_bytes });
                at += gap + length_bytes;
            }
            let mut builder = RunBuilder::new(&zeroed, size);
            for (index, &content) in contents.iter().enumerate() {
                if content != ChunkContent::DontCare {
                    builder.push(index as u64, content);
                }
            }
            let runs = builder.finish(contents.len() as u64);
            let built = Region {
                place: Extent { start_bytes: 0, length_bytes: contents.len() as u64 * size.bytes() },
                kind: RegionKind::BootArea,
                content: Content::Raw { found: None },
                runs,
            };
            for ((place, built), content) in built.chunks(size).zip(contents) {
                let touched = |extent: &Extent| extent.start_bytes < place.end_bytes() && place.start_bytes < extent.end_bytes();
                let expected = match content {
                    ChunkContent::DontCare if zeroed.iter().any(touched) => ChunkContent::Zero,
                    content => content,
                };
                assert_eq!(built, expected, "{place}");
            }
        }
    }
}
