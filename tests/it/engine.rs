//! The imaging engine: real partition tables and file systems on loop devices, and disks in memory that lose power.
//! The loop devices need root.
#![allow(clippy::unwrap_used, reason = "a laboratory that cannot be set up fails its test")]

#[path = "engine/bad_sectors.rs"]
mod bad_sectors;
#[path = "engine/changing_disk.rs"]
mod changing_disk;
#[path = "engine/delta.rs"]
mod delta;
#[path = "engine/lab.rs"]
mod lab;
#[path = "engine/lvm.rs"]
mod lvm;
#[path = "engine/memory_disk.rs"]
mod memory_disk;
#[path = "engine/memory_server.rs"]
mod memory_server;
#[path = "engine/page_files.rs"]
mod page_files;
#[path = "engine/power_cut.rs"]
mod power_cut;
#[path = "engine/refusals.rs"]
mod refusals;

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
    time::Duration,
};

use changing_disk::ChangingDisk;
use lab::{
    LoopDisk, PATIENCE, assert_equal_content, assert_zero_outside, capture, create, deploy, deploy_ending,
    deploy_unverified, ext4, failure, fat32, folder, noise, ntfs, place, run, succeeded, swap, text,
    used_extents,
};
use memory_disk::MemoryDisk;
use memory_server::MemoryServer;
use mimeo_core::{
    chunk::ChunkId,
    disk::{ReadAt, layout, table::Scheme},
    failure::FailureCause,
    manifest::Content,
    messages::{Outcome, Phase},
    units::{MIB, SectorSize},
};
use mimeo_engine::{Ending, board::Board, link::Patience};

const B512: SectorSize = SectorSize::B512;
const DISK_BYTES: u64 = 256 * MIB;

/// A disk as a UEFI computer has it: ESP, ext4, NTFS, swap, a partition of unknown content, boot code and GRUB's
/// core before the first partition.
fn gpt_source(folder: &Path) -> PathBuf {
    let image = folder.join("source.img");
    let disk = create(&image, DISK_BYTES);
    let partitions = [
        ("-n1:2048:+40M", "-t1:ef00"),
        ("-n2:0:+96M", "-t2:8300"),
        ("-n3:0:+48M", "-t3:0700"),
        ("-n4:0:+16M", "-t4:8200"),
        ("-n5:0:+1000K", "-t5:0c01"),
    ];
    for (place, kind) in partitions {
        run("sgdisk", &[place, kind, &text(&image)]);
    }
    disk.write_all_at(&noise(4, 440), 0).unwrap();
    disk.write_all_at(&noise(5, 100_000), 34 * 512).unwrap();
    place(&disk, MIB, &fat32(folder, 40 * MIB));
    place(&disk, 41 * MIB, &ext4(folder, 96 * MIB, 30_000_000));
    place(&disk, 137 * MIB, &ntfs(folder, 48 * MIB));
    place(&disk, 185 * MIB, &swap(folder, 16 * MIB));
    disk.write_all_at(&noise(6, 1_024_000), 201 * MIB).unwrap();
    image
}

/// A small GPT disk with one ext4, for the tests that deploy it again and again.
fn small_source(folder: &Path) -> Vec<u8> {
    let image = folder.join("small.img");
    let disk = create(&image, 24 * MIB);
    run("sgdisk", &["-n1:2048:+20M", "-t1:8300", &text(&image)]);
    disk.write_all_at(&noise(7, 440), 0).unwrap();
    place(&disk, MIB, &ext4(folder, 20 * MIB, 12_000_000));
    fs::read(&image).unwrap()
}

/// Copies a piece of a deployed disk into a file of its own, for a file-system checker.
fn extract(disk: &[u8], start_bytes: u64, length_bytes: u64, folder: &Path) -> String {
    let file = folder.join("extracted.img");
    fs::write(&file, &disk[start_bytes as usize..(start_bytes + length_bytes) as usize]).unwrap();
    text(&file)
}

