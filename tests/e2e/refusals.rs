//! Which disk is meant: the wrong one is never touched.

use std::{fs::File, io::Read, path::Path};

use mimeo_core::{failure::FailureCause, units::MIB};
use mimeo_lab::{
    classroom::HELLO_WITHIN,
    hardware::{Bus, Disk},
    images,
};

use crate::support::{DEBIAN, Outcome, QUICKEST, WINDOWS, boot_into_client, classroom_with, pc, told};

/// What stands at the start of a disk that nobody may write to.
const PRECIOUS: u8 = 0x5a;

/// An image with something precious at its start.
fn make_precious(image: &Path, size_bytes: u64) -> Outcome {
    std::fs::write(image, vec![PRECIOUS; MIB as usize])?;
    File::options().write(true).open(image)?.set_len(size_bytes)?;
    Ok(())
}

fn assert_untouched(image: &Path) -> Outcome {
    let mut head = vec![0; MIB as usize];
    File::open(image)?.read_exact(&mut head)?;
    assert!(head.iter().all(|byte| *byte == PRECIOUS), "{} was written to", image.display());
    assert!(images::occupied_bytes(image)? <= MIB, "{} was written to", image.display());
    Ok(())
}

#[test]
fn a_disk_that_does_not_fit_is_refused_before_a_byte_is_written() -> Outcome {
    let classroom = classroom_with("misfit", DEBIAN)?;
    let (small, coarse) = (classroom.folder().join("small.raw"), classroom.folder().join("coarse.raw"));
    make_precious(&small, 1 << 30)?;
    make_precious(&coarse, 4 << 30)?;
    let disks = vec![
        Disk::new(&small, "SMALL-DISK"),
        Disk { bus: Bus::Nvme, sector_bytes: 4096, ..Disk::new(&coarse, "COARSE-DISK") },
    ];
    let mut machine = pc(&classroom, "misfit", 2, QUICKEST, disks)?;
    let computer = boot_into_client(&classroom, &mut machine)?;
    let refused = |disk: &str| {
        let order = ["deploy", DEBIAN, &computer, "--disk", disk, "--yes"];
        classroom.appliance.mimeo(&order).expect_err("a disk that does not fit").to_string()
    };
    let cases = [
        ("SMALL-DISK", ["too small", "1073741824"]),
        ("COARSE-DISK", ["512", "4096"]),
        ("NO-SUCH-DISK", ["NO-SUCH-DISK", "no disk with the serial number"]),
    ];
    for (disk, words) in cases {
        let said = refused(disk);
        assert!(words.iter().all(|word| said.contains(word)), "{disk}: {said}");
    }
    machine.cut_power();
    assert_untouched(&small)?;
    assert_untouched(&coarse)
}

#[test]
fn a_disk_that_was_exchanged_is_not_taken_for_the_planned_one() -> Outcome {
    let classroom = classroom_with("missing", WINDOWS)?;
    let computer = classroom.appliance.computers()?.remove(0);
    // Planned by what the computer had when it was seen last.
    let session = classroom.deploy(WINDOWS, &computer.name)?;
    let other = classroom.folder().join("other.raw");
    make_precious(&other, 3 << 30)?;
    let mut machine = pc(&classroom, "exchanged", 1, QUICKEST, vec![Disk::new(&other, "OTHER-DISK")])?;
    machine.power_on()?;
    let ended = told(&machine, classroom.wait_for_end(session.id, &mut |_| {}))?;
    let cause = ended.failure.map(|failure| failure.cause);
    assert!(
        matches!(&cause, Some(FailureCause::DiskMissing { wanted }) if wanted.serial.as_deref() == Some("SOURCE-DISK")),
        "{cause:?}"
    );
    machine.wait_for_screen("SOURCE-DISK", HELLO_WITHIN)?;
    machine.cut_power();
    assert_untouched(&other)
}

/// The disk that is meant holds what was captured before, so its version has the same content, which its hash tells.
#[test]
fn several_disks_are_a_question_and_a_stick_is_none_of_them() -> Outcome {
    let classroom = classroom_with("question", WINDOWS)?;
    let (first, stick) = (classroom.folder().join("first.raw"), classroom.folder().join("stick.raw"));
    make_precious(&first, 2 << 30)?;
    make_precious(&stick, 2 << 30)?;
    let second = classroom.master_disk("second.raw", WINDOWS)?;
    let disks = vec![
        Disk::new(&first, "FIRST-DISK"),
        Disk { bus: Bus::Nvme, ..Disk::new(&second, "SECOND-DISK") },
        Disk { bus: Bus::Usb, ..Disk::new(&stick, "STICK") },
    ];
    let mut machine = pc(&classroom, "question", 2, QUICKEST, disks)?;
    let computer = boot_into_client(&classroom, &mut machine)?;
    let session = classroom.capture(&computer, "answered")?;
    let mut asked: Vec<_> = session.question.iter().filter_map(|pin| pin.serial.as_deref()).collect();
    asked.sort_unstable();
    assert_eq!(asked, ["FIRST-DISK", "SECOND-DISK"]);
    let screen = machine.wait_for_screen("FIRST-DISK", HELLO_WITHIN)?;
    assert!(screen.contains("SECOND-DISK") && !screen.contains("STICK"), "{screen}");

    classroom.appliance.mimeo(&["answer", &session.id.to_string(), "SECOND-DISK"])?;
    told(&machine, classroom.wait_for_success(session.id, &mut |_| {}))?;
    machine.cut_power();
    let masters = classroom.appliance.masters()?;
    let hashes: Vec<_> = masters.iter().map(|master| &master.versions[0].manifest).collect();
    assert!(hashes.len() == 2 && hashes[0] == hashes[1], "{hashes:?}");
    assert_untouched(&first)?;
    assert_untouched(&stick)
}
