//! The frame of each phase: its events, its deadline enforced from outside, and what is skipped
//! because of it when it ends badly.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use super::trouble::Trouble;
use crate::cluster::Context;
use crate::engine::Engine;
use crate::record::{Finding, Phase, PhaseOutcome, What};

/// What the waits inside a phase need to end by themselves, with their reason, before the phase is
/// cut off from outside.
const GRACE: Duration = Duration::from_secs(10);

/// Runs the phases of a run one after the other.
pub(super) struct Phases<'a> {
    context: &'a Context,
    /// Who is told which phase begins.
    engine: Option<&'a dyn Engine>,
    next: Cell<usize>,
    ends: Cell<Option<Instant>>,
}

/// A phase's result with a line for the reader.
pub(super) type Done<T> = (T, Option<String>);

impl<'a> Phases<'a> {
    pub(super) const fn new(context: &'a Context, engine: Option<&'a dyn Engine>) -> Self {
        Self {
            context,
            engine,
            next: Cell::new(0),
            ends: Cell::new(None),
        }
    }

    /// Runs one phase.
    pub(super) async fn run<T>(
        &self,
        phase: Phase,
        deadline: Duration,
        body: impl Future<Output = Result<Done<T>, Trouble>>,
    ) -> Result<T, Trouble> {
        let started = Instant::now();
        let scaled = self.context.scaled(deadline);
        self.next.set(phase as usize + 1);
        self.ends.set(Some(started + scaled));
        self.context.enter(phase);
        if let Some(engine) = self.engine {
            engine.entered(phase);
        }
        self.context.emit(What::PhaseStarted {
            phase,
            deadline_s: scaled.as_secs(),
        });
        let result = tokio::time::timeout(scaled + GRACE, body)
            .await
            .unwrap_or_else(|_| {
                Err(Trouble::Infrastructure(anyhow::anyhow!(
                    "{phase} did not end within {:.0} s",
                    scaled.as_secs_f64()
                )))
            });
        let (outcome, message) = match &result {
            Ok((_, message)) => (PhaseOutcome::Passed, message.clone()),
            Err(trouble @ Trouble::Stack { .. }) => {
                (PhaseOutcome::Failed, Some(trouble.to_string()))
            }
            Err(trouble) => (PhaseOutcome::Aborted, Some(trouble.to_string())),
        };
        if let Some(finding) = result.as_ref().err().and_then(Trouble::finding) {
            self.tell(finding);
        }
        self.context.emit(What::PhaseFinished {
            phase,
            outcome,
            seconds: started.elapsed().as_secs_f64(),
            message,
        });
        result.map(|(value, _)| value)
    }

    /// What is left of the running phase, to be given to a wait in it.
    pub(super) fn left(&self) -> Duration {
        let left = self
            .ends
            .get()
            .map(|ends| ends.saturating_duration_since(Instant::now()));
        self.context.unscaled(left.unwrap_or_default())
    }

    /// Tells which of the phases up to the verdict were not started, and because of which.
    pub(super) fn skip_rest(&self) {
        let done = self.next.get();
        let Some(because) = done.checked_sub(1).map(|last| Phase::ALL[last]) else {
            return;
        };
        for phase in Phase::ALL
            .into_iter()
            .skip(done)
            .filter(|phase| *phase < Phase::Verdict)
        {
            self.context.emit(What::PhaseFinished {
                phase,
                outcome: PhaseOutcome::Skipped { because },
                seconds: 0.0,
                message: None,
            });
        }
    }

    fn tell(&self, finding: &Finding) {
        self.context.emit(What::Finding(finding.clone()));
    }
}
