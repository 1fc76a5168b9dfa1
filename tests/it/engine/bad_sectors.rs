//! A source some of whose sectors cannot be read.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use mimeo_core::{
    bad_sectors::BadSectorLimit,
    disk::filesystem::FileSystem,
    failure::FailureCause,
    manifest::{Content, RegionKind},
    messages::Phase,
    units::{Extent, MIB, SectorSize},
};
use mimeo_engine::disk::path::PathDisk;
use mimeo_lab::failing_file::FailingFile;

use super::{
    B512,
    lab::{
        LoopDisk, capture, capture_tolerating, create, deploy, failure, folder, noise, place, run, succeeded,
        text,
    },
    memory_disk::MemoryDisk,
    memory_server::MemoryServer,
};

const DISK_BYTES: u64 = 24 * MIB;
const RAW_START: u64 = 17 * MIB;
const RAW_BYTES: u64 = MIB - 512;

/// Where the contents of three files that follow each other begin on the source. The second was deleted.
struct Places {
    first: u64,
    deleted: u64,
    third: u64,
}

const FILE_BYTES: usize = 64_000;
const DELETED_BYTES: usize = 20_480;

/// A disk with a FAT16 and a partition of unknown content.
fn source(folder: &Path) -> (PathBuf, Places) {
    let (image, volume) = (folder.join("source.img"), folder.join("fat.img"));
    let disk = create(&image, DISK_BYTES);
    let raw_end = format!("-n2:{}:{}", RAW_START / 512, (RAW_START + RAW_BYTES) / 512 - 1);
    run("sgdisk", &["-a1", "-n1:2048:+16M", "-t1:0700", &raw_end, "-t2:0c01", &text(&image)]);
    create(&volume, 16 * MIB);
    run("mkfs.vfat", &["-F", "16", "-s", "4", &text(&volume)]);
    for (name, bytes) in [("first", FILE_BYTES), ("deleted", DELETED_BYTES), ("third", FILE_BYTES)] {
        let file = folder.join(name);
        fs::write(&file, content(name, bytes)).unwrap();
        run("mcopy", &["-i", &text(&volume), &text(&file), &format!("::/{name}")]);
    }
    run("mdel", &["-i", &text(&volume), "::/deleted"]);
    place(&disk, MIB, &volume);
    disk.write_all_at(&noise(24, RAW_BYTES as usize), RAW_START).unwrap();
    let bytes = fs::read(&image).unwrap();
    let find = |name, length| {
        let begin = &content(name, length)[..512];
        bytes.chunks(512).position(|sector| sector == begin).expect("the file lies somewhere") as u64 * 512
    };
    let places = Places {
        first: find("first", FILE_BYTES),
        deleted: find("deleted", DELETED_BYTES),
        third: find("third", FILE_BYTES),
    };
    assert!(places.first < places.deleted && places.deleted < places.third, "FAT fills up from the start");
    assert!(places.first < MIB + (64 << 10), "it begins in what is looked at to tell what the volume is");
    (image, places)
}

fn content(name: &str, length: usize) -> Vec<u8> {
    noise(name.as_bytes()[0].into(), length)
}

fn sectors(start_bytes: u64, count: u64) -> Extent {
    Extent { start_bytes, length_bytes: count * 512 }
}

fn limit(sectors: u32) -> BadSectorLimit {
    BadSectorLimit::new(sectors).unwrap()
}

#[test]
fn bad_sectors_within_the_limit_become_zeros_that_the_manifest_names_and_their_neighbours_are_kept() {
    let folder = folder();
    let (image, places) = source(folder.path());
    let last = RAW_START + RAW_BYTES - 512;
    let unread = [sectors(places.first, 1), sectors(places.third + 8192, 2), sectors(last, 1)];
    let bad = [places.first, places.third + 8192, places.third + 8704, last];
    let file = FailingFile::show(&image, &bad).unwrap();
    let disk = PathDisk::look(file.path(), B512).unwrap();

    let server = MemoryServer::new();
    let outcome = capture_tolerating(&server, &disk, limit(4));
    succeeded(&outcome);
    assert_eq!(outcome.progress.unread_sectors, 4);
    let manifest = server.manifest_of_version();
    assert_eq!(manifest.unread, unread);
    assert_eq!((manifest.unread_sectors(), manifest.unread_bytes()), (4, 2048));

    let mut expected = fs::read(&image).unwrap();
    for extent in unread {
        expected[extent.start_bytes as usize..extent.end_bytes() as usize].fill(0);
    }
    let target = MemoryDisk::new(vec![0; DISK_BYTES as usize]);
    succeeded(&deploy(&server, &target));
    let deployed = target.content();
    for (start, length) in
        [(places.first, FILE_BYTES), (places.third, FILE_BYTES), (RAW_START, RAW_BYTES as usize)]
    {
        let range = start as usize..start as usize + length;
        assert!(deployed[range.clone()] == expected[range], "the content from {start} differs");
    }

    for (tolerated, found) in [(3, 4), (1, 2), (0, 1)] {
        let (phase, cause) = failure(capture_tolerating(&MemoryServer::new(), &disk, limit(tolerated)));
        assert_eq!(phase, Phase::Read);
        let FailureCause::SourceUnreadable { offset_bytes, found: actual, .. } = cause else {
            panic!("{cause:?}")
        };
        assert_eq!(actual, found);
        // Where nothing is tolerated nothing is searched: the extent in use is named.
        let first = if tolerated == 0 { offset_bytes <= bad[0] } else { offset_bytes == bad[0] };
        assert!(first, "{offset_bytes} instead of {}", bad[0]);
    }
}

