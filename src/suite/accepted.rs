//! Failures that a stack accepts: which count, and which entries nobody needs any more.

use jiff::civil::Date;

use crate::record::{CheckResult, Outcome, Phase};
use crate::stack::{Accepted, OkToFail, Version};

/// When acceptances are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'a> {
    pub(super) today: Date,
    /// The cluster's version.
    pub(super) kubernetes: &'a str,
    /// The version before the upgrade, after it.
    pub(super) from: Option<&'a str>,
    pub(super) phase: Phase,
    /// No other round follows or went before: the cluster is not upgraded.
    pub(super) alone: bool,
}

/// What a stack accepts: entries of its own file, and those of a file in the form of the SCS tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acceptance<'a> {
    /// By check.
    pub entries: &'a [Accepted],
    /// By the names of tests.
    pub ok_to_fail: &'a [OkToFail],
}

impl Acceptance<'_> {
    /// The reason why a failure is accepted today; none when it is not.
    pub(super) fn reason(
        self,
        failure: &CheckResult,
        today: Date,
        kubernetes: &str,
    ) -> Option<String> {
        let entry = self.entries.iter().find(|entry| {
            entry.check == failure.id
                && !is_expired(entry, today)
                && is_for(entry, kubernetes)
                && describes(entry, failure)
        });
        let entry = entry.map(|entry| entry.reason.clone());
        entry.or_else(|| {
            let found = self.ok_to_fail.iter().find(|one| names(one, failure));
            found.map(|one| one.reason.clone())
        })
    }

    /// What the reader should know about entries that had no effect. `cases` are patterns that a check has
    /// found to name cases of its own, and has told of.
    pub(super) fn notes(
        self,
        results: &[CheckResult],
        now: Now<'_>,
        cases: &[String],
    ) -> Vec<String> {
        let by_check =
            self.entries
                .iter()
                .filter_map(|entry| match is_for(entry, now.kubernetes) {
                    true => idle(entry, results, now),
                    false => elsewhere(entry, now),
                });
        let by_name = self
            .ok_to_fail
            .iter()
            .filter(|one| !cases.contains(&one.regex.to_string()))
            .filter_map(|one| idle_pattern(one, results, now));
        by_check.chain(by_name).collect()
    }
}

fn is_expired(entry: &Accepted, today: Date) -> bool {
    entry.expires.is_some_and(|last_day| today > last_day.get())
}

/// Whether the entry is meant for this version of Kubernetes.
fn is_for(entry: &Accepted, kubernetes: &str) -> bool {
    let Some(range) = &entry.versions else {
        return true;
    };
    let version = kubernetes.parse::<Version>();
    version.is_ok_and(|version| range.contains(version))
}

/// Whether the failure is the one that the entry means.
fn describes(entry: &Accepted, failure: &CheckResult) -> bool {
    let Some(pattern) = &entry.matches else {
        return true;
    };
    let mut told = std::iter::once(&failure.message).chain(&failure.evidence);
    told.any(|line| pattern.is_match(line))
}

fn names(one: &OkToFail, result: &CheckResult) -> bool {
    one.regex.is_match(&result.id) || one.regex.is_match(&result.title)
}

/// An entry that is meant for no version of the run. Before an upgrade it is too early to say: it may be
/// meant for the version after it.
fn elsewhere(entry: &Accepted, now: Now<'_>) -> Option<String> {
    let is = now.kubernetes;
    let is = match now.from {
        Some(from) if !is_for(entry, from) => format!("neither {from} nor {is}"),
        None if now.alone => is.to_owned(),
        _ => return None,
    };
    let (range, Accepted { check, reason, .. }) = (entry.versions.as_ref()?, entry);
    Some(format!(
        "a failure of `{check}` is accepted ({reason}) for Kubernetes {range}, and this is {is}: the entry has no effect"
    ))
}

