//! For CI servers that show test results: a case for each rule, failed by a MUST.

use std::io;

use super::super::{Finding, Report, all};
use crate::record::Severity;
use crate::report::junit::Xml;

/// The report as JUnit's XML. A rule that is kept is a case that passes; a broken MUST is a failure, and
/// a broken SHOULD or MAY a case that is skipped, with its words, since JUnit knows no warning.
///
/// # Errors
/// When it cannot be written, which would be a bug.
pub fn junit(report: &Report) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let broken = |id: &str| -> Vec<&Finding> {
        let all = report.findings.iter();
        all.filter(|finding| finding.rule.id == id).collect()
    };
    let rules: Vec<_> = all().map(|rule| (rule, broken(rule.id))).collect();
    let count = |must: bool| {
        let counted = rules
            .iter()
            .filter(|(rule, found)| !found.is_empty() && (rule.severity == Severity::Must) == must);
        counted.count().to_string()
    };
    let (tests, failures, skipped) = (rules.len().to_string(), count(true), count(false));
    let suite = format!("lint {} to {}", report.from, report.to);
    let mut xml = Xml::new(&mut out)?;
    xml.open("testsuites", &[])?;
    xml.open(
        "testsuite",
        &[
            ("name", &suite),
            ("tests", &tests),
            ("failures", &failures),
            ("errors", "0"),
            ("skipped", &skipped),
            ("time", "0.000"),
        ],
    )?;
    let class = format!("{}.lint", report.stack);
    for (rule, found) in rules {
        let about = [("name", rule.id), ("classname", &class), ("time", "0.000")];
        let Some(first) = found.first() else {
            xml.empty("testcase", &about)?;
            continue;
        };
        let message = format!("{}: {}", first.about(), first.problem.message);
        let told: Vec<String> = found
            .iter()
            .map(|one| format!("{}\nhelp: {}", one.problem, one.remedy()))
            .collect();
        xml.open("testcase", &about)?;
        if rule.severity == Severity::Must {
            let why = [("message", message.as_str()), ("type", rule.id)];
            xml.text("failure", &why, &told.join("\n"))?;
        } else {
            let message = format!("{}: {message}", rule.severity);
            xml.text(
                "skipped",
                &[("message", message.as_str())],
                &told.join("\n"),
            )?;
        }
        xml.close("testcase")?;
    }
    xml.close("testsuite")?;
    xml.close("testsuites")?;
    xml.finish()?;
    Ok(out)
}
