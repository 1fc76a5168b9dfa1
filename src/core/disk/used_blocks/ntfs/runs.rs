//! Where the bytes of an attribute's value are.

use std::ops::Range;

use super::{record::Attribute, volume::Volume};
use crate::disk::used_blocks::UsedBlocksError;

/// Most pieces of one value. The most fragmented master file tables that were reported had some ten thousand.
const RUNS_MAX: usize = 1 << 16;

/// A piece of a value: clusters that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// The first cluster, counted inside the value.
    vcn: u64,
    /// The same cluster, counted on the volume; `None` for a hole.
    lcn: Option<u64>,
    clusters: u64,
}

/// The clusters of a value, in order and without gaps from its first.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the runs of the next part of the value. Each starts with a byte that says how long its two numbers are:
    /// the count of clusters, and the distance from the run before.
    pub(super) fn append(
        &mut self,
        attribute: &Attribute<'_>,
        volume: &Volume<'_>,
    ) -> Result<(), UsedBlocksError> {
        let damaged = |expected, actual, what| {
            Err(UsedBlocksError::Damaged { offset: attribute.offset, expected, actual, what })
        };
        let mut vcn = self.0.last().map_or(0, |last| last.vcn + last.clusters);
        if attribute.first_vcn() != vcn {
            return damaged(vcn, attribute.first_vcn(), "the first cluster of a part of a value");
        }
        let mut bytes = attribute.encoded_runs();
        let mut lcn = 0_i64;
        while let Some((&lengths, rest)) = bytes.split_first() {
            if lengths == 0 {
                return Ok(());
            }
            let (count_bytes, distance_bytes) = (usize::from(lengths & 15), usize::from(lengths >> 4));
            let (Some(count), Some(distance)) =
                (rest.get(..count_bytes), rest.get(count_bytes..count_bytes + distance_bytes))
            else {
                return damaged(
                    rest.len() as u64,
                    (count_bytes + distance_bytes) as u64,
                    "the length of a data run",
                );
            };
            bytes = &rest[count_bytes + distance_bytes..];
            let clusters = u64::try_from(signed(count)).unwrap_or(0);
            lcn = lcn.wrapping_add(signed(distance));
            let place = (distance_bytes > 0).then(|| u64::try_from(lcn).unwrap_or(u64::MAX));
            let end = place.unwrap_or(0).saturating_add(clusters);
            // A hole may be as long as a file may be, which is 2^64 bytes less one.
            let end_max = if place.is_some() { volume.clusters } else { u64::MAX / volume.cluster_bytes };
            if clusters == 0
                || end > end_max
                || vcn.saturating_add(clusters) > u64::MAX / volume.cluster_bytes
            {
                return damaged(end_max, end, "the end of a data run");
            }
            if self.0.len() == RUNS_MAX {
                return damaged(RUNS_MAX as u64, RUNS_MAX as u64 + 1, "the number of data runs");
            }
            self.0.push(Run { vcn, lcn: place, clusters });
            vcn += clusters;
        }
        Ok(())
    }

    /// Fills `buffer` from the value's byte `start`; holes read as zeros. Returns where on the volume the first
    /// byte lies, 0 for a hole.
    pub(super) fn read(
        &self,
        volume: &Volume<'_>,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<u64, UsedBlocksError> {
        let mut done = 0;
        while done < buffer.len() {
            let at = start.saturating_add(done as u64);
            let Some(run) = self.run_at(at / volume.cluster_bytes) else {
                let what = "the end of a value's data runs";
                let last = self.0.last().map_or(0, |last| last.vcn + last.clusters);
                let (expected, offset) = (at, self.place(volume, 0).unwrap_or(0));
                let actual = last.saturating_mul(volume.cluster_bytes);
                return Err(UsedBlocksError::Damaged { offset, expected, actual, what });
            };
            let inside = at - run.vcn * volume.cluster_bytes;
            let left = run.clusters.saturating_mul(volume.cluster_bytes) - inside;
            let length = left.min((buffer.len() - done) as u64) as usize;
            let piece = &mut buffer[done..done + length];
            match run.lcn {
                Some(lcn) => volume.source.read_exact_at(piece, lcn * volume.cluster_bytes + inside)?,
                None => piece.fill(0),
            }
            done += length;
        }
        Ok(self.place(volume, start).unwrap_or(0))
    }

    /// The value's clusters on the volume; `None` where some are missing, because the value has holes.
    pub(super) fn clusters(&self) -> Option<Vec<Range<u64>>> {
        self.0.iter().map(|run| Some(run.lcn?..run.lcn? + run.clusters)).collect()
    }

    /// Where on the volume a byte of the value lies.
    pub(super) fn place(&self, volume: &Volume<'_>, at: u64) -> Option<u64> {
        let run = self.run_at(at / volume.cluster_bytes)?;
        Some(run.lcn? * volume.cluster_bytes + (at - run.vcn * volume.cluster_bytes))
    }

    fn run_at(&self, vcn: u64) -> Option<Run> {
        let after = self.0.partition_point(|run| run.vcn <= vcn);
        let run = *self.0.get(after.checked_sub(1)?)?;
        (vcn - run.vcn < run.clusters).then_some(run)
    }
}

