//! A classroom: one switch, one appliance, PCs; and the moves of the main job, with their deadlines.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use mimeo_core::ids::SessionId;
use mimeo_server::api::{computers::ComputerSummary, sessions::SessionView};
use tempfile::TempDir;
use thiserror::Error;

use crate::{
    appliance::{Appliance, ApplianceError},
    hardware::Hardware,
    images::{self, ImageError},
    network::{NetworkError, Switch},
    small_disk,
    vm::{Machine, MachineError},
};

/// DHCP by the appliance itself, and machines that nobody knows boot into the client by themselves.
pub const ALONE: &str = "\
[dhcp]
mode = \"full\"
pool = \"192.0.2.50-192.0.2.99\"

[boot]
unknown = \"register\"
menu_timeout_seconds = 3
kernel_options = \"console=tty0 console=ttyS0\"
";

/// From power-on to the client's hello. Seen: 35 s alone, twice that with another PC on the same two cores.
pub const HELLO_WITHIN: Duration = Duration::from_secs(300);
/// A capture or deploy of the reference master.
pub const SESSION_WITHIN: Duration = Duration::from_secs(900);
/// From a restart to the system's own word that it is up.
pub const SYSTEM_WITHIN: Duration = Duration::from_secs(420);

/// What the reference master says on its serial console when it is up (masters/debian-12).
pub const SYSTEM_UP: &str = "MIMEO-DEMO-BOOTED";

const ASK_EVERY: Duration = Duration::from_millis(500);

/// Where disks of several GB may lie: never a memory file system, which `/tmp` often is.
const SCRATCH: &str = "/var/tmp";
/// Followed by the number of the process that made the folder.
const FOLDER_PREFIX: &str = "mimeo-lab-";

