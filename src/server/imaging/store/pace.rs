//! How fast work in the background may read and write.

use std::{num::NonZeroU64, time::Duration};

/// A speed that work in the background does not exceed on average.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    bytes_per_second: Option<NonZeroU64>,
}

impl Pace {
    /// As fast as the disk gives: for what a person waits for.
    pub const UNLIMITED: Self = Self { bytes_per_second: None };

    pub const fn new(bytes_per_second: NonZeroU64) -> Self {
        Self { bytes_per_second: Some(bytes_per_second) }
    }

    /// Rests after so many bytes were moved. CANCEL-SAFETY: nothing is lost.
    pub async fn rest(self, bytes: u64) {
        if let Some(rest) = self.rest_after(bytes) {
            tokio::time::sleep(rest).await;
        }
    }

    fn rest_after(self, bytes: u64) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.get());
        Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU64, time::Duration};

    use super::Pace;

    #[test]
    fn the_rest_is_as_long_as_the_bytes_take_at_that_speed() {
        let pace = Pace::new(NonZeroU64::new(4 << 20).expect("not zero"));
        assert_eq!(pace.rest_after(1 << 20), Some(Duration::from_millis(250)));
        assert_eq!(pace.rest_after(u64::MAX).map(|rest| rest.as_secs()), Some(u64::MAX / (4 << 20)));
        assert_eq!(Pace::UNLIMITED.rest_after(1 << 40), None);
    }
}
