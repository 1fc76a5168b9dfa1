//! The disks and what is on them, for the inventory and for the question "what will be erased?".

use std::{
    fs::File,
    io, thread,
    time::{Duration, Instant},
};

use mimeo_core::{
    disk::{Window, filesystem, layout},
    machine::{DiskReport, PartitionReport},
};

use mimeo_engine::disk::probe::{DiskProbe, FoundDisk};

/// How long disks get to appear after their drivers were loaded: a SATA link that trains slowly takes 10 s.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Disks that have not changed in number for this long are all there are.
const SETTLED_AFTER: Duration = Duration::from_secs(2);
/// One look reads a few hundred small files of the kernel's.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Waits until the disks have appeared: drivers look for them on their own after they are loaded, and nothing says
/// that they are done. A machine that shows at least one disk is waited for only until their number is stable.
///
/// `load_drivers` is called now and then: what hangs behind a bus is seen only after the bus's driver has looked.
pub fn settle(probe: &dyn DiskProbe, load_drivers: &mut dyn FnMut()) {
    let started = Instant::now();
    let (mut seen, mut since) = (0, started);
    while started.elapsed() < SETTLE_MAX {
        let count = probe.disks().map_or(0, |disks| disks.len());
        if count != seen {
            (seen, since) = (count, Instant::now());
        } else if count > 0 && since.elapsed() >= SETTLED_AFTER {
            return;
        }
        load_drivers();
        thread::sleep(LOOK_AGAIN_AFTER);
    }
}

/// Every disk of the machine. One that cannot be read is reported without partitions: it may still be a target.
pub fn reports(probe: &dyn DiskProbe) -> io::Result<Vec<DiskReport>> {
    Ok(probe.disks()?.into_iter().map(report).collect())
}

fn report(disk: FoundDisk) -> DiskReport {
    let partitions = partitions(&disk).unwrap_or_else(|reason| {
        tracing::info!(disk = disk.facts.kernel_name, reason, "no partitions seen");
        Vec::new()
    });
    DiskReport { facts: disk.facts, partitions }
}

fn partitions(disk: &FoundDisk) -> Result<Vec<PartitionReport>, String> {
    let device = File::open(&disk.device).map_err(|error| error.to_string())?;
    let layout = layout::read(&device, disk.facts.logical_sector).map_err(|error| error.to_string())?;
    let seen = layout.table.partitions.into_iter().map(|partition| PartitionReport {
        number: partition.number,
        place: partition.place,
        name: partition.name,
        // A partition that cannot be read is shown without its file system; a capture will say why.
        filesystem: filesystem::detect(&Window::new(&device, partition.place)).ok().flatten(),
    });
    Ok(seen.collect())
}
