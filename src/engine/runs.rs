//! Builds the runs of a manifest's region from chunks that come one by one.

use mimeo_core::manifest::{ChunkContent, Run};

/// The runs of one region so far. Chunks that are passed over hold nothing in use.
#[derive(Default)]
pub(crate) struct RunBuilder {
    runs: Vec<Run>,
    next_index: u64,
}

impl RunBuilder {
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
            self.append(ChunkContent::DontCare);
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
                content: Content::Raw,
                runs,
            };
            assert!(region.chunks(ChunkSize::DEFAULT).map(|(_, content)| content).eq(contents));
        }
    }
}
