//! `scs.yaml`: a run that only checks, in the form of the SCS checker's report.
//!
//! Such a run is no certificate scope, so the specification that it names is the run's own: it says which
//! suites were asked, not that somebody is certified. `stackgate scs-check` reports on scopes.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use uuid::Builder;

use super::overview::Overview;
use super::scs_yaml::{Invocation, ModulesReport, ModulesRest, Pairs, Run, Spec};
use super::text::one_line;
use crate::record::{self, CheckResult, Outcome, RunId, What};

/// Writes the report of a stream as far as it goes.
///
/// # Errors
/// When the stream cannot be read or is empty, or `out` cannot be written.
pub fn write(stream: &Path, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let start = overview
        .start
        .context("expected a run's start as its first event")?;
    let mut answers = Vec::new();
    for event in record::read(stream)? {
        if let What::Check(check) = event?.what {
            answers.push(check);
        }
    }
    // They were told in the order in which they ended, which is another each time.
    answers.sort_by(|one, other| one.id.cmp(&other.id));
    let suites: BTreeSet<&str> = answers.iter().map(|check| check.suite.as_str()).collect();
    let at = start.at.to_zoned(TimeZone::UTC).datetime();
    let code = overview.end.map_or(-1, |(code, _)| i32::from(code));
    let command = one_line(&start.command.join(" "));
    let invocation = invocation(id(&start.run, 2), command, code, &answers);
    let report = ModulesReport {
        spec: Spec {
            uuid: id(&start.run, 0),
            name: format!("stackgate, suites {}", Vec::from_iter(suites).join(", ")),
            url: String::new(),
        },
        checked_at: at,
        reference_date: at.date(),
        rest: ModulesRest {
            subject: start.stack,
            run: Run {
                uuid: id(&start.run, 1),
                argv: start.command,
                assignment: Pairs(vec![("kubernetes".to_owned(), start.to.kubernetes)]),
                sections: None,
                forced_version: None,
                forced_tests: None,
                invocations: Pairs(vec![(invocation.id.clone(), invocation)]),
            },
        },
    };
    report.write(out)
}

/// All checks as one script's.
fn invocation(id: String, cmd: String, rc: i32, answers: &[CheckResult]) -> Invocation {
    let mut invocation = Invocation {
        id,
        cmd,
        results: Pairs(Vec::new()),
        rc,
        stdout: Vec::new(),
        stderr: Vec::new(),
        info: 0,
        warning: 0,
        error: 0,
        critical: 0,
    };
    for check in answers {
        let (number, word) = match check.outcome {
            Outcome::Pass | Outcome::Flaky => (1, "PASS"),
            Outcome::Fail => (-1, "FAIL"),
            Outcome::Abort => (0, "ABORT"),
            // As for the checker what nobody spoke of: it counts it as missing.
            Outcome::Skip => continue,
        };
        invocation.results.0.push((check.id.clone(), number));
        invocation.stdout.push(format!("{}: {word}", check.id));
        let level = match (check.outcome, &check.accepted) {
            (Outcome::Pass | Outcome::Skip, _) => continue,
            (Outcome::Flaky, _) | (Outcome::Fail, Some(_)) => {
                invocation.warning += 1;
                "WARNING"
            }
            (Outcome::Fail | Outcome::Abort, _) => {
                invocation.error += 1;
                "ERROR"
            }
        };
        let told = format!("{level}: {}: {}", check.id, check.message);
        invocation.stderr.push(one_line(&told));
    }
    invocation
}

/// An id that follows from the run's: the report is the same whenever it is made.
fn id(run: &RunId, which: u8) -> String {
    let mut bytes = [0; 16];
    bytes[0] = which;
    let own = &mut bytes[8..];
    for (byte, letter) in own.iter_mut().zip(run.as_str().bytes()) {
        *byte = letter;
    }
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Phase, Severity, Surroundings};

    fn answer(id: &str, outcome: Outcome, accepted: Option<&str>) -> CheckResult {
        CheckResult {
            phase: Phase::CheckBefore,
            id: id.to_owned(),
            title: String::new(),
            suite: "own".to_owned(),
            severity: Severity::Must,
            outcome,
            message: "so\nit is".to_owned(),
            evidence: vec![],
            seconds: 0.0,
            accepted: accepted.map(str::to_owned),
            standard: None,
            surroundings: Surroundings::default(),
            excluded: false,
        }
    }

    #[test]
    fn each_answer_has_its_number_and_what_did_not_pass_its_words() {
        let answers = [
            answer("a", Outcome::Pass, None),
            answer("b", Outcome::Flaky, None),
            answer("c", Outcome::Fail, None),
            answer("d", Outcome::Fail, Some("known")),
            answer("e", Outcome::Abort, None),
            answer("f", Outcome::Skip, None),
        ];
        let told = invocation(String::new(), String::new(), 1, &answers);
        let numbers: Vec<i8> = told.results.0.iter().map(|(_, number)| *number).collect();
        assert_eq!(numbers, [1, 1, -1, -1, 0]);
        assert_eq!((told.warning, told.error), (2, 2));
        assert_eq!(
            told.stderr,
            [
                "WARNING: b: so it is",
                "ERROR: c: so it is",
                "WARNING: d: so it is",
                "ERROR: e: so it is"
            ]
        );
        assert_eq!(told.stdout[4], "e: ABORT");
    }

    #[test]
    fn a_run_has_ids_of_its_own_that_stay() {
        let (one, other) = (RunId::of_seed(1), RunId::of_seed(2));
        assert_eq!(id(&one, 0), id(&one, 0));
        assert_ne!(id(&one, 0), id(&one, 1));
        assert_ne!(id(&one, 0), id(&other, 0));
    }
}
