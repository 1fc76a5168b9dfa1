//! A disk in memory that can lose power and lie, and remembers everything that was done to it.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use mimeo_core::units::{Extent, SectorSize};
use mimeo_engine::disk::{
    device::{Access, BlockDevice, OpenDeviceError},
    probe::{DiskProbe, FoundDisk},
};

use super::lab::found_disk;

/// What a discard leaves behind here. Neither the old content nor zeros: nobody may rely on either.
const AFTER_DISCARD: u8 = 0xDD;

/// A handle on one disk; its clones show the same disk.
#[derive(Clone)]
pub(super) struct MemoryDisk(Arc<Mutex<State>>);

struct State {
    sector: SectorSize,
    rotational: bool,
    /// What reads see.
    content: Vec<u8>,
    /// What survives a power cut for certain.
    durable: Vec<u8>,
    /// Written since the last sync: whether these survive a power cut is chance.
    pending: Vec<(usize, Vec<u8>)>,
    writes: usize,
    /// The write at which the power goes.
    cut_at_write: Option<usize>,
    has_power: bool,
    /// The sync that this disk fails.
    failing_sync: Option<usize>,
    syncs: usize,
    /// A byte that this disk never writes.
    stuck_at: Option<u64>,
    /// What the disk held at first.
    original: Vec<u8>,
    /// Whether a discard brings back what the disk held at first, as one may.
    discard_restores: bool,
    journal: Vec<Act>,
}

/// What was done to the disk.
enum Act {
    Write(usize, Vec<u8>),
    Sync,
    /// With what it left there.
    Discard(usize, Vec<u8>),
}

impl MemoryDisk {
    pub(super) fn new(content: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(State {
            sector: SectorSize::B512,
            rotational: false,
            durable: content.clone(),
            pending: vec![],
            writes: 0,
            cut_at_write: None,
            has_power: true,
            failing_sync: None,
            syncs: 0,
            stuck_at: None,
            original: content.clone(),
            discard_restores: false,
            journal: vec![],
            content,
        })))
    }

    pub(super) fn with_cut_at_write(self, write: usize) -> Self {
        self.state().cut_at_write = Some(write);
        self
    }

    pub(super) fn with_stuck_byte(self, offset_bytes: u64) -> Self {
        self.state().stuck_at = Some(offset_bytes);
        self
    }

    pub(super) fn with_platters(self) -> Self {
        self.state().rotational = true;
        self
    }

    /// A disk that says at this sync that it could not keep what it was given.
    pub(super) fn with_failing_sync(self, sync: usize) -> Self {
        self.state().failing_sync = Some(sync);
        self
    }

    /// A disk that takes a discard for leave to forget what was written since it was new.
    pub(super) fn with_discard_that_restores(self) -> Self {
        self.state().discard_restores = true;
        self
    }

    pub(super) fn has_power(&self) -> bool {
        self.state().has_power
    }

    pub(super) fn writes(&self) -> usize {
        self.state().writes
    }

    pub(super) fn content(&self) -> Vec<u8> {
        self.state().content.clone()
    }

    /// What the disk holds once the power is back. `survives` says which of the sectors that were not yet flushed
    /// made it: a disk is free to write them in any order.
    pub(super) fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let mut content = state.durable.clone();
        for (start, bytes) in &state.pending {
            for (sector, bytes) in bytes.chunks(512).enumerate() {
                if survives() {
                    content[start + sector * 512..][..bytes.len()].copy_from_slice(bytes);
                }
            }
        }
        content
    }

    /// How many writes, syncs and discards there were.
    pub(super) fn acts(&self) -> usize {
        self.state().journal.len()
    }

    /// What the disk would hold, had the power gone after its first `acts`. `survives` says it sector by sector of
    /// what was written since the last sync; a discard is in force at once.
    pub(super) fn after_cut_behind(&self, acts: usize, mut survives: impl FnMut() -> bool) -> Vec<u8> {
        let state = self.state();
        let journal = &state.journal[..acts];
        let synced = journal.iter().rposition(|act| matches!(act, Act::Sync)).map_or(0, |at| at + 1);
        let mut content = state.original.clone();
        for (index, act) in journal.iter().enumerate() {
            match act {
                Act::Write(start, bytes) => {
                    for (sector, bytes) in bytes.chunks(512).enumerate() {
                        if index < synced || survives() {
                            content[start + sector * 512..][..bytes.len()].copy_from_slice(bytes);
                        }
                    }
                }
                Act::Sync => {}
                Act::Discard(start, left) => content[*start..][..left.len()].copy_from_slice(left),
            }
        }
        content
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

impl BlockDevice for MemoryDisk {
    fn read_exact_at(&self, buffer: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let state = self.state();
        if !state.has_power {
            return Err(no_power());
        }
        let source = state.content.get(offset_bytes as usize..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset_bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if !state.has_power {
            return Err(no_power());
        }
        assert!(offset_bytes.is_multiple_of(state.sector.bytes()), "a write begins inside a sector");
        assert!((bytes.len() as u64).is_multiple_of(state.sector.bytes()), "a write ends inside a sector");
        let start = offset_bytes as usize;
        let mut bytes = bytes.to_vec();
        if let Some(stuck) =
            state.stuck_at.filter(|at| (offset_bytes..offset_bytes + bytes.len() as u64).contains(at))
        {
            bytes[(stuck - offset_bytes) as usize] ^= 1;
        }
        state.content[start..start + bytes.len()].copy_from_slice(&bytes);
        state.journal.push(Act::Write(start, bytes.clone()));
        state.pending.push((start, bytes));
        state.writes += 1;
        if state.cut_at_write == Some(state.writes) {
            state.has_power = false;
            return Err(no_power());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        if !state.has_power {
            return Err(no_power());
        }
        state.syncs += 1;
        if state.failing_sync == Some(state.syncs) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        state.durable = state.content.clone();
        state.pending.clear();
        state.journal.push(Act::Sync);
        Ok(())
    }

    fn discard(&self, extent: Extent) -> io::Result<bool> {
        let mut state = self.state();
        if !state.has_power {
            return Err(no_power());
        }
        let range = extent.start_bytes as usize..extent.end_bytes() as usize;
        let left = if state.discard_restores {
            state.original[range.clone()].to_vec()
        } else {
            vec![AFTER_DISCARD; range.len()]
        };
        state.content[range.clone()].copy_from_slice(&left);
        state.durable[range.clone()].copy_from_slice(&left);
        state.pending.clear();
        state.journal.push(Act::Discard(range.start, left));
        Ok(true)
    }

    fn reread_table(&self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskProbe for MemoryDisk {
    fn disks(&self) -> io::Result<Vec<FoundDisk>> {
        let state = self.state();
        let mut disk = found_disk("memory", "/nowhere", state.content.len() as u64, state.sector);
        disk.facts.rotational = state.rotational;
        Ok(vec![disk])
    }

    fn open(&self, _: &FoundDisk, _: Access) -> Result<Box<dyn BlockDevice>, OpenDeviceError> {
        Ok(Box::new(self.clone()))
    }
}
