//! `summary.json`: the run in one typed object, for programs that read no stream.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overview::{Overview, State};
use crate::record::{
    self, Change, CheckResult, Counts, Event, Finding, Outcome, Phase, Rehearsal, ReleaseRef,
    Severity, Standard, Usage, Verdict, What,
};

/// How many of the longest waits are told.
const WAITS: usize = 20;

/// A run, as far as its stream goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Summary {
    /// Version of this format: 1. Within a version, fields are only added.
    pub format: u32,
    /// The run's id, a label of everything that it created.
    pub run: String,
    /// Version of stackgate.
    pub version: String,
    /// When the run started, RFC 3339.
    pub started: String,
    /// The command line.
    pub command: Vec<String>,
    /// Name of the stack under test.
    pub stack: String,
    /// Release N.
    pub from: ReleaseRef,
    /// Release N+1.
    pub to: ReleaseRef,
    /// Where clusters came from.
    pub engine: String,
    /// How releases got in.
    pub delivery: String,
    /// Set when the clusters were simulated: then this is no gate on real ones.
    pub rehearsal: Option<Rehearsal>,
    /// The verdict; absent when the run ended without one.
    pub verdict: Option<Verdict>,
    /// One sentence: the first cause, or what was shown.
    pub reason: String,
    /// The process's exit code; absent when it was killed.
    pub exit_code: Option<u8>,
    /// The run's duration in seconds; absent when it was killed.
    pub seconds: Option<f64>,
    /// Causes with a name, in the order in which they were found.
    pub findings: Vec<Finding>,
    /// The comparison in numbers.
    pub counts: Counts,
    /// Every phase, in order.
    pub phases: Vec<PhaseSummary>,
    /// Every check, in the order in which it was first run.
    pub checks: Vec<CheckSummary>,
    /// The longest waits, longest first.
    pub waits: Vec<WaitSummary>,
    /// What the run cost stackgate itself; absent when it was killed.
    pub usage: Option<Usage>,
    /// Facts about the environment, by name.
    pub properties: serde_json::Map<String, serde_json::Value>,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PhaseSummary {
    /// Which.
    pub phase: Phase,
    /// How it ended.
    pub outcome: PhaseState,
    /// The phase because of which it was skipped.
    pub because: Option<Phase>,
    /// Its duration in seconds.
    pub seconds: f64,
    /// After how many seconds it would have been given up; absent where it has no deadline of its own.
    pub deadline_seconds: Option<u64>,
    /// Its line for the reader.
    pub message: Option<String>,
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PhaseState {
    /// It did what it is for.
    Passed,
    /// The stack under test failed here.
    Failed,
    /// It could not be carried out, for a reason that says nothing about the stack.
    Aborted,
    /// It was not started, because of an earlier one.
    Skipped,
    /// It started, and the run ended in it.
    Unfinished,
    /// The run ended before it.
    NotReached,
}

/// One check, before and after the upgrade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CheckSummary {
    /// Its stable id.
    pub id: String,
    /// What is asked.
    pub title: String,
    /// The suite that it comes from.
    pub suite: String,
    /// With which force it is asked.
    pub severity: Severity,
    /// The answer before the upgrade.
    pub before: Option<AnswerSummary>,
    /// The answer after the upgrade.
    pub after: Option<AnswerSummary>,
    /// What the two mean together; absent when the run ended before they were compared.
    pub change: Option<Change>,
    /// Why a failure of it is accepted.
    pub accepted: Option<String>,
    /// The standard that demands it.
    #[serde(default)]
    pub standard: Option<Standard>,
}

/// One answer of a check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AnswerSummary {
    /// The answer.
    pub outcome: Outcome,
    /// Why it is so.
    pub message: String,
    /// How long it took.
    pub seconds: f64,
}

/// One wait.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WaitSummary {
    /// In which phase.
    pub phase: Phase,
    /// For what.
    pub what: String,
    /// Whether it came true.
    pub satisfied: bool,
    /// How long it took.
    pub seconds: f64,
    /// Milliseconds from the watch event that satisfied it to the next action.
    pub reaction_ms: Option<f64>,
}

