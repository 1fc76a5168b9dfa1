//! What a line of the bench is: the medians of runs that alternate between Mimeo and its peers.
//!
//! They take turns (Mimeo, peer, Mimeo, peer …) so that a machine that becomes slower or faster meanwhile does so for
//! both.

use std::error::Error;

pub(crate) type Outcome<T> = Result<T, Box<dyn Error>>;

/// Odd, so that the median is a run.
pub(crate) const RUNS: usize = 5;
/// Of what takes a minute.
pub(crate) const RUNS_OF_LONG: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Of 10^6 bytes.
    MegabytesPerSecond,
    AnswersPerSecond,
    Seconds,
    /// Of one processor.
    CpuSeconds,
    /// That are kept: of 10^6 bytes.
    Megabytes,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::MegabytesPerSecond => "MB/s",
            Self::AnswersPerSecond => "answers/s",
            Self::Seconds => "s",
            Self::CpuSeconds => "CPU-s",
            Self::Megabytes => "MB",
        }
    }

    /// Above 1 where ours is better: more of a speed, less of a time or of a size.
    fn ratio(self, ours: f64, peer: f64) -> f64 {
        match self {
            Self::MegabytesPerSecond | Self::AnswersPerSecond => ours / peer,
            Self::Seconds | Self::CpuSeconds | Self::Megabytes => peer / ours,
        }
    }
}

/// One who does the same work. `measure` does it once and gives the figure.
pub(crate) struct Peer<'a> {
    /// What tells its line from those of other peers.
    pub(crate) name: &'static str,
    /// Program, options, and what it does less or more than Mimeo.
    pub(crate) is: String,
    pub(crate) measure: Box<dyn FnMut() -> Outcome<f64> + 'a>,
}

/// Measures `runs` times in turns and prints a line for each peer.
pub(crate) fn compare<'a>(
    name: &str,
    unit: Unit,
    runs: usize,
    mut ours: impl FnMut() -> Outcome<f64> + 'a,
    mut peers: Vec<Peer<'a>>,
) -> Outcome<()> {
    let mut our_figures = Vec::new();
    let mut figures = vec![Vec::new(); peers.len()];
    for run in 1..=runs {
        our_figures.push(ours()?);
        for (peer, figures) in peers.iter_mut().zip(&mut figures) {
            figures.push((peer.measure)()?);
        }
        told(name, unit, run, runs, &our_figures, &peers, &figures);
    }
    for (peer, figures) in peers.iter().zip(figures) {
        print(&format!("{name}.{}", peer.name), unit, median(our_figures.clone()), median(figures), &peer.is);
    }
    Ok(())
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the lines are what the bench is for")]
pub(crate) fn print(name: &str, unit: Unit, ours: f64, peer: f64, peer_is: &str) {
    let (ratio, unit) = (unit.ratio(ours, peer), unit.name());
    println!("bench {name} ours={ours:.1} peer={peer:.1} ratio={ratio:.2} unit={unit} peer_is=\"{peer_is}\"");
}

pub(crate) fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}

#[expect(clippy::print_stderr, reason = "progress, for whoever waits")]
fn told(
    name: &str,
    unit: Unit,
    run: usize,
    runs: usize,
    ours: &[f64],
    peers: &[Peer<'_>],
    figures: &[Vec<f64>],
) {
    let last = |figures: &[f64]| figures.last().copied().unwrap_or_default();
    let mut line = format!("  {name}, {run} of {runs}: mimeo {:.1}", last(ours));
    for (peer, figures) in peers.iter().zip(figures) {
        line += &format!(", {} {:.1}", peer.name, last(figures));
    }
    eprintln!("{line} {}", unit.name());
}

#[cfg(test)]
mod tests {
    use super::{Unit, median};

    #[test]
    fn a_ratio_above_one_is_good_news_whatever_the_unit() {
        assert!(Unit::MegabytesPerSecond.ratio(20.0, 10.0) > 1.0);
        assert!(Unit::AnswersPerSecond.ratio(20.0, 10.0) > 1.0);
        assert!(Unit::Seconds.ratio(10.0, 20.0) > 1.0);
        assert!(Unit::Megabytes.ratio(10.0, 20.0) > 1.0);
        assert!(Unit::Seconds.ratio(20.0, 10.0) < 1.0);
    }

    #[test]
    fn the_median_is_the_middle_one_of_the_runs() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![1.0, 2.0, 8.0, 9.0, 3.0]), 3.0);
    }
}
