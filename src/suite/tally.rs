//! Results in numbers, as one line.

use crate::record::{CheckResult, Outcome};

/// How many checks ended how, e.g. `38 passed, 1 failed, 2 accepted`; what did not occur is left out.
#[must_use]
pub fn tally(results: &[CheckResult]) -> String {
    let count = |ended: &dyn Fn(&CheckResult) -> bool| results.iter().filter(|r| ended(r)).count();
    let failed = |result: &CheckResult| result.outcome == Outcome::Fail;
    let numbers = [
        (count(&|r| r.outcome == Outcome::Pass), "passed"),
        (count(&|r| r.outcome == Outcome::Flaky), "flaky"),
        (count(&|r| failed(r) && r.accepted.is_none()), "failed"),
        (count(&|r| failed(r) && r.accepted.is_some()), "accepted"),
        (count(&|r| r.outcome == Outcome::Abort), "not judged"),
        (count(&|r| r.outcome == Outcome::Skip), "skipped"),
    ];
    let told: Vec<String> = numbers
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    if told.is_empty() {
        return "no check ran".to_owned();
    }
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Phase, Severity};

    fn result(outcome: Outcome, accepted: Option<&str>) -> CheckResult {
        CheckResult {
            phase: Phase::CheckAfter,
            id: String::new(),
            title: String::new(),
            suite: String::new(),
            severity: Severity::Must,
            outcome,
            message: String::new(),
            evidence: vec![],
            seconds: 0.0,
            accepted: accepted.map(str::to_owned),
            standard: None,
            excluded: false,
            surroundings: Default::default(),
        }
    }

    #[test]
    fn each_result_is_counted_once() {
        let results = [
            result(Outcome::Pass, None),
            result(Outcome::Pass, None),
            result(Outcome::Fail, None),
            result(Outcome::Fail, Some("known")),
            result(Outcome::Abort, None),
            result(Outcome::Skip, None),
            result(Outcome::Flaky, None),
        ];
        assert_eq!(
            tally(&results),
            "2 passed, 1 flaky, 1 failed, 1 accepted, 1 not judged, 1 skipped"
        );
        assert_eq!(tally(&results[..1]), "1 passed");
        assert_eq!(tally(&[]), "no check ran");
    }
}
