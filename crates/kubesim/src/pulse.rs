//! Tells of changes by a number that only grows.
//!
//! Unlike tokio's watch channel, which spreads those who wait at random, it wakes them in the order in
//! which they began to wait: the same seed has to give the same order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

#[derive(Debug)]
struct Inner {
    value: AtomicU64,
    notify: Notify,
}

/// The teller; clones tell the same.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<Inner>);

/// Somebody who waits for news.
#[derive(Debug)]
pub struct Listener {
    pulse: Pulse,
    seen: u64,
}

impl Pulse {
    /// A pulse that stands at a number.
    #[must_use]
    pub fn new(value: u64) -> Self {
        Self(Arc::new(Inner {
            value: AtomicU64::new(value),
            notify: Notify::new(),
        }))
    }

    /// Tells a new number.
    pub fn tell(&self, value: u64) {
        self.0.value.store(value, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    /// Listens for what is told from now on.
    #[must_use]
    pub fn listen(&self) -> Listener {
        Listener {
            seen: self.0.value.load(Ordering::Acquire),
            pulse: self.clone(),
        }
    }
}

impl Listener {
    /// Waits until another number has been told than was seen last.
    pub async fn changed(&mut self) {
        let inner = &*self.pulse.0;
        loop {
            let mut told = std::pin::pin!(inner.notify.notified());
            // From here on nothing is missed.
            told.as_mut().enable();
            let value = inner.value.load(Ordering::Acquire);
            if value != self.seen {
                self.seen = value;
                return;
            }
            told.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_of_waiting() {
        let pulse = Pulse::new(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..50 {
            let (mut listener, order) = (pulse.listen(), order.clone());
            waiting.spawn(async move {
                listener.changed().await;
                order.lock().unwrap().push(number);
            });
        }
        tokio::task::yield_now().await;
        pulse.tell(2);
        waiting.join_all().await;
        assert_eq!(*order.lock().unwrap(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn what_was_told_before_waiting_began_is_not_missed() {
        let pulse = Pulse::new(1);
        let mut listener = pulse.listen();
        pulse.tell(2);
        listener.changed().await;
        assert_eq!(listener.seen, 2);
    }
}
