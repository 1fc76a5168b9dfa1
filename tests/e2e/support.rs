//! What the whole-machine tests share.

use std::{
    error::Error,
    sync::{Mutex, MutexGuard, PoisonError},
};

use mimeo_lab::{
    classroom::{Classroom, SYSTEM_UP, SYSTEM_WITHIN},
    hardware::{Disk, Firmware, Hardware},
    vm::Machine,
};

/// What a test gives back: an error shows everything it knows.
pub(crate) type Outcome = Result<(), Box<dyn Error>>;

/// One whole-machine test at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The size of a disk that a master of 3 GiB goes to, larger than the master's own.
pub(crate) const TARGET_BYTES: u64 = 4 << 30;

/// A PC whose disk holds the reference Debian.
pub(crate) fn source(classroom: &Classroom, firmware: Firmware) -> Result<Machine<'_>, Box<dyn Error>> {
    let image = classroom.master_disk("source.raw", "debian-12")?;
    let mut hardware = Hardware::new("source", 1);
    hardware.firmware = firmware;
    hardware.disks.push(Disk::new(&image, "SOURCE-DISK"));
    Ok(classroom.machine(hardware)?)
}

/// A PC with a blank disk.
pub(crate) fn target<'a>(
    classroom: &'a Classroom,
    name: &str,
    number: u8,
    firmware: Firmware,
) -> Result<Machine<'a>, Box<dyn Error>> {
    let image = classroom.blank_disk(&format!("{name}.raw"), TARGET_BYTES)?;
    let mut hardware = Hardware::new(name, number);
    hardware.firmware = firmware;
    hardware.disks.push(Disk::new(&image, &format!("TARGET-{number}")));
    Ok(classroom.machine(hardware)?)
}

/// Switches a PC on, has it registered, captures its disk under `master`.
pub(crate) fn capture(classroom: &Classroom, machine: &mut Machine<'_>, master: &str) -> Outcome {
    machine.power_on()?;
    let computer = classroom.wait_for_computer(&machine.hardware().serial)?;
    let session = classroom.capture(&computer.name, master)?;
    told(machine, classroom.wait_for_success(session.id, &mut |_| {}))?;
    Ok(())
}

/// Switches a PC on, has it registered, deploys `master` to it and waits until its own disk has booted.
pub(crate) fn deploy_and_boot(classroom: &Classroom, machine: &mut Machine<'_>, master: &str) -> Outcome {
    machine.power_on()?;
    let computer = told(machine, classroom.wait_for_computer(&machine.hardware().serial))?;
    let session = classroom.deploy(master, &computer.name)?;
    told(machine, classroom.wait_for_success(session.id, &mut |_| {}))?;
    machine.wait_for(SYSTEM_UP, SYSTEM_WITHIN)?;
    Ok(())
}

/// Adds what the machine's own console said to an error.
pub(crate) fn told<T, E: Error>(machine: &Machine<'_>, result: Result<T, E>) -> Result<T, Box<dyn Error>> {
    result.map_err(|error| format!("{error}\n{} said:\n{}", machine.hardware().name, machine.console_text()).into())
}
