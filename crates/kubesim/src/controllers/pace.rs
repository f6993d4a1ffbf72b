//! How often a large set is looked through: a change of one of its thousand pods is no reason to walk
//! all of them a moment after the last walk.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::controller::Key;

/// Up to this size, every change is looked at when it comes.
const SMALL: usize = 100;

/// Remembers when sets were looked through.
#[derive(Debug, Default)]
pub(super) struct Pace(BTreeMap<Key, Instant>);

impl Pace {
    /// How long a walk over a set of this size has to wait; when it need not, it begins now.
    pub(super) fn wait(&mut self, key: &Key, size: usize) -> Option<Duration> {
        if size <= SMALL {
            return None;
        }
        let now = Instant::now();
        let pause = Duration::from_millis(u64::try_from(size).unwrap_or(u64::MAX).min(2000));
        let due = self.0.get(key).map_or(now, |last| *last + pause);
        if due > now {
            return Some(due - now);
        }
        self.0.insert(key.clone(), now);
        None
    }

    /// Forgets a set that is gone.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}
