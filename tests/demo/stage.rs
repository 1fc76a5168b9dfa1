//! One PC on the stage: what it does, with its progress bar.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use mimeo_core::{
    messages::Language,
    text::{failure, texts},
};
use mimeo_lab::{
    classroom::{self, Classroom, ClassroomError, SYSTEM_UP, SYSTEM_WITHIN},
    hardware::Hardware,
    network,
    vm::Machine,
};
use mimeo_server::api::{computers::ComputerSummary, sessions::SessionView};

/// A PC and the line of the terminal that tells of it.
pub(crate) struct Actor<'a> {
    classroom: &'a Classroom,
    machine: Machine<'a>,
    bar: ProgressBar,
    boot_took: Duration,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(
        classroom: &'a Classroom,
        bars: &MultiProgress,
        hardware: Hardware,
    ) -> Result<Self, ClassroomError> {
        let style = ProgressStyle::with_template("{prefix:6} {elapsed:>4} [{bar:30}] {msg}");
        let bar = bars.add(ProgressBar::new(1));
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(hardware.name.clone());
        bar.enable_steady_tick(Duration::from_millis(500));
        Ok(Self { classroom, machine: classroom.machine(hardware)?, bar, boot_took: Duration::ZERO })
    }

    /// Presses the power button and waits until the appliance knows the PC.
    pub(crate) fn boot_into_client(&mut self) -> Result<ComputerSummary, ClassroomError> {
        self.say("boots from the network");
        let began = Instant::now();
        self.machine.power_on()?;
        let computer = self.classroom.wait_for_computer(&self.machine.hardware().serial)?;
        self.boot_took = began.elapsed();
        Ok(computer)
    }

    /// Shows a session until it has succeeded.
    pub(crate) fn follow(&mut self, session: &SessionView) -> Result<SessionView, ClassroomError> {
        let bar = self.bar.clone();
        self.classroom.wait_for_success(session.id, &mut |session| {
            if let Some(phase) = session.phase {
                bar.set_length(session.progress.total_bytes.max(1));
                bar.set_position(session.progress.done_bytes);
                bar.set_message(failure::phase(texts(Language::En), phase));
            }
        })
    }

    /// Waits for the deployed system's own word.
    pub(crate) fn boot_own_disk(&mut self) -> Result<(), ClassroomError> {
        self.say("starts from its own disk");
        self.machine.wait_for(SYSTEM_UP, SYSTEM_WITHIN)?;
        Ok(())
    }

    pub(crate) fn leave(&mut self, last_word: &str) {
        self.machine.cut_power();
        self.bar.set_length(1);
        self.bar.set_position(1);
        self.bar.finish_with_message(last_word.to_owned());
    }

    /// From the power button to the client's hello.
    pub(crate) fn boot_took(&self) -> Duration {
        self.boot_took
    }

    fn say(&self, message: &'static str) {
        self.bar.set_length(1);
        self.bar.set_position(0);
        self.bar.set_message(message);
    }
}

/// Ctrl-C ends the virtual PCs and takes the network away before the program goes.
///
/// The processes die with this one (the lab starts them so); namespaces are swept by a short-lived program of the
/// same kind, because this one may be anywhere when the signal comes.
pub(crate) fn end_tidily_when_interrupted() {
    use nix::sys::signal::{SigSet, Signal};
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // Blocked in every thread, so that the one below is the only one that learns of them.
    if signals.thread_block().is_err() {
        return;
    }
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            network::clear();
            classroom::clear();
            std::process::exit(130);
        }
    });
}
