//! The power goes in the middle of a deploy: the disk is the old one, the new one, or plainly none.

use std::{fs, os::unix::fs::FileExt, path::Path, process::Command, sync::atomic::Ordering};

use mimeo_core::{disk::filesystem, failure::FailureCause, messages::Phase, units::MIB};

use super::{
    B512,
    lab::{
        assert_equal_content, capture, create, deploy, ext4, failure, folder, noise, place, run, succeeded,
        text, used_extents,
    },
    memory_disk::MemoryDisk,
    memory_server::MemoryServer,
    small_source,
};

const OLD_BYTES: u64 = 26 * MIB;

/// A disk with another system under a GUID partition table, and a loader for BIOS computers.
fn old_gpt(folder: &Path) -> Vec<u8> {
    let image = folder.join("old-gpt.img");
    let disk = create(&image, OLD_BYTES);
    disk.write_all_at(&noise(10, 20 * MIB as usize), 2 * MIB).unwrap();
    run("sgdisk", &["-a1", "-n1:4096:+20M", "-t1:ef00", "-n2:40:2047", "-t2:ef02", &text(&image)]);
    disk.write_all_at(&noise(13, 440), 0).unwrap();
    disk.write_all_at(&noise(14, 60_000), 40 * 512).unwrap();
    fs::read(&image).unwrap()
}

/// A disk with a master boot record and GRUB's core behind it.
fn mbr(folder: &Path, name: &str, length_bytes: u64) -> Vec<u8> {
    let image = folder.join(name);
    let disk = create(&image, length_bytes);
    let script = folder.join("script");
    fs::write(&script, "label: dos\nstart=2048, size=40960, type=83, bootable\n").unwrap();
    run("sh", &["-c", &format!("sfdisk -q {} < {}", text(&image), text(&script))]);
    disk.write_all_at(&noise(15, 440), 0).unwrap();
    disk.write_all_at(&noise(16, 30_000), 512).unwrap();
    let filesystem = tempfile::tempdir_in(folder).unwrap();
    place(&disk, MIB, &ext4(filesystem.path(), 20 * MIB, 12_000_000));
    fs::read(&image).unwrap()
}

/// The superblock of a RAID of metadata 1.0 in the last 8 KiB before `end_bytes` of a volume that starts at
/// `start_bytes`: enough of it to be recognised.
fn put_raid_label(disk: &mut [u8], start_bytes: u64, end_bytes: u64) {
    let at = end_bytes - (8 << 10);
    let label = &mut disk[at as usize..][..4096];
    label.fill(0);
    label[..4].copy_from_slice(&0xA92B_4EFC_u32.to_le_bytes());
    label[4] = 1;
    label[144..152].copy_from_slice(&((at - start_bytes) / 512).to_le_bytes());
}

/// A disk that is a member of a RAID as a whole, and holds the label of a Btrfs besides.
fn old_raid_member() -> Vec<u8> {
    let mut disk = noise(17, OLD_BYTES as usize);
    put_raid_label(&mut disk, 0, OLD_BYTES);
    disk[(64 << 10) + 64..][..8].copy_from_slice(b"_BHRfS_M");
    disk
}

/// What anything finds on a disk: a BIOS (which starts whatever ends in 55 aa), the programs that read partition
/// tables and, where `labels` are looked for, superblocks.
fn found_on(disk: &[u8], folder: &Path, labels: bool) -> Vec<String> {
    let file = folder.join("after-cut.img");
    fs::write(&file, disk).unwrap();
    let file = text(&file);
    let mut found = vec![];
    if disk[510..512] == [0x55, 0xAA] {
        found.push("a boot sector".to_owned());
    }
    let says_yes = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.unwrap_or_else(|error| panic!("{program} is needed: {error}")).status.success()
    };
    if says_yes("sfdisk", &["--dump", &file]) {
        found.push("a partition table for sfdisk".to_owned());
    }
    if labels {
        found.extend(filesystem::detect(&disk).unwrap().map(|filesystem| format!("{filesystem:?}")));
        if says_yes("blkid", &["--probe", &file]) {
            found.push("something for blkid".to_owned());
        }
    }
    found
}

/// Sector 0 and its sync, the two ends and their sync: until then the labels of a disk that was one RAID member or one
/// file system as a whole may still be there, as is everything behind them.
const WIPE_ACTS: usize = 5;

/// Deploys once onto `old`, then looks at what every prefix of all that was done to the disk would have left, with the
/// sectors that were not yet synced surviving all, none, or by chance.
fn check_every_cut(name: &str, server: &MemoryServer, old: Vec<u8>, folder: &Path) {
    let disk = MemoryDisk::new(old.clone()).with_discard_that_restores();
    succeeded(&deploy(server, &disk));
    let new = disk.content();
    for whole in [&old, &new] {
        assert!(!found_on(whole, folder, true).is_empty(), "{name}: nothing to see");
    }
    let mut coins = noise(18, 1 << 20).into_iter().cycle();
    let mut coin = || coins.next().is_some_and(|byte| byte & 1 == 1);
    for acts in 0..=disk.acts() {
        let by_chance = disk.after_cut_behind(acts, &mut coin);
        for left in [disk.after_cut_behind(acts, || true), disk.after_cut_behind(acts, || false), by_chance] {
            if left != old && left != new {
                let found = found_on(&left, folder, acts >= WIPE_ACTS);
                assert!(found.is_empty(), "{name}: after {acts} acts of {} there is {found:?}", disk.acts());
            }
        }
    }
}

