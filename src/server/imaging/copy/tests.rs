use std::num::NonZeroUsize;

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize, seal},
    disk::table::{PartitionTable, Scheme},
    manifest::{Content, DiskGeometry, Manifest, ManifestRoot, Region, RegionKind, Run, SignedManifest},
    units::{Extent, SectorSize},
};

use super::{Copied, CopyError, copy_version};
use crate::{
    clock::Timestamp,
    db,
    imaging::{
        local::Shelf,
        master::{self, ListedVersion, NewVersion, insert_version},
        provenance::provenance_of,
        store::{StoreOptions, faulty::Disk},
    },
};

const OPTIONS: StoreOptions = StoreOptions {
    pack_bytes: 1 << 20,
    reserve_bytes: 0,
    hashers: NonZeroUsize::new(2).expect("two"),
    intake_bytes: 4 << 20,
};

async fn shelf(seed: u8) -> Shelf {
    Shelf {
        store: Disk::default().open(OPTIONS).await,
        db: db::open_in_memory().await.expect("a database"),
        key: SigningKey::from_bytes(&[seed; 32]),
    }
}

fn content() -> Vec<u8> {
    vec![7; ChunkSize::DEFAULT.bytes() as usize]
}

fn manifest() -> Manifest {
    let length_bytes = ChunkSize::DEFAULT.bytes();
    Manifest {
        disk: DiskGeometry {
            size_bytes: length_bytes,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
        },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable { scheme: Scheme::Mbr { disk_signature: 7 }, partitions: Vec::new() },
        regions: vec![Region {
            place: Extent { start_bytes: 0, length_bytes },
            kind: RegionKind::BootArea,
            content: Content::Raw { found: None },
            runs: vec![Run::Chunks(vec![ChunkId::of(&content())])],
        }],
        unread: vec![],
    }
}

/// Lists a version with a manifest of these bytes, as a library may have it that somebody else made.
async fn list_with(shelf: &Shelf, encoded: Vec<u8>) -> ListedVersion {
    let intake = shelf.store.intake();
    intake.put(vec![seal(&content())]).await.expect("taken");
    intake.finish().await.expect("finished");
    let signed = SignedManifest { encoded, signature: [0; 64] };
    let new = NewVersion {
        master: "debian".parse().expect("a name"),
        description: String::new(),
        manifest_root: shelf.store.put_manifest(&signed).await.expect("written"),
        disk_bytes: ChunkSize::DEFAULT.bytes(),
        carried_bytes: 0,
        stored_bytes: 0,
        unread_bytes: 0,
        unread_sectors: 0,
        computer: None,
        session: None,
        provenance: None,
        warnings: vec![],
    };
    insert_version(&shelf.db, &new, Timestamp(1)).await.expect("inserted");
    master::list_all_versions(&shelf.db).await.expect("listed").remove(0)
}

async fn copy(encoded: Vec<u8>) -> (Result<Copied, CopyError>, Shelf) {
    let (from, into) = (shelf(1).await, shelf(2).await);
    let listed = list_with(&from, encoded).await;
    let provenance = provenance_of(&from, &listed).await.expect("signed");
    (copy_version(&from, &listed, provenance, &into, &|_| ()).await, into)
}

#[tokio::test]
async fn a_manifest_in_other_bytes_than_ours_is_refused_before_anything_is_copied() {
    let ours = manifest().encode();
    let root = ManifestRoot::of(&ours);
    let (copied, into) = copy(ours.clone()).await;
    assert!(matches!(copied, Ok(Copied::Listed { chunks: 1, .. })), "{copied:?}");
    assert_eq!(master::list_all_versions(&into.db).await.expect("listed")[0].version.manifest_root, root);

    // The number of unread parts, 0, in two bytes instead of one: the same content, under another root.
    let mut other = ours;
    assert_eq!(other.pop(), Some(0));
    other.extend_from_slice(&[0x80, 0]);
    assert_eq!(Manifest::decode(&other), Ok(manifest()));
    let other_root = ManifestRoot::of(&other);
    let (copied, into) = copy(other).await;
    let Err(CopyError::NotCanonical { root: refused, actual }) = copied else { panic!("{copied:?}") };
    assert_eq!((refused, actual), (other_root, root));
    assert_eq!(master::list_all_versions(&into.db).await.expect("listed"), []);
    assert_eq!(into.store.stats().await.expect("stats").packs, 0, "nothing was copied");
}
