//! A virtual PC with real firmware, under QEMU without hardware acceleration, so that it runs anywhere and alike.

use std::{
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;
use thiserror::Error;

use crate::{
    console::{Console, ConsoleError},
    hardware::{self, Hardware},
    network::{NetworkError, Switch},
    process::{Process, ProcessError},
    qmp::{Qmp, QmpError},
    screen,
};

/// How often the screen is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, Error)]
pub enum MachineError {
    #[error("{machine}: {path}: {source}")]
    File { machine: String, path: PathBuf, source: std::io::Error },
    #[error("{machine}: {source}")]
    Network { machine: String, source: NetworkError },
    #[error("{machine}: {source}")]
    Process { machine: String, source: ProcessError },
    #[error("{machine}: {source}; QEMU said: {output}")]
    Qmp { machine: String, source: QmpError, output: String },
    #[error("{machine}: {source}")]
    Console { machine: String, source: ConsoleError },
    #[error("{machine} is switched off")]
    Off { machine: String },
    #[error("{machine}: {wanted:?} did not stand on the screen within {within:?}; there was:\n{shown}")]
    Screen { machine: String, wanted: String, within: Duration, shown: String },
}

/// A PC that is plugged into a switch. Its disks and its firmware's variables outlast every power cycle; dropping it
/// cuts its power.
pub struct Machine<'switch> {
    hardware: Hardware,
    switch: &'switch Switch,
    tap: String,
    folder: PathBuf,
    running: Option<Running>,
}

struct Running {
    // In this order: the connections are closed before QEMU is killed.
    qmp: Qmp,
    keyboard: UnixStream,
    console: Console,
    process: Process,
}

