//! The manifest, as a client hands it in and a server sends it.

use ed25519_dalek::SigningKey;
use mimeo_core::{
    chunk::{ChunkId, ChunkSize},
    disk::{
        filesystem::FileSystem,
        gpt::{self, GptError},
        table::{Partition, PartitionKind, PartitionTable, Scheme},
    },
    manifest::{
        Content, DiskGeometry, Manifest, Region, RegionKind, Run, SignedManifest, volumes::OpaqueVolume,
    },
    units::{Extent, MIB, SectorSize},
};

use super::partition_table::read_back;
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "manifest",
    whose: "a client that captures; the server that a client deploys from; the store's disk",
    check,
    seeds,
    words: &[
        b"MIMEOMAN\x02\0",
        b"\x80\x80\x08",
        b"\xff\xff\xff\xff\x0f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    ],
    input_bytes_max: 4096,
    // The entries of a table take at most 1 MiB, and its writes hold several copies of them, beside a disk of 4 MiB.
    memory_bytes_max: 16 << 20,
};

/// Most chunks that are walked one by one: a small manifest may describe a disk of any size.
const CHUNKS_WALKED: usize = 10_000;

/// What is accepted covers its disk exactly, and is said again in the same words.
fn check(input: &[u8]) {
    if let Ok(signed) = SignedManifest::from_bytes(input) {
        assert_eq!(signed.to_bytes(), input);
        assert!(signed.open(signed.root(), &key().verifying_key()).is_err(), "a signature was guessed");
    }
    let Ok(manifest) = Manifest::decode(input) else { return };
    assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));

    let disk_bytes = manifest.disk.size_bytes;
    let carried = manifest.carried_bytes();
    assert!(carried <= disk_bytes, "{carried} bytes of {disk_bytes}");
    // Every id takes its bytes in the input, so their number is no matter of trust.
    let data: u64 = manifest.data_chunks().map(|(place, _)| place.length_bytes).sum();
    assert!(data <= carried, "{data} bytes of {carried}");
    assert!(manifest.data_chunks().count() <= input.len() / 32);
    let mut end = 0;
    for (place, _) in
        manifest.regions.iter().flat_map(|region| region.chunks(manifest.chunk_size)).take(CHUNKS_WALKED)
    {
        assert!(
            place.length_bytes > 0 && place.start_bytes >= end && place.end_bytes() <= disk_bytes,
            "{place}"
        );
        end = place.end_bytes();
    }
    check_table(&manifest);
}

/// Whatever the table says, it is refused, or its writes lie on the disk and both copies of it can be read back.
fn check_table(manifest: &Manifest) {
    let (sector, needed) = (manifest.disk.logical_sector, manifest.target_min_bytes());
    let head = vec![0; sector.bytes() as usize];
    for disk_bytes in [manifest.disk.size_bytes, needed, 4 * MIB] {
        let Ok(writes) = gpt::fit_to_disk(&head, &manifest.table, sector, disk_bytes) else { continue };
        for write in writes.groups.iter().flatten() {
            let end = write.offset_bytes.checked_add(write.bytes.len() as u64);
            assert!(end.is_some_and(|end| end <= disk_bytes), "a write behind the disk");
        }
        if disk_bytes <= 4 * MIB && matches!(manifest.table.scheme, Scheme::Gpt { .. }) {
            match read_back(&writes, sector, disk_bytes) {
                Ok(read) => assert!(read.primary.is_ok() && read.backup.is_ok(), "{read:?}"),
                Err(GptError::BadPartition { .. }) => {}
                Err(error) => panic!("a table that cannot be read was written: {error}"),
            }
        }
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn seeds() -> Vec<Vec<u8>> {
    let region = |start_bytes, length_bytes, kind, content, runs| Region {
        place: Extent { start_bytes, length_bytes },
        kind,
        content,
        runs,
    };
    let partition = |kind| Partition {
        number: 1,
        place: Extent { start_bytes: MIB, length_bytes: 300_032 },
        kind,
        guid: [5; 16],
        name: "root".into(),
        attributes: 4,
    };
    let manifest = |scheme, kind| Manifest {
        disk: DiskGeometry {
            size_bytes: 16 * MIB,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
        },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable { scheme, partitions: vec![partition(kind)] },
        regions: vec![
            region(
                0,
                MIB,
                RegionKind::BootArea,
                Content::Raw { found: None },
                vec![Run::Chunks(vec![ChunkId([1; 32])]), Run::Zero(7)],
            ),
            region(
                MIB,
                300_032,
                RegionKind::Partition(1),
                Content::Mapped { filesystem: FileSystem::Ext, block_bytes: 1024, used_bytes: 5000 },
                vec![Run::DontCare(2), Run::Chunks(vec![ChunkId([2; 32])])],
            ),
        ],
        unread: vec![],
    };
    let gpt = Scheme::Gpt { disk_guid: [7; 16], entry_count: 128, entry_bytes: 128 };
    let gpt = manifest(gpt, PartitionKind::Guid([3; 16]));
    let mbr = manifest(Scheme::Mbr { disk_signature: 77 }, PartitionKind::Byte(0x83));
    let mut group = gpt.clone();
    let inside =
        |name: &str, found| OpaqueVolume { volume: name.to_owned().try_into().expect("a name"), found };
    group.regions[1].content = Content::MappedGroup {
        block_bytes: 512,
        used_bytes: 5000,
        opaque: vec![inside("vg/home", FileSystem::Luks), inside("vg/c", FileSystem::BitLocker)],
    };
    vec![
        gpt.encode(),
        mbr.encode(),
        group.encode(),
        SignedManifest::sign(&gpt, &SigningKey::from_bytes(&[8; 32])).to_bytes(),
    ]
}
