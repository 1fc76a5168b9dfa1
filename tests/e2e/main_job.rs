//! The main job, once per kind of firmware: a PC's disk becomes a master, another PC gets it and boots from it.

use mimeo_lab::{
    classroom::{ALONE, Classroom},
    hardware::Firmware,
};

use crate::support::{Outcome, alone, capture, deploy_and_boot, source, target};

fn main_job(label: &str, firmware: Firmware) -> Outcome {
    let _alone = alone();
    let classroom = Classroom::open(label, ALONE)?;
    let mut source = source(&classroom, firmware)?;
    capture(&classroom, &mut source, "debian-12")?;
    source.cut_power();
    let mut target = target(&classroom, "target", 2, firmware)?;
    deploy_and_boot(&classroom, &mut target, "debian-12")
}

#[test]
fn main_job_bios() -> Outcome {
    main_job("bios", Firmware::Bios)
}

#[test]
fn main_job_uefi() -> Outcome {
    main_job("uefi", Firmware::Uefi)
}

#[test]
fn main_job_secure_boot() -> Outcome {
    main_job("sb", Firmware::UefiSecureBoot)
}