/// What to do about an entry whose check passes. Before the upgrade it is too early to say: the check
/// may fail after it.
fn passes(now: Now<'_>) -> &'static str {
    if now.phase < Phase::Upgrade && !now.alone {
        "passes here"
    } else {
        "passes: remove the entry"
    }
}

fn idle(entry: &Accepted, results: &[CheckResult], now: Now<'_>) -> Option<String> {
    let Accepted { check, reason, .. } = entry;
    let Some(result) = results.iter().find(|result| result.id == *check) else {
        return Some(format!(
            "a failure of `{check}` is accepted ({reason}), but no suite of this run has this check: remove the entry or correct its id"
        ));
    };
    if let Some(last_day) = entry.expires.filter(|_| is_expired(entry, now.today)) {
        return Some(format!(
            "the acceptance of `{check}` ({reason}) expired on {last_day}: its failure counts again"
        ));
    }
    match (result.outcome, &entry.matches) {
        (Outcome::Pass | Outcome::Flaky, _) => Some(format!(
            "a failure of `{check}` is accepted ({reason}), but it {}",
            passes(now)
        )),
        (Outcome::Skip, _) if !result.excluded => Some(format!(
            "a failure of `{check}` is accepted ({reason}), but it is skipped: the entry has no effect"
        )),
        (Outcome::Fail, Some(pattern)) if !describes(entry, result) => Some(format!(
            "a failure of `{check}` is accepted ({reason}), but it fails for another reason than `{pattern}`: it counts"
        )),
        _ => None,
    }
}

fn idle_pattern(one: &OkToFail, results: &[CheckResult], now: Now<'_>) -> Option<String> {
    let OkToFail { regex, reason } = one;
    let mut named = results
        .iter()
        .filter(|result| names(one, result))
        .peekable();
    if named.peek().is_none() {
        return Some(format!(
            "okToFail: no check of this run is named by `{regex}` ({reason})"
        ));
    }
    let all_pass = named.all(|result| matches!(result.outcome, Outcome::Pass | Outcome::Flaky));
    all_pass.then(|| {
        format!(
            "okToFail: every check that `{regex}` names ({reason}) {}",
            passes(now)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Severity;
    use jiff::civil::date;

    fn entry(check: &str, expires: Option<Date>) -> Accepted {
        Accepted {
            check: check.to_owned(),
            reason: "known".to_owned(),
            matches: None,
            expires: expires.map(Into::into),
            versions: None,
        }
    }

    fn result(outcome: Outcome) -> CheckResult {
        CheckResult {
            phase: Phase::CheckBefore,
            id: "a".to_owned(),
            title: "Is a well?".to_owned(),
            suite: String::new(),
            severity: Severity::Must,
            outcome,
            message: "no zone".to_owned(),
            evidence: vec!["Node n1".to_owned()],
            seconds: 0.0,
            accepted: None,
            standard: None,
            excluded: false,
            surroundings: Default::default(),
        }
    }

    fn pattern(regex: &str) -> OkToFail {
        OkToFail {
            regex: regex.parse().unwrap(),
            reason: "upstream".to_owned(),
        }
    }

    const TODAY: Date = date(2026, 5, 1);

    fn reason(entries: &[Accepted], ok_to_fail: &[OkToFail]) -> Option<String> {
        let acceptance = Acceptance {
            entries,
            ok_to_fail,
        };
        acceptance.reason(&result(Outcome::Fail), TODAY, "v1.35.0")
    }

    fn told_in(
        phase: Phase,
        entries: &[Accepted],
        ok_to_fail: &[OkToFail],
        outcome: Outcome,
    ) -> String {
        told_of(phase, false, entries, ok_to_fail, outcome)
    }

    fn told_of(
        phase: Phase,
        alone: bool,
        entries: &[Accepted],
        ok_to_fail: &[OkToFail],
        outcome: Outcome,
    ) -> String {
        let acceptance = Acceptance {
            entries,
            ok_to_fail,
        };
        let now = Now {
            today: TODAY,
            kubernetes: "v1.35.0",
            from: (phase == Phase::CheckAfter).then_some("v1.34.3"),
            phase,
            alone,
        };
        acceptance
            .notes(&[result(outcome)], now, &["a case".to_owned()])
            .join("\n")
    }

    fn told(entries: &[Accepted], ok_to_fail: &[OkToFail], outcome: Outcome) -> String {
        told_in(Phase::CheckAfter, entries, ok_to_fail, outcome)
    }

    #[test]
    fn before_the_upgrade_nobody_is_asked_to_remove_an_entry() {
        let told = |entries: &[Accepted], patterns: &[OkToFail]| {
            told_in(Phase::CheckBefore, entries, patterns, Outcome::Pass)
        };
        assert!(told(&[entry("a", None)], &[]).ends_with("but it passes here"));
        assert!(told(&[], &[pattern("^a$")]).ends_with("passes here"));
    }

    #[test]
    fn an_entry_for_neither_version_and_one_whose_check_is_skipped_are_told() {
        let ranged = |range: &str| Accepted {
            versions: Some(range.parse().unwrap()),
            ..entry("a", None)
        };
        let told_of = told(&[ranged("<1.34")], &[], Outcome::Fail);
        assert!(told_of.contains("neither v1.34.3 nor v1.35.0"), "{told_of}");
        assert_eq!(told(&[ranged("<1.35")], &[], Outcome::Pass), "");
        let skipped = told(&[entry("a", None)], &[], Outcome::Skip);
        assert!(skipped.contains("but it is skipped"), "{skipped}");
    }

    #[test]
    fn of_a_cluster_that_is_not_upgraded_every_entry_without_effect_is_told_at_once() {
        let told = |entries: &[Accepted], patterns: &[OkToFail], outcome| {
            told_of(Phase::CheckBefore, true, entries, patterns, outcome)
        };
        let ranged = |range: &str| Accepted {
            versions: Some(range.parse().unwrap()),
            ..entry("a", None)
        };
        let elsewhere = told(&[ranged("<1.35")], &[], Outcome::Fail);
        assert!(
            elsewhere.contains("for Kubernetes <1.35, and this is v1.35.0"),
            "{elsewhere}"
        );
        assert_eq!(told(&[ranged(">=1.35")], &[], Outcome::Fail), "");
        // Of a run it may be meant for the version after the upgrade.
        assert_eq!(
            told_in(Phase::CheckBefore, &[ranged("<1.35")], &[], Outcome::Fail),
            ""
        );
        assert!(
            told(&[entry("a", None)], &[], Outcome::Pass).ends_with("passes: remove the entry")
        );
        assert!(told(&[], &[pattern("^a$")], Outcome::Pass).ends_with("passes: remove the entry"));
        let expired = entry("a", Some(date(2026, 4, 30)));
        assert!(told(&[expired], &[], Outcome::Fail).contains("expired on 2026-04-30"));
        assert!(told(&[entry("b", None)], &[], Outcome::Fail).contains("no suite of this run"));
    }

    #[test]
    fn an_entry_counts_for_its_check_up_to_its_last_day() {
        assert_eq!(reason(&[entry("a", None)], &[]).as_deref(), Some("known"));
        assert!(reason(&[entry("a", Some(TODAY))], &[]).is_some());
        assert!(reason(&[entry("a", Some(date(2026, 4, 30)))], &[]).is_none());
        assert!(reason(&[entry("b", None)], &[]).is_none());
    }

    #[test]
    fn an_entry_counts_for_the_failure_and_the_versions_that_it_means() {
        for (matches, versions, counts) in [
            (Some("zone$"), None, true),
            (Some("^Node n1"), Some("<1.36"), true),
            (Some("region"), None, false),
            (None, Some(">=1.36"), false),
        ] {
            let entry = Accepted {
                matches: matches.map(|pattern| pattern.parse().unwrap()),
                versions: versions.map(|range| range.parse().unwrap()),
                ..entry("a", None)
            };
            assert_eq!(
                reason(&[entry], &[]).is_some(),
                counts,
                "{matches:?} {versions:?}"
            );
        }
        let other = Accepted {
            matches: Some("region".parse().unwrap()),
            ..entry("a", None)
        };
        assert!(told(&[other], &[], Outcome::Fail).contains("for another reason than `region`"));
    }

    #[test]
    fn an_entry_without_effect_is_told() {
        assert_eq!(told(&[entry("a", None)], &[], Outcome::Fail), "");
        for outcome in [Outcome::Pass, Outcome::Flaky] {
            assert!(told(&[entry("a", None)], &[], outcome).contains("but it passes"));
        }
        assert!(told(&[entry("b", None)], &[], Outcome::Fail).contains("no suite of this run"));
        let expired = entry("a", Some(date(2026, 4, 30)));
        assert!(told(&[expired], &[], Outcome::Fail).contains("expired on 2026-04-30"));
    }

    #[test]
    fn a_pattern_of_the_scs_form_names_checks_by_id_or_title() {
        for (regex, counts) in [("^a$", true), ("a well", true), ("sctp", false)] {
            assert_eq!(reason(&[], &[pattern(regex)]).is_some(), counts, "{regex}");
        }
        assert_eq!(told(&[], &[pattern("^a$")], Outcome::Fail), "");
        assert!(told(&[], &[pattern("^a$")], Outcome::Pass).contains("remove the entry"));
        assert!(told(&[], &[pattern("sctp")], Outcome::Fail).contains("no check of this run"));
        assert_eq!(told(&[], &[pattern("a case")], Outcome::Fail), "");
    }
}
