use ed25519_dalek::SigningKey;
use proptest::prelude::{any, prop, proptest};

use super::{
    ChunkContent, Content, DiskGeometry, Manifest, ManifestError, ManifestRoot, Region, RegionKind, Run,
    SignedManifest,
    volumes::{OpaqueVolume, VolumeName},
    warning::{Opaque, Warning},
};
use crate::{
    chunk::{ChunkId, ChunkSize},
    disk::{
        filesystem::FileSystem,
        table::{PartitionTable, Scheme},
    },
    units::{Extent, MIB, SectorSize},
};

fn example() -> Manifest {
    let region = |start_bytes, length_bytes, kind, runs| Region {
        place: Extent { start_bytes, length_bytes },
        kind,
        content: Content::Raw { found: None },
        runs,
    };
    Manifest {
        disk: DiskGeometry {
            size_bytes: 16 * MIB,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B4096,
        },
        chunk_size: ChunkSize::DEFAULT,
        table: PartitionTable {
            scheme: Scheme::Gpt { disk_guid: [7; 16], entry_count: 128, entry_bytes: 128 },
            partitions: vec![],
        },
        regions: vec![
            region(0, MIB, RegionKind::BootArea, vec![Run::Chunks(vec![ChunkId([1; 32])]), Run::Zero(7)]),
            region(
                MIB,
                300_000,
                RegionKind::Partition(1),
                vec![Run::DontCare(2), Run::Chunks(vec![ChunkId([2; 32])])],
            ),
        ],
        unread: vec![],
    }
}

#[test]
fn a_manifest_reads_back_as_it_was_written() {
    assert_eq!(Manifest::decode(&example().encode()), Ok(example()));
}

#[test]
fn the_last_chunk_of_a_region_ends_with_the_region() {
    let manifest = example();
    let chunks: Vec<_> = manifest.regions[1].chunks(manifest.chunk_size).collect();
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[0], (Extent { start_bytes: MIB, length_bytes: 131_072 }, ChunkContent::DontCare));
    assert_eq!(
        chunks[2],
        (
            Extent { start_bytes: MIB + 262_144, length_bytes: 300_000 - 262_144 },
            ChunkContent::Data(ChunkId([2; 32]))
        )
    );
    assert_eq!(manifest.data_chunks().count(), 2);
    assert_eq!(manifest.carried_bytes(), MIB + 300_000 - 262_144);
}

/// A disk of an exabyte of which nothing counts, described in some hundred bytes.
#[test]
fn what_carries_nothing_takes_no_time() {
    let mut manifest = example();
    let size_bytes = 1 << 60;
    manifest.disk.size_bytes = size_bytes;
    manifest.regions.truncate(1);
    let place = Extent { start_bytes: 0, length_bytes: size_bytes };
    let mut left = size_bytes / manifest.chunk_size.bytes();
    let mut runs = vec![];
    while left > 0 {
        let count = left.min(u64::from(u32::MAX));
        runs.push(if runs.is_empty() { Run::Zero(count as u32) } else { Run::DontCare(count as u32) });
        left -= count;
    }
    manifest.regions[0] = Region { place, runs, ..manifest.regions[0].clone() };
    let manifest = Manifest::decode(&manifest.encode()).expect("it agrees with itself");
    assert_eq!(manifest.data_chunks().count(), 0);
    assert_eq!(manifest.carried_bytes(), u64::from(u32::MAX) * manifest.chunk_size.bytes());
}

#[test]
fn lists_are_held_to_their_limits_before_they_take_memory() {
    let mut manifest = example();
    manifest.regions[0].runs = vec![Run::Zero(0); super::RUNS_MAX as usize];
    assert!(matches!(
        Manifest::decode(&manifest.encode()),
        Err(ManifestError::TooMany { what: "runs", count: 2, most: 0 })
    ));
    let mut manifest = example();
    manifest.regions = vec![manifest.regions[0].clone(); super::REGIONS_MAX as usize + 1];
    assert!(matches!(
        Manifest::decode(&manifest.encode()),
        Err(ManifestError::TooMany { what: "regions", count: 1025, most: 1024 })
    ));
}

#[test]
fn a_target_needs_room_for_the_second_partition_table() {
    assert_eq!(example().target_min_bytes(), MIB + 300_000 + 33 * 512);
}