#[test]
fn a_gpt_disk_comes_out_bit_equal_on_an_equal_and_on_a_larger_disk() {
    let folder = folder();
    let source = LoopDisk::attach(&gpt_source(folder.path()), B512);
    let source_bytes = source.bytes();
    let used = used_extents(&source_bytes.as_slice(), B512);
    let server = MemoryServer::new();
    let outcome = capture(&server, &source);
    succeeded(&outcome);
    assert!(source.bytes() == source_bytes, "a capture wrote to its source");
    let in_use: u64 = used.iter().map(|extent| extent.length_bytes).sum();
    assert!(outcome.progress.read_bytes < in_use + 20 * MIB, "more was read than is in use: {outcome:?}");

    for (name, size_bytes) in [("equal", DISK_BYTES), ("larger", DISK_BYTES + 77 * MIB)] {
        let target = LoopDisk::blank(&folder.path().join(name), size_bytes, B512);
        succeeded(&deploy(&server, &target));
        let bytes = target.bytes();
        assert_equal_content(&source_bytes, &bytes, &used);
        assert_eq!(bytes[..440], source_bytes[..440], "boot code");

        let verdict = run("sgdisk", &["-v", target.device()]);
        assert!(verdict.contains("No problems found"), "{name}: {verdict}");
        let table = |disk: &[u8]| layout::read(&disk, B512).unwrap().table;
        assert_eq!(table(&bytes), table(&source_bytes));
        run("fsck.fat", &["-n", &extract(&bytes, MIB, 40 * MIB, folder.path())]);
        run("e2fsck", &["-f", "-n", &extract(&bytes, 41 * MIB, 96 * MIB, folder.path())]);
        run("ntfsfix", &["-n", &extract(&bytes, 137 * MIB, 48 * MIB, folder.path())]);
        // What is not in use stays behind: on the source it is old rubbish.
        assert_zero_outside(&bytes[..DISK_BYTES as usize - 33 * 512], &used);
    }
}

#[test]
fn a_disk_of_4096_byte_sectors_comes_out_bit_equal() {
    let folder = folder();
    let image = folder.path().join("source.img");
    let disk = create(&image, 160 * MIB);
    let source = LoopDisk::attach(&image, SectorSize::B4096);
    // In sectors of 4 KiB: 1 MiB, 81 MiB and 131 MiB.
    let places = ["-n1:256:+80M", "-t1:ef00", "-n2:20736:+50M", "-n3:33536:+20M", "-t3:0700"];
    run("sgdisk", &[&places[..], &[source.device()]].concat());
    let fat = folder.path().join("fat.img");
    create(&fat, 80 * MIB);
    run("mkfs.vfat", &["-F", "32", "-S", "4096", "-s", "1", &text(&fat)]);
    place(&disk, MIB, &fat);
    place(&disk, 81 * MIB, &ext4(folder.path(), 50 * MIB, 20_000_000));
    let ntfs = folder.path().join("ntfs.img");
    create(&ntfs, 20 * MIB);
    run("mkntfs", &["-q", "-F", "-Q", "-s", "4096", "-p", "0", "-H", "0", "-S", "0", &text(&ntfs)]);
    place(&disk, 131 * MIB, &ntfs);
    let source_bytes = source.bytes();
    let used = used_extents(&source_bytes.as_slice(), SectorSize::B4096);
    let server = MemoryServer::new();
    succeeded(&capture(&server, &source));
    let regions = server.manifest_of_version().regions;
    let mapped = regions.iter().filter(|region| matches!(region.content, Content::Mapped { .. })).count();
    assert_eq!(mapped, 3, "{regions:?}");

    for (name, size_bytes) in [("equal", 160 * MIB), ("larger", 193 * MIB)] {
        let target = LoopDisk::blank(&folder.path().join(name), size_bytes, SectorSize::B4096);
        succeeded(&deploy(&server, &target));
        let bytes = target.bytes();
        assert_equal_content(&source_bytes, &bytes, &used);
        let verdict = run("sgdisk", &["-v", target.device()]);
        assert!(verdict.contains("No problems found"), "{name}: {verdict}");
        let table = |disk: &[u8]| layout::read(&disk, SectorSize::B4096).unwrap().table;
        assert_eq!(table(&bytes), table(&source_bytes));
        run("e2fsck", &["-f", "-n", &extract(&bytes, 81 * MIB, 50 * MIB, folder.path())]);
    }
}

