//! How long a round's checks took of their own, apart from waiting for the pods that they start: how fast those
//! come is the cluster's affair.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time during which at least one check did something else than wait for a pod of its own.
#[derive(Debug, Default)]
pub struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How many checks are at work.
    at_work: i32,
    /// Since when there are any.
    since: Option<Instant>,
    /// What was before.
    own: Duration,
}

impl State {
    fn changed(&mut self, by: i32) {
        self.at_work += by;
        match (self.at_work > 0, self.since) {
            (true, None) => self.since = Some(Instant::now()),
            (false, Some(since)) => {
                self.own += since.elapsed();
                self.since = None;
            }
            _ => {}
        }
    }
}

/// For as long as it lives a check is at work, or is not.
#[derive(Debug)]
pub struct Stretch<'p> {
    pace: &'p Pace,
    /// What it was counted as.
    by: i32,
}

impl Pace {
    /// A check is at work.
    #[must_use]
    pub fn work(&self) -> Stretch<'_> {
        self.stretch(1)
    }

    /// A check that is at work waits for its pods.
    #[must_use]
    pub fn wait_for_pods(&self) -> Stretch<'_> {
        self.stretch(-1)
    }

    /// The time so far.
    #[must_use]
    pub fn own(&self) -> Duration {
        let state = self.state();
        state.own + state.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn stretch(&self, by: i32) -> Stretch<'_> {
        self.state().changed(by);
        Stretch { pace: self, by }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stretch<'_> {
    fn drop(&mut self) {
        self.pace.state().changed(-self.by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn time_counts_while_anybody_does_something_else_than_wait_for_pods() {
        let pace = Pace::default();
        let second = || sleep(Duration::from_secs(1));
        second().await;
        let (one, other) = (pace.work(), pace.work());
        second().await;
        let waits = pace.wait_for_pods();
        second().await;
        assert_eq!(pace.own().as_secs(), 2, "the other one is at work");
        let also = pace.wait_for_pods();
        second().await;
        assert_eq!(pace.own().as_secs(), 2);
        drop((waits, one));
        drop(also);
        second().await;
        assert_eq!(pace.own().as_secs(), 3);
        drop(other);
        second().await;
        assert_eq!(pace.own().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_without_being_counted_as_at_work_counts_nothing() {
        let pace = Pace::default();
        let waits = pace.wait_for_pods();
        sleep(Duration::from_secs(1)).await;
        drop(waits);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(pace.own(), Duration::ZERO);
    }
}