#[test]
fn manifests_that_contradict_themselves_are_refused() {
    let refuse = |change: fn(&mut Manifest)| {
        let mut manifest = example();
        change(&mut manifest);
        Manifest::decode(&manifest.encode()).expect_err("contradiction accepted")
    };
    assert!(matches!(
        refuse(|m| m.regions[1].place.start_bytes = 0),
        ManifestError::RegionOverlaps { index: 1, .. }
    ));
    assert!(matches!(refuse(|m| m.disk.size_bytes = MIB), ManifestError::RegionOutside { index: 1, .. }));
    assert!(matches!(
        refuse(|m| m.regions[1].place.start_bytes = u64::MAX),
        ManifestError::RegionOutside { .. }
    ));
    assert!(matches!(
        refuse(|m| m.regions[0].runs[1] = Run::Zero(8)),
        ManifestError::RunsDoNotCover { index: 0, expected: 8, actual: 9 }
    ));
}

#[test]
fn unread_parts_are_in_order_inside_the_disk_and_few() {
    let with = |unread: &[(u64, u64)]| {
        let unread = unread.iter().map(|&(start_bytes, length_bytes)| Extent { start_bytes, length_bytes });
        let manifest = Manifest { unread: unread.collect(), ..example() };
        Manifest::decode(&manifest.encode()).map(|decoded| assert_eq!(decoded, manifest))
    };
    assert_eq!(with(&[(0, 512), (512, 512), (MIB, 4096)]), Ok(()));
    let bad: [&[(u64, u64)]; 4] =
        [&[(0, 0)], &[(512, 512), (0, 512)], &[(16 * MIB - 512, 1024)], &[(u64::MAX, 512)]];
    for bad in bad {
        assert!(matches!(with(bad), Err(ManifestError::UnreadMisplaced { .. })), "{bad:?}");
    }
    let many: Vec<_> = (0..=super::UNREAD_MAX).map(|index| (index * 512, 512)).collect();
    assert!(matches!(with(&many), Err(ManifestError::TooMany { what: "unread parts", count: 4097, .. })));
}

#[test]
fn what_is_encrypted_or_one_of_several_is_warned_of_once_each_in_order() {
    let raw = |number, found| Region {
        place: Extent { start_bytes: u64::from(number) * MIB, length_bytes: MIB },
        kind: RegionKind::Partition(number),
        content: Content::Raw { found },
        runs: vec![],
    };
    let mapped = Content::Mapped { filesystem: FileSystem::Luks, block_bytes: 512, used_bytes: 0 };
    let volume = |name: &str| VolumeName::try_from(name.to_owned()).expect("a name");
    let inside = |name, found| OpaqueVolume { volume: volume(name), found };
    let opaque = vec![inside("vg/home", FileSystem::Luks), inside("vg/windows", FileSystem::BitLocker)];
    let group = Content::MappedGroup { block_bytes: 512, used_bytes: 7, opaque };
    let manifest = Manifest {
        regions: vec![
            Region { kind: RegionKind::Gap, ..raw(1, Some(FileSystem::Luks)) },
            raw(4, Some(FileSystem::LinuxRaid)),
            raw(2, Some(FileSystem::Luks)),
            raw(5, None),
            raw(6, Some(FileSystem::Ext)),
            Region { content: mapped, ..raw(7, None) },
            raw(3, Some(FileSystem::BitLocker)),
            Region { content: group, ..raw(8, None) },
        ],
        ..example()
    };
    let expected = [
        (Opaque::RaidMember, 4, None),
        (Opaque::Luks, 2, None),
        (Opaque::BitLocker, 3, None),
        (Opaque::Luks, 8, Some(volume("vg/home"))),
        (Opaque::BitLocker, 8, Some(volume("vg/windows"))),
    ];
    let expected = expected.map(|(what, partition, volume)| Warning { what, partition, volume });
    assert_eq!(manifest.warnings(), expected);
    assert_eq!(example().warnings(), []);
}

