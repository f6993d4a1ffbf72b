//! The form of a suite file: a list of checks, each with its id, question and severity.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::record::Severity;
use crate::stack::{Label, Timeout};

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

/// One question to one cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Stable id by which results before and after are compared, and failures accepted.
    pub id: Label,
    /// What is asked, in one line.
    pub title: String,
    /// With which force: a failed MUST closes the gate, SHOULD warns, MAY informs.
    pub severity: Severity,
    /// Name of a check that stackgate brings along; `stackgate suites` lists them.
    pub native: Label,
    /// How long it may take; at least what the check needs by itself, which is the default.
    #[serde(default)]
    pub timeout: Option<Timeout>,
}
