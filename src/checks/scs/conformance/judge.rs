//! What a run of the conformance image shows. A pass needs all of it: the run that was asked for, its whole
//! report, enough cases, and none that failed but those that the stack accepts.

use super::junit::{Node, Report, State};
use super::settings::Asked;
use crate::checks::Answer;
use crate::checks::judgement::{Judgement, problem};
use crate::record::{Blocker, Outcome};
use crate::stack::OkToFail;

/// How many cases of a sort are named.
const NAMED: usize = 20;

/// How the conformance container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: i64,
    /// What the kubelet says of it, e.g. `OOMKilled`.
    pub reason: String,
}

impl Exit {
    fn told(&self) -> String {
        match self.reason.as_str() {
            "" => format!("exit code {}", self.code),
            reason => format!("exit code {}, {reason}", self.code),
        }
    }
}

/// What a run left.
pub struct Ran<'a> {
    /// What was asked for.
    pub asked: &'a Asked,
    /// How the container ended.
    pub exit: Exit,
    /// The report, or why there is none.
    pub report: Result<Report, String>,
    /// How many cases passed only when they were tried again.
    pub flaky: usize,
    /// Their names.
    pub flakes: Vec<String>,
    /// The last lines of its log, for when there is no report.
    pub log: Vec<String>,
    /// Failures that the stack accepts, by the names of cases.
    pub ok_to_fail: &'a [OkToFail],
}