#[test]
fn a_power_cut_at_any_point_leaves_the_old_disk_the_new_one_or_none() {
    let folder = folder();
    let gpt_server = MemoryServer::new();
    succeeded(&capture(&gpt_server, &MemoryDisk::new(small_source(folder.path()))));
    let mbr_server = MemoryServer::new();
    let mut master = mbr(folder.path(), "master.img", 24 * MIB);
    // A header that an earlier GUID partition table left behind comes with the boot area.
    let old_table = old_gpt(folder.path());
    master[512..1024].copy_from_slice(&old_table[512..1024]);
    succeeded(&capture(&mbr_server, &MemoryDisk::new(master)));
    for (kind, server) in [("GPT", &gpt_server), ("MBR", &mbr_server)] {
        check_every_cut(&format!("{kind} onto GPT"), server, old_table.clone(), folder.path());
        let old = mbr(folder.path(), &format!("old-{kind}.img"), OLD_BYTES);
        check_every_cut(&format!("{kind} onto MBR"), server, old, folder.path());
        check_every_cut(&format!("{kind} onto RAID"), server, old_raid_member(), folder.path());
    }
}

#[test]
fn a_disk_that_does_not_keep_its_second_table_is_left_without_a_first() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    // The last sector holds the header of the second copy, which no chunk of the master covers.
    let last = 24 * MIB - 512;
    let target = MemoryDisk::new(vec![0; 24 * MIB as usize]).with_stuck_byte(last + 60);
    let (phase, cause) = failure(deploy(&server, &target));
    assert_eq!(phase, Phase::Finish);
    assert!(
        matches!(cause, FailureCause::VerifyMismatch { offset_bytes, .. } if offset_bytes == last),
        "{cause:?}"
    );
    assert_eq!(found_on(&target.content(), folder.path(), true), Vec::<String>::new());
}

#[test]
fn labels_of_the_disk_s_earlier_life_are_gone_from_the_edges_of_a_partition() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let mut old = noise(19, 24 * MIB as usize);
    put_raid_label(&mut old, MIB, 21 * MIB);
    let target = MemoryDisk::new(old).with_discard_that_restores();
    succeeded(&deploy(&server, &target));
    let file = folder.path().join("deployed.img");
    fs::write(&file, target.content()).unwrap();
    let (offset, size) = (MIB.to_string(), (20 * MIB).to_string());
    let probed = run("blkid", &["--probe", "--offset", &offset, "--size", &size, &text(&file)]);
    assert!(probed.contains("TYPE=\"ext4\""), "{probed}");
}

#[test]
fn after_a_power_cut_at_any_write_the_same_deploy_completes() {
    let folder = folder();
    let source = small_source(folder.path());
    let used = used_extents(&source.as_slice(), B512);
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(source.clone())));
    let old = old_gpt(folder.path());
    let whole = MemoryDisk::new(old.clone());
    succeeded(&deploy(&server, &whole));

    let mut coins = noise(12, 4 << 20).into_iter().cycle();
    let mut coin = || coins.next().is_some_and(|byte| byte & 1 == 1);
    let mut cuts = 0;
    for write in 1.. {
        let disk = MemoryDisk::new(old.clone()).with_cut_at_write(write);
        let outcome = deploy(&server, &disk);
        if disk.has_power() {
            succeeded(&outcome);
            assert_eq!(write, whole.writes() + 1);
            break;
        }
        cuts += 1;
        let (_, cause) = failure(outcome);
        assert!(
            matches!(&cause, FailureCause::WriteFailed { detail, .. } if detail.starts_with("memory: ")),
            "write {write}: {cause:?}"
        );
        let left = disk.after_power_cut(&mut coin);
        let resumed = MemoryDisk::new(left);
        succeeded(&deploy(&server, &resumed));
        assert_equal_content(&source, &resumed.content(), &used);
        assert_eq!(resumed.content()[..MIB as usize], whole.content()[..MIB as usize]);
    }
    // The wipe's three, the content's, and the table's five.
    assert!(cuts > 3 + 5, "only {cuts} writes were cut");
}

#[test]
fn an_interrupted_deploy_fetches_only_the_rest() {
    let folder = folder();
    let server = MemoryServer::new();
    succeeded(&capture(&server, &MemoryDisk::new(small_source(folder.path()))));
    let whole = MemoryDisk::new(vec![0; 24 * MIB as usize]);
    succeeded(&deploy(&server, &whole));
    let all = server.fetched_chunks.swap(0, Ordering::SeqCst);
    // The last write before the table's five.
    let cut = MemoryDisk::new(vec![0; 24 * MIB as usize]).with_cut_at_write(whole.writes() - 5);
    failure(deploy(&server, &cut));
    server.fetched_chunks.store(0, Ordering::SeqCst);
    succeeded(&deploy(&server, &MemoryDisk::new(cut.after_power_cut(|| true))));
    let rest = server.fetched_chunks.load(Ordering::SeqCst);
    assert!(rest < all / 2, "{rest} of {all} chunks were fetched again");
}
