//! `scs.yaml`: the answers of a run that only checks, in the form of the SCS checker's report with groups.
//!
//! Its testcases are the checks by their ids, and its scope names the suites: it is no report on a
//! certificate scope of SCS, which `stackgate scs-check` makes.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use uuid::Builder;

use super::overview::Overview;
use super::scs_yaml::{GroupsHead, GroupsReport, GroupsRest, Pairs, TestResult};
use super::text::one_line;
use crate::record::{self, Outcome, RunId, What};

/// Writes the report of a stream as far as it goes.
///
/// # Errors
/// When the stream cannot be read or is empty, or `out` cannot be written.
pub fn write(stream: &Path, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let start = overview
        .start
        .context("expected a run's start as its first event")?;
    let mut tests = Vec::new();
    let mut log = vec![format!("running: {}", one_line(&start.command.join(" ")))];
    let mut suites = BTreeSet::new();
    for event in record::read(stream)? {
        let What::Check(check) = event?.what else {
            continue;
        };
        suites.insert(check.suite.clone());
        let result = match check.outcome {
            Outcome::Pass | Outcome::Flaky => 1,
            Outcome::Fail => -1,
            Outcome::Abort => 0,
            // The checker counts what is not there as missing.
            Outcome::Skip => {
                log.push(one_line(&format!(
                    "{}: skipped: {}",
                    check.id, check.message
                )));
                continue;
            }
        };
        if check.outcome != Outcome::Pass {
            let accepted = check.accepted.iter();
            let accepted: String = accepted.map(|why| format!(" (accepted: {why})")).collect();
            log.push(one_line(&format!(
                "{}: {}{accepted}",
                check.id, check.message
            )));
        }
        tests.push((check.id, TestResult { result }));
    }
    // They were told in the order in which they ended, which is another each time.
    tests.sort_by(|one, other| one.0.cmp(&other.0));
    let suites = Vec::from_iter(suites).join(",");
    let report = GroupsReport {
        head: GroupsHead {
            uuid: uuid(&start.run),
            creator: format!("stackgate; version={}", start.version),
            scope: format!("stackgate/{suites}"),
        },
        checked_at: start.at.to_zoned(TimeZone::UTC).datetime(),
        rest: GroupsRest {
            subject: start.stack,
            tests: Pairs(tests),
            log,
        },
    };
    report.write(out)
}

/// The same run always has the same.
fn uuid(run: &RunId) -> String {
    let mut bytes = [0; 16];
    for (part, count) in bytes.chunks_mut(4).zip(0..) {
        let id = run.derived(count);
        let number = u32::from_str_radix(id.as_str(), 16).unwrap_or_default();
        part.copy_from_slice(&number.to_be_bytes());
    }
    Builder::from_random_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_an_id_of_its_own_that_stays() {
        let (one, other) = (RunId::of_seed(1), RunId::of_seed(2));
        assert_eq!(uuid(&one), uuid(&one));
        assert_ne!(uuid(&one), uuid(&other));
        assert_eq!(uuid(&one).len(), 36);
    }
}