#[derive(Debug, Error)]
pub enum ClassroomError {
    #[error(transparent)]
    Appliance(#[from] ApplianceError),
    #[error(transparent)]
    Machine(#[from] MachineError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("a folder for the laboratory: {0}")]
    Folder(std::io::Error),
    #[error("{what} did not happen within {within:?}; {state}")]
    TooLate { what: String, within: Duration, state: String },
    #[error("session {id} ended as {state}: {detail}")]
    Session { id: SessionId, state: String, detail: String },
}

/// Everything that a whole-machine test needs. Fields are dropped in order: the appliance, then the switch, then
/// the files.
pub struct Classroom {
    pub appliance: Appliance,
    pub switch: Switch,
    folder: TempDir,
}

impl Classroom {
    /// A fresh appliance with these settings on a switch of its own.
    pub fn open(label: &str, settings: &str) -> Result<Self, ClassroomError> {
        Self::prepare(label, settings, |_| Ok(()))
    }

    /// As [`Classroom::open`], with an appliance whose folder `prepare` may have filled before it starts.
    pub fn prepare(
        label: &str,
        settings: &str,
        prepare: impl FnOnce(&Path) -> Result<(), ClassroomError>,
    ) -> Result<Self, ClassroomError> {
        sweep();
        let folder = scratch_folder()?;
        let switch = Switch::create(label)?;
        let home = folder.path().join("mimeo");
        std::fs::create_dir(&home).map_err(ClassroomError::Folder)?;
        prepare(&home)?;
        let appliance = Appliance::start(&switch, &home, settings)?;
        Ok(Self { appliance, switch, folder })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A PC that is off.
    pub fn machine(&self, hardware: Hardware) -> Result<Machine<'_>, ClassroomError> {
        let folder = self.folder.path().join(&hardware.name);
        Ok(Machine::new(hardware, &self.switch, &folder)?)
    }

    /// An empty disk.
    pub fn blank_disk(&self, name: &str, size_bytes: u64) -> Result<PathBuf, ClassroomError> {
        let path = self.folder.path().join(name);
        images::blank_disk(&path, size_bytes)?;
        Ok(path)
    }

    /// A disk that holds a reference master.
    pub fn master_disk(&self, name: &str, master: &str) -> Result<PathBuf, ClassroomError> {
        let path = self.folder.path().join(name);
        images::copy_disk(&images::master(master)?, &path)?;
        Ok(path)
    }

    /// Waits until the appliance knows the computer with this SMBIOS serial number.
    pub fn wait_for_computer(&self, serial: &str) -> Result<ComputerSummary, ClassroomError> {
        self.wait(HELLO_WITHIN, &format!("the registration of {serial}"), || {
            let computers = self.appliance.computers()?;
            Ok(computers.into_iter().find(|computer| {
                computer.serial.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(serial))
            }))
        })
    }

    /// Asks for a capture.
    pub fn capture(&self, computer: &str, master: &str) -> Result<SessionView, ClassroomError> {
        let mut sessions: Vec<SessionView> = self.appliance.ask(&["capture", computer, "--name", master])?;
        Ok(sessions.remove(0))
    }

    /// Asks for a deploy.
    pub fn deploy(&self, master: &str, computer: &str) -> Result<SessionView, ClassroomError> {
        let mut sessions: Vec<SessionView> = self.appliance.ask(&["deploy", master, computer, "--yes"])?;
        Ok(sessions.remove(0))
    }

    /// Waits for a session's end; `watch` sees it as it goes on. Any end but success is an error.
    pub fn wait_for_success(
        &self,
        id: SessionId,
        watch: &mut dyn FnMut(&SessionView),
    ) -> Result<SessionView, ClassroomError> {
        let session = self.wait_for_end(id, watch)?;
        match session.state.as_str() {
            "succeeded" => Ok(session),
            state => Err(ClassroomError::Session {
                id,
                state: state.to_owned(),
                detail: format!("{:?}; the server said:\n{}", session.failure, self.appliance.log()),
            }),
        }
    }

    /// Waits for a session's end, however it ends; `watch` sees it as it goes on.
    pub fn wait_for_end(
        &self,
        id: SessionId,
        watch: &mut dyn FnMut(&SessionView),
    ) -> Result<SessionView, ClassroomError> {
        self.wait_for_session(id, "the end", watch, |session| session.ended.is_some())
    }

    /// Waits until a session is as wanted.
    pub fn wait_for_session(
        &self,
        id: SessionId,
        what: &str,
        watch: &mut dyn FnMut(&SessionView),
        wanted: impl Fn(&SessionView) -> bool,
    ) -> Result<SessionView, ClassroomError> {
        self.wait(SESSION_WITHIN, &format!("{what} of session {id}"), || {
            let session = self.appliance.session(id.0)?.session;
            watch(&session);
            Ok(Some(session).filter(&wanted))
        })
    }

    /// Asks until there is an answer; `what` completes the sentence "… did not happen".
    pub fn wait<T>(
        &self,
        within: Duration,
        what: &str,
        mut ask: impl FnMut() -> Result<Option<T>, ClassroomError>,
    ) -> Result<T, ClassroomError> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if Instant::now() > deadline {
                let state = format!("the server said:\n{}", self.appliance.log());
                return Err(ClassroomError::TooLate { what: what.to_owned(), within, state });
            }
            std::thread::sleep(ASK_EVERY);
        }
    }
}

/// A folder with room for disks, whose name tells which program made it.
pub(crate) fn scratch_folder() -> Result<TempDir, ClassroomError> {
    let prefix = format!("{FOLDER_PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(SCRATCH).map_err(ClassroomError::Folder)
}

/// Removes the disks of programs that were killed.
pub fn sweep() {
    remove_folders(|pid| !Path::new("/proc").join(pid.to_string()).exists());
}

/// Removes the disks of this program, for one that is told to end in the middle of its work.
pub fn clear() {
    let own = std::process::id();
    remove_folders(|pid| pid == own);
}

fn remove_folders(of: impl Fn(u32) -> bool) {
    for entry in std::fs::read_dir(SCRATCH).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(FOLDER_PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if pid.is_some_and(&of) {
            small_disk::remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disks_of_a_killed_program_are_swept_and_those_of_a_living_one_stay() {
        let own = scratch_folder().unwrap();
        // Larger than any process has (proc(5), pid_max).
        let dead = Path::new(SCRATCH).join(format!("{FOLDER_PREFIX}4194305-test"));
        std::fs::create_dir_all(&dead).unwrap();
        std::fs::write(dead.join("disk.raw"), "disk").unwrap();
        sweep();
        assert!(!dead.exists());
        assert!(own.path().exists());
    }
}