#[test]
fn an_mbr_disk_with_logical_partitions_comes_out_bit_equal() {
    let folder = folder();
    let image = folder.path().join("source.img");
    let disk = create(&image, DISK_BYTES);
    let script = folder.path().join("table");
    fs::write(
        &script,
        "label: dos\nlabel-id: 0xcafebabe\nstart=2048, size=81920, type=c, bootable\n\
         start=90112, size=430080, type=f\nstart=92160, size=98304, type=7\nstart=204800, size=196608, type=83\n",
    )
    .unwrap();
    run("sh", &["-c", &format!("sfdisk -q {} < {}", text(&image), text(&script))]);
    disk.write_all_at(&noise(8, 440), 0).unwrap();
    place(&disk, MIB, &fat32(folder.path(), 40 * MIB));
    place(&disk, 45 * MIB, &ntfs(folder.path(), 48 * MIB));
    place(&disk, 100 * MIB, &ext4(folder.path(), 96 * MIB, 20_000_000));
    let source = LoopDisk::attach(&image, B512);
    let source_bytes = source.bytes();
    let used = used_extents(&source_bytes.as_slice(), B512);
    let server = MemoryServer::new();
    succeeded(&capture(&server, &source));

    let target = LoopDisk::blank(&folder.path().join("target"), DISK_BYTES + 3 * MIB, B512);
    succeeded(&deploy(&server, &target));
    let bytes = target.bytes();
    assert_equal_content(&source_bytes, &bytes, &used);
    assert_eq!(bytes[..512], source_bytes[..512]);
    let dump = |device: &str| run("sfdisk", &["-d", device]).replace(device, "disk");
    assert_eq!(dump(target.device()), dump(source.device()));
    run("fsck.fat", &["-n", &extract(&bytes, MIB, 40 * MIB, folder.path())]);
    run("ntfsfix", &["-n", &extract(&bytes, 45 * MIB, 48 * MIB, folder.path())]);
    run("e2fsck", &["-f", "-n", &extract(&bytes, 100 * MIB, 96 * MIB, folder.path())]);
}

#[test]
fn a_volume_that_fills_its_disk_comes_out_bit_equal_and_is_no_volume_until_the_end() {
    let folder = folder();
    for (image, check) in [
        (ext4(folder.path(), 40 * MIB, 12_000_000), "e2fsck -f -n"),
        (ntfs(folder.path(), 40 * MIB), "ntfsfix -n"),
        (fat32(folder.path(), 40 * MIB), "fsck.fat -n"),
    ] {
        let source = fs::read(&image).unwrap();
        let server = MemoryServer::new();
        succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
        assert_eq!(server.manifest_of_version().table.scheme, Scheme::Whole);

        let target = MemoryDisk::new(vec![0xFF; 40 * MIB as usize]);
        succeeded(&deploy(&server, &target));
        let used = used_extents(&source.as_slice(), B512);
        assert_equal_content(&source, &target.content(), &used);
        let deployed = extract(&target.content(), 0, 40 * MIB, folder.path());
        run("sh", &["-c", &format!("{check} {deployed}")]);

        // The last writes make the start of the volume: cut behind each, it is none yet or whole.
        let writes = target.writes();
        for cut in writes - 6..=writes {
            let target = MemoryDisk::new(vec![0xFF; 40 * MIB as usize]).with_cut_at_write(cut);
            let whole = deploy(&server, &target).failure.is_none();
            for survives in [false, true] {
                let content = target.after_power_cut(|| survives);
                if whole || layout::read(&content.as_slice(), B512).is_ok() {
                    assert_equal_content(&source, &content, &used);
                }
            }
        }

        let target = MemoryDisk::new(vec![0xFF; 40 * MIB as usize]);
        server.stops_after.store(server.fetched_chunks.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
        let patience = Patience { give_up_after: Duration::from_secs(30), ..Patience::default() };
        assert_eq!(deploy_ending(&server, &target, &Board::default(), patience), Ending::Stopped);
        assert!(target.writes() > 0, "it was stopped before it wrote");
        assert!(layout::read(&target.content().as_slice(), B512).is_err(), "half a volume looks like one");
    }
}

#[test]
fn a_damaged_chunk_is_fetched_once_more_and_then_ends_the_deploy_unwritten() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let (victim_place, victim) = server.manifest_of_version().data_chunks().nth(20).unwrap();

    *server.damages.lock().unwrap() = Some((victim, 1));
    succeeded(&deploy(&server, &MemoryDisk::new(vec![0; 24 * MIB as usize])));

    *server.damages.lock().unwrap() = Some((victim, 2));
    let target = MemoryDisk::new(vec![0; 24 * MIB as usize]);
    let (phase, cause) = failure(deploy(&server, &target));
    assert_eq!(phase, Phase::Write);
    assert!(matches!(cause, FailureCause::ChunkDamaged { chunk, .. } if chunk == victim), "{cause:?}");
    assert!(layout::read(&target.content().as_slice(), B512).is_err(), "the disk looks bootable");
    let place = victim_place.start_bytes as usize..victim_place.end_bytes() as usize;
    // 0xDD is what a discard leaves on this disk.
    assert!(target.content()[place].iter().all(|&byte| byte == 0xDD), "something was written in its place");
}

