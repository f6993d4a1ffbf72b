//! For programs: every finding with all that is known of it.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;

use super::super::{By, Finding, Report, UpgradePlan};
use crate::record::{ObjectRef, Severity};

/// The findings of `stackgate lint --format json`.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "LintReport")]
struct LintReport<'a> {
    /// Version of this form.
    format: u32,
    /// Version of stackgate.
    version: &'a str,
    /// The stack under test.
    stack: &'a str,
    /// Tag of release N.
    from: String,
    /// Tag of release N+1.
    to: String,
    /// How many findings there are of each force.
    counts: Counts,
    /// The findings, those of greater force first.
    findings: Vec<LintFinding<'a>>,
    /// What the upgrade will do to the addons; absent where a release cannot be rendered.
    plan: Option<&'a UpgradePlan>,
}

/// How many findings there are of each force.
#[derive(Serialize, JsonSchema)]
struct Counts {
    must: usize,
    should: usize,
    may: usize,
}

/// One breach of a rule.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LintFinding<'a> {
    /// Id of the rule.
    rule: &'a str,
    /// With which force it is asked.
    severity: Severity,
    /// Whether it matters only where the Cluster Stack Operator delivers.
    operator: bool,
    /// Tag of the release whose file is to be changed.
    release: &'a str,
    /// The rendered object.
    object: Option<&'a ObjectRef>,
    /// The file; a file in an archive stands behind the archive's name and a colon.
    file: String,
    /// Line, from 1, where it is known. A file of a chart is its template.
    line: Option<usize>,
    /// Column, from 1.
    column: Option<usize>,
    /// What is wrong.
    message: &'a str,
    /// What was expected in its place.
    expected: Option<&'a str>,
    /// What happens because of it.
    why: &'a str,
    /// Who says so.
    source: &'a str,
    /// What to do.
    help: &'a str,
}

impl<'a> From<&'a Finding> for LintFinding<'a> {
    fn from(finding: &'a Finding) -> Self {
        let problem = &finding.problem;
        let place = problem.place.as_ref();
        Self {
            rule: finding.rule.id,
            severity: finding.rule.severity,
            operator: finding.rule.by == By::Operator,
            release: &finding.release,
            object: finding.object.as_ref(),
            file: problem.file.display().to_string(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            message: &problem.message,
            expected: problem.expected.as_deref(),
            why: finding.rule.why,
            source: finding.rule.source,
            help: finding.remedy(),
        }
    }
}

/// The report as JSON.
///
/// # Errors
/// When it cannot be written, which would be a bug.
pub fn json(report: &Report) -> serde_json::Result<String> {
    let whole = LintReport {
        format: 1,
        version: env!("CARGO_PKG_VERSION"),
        stack: &report.stack,
        from: report.from.to_string(),
        to: report.to.to_string(),
        counts: Counts {
            must: report.count(Severity::Must),
            should: report.count(Severity::Should),
            may: report.count(Severity::May),
        },
        findings: report.findings.iter().map(LintFinding::from).collect(),
        plan: report.plan.as_ref(),
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&whole)?))
}

/// The schema of that (draft 2020-12); checked in as `schemas/lint.schema.json`.
#[must_use]
pub fn schema() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = generator.into_root_schema_for::<LintReport<'_>>();
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_that_is_checked_in_is_that_of_the_types() {
        crate::stack::is_checked_in("lint.schema.json", &super::schema());
    }
}
