//! A phase or a check as a case: what counts as failure, error or skipped, and with which words.

use std::io::{self, Write};

use super::xml::Xml;
use crate::record::{CheckResult, Outcome, Phase, ProbeResult, Severity, Verdict};
use crate::report::overview::{Overview, PhaseView, State};
use crate::report::probes;
use crate::report::standing::Standing;

/// One case.
pub struct Case {
    name: String,
    seconds: f64,
    /// How it counts.
    pub mark: Mark,
    /// A stable word for what failed: a check's id, a cause, or one of this file's.
    kind: String,
    message: String,
    text: String,
}

/// How a case counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It passed.
    Passed,
    /// It failed: somebody has to mend the stack.
    Failure,
    /// It could not be judged: somebody has to look at the infrastructure.
    Error,
    /// It was not run, does not apply, or its failure does not count.
    Skipped,
}

impl Case {
    /// The case of one check.
    pub fn of_check(check: &CheckResult) -> Self {
        let CheckResult {
            id,
            message,
            severity,
            ..
        } = check;
        let (mark, kind, message) = match Standing::of(check) {
            Standing::Passed => (Mark::Passed, "", message.clone()),
            Standing::Failed => (Mark::Failure, id.as_str(), message.clone()),
            Standing::Aborted => (Mark::Error, id.as_str(), message.clone()),
            // The schemas know no flaky case; one that counts as passed would show no word of it.
            Standing::Flaky => (Mark::Skipped, "", format!("flaky: {message}")),
            Standing::NotApplicable => (Mark::Skipped, "", message.clone()),
            // No consumer shows passed cases' words, and a warning that nobody sees is none.
            Standing::Warning => {
                let how = match check.outcome {
                    Outcome::Abort => "could not be judged",
                    _ => "is not met",
                };
                let draft = match &check.standard {
                    Some(standard) if *severity == Severity::Must => format!(" of {standard}"),
                    _ => String::new(),
                };
                let message = format!("warning, {severity}{draft} {how}: {message}");
                (Mark::Skipped, "", message)
            }
            Standing::Accepted => {
                let reason = check.accepted.as_deref().unwrap_or_default();
                (Mark::Skipped, "", format!("fails, accepted: {reason}"))
            }
        };
        Self {
            name: id.clone(),
            seconds: check.seconds,
            mark,
            kind: kind.to_owned(),
            message,
            text: check_text(check),
        }
    }

    /// The case of one probe.
    pub fn of_probe(result: &ProbeResult) -> Self {
        let (mark, kind) = match probes::standing(result) {
            Standing::Failed => (Mark::Failure, result.probe.as_str()),
            Standing::Aborted => (Mark::Error, result.probe.as_str()),
            Standing::NotApplicable => (Mark::Skipped, ""),
            Standing::Passed | Standing::Flaky | Standing::Warning | Standing::Accepted => {
                (Mark::Passed, "")
            }
        };
        let (allowed, gap) = (probes::budget(&result.budget), &result.longest_gap);
        let gap = gap.as_ref().map(probes::gap).unwrap_or_default();
        let text = format!(
            "{}\nallowed: {allowed}\n{}\n{gap}",
            result.title, result.message
        );
        Self {
            name: format!("probe {}", result.probe),
            seconds: 0.0,
            mark,
            kind: kind.to_owned(),
            message: result.message.clone(),
            text: text.trim_end().to_owned(),
        }
    }

    fn of(view: &PhaseView, mark: Mark, kind: &str, message: impl Into<String>) -> Self {
        Self {
            name: view.phase.name().to_owned(),
            seconds: view.seconds,
            mark,
            kind: kind.to_owned(),
            message: message.into(),
            text: String::new(),
        }
    }

    /// Writes the case as one of `class`.
    pub fn write(&self, class: &str, xml: &mut Xml<impl Write>) -> io::Result<()> {
        let time = seconds(self.seconds);
        let attributes = [
            ("name", self.name.as_str()),
            ("classname", class),
            ("time", &time),
        ];
        let element = match self.mark {
            Mark::Passed => return xml.empty("testcase", &attributes),
            Mark::Failure => "failure",
            Mark::Error => "error",
            Mark::Skipped => "skipped",
        };
        xml.open("testcase", &attributes)?;
        // Ant's schema allows no type of a skipped case.
        let why = [
            ("message", self.message.as_str()),
            ("type", self.kind.as_str()),
        ];
        let why = if self.mark == Mark::Skipped {
            &why[..1]
        } else {
            &why[..]
        };
        xml.text(element, why, &self.text)?;
        xml.close("testcase")
    }
}