#[test]
fn a_store_that_lost_chunks_gets_the_same_again_from_a_disk_that_still_fails() {
    let folder = folder();
    let (image, places) = source(folder.path());
    let file = FailingFile::show(&image, &[places.first, RAW_START + 131_072]).unwrap();
    let server = MemoryServer::new();
    server.forgets.store(u32::MAX, std::sync::atomic::Ordering::SeqCst);
    let disk = PathDisk::look(file.path(), B512).unwrap();
    succeeded(&capture_tolerating(&server, &disk, limit(2)));
    assert_eq!(
        server.manifest_of_version().unread,
        [sectors(places.first, 1), sectors(RAW_START + 131_072, 1)]
    );
}

#[test]
fn a_bad_sector_that_nobody_uses_is_none() {
    let folder = folder();
    let (image, places) = source(folder.path());
    // In the middle of the hole that the deleted file left, which is read along with what surrounds it.
    let file = FailingFile::show(&image, &[places.deleted + 10_240]).unwrap();
    let server = MemoryServer::new();
    let outcome = capture(&server, &PathDisk::look(file.path(), B512).unwrap());
    succeeded(&outcome);
    assert_eq!((outcome.progress.unread_sectors, server.manifest_of_version().unread), (0, vec![]));
    let target = MemoryDisk::new(vec![0; DISK_BYTES as usize]);
    succeeded(&deploy(&server, &target));
    let third = places.third as usize..places.third as usize + FILE_BYTES;
    assert!(target.content()[third] == content("third", FILE_BYTES));
}

#[test]
fn where_what_says_which_sectors_are_in_use_cannot_be_read_all_of_them_are_carried_if_that_is_tolerated() {
    let folder = folder();
    let (image, _) = source(folder.path());
    // The boot sector, without which nobody knows what the volume is, and a sector of the FAT.
    for (bad, found) in [(MIB, None), (MIB + 2048 + 1024, Some(FileSystem::Fat16))] {
        let file = FailingFile::show(&image, &[bad]).unwrap();
        let disk = PathDisk::look(file.path(), B512).unwrap();
        let (phase, cause) = failure(capture(&MemoryServer::new(), &disk));
        assert_eq!(phase, Phase::Prepare);
        assert!(matches!(cause, FailureCause::SourceUnreadable { found: 1, .. }), "{cause:?}");

        let server = MemoryServer::new();
        let outcome = capture_tolerating(&server, &disk, limit(1));
        succeeded(&outcome);
        let manifest = server.manifest_of_version();
        assert_eq!((&manifest.unread[..], outcome.progress.unread_sectors), (&[sectors(bad, 1)][..], 1));
        let volume = manifest.regions.iter().find(|region| region.kind == RegionKind::Partition(1)).unwrap();
        assert_eq!(volume.content, Content::Raw { found });
        let mut expected = fs::read(&image).unwrap();
        expected[bad as usize..bad as usize + 512].fill(0);
        let target = MemoryDisk::new(vec![0; DISK_BYTES as usize]);
        succeeded(&deploy(&server, &target));
        let volume = MIB as usize..17 * MIB as usize;
        assert!(target.content()[volume.clone()] == expected[volume], "deleted files and all");
    }
}

#[test]
fn a_bad_sector_of_4096_bytes_counts_once() {
    let folder = folder();
    let image = folder.path().join("source.img");
    let disk = create(&image, DISK_BYTES);
    {
        let device = LoopDisk::attach(&image, SectorSize::B4096);
        run("sgdisk", &["-n1:256:+8M", "-t1:0c01", device.device()]);
    }
    let raw = noise(30, 8 * MIB as usize);
    disk.write_all_at(&raw, MIB).unwrap();
    let bad = MIB + 300 * 4096;
    let file = FailingFile::show(&image, &[bad + 1024]).unwrap();
    let source = LoopDisk::attach(file.path(), SectorSize::B4096);
    let server = MemoryServer::new();
    succeeded(&capture_tolerating(&server, &source, limit(1)));
    let manifest = server.manifest_of_version();
    assert_eq!(manifest.unread, [Extent { start_bytes: bad, length_bytes: 4096 }]);
    assert_eq!(manifest.unread_sectors(), 1);
    let kept: usize = manifest.data_chunks().filter(|(place, _)| place.start_bytes >= MIB).count();
    assert_eq!(kept, 64, "every chunk of the partition holds something");
}
