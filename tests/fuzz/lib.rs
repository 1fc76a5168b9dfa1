//! Fuzz targets: every parser of foreign bytes, as a function from bytes to nothing that panics where a rule breaks.
//!
//! `main.rs` runs them under libFuzzer (`make fuzz`); `tests/it/fuzz.rs` replays their seeds and what was found before.
//! [`targets`] has one module for each parser or family of parsers. Their seeds are made by code, from real values and
//! real programs. Disks travel as [`sparse`] ones: a few sectors of many, so that most of an input means something.

pub mod memory;
pub mod sparse;
pub mod targets;

use std::path::PathBuf;

/// One parser under test.
pub struct Target {
    /// As `make fuzz CASE=` names it.
    pub name: &'static str,
    /// Whose bytes these are in the field.
    pub whose: &'static str,
    /// Panics where the parser breaks one of its rules.
    pub check: fn(&[u8]),
    /// Inputs to begin with: each is accepted by the parser or almost.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the format that chance would not find.
    pub words: &'static [&'static [u8]],
    /// Longest input that is tried.
    pub input_bytes_max: usize,
    /// Most memory that one input may take at once.
    pub memory_bytes_max: usize,
}

/// Inputs that once broke a rule of a target: files in `regressions/<target>/`, named by what they show.
pub fn regressions(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target.name);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a regression").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}
