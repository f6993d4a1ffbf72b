//! For code scanning: SARIF 2.1.0, with every rule and what was found.

use serde_json::{Value, json};
use serde_sarif::sarif::Sarif;

use super::super::{Finding, Report, Rule, all};
use crate::record::Severity;

/// The report as SARIF. A finding in an archive is told at the archive, with the file inside as its
/// logical place, since no viewer opens archives.
///
/// # Errors
/// When it cannot be written, which would be a bug.
pub fn sarif(report: &Report) -> serde_json::Result<String> {
    let rules: Vec<Value> = all().map(rule).collect();
    let results: Vec<Value> = report.findings.iter().map(result).collect();
    let whole = json!({
        "$schema": serde_sarif::sarif::SCHEMA_URL,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "stackgate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": {"id": format!("{}/{}/{}", report.stack, report.from, report.to)},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    // The library's types refuse what the format does not know.
    let typed: Sarif = serde_json::from_value(whole)?;
    Ok(format!("{}\n", serde_json::to_string_pretty(&typed)?))
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Must => "error",
        Severity::Should => "warning",
        Severity::May => "note",
    }
}

fn rule(rule: &'static Rule) -> Value {
    let mut told = json!({
        "id": rule.id,
        "shortDescription": {"text": rule.asks},
        "fullDescription": {"text": format!("{} ({})", rule.why, rule.source)},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": level(rule.severity)},
    });
    if rule.source.starts_with("https://") {
        told["helpUri"] = json!(rule.source.split(' ').next());
    }
    told
}

fn result(finding: &Finding) -> Value {
    let problem = &finding.problem;
    let file = problem.file.display().to_string();
    let (artifact, inside) = match file.split_once(".tgz:") {
        Some((archive, inside)) => (format!("{archive}.tgz"), Some(inside)),
        None => (file.clone(), None),
    };
    let mut physical = json!({"artifactLocation": {"uri": uri(&artifact)}});
    let mut logical = Vec::new();
    match (inside, &problem.place) {
        (None, Some(place)) => {
            physical["region"] = json!({"startLine": place.line, "startColumn": place.column});
        }
        (Some(inside), place) => {
            let line = place
                .as_ref()
                .map_or_else(String::new, |place| format!(":{}", place.line));
            logical
                .push(json!({"fullyQualifiedName": format!("{inside}{line}"), "kind": "member"}));
        }
        (None, None) => {}
    }
    if let Some(object) = &finding.object {
        logical.push(json!({"fullyQualifiedName": object.to_string(), "kind": "object"}));
    }
    let mut location = json!({"physicalLocation": physical});
    if !logical.is_empty() {
        location["logicalLocations"] = json!(logical);
    }
    let expected = problem.expected.as_ref();
    let expected = expected.map_or_else(String::new, |text| format!("; expected {text}"));
    let told = format!(
        "{}: {}{expected}. {}",
        finding.about(),
        problem.message,
        finding.remedy()
    );
    json!({
        "ruleId": finding.rule.id,
        "level": level(finding.rule.severity),
        "message": {"text": told},
        "locations": [location],
    })
}

/// A path as a URI reference.
fn uri(path: &str) -> String {
    let mut text = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_becomes_a_reference() {
        assert_eq!(super::uri("a b/ü.tgz"), "a%20b/%C3%BC.tgz");
    }
}
