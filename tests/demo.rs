//! `make demo`: the main job with virtual PCs under real firmware, in front of you.
//!
//! PC A, whose disk holds a Debian, boots from the network and is captured. PC B (UEFI, Secure Boot on) and PC C (BIOS),
//! both with blank disks, boot from the network, are recognised as new, get the master, and start from their own disks.

#[path = "demo/report.rs"]
mod report;
#[path = "demo/stage.rs"]
mod stage;
#[path = "demo/window.rs"]
mod window;

use std::{process::ExitCode, thread, time::Instant};

use indicatif::MultiProgress;
use mimeo_lab::{
    classroom::{ALONE, Classroom, ClassroomError},
    hardware::{Disk, Firmware, Hardware},
    network,
};
use mimeo_server::api::sessions::SessionView;

use self::{report::Report, stage::Actor};

/// The master's disk has 3 GiB; the blank disks are larger, as they are in life.
const TARGET_BYTES: u64 = 4 << 30;

const MASTER: &str = "debian-12";

/// Where the appliance has its page unless it is told otherwise.
const HTTPS_PORT: u16 = 443;

fn main() -> ExitCode {
    stage::end_tidily_when_interrupted();
    match play() {
        Ok(reports) => {
            report::print(&reports);
            ExitCode::SUCCESS
        }
        Err(error) => {
            report::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn play() -> Result<Vec<Report>, ClassroomError> {
    network::sweep()?;
    let classroom = Classroom::open("demo", ALONE)?;
    let window = window::open(classroom.appliance.host(), HTTPS_PORT).map_err(ClassroomError::Folder)?;
    report::introduce(&classroom, window);
    let bars = MultiProgress::new();
    let captured = capture(&classroom, &bars)?;
    // B and C share the two cores that the smallest machine has; a classroom would not wait for one another either.
    let deployed = thread::scope(|scope| {
        let b = scope.spawn(|| deploy(&classroom, &bars, "PC B", 2, Firmware::UefiSecureBoot));
        let c = scope.spawn(|| deploy(&classroom, &bars, "PC C", 3, Firmware::Bios));
        [b, c].map(|actor| actor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut reports = vec![captured];
    for report in deployed {
        reports.push(report?);
    }
    Ok(reports)
}

fn capture(classroom: &Classroom, bars: &MultiProgress) -> Result<Report, ClassroomError> {
    let image = classroom.master_disk("pc-a.raw", MASTER)?;
    let mut actor = Actor::new(classroom, bars, hardware("PC A", 1, Firmware::UefiSecureBoot, &image))?;
    let computer = actor.boot_into_client()?;
    let session = classroom.capture(&computer.name, MASTER)?;
    let session = actor.follow(&session)?;
    actor.leave("captured; its disk was only read");
    Report::new(classroom, "PC A", "capture", &session, actor.boot_took(), None)
}

fn deploy(
    classroom: &Classroom,
    bars: &MultiProgress,
    name: &str,
    number: u8,
    firmware: Firmware,
) -> Result<Report, ClassroomError> {
    let image = classroom.blank_disk(&format!("{name}.raw"), TARGET_BYTES)?;
    let mut actor = Actor::new(classroom, bars, hardware(name, number, firmware, &image))?;
    let computer = actor.boot_into_client()?;
    let session: SessionView = classroom.deploy(MASTER, &computer.name)?;
    let session = actor.follow(&session)?;
    let began = Instant::now();
    actor.boot_own_disk()?;
    actor.leave("runs the deployed Debian from its own disk");
    Report::new(classroom, name, "deploy", &session, actor.boot_took(), Some(began.elapsed()))
}

fn hardware(name: &str, number: u8, firmware: Firmware, image: &std::path::Path) -> Hardware {
    let disks = vec![Disk::new(image, &format!("DEMO-DISK-{number}"))];
    Hardware { firmware, disks, ..Hardware::new(&name.to_lowercase().replace(' ', "-"), number) }
}
