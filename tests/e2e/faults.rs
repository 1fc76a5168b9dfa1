//! What goes wrong in life: the power of the PC, the server, the wrong disk.

use std::{fs::File, io::Read};

use mimeo_core::messages::Phase;
use mimeo_lab::{
    classroom::{ALONE, Classroom, SYSTEM_UP, SYSTEM_WITHIN},
    hardware::{Disk, Firmware, Hardware},
    process,
};
use mimeo_server::api::sessions::SessionView;

use crate::support::{Outcome, alone, capture, source, target, told};

/// The firmware of the fault tests: the quickest to boot.
const FIRMWARE: Firmware = Firmware::Bios;

fn is_in(session: &SessionView, phase: Phase) -> bool {
    session.state == "running" && session.phase == Some(phase) && session.progress.done_bytes > 0
}

/// Whether the kernel's own tools see a partition table on a disk.
fn has_table(image: &std::path::Path) -> bool {
    process::run(std::process::Command::new("sfdisk").arg("--dump").arg(image)).is_ok()
}

#[test]
fn power_cut_while_writing() -> Outcome {
    let _alone = alone();
    let classroom = Classroom::open("cut", ALONE)?;
    let mut source = source(&classroom, FIRMWARE)?;
    capture(&classroom, &mut source, "debian-12")?;
    source.cut_power();

    let mut target = target(&classroom, "target", 2, FIRMWARE)?;
    target.power_on()?;
    let computer = told(&target, classroom.wait_for_computer(&target.hardware().serial))?;
    let session = classroom.deploy("debian-12", &computer.name)?;
    classroom.wait_for_session(session.id, "writing", &mut |_| {}, |session| is_in(session, Phase::Write))?;
    target.cut_power();
    let image = target.hardware().disks[0].image.clone();
    assert!(!has_table(&image), "a disk that was being written looks bootable");

    // The same session goes on when the PC is switched on again.
    target.power_on()?;
    let session = told(&target, classroom.wait_for_success(session.id, &mut |_| {}))?;
    assert_eq!(session.attempts, 2);
    target.wait_for(SYSTEM_UP, SYSTEM_WITHIN)?;
    Ok(())
}

#[test]
fn server_killed_in_capture_and_deploy() -> Outcome {
    let _alone = alone();
    let mut classroom = Classroom::open("kill", ALONE)?;
    let image = classroom.master_disk("source.raw", "debian-12")?;
    let mut hardware = Hardware::new("source", 1);
    hardware.firmware = FIRMWARE;
    hardware.disks.push(Disk::new(&image, "SOURCE-DISK"));
    // The PC needs the switch only, so the appliance can be killed and started while it runs.
    let Classroom { appliance, switch, .. } = &mut classroom;
    let folder = image.with_file_name("source");
    let mut source = mimeo_lab::vm::Machine::new(hardware, switch, &folder)?;
    source.power_on()?;
    let computer = wait_for(|| Ok(appliance.computers()?.into_iter().next()))?;
    let sessions: Vec<SessionView> = appliance.ask(&["capture", &computer.name, "--name", "debian-12"])?;
    let id = sessions[0].id;
    wait_for(|| {
        Ok(Some(()).filter(|()| appliance.session(id.0).is_ok_and(|s| is_in(&s.session, Phase::Read))))
    })?;
    appliance.kill();
    appliance.switch_on()?;
    assert!(appliance.masters()?.is_empty(), "half a version is listed");
    wait_for(|| Ok(Some(()).filter(|()| appliance.session(id.0).is_ok_and(|s| s.session.ended.is_some()))))?;
    assert_eq!(appliance.session(id.0)?.session.state, "succeeded");

    // The same PC gets its own master back, and the server dies while it writes.
    wait_for(|| {
        Ok(Some(()).filter(|()| appliance.mimeo(&["deploy", "debian-12", &computer.name, "--yes"]).is_ok()))
    })?;
    let id = appliance.sessions()?.iter().map(|session| session.id).max().ok_or("no session")?;
    source.reset()?;
    let told_where = |phase| appliance.session(id.0).is_ok_and(|s| s.session.phase >= Some(phase));
    wait_for(|| Ok(Some(()).filter(|()| told_where(Phase::Write))))?;
    appliance.kill();
    appliance.switch_on()?;
    wait_for(|| Ok(Some(()).filter(|()| appliance.session(id.0).is_ok_and(|s| s.session.ended.is_some()))))?;
    assert_eq!(appliance.session(id.0)?.session.state, "succeeded");
    source.wait_for(SYSTEM_UP, SYSTEM_WITHIN)?;
    Ok(())
}

#[test]
fn a_disk_that_is_too_small_is_refused_before_a_byte_is_written() -> Outcome {
    let _alone = alone();
    let classroom = Classroom::open("small", ALONE)?;
    let mut source = source(&classroom, FIRMWARE)?;
    capture(&classroom, &mut source, "debian-12")?;
    source.cut_power();

    let image = classroom.blank_disk("small.raw", 1 << 30)?;
    std::fs::write(&image, vec![0x5a; 1 << 20])?;
    File::options().write(true).open(&image)?.set_len(1 << 30)?;
    let mut hardware = Hardware::new("small", 2);
    hardware.firmware = FIRMWARE;
    hardware.disks.push(Disk::new(&image, "SMALL-DISK"));
    let mut small = classroom.machine(hardware)?;
    small.power_on()?;
    let computer = told(&small, classroom.wait_for_computer(&small.hardware().serial))?;
    let refused = classroom.deploy("debian-12", &computer.name).expect_err("a disk of 1 GiB holds 3 GiB");
    let refused = refused.to_string();
    assert!(refused.contains("too small") && refused.contains("1073741824"), "{refused}");
    small.cut_power();
    let mut head = vec![0; 1 << 20];
    File::open(&image)?.read_exact(&mut head)?;
    assert!(head.iter().all(|byte| *byte == 0x5a), "the disk was written to");
    Ok(())
}

/// Asks until there is an answer, at most as long as a session may take.
fn wait_for<T>(
    ask: impl Fn() -> Result<Option<T>, mimeo_lab::appliance::ApplianceError>,
) -> Result<T, Box<dyn std::error::Error>> {
    let deadline = std::time::Instant::now() + mimeo_lab::classroom::SESSION_WITHIN;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if std::time::Instant::now() > deadline {
            return Err("it did not happen in time".into());
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}
