//! The fuzz targets without a fuzzer: their seeds, and every input that once broke a rule. `make fuzz` looks for more.

use std::{
    panic::{self, AssertUnwindSafe},
    time::{Duration, Instant},
};

use mimeo_fuzz::{regressions, targets};

/// No input that is remembered takes a tenth of this.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);

#[test]
fn seeds_break_no_rule() {
    for target in &targets::ALL {
        let seeds = (target.seeds)();
        assert!(!seeds.is_empty(), "{}", target.name);
        for (number, seed) in seeds.iter().enumerate() {
            assert!(
                seed.len() <= target.input_bytes_max,
                "{} seed {number}: {} bytes",
                target.name,
                seed.len()
            );
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.check)(seed)));
            assert!(outcome.is_ok(), "{} fails on its seed {number}", target.name);
        }
    }
}

#[test]
fn what_was_found_once_stays_mended() {
    for target in &targets::ALL {
        for (path, bytes) in regressions(target) {
            let began = Instant::now();
            let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.check)(&bytes)));
            assert!(outcome.is_ok(), "{} fails on {}", target.name, path.display());
            let took = began.elapsed();
            assert!(took < INPUT_TIME_MAX, "{} takes {took:?} over {}", target.name, path.display());
        }
    }
}
