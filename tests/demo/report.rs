//! What the demonstration says on the terminal, and the table at its end.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is what this is for")]

use std::{net::SocketAddr, time::Duration};

use mimeo_core::{
    messages::{Language, Phase},
    text::size,
};
use mimeo_lab::classroom::{Classroom, ClassroomError};
use mimeo_server::api::sessions::SessionView;

/// One PC's line.
pub(crate) struct Report {
    name: String,
    did: &'static str,
    boot: Duration,
    /// Every phase that the session went through, in order.
    phases: Vec<(Phase, Duration)>,
    read_bytes: u64,
    sent_bytes: u64,
    received_bytes: u64,
    written_bytes: u64,
    /// From the end of the session to the deployed system's word; `None` for a PC that was only read.
    own_disk: Option<Duration>,
}

impl Report {
    pub(crate) fn new(
        classroom: &Classroom,
        name: &str,
        did: &'static str,
        session: &SessionView,
        boot: Duration,
        own_disk: Option<Duration>,
    ) -> Result<Self, ClassroomError> {
        let details = classroom.appliance.session(session.id.0)?;
        let phases = details.phases.iter().map(|phase| {
            let ended = phase.ended.or(details.session.ended).unwrap_or(phase.began);
            (phase.phase, ended.since(phase.began))
        });
        let progress = details.session.progress;
        Ok(Self {
            name: name.to_owned(),
            did,
            boot,
            phases: phases.collect(),
            read_bytes: progress.read_bytes,
            sent_bytes: progress.sent_bytes,
            received_bytes: progress.received_bytes,
            written_bytes: progress.written_bytes,
            own_disk,
        })
    }
}

/// Where to watch, before the play begins. The appliance's own address is on the isolated switch only.
pub(crate) fn introduce(classroom: &Classroom, window: SocketAddr) {
    println!("Mimeo's demonstration: three virtual PCs on an isolated switch, real firmware, real disks.");
    println!("Watch at https://{window}/ while it plays (the certificate is the appliance's own).");
    let log = classroom.appliance.log();
    if let Some((_, code)) = log.lines().find_map(|line| line.split_once("setup code ")) {
        println!("The first login there sets the administrator's password, with setup code {code}.");
    }
}

/// One line a PC, then what each phase took.
pub(crate) fn print(reports: &[Report]) {
    let seconds = |duration: Duration| format!("{:.0} s", duration.as_secs_f64());
    let bytes = |count| size::bytes(Language::En, count).replace('\u{a0}', " ");
    println!();
    println!(
        "{:6} {:8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  boots",
        "", "", "to client", "read", "sent", "received", "written", "own disk"
    );
    for report in reports {
        println!(
            "{:6} {:8} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10}  {}",
            report.name,
            report.did,
            seconds(report.boot),
            bytes(report.read_bytes),
            bytes(report.sent_bytes),
            bytes(report.received_bytes),
            bytes(report.written_bytes),
            report.own_disk.map_or_else(|| "-".to_owned(), seconds),
            if report.own_disk.is_some() { "yes" } else { "(read only)" },
        );
    }
    println!();
    for report in reports {
        let phases: Vec<_> =
            report.phases.iter().map(|(phase, took)| format!("{phase:?} {}", seconds(*took))).collect();
        println!("{}: {}", report.name, phases.join(", "));
    }
}

pub(crate) fn complain(error: &str) {
    eprintln!("\nThe demonstration failed: {error}");
}
