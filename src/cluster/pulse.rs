//! Tells when a view last changed.
//!
//! Unlike tokio's watch channel, which spreads those who wait at random, it wakes them in the order in
//! which they began to wait: in virtual time the same seed has to give the same order.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;
use tokio::time::Instant;

/// The part of a pulse that tells.
pub struct Teller {
    /// How often it was told, and when last.
    last: Mutex<(u64, Instant)>,
    notify: Notify,
}

/// The teller; clones tell the same.
#[derive(Clone)]
pub struct Pulse(Arc<Teller>);

/// Somebody who waits for news.
pub struct Changes {
    pulse: Pulse,
    seen: u64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Arc::new(Teller {
            last: Mutex::new((0, Instant::now())),
            notify: Notify::new(),
        }))
    }

    /// The same for who tells; it does not keep the pulse alive.
    pub(super) fn weak(&self) -> Weak<Teller> {
        Arc::downgrade(&self.0)
    }

    /// Listens for what is told from now on.
    pub(super) fn listen(&self) -> Changes {
        Changes {
            seen: self.last().0,
            pulse: self.clone(),
        }
    }

    fn last(&self) -> (u64, Instant) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Teller {
    /// Tells of a change, and when it arrived.
    pub(super) fn tell(&self, arrived: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = (last.0 + 1, arrived);
        drop(last);
        self.notify.notify_waiters();
    }
}

impl Changes {
    /// When the last change arrived; it counts as seen from now on.
    pub fn seen(&mut self) -> Instant {
        let (count, arrived) = self.pulse.last();
        self.seen = count;
        arrived
    }

    /// Waits until there is a change that was not seen, and all that arrives at the same moment.
    pub async fn changed(&self) {
        loop {
            let mut told = std::pin::pin!(self.pulse.0.notify.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            if self.pulse.last().0 != self.seen {
                tokio::task::yield_now().await;
                return;
            }
            told.await;
        }
    }
}
