//! The typed events of a run. Every view (terminal, JUnit, summary) is a function of these.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Change, CheckResult, Counts, Outcome};
use super::{Decision, Pause, ProbeBudget, ProbeGap, ProbeResult, ProbeWindow, Rehearsal, RunId};

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Position in the stream, from 0 without gaps.
    pub seq: u64,
    /// Wall-clock time.
    pub at: Timestamp,
    /// Milliseconds since the run started, from a clock that never jumps.
    pub elapsed_ms: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum What {
    /// Always the first event.
    RunStarted {
        /// The run's id, a label of everything that it creates.
        run: RunId,
        /// Version of the event format; a reader refuses what it does not know.
        format: u32,
        /// Version of stackgate.
        version: String,
        /// Name of the stack under test.
        stack: String,
        /// The release that is deployed first.
        from: ReleaseRef,
        /// The release that it is upgraded to.
        to: ReleaseRef,
        /// Which engine makes the clusters.
        engine: String,
        /// How releases reach the clusters.
        delivery: String,
        /// The command line, as given.
        command: Vec<String>,
        /// Set when the clusters are simulated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rehearsal: Option<Rehearsal>,
    },
    /// A fact about the environment, told once it is known: provider, CNI, versions, digests.
    Property {
        /// A stable, dotted name such as `kubernetes.before`.
        name: String,
        /// The value, never a secret.
        value: String,
    },
    /// A phase began.
    PhaseStarted {
        /// Which.
        phase: Phase,
        /// After how many seconds it is given up (0: no deadline of its own).
        deadline_s: u64,
    },
    /// A phase ended, or is skipped.
    PhaseFinished {
        /// Which.
        phase: Phase,
        /// How.
        outcome: PhaseOutcome,
        /// Its duration in seconds.
        seconds: f64,
        /// A line for the reader: what it made, why it failed, because of what it was skipped.
        message: Option<String>,
    },
    /// Something is being waited for.
    WaitStarted {
        /// In which phase.
        phase: Phase,
        /// In the reader's words, e.g. `control plane of demo-7f3a09bc initialized`.
        what: String,
        /// After how many seconds the wait is given up.
        deadline_s: u64,
    },
    /// What a wait is blocked by has changed; also told at the end of a wait that fails.
    Blocked {
        /// In which phase.
        phase: Phase,
        /// The wait.
        what: String,
        /// Why it is not over; the most telling first, never empty.
        blockers: Vec<Blocker>,
    },
    /// A wait ended.
    WaitFinished {
        /// In which phase.
        phase: Phase,
        /// The wait.
        what: String,
        /// Whether it came true.
        satisfied: bool,
        /// How long it took, in seconds.
        seconds: f64,
        /// Milliseconds from the watch event that satisfied it to the next action; absent when it
        /// was satisfied from the start or never.
        reaction_ms: Option<f64>,
    },
    /// A check was run.
    Check(CheckResult),
    /// A check's results before and after the upgrade, compared.
    Compared {
        /// The check's id.
        check: String,
        /// Outcome before the upgrade.
        before: Option<Outcome>,
        /// Outcome after the upgrade.
        after: Option<Outcome>,
        /// What that means.
        change: Change,
    },
    /// From now on something is measured without a pause.
    ProbeStarted {
        /// The probe's name, e.g. `service`.
        probe: String,
        /// What is measured.
        title: String,
        /// What is allowed.
        budget: ProbeBudget,
    },
    /// What was measured in the last few windows of time.
    ProbeSamples {
        /// The probe.
        probe: String,
        /// The windows, in their order.
        windows: Vec<ProbeWindow>,
    },
    /// Something that is measured was not as it has to be for a while; told when that is over.
    ProbeGap(ProbeGap),
    /// A probe ended, or could not begin.
    ProbeFinished(ProbeResult),
    /// A cause that was found, with a name.
    Finding(Finding),
    /// A line for the reader that is neither phase nor check.
    Note {
        /// The line.
        message: String,
    },
    /// The run stands still, as it was asked to: no deadline comes nearer, and no probe counts.
    Paused(Pause),
    /// A pause ended.
    PauseEnded {
        /// The phase of the pause.
        phase: Phase,
        /// How the run goes on.
        decision: Decision,
        /// Who decided, e.g. `a key`.
        by: String,
        /// How long it stood still by the machine's clock, in seconds.
        seconds: f64,
    },
    /// The run's process had ended before the run had; another one goes on with it.
    Resumed {
        /// Version of stackgate that goes on.
        version: String,
        /// The phase that it goes on with.
        phase: Phase,
    },
    /// What was measured of stackgate itself, told before the run ends.
    Usage(Usage),
    /// The verdict.
    Verdict {
        /// Open, closed or none.
        verdict: Verdict,
        /// One sentence: the first cause, or what was shown.
        reason: String,
        /// The comparison in numbers.
        counts: Counts,
    },
    /// Always the last event of a run that was not killed.
    RunFinished {
        /// The process's exit code.
        exit_code: u8,
        /// The run's duration in seconds.
        seconds: f64,
    },
}

