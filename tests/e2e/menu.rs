//! The boot menu, as a person in front of the PC uses it.

use std::time::Duration;

use mimeo_lab::{
    classroom::{Classroom, ClassroomError, HELLO_WITHIN},
    hardware::Firmware,
    vm::Machine,
};

use crate::support::{Outcome, target, told};

const SETTINGS: &str = "\
[dhcp]
mode = \"full\"
pool = \"192.0.2.50-192.0.2.99\"

[boot]
unknown = \"menu\"
menu_timeout_seconds = 120
kernel_options = \"console=tty0 console=ttyS0\"
";

/// The last entry of the menu: what is said when all of it is there.
const LAST: &str = "Power off";

/// What memtest86+ paints its title on: pure blue in three bytes of a picture (PPM).
const BLUE: [u8; 3] = [0, 0, 0xaa];

/// From a key to what it does, on a machine that is busy.
const OBEYS_WITHIN: Duration = Duration::from_secs(60);

/// Chooses an entry of the menu once all of it is there; `downs` is how many entries stand above it.
fn choose(machine: &mut Machine<'_>, downs: usize) -> Outcome {
    machine.wait_for(LAST, HELLO_WITHIN)?;
    let mut keys = vec!["down"; downs];
    keys.push("ret");
    machine.press(&keys)?;
    Ok(())
}

/// Chooses one entry after the other. `firmware_says` is what the firmware says at every start; `tests_memory` waits until
/// the memory test is seen.
fn every_entry(
    label: &str,
    firmware: Firmware,
    firmware_says: &str,
    tests_memory: impl FnOnce(&mut Machine<'_>, &Classroom) -> Outcome,
) -> Outcome {
    let classroom = Classroom::open(label, SETTINGS)?;
    let mut machine = target(&classroom, "machine", 7, firmware)?;
    machine.power_on()?;
    choose(&mut machine, 3)?; // reboot
    machine.wait_for(firmware_says, OBEYS_WITHIN)?;
    choose(&mut machine, 2)?; // memory test
    tests_memory(&mut machine, &classroom)?;
    machine.reset()?;
    choose(&mut machine, 1)?; // register
    told(&machine, classroom.wait_for_computer(&machine.hardware().serial))?;
    machine.power_on()?;
    choose(&mut machine, 4)?; // power off
    let off = machine.wait_off(OBEYS_WITHIN);
    told(&machine, off)
}

#[test]
fn the_menu_on_a_bios() -> Outcome {
    every_entry("menu", Firmware::Bios, "SeaBIOS", |machine, _| {
        machine.wait_for_screen("Memtest86+", OBEYS_WITHIN)?;
        Ok(())
    })
}

#[test]
fn the_menu_on_uefi() -> Outcome {
    every_entry("menu-uefi", Firmware::Uefi, "BdsDxe", shows_blue)
}

/// The memory test is not signed, so it is not offered where it could not start.
#[test]
fn the_menu_under_secure_boot() -> Outcome {
    let classroom = Classroom::open("menu-sb", SETTINGS)?;
    let mut machine = target(&classroom, "machine", 7, Firmware::UefiSecureBoot)?;
    machine.power_on()?;
    choose(&mut machine, 3)?; // power off, one entry earlier than elsewhere
    machine.wait_off(OBEYS_WITHIN)?;
    let said = machine.console_text();
    assert!(said.contains("Reboot") && !said.contains("memory"), "{said}");
    Ok(())
}

/// Waits for a screen that is mostly blue, as the memory test's is.
fn shows_blue(machine: &mut Machine<'_>, classroom: &Classroom) -> Outcome {
    let picture = classroom.folder().join("screen.ppm");
    Ok(classroom.wait(OBEYS_WITHIN, "the blue screen of the memory test", || {
        machine.screenshot(&picture)?;
        let picture = std::fs::read(&picture).map_err(ClassroomError::Folder)?;
        let blue = picture.chunks_exact(3).filter(|pixel| *pixel == BLUE).count();
        Ok(Some(()).filter(|()| blue > picture.len() / 6))
    })?)
}
