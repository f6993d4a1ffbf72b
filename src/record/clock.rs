//! Wall time as a run tells it: what it was at the start, plus what tokio's clock has passed since.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The run's wall clock; copies tell the same time. It never jumps, and follows virtual time where
/// there is.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Instant,
}

impl Clock {
    /// A clock that says `epoch` now.
    #[must_use]
    pub fn starting_at(epoch: Timestamp) -> Self {
        let start = Instant::now();
        Self { epoch, start }
    }

    /// A clock that goes with the machine's.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's time enters"
    )]
    pub fn system() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// A clock for virtual time: it begins with the year 2026, so that the same seed gives the same
    /// times on any day.
    #[must_use]
    pub fn rehearsed() -> Self {
        Self::starting_at(Timestamp::constant(1_767_225_600, 0))
    }

    /// Since when it runs.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.elapsed()).unwrap_or(SignedDuration::MAX);
        self.epoch.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_goes_with_tokios_time() {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(clock.now().as_second(), 90);
        assert_eq!(clock.elapsed().as_secs(), 90);
    }
}
