//! What everything that waits or acts in a run is given: the run's id, the recorder, the time
//! scale, and the wish to stop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use tokio::sync::watch;

use crate::record::{Clock, Phase, Recorder, Recording, RunId, What};

/// Somebody asked the run to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// The wish to stop, given by whoever holds it (Ctrl-C, SIGTERM).
#[derive(Clone)]
pub struct Interrupt(watch::Sender<bool>);

impl Default for Interrupt {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Interrupt {
    /// Asks everything that waits to stop.
    pub fn raise(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody asked to stop.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when somebody asks to stop.
    pub async fn raised(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|raised| *raised).await;
    }
}

/// The run's context; clones are the same run.
#[derive(Clone)]
pub struct Context {
    /// The run's id.
    pub run: RunId,
    /// Where events go.
    pub recorder: Recorder,
    /// The wish to stop.
    pub interrupt: Interrupt,
    /// Where what becomes of the clusters' objects goes, when it is wanted.
    pub recording: Option<Recording>,
    /// The day that is judged by, where it is not the clock's own (`--now`).
    pub judged_on: Option<Date>,
    /// The clock that is judged by, where it is not the run's own.
    clock: Option<Clock>,
    scale: f64,
    phase: Arc<Mutex<Phase>>,
    reactions: Arc<Mutex<Vec<f64>>>,
    drawn: Arc<AtomicU64>,
    memory: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Context {
    /// A context for one run. `scale` multiplies every deadline (`--timeout-scale`).
    #[must_use]
    pub fn new(run: RunId, recorder: Recorder, interrupt: Interrupt, scale: f64) -> Self {
        Self {
            run,
            recorder,
            interrupt,
            recording: None,
            clock: None,
            judged_on: None,
            scale,
            phase: Arc::new(Mutex::new(Phase::Preflight)),
            reactions: Arc::default(),
            drawn: Arc::default(),
            memory: Arc::default(),
        }
    }

    /// The same run, but deaf to interruption: for tearing down.
    #[must_use]
    pub fn uninterrupted(&self) -> Self {
        Self {
            interrupt: Interrupt::default(),
            ..self.clone()
        }
    }

    /// The same run, but what ages is judged by another clock: that of a recorded run.
    #[must_use]
    pub fn judging_by(&self, clock: Clock) -> Self {
        Self {
            clock: Some(clock),
            ..self.clone()
        }
    }

    /// A deadline after scaling.
    #[must_use]
    pub fn scaled(&self, deadline: Duration) -> Duration {
        deadline.mul_f64(self.scale)
    }

    /// What has to be given as a deadline to have this much time after scaling.
    #[must_use]
    pub fn unscaled(&self, left: Duration) -> Duration {
        left.div_f64(self.scale)
    }

    /// The time now, by the clock that is judged by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.unwrap_or(self.recorder.clock()).now()
    }

    /// The day (UTC) by which what ages is judged: versions of Kubernetes, acceptances of failures.
    #[must_use]
    pub fn today(&self) -> Date {
        self.judged_on
            .unwrap_or_else(|| self.now().to_zoned(TimeZone::UTC).date())
    }

    /// An id for a name within the run, which no other has.
    #[must_use]
    pub fn fresh_id(&self) -> RunId {
        self.run.derived(self.drawn.fetch_add(1, Ordering::Relaxed))
    }

    /// Keeps something for later in the run: what a check saw before the upgrade, to be compared.
    pub fn remember(&self, name: &'static str, what: Value) {
        lock(&self.memory).insert(name.to_owned(), what);
    }

    /// What was kept under a name.
    #[must_use]
    pub fn remembered(&self, name: &'static str) -> Option<Value> {
        lock(&self.memory).get(name).cloned()
    }

    /// All that was kept.
    #[must_use]
    pub fn memory(&self) -> BTreeMap<String, Value> {
        lock(&self.memory).clone()
    }

    /// Knows what a process that is gone had kept of this run, and draws other ids than that did.
    pub fn goes_on(&self, memory: BTreeMap<String, Value>, events: u64) {
        *lock(&self.memory) = memory;
        // Far from all that were drawn: nobody draws so many.
        self.drawn.fetch_add(events << 16, Ordering::Relaxed);
    }

    /// The phase that the run is in.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    /// Moves the run to a phase; what waits from now on waits in it.
    pub fn enter(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Appends an event.
    pub fn emit(&self, what: What) {
        self.recorder.emit(what);
    }

    /// Appends a line for the reader.
    pub fn note(&self, message: impl Into<String>) {
        self.emit(What::Note {
            message: message.into(),
        });
    }

    /// Appends a fact about the environment.
    pub fn property(&self, name: impl Into<String>, value: impl Into<String>) {
        self.emit(What::Property {
            name: name.into(),
            value: value.into(),
        });
    }

    /// Notes how long the harness took to act on a satisfied wait, in milliseconds.
    pub(super) fn reacted(&self, milliseconds: f64) {
        lock(&self.reactions).push(milliseconds);
    }

    /// Every reaction so far, in milliseconds.
    #[must_use]
    pub fn reactions(&self) -> Vec<f64> {
        lock(&self.reactions).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
