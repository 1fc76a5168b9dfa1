//! What goes wrong on the server's disk.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

use mimeo_core::{failure::FailureCause, units::MIB};
use mimeo_lab::{
    appliance,
    classroom::{ALONE, Classroom, ClassroomError},
    hardware::Disk,
    images, process,
    small_disk::SmallDisk,
};

use crate::support::{
    DEBIAN, Outcome, QUICKEST, WINDOWS, boot_into_client, captured, classroom_with, first_disk,
    holds_the_master, pc, target, told,
};

/// What is free on the server's disk: a part of what the reference Debian takes in the store.
const ROOM_BYTES: u64 = 100 * MIB;

#[test]
fn a_full_disk_of_the_server_fails_a_capture_and_leaves_the_store_sound() -> Outcome {
    let data = captured(WINDOWS)?;
    let disk = SmallDisk::mount(used_bytes(&data)? + ROOM_BYTES)?;
    images::copy_folder(&data, disk.folder())?;
    let classroom = Classroom::prepare("full", ALONE, |home| {
        std::os::unix::fs::symlink(disk.folder(), appliance::data_folder(home))
            .map_err(ClassroomError::Folder)
    })?;
    let image = classroom.master_disk("large.raw", DEBIAN)?;
    let mut pc = pc(&classroom, "large", 3, QUICKEST, vec![Disk::new(&image, "LARGE-DISK")])?;
    let computer = boot_into_client(&classroom, &mut pc)?;
    let session = classroom.capture(&computer, DEBIAN)?;
    let ended = told(&pc, classroom.wait_for_end(session.id, &mut |_| {}))?;
    let cause = ended.failure.map(|failure| failure.cause);
    assert!(matches!(cause, Some(FailureCause::StoreFull { .. })), "{cause:?}");
    let masters: Vec<_> = classroom.appliance.masters()?.into_iter().map(|master| master.name).collect();
    assert_eq!(masters, [WINDOWS]);

    // Another master still goes out, to the same computer.
    let session = classroom.deploy(WINDOWS, &computer)?;
    pc.reset()?;
    told(&pc, classroom.wait_for_success(session.id, &mut |_| {}))?;
    pc.cut_power();
    holds_the_master(&pc, WINDOWS)
}

#[test]
fn a_damaged_chunk_fails_the_deploy_by_name_and_nothing_wrong_is_written() -> Outcome {
    let classroom = classroom_with("damaged", WINDOWS)?;
    damage(&largest_pack(&classroom.appliance.data_folder())?)?;
    let mut target = target(&classroom, "target", 2, QUICKEST)?;
    let computer = boot_into_client(&classroom, &mut target)?;
    let session = classroom.deploy(WINDOWS, &computer)?;
    let ended = told(&target, classroom.wait_for_end(session.id, &mut |_| {}))?;
    let Some(FailureCause::ChunkDamaged { chunk, .. }) = ended.failure.clone().map(|failure| failure.cause)
    else {
        return Err(format!("{:?}", ended.failure).into());
    };
    let said = classroom.appliance.mimeo(&["sessions", &session.id.to_string()])?;
    let named = [WINDOWS.to_owned(), "@1".to_owned(), chunk.to_string()];
    assert!(named.iter().all(|word| said.contains(word)), "{said}");
    target.cut_power();
    only_right_bytes(&images::master(WINDOWS)?, first_disk(&target))
}

/// What a folder takes on a disk of its own.
fn used_bytes(folder: &Path) -> Result<u64, Box<dyn std::error::Error>> {
    let said = process::run(Command::new("du").args(["--summarize", "--block-size=1"]).arg(folder))?;
    Ok(said.split_whitespace().next().ok_or("du said nothing")?.parse()?)
}

/// The file of the store that holds most of the content.
fn largest_pack(data: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let said = process::run(Command::new("find").arg(data).args(["-type", "f", "-printf", "%s %p\n"]))?;
    let sizes = said.lines().filter_map(|line| line.split_once(' '));
    let largest = sizes.filter_map(|(size, path)| Some((size.parse::<u64>().ok()?, path))).max();
    Ok(largest.map(|(_, path)| PathBuf::from(path)).ok_or("the data folder is empty")?)
}

/// Inverts a byte in the middle of a file, as a failing medium may.
fn damage(file: &Path) -> Outcome {
    let file_handle = File::options().read(true).write(true).open(file)?;
    let at = file_handle.metadata()?.len() / 2;
    let mut byte = [0];
    file_handle.read_exact_at(&mut byte, at)?;
    file_handle.write_all_at(&[!byte[0]], at)?;
    Ok(())
}

/// Checks that a disk that was blank holds zeros and what its source holds at the same place, and no more.
fn only_right_bytes(source: &Path, target: &Path) -> Outcome {
    const BLOCK_BYTES: usize = 4096;
    let (source, target) = (File::open(source)?, File::open(target)?);
    let (mut expected, mut found) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut written = 0;
    for at in (0..source.metadata()?.len()).step_by(BLOCK_BYTES) {
        source.read_exact_at(&mut expected, at)?;
        target.read_exact_at(&mut found, at)?;
        if found.iter().any(|byte| *byte != 0) {
            assert!(found == expected, "other bytes than the master's lie at {at}");
            written += 1;
        }
    }
    assert!(written > 0, "the deploy failed before it wrote anything: this proves nothing");
    Ok(())
}
