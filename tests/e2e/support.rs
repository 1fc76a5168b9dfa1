//! What the whole-machine tests share.

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use mimeo_core::{messages::Phase, units::SectorSize};
use mimeo_lab::{
    appliance,
    classroom::{ALONE, Classroom, ClassroomError, SYSTEM_UP, SYSTEM_WITHIN},
    content,
    hardware::{Disk, Firmware, Hardware},
    images,
    vm::Machine,
};
use mimeo_server::api::sessions::SessionView;

/// What a test gives back: an error shows everything it knows.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// The reference masters (the folder `masters/`). The first starts on every firmware; the second is smaller, so that a
/// test that starts nothing is quick.
pub(crate) const DEBIAN: &str = "debian-12";
pub(crate) const WINDOWS: &str = "windows-layout";

/// The firmware where it does not matter: the quickest to boot, and its screen can be read.
pub(crate) const QUICKEST: Firmware = Firmware::Bios;

/// The size of a disk that a master of 3 GiB goes to, larger than the master's own.
pub(crate) const TARGET_BYTES: u64 = 4 << 30;

/// A classroom whose appliance has captured a reference master already, and knows the PC that it came from: a
/// [`source`] whose disk has the serial number SOURCE-DISK.
pub(crate) fn classroom_with(label: &str, master: &'static str) -> Result<Classroom, Box<dyn Error>> {
    let data = captured(master)?;
    let copy = |home: &Path| Ok(images::copy_folder(&data, &appliance::data_folder(home))?);
    Ok(Classroom::prepare(label, ALONE, copy)?)
}

/// The data of an appliance that has captured a reference master: made by the first test of a run that needs it.
pub(crate) fn captured(master: &'static str) -> Result<PathBuf, Box<dyn Error>> {
    static CAPTURED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
    let mut captured = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("captured").join(master);
    if captured.contains(master) {
        return Ok(folder);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.parent().unwrap_or(&folder))?;
    let classroom = Classroom::open("captured", ALONE)?;
    let mut source = source(&classroom, master, QUICKEST)?;
    capture(&classroom, &mut source, master)?;
    source.cut_power();
    classroom.appliance.kill();
    images::copy_folder(&classroom.appliance.data_folder(), &folder)?;
    captured.insert(master);
    Ok(folder)
}

/// A PC whose disk holds a reference master.
pub(crate) fn source<'a>(
    classroom: &'a Classroom,
    master: &str,
    firmware: Firmware,
) -> Result<Machine<'a>, Box<dyn Error>> {
    let image = classroom.master_disk("source.raw", master)?;
    Ok(pc(classroom, "source", 1, firmware, vec![Disk::new(&image, "SOURCE-DISK")])?)
}

/// A PC with a blank disk.
pub(crate) fn target<'a>(
    classroom: &'a Classroom,
    name: &str,
    number: u8,
    firmware: Firmware,
) -> Result<Machine<'a>, Box<dyn Error>> {
    let image = classroom.blank_disk(&format!("{name}.raw"), TARGET_BYTES)?;
    Ok(pc(classroom, name, number, firmware, vec![Disk::new(&image, &format!("TARGET-{number}"))])?)
}

/// A PC with these disks, switched off.
pub(crate) fn pc<'a>(
    classroom: &'a Classroom,
    name: &str,
    number: u8,
    firmware: Firmware,
    disks: Vec<Disk>,
) -> Result<Machine<'a>, ClassroomError> {
    classroom.machine(Hardware { firmware, disks, ..Hardware::new(name, number) })
}

/// Switches a PC on and gives the name under which the appliance knows it.
pub(crate) fn boot_into_client(
    classroom: &Classroom,
    machine: &mut Machine<'_>,
) -> Result<String, Box<dyn Error>> {
    machine.power_on()?;
    Ok(told(machine, classroom.wait_for_computer(&machine.hardware().serial))?.name)
}

/// Switches a PC on, has it registered, captures its disk under `master`.
pub(crate) fn capture(classroom: &Classroom, machine: &mut Machine<'_>, master: &str) -> Outcome {
    let computer = boot_into_client(classroom, machine)?;
    let session = classroom.capture(&computer, master)?;
    told(machine, classroom.wait_for_success(session.id, &mut |_| {}))?;
    Ok(())
}

/// Switches a PC on, has it registered, deploys `master` to it, and stops it there: what it starts next would change
/// its disk.
pub(crate) fn deploy(classroom: &Classroom, machine: &mut Machine<'_>, master: &str) -> Outcome {
    let computer = boot_into_client(classroom, machine)?;
    let session = classroom.deploy(master, &computer)?;
    told(machine, classroom.wait_for_success(session.id, &mut |_| {}))?;
    machine.pause()?;
    Ok(())
}

/// Waits until the system that was deployed says that it is up.
pub(crate) fn own_disk_boots(machine: &mut Machine<'_>) -> Outcome {
    machine.wait_for(SYSTEM_UP, SYSTEM_WITHIN)?;
    Ok(())
}

/// Compares a PC's first disk with the reference master, bit for bit over everything in use.
pub(crate) fn holds_the_master(machine: &Machine<'_>, master: &str) -> Outcome {
    let bytes = content::compare(&images::master(master)?, first_disk(machine), SectorSize::B512)?;
    assert!(bytes > 100 << 20, "only {bytes} bytes of {master} were compared");
    Ok(())
}

pub(crate) fn first_disk<'a>(machine: &'a Machine<'_>) -> &'a Path {
    &machine.hardware().disks[0].image
}

/// Whether a session is at work in this phase.
pub(crate) fn is_in(session: &SessionView, phase: Phase) -> bool {
    session.state == "running" && session.phase == Some(phase) && session.progress.done_bytes > 0
}

/// Adds what the machine's own console said to an error.
pub(crate) fn told<T, E: Error>(machine: &Machine<'_>, result: Result<T, E>) -> Result<T, Box<dyn Error>> {
    result.map_err(|error| {
        format!("{error}\n{} said:\n{}", machine.hardware().name, machine.console_text()).into()
    })
}
