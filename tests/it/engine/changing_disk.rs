//! A source that somebody writes to while it is captured.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use mimeo_core::units::{Extent, MIB};
use mimeo_engine::disk::{
    device::{Access, BlockDevice, OpenDeviceError},
    probe::{DiskProbe, FoundDisk},
};

use super::memory_disk::MemoryDisk;

/// A disk whose second reading of the same place gives something else.
pub(super) struct ChangingDisk(MemoryDisk, Arc<AtomicU32>);

impl ChangingDisk {
    pub(super) fn new(disk: MemoryDisk) -> Self {
        Self(disk, Arc::default())
    }
}

impl BlockDevice for ChangingDisk {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset_bytes)?;
        // Bulk reads of the ext4's inside only: its structures were read before.
        if buffer.len() >= 128 << 10 && offset_bytes > 4 * MIB {
            buffer[100] = buffer[100].wrapping_add(self.1.fetch_add(1, Ordering::SeqCst) as u8);
        }
        Ok(())
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        panic!("a capture writes")
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn discard(&self, _: Extent) -> io::Result<bool> {
        panic!("a capture discards")
    }

    fn reread_table(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskProbe for ChangingDisk {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        self.0.disks()
    }

    fn open(&self, _: &FoundDisk, _: Access) -> Result<Box<dyn BlockDevice>, OpenDeviceError> {
        Ok(Box::new(Self(self.0.clone(), Arc::clone(&self.1))))
    }
}