#[test]
fn a_disk_that_gives_back_other_bytes_fails_the_verification() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let (place, chunk) = server.manifest_of_version().data_chunks().nth(5).unwrap();
    let target = MemoryDisk::new(vec![0; 24 * MIB as usize]).with_stuck_byte(place.start_bytes + 1000);
    let mismatch = FailureCause::VerifyMismatch { offset_bytes: place.start_bytes, chunk };
    assert_eq!(failure(deploy(&server, &target)), (Phase::Verify, mismatch));
    assert!(layout::read(&target.content().as_slice(), B512).is_err(), "the disk looks bootable");
}

#[test]
fn a_deploy_that_reads_nothing_back_still_notices_what_the_disk_itself_reports() {
    let folder = folder();
    let source = small_source(folder.path());
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
    let blank = || MemoryDisk::new(vec![0; 24 * MIB as usize]);
    let phases = |outcome: &Outcome| outcome.phases.iter().map(|time| time.phase).collect::<Vec<_>>();

    let target = blank();
    let verified = deploy(&server, &target);
    assert!(phases(&verified).contains(&Phase::Verify));
    let target = blank();
    let outcome = deploy_unverified(&server, &target);
    succeeded(&outcome);
    assert_eq!(phases(&outcome), [Phase::Prepare, Phase::Partition, Phase::Write, Phase::Finish]);
    assert!(verified.progress.read_bytes > outcome.progress.read_bytes + 10 * MIB, "{outcome:?}");
    assert_equal_content(&source, &target.content(), &used_extents(&source.as_slice(), B512));

    // The wipe's two, then the content's.
    let (phase, cause) = failure(deploy_unverified(&server, &blank().with_failing_sync(3)));
    assert!(
        phase == Phase::Write && matches!(cause, FailureCause::WriteFailed { .. }),
        "{phase:?} {cause:?}"
    );
    let last = 24 * MIB - 512;
    let target = blank().with_stuck_byte(last + 60);
    let (phase, cause) = failure(deploy_unverified(&server, &target));
    assert!(
        phase == Phase::Finish && matches!(cause, FailureCause::VerifyMismatch { .. }),
        "{phase:?} {cause:?}"
    );
    assert!(layout::read(&target.content().as_slice(), B512).is_err(), "the disk looks bootable");
}

#[test]
fn chunks_that_the_store_lost_are_read_and_handed_in_again() {
    let folder = folder();
    let source = MemoryDisk::new(small_source(folder.path()));
    let server = MemoryServer::new();
    server.forgets.store(40, Ordering::SeqCst);
    succeeded(&capture(&server, &source));
    let distinct = server.chunk_count() as u64;
    assert_eq!(server.uploaded_chunks.load(Ordering::SeqCst), distinct + 40, "handed in");
    succeeded(&deploy(&server, &MemoryDisk::new(vec![0; 24 * MIB as usize])));
}

#[test]
fn a_manifest_travels_once_and_once_more_where_the_server_lost_it() {
    let folder = folder();
    let source = MemoryDisk::new(small_source(folder.path()));
    for restarts in [0, 2] {
        let server = MemoryServer::new();
        // Chunks that are asked for again do not cost the manifest again.
        server.forgets.store(40, Ordering::SeqCst);
        server.restarts.store(restarts, Ordering::SeqCst);
        succeeded(&capture(&server, &source));
        assert_eq!(server.manifests_handed_in.load(Ordering::SeqCst), 1 + restarts);
    }
}

#[test]
fn a_source_that_changes_while_it_is_captured_is_no_master() {
    let folder = folder();
    let source = ChangingDisk::new(MemoryDisk::new(small_source(folder.path())));
    let server = MemoryServer::new();
    server.forgets.store(u32::MAX, Ordering::SeqCst);
    let (phase, cause) = failure(capture(&server, &source));
    assert_eq!(phase, Phase::Verify);
    assert!(
        matches!(&cause, FailureCause::ReadFailed { detail, .. } if detail.contains("changed")),
        "{cause:?}"
    );
}

#[test]
fn a_server_that_restarts_costs_time_and_one_that_stays_away_the_session() {
    let folder = folder();
    let server = MemoryServer::new();
    server.gone_for.store(5, Ordering::SeqCst);
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    server.gone_for.store(5, Ordering::SeqCst);
    succeeded(&deploy(&server, &MemoryDisk::new(vec![0; 24 * MIB as usize])));

    server.gone_for.store(u32::MAX, Ordering::SeqCst);
    let (_, cause) = failure(deploy(&server, &MemoryDisk::new(vec![0; 24 * MIB as usize])));
    assert!(matches!(cause, FailureCause::ServerLost { .. }), "{cause:?}");
}

