//! For people: each finding with its place, why it matters and what to do, and what the upgrade will do.

use std::fmt::Write as _;

use super::super::{Finding, Report, UpgradePlan};
use crate::record::Severity;

/// How many objects of a kind of change are told.
const SHOWN: usize = 12;

/// The whole report.
#[must_use]
pub fn terminal(report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        one(finding, &mut text);
    }
    if let Some(plan) = &report.plan {
        upgrade(plan, &mut text);
    }
    let count = |severity| format!("{} {severity}", report.count(severity));
    let _ = writeln!(
        text,
        "{}: {} to {}: {}, {}, {}",
        report.stack,
        report.from,
        report.to,
        count(Severity::Must),
        count(Severity::Should),
        count(Severity::May),
    );
    text
}

fn one(finding: &Finding, text: &mut String) {
    let rule = finding.rule;
    let _ = writeln!(text, "{} {}: {}", rule.severity, rule.id, finding.about());
    let mut problem = finding.problem.clone();
    problem.help = None;
    let told = problem.to_string();
    for line in told.lines() {
        let _ = writeln!(text, "{}", format!("  {line}").trim_end());
    }
    let _ = writeln!(text, "  why: {} ({})", rule.why, rule.source);
    let _ = writeln!(text, "  help: {}\n", finding.remedy());
}

fn upgrade(plan: &UpgradePlan, text: &mut String) {
    let changed: Vec<String> = plan
        .changed
        .iter()
        .map(|one| match one.fields.as_slice() {
            [] => one.object.clone(),
            [field] => format!("{}: {field}", one.object),
            [field, more @ ..] => format!("{}: {field} (and {} more)", one.object, more.len()),
        })
        .collect();
    let parts = [
        ("added", '+', &plan.added),
        ("removed", '-', &plan.removed),
        ("changed", '~', &changed),
    ];
    let counts: Vec<String> = parts
        .iter()
        .map(|(what, _, objects)| format!("{} {what}", objects.len()))
        .collect();
    let _ = writeln!(
        text,
        "the upgrade of the addons: {}, {} unchanged",
        counts.join(", "),
        plan.unchanged
    );
    for (_, mark, objects) in parts {
        for object in objects.iter().take(SHOWN) {
            let _ = writeln!(text, "  {mark} {object}");
        }
        if let Some(more) = objects.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            let _ = writeln!(text, "  {mark} and {more} more");
        }
    }
}
