//! When the next packet may go: a bucket of tokens for a channel, and what each channel may take of a network adapter.

use std::time::Duration;

/// How much time's worth of tokens a bucket holds. A sender that the scheduler kept waiting for so long makes good for it;
/// what a longer pause cost is lost, so that no switch gets it all at once.
pub const BURST_TIME: Duration = Duration::from_millis(5);

/// The least a bucket holds, in packets: what the kernel takes in one call (UDP GSO), so that slow channels use it as well.
pub const BURST_LEAST: f64 = 16.0;

/// Tokens, one for each packet.
#[derive(Debug, Clone)]
pub struct Bucket {
    tokens: f64,
    filled_at: Duration,
}

impl Bucket {
    pub fn new(now: Duration) -> Self {
        Self { tokens: 0.0, filled_at: now }
    }

    /// Time passed, at so many packets per second.
    pub fn fill(&mut self, rate: f64, now: Duration) {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        self.filled_at = self.filled_at.max(now);
        let depth = (rate * BURST_TIME.as_secs_f64()).max(BURST_LEAST);
        self.tokens = (self.tokens + rate * passed).min(depth);
    }

    pub fn take(&mut self) -> bool {
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }

    /// The socket took no more: what was saved up is of no use.
    pub fn empty(&mut self) {
        self.tokens = 0.0;
    }

    /// How long until the next token is there.
    pub fn wait(&self, rate: f64) -> Duration {
        Duration::from_secs_f64(((1.0 - self.tokens) / rate.max(1.0)).max(0.0))
    }
}

/// A channel that shares an adapter with others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Its part is by weight; a weight of 0 gets what nobody else wants.
    pub weight: u32,
    /// What it would send at most.
    pub wish: f64,
}

/// What each of the claims gets of `capacity`: by weight, and what one leaves goes to the others. The sum is the capacity
/// or all that is wished for.
pub fn shares(capacity: f64, claims: &[Claim]) -> Vec<f64> {
    let mut shares = vec![0.0; claims.len()];
    let mut open: Vec<usize> = (0..claims.len()).filter(|index| claims[*index].weight > 0).collect();
    let mut left = capacity.max(0.0);
    if open.is_empty() {
        open = (0..claims.len()).collect();
    }
    while !open.is_empty() {
        let weight = |index: usize| f64::from(claims[index].weight.max(1));
        let all: f64 = open.iter().map(|index| weight(*index)).sum();
        let part = |index: usize| left * weight(index) / all;
        let content: Vec<usize> =
            open.iter().copied().filter(|index| claims[*index].wish <= part(*index)).collect();
        if content.is_empty() {
            open.iter().for_each(|index| shares[*index] = part(*index));
            return shares;
        }
        for index in content {
            shares[index] = claims[index].wish.max(0.0);
            left -= shares[index];
            open.retain(|other| *other != index);
        }
        if open.is_empty() {
            open = (0..claims.len())
                .filter(|index| claims[*index].weight == 0 && shares[*index] == 0.0)
                .collect();
            open.retain(|index| claims[*index].wish > 0.0);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn claim(weight: u32, wish: f64) -> Claim {
        Claim { weight, wish }
    }

    #[test]
    fn shares_are_by_weight_and_what_one_leaves_goes_to_the_others() {
        let cases: [(&[Claim], &[f64]); 5] = [
            (&[claim(1, 500.0), claim(1, 500.0)], &[50.0, 50.0]),
            (&[claim(3, 500.0), claim(1, 500.0)], &[75.0, 25.0]),
            (&[claim(3, 20.0), claim(1, 500.0)], &[20.0, 80.0]),
            (&[claim(1, 20.0), claim(0, 500.0)], &[20.0, 80.0]),
            (&[claim(0, 30.0), claim(0, 500.0)], &[30.0, 70.0]),
        ];
        for (claims, expected) in cases {
            assert_eq!(shares(100.0, claims), expected, "{claims:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_that_somebody_wants(
            capacity in 0.0..1000.0_f64,
            claims in vec((0u32..5, 0.0..500.0_f64), 0..8),
        ) {
            let claims: Vec<Claim> = claims.into_iter().map(|(weight, wish)| claim(weight, wish)).collect();
            let shares = shares(capacity, &claims);
            let all: f64 = shares.iter().sum();
            let wished: f64 = claims.iter().map(|claim| claim.wish).sum();
            prop_assert!((all - wished.min(capacity)).abs() < 1e-6, "{} of {} for {}", all, capacity, wished);
            prop_assert!(shares.iter().zip(&claims).all(|(share, claim)| *share <= claim.wish + 1e-9));
        }

        #[test]
        fn a_bucket_gives_no_more_than_its_rate_and_one_burst(
            rate in 1.0..100_000.0_f64,
            steps in vec(0u64..50_000, 1..100),
        ) {
            let mut bucket = Bucket::new(Duration::ZERO);
            let (mut now, mut given) = (Duration::ZERO, 0);
            for step in steps {
                now += Duration::from_micros(step);
                bucket.fill(rate, now);
                while bucket.take() {
                    given += 1;
                }
            }
            let burst = (rate * BURST_TIME.as_secs_f64()).max(BURST_LEAST);
            prop_assert!(f64::from(given) <= rate * now.as_secs_f64() + burst);
        }
    }
}
