//! The plan of a capture: which parts of the disk are carried, and which of their bytes are in use.

use std::error::Error;

use mimeo_core::{
    causes::causes,
    chunk::ChunkSize,
    disk::{
        Window,
        filesystem::{self, FileSystem},
        layout,
        table::{Partition, PartitionTable},
        used_blocks::{self, UsedBlocksError, UsedMap},
    },
    failure::FailureCause,
    manifest::{Content, RegionKind},
    units::Extent,
};

use crate::disk::exclusive::SourceDisk;
use crate::used::{self, ChunkInUse};

/// What a capture will read, worked out before the first chunk.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) chunk_size: ChunkSize,
    pub(crate) table: PartitionTable,
    /// In the order of their places.
    pub(crate) regions: Vec<PlannedRegion>,
}

/// One region of the manifest to be.
#[derive(Debug)]
pub(crate) struct PlannedRegion {
    pub(crate) place: Extent,
    pub(crate) kind: RegionKind,
    pub(crate) content: Content,
    /// What is in use, counted from the region's start: sorted, disjoint, inside the region.
    pub(crate) used: Vec<Extent>,
    /// What comes back as zeros without being read, likewise. Where `used` covers it too, it is read.
    pub(crate) zeroed: Vec<Extent>,
}

impl Plan {
    /// Reads the disk's layout and asks every file system that is understood for its used blocks. What lies behind
    /// the last partition is not carried: nothing but the second copy of the partition table and the metadata
    /// of RAID controllers lives there, and neither may travel to a disk of another size.
    pub(crate) fn read(source: &SourceDisk, chunk_size: ChunkSize) -> Result<Self, FailureCause> {
        let layout = layout::read(source, source.geometry().logical_sector)
            .map_err(|error| FailureCause::SourceTable { detail: causes(&error) })?;
        for warning in &layout.warnings {
            tracing::warn!(%warning, "the source disk is unusual");
        }
        let boot_area = Some(layout.boot_area).filter(|area| area.length_bytes > 0);
        let mut regions: Vec<_> =
            boot_area.map(|area| raw(area, RegionKind::BootArea, None)).into_iter().collect();
        regions.extend(layout.gaps.iter().map(|&gap| raw(gap, RegionKind::Gap, None)));
        for partition in &layout.table.partitions {
            regions.push(plan_partition(source, partition)?);
        }
        regions.sort_by_key(|region| region.place.start_bytes);
        Ok(Self { chunk_size, table: layout.table, regions })
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.regions.iter().flat_map(|region| &region.used).map(|extent| extent.length_bytes).sum()
    }

    /// Every chunk of the disk of which anything is in use, in order.
    pub(crate) fn chunks_in_use(&self) -> impl Iterator<Item = ChunkInUse> + Send + '_ {
        let regions = self.regions.iter().enumerate();
        regions.flat_map(|(index, region)| used::chunks_in_use(index, region, self.chunk_size))
    }
}

fn raw(place: Extent, kind: RegionKind, found: Option<FileSystem>) -> PlannedRegion {
    let used = vec![Extent { start_bytes: 0, length_bytes: place.length_bytes }];
    PlannedRegion { place, kind, content: Content::Raw { found }, used, zeroed: Vec::new() }
}

fn plan_partition(source: &SourceDisk, partition: &Partition) -> Result<PlannedRegion, FailureCause> {
    let Partition { number, place, .. } = *partition;
    let kind = RegionKind::Partition(number);
    let read_failed = |error: &(dyn Error + 'static)| FailureCause::ReadFailed {
        offset_bytes: place.start_bytes,
        detail: format!("partition {number}: {}", causes(error)),
    };
    let volume = Window::new(source, place);
    let Some(filesystem) = filesystem::detect(&volume).map_err(|error| read_failed(&error))? else {
        tracing::info!(number, "no file system is recognised, the partition is carried raw");
        return Ok(raw(place, kind, None));
    };
    match used_blocks::map(filesystem, &volume) {
        // All but the first page of a swap area is dropped, for which its signature alone is too little.
        Ok(_) if filesystem == FileSystem::Swap && !partition.kind.is_swap() => {
            tracing::info!(number, "a swap area that the table does not call one is carried raw");
            Ok(raw(place, kind, Some(filesystem)))
        }
        Ok(UsedMap { block_bytes, used_bytes, extents, zeroed }) => {
            let zeroed_bytes: u64 = zeroed.iter().map(|extent| extent.length_bytes).sum();
            tracing::info!(
                number,
                ?filesystem,
                used_bytes,
                zeroed_bytes,
                extents = extents.len(),
                "the partition is mapped"
            );
            let content = Content::Mapped { filesystem, block_bytes, used_bytes };
            Ok(PlannedRegion { place, kind, content, used: extents, zeroed })
        }
        Err(UsedBlocksError::Unsupported { what }) => {
            tracing::info!(number, ?filesystem, what, "the partition is carried raw");
            Ok(raw(place, kind, Some(filesystem)))
        }
        Err(UsedBlocksError::Unclean { reason }) => {
            Err(FailureCause::SourceUnclean { partition: number, filesystem, reason })
        }
        Err(UsedBlocksError::Io(error)) => Err(read_failed(&error)),
        Err(UsedBlocksError::ExternalJournal) => {
            Err(FailureCause::SourceJournalElsewhere { partition: number, filesystem })
        }
        Err(UsedBlocksError::FilesElsewhere) => {
            Err(FailureCause::SourceFilesElsewhere { partition: number, filesystem })
        }
        Err(UsedBlocksError::SeveralDevices) => {
            Err(FailureCause::SourceOnSeveralDevices { partition: number, filesystem })
        }
        Err(damaged @ UsedBlocksError::Damaged { .. }) => {
            Err(FailureCause::SourceDamaged { partition: number, filesystem, detail: damaged.to_string() })
        }
    }
}
