//! Who is demoted: whoever does not stand what three quarters of the receivers stand. Nobody is slowed down for its sake.

use std::time::Duration;

use mimeo_core::multicast::control::Demotion;

use super::rate::Round;

/// Loss that repairs for one alone must not cost the others.
pub const OUTLIER_LOSS: f64 = 0.02;
/// It is borne for so long, since a switch that relearns its ports loses for a second or two.
pub const OUTLIER_TIME: Duration = Duration::from_secs(3);

/// Loss after which hardly a block is complete although all its repairs are sent: the receiver gets nothing, whatever is
/// done for it.
pub const HOPELESS_LOSS: f64 = 0.2;
/// Three reports: by then it is no accident.
pub const HOPELESS_TIME: Duration = Duration::from_millis(500);

/// A full room before the disk, in percent, and one with which three quarters keep up.
pub const QUEUE_FULL: u8 = 95;
const QUEUE_TOLERATED: u8 = 50;

/// A link that carries less than this of the channel's rate is too small, which nobody has to try.
const LINK_FITS: f64 = 0.9;

/// Since when a receiver has been worse than the others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watch {
    lossy: Option<Duration>,
    hopeless: Option<Duration>,
    full: Option<Duration>,
}

/// How one receiver fares.
#[derive(Debug, Clone, Copy)]
pub struct Fares {
    /// In its last report, and over about a second.
    pub loss_now: f64,
    pub loss: f64,
    pub queue_percent: u8,
}

impl Watch {
    /// A report came; three quarters fare as `others` says. Why the receiver is to be demoted, if it is.
    pub fn judge(&mut self, fares: Fares, others: Round, now: Duration) -> Option<Demotion> {
        let beyond = |loss: f64, limit: f64| loss > limit && others.loss <= loss / 2.0;
        let full = fares.queue_percent >= QUEUE_FULL && others.queue_percent < QUEUE_TOLERATED;
        let since = |moment: &mut Option<Duration>, is: bool| {
            *moment = is.then(|| moment.unwrap_or(now));
            moment.map_or(Duration::ZERO, |since| now.saturating_sub(since))
        };
        let hopeless = since(&mut self.hopeless, beyond(fares.loss_now, HOPELESS_LOSS));
        let lossy = since(&mut self.lossy, beyond(fares.loss, OUTLIER_LOSS));
        let full = since(&mut self.full, full);
        match () {
            () if hopeless >= HOPELESS_TIME || lossy >= OUTLIER_TIME => Some(Demotion::Loss),
            () if full >= OUTLIER_TIME => Some(Demotion::Disk),
            () => None,
        }
    }

    /// Whether it is watched for its loss. Until that is decided its gaps are not filled at the others' cost.
    pub fn on_probation(&self) -> bool {
        self.lossy.is_some() || self.hopeless.is_some()
    }
}

/// Whether a link of `mbit` carries less than the channel sends, which `others`, three quarters of the links, carry.
pub fn link_is_small(mbit: u32, others: u32) -> bool {
    f64::from(mbit) < f64::from(others) * LINK_FITS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn others(loss: f64, queue_percent: u8) -> Round {
        Round { loss, queue_percent, arriving: None, from: 0 }
    }

    /// The moment in milliseconds at which a receiver that fares so all the time is demoted, if it is within ten seconds.
    fn demoted(loss: f64, queue_percent: u8, others: Round) -> Option<(Demotion, u64)> {
        let mut watch = Watch::default();
        let fares = Fares { loss_now: loss, loss, queue_percent };
        (0..50)
            .map(|n| n * 200)
            .find_map(|ms| watch.judge(fares, others, Duration::from_millis(ms)).map(|why| (why, ms)))
    }

    #[test]
    fn who_fares_worse_than_three_quarters_goes_and_nobody_else() {
        let cases = [
            (0.019, 0, others(0.0, 0), None),
            (0.03, 0, others(0.0, 0), Some((Demotion::Loss, 3000))),
            (0.05, 0, others(0.05, 0), None),
            (0.5, 0, others(0.01, 0), Some((Demotion::Loss, 600))),
            (0.5, 0, others(0.4, 0), None),
            (0.0, 100, others(0.0, 10), Some((Demotion::Disk, 3000))),
            (0.0, 100, others(0.0, 90), None),
        ];
        for (loss, queue, others, expected) in cases {
            assert_eq!(demoted(loss, queue, others), expected, "{loss} {queue} {others:?}");
        }
    }

    #[test]
    fn a_moment_of_luck_begins_the_time_anew() {
        let mut watch = Watch::default();
        let fares = |loss: f64| Fares { loss_now: loss, loss, queue_percent: 0 };
        for ms in (0..10_000).step_by(200) {
            let loss = if ms % 2000 == 0 { 0.0 } else { 0.05 };
            assert_eq!(watch.judge(fares(loss), others(0.0, 0), Duration::from_millis(ms)), None);
        }
        assert!(watch.on_probation());
    }

    #[test]
    fn a_slower_link_is_too_small() {
        assert!(link_is_small(100, 1000) && !link_is_small(1000, 1000) && !link_is_small(1000, 100));
    }
}
