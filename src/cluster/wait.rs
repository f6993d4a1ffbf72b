//! Waiting: a predicate over live views, woken by their changes, with a deadline enforced from
//! outside, and with the reason told while it lasts and when it ends badly.

use std::time::Duration;

use futures::future::{BoxFuture, select_all};
use tokio::time::Instant;

use super::pulse::Changes;
use super::{Context, Interrupted, View, blind};
use crate::record::{Blocker, Finding, Phase, What};

/// What a predicate says about now.
pub enum Progress<T> {
    /// It is so.
    Done(T),
    /// It is not so, because of these; the most telling first.
    Blocked(Vec<Blocker>),
}

impl Progress<()> {
    /// Done when nothing blocks.
    #[must_use]
    pub fn unless(blockers: Vec<Blocker>) -> Self {
        if blockers.is_empty() {
            Self::Done(())
        } else {
            Self::Blocked(blockers)
        }
    }
}

/// Why a wait ended badly.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// The deadline passed.
    #[error(
        "timed out after {seconds:.0} s waiting for {what}{}",
        telling(blockers, blind)
    )]
    Deadline {
        /// What was waited for.
        what: String,
        /// After how long.
        seconds: f64,
        /// What it was blocked by.
        blockers: Vec<Blocker>,
        /// The kinds of the management cluster that could not be watched when it passed: with any of
        /// these it says nothing about what was waited for.
        blind: Vec<Blocker>,
    },
    /// A cause was found that waiting does not mend.
    #[error("{}", .0.message)]
    Cause(Box<Finding>),
    /// Somebody asked to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// The blocker that tells most: who cannot see has nothing to say about the rest.
fn telling(blockers: &[Blocker], blind: &[Blocker]) -> String {
    blind
        .first()
        .or(blockers.first())
        .map(|blocker| format!(": {blocker}"))
        .unwrap_or_default()
}

/// Looks closer at what blocks, from time to time, and ends the wait when it finds a cause that
/// waiting does not mend.
pub trait Investigate: Send + Sync {
    /// Returns a cause when there is one beyond doubt.
    fn investigate<'a>(&'a self, blockers: &'a [Blocker]) -> BoxFuture<'a, Option<Finding>>;

    /// These objects were applied: from now on they are to be there.
    fn applied(&self, _objects: &[serde_json::Value]) {}
}

/// The cluster that the harness itself relies on.
const MANAGEMENT: &str = "management";
/// How often the predicate is asked without any change, and what blocks is looked at closer.
const INVESTIGATE: Duration = Duration::from_secs(5);
/// A wait that is satisfied sooner than this is not worth a line.
const QUIET: Duration = Duration::from_millis(50);

/// Waits until `predicate` says done, and returns what it says.
///
/// It is asked at once, after every change of a view, at least every five seconds, and a last time
/// at the deadline or when a cause was found. The investigator works beside it and is dropped when
/// the wait ends.
///
/// # Errors
/// After `deadline` (scaled by the context), on a cause that `investigator` finds, or when the run is
/// interrupted.
pub async fn wait<T>(
    context: &Context,
    what: &str,
    deadline: Duration,
    views: &[&View],
    investigator: Option<&dyn Investigate>,
    mut predicate: impl FnMut() -> Progress<T>,
) -> Result<T, WaitError> {
    let deadline = context.scaled(deadline);
    let phase = context.phase();
    let started = Instant::now();
    let mut changes = fresh(context, views, started + deadline).await?;
    let mut told: Option<Vec<Blocker>> = None;
    let mut woken_by: Option<Instant> = None;
    let mut by_time = false;
    let mut next_look = started + INVESTIGATE;
    let mut look: Option<BoxFuture<'_, Option<Finding>>> = None;
    let mut cause: Option<Finding> = None;
    let mut late = false;
    let mut telling = Telling {
        context,
        phase,
        what,
        started,
        begun: false,
    };
    let outcome = loop {
        for change in &mut changes {
            let arrived = change.seen();
            woken_by = woken_by.max(Some(arrived).filter(|arrived| *arrived > started));
        }
        let blockers = match predicate() {
            Progress::Done(value) => {
                // What time alone has brought about is no answer to a change.
                let woken_by = woken_by.filter(|_| !by_time);
                break Ok((value, woken_by.map(|arrived| arrived.elapsed())));
            }
            Progress::Blocked(blockers) => blockers,
        };
        if started.elapsed() >= QUIET && told.as_deref().map(essence) != Some(essence(&blockers)) {
            if told.is_none() {
                let deadline_s = deadline.as_secs();
                telling.begin(deadline_s);
            }
            context.emit(What::Blocked {
                phase,
                what: what.to_owned(),
                blockers: blockers.clone(),
            });
            told = Some(blockers.clone());
        }
        if let Some(finding) = cause {
            break Err(WaitError::Cause(Box::new(finding)));
        }
        if late {
            let management = views.iter().filter(|view| view.cluster() == MANAGEMENT);
            break Err(WaitError::Deadline {
                what: what.to_owned(),
                seconds: deadline.as_secs_f64(),
                blockers,
                blind: management.flat_map(|view| blind(view)).collect(),
            });
        }
        let wake = if told.is_none() {
            started + QUIET
        } else {
            next_look
        };
        tokio::select! {
            biased;
            () = context.interrupt.raised() => break Err(WaitError::Interrupted(Interrupted)),
            () = tokio::time::sleep_until(started + deadline) => late = true,
            () = any_change(&changes) => by_time = false,
            found = ended(&mut look) => {
                cause = found;
                look = None;
                next_look = Instant::now() + INVESTIGATE;
            }
            () = tokio::time::sleep_until(wake) => {
                by_time = true;
                if wake == next_look {
                    next_look = Instant::now() + INVESTIGATE;
                    look = look.or_else(|| investigator.map(|investigator| begin(investigator, blockers)));
                }
            }
        }
    };
    match outcome {
        Ok((value, reaction)) => {
            let reaction_ms = reaction.map(|reaction| reaction.as_secs_f64() * 1000.0);
            if let Some(reaction_ms) = reaction_ms {
                context.reacted(reaction_ms);
            }
            telling.end(true, reaction_ms);
            Ok(value)
        }
        // Its end is told as it is when whoever waits is cut off.
        Err(error) => Err(error),
    }
}

