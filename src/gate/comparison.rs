//! The same checks before and after, compared, and what follows for the release.

use crate::record::{Change, CheckResult, Counts, Effect, Outcome, Verdict};

/// One check's results side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared<'a> {
    /// The check's id.
    pub id: &'a str,
    /// Its result before the upgrade.
    pub before: Option<&'a CheckResult>,
    /// Its result after the upgrade.
    pub after: Option<&'a CheckResult>,
    /// What that means.
    pub change: Change,
}

impl<'a> Compared<'a> {
    /// The result that counts: the one after, or the one before where the check is meant for that
    /// side alone.
    fn judged(&self) -> Option<&'a CheckResult> {
        let after = self.after.filter(|after| !after.excluded);
        after.or(self.before).or(self.after)
    }
}

/// Puts the results side by side, in the order of the checks after the upgrade; what was asked only
/// before comes last.
#[must_use]
pub fn compare<'a>(before: &'a [CheckResult], after: &'a [CheckResult]) -> Vec<Compared<'a>> {
    let only_before = before
        .iter()
        .filter(|old| !after.iter().any(|new| new.id == old.id));
    after
        .iter()
        .map(|new| (before.iter().find(|old| old.id == new.id), Some(new)))
        .chain(only_before.map(|old| (Some(old), None)))
        .filter_map(|(old, new)| {
            let id = new.or(old)?.id.as_str();
            Some(Compared {
                id,
                before: old,
                after: new,
                change: change(old, new),
            })
        })
        .collect()
}

fn change(before: Option<&CheckResult>, after: Option<&CheckResult>) -> Change {
    use Outcome::{Fail, Flaky, Pass};
    let Some(after) = after else {
        return Change::NotComparable;
    };
    if after.outcome == Fail && after.accepted.is_some() {
        return Change::Accepted;
    }
    // What is asked of one side alone has nothing to be compared with there.
    if before.is_some_and(|before| before.excluded) && after.outcome == Pass {
        return Change::Kept;
    }
    match (before.map(|before| before.outcome), after.outcome) {
        (Some(Pass | Flaky | Fail), Flaky) => Change::Flaky,
        (Some(Pass | Flaky), Pass) => Change::Kept,
        (Some(Fail), Pass) => Change::Fixed,
        (Some(Pass | Flaky), Fail) => Change::Regressed,
        (Some(Fail), Fail) => Change::StillFailing,
        _ => Change::NotComparable,
    }
}

