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
        used_blocks::{self, UsedBlocksError, UsedMap, lvm},
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
        let parts = layout.table.partitions.iter().map(|partition| Part::look(source, partition));
        let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
        let physical: Vec<_> = parts.iter().filter_map(|part| part.physical.clone()).collect();
        for part in parts {
            regions.push(part.plan(&physical)?);
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

/// A partition, and what it holds.
struct Part<'a> {
    source: &'a SourceDisk,
    partition: &'a Partition,
    filesystem: Option<FileSystem>,
    /// A physical volume of LVM, whose group may have others on the same disk.
    physical: Option<lvm::PhysicalVolume>,
}

impl<'a> Part<'a> {
    fn look(source: &'a SourceDisk, partition: &'a Partition) -> Result<Self, FailureCause> {
        let mut part = Self { source, partition, filesystem: None, physical: None };
        part.filesystem = filesystem::detect(&part.volume()).map_err(|error| part.read_failed(&error))?;
        if part.filesystem == Some(FileSystem::Lvm) {
            part.physical = match lvm::PhysicalVolume::read(&part.volume()) {
                Ok(physical) => Some(physical),
                Err(UsedBlocksError::Unsupported { .. }) => None,
                Err(error) => return Err(part.refusal(error, FileSystem::Lvm, None)),
            };
        }
        Ok(part)
    }

    fn volume(&self) -> Window<&'a SourceDisk> {
        Window::new(self.source, self.partition.place)
    }

    fn plan(self, physical: &[lvm::PhysicalVolume]) -> Result<PlannedRegion, FailureCause> {
        let Partition { number, place, .. } = *self.partition;
        let kind = RegionKind::Partition(number);
        let Some(filesystem) = self.filesystem else {
            tracing::info!(number, "no file system is recognised, the partition is carried raw");
            return Ok(raw(place, kind, None));
        };
        let map = match &self.physical {
            Some(own) => lvm::map(&self.volume(), own, physical),
            None => used_blocks::map(filesystem, &self.volume()),
        };
        match map {
            // All but the first page of a swap area is dropped, for which its signature alone is too little.
            Ok(_) if filesystem == FileSystem::Swap && !self.partition.kind.is_swap() => {
                tracing::info!(number, "a swap area that the table does not call one is carried raw");
                Ok(raw(place, kind, Some(filesystem)))
            }
            Ok(UsedMap { block_bytes, used_bytes, extents, zeroed }) => {
                let zeroed_bytes: u64 = zeroed.iter().map(|extent| extent.length_bytes).sum();
                let pieces = extents.len();
                tracing::info!(
                    number,
                    ?filesystem,
                    used_bytes,
                    zeroed_bytes,
                    pieces,
                    "the partition is mapped"
                );
                let content = Content::Mapped { filesystem, block_bytes, used_bytes };
                Ok(PlannedRegion { place, kind, content, used: extents, zeroed })
            }
            Err(UsedBlocksError::Unsupported { what }) => {
                tracing::info!(number, ?filesystem, what, "the partition is carried raw");
                Ok(raw(place, kind, Some(filesystem)))
            }
            Err(error) => Err(self.refusal(error, filesystem, None)),
        }
    }

    /// Why what the partition holds, or a `volume` inside of it, is no source.
    fn refusal(
        &self,
        error: UsedBlocksError,
        filesystem: FileSystem,
        volume: Option<String>,
    ) -> FailureCause {
        let partition = self.partition.number;
        match error {
            UsedBlocksError::InVolume { volume, filesystem, error } => {
                self.refusal(*error, filesystem, Some(volume))
            }
            UsedBlocksError::Unclean { reason } => {
                FailureCause::SourceUnclean { partition, filesystem, volume, reason }
            }
            UsedBlocksError::ExternalJournal => {
                FailureCause::SourceJournalElsewhere { partition, filesystem, volume }
            }
            UsedBlocksError::FilesElsewhere => {
                FailureCause::SourceFilesElsewhere { partition, filesystem, volume }
            }
            UsedBlocksError::SeveralDevices => {
                FailureCause::SourceOnSeveralDevices { partition, filesystem, volume }
            }
            UsedBlocksError::GroupElsewhere { group } => {
                FailureCause::SourceOnSeveralDevices { partition, filesystem, volume: group }
            }
            UsedBlocksError::Io(error) => self.read_failed(&error),
            // What has no map is carried raw; that it comes here nevertheless would be a defect of this file.
            error @ (UsedBlocksError::Damaged { .. } | UsedBlocksError::Unsupported { .. }) => {
                let detail = error.to_string();
                FailureCause::SourceDamaged { partition, filesystem, volume, detail }
            }
        }
    }

    fn read_failed(&self, error: &(dyn Error + 'static)) -> FailureCause {
        FailureCause::ReadFailed {
            offset_bytes: self.partition.place.start_bytes,
            detail: format!("partition {}: {}", self.partition.number, causes(error)),
        }
    }
}
