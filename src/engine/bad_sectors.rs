//! Reading on past sectors that a failing source cannot read.
//!
//! A disk that cannot read one sector fails the whole request that holds it. What the request was for is then read again
//! in smaller pieces, down to the sector; the sectors that still fail are zeros in the master, and its manifest names
//! them. What was only read along, because it lay between two extents in use, is not asked for again.

use std::{
    collections::BTreeSet,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    failure::FailureCause,
    units::{Extent, SectorSize},
};

use crate::disk::{
    buffer::AlignedBuffer,
    exclusive::{SourceDisk, is_medium_error},
};

/// Into how many pieces a stretch is cut that cannot be read. A piece that fails costs a disk seconds (it and the kernel
/// try again), one that does not costs milliseconds: with 16, a bad sector of 512 bytes in 8 MiB is found by four failures
/// and some fifty good reads; halves would take 14 failures.
const PIECES: u64 = 16;

/// The sectors of one source that could not be read.
pub(crate) struct BadSectors {
    limit: BadSectorLimit,
    sector: SectorSize,
    /// Where they start.
    found: Mutex<BTreeSet<u64>>,
}

impl BadSectors {
    pub(crate) fn new(limit: BadSectorLimit, sector: SectorSize) -> Self {
        Self { limit, sector, found: Mutex::default() }
    }

    /// Reads what is `used` of `place` once more, after the request for all of it failed with `error`. `bytes` are those
    /// of `place`; what cannot be read of them becomes zero.
    ///
    /// Fails where more sectors are bad than are tolerated, and where it is not the medium that is at fault.
    pub(crate) fn read_around<'u>(
        &self,
        disk: &SourceDisk,
        place: Extent,
        used: impl Iterator<Item = &'u Extent>,
        bytes: &mut [u8],
        error: &io::Error,
    ) -> Result<(), FailureCause> {
        let pieces = whole_sectors(used, place, self.sector);
        // Where nothing was read along and nothing is tolerated, asking again would only take longer.
        if !is_medium_error(error) || self.limit == BadSectorLimit::NONE && pieces == [place] {
            return Err(self.failure(place, error));
        }
        tracing::warn!(%place, %error, "the source cannot be read here, reading it piece by piece");
        let mut scratch = AlignedBuffer::zeroed(bytes.len());
        for piece in pieces {
            let start = (piece.start_bytes - place.start_bytes) as usize;
            let bytes = &mut bytes[start..start + piece.length_bytes as usize];
            if piece == place {
                self.read_parts(disk, piece, bytes, &mut scratch)?;
            } else {
                self.read_piece(disk, piece, bytes, &mut scratch)?;
            }
        }
        Ok(())
    }

    /// The bytes of `piece`, with zeros for the sectors that fail: their number is at most the limit, and the depth of the
    /// recursion four.
    fn read_piece(
        &self,
        disk: &SourceDisk,
        piece: Extent,
        bytes: &mut [u8],
        scratch: &mut AlignedBuffer,
    ) -> Result<(), FailureCause> {
        // Only memory that begins aligned goes to the disk directly, and only there one sector fails alone.
        let read = &mut scratch[..bytes.len()];
        let error = match disk.read_sectors_at(read, piece.start_bytes) {
            Ok(()) => {
                bytes.copy_from_slice(read);
                return Ok(());
            }
            Err(error) => error,
        };
        if !is_medium_error(&error) || self.limit == BadSectorLimit::NONE {
            return Err(self.failure(piece, &error));
        }
        if piece.length_bytes <= self.sector.bytes() {
            bytes.fill(0);
            return self.note(piece, &error);
        }
        self.read_parts(disk, piece, bytes, scratch)
    }

    /// As [`BadSectors::read_piece`], of a piece that failed as a whole.
    fn read_parts(
        &self,
        disk: &SourceDisk,
        piece: Extent,
        bytes: &mut [u8],
        scratch: &mut AlignedBuffer,
    ) -> Result<(), FailureCause> {
        let length =
            (piece.length_bytes / PIECES).next_multiple_of(self.sector.bytes()).max(self.sector.bytes());
        for (start_bytes, bytes) in
            (piece.start_bytes..).step_by(length as usize).zip(bytes.chunks_mut(length as usize))
        {
            let part = Extent { start_bytes, length_bytes: bytes.len() as u64 };
            self.read_piece(disk, part, bytes, scratch)?;
        }
        Ok(())
    }

    fn note(&self, sector: Extent, error: &io::Error) -> Result<(), FailureCause> {
        tracing::warn!(%sector, %error, "a sector cannot be read");
        self.found().insert(sector.start_bytes);
        if self.count() > self.limit.sectors() { Err(self.failure(sector, error)) } else { Ok(()) }
    }

    /// `place` is where it failed last; the disk may have failed elsewhere before.
    fn failure(&self, place: Extent, error: &io::Error) -> FailureCause {
        let detail = error.to_string();
        if !is_medium_error(error) {
            return FailureCause::ReadFailed { offset_bytes: place.start_bytes, detail };
        }
        let found = self.found();
        FailureCause::SourceUnreadable {
            offset_bytes: found.first().copied().unwrap_or(place.start_bytes),
            found: (found.len() as u64).max(1),
            tolerated: self.limit,
            detail,
        }
    }

    /// How many sectors were found so far.
    pub(crate) fn count(&self) -> u64 {
        self.found().len() as u64
    }

    /// They, neighbours together, in the order of the disk.
    pub(crate) fn extents(&self) -> Vec<Extent> {
        let mut extents: Vec<Extent> = Vec::new();
        for &start_bytes in self.found().iter() {
            match extents.last_mut() {
                Some(last) if last.end_bytes() == start_bytes => last.length_bytes += self.sector.bytes(),
                _ => extents.push(Extent { start_bytes, length_bytes: self.sector.bytes() }),
            }
        }
        extents
    }

    /// A set is whole after every insertion, so a thread that died holding the lock spoiled nothing.
    fn found(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole sectors that hold anything of `used` inside `place`, which consists of whole sectors, neighbours together.
fn whole_sectors<'u>(
    used: impl Iterator<Item = &'u Extent>,
    place: Extent,
    sector: SectorSize,
) -> Vec<Extent> {
    let sector = sector.bytes();
    let mut pieces: Vec<Extent> = Vec::new();
    for extent in used {
        let (start, end) =
            (extent.start_bytes.max(place.start_bytes), extent.end_bytes().min(place.end_bytes()));
        if start >= end {
            continue;
        }
        let (start, end) = (start - start % sector, end.next_multiple_of(sector).min(place.end_bytes()));
        match pieces.last_mut() {
            Some(last) if start <= last.end_bytes() => {
                last.length_bytes = last.length_bytes.max(end - last.start_bytes);
            }
            _ => pieces.push(Extent { start_bytes: start, length_bytes: end - start }),
        }
    }
    pieces
}

