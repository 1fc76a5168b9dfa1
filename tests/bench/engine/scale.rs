//! How time and memory grow with the disk: sparse volumes of ext4 up to 2 TiB, with nothing in them but their own tables.

use std::{fs, path::Path, process::Command};

use mimeo_lab::{appliance, images, process};

use super::cost::{Cache, cost};
use crate::measure::Outcome;

const SIZES_GIB: [u64; 4] = [64, 256, 1024, 2048];

/// Prints a line for each size. There is no peer: what counts is that the last line is the first one times 32, and that
/// the memory does not grow.
#[expect(clippy::print_stdout, reason = "the lines are what the bench is for")]
pub(super) fn run() -> Outcome<()> {
    for gib in SIZES_GIB {
        let folder = tempfile::tempdir()?;
        let [volume, library, target] = ["volume", "library", "target"].map(|name| folder.path().join(name));
        images::blank_disk(&volume, gib << 30)?;
        process::run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&volume))?;
        let mimeo = appliance::program()?;
        let image = |arguments: &[&str], path: &Path| {
            let (path, library) = (path.display().to_string(), library.display().to_string());
            let all = [&["image"], arguments, &[&path, "--store", &library]].concat();
            cost(&mimeo, &all, Cache::Cold)
        };
        let capture = image(&["capture", "--name", "bench"], &volume)?;
        let restore = image(&["restore", "bench"], &target)?;
        println!(
            "curve engine.scale gib={gib} capture_s={:.1} capture_peak_mb={:.0} restore_s={:.1} restore_peak_mb={:.0}",
            capture.seconds, capture.peak_megabytes, restore.seconds, restore.peak_megabytes
        );
        fs::remove_file(&target)?;
    }
    Ok(())
}
