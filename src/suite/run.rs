//! Runs checks side by side, each under a deadline of its own, and tells each result as it comes.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use jiff::civil::Date;
use serde_json::Value;
use tokio::time::Instant;

use super::accepted::{Acceptance, Now};
use super::cel::{Memory, only_compares};
use super::exec::Given;
use super::file::{Side, Weight, When};
use super::{Check, Suite};
use crate::checks::scs::conformance::NAMED_CASES;
use crate::checks::{self, Answer, Native, Target, sandbox};
use crate::cluster::{self, Reach, refusal};
use crate::record::{CheckResult, Outcome, Phase, Surroundings, What};

/// How long a check may take that says nothing of it.
const DEADLINE: Duration = Duration::from_secs(120);
/// How much longer than its program an executable's check may take.
const GRACE: Duration = Duration::from_secs(10);
/// The flag that lets nothing be created.
pub const READ_ONLY: &str = "--read-only";
/// How often a check is asked again because the API server was away while it was asked.
const AGAIN: u32 = 2;
/// How many checks run at the same time: enough to overlap their waits, few enough to leave a small
/// control plane its processor.
const SIDE_BY_SIDE: usize = 4;

/// What is asked, and what it is asked with.
#[derive(Clone, Copy)]
pub struct Round<'a> {
    /// The suites.
    pub suites: &'a [Suite],
    /// Failures that are accepted.
    pub accepted: Acceptance<'a>,
    /// Before or after the upgrade.
    pub phase: Phase,
    /// Where the clusters come from.
    pub place: &'a Place,
    /// What was seen in the round before.
    pub memory: &'a Memory,
}

/// Where the clusters come from.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The engine's name.
    pub engine: String,
    /// The infrastructure provider, and what else answers depend on.
    pub surroundings: Surroundings,
    /// A kubeconfig file of the workload cluster, where there is one.
    pub kubeconfig: Option<PathBuf>,
    /// Nothing may be created there: what does so is skipped.
    pub read_only: bool,
}

/// Runs the checks of all suites against a cluster, and returns their results in the suites' order.
///
/// A check that does not pass while the API server is away for a moment is asked again: it has judged that,
/// and not the cluster.
///
/// A check that fails to judge, panics, exceeds its deadline or is interrupted is an `Abort`. Each
/// result is emitted as soon as it is there; acceptances without effect are noted at the end.
pub async fn run(target: &Target<'_>, round: Round<'_>) -> Vec<CheckResult> {
    let today = target.context.today();
    let reach = Reach::default();
    let workload = reach.patient(target.workload);
    let target = Target {
        workload: &workload,
        ..*target
    };
    let runner = Runner {
        target: &target,
        reach: &reach,
        natives: checks::all(),
        round,
        today,
    };
    runner.run(round.suites).await
}

/// How long the heavy checks of suites may take, which are asked one after the other.
#[must_use]
pub fn heavy(suites: &[Suite]) -> Duration {
    let checks = suites.iter().flat_map(|suite| &suite.checks);
    let heavy = checks.filter(|check| check.weight == Weight::Heavy);
    heavy
        .map(|check| {
            let mut natives = checks::all().iter();
            let native = natives.find(|native| Some(native.name) == check.native.as_deref());
            let own = native.map_or(DEADLINE, |native| native.timeout);
            let once = check.timeout.map_or(own, |timeout| timeout.get());
            once * (u32::from(check.retries) + 1)
        })
        .sum()
}

struct Runner<'a> {
    target: &'a Target<'a>,
    /// How well the workload cluster is reached.
    reach: &'a Reach,
    natives: &'a [Native],
    round: Round<'a>,
    today: Date,
}

/// How the asking ended.
enum End {
    Answered(Result<Answer>),
    Panicked(String),
    Late,
    Interrupted,
}

impl End {
    /// Whether it may say something of an absence rather than of what was asked.
    fn may_be_disturbed(&self) -> bool {
        match self {
            Self::Answered(Ok(answer)) => matches!(answer.outcome, Outcome::Fail | Outcome::Abort),
            Self::Answered(Err(_)) | Self::Late => true,
            Self::Panicked(_) | Self::Interrupted => false,
        }
    }
}