/// Seconds as every schema takes them.
pub fn seconds(seconds: f64) -> String {
    format!(
        "{:.3}",
        if seconds.is_finite() {
            seconds.max(0.0)
        } else {
            0.0
        }
    )
}

fn check_text(check: &CheckResult) -> String {
    let CheckResult {
        id,
        title,
        suite,
        severity,
        message,
        evidence,
        surroundings,
        ..
    } = check;
    let mut text = format!("{id} ({severity}, suite {suite}): {title}\n");
    if let Some(standard) = &check.standard {
        let url = standard.url.as_deref().unwrap_or_default();
        text.push_str(format!("{standard} {url}").trim_end());
        text.push('\n');
    }
    text.push_str(message);
    text.push('\n');
    for line in evidence {
        text.push_str(line);
        text.push('\n');
    }
    if !surroundings.is_unknown() {
        text.push_str(&format!("on {surroundings}\n"));
    }
    text
}

/// The case of a phase as a whole.
pub fn of_phase(overview: &Overview, view: &PhaseView) -> Case {
    Case {
        name: overview.label(view.phase).to_owned(),
        ..ended(overview, view)
    }
}

fn ended(overview: &Overview, view: &PhaseView) -> Case {
    if view.phase == Phase::Verdict {
        return of_verdict(overview, view);
    }
    let cause = view.finding.as_ref().map(|finding| finding.cause.as_str());
    let message = view.message.clone().unwrap_or_default();
    match view.state {
        State::Passed => Case::of(view, Mark::Passed, "", ""),
        State::Failed => Case {
            text: evidence(view),
            ..Case::of(
                view,
                Mark::Failure,
                cause.unwrap_or("phase-failed"),
                message,
            )
        },
        State::Aborted => Case {
            text: evidence(view),
            ..Case::of(view, Mark::Error, cause.unwrap_or("phase-aborted"), message)
        },
        State::Running => {
            let case = Case::of(view, Mark::Error, "run-ended-here", "the run ended here");
            Case {
                text: evidence(view),
                ..case
            }
        }
        State::Skipped(because) => {
            let because = match message.as_str() {
                "" => format!("because of {because}"),
                message => format!("because of {because}: {message}"),
            };
            Case::of(view, Mark::Skipped, "", because)
        }
        State::NotReached => Case::of(view, Mark::Skipped, "", "the run ended before this phase"),
    }
}

/// This case is the verdict, whatever became of its phase: a report of a gate that is not open is
/// never all green.
fn of_verdict(overview: &Overview, view: &PhaseView) -> Case {
    let Some((verdict, reason, _)) = &overview.verdict else {
        let message = "the run ended without a verdict";
        return Case::of(view, Mark::Error, "no-verdict", message);
    };
    match verdict {
        Verdict::Open => Case::of(view, Mark::Passed, "", ""),
        Verdict::Closed => Case::of(view, Mark::Failure, "gate-closed", reason),
        Verdict::None => Case::of(view, Mark::Error, "no-verdict", reason),
        Verdict::NothingRan => Case::of(view, Mark::Error, "nothing-ran", reason),
        Verdict::Interrupted => Case::of(view, Mark::Error, "interrupted", reason),
    }
}

/// What is known about why a phase did not end well.
fn evidence(view: &PhaseView) -> String {
    let mut lines = Vec::new();
    if let Some(finding) = &view.finding {
        lines.push(format!("{}: {}", finding.object, finding.message));
        lines.extend(finding.evidence.iter().cloned());
    }
    if let Some((what, blockers)) = &view.blocked {
        lines.push(format!("waiting for {what}:"));
        lines.extend(blockers.iter().map(|blocker| format!("  {blocker}")));
    }
    lines.join("\n")
}