/// The comparison in numbers.
#[must_use]
pub fn counts(compared: &[Compared<'_>]) -> Counts {
    let count = |change| {
        u32::try_from(compared.iter().filter(|one| one.change == change).count())
            .unwrap_or(u32::MAX)
    };
    Counts {
        kept: count(Change::Kept),
        fixed: count(Change::Fixed),
        flaky: count(Change::Flaky),
        regressed: count(Change::Regressed),
        still_failing: count(Change::StillFailing),
        accepted: count(Change::Accepted),
        not_comparable: count(Change::NotComparable),
    }
}

/// What follows for the release, with the reason in one sentence.
///
/// Closed: a MUST check fails after the upgrade and the stack does not accept it, whether it failed
/// before or not. No verdict: a MUST check could not be judged before or after, or is skipped after it
/// had an answer. Nothing ran: no check has an answer.
#[must_use]
pub fn verdict(compared: &[Compared<'_>]) -> (Verdict, String) {
    let must = |one: &&Compared<'_>| {
        one.judged()
            .is_some_and(|result| result.effect() == Effect::Closes && result.accepted.is_none())
    };
    let failed = |wanted: Outcome| {
        compared
            .iter()
            .filter(must)
            .filter(|one| one.judged().is_some_and(|result| result.outcome == wanted))
            // What got worse says more about the upgrade than what was never right.
            .min_by_key(|one| one.change != Change::Regressed)
    };
    let told = |one: &Compared<'_>| {
        let message = one
            .judged()
            .map(|result| result.message.as_str())
            .unwrap_or_default();
        format!("{}: {message}", one.id)
    };
    if let Some(one) = failed(Outcome::Fail) {
        return (Verdict::Closed, format!("{}, {}", told(one), one.change));
    }
    // A check that vanished after the upgrade was not judged either.
    if let Some(one) = compared.iter().find(|one| one.after.is_none()) {
        return (
            Verdict::None,
            format!("{}: not run after the upgrade", one.id),
        );
    }
    if let Some(one) = failed(Outcome::Abort) {
        return (Verdict::None, format!("{}, could not be judged", told(one)));
    }
    // An answer that is missing on one side leaves the upgrade unjudged, too.
    let half = |one: &&Compared<'_>| {
        // What is not meant for one side is judged on the other.
        if [one.before, one.after]
            .iter()
            .flatten()
            .any(|result| result.excluded)
        {
            return false;
        }
        let outcomes = [one.before, one.after].map(|result| result.map(|result| result.outcome));
        matches!(
            outcomes,
            [Some(Outcome::Abort), _]
                | [
                    Some(Outcome::Pass | Outcome::Flaky | Outcome::Fail),
                    Some(Outcome::Skip)
                ]
        )
    };
    if let Some(one) = compared.iter().filter(must).find(half) {
        let reason = format!("{}: judged on one side of the upgrade only", one.id);
        return (Verdict::None, reason);
    }
    let passed = compared
        .iter()
        .filter(|one| {
            one.after
                .is_some_and(|after| matches!(after.outcome, Outcome::Pass | Outcome::Flaky))
        })
        .count();
    if passed == 0 {
        return (
            Verdict::NothingRan,
            "no check had an answer after the upgrade".to_owned(),
        );
    }
    (
        Verdict::Open,
        format!("{passed} checks passed after the upgrade"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Phase, Severity, Standard, StandardStatus};

    fn result(id: &str, outcome: Outcome, severity: Severity) -> CheckResult {
        CheckResult {
            phase: Phase::CheckAfter,
            id: id.to_owned(),
            title: String::new(),
            suite: "health".to_owned(),
            severity,
            outcome,
            message: "why".to_owned(),
            evidence: vec![],
            seconds: 0.0,
            accepted: None,
            standard: None,
            excluded: false,
            surroundings: Default::default(),
        }
    }

    fn must(id: &str, outcome: Outcome) -> CheckResult {
        result(id, outcome, Severity::Must)
    }

    #[test]
    fn each_pair_of_outcomes_has_its_change() {
        use Outcome::{Abort, Fail, Flaky, Pass, Skip};
        for (before, after, wanted) in [
            (Pass, Flaky, Change::Flaky),
            (Fail, Flaky, Change::Flaky),
            (Flaky, Pass, Change::Kept),
            (Flaky, Fail, Change::Regressed),
            (Pass, Pass, Change::Kept),
            (Fail, Pass, Change::Fixed),
            (Pass, Fail, Change::Regressed),
            (Fail, Fail, Change::StillFailing),
            (Abort, Pass, Change::NotComparable),
            (Pass, Skip, Change::NotComparable),
        ] {
            let (before, after) = ([must("a", before)], [must("a", after)]);
            assert_eq!(compare(&before, &after)[0].change, wanted);
        }
    }

    #[test]
    fn a_must_that_fails_afterwards_closes_the_gate_and_the_regressed_one_is_named_first() {
        let before = [must("old", Outcome::Fail), must("new", Outcome::Pass)];
        let after = [must("old", Outcome::Fail), must("new", Outcome::Fail)];
        let (verdict, reason) = verdict(&compare(&before, &after));
        assert_eq!(
            (verdict, reason.as_str()),
            (Verdict::Closed, "new: why, regressed")
        );
    }

    #[test]
    fn a_should_that_fails_and_an_accepted_must_leave_it_open() {
        let mut accepted = must("known", Outcome::Fail);
        accepted.accepted = Some("upstream issue".to_owned());
        let after = [
            must("ok", Outcome::Pass),
            result("should", Outcome::Fail, Severity::Should),
            accepted,
        ];
        let compared = compare(&[], &after);
        assert_eq!(verdict(&compared).0, Verdict::Open);
        assert_eq!(counts(&compared).accepted, 1);
    }

    #[test]
    fn a_must_of_a_draft_warns_and_a_flaky_pass_leaves_it_open() {
        let mut draft = must("draft", Outcome::Fail);
        draft.standard = Some(Standard {
            name: "scs-0215".to_owned(),
            version: "v1".to_owned(),
            status: StandardStatus::Draft,
            url: None,
            testcase: None,
        });
        let after = [must("ok", Outcome::Flaky), draft.clone()];
        let before = [must("ok", Outcome::Pass)];
        let compared = compare(&before, &after);
        assert_eq!(verdict(&compared).0, Verdict::Open);
        assert_eq!(counts(&compared).flaky, 1);
        draft.standard = None;
        let after = [must("ok", Outcome::Flaky), draft];
        assert_eq!(verdict(&compare(&[], &after)).0, Verdict::Closed);
    }

    #[test]
    fn a_check_that_is_meant_for_one_side_is_judged_on_that_side() {
        use Outcome::{Abort, Fail, Pass, Skip};
        for (before, after, wanted) in [
            ((Pass, false), (Skip, true), Verdict::Open),
            ((Fail, false), (Skip, true), Verdict::Closed),
            ((Abort, false), (Skip, true), Verdict::None),
            ((Skip, true), (Pass, false), Verdict::Open),
            ((Skip, true), (Fail, false), Verdict::Closed),
            ((Skip, true), (Skip, true), Verdict::Open),
            ((Pass, false), (Skip, false), Verdict::None),
        ] {
            let side = |(outcome, excluded)| {
                let mut result = must("side", outcome);
                result.excluded = excluded;
                [result, must("ok", Pass)]
            };
            let (before, after) = (side(before), side(after));
            assert_eq!(verdict(&compare(&before, &after)).0, wanted, "{before:?}");
        }
    }

    #[test]
    fn what_could_not_be_judged_or_was_not_run_is_no_verdict() {
        let after = [must("ok", Outcome::Pass), must("dark", Outcome::Abort)];
        assert_eq!(verdict(&compare(&[], &after)).0, Verdict::None);
        let before = [must("gone", Outcome::Pass)];
        assert_eq!(verdict(&compare(&before, &[])).0, Verdict::None);
    }

    #[test]
    fn a_must_that_was_judged_on_one_side_only_is_no_verdict() {
        use Outcome::{Abort, Fail, Pass, Skip};
        for (before, after) in [(Pass, Skip), (Fail, Skip), (Abort, Pass), (Abort, Skip)] {
            let before = [must("half", before), must("ok", Pass)];
            let after = [must("half", after), must("ok", Pass)];
            assert_eq!(verdict(&compare(&before, &after)).0, Verdict::None);
        }
        let (skipped, passes) = ([must("late", Skip)], [must("late", Pass)]);
        assert_eq!(verdict(&compare(&skipped, &passes)).0, Verdict::Open);
    }

    #[test]
    fn a_run_in_which_nothing_ran_is_never_open() {
        assert_eq!(verdict(&[]).0, Verdict::NothingRan);
        let after = [must("a", Outcome::Skip)];
        assert_eq!(verdict(&compare(&[], &after)).0, Verdict::NothingRan);
    }
}
