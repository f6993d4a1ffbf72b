//! The frame of each phase: its events, its deadline enforced from outside, where it stands still on request, and
//! what is skipped because of it when it ends badly.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep_until, timeout};

use super::pause::{Pauses, Point, Stop};
use super::trouble::Trouble;
use crate::cluster::Context;
use crate::engine::{ENGINE, Engine, EngineError};
use crate::record::{Decision, Finding, Phase, PhaseOutcome, What};

/// What the waits inside a phase need to end by themselves, with their reason, before the phase is
/// cut off from outside.
const GRACE: Duration = Duration::from_secs(10);
/// How long the engine may look for what is behind an error.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the phases of a run one after the other.
pub(super) struct Phases<'a> {
    context: &'a Context,
    /// Who is told which phase begins.
    engine: Option<&'a dyn Engine>,
    pauses: Option<&'a Pauses>,
    next: Cell<usize>,
    ends: Cell<Option<Instant>>,
    /// What failed, and in which phase.
    failed: RefCell<Vec<(Phase, String)>>,
    /// In which phases it stood still after they had begun.
    stood: RefCell<BTreeSet<Phase>>,
    /// Who is told when the run stands still, and when it does not any more.
    onlooker: RefCell<Option<Onlooker>>,
}

/// A phase's result with a line for the reader.
pub(super) type Done<T> = (T, Option<String>);

/// Who is told with `true` that the run stands still, and with `false` that it goes on.
type Onlooker = Box<dyn Fn(bool)>;

/// How an attempt at a phase ended.
enum Attempt<T> {
    Ended(Result<T, Trouble>),
    /// It is to be begun again.
    Again,
}

impl<'a> Phases<'a> {
    pub(super) const fn new(context: &'a Context, engine: Option<&'a dyn Engine>) -> Self {
        Self {
            context,
            engine,
            pauses: None,
            next: Cell::new(0),
            ends: Cell::new(None),
            failed: RefCell::new(Vec::new()),
            stood: RefCell::new(BTreeSet::new()),
            onlooker: RefCell::new(None),
        }
    }

    /// The same with these pauses.
    pub(super) const fn pausing(mut self, pauses: &'a Pauses) -> Self {
        self.pauses = Some(pauses);
        self
    }

    /// The same, but the phases before this one are done.
    pub(super) fn starting_at(self, phase: Phase) -> Self {
        self.next.set(phase as usize);
        self
    }

    /// Gives what follows so much time, where no phase has begun.
    pub(super) fn within(&self, deadline: Duration) {
        self.ends
            .set(Some(Instant::now() + self.context.scaled(deadline)));
    }

    /// Runs one phase, once.
    pub(super) async fn run<T>(
        &self,
        phase: Phase,
        deadline: Duration,
        body: impl Future<Output = Result<Done<T>, Trouble>>,
    ) -> Result<T, Trouble> {
        match self.attempt(phase, deadline, Box::pin(body)).await {
            Attempt::Ended(result) => result,
            // Only who pauses can be asked to.
            Attempt::Again => Err(Trouble::Interrupted),
        }
    }

    /// Runs one phase, with the pauses that were asked for, and again for as long as somebody wants it again.
    pub(super) async fn pausing_run<T>(
        &self,
        phase: Phase,
        deadline: Duration,
        mut body: impl AsyncFnMut() -> Result<Done<T>, Trouble>,
    ) -> Result<T, Trouble> {
        self.stand_before(phase).await?;
        loop {
            self.failed.borrow_mut().retain(|(one, _)| *one != phase);
            let result = match self.attempt(phase, deadline, Box::pin(body())).await {
                Attempt::Again => continue,
                Attempt::Ended(result) => result,
            };
            if let Err(trouble) = &result {
                self.fails(phase, trouble.to_string());
            }
            let here = self.failed.borrow().iter().any(|(one, _)| *one == phase);
            let wanted = !matches!(result, Err(Trouble::Interrupted | Trouble::Aborted(_)));
            if !(here && wanted && self.is_asked(|point| *point == Point::OnFailure)) {
                return result;
            }
            let place = format!("after {phase}, where something failed");
            match self.stand(phase, &place, true).await? {
                Decision::GoesOn => return result,
                Decision::Retries => {}
                Decision::Aborts => return Err(Trouble::Aborted(place)),
                // What was shown stands; what was not can be shown by nobody any more.
                Decision::Expires if result.is_err() || phase == Phase::CheckAfter => {
                    return result;
                }
                Decision::Expires => return Err(self.nobody_came(&place)),
            }
        }
    }

