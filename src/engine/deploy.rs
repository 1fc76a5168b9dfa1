//! Deploy: a version of a master becomes the content of a disk.
//!
//! Everything that can be checked is checked before the first write. Then the old partition table goes, the content
//! is placed and, unless the order says otherwise, read back, and the new table comes last: cut at any point before
//! that, the disk holds no system,
//! and the same deploy takes up what is already in place.

use ed25519_dalek::VerifyingKey;
use mimeo_core::{
    failure::FailureCause,
    manifest::{ChunkContent, Manifest, ManifestRoot},
    messages::{DeployOrder, Phase},
    units::{Extent, MIB},
};

use crate::disk::{exclusive::ExclusiveDisk, probe::DiskProbe};
use crate::{
    boot_table::{self, BootTable},
    halt::Halt,
    link::Link,
    pipeline::Width,
    slots::Pool,
    verify, write,
};

pub(crate) fn deploy(
    order: &DeployOrder,
    link: &Link<'_>,
    probe: &dyn DiskProbe,
    width: Width,
) -> Result<(), Halt> {
    link.board.begin(Phase::Prepare, 0);
    let mut disk = ExclusiveDisk::open(&order.target, probe)?;
    let manifest = open_manifest(order.manifest_root, &order.manifest_key, link)?;
    check_fits(&manifest, &disk)?;
    let table = BootTable::prepare(&manifest, link, disk.size_bytes())?;
    let pool = Pool::new(manifest.chunk_size);
    let job = Deploy { link, manifest: &manifest, table: &table, width, pool };

    link.board.begin(Phase::Partition, 0);
    boot_table::destroy(&mut disk)?;
    let ground = write::survey(&manifest, link, &mut disk)?;

    let carried_bytes = carried(&manifest).map(|(place, _)| place.length_bytes).sum();
    link.board.begin(Phase::Write, carried_bytes);
    link.board.update(|progress| progress.carried_bytes = carried_bytes);
    write::write(&job, &mut disk, ground)?;

    if order.verify {
        link.board.begin(Phase::Verify, carried_bytes);
        verify::verify(&job, &disk)?;
    } else {
        tracing::info!("nothing is read back, as was ordered");
    }

    link.board.begin(Phase::Finish, 0);
    table.write(&mut disk)?;
    Ok(())
}

/// What the phases of one deploy share.
pub(crate) struct Deploy<'a> {
    pub(crate) link: &'a Link<'a>,
    pub(crate) manifest: &'a Manifest,
    pub(crate) table: &'a BootTable,
    pub(crate) width: Width,
    pub(crate) pool: Pool,
}

/// How far from either end of a partition nothing of the target's earlier content may stay. A RAID, LVM, ZFS and every
/// file system are known by labels in the first or the last megabyte, and one left there from an earlier life
/// of the disk would be found beside the new file system, or instead of it.
const EDGE_BYTES: u64 = MIB;

/// Every chunk of a manifest that a deploy has to place, in the order of the disk: what is carried, and zeros where
/// nothing is in use at the edges of a region.
pub(crate) fn carried(manifest: &Manifest) -> impl Iterator<Item = (Extent, ChunkContent)> + Send + '_ {
    manifest.regions.iter().flat_map(|region| {
        let inside_from = region.place.start_bytes.saturating_add(EDGE_BYTES);
        let inside_to = region.place.end_bytes().saturating_sub(EDGE_BYTES);
        region.chunks(manifest.chunk_size).filter_map(move |(place, content)| match content {
            ChunkContent::DontCare => (place.start_bytes < inside_from || place.end_bytes() > inside_to)
                .then_some((place, ChunkContent::Zero)),
            content => Some((place, content)),
        })
    })
}

/// Fetches the manifest that is wanted, and proves it by its hash and its signature.
pub(crate) fn open_manifest(root: ManifestRoot, key: &[u8; 32], link: &Link<'_>) -> Result<Manifest, Halt> {
    let refused = |detail| Halt::from(FailureCause::ManifestRefused { detail });
    let signed = link.ask(|server| server.manifest())?;
    let key = VerifyingKey::from_bytes(key).map_err(|error| refused(error.to_string()))?;
    signed.open(root, &key).map_err(|error| refused(error.to_string()))
}

/// Checks that the target can hold the master, with the numbers where it cannot.
fn check_fits(manifest: &Manifest, disk: &ExclusiveDisk) -> Result<(), FailureCause> {
    let sector = manifest.disk.logical_sector;
    disk.facts().check_target(manifest.target_min_bytes(), sector)?;
    let whole = |bytes: u64| bytes.is_multiple_of(sector.bytes());
    let places = manifest.regions.iter().map(|region| region.place);
    match places.into_iter().find(|place| !whole(place.start_bytes) || !whole(place.length_bytes)) {
        Some(place) => {
            let detail = format!("a region ({place}) does not consist of whole sectors of {sector} bytes");
            Err(FailureCause::ManifestRefused { detail })
        }
        None => Ok(()),
    }
}