/// How releases reach the cluster in a run that delivers none: it only checks.
pub const NO_DELIVERY: &str = "none";

/// A release by its tag and the versions in its metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRef {
    /// E.g. `docker-demo-1-34-v1`.
    pub tag: String,
    /// E.g. `v1.34.3`.
    pub kubernetes: String,
}

/// The phases of a run, in their order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Input and machine are judged; nothing is created.
    Preflight,
    /// The management cluster and its providers.
    Management,
    /// Release N is made available.
    Release,
    /// The workload cluster is created from N.
    Create,
    /// The checks, first time.
    CheckBefore,
    /// N to N+1.
    Upgrade,
    /// The checks, second time.
    CheckAfter,
    /// Comparison and verdict.
    Verdict,
    /// Everything created is removed, or kept on request.
    Teardown,
}

impl Phase {
    /// All phases in their order.
    pub const ALL: [Self; 9] = [
        Self::Preflight,
        Self::Management,
        Self::Release,
        Self::Create,
        Self::CheckBefore,
        Self::Upgrade,
        Self::CheckAfter,
        Self::Verdict,
        Self::Teardown,
    ];

    /// The name shown to people and used in reports; stable between versions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Management => "management",
            Self::Release => "release",
            Self::Create => "create",
            Self::CheckBefore => "check before",
            Self::Upgrade => "upgrade",
            Self::CheckAfter => "check after",
            Self::Verdict => "verdict",
            Self::Teardown => "teardown",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a phase ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase")]
pub enum PhaseOutcome {
    /// It did what it is for. A check phase passes when all its checks were run, whatever they said.
    Passed,
    /// The stack under test failed here: the gate closes.
    Failed,
    /// It could not be carried out for a reason that says nothing about the stack.
    Aborted,
    /// It was not started, because of an earlier one.
    Skipped {
        /// The phase that is to blame.
        because: Phase,
    },
}

/// An object of a cluster, or of Docker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `management`, `workload`, or the name of the engine's own world, e.g. `docker`.
    pub cluster: String,
    /// E.g. `Machine`.
    pub kind: String,
    /// Absent for what has no namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// A reference by its parts; an empty namespace is none.
    #[must_use]
    pub fn new(cluster: &str, kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            cluster: cluster.to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
            name: name.to_owned(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One reason why a wait is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocker {
    /// The object that is not as it has to be.
    pub object: ObjectRef,
    /// The unmet condition, e.g. `NodeHealthy False` or `missing`.
    pub condition: String,
    /// The object's own reason, e.g. `WaitingForNodeRef`; empty when it gives none.
    pub reason: String,
    /// The object's own message; empty when it gives none.
    pub message: String,
    /// Since when it is so, where the object tells.
    pub since: Option<Timestamp>,
}

impl Blocker {
    /// A blocker in our own words, where the object itself gives no reason.
    #[must_use]
    pub fn new(object: ObjectRef, condition: impl Into<String>) -> Self {
        Self {
            object,
            condition: condition.into(),
            reason: String::new(),
            message: String::new(),
            since: None,
        }
    }
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.condition)?;
        if !self.reason.is_empty() {
            write!(f, ", {}", self.reason)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

/// A cause with a name, found by looking closer at what blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// A stable name, e.g. `image-not-found`, `kubelet-unknown-flag`, `drain-blocked-by-budget`.
    pub cause: String,
    /// One sentence for the reader.
    pub message: String,
    /// The object that it is about.
    pub object: ObjectRef,
    /// Lines that prove it: log lines, events, conditions.
    pub evidence: Vec<String>,
}

/// Whether the release may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// The upgrade is safe, by everything that was asked.
    Open,
    /// It is not.
    Closed,
    /// Something could not be judged, for reasons outside the stack.
    None,
    /// Nothing was asked.
    NothingRan,
    /// Somebody stopped it.
    Interrupted,
}

impl Verdict {
    /// How bad it is: of several runs the worst counts.
    #[must_use]
    pub const fn weight(self) -> u8 {
        match self {
            Self::Closed => 4,
            Self::None => 3,
            Self::Interrupted => 2,
            Self::NothingRan => 1,
            Self::Open => 0,
        }
    }
}

/// What the run cost stackgate itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Processor time of this process, user and system, in seconds (children not included).
    pub cpu_seconds: f64,
    /// The same as a share of one core over the wall time, in percent.
    pub cpu_percent: f64,
    /// How long the run took by the machine's clock, in seconds; less than the run's own with virtual time.
    #[serde(default)]
    pub wall_seconds: f64,
    /// Largest resident set, in MiB.
    pub peak_rss_mib: f64,
    /// Median time from the watch event that satisfied a wait to the next action, in milliseconds.
    pub reaction_median_ms: Option<f64>,
    /// The longest such time, in milliseconds.
    pub reaction_max_ms: Option<f64>,
}