    /// Stands still before a phase, if that was asked for.
    ///
    /// # Errors
    /// When it is not to go on.
    pub(super) async fn stand_before(&self, phase: Phase) -> Result<(), Trouble> {
        if !self.is_asked(|point| *point == Point::Before(phase)) {
            return Ok(());
        }
        let place = format!("before {phase}");
        match self.stand(phase, &place, false).await? {
            Decision::GoesOn | Decision::Retries => Ok(()),
            Decision::Aborts => Err(Trouble::Aborted(place)),
            Decision::Expires => Err(self.nobody_came(&place)),
        }
    }

    /// Lets the engine name what is behind an error that names nothing: a request that failed knows nothing of the
    /// program that was to answer it.
    async fn explain(&self, trouble: &mut Trouble) {
        let (Trouble::Infrastructure(error), None, Some(engine)) =
            (&*trouble, trouble.finding(), self.engine)
        else {
            return;
        };
        let looked = timeout(LOOK, engine.investigate(&[], &[])).await;
        let Ok(Some(mut finding)) = looked else {
            return;
        };
        if finding.object.cluster == ENGINE {
            finding
                .evidence
                .push(format!("what failed of it: {error:#}"));
            *trouble = EngineError::Cause(Box::new(finding)).into();
        }
    }

    /// A body is large, and each function that it is handed on to would hold it twice: so it is in a box.
    async fn attempt<T>(
        &self,
        phase: Phase,
        deadline: Duration,
        body: Pin<Box<impl Future<Output = Result<Done<T>, Trouble>>>>,
    ) -> Attempt<T> {
        let started = Instant::now();
        let scaled = self.context.scaled(deadline);
        let first = self.next.replace(phase as usize + 1) <= phase as usize;
        self.ends.set(Some(started + scaled));
        self.context.enter(phase);
        // What an engine makes of it happens once.
        if let Some(engine) = self.engine.filter(|_| first) {
            engine.entered(phase);
        }
        self.context.emit(What::PhaseStarted {
            phase,
            deadline_s: scaled.as_secs(),
        });
        let body = async {
            timeout(scaled + GRACE, body).await.unwrap_or_else(|_| {
                Err(Trouble::Infrastructure(anyhow!(
                    "{phase} did not end within {:.0} s",
                    scaled.as_secs_f64()
                )))
            })
        };
        let mut ended = self.with_stops(phase, started, body).await;
        // What is torn down is not there any more because of that.
        if phase != Phase::Teardown
            && let Some(Err(trouble)) = &mut ended
        {
            self.explain(trouble).await;
        }
        let (outcome, message) = match &ended {
            None => (
                PhaseOutcome::Aborted,
                Some("it is begun again after a pause".to_owned()),
            ),
            Some(Ok((_, message))) => (PhaseOutcome::Passed, message.clone()),
            Some(Err(trouble @ Trouble::Stack { .. })) => {
                (PhaseOutcome::Failed, Some(trouble.to_string()))
            }
            Some(Err(trouble)) => (PhaseOutcome::Aborted, Some(trouble.to_string())),
        };
        let trouble = ended.as_ref().and_then(|result| result.as_ref().err());
        if let Some(finding) = trouble.and_then(Trouble::finding) {
            self.tell(finding);
        }
        self.context.emit(What::PhaseFinished {
            phase,
            outcome,
            seconds: started.elapsed().as_secs_f64(),
            message,
        });
        match ended {
            None => Attempt::Again,
            Some(result) => Attempt::Ended(result.map(|(value, _)| value)),
        }
    }