/// Tells of a wait, and of its end even when it is cut off from outside.
struct Telling<'a> {
    context: &'a Context,
    phase: Phase,
    what: &'a str,
    started: Instant,
    begun: bool,
}

impl Telling<'_> {
    fn begin(&mut self, deadline_s: u64) {
        self.begun = true;
        self.context.emit(What::WaitStarted {
            phase: self.phase,
            what: self.what.to_owned(),
            deadline_s,
        });
    }

    fn end(&mut self, satisfied: bool, reaction_ms: Option<f64>) {
        if std::mem::take(&mut self.begun) {
            self.context.emit(What::WaitFinished {
                phase: self.phase,
                what: self.what.to_owned(),
                satisfied,
                seconds: self.started.elapsed().as_secs_f64(),
                reaction_ms,
            });
        }
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.end(false, None);
    }
}

/// Starts a closer look, which keeps what it was asked about.
fn begin(investigator: &dyn Investigate, blockers: Vec<Blocker>) -> BoxFuture<'_, Option<Finding>> {
    Box::pin(async move { investigator.investigate(&blockers).await })
}

/// What a closer look found; never resolves while there is none.
async fn ended(look: &mut Option<BoxFuture<'_, Option<Finding>>>) -> Option<Finding> {
    match look {
        Some(look) => look.await,
        None => std::future::pending().await,
    }
}

/// Watches that something stays as it is for `period` (scaled): returns what violates it, or nothing
/// when the period passed in peace.
///
/// # Errors
/// When the run is interrupted.
pub async fn stay(
    context: &Context,
    period: Duration,
    views: &[&View],
    mut violated: impl FnMut() -> Vec<Blocker>,
) -> Result<Vec<Blocker>, Interrupted> {
    let period = context.scaled(period);
    let mut changes = fresh(context, views, Instant::now() + period).await?;
    let until = Instant::now() + period;
    loop {
        for change in &mut changes {
            change.seen();
        }
        let found = violated();
        if !found.is_empty() {
            return Ok(found);
        }
        tokio::select! {
            biased;
            () = context.interrupt.raised() => return Err(Interrupted),
            () = tokio::time::sleep_until(until) => return Ok(violated()),
            () = any_change(&changes) => {}
        }
    }
}

/// Listens to views from when they hold nothing that is old, or from a time on at the latest.
async fn fresh(
    context: &Context,
    views: &[&View],
    until: Instant,
) -> Result<Vec<Changes>, Interrupted> {
    let changes = views.iter().map(|view| view.changes()).collect();
    let fresh = async {
        for view in views {
            view.fresh().await;
        }
    };
    tokio::select! {
        biased;
        () = fresh => Ok(changes),
        () = tokio::time::sleep_until(until) => Ok(changes),
        () = context.interrupt.raised() => Err(Interrupted),
    }
}

/// What makes two reports of blockers different news: ages and counters in messages do not.
fn essence(blockers: &[Blocker]) -> Vec<(&crate::record::ObjectRef, &str, &str)> {
    blockers
        .iter()
        .take(3)
        .map(|blocker| {
            (
                &blocker.object,
                blocker.condition.as_str(),
                blocker.reason.as_str(),
            )
        })
        .collect()
}

async fn any_change(changes: &[Changes]) {
    if changes.is_empty() {
        return std::future::pending().await;
    }
    select_all(changes.iter().map(|change| Box::pin(change.changed()))).await;
}

#[cfg(test)]
mod tests;