impl Summary {
    /// Makes the summary of a stream.
    ///
    /// # Errors
    /// When the stream cannot be read, or is empty.
    pub fn read(stream: &Path) -> Result<Self> {
        let mut details = Details::default();
        for event in record::read(stream)? {
            details.take(&event?);
        }
        Self::new(&Overview::read(stream)?, details).ok_or_else(|| {
            anyhow::anyhow!(
                "failed to summarise {}: expected a run's start as its first event",
                stream.display()
            )
        })
    }

    fn new(overview: &Overview, details: Details) -> Option<Self> {
        let start = overview.start.clone()?;
        let (verdict, reason, counts) = match overview.verdict.clone() {
            Some((verdict, reason, counts)) => (Some(verdict), reason, counts),
            None => (
                None,
                "the run ended without a verdict".to_owned(),
                Counts::default(),
            ),
        };
        let property = |(name, value): &(String, String)| (name.clone(), value.clone().into());
        Some(Self {
            format: 1,
            run: start.run.to_string(),
            version: start.version,
            started: start.at.to_string(),
            command: start.command,
            stack: start.stack,
            from: start.from,
            to: start.to,
            engine: start.engine,
            delivery: start.delivery,
            rehearsal: start.rehearsal,
            verdict,
            reason,
            exit_code: overview.end.map(|(code, _)| code),
            seconds: overview.end.map(|(_, seconds)| seconds),
            findings: overview.findings.clone(),
            counts,
            phases: overview.phases.iter().map(PhaseSummary::new).collect(),
            checks: details.checks,
            waits: details.waits,
            usage: overview.usage,
            properties: overview.properties.iter().map(property).collect(),
        })
    }

    /// The format's JSON schema.
    #[must_use]
    pub fn schema() -> String {
        format!("{:#}\n", schemars::schema_for!(Self).to_value())
    }
}

impl PhaseSummary {
    fn new(view: &super::overview::PhaseView) -> Self {
        let (outcome, because) = match view.state {
            State::NotReached => (PhaseState::NotReached, None),
            State::Running => (PhaseState::Unfinished, None),
            State::Passed => (PhaseState::Passed, None),
            State::Failed => (PhaseState::Failed, None),
            State::Aborted => (PhaseState::Aborted, None),
            State::Skipped(because) => (PhaseState::Skipped, Some(because)),
        };
        Self {
            phase: view.phase,
            outcome,
            because,
            seconds: view.seconds,
            deadline_seconds: view.started.map(|(_, s)| s).filter(|&s| s > 0),
            message: view.message.clone(),
        }
    }
}

/// What an overview leaves out because it grows with the run.
#[derive(Default)]
struct Details {
    checks: Vec<CheckSummary>,
    positions: HashMap<String, usize>,
    waits: Vec<WaitSummary>,
}

impl Details {
    fn take(&mut self, event: &Event) {
        match &event.what {
            What::Check(check) => self.take_check(check),
            What::Compared { check, change, .. } => {
                if let Some(&at) = self.positions.get(check) {
                    self.checks[at].change = Some(*change);
                }
            }
            What::WaitFinished {
                phase,
                what,
                satisfied,
                seconds,
                reaction_ms,
            } => {
                let longer = |wait: &WaitSummary| wait.seconds >= *seconds;
                let at = self.waits.partition_point(longer);
                let (what, phase) = (what.clone(), *phase);
                let (satisfied, seconds, reaction_ms) = (*satisfied, *seconds, *reaction_ms);
                let wait = WaitSummary {
                    phase,
                    what,
                    satisfied,
                    seconds,
                    reaction_ms,
                };
                self.waits.insert(at, wait);
                self.waits.truncate(WAITS);
            }
            _ => {}
        }
    }

    fn take_check(&mut self, check: &CheckResult) {
        let at = *self.positions.entry(check.id.clone()).or_insert_with(|| {
            self.checks.push(CheckSummary {
                id: check.id.clone(),
                title: check.title.clone(),
                suite: check.suite.clone(),
                severity: check.severity,
                before: None,
                after: None,
                change: None,
                accepted: None,
                standard: check.standard.clone(),
            });
            self.checks.len() - 1
        });
        let known = &mut self.checks[at];
        let answer = Some(AnswerSummary {
            outcome: check.outcome,
            message: check.message.clone(),
            seconds: check.seconds,
        });
        if check.phase < Phase::Upgrade {
            known.before = answer;
        } else {
            known.after = answer;
        }
        known.accepted = known.accepted.take().or_else(|| check.accepted.clone());
    }
}
