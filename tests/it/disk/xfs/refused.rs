//! XFS that is not at rest, not whole, or not here alone.

use std::{fs, io::Write as _};

use mimeo_core::failure::UncleanReason;

use super::{
    FileSystem, Image, MIB, UsedBlocksError, age, check_restored, fields, mkfs, refusal, run, run_any, xfs_db,
};

fn copy(image: &Image) -> Image {
    let copy = Image::of_bytes(0);
    run("cp", &["--sparse=always", image.str(), copy.str()]);
    copy
}

/// The first block of the log that is to be written next, and whether the log is clean, by xfs_logprint.
fn logprint(image: &Image) -> (u64, bool) {
    let (_, text) = run_any("xfs_logprint", &["-t", image.str()]);
    let (_, rest) = text.split_once(" head: ").unwrap_or_else(|| panic!("{text}"));
    let head = rest.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a block");
    (head, rest.contains("state: <CLEAN>"))
}

#[track_caller]
fn assert_journal_not_empty(image: &Image) {
    assert!(!logprint(image).1, "clean for xfs_logprint");
    let refused = refusal(image);
    let journal = UncleanReason::JournalNotEmpty;
    assert!(matches!(refused, UsedBlocksError::Unclean { reason } if reason == journal), "{refused:?}");
}

#[test]
fn a_mounted_a_frozen_and_a_crashed_xfs_are_refused() {
    let image = mkfs(64, &[]);
    {
        let mounted = image.mount("loop");
        let at = mounted.at.to_str().expect("UTF-8");
        let mut file = fs::File::create(mounted.at.join("written")).expect("a file");
        file.write_all(&[1; 100_000]).and_then(|()| file.sync_all()).expect("writing");
        drop(file);
        // As a power cut would leave the disk.
        assert_journal_not_empty(&copy(&image));
        run("xfs_freeze", &["-f", at]);
        let frozen = copy(&image);
        run("xfs_freeze", &["-u", at]);
        assert_journal_not_empty(&frozen);
    }
    image.map(FileSystem::Xfs);
    {
        let mounted = image.mount("loop");
        fs::create_dir(mounted.at.join("new")).expect("a directory");
        run("xfs_io", &["-x", "-c", "shutdown -f", mounted.at.to_str().expect("UTF-8")]);
    }
    assert_journal_not_empty(&image);
    // A log that was thrown away holds nothing that waits.
    run("xfs_repair", &["-L", image.str()]);
    assert!(logprint(&image).1);
    image.map(FileSystem::Xfs);
}

#[test]
fn the_end_of_the_log_is_found_wherever_it_is() {
    // The volume is mounted until its log begins anew.
    for (megabytes, log) in [(64, &[][..]), (128, &["-l", "su=256k"]), (64, &["-s", "size=4096"])] {
        let image = mkfs(megabytes, log);
        let (mut before, mut wrapped) = (0, false);
        for mount in 0..60 {
            {
                let mounted = image.mount("loop");
                if mount % 3 > 0 {
                    age(&mounted.at, MIB / 2, mount);
                }
                for number in 0..mount % 3 * 300 {
                    let file = fs::File::create(mounted.at.join(format!("f{number}"))).expect("a file");
                    if number % 10 == 0 {
                        file.sync_all().expect("syncing");
                    }
                }
                if mount % 6 == 1 {
                    assert_journal_not_empty(&copy(&image));
                }
            }
            let (head, clean) = logprint(&image);
            assert!(clean, "{log:?}: head {head}");
            image.map(FileSystem::Xfs);
            wrapped = head < before;
            before = head;
            if wrapped {
                break;
            }
        }
        assert!(wrapped, "{log:?}: the log was never full, last head {before}");
        check_restored("after many mounts", &image);
    }
}

#[test]
fn a_log_or_files_on_another_device_are_refused() {
    let image = Image::of_bytes(0);
    let device = image.directory.path().join("device");
    fs::File::create(&device).and_then(|file| file.set_len(32 * MIB)).expect("a device");
    let device = device.to_str().expect("UTF-8");
    let refused = refusal(&mkfs(64, &["-l", &format!("logdev={device},size=16m")]));
    assert!(matches!(refused, UsedBlocksError::ExternalJournal), "{refused:?}");
    let refused = refusal(&mkfs(64, &["-r", &format!("rtdev={device}")]));
    assert!(matches!(refused, UsedBlocksError::FilesElsewhere), "{refused:?}");
}

#[test]
fn what_was_not_made_to_the_end_is_refused_and_what_is_unknown_is_left_to_a_raw_capture() {
    // Version 4 has no checksum, so that bytes can be set by hand.
    let image = mkfs(64, &["-m", "crc=0"]);
    image.write(126, &[1]);
    let refused = refusal(&image);
    assert!(matches!(refused, UsedBlocksError::Damaged { offset: 126, .. }), "{refused:?}");
    image.write(126, &[0]);
    image.map(FileSystem::Xfs);
    image.write(200, &[0x80]);
    let refused = refusal(&image);
    assert!(matches!(refused, UsedBlocksError::Unsupported { .. }), "{refused:?}");
}

#[test]
fn a_group_that_is_older_than_the_rest_is_noticed() {
    let image = mkfs(64, &[]);
    let [block_bytes, group_blocks] = fields(&image, "sb 0", ["blocksize", "agblocks"]);
    let place = (group_blocks * block_bytes, 64 * block_bytes as usize);
    let old = image.read(place.0, place.1);
    age(&image.mount("loop").at, 12 * MIB, 5);
    image.map(FileSystem::Xfs);
    let free = |image: &Image| xfs_db(image, &["agf 1", "print freeblks"]);
    let now = free(&image);
    image.write(place.0, &old);
    assert_ne!(free(&image), now, "the group was not written to");
    // Every checksum is right, and the group's trees agree with its header.
    let refused = refusal(&image);
    assert!(
        matches!(refused, UsedBlocksError::Damaged { what: "the free blocks of all groups", .. }),
        "{refused:?}"
    );
}
