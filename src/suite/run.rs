//! Runs checks side by side, each under a deadline of its own, and tells each result as it comes.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use anyhow::Result;
use futures::{FutureExt, StreamExt, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::{Check, Suite, accepted};
use crate::checks::{self, Answer, Native, Target, sandbox};
use crate::record::{CheckResult, Outcome, Phase, What};
use crate::stack::{Accepted, Label};

/// How many checks run at the same time: enough to overlap their waits, few enough to leave a small
/// control plane its processor.
const SIDE_BY_SIDE: usize = 4;

/// Runs the checks of all suites against a cluster, and returns their results in the suites' order.
///
/// A check that fails to judge, panics, exceeds its deadline or is interrupted is an `Abort`. Each
/// result is emitted as soon as it is there; entries of `accepted` without effect are noted at the end.
pub async fn run(
    target: &Target<'_>,
    suites: &[Suite],
    accepted: &[Accepted],
    phase: Phase,
) -> Vec<CheckResult> {
    let today = target.context.now().to_zoned(TimeZone::UTC).date();
    let runner = Runner {
        target,
        natives: checks::all(),
        accepted,
        today,
        phase,
    };
    runner.run(suites).await
}

struct Runner<'a> {
    target: &'a Target<'a>,
    natives: &'a [Native],
    accepted: &'a [Accepted],
    today: Date,
    phase: Phase,
}

/// How the asking ended.
enum End {
    Answered(Result<Answer>),
    Panicked(String),
    Late,
    Interrupted,
}

impl Runner<'_> {
    async fn run(&self, suites: &[Suite]) -> Vec<CheckResult> {
        let checks = suites
            .iter()
            .flat_map(|suite| suite.checks.iter().map(move |check| (&suite.name, check)));
        let mut ended: Vec<(usize, CheckResult, bool)> = stream::iter(checks.enumerate())
            .map(|(index, (suite, check))| async move {
                let (result, orderly) = self.one(suite, check).await;
                (index, result, orderly)
            })
            .buffer_unordered(SIDE_BY_SIDE)
            .collect()
            .await;
        if ended.iter().any(|(_, _, orderly)| !orderly) {
            // What was cut off could not remove what it had created.
            sandbox::sweep(self.target).await;
        }
        ended.sort_by_key(|(index, ..)| *index);
        let results: Vec<_> = ended.into_iter().map(|(_, result, _)| result).collect();
        for note in accepted::notes(self.accepted, &results, self.today) {
            self.target.context.note(note);
        }
        results
    }

    /// One check's result, and whether it came to its own end.
    async fn one(&self, suite: &Label, check: &Check) -> (CheckResult, bool) {
        let context = self.target.context;
        let started = Instant::now();
        let end = match self
            .natives
            .iter()
            .find(|native| *native.name == *check.native)
        {
            Some(native) => self.ask(native, check).await,
            // Suites are validated when they are loaded; one made by hand may still be wrong.
            None => End::Answered(Err(anyhow::anyhow!("there is no check `{}`", check.native))),
        };
        let orderly = matches!(end, End::Answered(_));
        let answer = self.answer(end, started);
        let reason = accepted::reason(self.accepted, &check.id, self.today);
        let result = CheckResult {
            phase: self.phase,
            id: check.id.to_string(),
            title: check.title.clone(),
            suite: suite.to_string(),
            severity: check.severity,
            accepted: reason
                .filter(|_| answer.outcome == Outcome::Fail)
                .map(str::to_owned),
            outcome: answer.outcome,
            message: answer.message,
            evidence: answer.evidence,
            seconds: started.elapsed().as_secs_f64(),
            standard: None,
        };
        context.emit(What::Check(result.clone()));
        (result, orderly)
    }

    async fn ask(&self, native: &Native, check: &Check) -> End {
        let context = self.target.context;
        let timeout = check
            .timeout
            .map_or(native.timeout, |timeout| timeout.get());
        // The call itself may panic, too, so it belongs inside.
        let asking = AssertUnwindSafe(async { (native.run)(self.target).await }).catch_unwind();
        tokio::select! {
            biased;
            () = context.interrupt.raised() => End::Interrupted,
            asked = tokio::time::timeout(context.scaled(timeout), asking) => match asked {
                Ok(Ok(answer)) => End::Answered(answer),
                Ok(Err(panic)) => End::Panicked(panic_message(&*panic)),
                Err(_) => End::Late,
            },
        }
    }

    fn answer(&self, end: End, started: Instant) -> Answer {
        let abort = |message: String| Answer {
            outcome: Outcome::Abort,
            message,
            evidence: Vec::new(),
        };
        match end {
            End::Answered(Ok(answer)) => answer,
            End::Answered(Err(error)) => abort(format!("could not be judged: {error:#}")),
            End::Panicked(message) => abort(format!(
                "could not be judged: the check panicked: {message}"
            )),
            End::Late => abort(format!(
                "could not be judged within {:.0} s",
                started.elapsed().as_secs_f64()
            )),
            End::Interrupted => abort("could not be judged: interrupted".to_owned()),
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests;
