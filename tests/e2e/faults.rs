//! What goes wrong in life: the power of the PC, the server.

use mimeo_core::{ids::SessionId, messages::Phase};
use mimeo_lab::{
    classroom::{ALONE, Classroom, ClassroomError, SESSION_WITHIN},
    process,
};

use crate::support::{
    DEBIAN, Outcome, QUICKEST, boot_into_client, classroom_with, first_disk, is_in, own_disk_boots, source,
    target, told,
};

/// Whether the usual tools see a partition table on a disk.
fn has_table(image: &std::path::Path) -> bool {
    process::run(std::process::Command::new("sfdisk").arg("--dump").arg(image)).is_ok()
}

#[test]
fn power_cut_while_writing_and_while_verifying() -> Outcome {
    let classroom = classroom_with("cut", DEBIAN)?;
    let mut target = target(&classroom, "target", 2, QUICKEST)?;
    let computer = boot_into_client(&classroom, &mut target)?;
    let session = classroom.deploy(DEBIAN, &computer)?;
    for phase in [Phase::Write, Phase::Verify] {
        let what = format!("phase {phase:?}");
        let reached =
            classroom.wait_for_session(session.id, &what, &mut |_| {}, |session| is_in(session, phase));
        told(&target, reached)?;
        target.cut_power();
        assert!(!has_table(first_disk(&target)), "a disk that is not finished looks bootable: {phase:?}");
        // The same session goes on when the PC is switched on again.
        target.power_on()?;
    }
    let session = told(&target, classroom.wait_for_success(session.id, &mut |_| {}))?;
    assert_eq!(session.attempts, 3);
    own_disk_boots(&mut target)
}

#[test]
fn server_killed_in_capture_and_deploy() -> Outcome {
    let classroom = Classroom::open("kill", ALONE)?;
    let mut pc = source(&classroom, DEBIAN, QUICKEST)?;
    let computer = boot_into_client(&classroom, &mut pc)?;
    let session = classroom.capture(&computer, DEBIAN)?;
    classroom.wait_for_session(session.id, "reading", &mut |_| {}, |session| is_in(session, Phase::Read))?;
    restart(&classroom)?;
    assert!(classroom.appliance.masters()?.is_empty(), "half a version is listed");
    told(&pc, classroom.wait_for_success(session.id, &mut |_| {}))?;

    // The same PC gets its own master back, and the server dies while it writes.
    let id = SessionId(session.id.0 + 1);
    classroom.wait(SESSION_WITHIN, "a new order for the computer", || {
        Ok(classroom.deploy(DEBIAN, &computer).ok().filter(|session| session.id == id))
    })?;
    pc.reset()?;
    classroom.wait_for_session(id, "writing", &mut |_| {}, |session| session.phase >= Some(Phase::Write))?;
    restart(&classroom)?;
    told(&pc, classroom.wait_for_success(id, &mut |_| {}))?;
    own_disk_boots(&mut pc)
}

/// SIGKILL, and a new start.
fn restart(classroom: &Classroom) -> Result<(), ClassroomError> {
    classroom.appliance.kill();
    Ok(classroom.appliance.switch_on()?)
}
