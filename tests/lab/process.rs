//! Programs that live no longer than the value that stands for them.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, Mutex, mpsc},
    time::{Duration, Instant},
};

use thiserror::Error;

/// How often a process is asked whether it has ended: often enough that nobody notices, seldom enough to cost nothing.
const POLL_EVERY: Duration = Duration::from_millis(20);

#[derive(Debug, Error)]
pub enum ProcessError {
    #[error("starting {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("{program} failed ({status}): {output}")]
    Failed { program: String, status: ExitStatus, output: String },
    #[error("{program} still runs after {waited:?}")]
    StillRuns { program: String, waited: Duration },
    #[error("waiting for {program}: {source}")]
    Wait { program: String, source: io::Error },
}

/// A program in the background. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    program: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to the file `log`.
    ///
    /// It also dies when this whole program is killed: the kernel is told so through `setpriv --pdeathsig`.
    pub fn start(command: &Command, log: &Path) -> Result<Process, ProcessError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |source| ProcessError::Start { program: program.clone(), source };
        let output = File::create(log).map_err(failed)?;
        let mut mortal = mortal(command);
        mortal.stdin(Stdio::null());
        mortal.stdout(output.try_clone().map_err(failed)?).stderr(output);
        let child = spawn(mortal).map_err(failed)?;
        Ok(Process { program, child, log: log.to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed so far.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, ProcessError> {
        let deadline = Instant::now() + timeout;
        loop {
            let ended = self.child.try_wait();
            match ended.map_err(|source| ProcessError::Wait { program: self.program.clone(), source })? {
                Some(status) => return Ok(status),
                None if Instant::now() < deadline => std::thread::sleep(POLL_EVERY),
                None => {
                    return Err(ProcessError::StillRuns { program: self.program.clone(), waited: timeout });
                }
            }
        }
    }

    /// SIGKILL, at once: the program has no say.
    pub fn kill(&mut self) {
        // Both fail only when the process has ended already, which is what was wanted.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a short program to its end and returns what it printed. An exit status other than 0 is an error.
pub fn run(command: &mut Command) -> Result<String, ProcessError> {
    let program = format!("{command:?}").replace('"', "");
    let done = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| ProcessError::Start { program: program.clone(), source })?;
    let output = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(output);
    }
    let output = format!("{output}{}", String::from_utf8_lossy(&done.stderr)).trim().to_owned();
    Err(ProcessError::Failed { program, status: done.status, output })
}

/// The same command under `setpriv`, which becomes that command in the same process.
fn mortal(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

/// Forks on a thread that lives as long as this program: the death signal belongs to the *thread* that forked, and a
/// test's thread, or one of tokio's, ends long before the program does.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static FORKER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
        let (orders, incoming) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in incoming {
                // Whoever asked has gone when this fails; the child is dropped, and with it nothing is lost.
                let _sent = reply.send(command.spawn());
            }
        });
        Mutex::new(orders)
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the forking thread has gone");
    FORKER.lock().map_err(|_| gone())?.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(Command::new("sleep").arg("600"), &folder.path().join("log")).unwrap();
        let pid = process.pid();
        assert!(alive(pid));
        drop(process);
        assert!(!alive(pid));
    }

    #[test]
    fn a_process_outlives_the_thread_that_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let thread =
            std::thread::spawn(move || Process::start(Command::new("sleep").arg("600"), &log).unwrap());
        let mut process = thread.join().unwrap();
        assert!(matches!(process.wait(Duration::from_millis(200)), Err(ProcessError::StillRuns { .. })));
    }

    #[test]
    fn the_output_and_the_status_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let command = r"echo out; echo err >&2; exit 3";
        let mut process =
            Process::start(Command::new("sh").args(["-c", command]), &folder.path().join("log")).unwrap();
        assert_eq!(process.wait(Duration::from_secs(10)).unwrap().code(), Some(3));
        assert_eq!(process.output(), "out\nerr\n");
    }

    #[test]
    fn a_failed_run_says_what_the_program_said() {
        let error = run(Command::new("sh").args(["-c", "echo no such bridge >&2; exit 2"])).unwrap_err();
        assert!(error.to_string().ends_with("(exit status: 2): no such bridge"), "{error}");
    }
}
