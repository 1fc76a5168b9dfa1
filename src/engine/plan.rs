//! The plan of a capture: which parts of the disk are carried, and which of their bytes are in use.

use std::io;

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    causes::causes,
    chunk::ChunkSize,
    disk::{
        Window,
        filesystem::{self, FileSystem},
        layout,
        table::{Partition, PartitionTable, WHOLE_DISK},
        used_blocks::{self, UsedBlocksError, UsedMap, lvm},
    },
    failure::FailureCause,
    manifest::{
        Content, RegionKind,
        volumes::{OpaqueVolume, VolumeName},
    },
    units::Extent,
};

use crate::disk::exclusive::{SourceDisk, is_medium_error};
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
    ///
    /// Where the disk cannot read what would say which sectors are in use, and `limit` tolerates that, all of them are.
    pub(crate) fn read(
        source: &SourceDisk,
        chunk_size: ChunkSize,
        limit: BadSectorLimit,
    ) -> Result<Self, FailureCause> {
        let layout = layout::read(source, source.geometry().logical_sector)
            .map_err(|error| FailureCause::SourceTable { detail: causes(&error) })?;
        for warning in &layout.warnings {
            tracing::warn!(%warning, "the source disk is unusual");
        }
        let boot_area = Some(layout.boot_area).filter(|area| area.length_bytes > 0);
        let mut regions: Vec<_> =
            boot_area.map(|area| raw(area, RegionKind::BootArea, None)).into_iter().collect();
        regions.extend(layout.gaps.iter().map(|&gap| raw(gap, RegionKind::Gap, None)));
        let parts = layout.table.partitions.iter().map(|partition| Part::look(source, partition, limit));
        let parts: Vec<_> = parts.collect::<Result<_, _>>()?;
        let present = Present {
            physical: parts.iter().filter_map(|part| part.physical.clone()).collect(),
            is_all: parts.iter().all(|part| !part.is_unreadable),
        };
        for part in parts {
            regions.push(part.plan(&present)?);
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

/// The physical volumes of LVM that the disk has.
struct Present {
    physical: Vec<lvm::PhysicalVolume>,
    /// No partition stayed unknown in which there may be one more.
    is_all: bool,
}

/// A partition, and what it holds.
struct Part<'a> {
    source: &'a SourceDisk,
    partition: &'a Partition,
    limit: BadSectorLimit,
    filesystem: Option<FileSystem>,
    /// A physical volume of LVM, whose group may have others on the same disk.
    physical: Option<lvm::PhysicalVolume>,
    /// The disk cannot read what would say what the partition holds, which is tolerated.
    is_unreadable: bool,
}

impl<'a> Part<'a> {
    fn look(
        source: &'a SourceDisk,
        partition: &'a Partition,
        limit: BadSectorLimit,
    ) -> Result<Self, FailureCause> {
        let mut part =
            Self { source, partition, limit, filesystem: None, physical: None, is_unreadable: false };
        match filesystem::detect(&part.volume()) {
            Ok(found) => part.filesystem = found,
            Err(error) if part.tolerates(&error) => part.is_unreadable = true,
            Err(error) => return Err(part.read_failed(&error)),
        }
        if part.filesystem == Some(FileSystem::Lvm) {
            match lvm::PhysicalVolume::read(&part.volume()) {
                Ok(physical) => part.physical = Some(physical),
                Err(UsedBlocksError::Unsupported { .. }) => {}
                Err(UsedBlocksError::Io(error)) if part.tolerates(&error) => part.is_unreadable = true,
                Err(error) => return Err(part.refusal(error, FileSystem::Lvm, None)),
            }
        }
        Ok(part)
    }

    /// Whether the disk could not read something, and the capture is to go on.
    fn tolerates(&self, error: &io::Error) -> bool {
        let tolerates = self.limit != BadSectorLimit::NONE && is_medium_error(error);
        if tolerates {
            let number = self.partition.number;
            tracing::warn!(number, %error, "what says which sectors are in use cannot be read: all are");
        }
        tolerates
    }

    fn volume(&self) -> Window<&'a SourceDisk> {
        Window::new(self.source, self.partition.place)
    }

    fn plan(self, present: &Present) -> Result<PlannedRegion, FailureCause> {
        let Partition { number, place, .. } = *self.partition;
        let kind = RegionKind::Partition(number);
        let Some(filesystem) = self.filesystem.filter(|_| !self.is_unreadable) else {
            tracing::info!(number, "no file system is recognised, the partition is carried raw");
            return Ok(raw(place, kind, self.filesystem));
        };
        let mut opaque = Vec::new();
        let map = match &self.physical {
            Some(own) => lvm::map(&self.volume(), own, &present.physical).map(|mapped| {
                opaque = mapped.opaque;
                mapped.used
            }),
            None => used_blocks::map(filesystem, &self.volume()),
        };
        match map {
            // All but the first page of a swap area is dropped, for which its signature alone is too little.
            Ok(_) if filesystem == FileSystem::Swap && !self.partition.kind.is_swap() => {
                tracing::info!(number, "a swap area that the table does not call one is carried raw");
                Ok(raw(place, kind, Some(filesystem)))
            }
            Ok(UsedMap { block_bytes, used_bytes, extents, zeroed, .. }) => {
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
                let content = content(filesystem, block_bytes, used_bytes, opaque);
                Ok(PlannedRegion { place, kind, content, used: extents, zeroed })
            }
            Err(UsedBlocksError::Unsupported { what }) => {
                tracing::info!(number, ?filesystem, what, "the partition is carried raw");
                Ok(raw(place, kind, Some(filesystem)))
            }
            Err(UsedBlocksError::Io(error)) if self.tolerates(&error) => {
                Ok(raw(place, kind, Some(filesystem)))
            }
            // The rest of the group may be where the disk cannot be read.
            Err(UsedBlocksError::GroupElsewhere { .. }) if !present.is_all => {
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

    fn read_failed(&self, error: &io::Error) -> FailureCause {
        let offset_bytes = self.partition.place.start_bytes;
        let detail = match self.partition.number {
            WHOLE_DISK => causes(error),
            number => format!("partition {number}: {}", causes(error)),
        };
        match is_medium_error(error) {
            // Where they were tolerated, this went on.
            true => {
                let tolerated = BadSectorLimit::NONE;
                FailureCause::SourceUnreadable { offset_bytes, found: 1, tolerated, detail }
            }
            false => FailureCause::ReadFailed { offset_bytes, detail },
        }
    }
}

/// What a mapped partition says of itself in the manifest.
fn content(
    filesystem: FileSystem,
    block_bytes: u32,
    used_bytes: u64,
    opaque: Vec<(String, FileSystem)>,
) -> Content {
    let volume = |(name, found)| Some(OpaqueVolume { volume: VolumeName::try_from(name).ok()?, found });
    // Every name that LVM gives is one, as is every one that `lvm` passes on.
    let opaque: Vec<_> = opaque.into_iter().filter_map(volume).collect();
    match opaque.is_empty() {
        true => Content::Mapped { filesystem, block_bytes, used_bytes },
        false => Content::MappedGroup { block_bytes, used_bytes, opaque },
    }
}
