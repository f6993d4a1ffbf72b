//! Accepted failures in our own form: as a part of `stack.yaml`, or a file with the key `accepted`.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::problem::Problems;
use super::spec::Accepted;
use super::yaml::Source;

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    accepted: Vec<Accepted>,
}

impl Accepted {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is wrong, with every finding's line.
    pub fn read(path: &Path) -> Result<Vec<Self>, Problems> {
        let source = Source::read(path)?;
        let file: File = source.parse()?;
        let mut problems = Problems::default();
        find(&source, &["accepted"], &file.accepted, &mut problems);
        problems.into_result()?;
        Ok(file.accepted)
    }
}

/// Finds what is wrong with entries that stand at a path of a file.
pub(super) fn find(source: &Source, at: &[&str], accepted: &[Accepted], problems: &mut Problems) {
    let mut seen = BTreeSet::new();
    for (index, entry) in accepted.iter().enumerate() {
        let index = index.to_string();
        let mut add = |field: &str, message: String, expected: &str| {
            let path = [at, &[index.as_str(), field]].concat();
            problems.push(source.problem(&path, message).expected(expected));
        };
        if entry.check.trim().is_empty() {
            let message = "the check is empty".to_owned();
            add("check", message, "the id of a check");
        }
        let meant = [
            entry.matches.as_ref().map(ToString::to_string),
            entry.versions.as_ref().map(ToString::to_string),
        ];
        if !seen.insert((&entry.check, meant)) {
            let message = format!("check `{}` is accepted twice", entry.check);
            add("check", message, "each check once");
        }
        if entry.reason.trim().is_empty() {
            let message = "the reason is empty".to_owned();
            add(
                "reason",
                message,
                "why this failure does not close the gate",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Accepted>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accepted.yaml");
        std::fs::write(&path, text).unwrap();
        Accepted::read(&path).map_err(|problems| problems.to_string())
    }

    #[test]
    fn every_field_is_read() {
        let text = "accepted:\n- {check: a, reason: known, match: zone, expires: 2026-12-31, versions: '<1.36'}\n- {check: b, reason: other}\n";
        let entries = read(text).unwrap();
        assert_eq!(
            (entries[0].check.as_str(), entries[1].reason.as_str()),
            ("a", "other")
        );
        assert!(
            entries[0].matches.is_some()
                && entries[0].expires.is_some()
                && entries[0].versions.is_some()
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, told) in [
            (
                "accepted:\n- {check: a, reason: ' '}\n",
                "accepted.yaml:2:22: the reason is empty",
            ),
            (
                "accepted:\n- {check: '', reason: x}\n",
                "accepted.yaml:2:11: the check is empty",
            ),
            (
                "accepted:\n- {check: a, reason: x}\n- {check: a, reason: y}\n",
                "accepted.yaml:3:11: check `a` is accepted twice",
            ),
            (
                "accepted:\n- {check: a, reason: x, until: y}\n",
                "accepted.yaml:2:",
            ),
            ("okToFail: []\n", "accepted.yaml:1:"),
            (
                "accepted:\n- {check: a, reason: x, match: '['}\n",
                "accepted.yaml:2:",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