impl Runner<'_> {
    async fn run(&self, suites: &[Suite]) -> Vec<CheckResult> {
        let checks = suites
            .iter()
            .flat_map(|suite| suite.checks.iter().map(move |check| (suite, check)));
        // Heavy ones come last, each alone: what they do to the cluster would fail the others.
        let (heavy, light): (Vec<_>, Vec<_>) = checks
            .enumerate()
            .partition(|(_, (_, check))| check.weight == Weight::Heavy);
        let asked = |(index, (suite, check))| async move { (index, self.one(suite, check).await) };
        // Who waits for pods keeps nobody else waiting, and pods of all checks start at the same time.
        let (pods, light): (Vec<_>, Vec<_>) = light
            .into_iter()
            .partition(|(_, (_, check))| self.creates(check).is_some());
        let side_by_side = |checks| {
            stream::iter(checks)
                .map(asked)
                .buffer_unordered(SIDE_BY_SIDE)
        };
        let light = stream::select(side_by_side(pods), side_by_side(light));
        let heavy = stream::iter(heavy).then(asked);
        let mut ended: Vec<(usize, CheckResult)> = light.chain(heavy).collect().await;
        // What was cut off could not remove what it had created.
        sandbox::sweep(self.target).await;
        ended.sort_by_key(|(index, _)| *index);
        let results: Vec<_> = ended.into_iter().map(|(_, result)| result).collect();
        let cases = self.target.context.remembered(NAMED_CASES);
        let cases: Vec<String> = cases
            .and_then(|cases| serde_json::from_value(cases).ok())
            .unwrap_or_default();
        let now = Now {
            today: self.today,
            kubernetes: self.target.kubernetes,
            from: self.target.upgraded_from,
            phase: self.round.phase,
            alone: self.round.memory.is_unasked(),
        };
        for note in self.round.accepted.notes(&results, now, &cases) {
            self.target.context.note(note);
        }
        results
    }

    /// One check's result.
    async fn one(&self, suite: &Suite, check: &Check) -> CheckResult {
        let context = self.target.context;
        let started = Instant::now();
        let why_not = self.why_not(check);
        // What only compares is meant for the side after the upgrade.
        let compares = check.cel.as_ref().is_some_and(only_compares);
        let excluded = why_not.is_some() || compares && self.round.phase < Phase::Upgrade;
        let answer = match why_not {
            Some(why) => skip(why),
            None => {
                let _at_work = self.target.shared.pace.work();
                self.attempts(suite, check).await
            }
        };
        let mut result = CheckResult {
            phase: self.round.phase,
            id: check.id.to_string(),
            title: check.title.clone(),
            suite: suite.name.to_string(),
            severity: check.severity,
            accepted: None,
            outcome: answer.outcome,
            message: answer.message,
            evidence: answer.evidence,
            seconds: started.elapsed().as_secs_f64(),
            standard: check.standard.clone(),
            excluded,
            surroundings: self.round.place.surroundings.clone(),
        };
        if result.outcome == Outcome::Fail {
            let accepted = self.round.accepted;
            result.accepted = accepted.reason(&result, self.today, self.target.kubernetes);
        }
        context.emit(What::Check(result.clone()));
        result
    }

    /// Why a check is not meant for this cluster or this side of the upgrade; none when it is.
    fn why_not(&self, check: &Check) -> Option<String> {
        let When {
            engine,
            provider,
            kubernetes,
            phase,
        } = &check.when;
        let place = self.round.place;
        for (what, wanted, is) in [
            ("engine", engine, &place.engine),
            ("provider", provider, &place.surroundings.provider),
        ] {
            if !wanted.is_empty() && !wanted.iter().any(|one| **one == **is) {
                let wanted: Vec<&str> = wanted.iter().map(|one| &**one).collect();
                let wanted = wanted.join(", ");
                return Some(format!("asked only with {what} {wanted}; this is {is}"));
            }
        }
        let is = self.target.kubernetes;
        if let Some(range) = kubernetes
            && !is.parse().is_ok_and(|version| range.contains(version))
        {
            return Some(format!("asked only of Kubernetes {range}; this is {is}"));
        }
        match (phase, self.round.phase < Phase::Upgrade) {
            (Some(Side::Before), false) => Some("asked only before the upgrade".to_owned()),
            (Some(Side::After), true) => Some("asked only after the upgrade".to_owned()),
            _ => self.why_not_read_only(check),
        }
    }

    /// Why a check is not for who may only read.
    fn why_not_read_only(&self, check: &Check) -> Option<String> {
        let does = self.creates(check).filter(|_| self.round.place.read_only);
        does.map(|does| format!("{does}; {READ_ONLY}"))
    }

    /// What a check creates, in few words; none when it reads only.
    fn creates(&self, check: &Check) -> Option<&'static str> {
        match &check.exec {
            Some(_) => Some("is a program that may create something"),
            None => self.native(check).and_then(Native::creates),
        }
    }

    fn native(&self, check: &Check) -> Option<&Native> {
        let name = check.native.as_deref()?;
        self.natives.iter().find(|native| native.name == name)
    }

    /// Asks until it passes, at most as often as the check says.
    async fn attempts(&self, suite: &Suite, check: &Check) -> Answer {
        let most = u32::from(check.retries) + 1;
        let mut first: Option<Answer> = None;
        for attempt in 1.. {
            let started = Instant::now();
            let end = self.ask_undisturbed(suite, check).await;
            let stopped = matches!(end, End::Interrupted);
            let answer = self.answer(end, started);
            let passed = answer.outcome == Outcome::Pass;
            if let Some(first) = first.filter(|_| passed) {
                return flaky(attempt, most, answer, first);
            }
            let again = matches!(answer.outcome, Outcome::Fail | Outcome::Abort);
            if !again || stopped || attempt == most {
                return answer;
            }
            first = Some(answer);
        }
        unreachable!("the loop ends at the last attempt")
    }

    /// Asks, and again where the API server was away meanwhile: who is judged then is not the cluster.
    async fn ask_undisturbed(&self, suite: &Suite, check: &Check) -> End {
        for _ in 0..AGAIN {
            let started = Instant::now();
            let end = self.ask(suite, check).await;
            if !end.may_be_disturbed() || !self.reach.was_lost_since(started) {
                return end;
            }
            self.target.context.note(format!(
                "{} is asked again: the cluster's API server or an admission webhook did not answer for a while",
                check.id
            ));
        }
        self.ask(suite, check).await
    }

    async fn ask(&self, suite: &Suite, check: &Check) -> End {
        let context = self.target.context;
        let (timeout, asking) = match self.question(suite, check) {
            Ok(question) => question,
            Err(answer) => return End::Answered(answer),
        };
        // The call itself may panic, too, so it belongs inside.
        let asking = AssertUnwindSafe(asking).catch_unwind();
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

    /// How long the asking may take, and the asking; or the answer, where nothing has to be asked.
    fn question<'q>(
        &'q self,
        suite: &'q Suite,
        check: &'q Check,
    ) -> Result<(Duration, BoxFuture<'q, Result<Answer>>), Result<Answer>> {
        let set = check.timeout.map(|timeout| timeout.get());
        if let Some(cel) = &check.cel {
            let (phase, memory) = (self.round.phase, self.round.memory);
            let asking = super::cel::run(self.target, &check.id, cel, phase, memory);
            return Ok((set.unwrap_or(DEADLINE), Box::pin(asking)));
        }
        if let Some(exec) = &check.exec {
            let time = self.target.context.scaled(set.unwrap_or(DEADLINE));
            let Some(kubeconfig) = &self.round.place.kubeconfig else {
                let engine = &self.round.place.engine;
                return Err(Ok(skip(format!(
                    "an executable needs a kubeconfig file, and the engine {engine} has none"
                ))));
            };
            let Some(folder) = &suite.folder else {
                return Err(Err(anyhow!("the suite has no folder with executables")));
            };
            let asking = async move {
                let given = Given {
                    id: &check.id,
                    folder,
                    kubeconfig,
                    time,
                };
                super::exec::run(exec, &given).await
            };
            // It ends what it runs by itself; the deadline from outside is for what cannot be ended.
            let patience = set.unwrap_or(DEADLINE) + GRACE;
            return Ok((patience, Box::pin(asking)));
        }
        // Suites are validated when they are loaded; one made by hand may still be wrong.
        let name = check.native.as_deref().unwrap_or_default();
        let native = self.native(check);
        let native = native.ok_or_else(|| Err(anyhow!("there is no check `{name}`")))?;
        let timeout = set.unwrap_or(native.timeout);
        let asking = async move {
            let parameters = Value::Object(check.parameters.clone());
            let target = Target {
                parameters: &parameters,
                ..*self.target
            };
            (native.run)(&target).await
        };
        Ok((timeout, Box::pin(asking)))
    }

    fn answer(&self, end: End, started: Instant) -> Answer {
        let abort = |message: String| Answer {
            outcome: Outcome::Abort,
            message,
            evidence: Vec::new(),
        };
        match end {
            End::Answered(Ok(answer)) => answer,
            End::Answered(Err(error)) if is_refused_by_webhook(&error) => Answer {
                outcome: Outcome::Fail,
                message: format!("the cluster takes no objects: {}", told(&error)),
                evidence: Vec::new(),
            },
            End::Answered(Err(error)) => {
                let told = told(&error);
                abort(match refusal(&error) {
                    Some(refusal) => format!("could not be judged: {refusal}: {told}"),
                    None => format!("could not be judged: {told}"),
                })
            }
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

/// Whether nothing can be asked because an admission webhook does not answer: that is the cluster's own
/// failure, which its users meet as well.
fn is_refused_by_webhook(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref());
    causes.any(cluster::is_webhook_away)
}

/// An error and its causes on one line, API errors in the server's words alone.
fn told(error: &anyhow::Error) -> String {
    let mut told = Vec::new();
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref() {
            told.push(cluster::told(error));
            break;
        }
        told.push(cause.to_string());
    }
    // Some errors repeat their cause in their own text.
    told.dedup_by(|cause, whole| whole.contains(cause.as_str()));
    told.join(": ")
}

fn skip(message: String) -> Answer {
    Answer {
        outcome: Outcome::Skip,
        message,
        evidence: Vec::new(),
    }
}

/// A pass that took more than one asking, with what was said before.
fn flaky(attempt: u32, most: u32, passed: Answer, before: Answer) -> Answer {
    let mut evidence = vec![format!("before: {} {}", before.outcome, before.message)];
    evidence.extend(before.evidence);
    Answer {
        outcome: Outcome::Flaky,
        message: format!(
            "passed at attempt {attempt} of {most}; before: {}, {}",
            before.outcome, before.message
        ),
        evidence: [evidence, passed.evidence].concat(),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}

#[cfg(test)]
mod tests;