impl Ran<'_> {
    /// Judges it.
    pub fn judge(&self) -> Answer {
        let mut answer = self.answer();
        answer.evidence.insert(0, self.asked.told());
        let flakes = self.flakes.iter();
        let flakes = flakes.map(|name| format!("passed only when tried again: {name}"));
        answer.evidence.extend(bounded(flakes.collect()));
        answer
    }

    fn answer(&self) -> Answer {
        let report = match &self.report {
            Ok(report) => report,
            Err(why) => {
                let ended = self.exit.told();
                return abort(
                    format!("the tests ended with {ended}, and {why}"),
                    self.log.clone(),
                );
            }
        };
        if let Err(why) = self.is_as_asked(report) {
            return abort(why, Vec::new());
        }
        let (accepted, failed) = self.failures(report);
        if !failed.is_empty() {
            return self.failure(report, &accepted, failed);
        }
        if let Err((why, evidence)) = self.is_complete(report, accepted.len()) {
            return abort(why, evidence);
        }
        let passed = report.count(&State::Passed);
        let mut message = format!("{passed} of {} cases passed", passed + accepted.len());
        if !accepted.is_empty() {
            message = format!("{message}, {} failed as accepted", accepted.len());
        }
        let evidence = self.accepted_lines(&accepted);
        if self.flaky > 0 {
            let message = format!("{message}, {} of them only when tried again", self.flaky);
            return Answer {
                outcome: Outcome::Flaky,
                message,
                evidence,
            };
        }
        Answer {
            outcome: Outcome::Pass,
            message,
            evidence,
        }
    }

    /// Whether the report is of the run that was asked for: what else ran shows nothing, however well.
    fn is_as_asked(&self, report: &Report) -> Result<(), String> {
        let asked = self.asked;
        let processes = asked.processes.to_string();
        let attempts = asked.flake_attempts.to_string();
        for (name, what, wanted) in [
            ("DryRun", "a dry run", "false"),
            ("FocusStrings", "the focus", asked.focus.as_str()),
            ("SkipStrings", "what is skipped", asked.skip.as_str()),
            ("ParallelTotal", "the number of processes", &processes),
            ("FlakeAttempts", "the number of attempts", &attempts),
        ] {
            match report.property(name) {
                Some(is) if is == wanted => {}
                Some(is) => {
                    return Err(format!(
                        "the report is of another run than was asked for: {what} is `{is}`, not `{wanted}`"
                    ));
                }
                None => return Err(format!("the report does not tell {what} ({name})")),
            }
        }
        Ok(())
    }

    /// Cases that failed as the stack accepts, and all else that failed.
    fn failures<'r>(&self, report: &'r Report) -> (Vec<(&'r Node, &OkToFail)>, Vec<&'r Node>) {
        let (mut accepted, mut failed) = (Vec::new(), Vec::new());
        for node in report
            .nodes
            .iter()
            .filter(|node| node.state == State::Failed)
        {
            let entry = self
                .ok_to_fail
                .iter()
                .find(|one| one.regex.is_match(&node.name));
            match entry.filter(|_| node.is_case()) {
                Some(entry) => accepted.push((node, entry)),
                None => failed.push(node),
            }
        }
        (accepted, failed)
    }

    fn failure(
        &self,
        report: &Report,
        accepted: &[(&Node, &OkToFail)],
        failed: Vec<&Node>,
    ) -> Answer {
        let ran = report.cases().any(|case| case.state != State::Skipped);
        if !ran {
            let lines = failed.iter().map(|node| told(node).to_string()).collect();
            let first = failed.first().map(|node| node.title()).unwrap_or_default();
            return abort(format!("no case ran, since {first} failed"), lines);
        }
        let passed = report.count(&State::Passed);
        let count = failed.len();
        let mut answer: Answer = Judgement::Fail(failed.into_iter().map(told).collect()).into();
        answer.message = format!(
            "{count} failed, {passed} passed, {} failed as accepted: {}",
            accepted.len(),
            answer.message
        );
        answer.evidence.extend(self.accepted_lines(accepted));
        answer
    }

    /// Whether nothing is missing of which a pass could be made up.
    fn is_complete(&self, report: &Report, accepted: usize) -> Result<(), (String, Vec<String>)> {
        let plain = |why: String| (why, Vec::new());
        let unfinished: Vec<String> = report
            .nodes
            .iter()
            .filter_map(|node| match &node.state {
                State::Unfinished(how) => Some(format!("{}: {how}", node.title())),
                _ => None,
            })
            .collect();
        if !unfinished.is_empty() {
            let why = format!("{} case(s) did not come to an end", unfinished.len());
            return Err((why, bounded(unfinished)));
        }
        match report.property("SpecialSuiteFailureReason") {
            Some("") => {}
            Some(reason) => return Err(plain(format!("the suite says: {reason}"))),
            None => {
                return Err(plain(
                    "the report does not tell whether the suite was ended".to_owned(),
                ));
            }
        }
        if let Some(missing) = report.missing() {
            return Err(plain(missing));
        }
        let well = accepted == 0;
        let succeeded = report.property("SuiteSucceeded");
        if succeeded != Some(if well { "true" } else { "false" }) {
            let says = succeeded.unwrap_or("nothing");
            return Err(plain(format!(
                "{accepted} case(s) failed, and of having succeeded the suite says `{says}`"
            )));
        }
        // ginkgo's way to say that cases failed is 1; a signal or anything else is another story.
        if self.exit.code != i64::from(!well) {
            let ended = self.exit.told();
            return Err(plain(format!(
                "the tests ended with {ended}, and {accepted} case(s) failed"
            )));
        }
        let passed = report.count(&State::Passed);
        let ran = report
            .cases()
            .filter(|case| case.state != State::Skipped)
            .count();
        let out: Vec<String> = report
            .cases()
            .filter(|case| case.left_itself_out())
            .map(|case| format!("left itself out: {}: {}", case.title(), case.said))
            .collect();
        if passed == 0 {
            return Err(("no case passed".to_owned(), bounded(out)));
        }
        let least = usize::try_from(self.asked.minimum).unwrap_or(usize::MAX);
        if ran < least {
            let why = format!(
                "{ran} cases ran and {} left themselves out, where at least {least} should run",
                out.len()
            );
            return Err((why, bounded(out)));
        }
        Ok(())
    }

    /// What the reader should know about accepted failures.
    fn accepted_lines(&self, accepted: &[(&Node, &OkToFail)]) -> Vec<String> {
        let lines = accepted
            .iter()
            .map(|(node, entry)| format!("accepted: {} ({})", node.title(), entry.reason));
        bounded(lines.collect())
    }
}

/// What the stack accepts and no case needs, of the patterns that name cases.
pub fn idle(report: &Report, ok_to_fail: &[OkToFail]) -> Vec<String> {
    let idle = ok_to_fail.iter().filter_map(|entry| {
        let OkToFail { regex, reason } = entry;
        let mut named = report
            .cases()
            .filter(|case| case.state != State::Skipped && regex.is_match(&case.name))
            .peekable();
        named.peek()?;
        let all_pass = named.all(|case| case.state == State::Passed);
        all_pass.then(|| {
            format!("okToFail: every case that `{regex}` names ({reason}) passes: remove the entry")
        })
    });
    idle.collect()
}

fn told(node: &Node) -> Blocker {
    let kind = if node.is_case() { "Case" } else { "Suite" };
    let said = match node.said.as_str() {
        "" => "failed without a word",
        said => said,
    };
    problem("workload", kind, "", node.title(), said)
}

fn abort(why: String, evidence: Vec<String>) -> Answer {
    Answer {
        outcome: Outcome::Abort,
        message: format!("could not be judged: {why}"),
        evidence,
    }
}

fn bounded(mut lines: Vec<String>) -> Vec<String> {
    if lines.len() > NAMED {
        let more = lines.len() - NAMED;
        lines.truncate(NAMED);
        lines.push(format!("and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests;
