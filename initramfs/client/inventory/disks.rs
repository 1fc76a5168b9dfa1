//! The disks and what is on them, for the inventory and for the question "what will be erased?".

use std::{fs::File, io};

use mimeo_core::{
    disk::{Window, filesystem, layout},
    machine::{DiskReport, PartitionReport},
};

use crate::disk::probe::{DiskProbe, FoundDisk};

/// Every disk of the machine. One that cannot be read is reported without partitions: it may still be a target.
pub fn reports(probe: &dyn DiskProbe) -> io::Result<Vec<DiskReport>> {
    Ok(probe.disks()?.into_iter().map(report).collect())
}

fn report(disk: FoundDisk) -> DiskReport {
    let partitions = partitions(&disk).unwrap_or_else(|reason| {
        tracing::info!(disk = disk.kernel_name, reason, "no partitions seen");
        Vec::new()
    });
    DiskReport {
        kernel_name: disk.kernel_name,
        model: disk.model,
        serial: disk.serial,
        wwn: disk.wwn,
        size_bytes: disk.size_bytes,
        logical_sector: disk.logical_sector,
        physical_sector: disk.physical_sector,
        removable: disk.removable,
        transport: disk.transport,
        rotational: disk.rotational,
        partitions,
    }
}

fn partitions(disk: &FoundDisk) -> Result<Vec<PartitionReport>, String> {
    let device = File::open(&disk.device).map_err(|error| error.to_string())?;
    let layout = layout::read(&device, disk.logical_sector).map_err(|error| error.to_string())?;
    let seen = layout.table.partitions.into_iter().map(|partition| PartitionReport {
        number: partition.number,
        place: partition.place,
        name: partition.name,
        // A partition that cannot be read is shown without its file system; a capture will say why.
        filesystem: filesystem::detect(&Window::new(&device, partition.place)).ok().flatten(),
    });
    Ok(seen.collect())
}