impl<'switch> Machine<'switch> {
    /// Builds the PC, switched off. Its log, sockets and variables live in `folder`, which it makes.
    pub fn new(hardware: Hardware, switch: &'switch Switch, folder: &Path) -> Result<Self, MachineError> {
        let machine = hardware.name.clone();
        let file = |path: &Path, source| MachineError::File {
            machine: machine.clone(),
            path: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(|source| file(folder, source))?;
        if let Some((_, factory)) = hardware.flash() {
            let variables = hardware::variables_path(folder);
            std::fs::copy(&factory, variables).map_err(|source| file(&factory, source))?;
        }
        let tap = switch.tap();
        let tap = tap.map_err(|source| MachineError::Network { machine: machine.clone(), source })?;
        Ok(Machine { hardware, switch, tap, folder: folder.to_owned(), running: None })
    }

    pub fn hardware(&self) -> &Hardware {
        &self.hardware
    }

    /// Changes the hardware of a machine that is off: another disk, another boot order. The firmware stays.
    pub fn rebuild(&mut self, change: impl FnOnce(&mut Hardware)) {
        self.cut_power();
        change(&mut self.hardware);
    }

    /// Presses the power button of a machine that is off. The console begins anew.
    pub fn power_on(&mut self) -> Result<(), MachineError> {
        self.cut_power();
        for socket in [hardware::qmp_path(&self.folder), hardware::serial_path(&self.folder)] {
            // Left by a QEMU that was killed; absent the first time.
            let _removed = std::fs::remove_file(socket);
        }
        // QEMU appends to it.
        let console_path = hardware::console_path(&self.folder);
        std::fs::write(&console_path, "").map_err(|source| self.file_error(&console_path, source))?;
        let mut command = self.switch.command("qemu-system-x86_64");
        command.args(self.hardware.arguments(&self.tap, &self.folder));
        let process = Process::start(&command, &self.folder.join("qemu.log"));
        let mut process = process.map_err(|source| self.process_error(source))?;
        let qmp = Qmp::connect(&hardware::qmp_path(&self.folder), || process.has_ended());
        let qmp = qmp.map_err(|source| self.qmp_error(source, process.output()))?;
        let keyboard = self.plug_in_keyboard()?;
        self.running = Some(Running { qmp, keyboard, console: Console::open(&console_path), process });
        Ok(())
    }

    /// Pulls the plug: QEMU is killed at once, whatever the guest is doing.
    pub fn cut_power(&mut self) {
        self.running = None;
    }

    pub fn is_on(&mut self) -> bool {
        self.running.as_mut().is_some_and(|running| !running.process.has_ended())
    }

    /// Waits until the console says `marker`, after what was waited for last, and returns the text up to it.
    pub fn wait_for(&mut self, marker: &str, timeout: Duration) -> Result<String, MachineError> {
        let machine = self.hardware.name.clone();
        let running = self.running()?;
        let waited = running.console.wait_for(marker, timeout, || running.process.has_ended());
        waited.map_err(|source| MachineError::Console { machine, source })
    }

    /// Waits until the machine has switched itself off.
    pub fn wait_off(&mut self, timeout: Duration) -> Result<(), MachineError> {
        let ended = self.running()?.process.wait(timeout);
        ended.map_err(|source| self.process_error(source))?;
        self.running = None;
        Ok(())
    }

    /// Everything the console has said since the machine was switched on.
    pub fn console_text(&self) -> String {
        Console::open(&hardware::console_path(&self.folder)).text()
    }

    /// Types on the serial console.
    pub fn type_text(&mut self, text: &str) -> Result<(), MachineError> {
        let typed = self.running()?.keyboard.write_all(text.as_bytes());
        typed.map_err(|source| self.file_error(&hardware::serial_path(&self.folder), source))
    }

    /// Presses keys on the machine's own keyboard, one after the other, by the names that QEMU has for them
    /// (`QKeyCode`: `down`, `ret`, `esc`, `a`).
    pub fn press(&mut self, keys: &[&str]) -> Result<(), MachineError> {
        for key in keys {
            self.command("send-key", json!({ "keys": [{ "type": "qcode", "data": key }] }))?;
            // QEMU holds each key down for 100 ms, and the next one would go down in that time.
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// What stands on the screen of a machine in text mode, row by row.
    pub fn screen_text(&mut self) -> Result<String, MachineError> {
        let path = self.folder.join("screen.bin");
        let place = json!({ "val": screen::MEMORY_START, "size": screen::MEMORY_BYTES, "filename": path });
        self.command("pmemsave", place)?;
        let memory = std::fs::read(&path).map_err(|source| self.file_error(&path, source))?;
        Ok(screen::rows(&memory))
    }

    /// Waits until `wanted` stands on the screen of a machine in text mode, and returns the whole of it.
    pub fn wait_for_screen(&mut self, wanted: &str, within: Duration) -> Result<String, MachineError> {
        let deadline = Instant::now() + within;
        loop {
            let shown = self.screen_text()?;
            if shown.contains(wanted) {
                return Ok(shown);
            }
            if Instant::now() > deadline {
                let (machine, wanted) = (self.hardware.name.clone(), wanted.to_owned());
                return Err(MachineError::Screen { machine, wanted, within, shown });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Presses the power button of a running machine: the guest is asked to shut down.
    pub fn press_power_button(&mut self) -> Result<(), MachineError> {
        self.command("system_powerdown", json!({}))
    }

    /// Presses the reset button.
    pub fn reset(&mut self) -> Result<(), MachineError> {
        self.command("system_reset", json!({}))
    }

    /// Stops the machine in the middle of whatever it does; its disks keep what was written to them.
    pub fn pause(&mut self) -> Result<(), MachineError> {
        self.command("stop", json!({}))
    }

    /// Goes on after [`Machine::pause`], as if nothing had been.
    pub fn resume(&mut self) -> Result<(), MachineError> {
        self.command("cont", json!({}))
    }

    /// Saves what is on the screen: as PNG where the file's name says so, else as PPM.
    pub fn screenshot(&mut self, path: &Path) -> Result<(), MachineError> {
        let format = if path.extension().is_some_and(|extension| extension == "png") { "png" } else { "ppm" };
        self.command("screendump", json!({ "filename": path, "format": format }))
    }

    /// Connects to the serial port for as long as the machine is on: QEMU forgets what the guest has not read yet when
    /// the connection closes. What comes back is in the log already; somebody must take it all the same, or the guest
    /// waits. The thread ends when QEMU does.
    fn plug_in_keyboard(&self) -> Result<UnixStream, MachineError> {
        let path = hardware::serial_path(&self.folder);
        let connect = || {
            let keyboard = UnixStream::connect(&path)?;
            let mut output = keyboard.try_clone()?;
            std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
            Ok(keyboard)
        };
        connect().map_err(|source| self.file_error(&path, source))
    }

    fn command(&mut self, command: &str, arguments: serde_json::Value) -> Result<(), MachineError> {
        let running = self.running()?;
        let answer = running.qmp.execute(command, arguments);
        let output = running.process.output();
        answer.map(drop).map_err(|source| self.qmp_error(source, output))
    }

    fn running(&mut self) -> Result<&mut Running, MachineError> {
        let machine = &self.hardware.name;
        self.running.as_mut().ok_or_else(|| MachineError::Off { machine: machine.clone() })
    }

    fn file_error(&self, path: &Path, source: std::io::Error) -> MachineError {
        MachineError::File { machine: self.hardware.name.clone(), path: path.to_owned(), source }
    }

    fn process_error(&self, source: ProcessError) -> MachineError {
        MachineError::Process { machine: self.hardware.name.clone(), source }
    }

    fn qmp_error(&self, source: QmpError, output: String) -> MachineError {
        MachineError::Qmp { machine: self.hardware.name.clone(), source, output }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hardware::{BootFirst, Firmware};

    /// SeaBIOS and iPXE say so within seconds; other tests may run beside this one.
    const FIRMWARE_TIMEOUT: Duration = Duration::from_secs(120);

    fn with_machine(check: impl FnOnce(&mut Machine, &Path)) {
        let folder = tempfile::tempdir().unwrap();
        let switch = Switch::create("vm").unwrap();
        let hardware = Hardware { firmware: Firmware::Bios, memory_mib: 64, ..Hardware::new("pc", 9) };
        check(&mut Machine::new(hardware, &switch, folder.path()).unwrap(), folder.path());
    }

    #[test]
    fn a_machine_obeys_its_buttons() {
        with_machine(|machine, folder| {
            machine.power_on().unwrap();
            machine.wait_for("SeaBIOS", FIRMWARE_TIMEOUT).unwrap();
            machine.reset().unwrap();
            machine.wait_for("SeaBIOS", FIRMWARE_TIMEOUT).unwrap();
            let screen = folder.join("screen.png");
            machine.screenshot(&screen).unwrap();
            assert_eq!(&std::fs::read(&screen).unwrap()[..4], b"\x89PNG");
            machine.cut_power();
            assert!(!machine.is_on());
        });
    }

    #[test]
    fn a_machine_that_is_off_does_nothing() {
        with_machine(|machine, _| {
            let error = machine.wait_for("SeaBIOS", Duration::ZERO).unwrap_err();
            assert_eq!(error.to_string(), "pc is switched off");
        });
    }

    #[test]
    fn a_machine_can_be_switched_on_again_with_other_hardware() {
        with_machine(|machine, folder| {
            machine.power_on().unwrap();
            let image = folder.join("disk");
            crate::images::blank_disk(&image, 1 << 20).unwrap();
            machine.rebuild(|hardware| {
                hardware.disks.push(hardware::Disk::new(&image, "NEW"));
                hardware.boot_first = BootFirst::Disk;
            });
            assert!(!machine.is_on());
            machine.power_on().unwrap();
            machine.wait_for("Booting from Hard Disk", FIRMWARE_TIMEOUT).unwrap();
        });
    }

    #[test]
    fn what_qemu_refuses_is_told_in_its_words() {
        with_machine(|machine, folder| {
            machine.rebuild(|hardware| hardware.disks.push(hardware::Disk::new(&folder.join("none"), "X")));
            let error = machine.power_on().unwrap_err().to_string();
            assert!(error.contains("none': No such file or directory"), "{error}");
        });
    }
}
