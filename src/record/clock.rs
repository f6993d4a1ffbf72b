//! Wall time as a run tells it: what it was at the start, plus what has passed since.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The run's wall clock; copies tell the same time. It never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Timestamp,
    start: Start,
    /// What had passed by then.
    before: Duration,
}

/// By what it is told how much has passed.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// tokio's clock: that of simulated clusters, which stands still while a run is paused.
    Tokio(Instant),
    /// The machine's: real clusters live on while a run is paused.
    Machine(std::time::Instant),
}

impl Clock {
    /// A clock that says `epoch` now, and goes with tokio's.
    #[must_use]
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self {
            epoch,
            start: Start::Tokio(Instant::now()),
            before: Duration::ZERO,
        }
    }

    /// A clock that goes with the machine's.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's time enters"
    )]
    pub fn system() -> Self {
        Self {
            epoch: Timestamp::now(),
            start: Start::Machine(std::time::Instant::now()),
            before: Duration::ZERO,
        }
    }

    /// The clock of a run that began at `epoch` and whose process is gone: it goes on with the machine's, and tells
    /// no moment twice, the last of which was `told` after the beginning.
    #[must_use]
    pub fn resumed(epoch: Timestamp, told: Duration) -> Self {
        let here = Self::system();
        let passed = Duration::try_from(here.epoch.duration_since(epoch)).unwrap_or_default();
        Self {
            epoch,
            start: here.start,
            before: passed.max(told),
        }
    }

    /// A clock that says what the machine's says now, and then goes with that of simulated clusters.
    #[must_use]
    pub fn simulated() -> Self {
        Self::starting_at(Self::system().epoch)
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
        let since = match self.start {
            Start::Tokio(start) => start.elapsed(),
            Start::Machine(start) => start.elapsed(),
        };
        self.before.saturating_add(since)
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
    #[test]
    fn one_that_goes_on_tells_no_moment_twice() {
        let began = Clock::system().now();
        let told = Duration::from_secs(3600);
        let ahead = Clock::resumed(began, told);
        assert!(ahead.elapsed() >= told && ahead.now() >= began);
        let behind = began.saturating_sub(SignedDuration::from_hours(2)).unwrap();
        assert!(Clock::resumed(behind, told).elapsed() >= 2 * told);
    }
}
