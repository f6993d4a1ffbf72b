//! Accepted failures in the form of the SCS tests: a file with the key `okToFail`.

use std::path::Path;

use serde::Deserialize;

use super::problem::Problems;
use super::values::Pattern;
use super::yaml::Source;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    // As in the SCS tests, a file that accepts nothing need not say so.
    #[serde(default)]
    ok_to_fail: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    regex: Pattern,
    reason: String,
}

/// A failure that is accepted by the name of what fails.
#[derive(Debug, Clone)]
pub struct OkToFail {
    /// Matches somewhere in the name.
    pub regex: Pattern,
    /// Why it is accepted.
    pub reason: String,
}

impl OkToFail {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is wrong, with every finding's line.
    pub fn read(path: &Path) -> Result<Vec<Self>, Problems> {
        read(path)
    }
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Vec<OkToFail>, Problems> {
    let source = Source::read(path)?;
    let file: File = source.parse()?;
    let mut problems = Problems::default();
    let mut entries = Vec::new();
    for (index, entry) in file.ok_to_fail.into_iter().enumerate() {
        if entry.regex.to_string().trim().is_empty() {
            let at = ["okToFail", &index.to_string(), "regex"];
            let problem = source.problem(&at, "the pattern is empty");
            problems.push(problem.expected("a regular expression for names of tests"));
        }
        if entry.reason.trim().is_empty() {
            let at = ["okToFail", &index.to_string(), "reason"];
            let problem = source.problem(&at, "the reason is empty");
            problems.push(problem.expected("why a failure is accepted"));
        }
        entries.push(OkToFail {
            regex: entry.regex,
            reason: entry.reason,
        });
    }
    problems.into_result()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<OkToFail>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ok.yaml");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_form_of_the_scs_tests_is_read_unchanged() {
        let text = "---\nokToFail:\n  - regex: 'Feature:SCTPConnectivity'\n    reason: >-\n      SCTP is optional\n";
        let entries = read_text(text).unwrap();
        assert!(
            entries[0]
                .regex
                .is_match("[sig-network] [Feature:SCTPConnectivity] x")
        );
        assert_eq!(entries[0].reason, "SCTP is optional");
    }

    #[test]
    fn a_file_may_accept_nothing() {
        assert!(read_text("okToFail: []\n").unwrap().is_empty());
        assert!(read_text("{}\n").unwrap().is_empty());
    }

    #[test]
    fn anything_else_is_refused_with_its_line() {
        for (text, told) in [
            (
                "okToFail:\n- regex: a\n  reason: ''\n",
                "ok.yaml:3:11: the reason is empty",
            ),
            (
                "okToFail:\n- regex: a\n  reason: ' '\n",
                "ok.yaml:3:11: the reason is empty",
            ),
            (
                "okToFail:\n- regex: ' '\n  reason: x\n",
                "ok.yaml:2:10: the pattern is empty",
            ),
            ("okToFail:\n- regex: '['\n  reason: x\n", "ok.yaml:2:10: "),
            ("okToFail:\n- regex: ''\n  reason: x\n", "ok.yaml:2:10: "),
            (
                "okToFail:\n- {regex: a, reason: x, expires: 2026-01-01}\n",
                "ok.yaml:2:",
            ),
            ("okToFail: []\nother: 1\n", "ok.yaml:2:1: "),
            ("okToFail:\n- regex: a\n", "ok.yaml:2:"),
        ] {
            let error = read_text(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
