//! What other programs say is in use.

use mimeo_core::{disk::used_blocks::UsedMap, units::Extent};

use super::image::{Image, run};

/// Bytes of `wanted` that `map` does not cover, as extents.
pub(super) fn uncovered(map: &UsedMap, wanted: &[Extent]) -> Vec<Extent> {
    let mut missing = Vec::new();
    for want in wanted {
        let mut at = want.start_bytes;
        let first = map.extents.partition_point(|extent| extent.end_bytes() <= at);
        for extent in &map.extents[first..] {
            if extent.start_bytes >= want.end_bytes() {
                break;
            }
            missing.extend(Extent::between(at, extent.start_bytes).filter(|gap| gap.length_bytes > 0));
            at = extent.end_bytes();
        }
        missing.extend(Extent::between(at, want.end_bytes()).filter(|gap| gap.length_bytes > 0));
    }
    missing
}

/// The bytes that `map` covers and that lie in none of `free`, which is sorted: exactly what it should cover.
pub(super) fn covered_bytes_in(map: &UsedMap, free: &[Extent]) -> u64 {
    let mut bytes = 0;
    for extent in &map.extents {
        let first = free.partition_point(|hole| hole.end_bytes() <= extent.start_bytes);
        for hole in free[first..].iter().take_while(|hole| hole.start_bytes < extent.end_bytes()) {
            bytes += hole.end_bytes().min(extent.end_bytes()) - hole.start_bytes.max(extent.start_bytes);
        }
    }
    bytes
}

/// The extents between the sorted `free` ones, up to `end`.
pub(super) fn complement(free: &[Extent], end: u64) -> Vec<Extent> {
    let mut used = Vec::new();
    let mut at = 0;
    for hole in free.iter().chain([&Extent { start_bytes: end, length_bytes: 0 }]) {
        used.extend(Extent::between(at, hole.start_bytes).filter(|piece| piece.length_bytes > 0));
        at = hole.end_bytes();
    }
    used
}

/// What partclone would copy, by its domain map: lines "position size status", where "+" is used.
pub(super) fn partclone(tool: &str, image: &Image) -> Vec<Extent> {
    let domain = image.directory.path().join("domain");
    let log = image.directory.path().join("partclone.log");
    // It would leave an earlier map in place and call that success.
    let _none_yet = std::fs::remove_file(&domain);
    let (domain, log) = (domain.to_str().expect("UTF-8"), log.to_str().expect("UTF-8"));
    run(tool, &["-D", "-F", "-L", log, "-s", image.str(), "-o", domain]);
    let text = std::fs::read_to_string(domain).expect("the domain map");
    let hexadecimal = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
    let used = text.lines().filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [start, length, "+"] => {
            Some(Extent { start_bytes: hexadecimal(start)?, length_bytes: hexadecimal(length)? })
        }
        _ => None,
    });
    let used: Vec<Extent> = used.collect();
    assert!(!used.is_empty(), "partclone finds nothing in use:\n{text}");
    used
}