/// A little-endian number of up to eight bytes, with sign.
fn signed(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|&last| last & 0x80 != 0);
    let mut all = [if negative { 0xFF } else { 0 }; 8];
    let length = bytes.len().min(8);
    all[..length].copy_from_slice(&bytes[..length]);
    i64::from_le_bytes(all)
}

/// The value of an attribute.
#[derive(Debug)]
pub(super) enum Value {
    Resident(Vec<u8>),
    InClusters { runs: Runs, bytes: u64, initialized_bytes: u64 },
}

impl Value {
    /// Reads the attribute's first part.
    pub(super) fn parse(attribute: &Attribute<'_>, volume: &Volume<'_>) -> Result<Self, UsedBlocksError> {
        let damaged =
            |what| UsedBlocksError::Damaged { offset: attribute.offset, expected: 0, actual: 1, what };
        if attribute.is_resident() {
            let value = attribute.resident_value().ok_or_else(|| damaged("the length of a value"))?;
            return Ok(Self::Resident(value.to_vec()));
        }
        if !attribute.is_plain() {
            return Err(damaged("a system value that is compressed or encrypted"));
        }
        let mut runs = Runs::default();
        runs.append(attribute, volume)?;
        let (bytes, initialized_bytes) = attribute.lengths();
        Ok(Self::InClusters { runs, bytes, initialized_bytes: initialized_bytes.min(bytes) })
    }

    /// Adds a further part.
    pub(super) fn append(
        &mut self,
        attribute: &Attribute<'_>,
        volume: &Volume<'_>,
    ) -> Result<(), UsedBlocksError> {
        match self {
            Self::InClusters { runs, .. } if !attribute.is_resident() => runs.append(attribute, volume),
            _ => Err(UsedBlocksError::Damaged {
                offset: attribute.offset,
                expected: 1,
                actual: 2,
                what: "a value that stands in a file record twice: its parts",
            }),
        }
    }

    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Resident(value) => value.len() as u64,
            Self::InClusters { bytes, .. } => *bytes,
        }
    }

    pub(super) fn initialized_bytes(&self) -> u64 {
        match self {
            Self::Resident(value) => value.len() as u64,
            Self::InClusters { initialized_bytes, .. } => *initialized_bytes,
        }
    }

    /// Fills `buffer` from the value's byte `start`, which must lie with all of the buffer inside the value.
    pub(super) fn read(
        &self,
        volume: &Volume<'_>,
        start: u64,
        buffer: &mut [u8],
    ) -> Result<(), UsedBlocksError> {
        match self {
            Self::Resident(value) => {
                let from =
                    usize::try_from(start).ok().and_then(|start| value.get(start..)?.get(..buffer.len()));
                buffer.copy_from_slice(from.ok_or(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?);
            }
            Self::InClusters { runs, .. } => {
                runs.read(volume, start, buffer)?;
            }
        }
        Ok(())
    }
}