    /// A phase's body, held up where somebody wants it held up; none when it is to be begun again.
    async fn with_stops<T>(
        &self,
        phase: Phase,
        started: Instant,
        body: impl Future<Output = Result<Done<T>, Trouble>>,
    ) -> Option<Result<Done<T>, Trouble>> {
        let points = self.pauses.map_or(&[][..], |pauses| &pauses.points);
        let mut stops: Vec<(Instant, Point)> = points
            .iter()
            .filter_map(|point| match point {
                Point::Within(one, after) if *one == phase => Some((started + *after, *point)),
                _ => None,
            })
            .collect();
        stops.sort_by_key(|(at, _)| *at);
        let mut stops = stops.into_iter();
        let mut body = pin!(body);
        while let Some((at, point)) = stops.next() {
            tokio::select! {
                biased;
                result = &mut body => {
                    for (_, missed) in std::iter::once((at, point)).chain(stops) {
                        self.context.note(format!("not paused at {missed}: the phase was over by then"));
                    }
                    return Some(result);
                }
                () = sleep_until(at) => {}
            }
            let place = format!("at {point}");
            match self.stand(phase, &place, true).await {
                Err(trouble) => return Some(Err(trouble)),
                Ok(Decision::GoesOn) => {}
                Ok(Decision::Retries) => return None,
                Ok(Decision::Aborts) => return Some(Err(Trouble::Aborted(place))),
                Ok(Decision::Expires) => return Some(Err(self.nobody_came(&place))),
            }
        }
        Some(body.await)
    }

    fn is_asked(&self, one: impl Fn(&Point) -> bool) -> bool {
        self.pauses
            .is_some_and(|pauses| pauses.points.iter().any(one))
    }

    async fn stand(&self, phase: Phase, place: &str, may_retry: bool) -> Result<Decision, Trouble> {
        let Some(pauses) = self.pauses else {
            return Ok(Decision::GoesOn);
        };
        if self.context.interrupt.is_raised() {
            return Err(Trouble::Interrupted);
        }
        let stop = Stop {
            phase,
            place: place.to_owned(),
            failed: self.failed_so_far(),
            may_retry,
            engine: self.engine,
        };
        let tell = |still| {
            if let Some(onlooker) = &*self.onlooker.borrow() {
                onlooker(still);
            }
        };
        if may_retry {
            self.stood.borrow_mut().insert(phase);
        }
        tell(true);
        let decided = pauses.stand(self.context, stop).await;
        tell(false);
        if self.context.interrupt.is_raised() {
            return Err(Trouble::Interrupted);
        }
        decided.map_err(Trouble::Infrastructure)
    }

    /// Whether it stood still in a phase that had begun.
    pub(super) fn stood_within(&self, phase: Phase) -> bool {
        self.stood.borrow().contains(&phase)
    }

    fn failed_so_far(&self) -> Vec<String> {
        let failed = self.failed.borrow();
        let told = failed.iter();
        told.map(|(phase, what)| format!("{phase}: {what}"))
            .collect()
    }

    fn nobody_came(&self, place: &str) -> Trouble {
        let seconds = self.pauses.map_or(0, |pauses| pauses.at_most.as_secs());
        Trouble::Infrastructure(anyhow!(
            "paused {place}, and nobody let it go on within {seconds} s"
        ))
    }

    /// Notes what failed, for whoever looks at a pause.
    pub(super) fn fails(&self, phase: Phase, what: String) {
        self.failed.borrow_mut().push((phase, what));
    }

    /// From now on it is told with `true` when the run stands still, and with `false` when it goes on.
    pub(super) fn tell_when_standing(&self, onlooker: impl Fn(bool) + 'static) {
        self.onlooker.replace(Some(Box::new(onlooker)));
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
