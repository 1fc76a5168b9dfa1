//! The appliance under test: the real `mimeo` on a host of the switch, and its command line as a person uses it.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use mimeo_server::api::{
    computers::{ComputerSummary, ComputerView},
    masters::MasterView,
    sessions::{SessionDetails, SessionView},
};
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::{
    network::{Host, NetworkError, Switch},
    process::{self, Process, ProcessError},
};

/// Where the appliance stands in the laboratory's network.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Wide enough for a pool of a thousand machines in the benches.
const PREFIX_LENGTH: u8 = 20;

/// How long the server may take from its start to its first answer, on a machine that is busy with virtual PCs.
const START_WITHIN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Error)]
pub enum ApplianceError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("{program} is missing: run `cargo build -p mimeo-server`")]
    NotBuilt { program: PathBuf },
    #[error("the appliance did not answer within {START_WITHIN:?}: {output}")]
    NotStarted { output: String },
    #[error("the appliance ended by itself: {output}")]
    Ended { output: String },
    #[error("`mimeo {command}` answered something else than expected: {source}: {answer}")]
    Answer { command: String, answer: String, source: serde_json::Error },
}

/// An appliance, with its data in a folder that outlasts its process.
pub struct Appliance {
    host: Host,
    folder: PathBuf,
    program: PathBuf,
    /// Behind a lock, so that the server can die while PCs hold on to the classroom that both are in.
    process: Mutex<Option<Process>>,
}

impl Appliance {
    /// Plugs an appliance into the switch and starts it, with the data of an earlier one if the folder has some.
    /// `settings` is added to its configuration; whole sections, but for `[server]` and `[network]`.
    pub fn start(switch: &Switch, folder: &Path, settings: &str) -> Result<Self, ApplianceError> {
        let host = switch.host("mimeo", ADDRESS, PREFIX_LENGTH)?;
        let file = |source| ApplianceError::File { path: folder.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(file)?;
        let artefacts = crate::images::artefacts_folder();
        let config = format!(
            "[server]\ndata_dir = {:?}\nartefacts_dir = {artefacts:?}\n\n[network]\ninterface = \"eth0\"\n\n{settings}\n",
            data_folder(folder),
        );
        std::fs::write(folder.join("mimeo.toml"), config).map_err(file)?;
        let process = Mutex::default();
        let appliance = Self { host, folder: folder.to_owned(), program: program()?, process };
        appliance.switch_on()?;
        Ok(appliance)
    }

    /// Starts the server (again) and waits until it answers.
    pub fn switch_on(&self) -> Result<(), ApplianceError> {
        let mut command = self.host.command(self.program.to_str().unwrap_or("mimeo"));
        command.arg("--config").arg(self.config()).arg("serve").env("RUST_LOG", "info");
        let log = self.folder.join(format!("serve-{}.log", self.starts()));
        let mut running = self.process();
        let process = running.insert(Process::start(&command, &log)?);
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if process.has_ended() {
                return Err(ApplianceError::Ended { output: process.output() });
            }
            let mut ask = Command::new(&self.program);
            ask.arg("--config").arg(self.folder.join("mimeo.toml")).args(["--json", "computers"]);
            if process::run(&mut ask).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ApplianceError::NotStarted { output: process.output() });
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// SIGKILL: the server has no time to put anything in order.
    pub fn kill(&self) {
        *self.process() = None;
    }

    /// Everything that the servers of this folder have printed.
    pub fn log(&self) -> String {
        (0..self.starts())
            .map(|start| self.folder.join(format!("serve-{start}.log")))
            .fold(String::new(), |log, path| {
                log + &String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default())
            })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn data_folder(&self) -> PathBuf {
        data_folder(&self.folder)
    }

    /// Runs `mimeo` with these arguments; what it refuses is an error with its own words.
    pub fn mimeo(&self, arguments: &[&str]) -> Result<String, ApplianceError> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.config()).args(arguments);
        Ok(process::run(&mut command)?)
    }

    /// As [`Appliance::mimeo`], for an answer in JSON.
    pub fn ask<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T, ApplianceError> {
        let answer = self.mimeo(&[&["--json"], arguments].concat())?;
        serde_json::from_str(&answer).map_err(|source| ApplianceError::Answer {
            command: arguments.join(" "),
            answer,
            source,
        })
    }

    pub fn computers(&self) -> Result<Vec<ComputerSummary>, ApplianceError> {
        self.ask(&["computers"])
    }

    pub fn computer(&self, name: &str) -> Result<ComputerView, ApplianceError> {
        self.ask(&["computers", name])
    }

    pub fn masters(&self) -> Result<Vec<MasterView>, ApplianceError> {
        self.ask(&["masters"])
    }

    pub fn sessions(&self) -> Result<Vec<SessionView>, ApplianceError> {
        self.ask(&["sessions"])
    }

    /// One session with the times of its phases.
    pub fn session(&self, id: i64) -> Result<SessionDetails, ApplianceError> {
        self.ask(&["sessions", &id.to_string()])
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // Whoever panicked with the lock left a whole process or none.
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("mimeo.toml")
    }

    /// How many times a server was started here: each has a log of its own.
    fn starts(&self) -> usize {
        let logs = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        logs.filter(|entry| entry.file_name().to_string_lossy().starts_with("serve-")).count()
    }
}

/// Where an appliance in this folder keeps everything.
pub fn data_folder(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// The `mimeo` that was built together with this program: beside it, or one folder up for a test.
pub fn program() -> Result<PathBuf, ApplianceError> {
    let own = std::env::current_exe().unwrap_or_default();
    let folders = own.ancestors().skip(1).take(2);
    let program = folders.map(|folder| folder.join("mimeo")).find(|program| program.is_file());
    program.ok_or_else(|| ApplianceError::NotBuilt { program: own.with_file_name("mimeo") })
}
