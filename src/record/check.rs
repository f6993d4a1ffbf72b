//! What a check asks, what it answered, and the two answers compared.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Phase;

/// What a standard asks with which force (RFC 2119 words).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Severity {
    /// A failure closes the gate.
    #[serde(rename = "MUST")]
    Must,
    /// A failure is reported as a warning.
    #[serde(rename = "SHOULD")]
    Should,
    /// A failure is for information.
    #[serde(rename = "MAY")]
    May,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        })
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The cluster is as the check demands.
    Pass,
    /// It is, but only when it was asked again.
    Flaky,
    /// It is not.
    Fail,
    /// It could not be judged.
    Abort,
    /// It does not apply, for the reason in the message.
    Skip,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "pass",
            Self::Flaky => "flaky",
            Self::Fail => "FAIL",
            Self::Abort => "ABORT",
            Self::Skip => "skip",
        })
    }
}

/// One check's answer about one cluster at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// `CheckBefore` or `CheckAfter`.
    pub phase: Phase,
    /// Stable id, e.g. `nodes-ready`.
    pub id: String,
    /// What is asked, in one line.
    pub title: String,
    /// The suite that it comes from.
    pub suite: String,
    /// With which force it is asked.
    pub severity: Severity,
    /// The answer.
    pub outcome: Outcome,
    /// One sentence: why it is so.
    pub message: String,
    /// Lines that prove it.
    pub evidence: Vec<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The reason why a failure of it is accepted, where the stack says so.
    pub accepted: Option<String>,
    /// The standard that demands it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard: Option<Standard>,
    /// It is not meant for this cluster or this side of the upgrade, which is why it is skipped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub excluded: bool,
    /// On what kind of cluster, as far as it is known.
    #[serde(default, skip_serializing_if = "Surroundings::is_unknown")]
    pub surroundings: Surroundings,
}

/// What an answer of a check depends on beside the release: a container's network and disk are not
/// those of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Surroundings {
    /// The infrastructure provider.
    pub provider: String,
    /// The image of the network's (CNI's) agents.
    pub cni: String,
    /// What the nodes' image calls itself.
    pub node_image: String,
    /// How many nodes of each kind there are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub topology: String,
}

impl Surroundings {
    /// Whether nothing is known of them.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("provider", &self.provider),
            ("CNI", &self.cni),
            ("node image", &self.node_image),
            ("topology", &self.topology),
        ];
        let known = parts.iter().filter(|(_, value)| !value.is_empty());
        let known: Vec<String> = known
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        f.write_str(&known.join(", "))
    }
}

impl CheckResult {
    /// What a failure of it does to the gate.
    #[must_use]
    pub fn effect(&self) -> Effect {
        Effect::of(
            self.severity,
            self.standard.as_ref().map(|standard| standard.status),
        )
    }
}

/// A document that demands something, in one of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Standard {
    /// Its name, e.g. `scs-0210`.
    pub name: String,
    /// Which version of it, e.g. `v2`.
    pub version: String,
    /// How binding this version is at present.
    pub status: StandardStatus,
    /// Where the demand can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The testcase of the SCS certificate scope that asks the same, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub testcase: Option<String>,
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} ({})", self.name, self.version, self.status)
    }
}

/// How binding a version of a standard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StandardStatus {
    /// Not agreed on yet: its demands warn.
    Draft,
    /// In force.
    Stable,
    /// Superseded: its demands warn.
    Deprecated,
}

impl fmt::Display for StandardStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Draft => "draft",
            Self::Stable => "stable",
            Self::Deprecated => "deprecated",
        })
    }
}

/// What a check's failure does to the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It closes it.
    Closes,
    /// It is reported as a warning.
    Warns,
    /// It is for information.
    Informs,
}

impl Effect {
    /// What follows from a demand's force and from how binding its standard is: a draft's MUST is not
    /// one yet.
    #[must_use]
    pub const fn of(severity: Severity, status: Option<StandardStatus>) -> Self {
        match (severity, status) {
            (Severity::Must, None | Some(StandardStatus::Stable)) => Self::Closes,
            (Severity::Must | Severity::Should, _) => Self::Warns,
            (Severity::May, _) => Self::Informs,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closes => "closes the gate",
            Self::Warns => "warns",
            Self::Informs => "informs",
        })
    }
}

/// The same check before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Passed, passes.
    Kept,
    /// Failed, passes.
    Fixed,
    /// Passes, but only when it was asked again.
    Flaky,
    /// Passed, fails.
    Regressed,
    /// Failed, fails.
    StillFailing,
    /// Fails, and the stack accepts it.
    Accepted,
    /// One of the two could not be judged, or does not apply.
    NotComparable,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Kept => "kept",
            Self::Fixed => "fixed",
            Self::Flaky => "flaky",
            Self::Regressed => "regressed",
            Self::StillFailing => "still failing",
            Self::Accepted => "accepted",
            Self::NotComparable => "not comparable",
        })
    }
}

/// The comparison in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Passed, passes.
    pub kept: u32,
    /// Failed, passes.
    pub fixed: u32,
    /// Passes, but only when asked again.
    #[serde(default)]
    pub flaky: u32,
    /// Passed, fails.
    pub regressed: u32,
    /// Failed, fails.
    pub still_failing: u32,
    /// Fails, accepted.
    pub accepted: u32,
    /// Could not be compared.
    pub not_comparable: u32,
}
