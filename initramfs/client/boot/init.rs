//! PID 1, which must not end: it starts the client as its child, and says so where that dies.
//!
//! When PID 1 ends, by a bad memory access or because the memory ran out, the kernel panics; in front of the machine
//! stands a person who sees registers, or the last picture for ever. So PID 1 is this loop and nothing else. The
//! kernel gives it whose parent is gone as well, so it also waits for children that it does not know.

use std::{fs, io, path::Path, process::Command, thread, time::Duration};

use mimeo_core::{
    causes::causes,
    messages::Language,
    text::{size, texts},
};
use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{WaitStatus, wait},
    },
    unistd::Pid,
};

use super::{
    mounts::{self, MountError},
    power::{Leave, leave},
};
use crate::{console::journal::serial_console, conversation::SHOW_REASON_FOR};

/// After how many seconds a kernel that panics restarts the computer. Debian's would wait for ever (0).
const KERNEL_PANIC_SECONDS: u32 = 60;

/// How the client ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it should.
    Asked(Leave),
    /// With another exit code: a defect.
    Code(i32),
    /// By a signal. The kernel kills with `SIGKILL` what it takes memory from.
    Killed(Signal),
}

/// Why there is no client to wait for.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("starting the client")]
    Start(#[source] io::Error),
    #[error("waiting for the client")]
    Wait(#[source] io::Error),
}

/// The whole of PID 1.
pub fn run() -> ! {
    let reason = match start_client() {
        Ok(Ended::Asked(how)) => leave(how),
        Ok(Ended::Killed(Signal::SIGKILL)) => "SIGKILL: out of memory".to_owned(),
        Ok(Ended::Killed(signal)) => signal.to_string(),
        Ok(Ended::Code(code)) => format!("exit code {code}"),
        Err(error) => causes(&error),
    };
    let picture = last_words(&reason, SHOW_REASON_FOR);
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    for terminal in [Some("/dev/tty1".to_owned()), serial_console(&cmdline)].into_iter().flatten() {
        // Where one of them cannot be written, nobody looks at it.
        let _written = fs::write(Path::new(&terminal), &picture);
    }
    thread::sleep(SHOW_REASON_FOR);
    leave(Leave::Reboot)
}

fn start_client() -> Result<Ended, InitError> {
    mounts::mount_all()?;
    // Where this cannot be set, only the restart after a panic of the kernel is lost.
    let _set = fs::write("/proc/sys/kernel/panic", KERNEL_PANIC_SECONDS.to_string());
    run_child(&mut Command::new("/proc/self/exe"))
}

/// Starts a program and waits until it ends, and for every orphan that ends before it.
fn run_child(command: &mut Command) -> Result<Ended, InitError> {
    let child = command.spawn().map_err(InitError::Start)?;
    // A process id is never beyond what the kernel itself takes for one.
    let child = Pid::from_raw(child.id() as i32);
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => {
                return Ok(Leave::from_exit_code(code).map_or(Ended::Code(code), Ended::Asked));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Ok(Ended::Killed(signal)),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(InitError::Wait(errno.into())),
        }
    }
}

/// What is shown instead of the client's screen. In both languages: nobody is left who knows which is meant.
fn last_words(reason: &str, restart_in: Duration) -> String {
    let time = size::duration(restart_in);
    // "Clear all, go to the top, show the cursor", as every terminal since the VT220 understands it.
    let mut picture = String::from("\x1b[2J\x1b[H\x1b[?25h\r\n");
    for language in [Language::Fr, Language::En] {
        let texts = texts(language);
        let died = texts.say_with("console-died", &[("reason", reason)]);
        let restarts = texts.say_with("console-restarts-in", &[("time", &time)]);
        picture.push_str(&format!("  {died}\r\n  {restarts}\r\n\r\n"));
    }
    picture
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command, time::Duration};

    use nix::sys::{
        prctl::set_child_subreaper,
        signal::Signal,
        wait::{WaitPidFlag, waitpid},
    };

    use super::{Ended, last_words, run_child};
    use crate::boot::power::Leave;

    fn shell(script: &str) -> Ended {
        run_child(Command::new("/bin/sh").args(["-c", script])).expect("a shell")
    }

    /// Waiting for every child would take other tests' children as well, so this one runs alone in a process.
    #[test]
    fn every_end_of_the_client_is_told_apart_and_orphans_are_waited_for() {
        const ALONE: &str = "MIMEO_TEST_ALONE";
        if env::var_os(ALONE).is_none() {
            let name = "boot::init::tests::every_end_of_the_client_is_told_apart_and_orphans_are_waited_for";
            let program = env::current_exe().expect("this test's program");
            let alone =
                Command::new(program).args(["--exact", name]).env(ALONE, "1").output().expect("started");
            let said = String::from_utf8_lossy(&alone.stdout);
            assert!(alone.status.success() && said.contains("1 passed"), "{said}");
            return;
        }
        set_child_subreaper(true).expect("orphans come to this process as they come to PID 1");
        for how in [Leave::Reboot, Leave::PowerOff] {
            assert_eq!(shell(&format!("exit {}", how.exit_code())), Ended::Asked(how));
        }
        assert_eq!(shell("exit 101"), Ended::Code(101));
        assert_eq!(shell("kill -KILL $$"), Ended::Killed(Signal::SIGKILL));
        assert_eq!(shell("kill -SEGV $$"), Ended::Killed(Signal::SIGSEGV));
        // An orphan that ends while the client goes on: the client sees that it is gone for good.
        let script = "orphan=$(sh -c 'sleep 0.1 >/dev/null & echo $!'); \
                      for try in $(seq 200); do kill -0 $orphan 2>/dev/null || exit 10; sleep 0.05; done; exit 1";
        assert_eq!(shell(script), Ended::Asked(Leave::Reboot), "a zombie stayed");
        assert!(waitpid(None, Some(WaitPidFlag::WNOHANG)).is_err(), "a child is left");
    }

    #[test]
    fn the_last_words_say_why_and_what_happens_next_in_both_languages() {
        let picture = last_words("SIGKILL: out of memory", Duration::from_secs(120));
        assert_eq!(picture.matches("SIGKILL: out of memory").count(), 2, "{picture}");
        assert!(picture.contains("redémarre") && picture.contains("restarts"), "{picture}");
        assert!(picture.lines().all(|line| line.chars().count() <= 240), "three lines of 80 columns at most");
    }
}
