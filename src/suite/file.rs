//! The form of a suite file: a list of checks, each with its id, question and severity.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::record::{Severity, Standard};
use crate::stack::{Label, Timeout, VersionRange};

/// A suite: checks that are asked together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "Suite")]
pub struct SuiteFile {
    /// Version of this file's form.
    pub api_version: FileVersion,
    /// Kind of this file.
    pub kind: FileKind,
    /// What the suite is called.
    pub metadata: Metadata,
    /// What it asks.
    pub spec: Spec,
}

/// Version of this file's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FileVersion {
    /// The first one.
    #[serde(rename = "stackgate/v1alpha1")]
    V1Alpha1,
}

/// Kind of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FileKind {
    /// A suite.
    Suite,
}

/// What the suite is called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name of the suite; the file is called `<name>.yaml`.
    pub name: Label,
}

/// What the suite asks.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// What the suite is for, in one line.
    pub description: String,
    /// The checks, in the order of the report.
    #[schemars(length(min = 1))]
    pub checks: Vec<Check>,
}

/// One question to one cluster. Exactly one of `native`, `cel` and `exec` says how it is answered.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Stable id by which results before and after are compared, and failures accepted.
    pub id: Label,
    /// What is asked, in one line.
    pub title: String,
    /// With which force: a failed MUST closes the gate, SHOULD warns, MAY informs. A MUST of a standard
    /// that is a draft or deprecated warns.
    pub severity: Severity,
    /// The standard that demands it.
    #[serde(default)]
    pub standard: Option<Standard>,
    /// What it costs the cluster.
    #[serde(default)]
    pub weight: Weight,
    /// For how long an answer is good.
    #[serde(default)]
    pub lifetime: Lifetime,
    /// How long it may take; at least what a native check needs by itself, which is the default. Other
    /// checks have two minutes by default.
    #[serde(default)]
    pub timeout: Option<Timeout>,
    /// How often it is asked again when it does not pass. A pass that took more than one asking is
    /// *flaky*, and told as such.
    #[serde(default)]
    #[schemars(range(max = 5))]
    pub retries: u8,
    /// Where it is asked; everywhere without it.
    #[serde(default)]
    pub when: When,
    /// What of the demand no check can see.
    #[serde(default)]
    pub not_testable: Option<String>,
    /// Name of a check that stackgate brings along; `stackgate suites explain` tells of each.
    #[serde(default)]
    pub native: Option<Label>,
    /// What is set for the native check.
    #[serde(default)]
    pub parameters: serde_json::Map<String, serde_json::Value>,
    /// Expressions over objects.
    #[serde(default)]
    pub cel: Option<CelCheck>,
    /// An executable that prints a verdict.
    #[serde(default)]
    pub exec: Option<ExecCheck>,
}

/// What a check costs the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// It reads, or makes a few objects.
    #[default]
    Light,
    /// It takes long, or puts load on the cluster.
    Heavy,
}

/// For how long an answer is good, as SCS scopes count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Lifetime {
    /// To the end of the next day.
    Day,
    /// To the end of the next week.
    #[default]
    Week,
    /// To the end of the next month.
    Month,
    /// To the end of the next quarter.
    Quarter,
    /// To the end of the next month, a year on.
    Year,
}

/// Where a check is asked. Elsewhere it is skipped, with the reason.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct When {
    /// Only with these engines; all when empty.
    #[serde(default)]
    pub engine: Vec<Label>,
    /// Only with these infrastructure providers; all when empty.
    #[serde(default)]
    pub provider: Vec<Label>,
    /// Only with these versions of Kubernetes.
    #[serde(default)]
    pub kubernetes: Option<VersionRange>,
    /// Only on this side of the upgrade.
    #[serde(default)]
    pub phase: Option<Side>,
}

/// A side of the upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Expressions over objects of a cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CelCheck {
    /// Which cluster's.
    #[serde(default)]
    pub cluster: WhichCluster,
    /// Which objects.
    pub objects: Selector,
    /// How many there have to be: a check that sees nothing would pass always.
    #[serde(default = "one")]
    pub at_least: usize,
    /// How long things may take to be as they have to be.
    #[serde(default = "half_a_minute")]
    pub settles: Timeout,
    /// What has to hold.
    #[schemars(length(min = 1))]
    pub rules: Vec<Rule>,
}

const fn one() -> usize {
    1
}

const fn half_a_minute() -> Timeout {
    Timeout::from_secs(30)
}

/// One of a run's clusters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhichCluster {
    /// The one that is upgraded.
    #[default]
    Workload,
    /// The one that Cluster API runs in; of its objects those of the run's namespace.
    Management,
}

/// Which objects are looked at: those to which all of this applies.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Group and version, e.g. `v1` or `apps/v1`.
    pub api_version: String,
    /// Kind, e.g. `Deployment`.
    pub kind: String,
    /// Namespace; all when it is not given.
    #[serde(default)]
    pub namespace: Option<Label>,
    /// Labels with their values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Fields by their paths with dots, with their values, e.g. `status.phase: Running`.
    #[serde(default)]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// A CEL expression that has to hold.
///
/// `object` is one object, and the rule then holds for each; `objects` is the list of all. `old` and
/// `new` are the lists as they were before the upgrade and as they are after it; a rule with them is
/// judged after the upgrade.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The expression; it gives true or false.
    pub expression: String,
    /// A CEL expression that gives the words for when it does not hold.
    #[serde(default)]
    pub message: Option<String>,
}

/// An executable that speaks the SCS line protocol: `ID: PASS|FAIL|ABORT` on standard output. It is
/// given `KUBECONFIG`, and an empty working directory of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecCheck {
    /// The program's path, relative to the suite's folder.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment beyond `PATH`, `HOME` and `LANG`.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// The id under which it gives its verdict; the check's own when not given.
    #[serde(default)]
    pub verdict: Option<String>,
    /// How many bytes it may print.
    #[serde(default = "a_mebibyte")]
    #[schemars(range(min = 1, max = 67_108_864))]
    pub output: usize,
}

const fn a_mebibyte() -> usize {
    1 << 20
}