/// Zeroes what of the chunk at `place` counts as unread: a sector that is bad today may be read tomorrow.
pub(crate) fn zero_unread(unread: &[Extent], place: Extent, bytes: &mut [u8]) {
    let from = unread.partition_point(|extent| extent.end_bytes() <= place.start_bytes);
    for extent in unread[from..].iter().take_while(|extent| extent.start_bytes < place.end_bytes()) {
        let (start, end) =
            (extent.start_bytes.max(place.start_bytes), extent.end_bytes().min(place.end_bytes()));
        bytes[(start - place.start_bytes) as usize..(end - place.start_bytes) as usize].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::atomic::{AtomicU32, Ordering},
    };

    use mimeo_core::{
        bad_sectors::BadSectorLimit,
        failure::FailureCause,
        machine::disk_facts::DiskFacts,
        units::{Extent, SectorSize},
    };
    use proptest::prelude::{prop, proptest};

    use super::{BadSectors, whole_sectors, zero_unread};
    use crate::disk::{
        device::{Access, BlockDevice, OpenDeviceError},
        exclusive::SourceDisk,
        probe::{DiskProbe, FoundDisk},
    };

    /// A disk whose bytes are all 7, and some of whose sectors cannot be read.
    struct FailingDisk {
        length_bytes: u64,
        sector: SectorSize,
        bad: Vec<u64>,
        /// Of the system, for a sector that is bad.
        error: i32,
        failures: &'static AtomicU32,
    }

    impl BlockDevice for FailingDisk {
        fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
            let end = offset_bytes + buffer.len() as u64;
            assert!(
                offset_bytes.is_multiple_of(self.sector.bytes()) && end.is_multiple_of(self.sector.bytes())
            );
            assert!(end <= self.length_bytes);
            if self.bad.iter().any(|bad| (offset_bytes..end).contains(bad)) {
                self.failures.fetch_add(1, Ordering::Relaxed);
                return Err(io::Error::from_raw_os_error(self.error));
            }
            buffer.fill(7);
            Ok(())
        }

        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            panic!("a source is written")
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn discard(&self, _: Extent) -> io::Result<bool> {
            panic!("a source is discarded")
        }

        fn reread_table(&self) -> io::Result<()> {
            Ok(())
        }
    }

    impl DiskProbe for FailingDisk {
        fn disks(&self) -> io::Result<Vec<FoundDisk>> {
            let facts = DiskFacts {
                kernel_name: "failing".into(),
                model: None,
                serial: None,
                wwn: None,
                size_bytes: self.length_bytes,
                logical_sector: self.sector,
                physical_sector: self.sector,
                removable: false,
                transport: None,
                rotational: false,
            };
            Ok(vec![FoundDisk { device: "/nowhere".into(), facts }])
        }

        fn open(&self, _: &FoundDisk, _: Access) -> Result<Box<dyn BlockDevice>, OpenDeviceError> {
            let Self { length_bytes, sector, error, failures, .. } = *self;
            Ok(Box::new(Self { length_bytes, sector, bad: self.bad.clone(), error, failures }))
        }
    }

    struct Trial {
        read: Result<(), FailureCause>,
        bytes: Vec<u8>,
        unread: Vec<Extent>,
        failures: u32,
    }

    /// Reads `used` of the `place` of a disk after all of it failed.
    fn trial(
        sector: SectorSize,
        limit: u32,
        bad: &[u64],
        error: i32,
        place: Extent,
        used: &[Extent],
    ) -> Trial {
        let failures: &'static AtomicU32 = Box::leak(Box::default());
        let length_bytes = place.end_bytes();
        let probe = FailingDisk { length_bytes, sector, bad: bad.to_vec(), error, failures };
        let pin = probe.disks().expect("one")[0].facts.pin();
        let disk = SourceDisk::open(&pin, &probe).expect("it opens");
        let sectors = BadSectors::new(BadSectorLimit::new(limit).expect("few"), sector);
        let mut bytes = vec![9; place.length_bytes as usize];
        let first = io::Error::from_raw_os_error(error);
        let read = sectors.read_around(&disk, place, used.iter(), &mut bytes, &first);
        Trial { read, bytes, unread: sectors.extents(), failures: failures.load(Ordering::Relaxed) }
    }

    const EIO: i32 = libc::EIO;

    fn extent(start_bytes: u64, length_bytes: u64) -> Extent {
        Extent { start_bytes, length_bytes }
    }

    #[test]
    fn a_bad_sector_is_found_by_few_failures_and_its_neighbours_are_had() {
        let place = extent(512, 8 << 20);
        for (sector, bad) in [(512, 512), (512, (8 << 20)), (512, 3_000_320), (4096, 4096 * 300)] {
            let sector = SectorSize::new(sector).expect("a size");
            let place = if sector == SectorSize::B512 { place } else { extent(0, 8 << 20) };
            let Trial { read, bytes, unread, failures } = trial(sector, 1, &[bad], EIO, place, &[place]);
            assert_eq!(read, Ok(()));
            assert_eq!(unread, [extent(bad, sector.bytes())]);
            assert!(failures <= 4, "{failures} failures for {bad}");
            let start = (bad - place.start_bytes) as usize;
            let end = start + sector.bytes() as usize;
            assert!(bytes[start..end].iter().all(|&byte| byte == 0));
            assert!(bytes[..start].iter().chain(&bytes[end..]).all(|&byte| byte == 7));
        }
    }

    #[test]
    fn too_many_bad_sectors_end_it_with_the_first_and_their_number() {
        let bad: Vec<u64> = (100..104).map(|sector| sector * 512).collect();
        let place = extent(0, 1 << 20);
        let Trial { read, failures, .. } = trial(SectorSize::B512, 2, &bad, EIO, place, &[place]);
        let Err(FailureCause::SourceUnreadable { offset_bytes, found, tolerated, .. }) = read else {
            panic!("{read:?}")
        };
        assert_eq!((offset_bytes, found, tolerated.sectors()), (100 * 512, 3, 2));
        assert!(failures < 10, "{failures}");
    }

    #[test]
    fn what_was_only_read_along_is_not_asked_for_again() {
        let place = extent(0, 1 << 20);
        let used = [extent(0, 5000), extent(60_000, 4000)];
        let Trial { read, bytes, unread, failures } =
            trial(SectorSize::B512, 0, &[32_768], EIO, place, &used);
        assert_eq!((read, unread, failures), (Ok(()), vec![], 0));
        for used in used {
            let range = used.start_bytes as usize..used.end_bytes() as usize;
            assert!(bytes[range].iter().all(|&byte| byte == 7));
        }
        // One that is in use ends it at once.
        let Trial { read, failures, .. } = trial(SectorSize::B512, 0, &[60_416], EIO, place, &used);
        assert!(matches!(read, Err(FailureCause::SourceUnreadable { found: 1, .. })), "{read:?}");
        assert_eq!(failures, 1);
        let Trial { failures, .. } = trial(SectorSize::B512, 0, &[60_416], EIO, place, &[place]);
        assert_eq!(failures, 0, "what failed is not asked for again");
    }

    #[test]
    fn a_medium_has_several_names_for_its_errors_and_a_lost_disk_is_none_of_them() {
        let place = extent(0, 4096);
        for (error, is_medium) in [
            (libc::EIO, true),
            (libc::ENODATA, true),
            (libc::EILSEQ, true),
            (libc::EREMOTEIO, true),
            (libc::ENXIO, false),
            (libc::ENODEV, false),
            (libc::ETIMEDOUT, false),
        ] {
            let Trial { read, unread, .. } = trial(SectorSize::B512, 9, &[512], error, place, &[place]);
            match read {
                Ok(()) => assert!(is_medium && unread == [extent(512, 512)], "{error}"),
                Err(FailureCause::ReadFailed { .. }) => assert!(!is_medium, "{error}"),
                Err(other) => panic!("{error}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_counts_as_unread_is_zero_wherever_it_reaches_into_a_chunk() {
        let unread = [extent(0, 512), extent(1024, 1024), extent(4096, 512)];
        let mut bytes = vec![7; 2048];
        zero_unread(&unread, extent(1536, 2048), &mut bytes);
        assert!(bytes[..512].iter().all(|&byte| byte == 0) && bytes[512..].iter().all(|&byte| byte == 7));
        zero_unread(&unread, extent(2560, 2048), &mut bytes);
        assert!(
            bytes[1536..].iter().all(|&byte| byte == 0) && bytes[512..1536].iter().all(|&byte| byte == 7)
        );
    }

    proptest! {
        #[test]
        fn what_is_used_lies_in_whole_sectors_that_hold_nothing_else(
            steps in prop::collection::vec((0..5000u64, 1..9000u64), 0..12),
            power in 9..13u32,
        ) {
            let sector = SectorSize::new(1 << power).expect("a size");
            let place = extent(8192, 65536);
            let mut at = 4000;
            let used: Vec<Extent> = steps
                .into_iter()
                .map(|(gap, length)| {
                    let start = at + gap;
                    at = start + length;
                    extent(start, length)
                })
                .collect();
            let pieces = whole_sectors(used.iter(), place, sector);
            for pair in pieces.windows(2) {
                assert!(pair[0].end_bytes() < pair[1].start_bytes);
            }
            for start in (place.start_bytes..place.end_bytes()).step_by(sector.bytes() as usize) {
                let holds = |extent: &Extent| extent.start_bytes < start + sector.bytes() && start < extent.end_bytes();
                assert_eq!(pieces.iter().any(holds), used.iter().any(holds), "sector at {start}");
            }
        }
    }
}
