//! What may be lost while a cluster is upgraded: the budgets of the probes in `stack.yaml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Timeout;

/// What is measured without a pause from before the upgrade to after it, and how much of it may be lost.
/// `docs/probes.md` tells the defaults and their reasons.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Probes {
    /// Answers of the workload cluster's API server, asked from outside. Longest gap: 90s with one control-plane Machine, 45s with more.
    pub api: ProbeLimits,
    /// Connections from a pod to a workload of two replicas behind a Service. Longest gap: 10s; lost: 2 percent.
    pub service: ProbeLimits,
    /// Names that a pod looks up. Longest gap: 10s; lost: 2 percent.
    pub dns: ProbeLimits,
    /// Data in a volume, read where its pod runs. Longest gap: 5m; data that is lost is never allowed.
    pub volume: ProbeLimits,
    /// Connections that a NetworkPolicy denies. None may be let through.
    pub denied: ProbeLimits,
}

/// How much a probe may lose; what is not said is its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProbeLimits {
    /// The longest time without an answer, as somebody sees it who asks once a second; for connections that are denied, the longest time in which they are let through.
    pub longest_gap: Option<Timeout>,
    /// How many of all tries may be lost, in percent.
    #[schemars(range(min = 0, max = 100))]
    pub share_lost: Option<f64>,
    /// Why this is not measured; told in every report.
    pub skip: Option<String>,
}

impl Probes {
    /// All of them, by their names.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &ProbeLimits); 5] {
        [
            ("api", &self.api),
            ("service", &self.service),
            ("dns", &self.dns),
            ("volume", &self.volume),
            ("denied", &self.denied),
        ]
    }
}
