//! `summary.json`: the run in one typed object, for programs that read no stream.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use schemars::JsonSchema;
use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Deserialize, Serialize, Serializer};

use super::overview::{Overview, State};
use super::pairs::{Answer, Pair, Pairs, Scope};
use super::pauses::PauseSummary;
use crate::record::{
    Change, Counts, Event, Finding, Outcome, Phase, ProbeGap, ProbeResult, Rehearsal, ReleaseRef,
    Severity, Standard, Surroundings, Usage, Verdict, What,
};

/// How many of the longest waits are told.
const WAITS: usize = 20;

/// The reason of a run that gave none.
pub const NO_VERDICT: &str = "the run ended without a verdict";

/// A run, as far as its stream goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "Summary")]
pub struct Summary<C = Vec<CheckSummary>> {
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
    pub checks: C,
    /// What was measured without a pause, from before the upgrade to after it.
    #[serde(default)]
    pub probes: Vec<ProbeResult>,
    /// When the probes saw something lost.
    #[serde(default)]
    pub probe_gaps: Vec<ProbeGap>,
    /// The longest waits, longest first.
    pub waits: Vec<WaitSummary>,
    /// When the run stood still on request.
    #[serde(default)]
    pub pauses: Vec<PauseSummary>,
    /// With which phases another process went on, since the one before was gone.
    #[serde(default)]
    pub resumed: Vec<Phase>,
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
    /// On what kind of cluster it was given, as far as that is known.
    #[serde(default, skip_serializing_if = "Surroundings::is_unknown")]
    pub surroundings: Surroundings,
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
        let overview = Overview::read(stream)?;
        let checks = Streamed::of(&overview, stream).pairs()?;
        let checks = checks.map(|pair| Ok(CheckSummary::new(&pair?)));
        Self::new(&overview, stream, checks.collect::<Result<_>>()?)
    }

    /// The format's JSON schema.
    #[must_use]
    pub fn schema() -> String {
        format!("{:#}\n", schemars::schema_for!(Self).to_value())
    }
}

impl<'a> Summary<Streamed<'a>> {
    /// Writes the summary of a stream, whose checks are read as they are written.
    ///
    /// # Errors
    /// When the stream cannot be read or is empty, or `out` cannot be written.
    pub fn write(stream: &'a Path, out: &mut dyn Write) -> Result<()> {
        let overview = Overview::read(stream)?;
        let checks = Streamed::of(&overview, stream);
        serde_json::to_writer_pretty(&mut *out, &Self::new(&overview, stream, checks)?)?;
        Ok(writeln!(out)?)
    }
}

impl<C> Summary<C> {
    fn new(overview: &Overview, stream: &Path, checks: C) -> Result<Self> {
        let start = overview.start(stream)?.clone();
        let (verdict, reason, counts) = match overview.verdict.clone() {
            Some((verdict, reason, counts)) => (Some(verdict), reason, counts),
            None => (None, NO_VERDICT.to_owned(), Counts::default()),
        };
        let property = |(name, value): &(String, String)| (name.clone(), value.clone().into());
        Ok(Self {
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
            checks,
            probes: overview.probes.results().cloned().collect(),
            probe_gaps: overview
                .probes
                .iter()
                .flat_map(|view| view.gaps.clone())
                .collect(),
            waits: overview.waits.clone(),
            pauses: overview.pauses.all().to_vec(),
            resumed: overview.pauses.resumed().to_vec(),
            usage: overview.usage,
            properties: overview.properties.iter().map(property).collect(),
        })
    }
}

/// The checks of a stream, read whenever they are written: there may be many.
#[derive(Debug)]
pub struct Streamed<'a> {
    stream: &'a Path,
    scope: Scope,
}

impl<'a> Streamed<'a> {
    fn of(overview: &Overview, stream: &'a Path) -> Self {
        let scope = overview.scope();
        Self { stream, scope }
    }

    fn pairs(&self) -> Result<Pairs> {
        Pairs::read(self.stream, self.scope)
    }
}

impl Serialize for Streamed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for pair in self.pairs().map_err(S::Error::custom)? {
            let pair = pair.map_err(S::Error::custom)?;
            list.serialize_element(&CheckSummary::new(&pair))?;
        }
        list.end()
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

impl CheckSummary {
    fn new(pair: &Pair) -> Self {
        let first = pair.first();
        let answer = |answer: &Answer| AnswerSummary {
            outcome: answer.result.outcome,
            message: answer.result.message.clone(),
            seconds: answer.result.seconds,
            surroundings: answer.result.surroundings.clone(),
        };
        Self {
            id: first.id.clone(),
            title: first.title.clone(),
            suite: first.suite.clone(),
            severity: first.severity,
            before: pair.before.as_ref().map(answer),
            after: pair.after.as_ref().map(answer),
            change: pair.change,
            accepted: pair.accepted().map(str::to_owned),
            standard: first.standard.clone(),
        }
    }
}

impl WaitSummary {
    /// Takes a wait that ended into the longest ones, longest first.
    pub(super) fn insert(longest: &mut Vec<Self>, event: &Event) {
        let What::WaitFinished {
            phase,
            what,
            satisfied,
            seconds,
            reaction_ms,
        } = &event.what
        else {
            return;
        };
        let at = longest.partition_point(|wait| wait.seconds >= *seconds);
        if at == WAITS {
            return;
        }
        let wait = Self {
            phase: *phase,
            what: what.clone(),
            satisfied: *satisfied,
            seconds: *seconds,
            reaction_ms: *reaction_ms,
        };
        longest.insert(at, wait);
        longest.truncate(WAITS);
    }
}