#[test]
fn logical_volumes_in_a_manifest_are_few_and_have_names_that_lvm_gives() {
    let with = |names: &[String]| {
        let mut manifest = example();
        let name = |name: &String| VolumeName::try_from(name.clone()).expect("a name");
        let opaque = names.iter().map(|name_| OpaqueVolume { volume: name(name_), found: FileSystem::Luks });
        manifest.regions[1].content =
            Content::MappedGroup { block_bytes: 512, used_bytes: 0, opaque: opaque.collect() };
        manifest.encode()
    };
    let encoded = with(&["vg/home".into(), "vg/a+b_c.d-e".into()]);
    let content = Manifest::decode(&encoded).expect("a manifest").regions[1].content.clone();
    assert!(matches!(&content, Content::MappedGroup { opaque, .. } if opaque.len() == 2), "{content:?}");
    assert_eq!((content.filesystem(), content.mapped_bytes()), (Some(FileSystem::Lvm), Some(0)));

    let names = |count| -> Vec<String> { (0..count).map(|number| format!("vg/{number}")).collect() };
    assert!(Manifest::decode(&with(&names(1024))).is_ok());
    let many = Manifest::decode(&with(&names(1025)));
    assert!(matches!(many, Err(ManifestError::Undecodable(_))), "{many:?}");
    // What would steer a terminal is no name, in a manifest from elsewhere either.
    let mut steering = encoded.clone();
    let at = encoded.windows(7).position(|bytes| bytes == b"vg/home").expect("the name");
    steering[at] = 0x1B;
    assert!(matches!(Manifest::decode(&steering), Err(ManifestError::Undecodable(_))));
    for name in ["", "vg/ä", "vg home", &"x".repeat(256)] {
        assert!(VolumeName::try_from(name.to_owned()).is_err(), "{name}");
    }
}

#[test]
fn a_signature_holds_for_one_manifest_and_one_key() {
    let key = SigningKey::from_bytes(&[3; 32]);
    let signed = SignedManifest::sign(&example(), &key);
    let root = signed.root();
    assert_eq!(SignedManifest::from_bytes(&signed.to_bytes()), Ok(signed.clone()));
    assert_eq!(signed.open(root, &key.verifying_key()), Ok(example()));

    let other_key = SigningKey::from_bytes(&[4; 32]).verifying_key();
    assert_eq!(signed.open(root, &other_key), Err(ManifestError::BadSignature { root }));

    let mut changed = signed.clone();
    changed.encoded[20] ^= 1;
    assert!(matches!(changed.open(root, &key.verifying_key()), Err(ManifestError::WrongRoot { .. })));
    let changed_root = ManifestRoot::of(&changed.encoded);
    assert_eq!(
        changed.open(changed_root, &key.verifying_key()),
        Err(ManifestError::BadSignature { root: changed_root })
    );
}

#[test]
fn a_few_bytes_about_a_huge_disk_are_summed_up_at_once() {
    let mut manifest = example();
    manifest.disk.size_bytes = u64::MAX;
    manifest.regions[1].place.length_bytes = u64::MAX - MIB;
    let chunks = (u64::MAX - MIB).div_ceil(ChunkSize::DEFAULT.bytes()) - 1;
    let runs = &mut manifest.regions[1].runs;
    runs.truncate(0);
    runs.resize((chunks / u64::from(u32::MAX)) as usize, Run::Zero(u32::MAX));
    runs.push(Run::DontCare((chunks % u64::from(u32::MAX)) as u32));
    runs.push(Run::Chunks(vec![ChunkId([2; 32])]));
    let manifest = Manifest::decode(&manifest.encode()).expect("it covers its disk");
    assert_eq!(manifest.data_chunks().count(), 2);
    let (last, _) = manifest.data_chunks().last().expect("two chunks");
    assert_eq!(last.end_bytes(), u64::MAX);
    let zeros = (chunks / u64::from(u32::MAX)) * u64::from(u32::MAX) * ChunkSize::DEFAULT.bytes();
    assert_eq!(manifest.carried_bytes(), MIB + zeros + last.length_bytes);
}

proptest! {
    #[test]
    fn bytes_that_are_no_manifest_give_an_error_and_nothing_worse(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut framed = b"MIMEOMAN\x02\x00".to_vec();
        framed.extend_from_slice(&bytes);
        let _ = Manifest::decode(&bytes).is_ok();
        let _ = Manifest::decode(&framed).is_ok();
    }

    #[test]
    fn a_damaged_manifest_never_reads_as_another_valid_one_of_the_same_root(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let encoded = example().encode();
        let mut damaged = encoded.clone();
        let at = at.index(damaged.len());
        damaged[at] ^= flip;
        assert_ne!(ManifestRoot::of(&damaged), ManifestRoot::of(&encoded));
    }
}
