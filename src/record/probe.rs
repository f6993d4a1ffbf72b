//! What a probe measured: from when to when something was not as it has to be, and what that means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Outcome;

/// How much may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeBudget {
    /// The longest gap that is allowed, in milliseconds.
    pub longest_gap_ms: u64,
    /// The share of all tries that may be lost, in percent; absent where only gaps count.
    pub share_lost_percent: Option<f64>,
}

/// A stretch of time in which somebody who asked saw nothing but losses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeGap {
    /// The probe, by its name.
    pub probe: String,
    /// Where it begins, in milliseconds of the run: with the first try that was lost.
    pub from_ms: u64,
    /// Where it ends: with the first try that was not lost, or the last one that was.
    pub to_ms: u64,
    /// What was lost, in one word of who asked, e.g. `TIMEOUT`.
    pub reason: String,
    /// From where it was seen: a node, or `stackgate`.
    pub seen_from: String,
    /// What happened meanwhile, e.g. `node demo-md-0-x7 was drained`; empty when nothing did.
    pub meanwhile: String,
}

impl ProbeGap {
    /// How long it was, in milliseconds.
    #[must_use]
    pub const fn length_ms(&self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms)
    }
}

/// Milliseconds as a reader takes them in: tenths of a second below a hundred.
#[must_use]
pub fn seconds(ms: u64) -> String {
    let tenths = (ms + 50) / 100;
    if tenths >= 1000 {
        return format!("{} s", (ms + 500) / 1000);
    }
    format!("{}.{} s", tenths / 10, tenths % 10)
}

/// The tries of a few seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeWindow {
    /// Where it begins, in milliseconds of the run.
    pub from_ms: u64,
    /// Where it ends.
    pub to_ms: u64,
    /// How often it was tried.
    pub tries: u32,
    /// How many of these were lost.
    pub lost: u32,
    /// How long half of the answers took at most, in milliseconds; absent without answers that take time.
    pub median_ms: Option<u32>,
    /// How long the slowest answer took, in milliseconds.
    pub slowest_ms: Option<u32>,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeLatency {
    /// Half of them at most so long.
    pub median_ms: u32,
    /// Of twenty, nineteen.
    pub p95_ms: u32,
    /// Of a hundred, ninety-nine.
    pub p99_ms: u32,
    /// The slowest.
    pub slowest_ms: u32,
}

/// What a probe has shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeResult {
    /// Its name, e.g. `service`.
    pub probe: String,
    /// What is measured.
    pub title: String,
    /// *pass*: within its budget; *fail*: over it; *skip*: it could not be measured from the start;
    /// *abort*: it could be, and then not any more.
    pub outcome: Outcome,
    /// One sentence: what was measured, or why nothing was.
    pub message: String,
    /// What was allowed.
    pub budget: ProbeBudget,
    /// How often it was tried.
    pub tries: u64,
    /// How many of these were lost.
    pub lost: u64,
    /// The same in percent.
    pub share_lost_percent: f64,
    /// The longest gap; absent when nothing was lost.
    pub longest_gap: Option<ProbeGap>,
    /// For how long nobody asked between start and end, in milliseconds: neither lost nor not.
    pub unmeasured_ms: u64,
    /// How long answers took; absent where there is nothing to wait for.
    pub latency: Option<ProbeLatency>,
}
