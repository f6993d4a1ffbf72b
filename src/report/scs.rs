//! The run in the form of the SCS compliance checker's YAML report: each round of checks is an invocation.
//!
//! A run is not a certificate scope, so the specification that it names is the run's own: it says which
//! suites were asked, not that somebody is certified. A check that asks what a testcase of the scope asks bears the
//! testcase's id, others their own.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use jiff::tz::TimeZone;
use uuid::Builder;

use super::overview::{Overview, Start};
use super::pairs::{Answer, Pairs};
use super::scs_yaml::{Invocation, ModulesReport, ModulesRest, Pairs as Mapping, Run, Spec};
use super::text::one_line;
use crate::record::{Outcome, Phase};

/// Writes the report.
///
/// # Errors
/// When the stream cannot be read, or `out` cannot be written.
pub fn write(stream: &Path, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let start = overview.start(stream)?;
    let (mut before, mut after) = (Round::default(), Round::default());
    let mut suites: Vec<String> = Vec::new();
    for pair in Pairs::read(stream, overview.scope())? {
        let pair = pair?;
        let suite = &pair.first().suite;
        if !suites.contains(suite) {
            suites.push(suite.clone());
        }
        for (round, answer) in [(&mut before, &pair.before), (&mut after, &pair.after)] {
            if let Some(answer) = answer {
                round.take(answer);
            }
        }
    }
    let rounds = [(Phase::CheckBefore, before), (Phase::CheckAfter, after)];
    let rounds = rounds
        .into_iter()
        .filter(|(_, round)| !round.results.is_empty());
    let invocations = rounds.map(|(phase, round)| {
        let invocation = round.finish(&overview, start, phase);
        (invocation.id.clone(), invocation)
    });
    let mut name = format!("stackgate, suites {}", suites.join(", "));
    if let Some(rehearsal) = &start.rehearsal {
        name.push_str(&format!(" ({})", rehearsal.sentence()));
    }
    let ended = overview.last.map_or(start.at, |(_, at)| at);
    let utc = |at: jiff::Timestamp| at.to_zoned(TimeZone::UTC).datetime();
    let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let report = ModulesReport {
        spec: Spec {
            uuid: id(start, 0),
            name,
            url: String::new(),
        },
        checked_at: utc(ended),
        reference_date: utc(start.at).date(),
        rest: ModulesRest {
            // Of checks alone the run's subject; else the release that is to go out.
            subject: if overview.only_checks() {
                start.stack.clone()
            } else {
                start.to.tag.clone()
            },
            run: Run {
                uuid: id(start, 1),
                argv: start.command.clone(),
                assignment: Mapping(vec![
                    text("before", &start.from.tag),
                    text("after", &start.to.tag),
                    text("engine", &start.engine),
                ]),
                sections: None,
                forced_version: None,
                forced_tests: None,
                invocations: Mapping(invocations.collect()),
            },
        },
    };
    report.write(out)
}

/// An id that follows from the run's: the report is the same whenever it is made.
fn id(start: &Start, which: u8) -> String {
    let mut bytes = [0; 16];
    bytes[0] = which;
    bytes[8..].copy_from_slice(start.run.as_str().as_bytes());
    Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

#[derive(Default)]
struct Round {
    results: Vec<(String, i8)>,
    stderr: Vec<String>,
    warning: u32,
    error: u32,
    critical: u32,
}

impl Round {
    /// A check that does not apply has no verdict, as one that the checker was not told of. As there, what
    /// cannot be judged is a critical line, and a failure an error.
    fn take(&mut self, answer: &Answer) {
        let result = &answer.result;
        let number = match result.outcome {
            Outcome::Pass | Outcome::Flaky => 1,
            Outcome::Fail => -1,
            Outcome::Abort => 0,
            Outcome::Skip => return,
        };
        let testcase = result.standard.as_ref();
        let testcase = testcase.and_then(|standard| standard.testcase.as_deref());
        let id = testcase.unwrap_or(&result.id);
        match self.results.iter_mut().find(|(known, _)| known == id) {
            // Of several checks of one testcase the worst counts: failures go before aborts.
            Some((_, known)) => *known = number.min(*known),
            None => self.results.push((id.to_owned(), number)),
        }
        let told = |level: &str| format!("{level}: {}: {}", result.id, one_line(&result.message));
        match result.outcome {
            Outcome::Fail => {
                self.error += 1;
                self.stderr.push(told("ERROR"));
            }
            Outcome::Abort => {
                self.critical += 1;
                self.stderr.push(told("CRITICAL"));
            }
            Outcome::Flaky => {
                self.warning += 1;
                self.stderr.push(told("WARNING"));
            }
            Outcome::Pass | Outcome::Skip => {}
        }
    }

    fn finish(self, overview: &Overview, start: &Start, phase: Phase) -> Invocation {
        let code = overview.end.map_or(-1, |(code, _)| i32::from(code));
        let word = |number| match number {
            1 => "PASS",
            0 => "ABORT",
            _ => "FAIL",
        };
        let results = self.results.iter();
        let stdout = results.map(|(id, number)| format!("{id}: {}", word(*number)));
        let stdout = stdout.collect();
        Invocation {
            id: id(start, 2 + phase as u8),
            cmd: if overview.only_checks() {
                format!("stackgate check {}", start.stack)
            } else {
                format!("stackgate run {}: {phase}", start.stack)
            },
            results: Mapping(self.results),
            rc: code,
            stdout,
            stderr: self.stderr,
            info: 0,
            warning: self.warning,
            error: self.error,
            critical: self.critical,
        }
    }
}
