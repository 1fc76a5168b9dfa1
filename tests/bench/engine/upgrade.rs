//! What a second version takes after programs of the master were upgraded, beside the least that a store of 128 KiB blocks
//! can take: those of its blocks that changed, compressed as one stream.

use std::{
    fs::File,
    io::{BufWriter, Read, Write},
    path::Path,
    process::Command,
};

use mimeo_core::chunk::ChunkSize;
use mimeo_lab::process;

use crate::measure::Outcome;

/// Each twentieth file grows by some bytes at its start, as a program does that was built anew: all of it lies elsewhere
/// afterwards, and nothing is where it was. `$1` is where the volume is mounted.
const UPGRADE: &str = "find \"$1\" -type f -size +4k | sort | awk 'NR % 20 == 0' | while read -r file; do \
    { head -c 100 /dev/urandom; cat \"$file\"; } > \"$file.new\" && mv \"$file.new\" \"$file\"; done";

/// Upgrades a volume; `mount` mounts `$1` on `$2`.
pub(super) fn upgrade(volume: &Path, mount: &str) -> Outcome<()> {
    let at = volume.with_extension("mounted");
    std::fs::create_dir(&at)?;
    process::run(Command::new("sh").args(["-c", mount, "mount"]).args([volume, &at]))?;
    let upgraded = process::run(Command::new("sh").args(["-c", UPGRADE, "upgrade"]).arg(&at));
    process::run(Command::new("umount").arg(&at))?;
    std::fs::remove_dir(&at)?;
    upgraded?;
    Ok(())
}

/// The size of the blocks of `after` that `before` does not have at the same place, as `zstd -1` makes them.
pub(super) fn changed_megabytes(before: &Path, after: &Path, scratch: &Path) -> Outcome<f64> {
    let block_bytes = ChunkSize::DEFAULT.bytes() as usize;
    let (mut old, mut new) = (File::open(before)?, File::open(after)?);
    let (mut old_block, mut new_block) = (vec![0; block_bytes], vec![0; block_bytes]);
    let mut changed = BufWriter::new(File::create(scratch)?);
    let mut left = new.metadata()?.len() as usize;
    while left > 0 {
        let length = left.min(block_bytes);
        old.read_exact(&mut old_block[..length])?;
        new.read_exact(&mut new_block[..length])?;
        if old_block[..length] != new_block[..length] {
            changed.write_all(&new_block[..length])?;
        }
        left -= length;
    }
    changed.into_inner()?.sync_all()?;
    let script = "zstd -q -1 -c \"$1\" | wc -c";
    let bytes = process::run(Command::new("sh").args(["-c", script, "count"]).arg(scratch))?;
    std::fs::remove_file(scratch)?;
    Ok(bytes.trim().parse::<f64>()? / 1e6)
}