#[test]
fn a_server_without_room_is_waited_for_longer_than_one_that_is_gone() {
    let folder = folder();
    let server = MemoryServer::new();
    // More pauses than fit into the time after which a server that does not answer is given up.
    let times = (PATIENCE.give_up_after.as_micros() / PATIENCE.first_pause.as_micros()) as u32 * 8;
    server.busy_for.store(times, Ordering::SeqCst);
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    server.busy_for.store(times, Ordering::SeqCst);
    succeeded(&deploy(&server, &MemoryDisk::new(vec![0; 24 * MIB as usize])));
    assert_eq!(server.busy_for.load(Ordering::SeqCst), 0);
}

#[test]
fn a_recapture_hands_in_and_a_redeploy_fetches_only_what_differs() {
    let folder = folder();
    let source = small_source(folder.path());
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
    let target = MemoryDisk::new(vec![0; 24 * MIB as usize]);
    succeeded(&deploy(&server, &target));
    let (uploaded, fetched) =
        (server.uploaded_chunks.load(Ordering::SeqCst), server.fetched_chunks.load(Ordering::SeqCst));

    let (_, changed) = server.manifest_of_version().data_chunks().nth(10).unwrap();
    let (place, _) = server.manifest_of_version().data_chunks().find(|(_, id)| *id == changed).unwrap();
    let mut newer = source;
    newer[place.start_bytes as usize + 5000] ^= 0xFF;
    succeeded(&capture(&server, &MemoryDisk::new(newer.clone())));
    assert_eq!(server.uploaded_chunks.load(Ordering::SeqCst), uploaded + 1);

    let outcome = deploy(&server, &target);
    succeeded(&outcome);
    // The changed chunk, and the one with the partition table twice: to fit the table, and to write the rest.
    assert_eq!(server.fetched_chunks.load(Ordering::SeqCst) - fetched, 3);
    assert!(outcome.progress.written_bytes < MIB, "{outcome:?}");
    let progress = outcome.progress;
    assert_eq!(progress.compared_bytes, progress.carried_bytes);
    assert!(progress.kept_bytes + MIB > progress.carried_bytes, "{progress:?}");
    assert_equal_content(&newer, &target.content(), &used_extents(&newer.as_slice(), B512));
}

#[test]
fn a_stopped_deploy_ends_soon_and_leaves_no_bootable_disk() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    server.stops_after.store(20, Ordering::SeqCst);
    let target = MemoryDisk::new(vec![0; 24 * MIB as usize]);
    let patience = Patience { give_up_after: Duration::from_secs(30), ..Patience::default() };
    assert_eq!(deploy_ending(&server, &target, &Board::default(), patience), Ending::Stopped);
    assert!(target.writes() > 0, "it was stopped before it wrote");
    assert!(layout::read(&target.content().as_slice(), B512).is_err(), "the disk looks bootable");
}

#[test]
fn zeros_are_written_where_a_discard_leaves_rubbish() {
    let folder = folder();
    let mut source = small_source(folder.path());
    // A partition of zeros that no file system explains counts byte for byte.
    let image = folder.path().join("zeros.img");
    fs::write(&image, &source).unwrap();
    run("sgdisk", &["-n2:0:+1M", &text(&image)]);
    source = fs::read(&image).unwrap();
    source[21 * MIB as usize..22 * MIB as usize].fill(0);
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
    let target = MemoryDisk::new(vec![0xFF; 24 * MIB as usize]);
    succeeded(&deploy(&server, &target));
    assert_eq!(
        target.content()[21 * MIB as usize..22 * MIB as usize],
        source[21 * MIB as usize..22 * MIB as usize]
    );
}

#[test]
fn what_is_named_the_same_is_handed_in_once() {
    let folder = folder();
    let image = folder.path().join("twice.img");
    let disk = create(&image, 24 * MIB);
    run("sgdisk", &["-n1:2048:+8M", "-n2:0:+8M", &text(&image)]);
    let content = noise(11, 8 * MIB as usize);
    for start in [MIB, 9 * MIB] {
        disk.write_all_at(&content, start).unwrap();
    }
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(fs::read(&image).unwrap())));
    // 64 chunks of the content and the one with the table.
    assert_eq!(server.uploaded_chunks.load(Ordering::SeqCst), 65);
    let first = ChunkId::of(&content[..128 << 10]);
    let places: Vec<_> = server
        .manifest_of_version()
        .data_chunks()
        .filter(|(_, id)| *id == first)
        .map(|(place, _)| place.start_bytes)
        .collect();
    assert_eq!(places, [MIB, 9 * MIB]);
    assert_eq!(disk.length_bytes(), 24 * MIB);
}
