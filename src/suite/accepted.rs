//! Failures that a stack accepts: which count, and which entries nobody needs any more.

use jiff::civil::Date;

use crate::record::{CheckResult, Outcome};
use crate::stack::Accepted;

/// The reason why a failure of `check` is accepted today; none when it is not.
pub(super) fn reason<'a>(accepted: &'a [Accepted], check: &str, today: Date) -> Option<&'a str> {
    accepted
        .iter()
        .find(|entry| entry.check == check && !is_expired(entry, today))
        .map(|entry| entry.reason.as_str())
}

fn is_expired(entry: &Accepted, today: Date) -> bool {
    entry.expires.is_some_and(|last_day| today > last_day.get())
}

/// What the reader should know about entries that had no effect.
pub(super) fn notes(accepted: &[Accepted], results: &[CheckResult], today: Date) -> Vec<String> {
    accepted
        .iter()
        .filter_map(|entry| {
            let Accepted { check, reason, expires } = entry;
            let result = results.iter().find(|result| result.id == *check);
            match (result, expires) {
                (None, _) => Some(format!(
                    "a failure of `{check}` is accepted ({reason}), but no suite of this run has this check: remove the entry or correct its id"
                )),
                (Some(_), Some(last_day)) if is_expired(entry, today) => Some(format!(
                    "the acceptance of `{check}` ({reason}) expired on {last_day}: its failure counts again"
                )),
                (Some(result), _) if result.outcome == Outcome::Pass => Some(format!(
                    "a failure of `{check}` is accepted ({reason}), but it passes: remove the entry"
                )),
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Phase, Severity};
    use jiff::civil::date;

    fn entry(check: &str, expires: Option<Date>) -> Accepted {
        Accepted {
            check: check.to_owned(),
            reason: "known".to_owned(),
            expires: expires.map(Into::into),
        }
    }

    fn result(outcome: Outcome) -> CheckResult {
        CheckResult {
            phase: Phase::CheckBefore,
            id: "a".to_owned(),
            title: String::new(),
            suite: String::new(),
            severity: Severity::Must,
            outcome,
            message: String::new(),
            evidence: vec![],
            seconds: 0.0,
            accepted: None,
            standard: None,
        }
    }

    const TODAY: Date = date(2026, 5, 1);

    #[test]
    fn an_entry_counts_for_its_check_up_to_its_last_day() {
        assert_eq!(reason(&[entry("a", None)], "a", TODAY), Some("known"));
        assert_eq!(
            reason(&[entry("a", Some(TODAY))], "a", TODAY),
            Some("known")
        );
        assert_eq!(
            reason(&[entry("a", Some(date(2026, 4, 30)))], "a", TODAY),
            None
        );
        assert_eq!(reason(&[entry("b", None)], "a", TODAY), None);
    }

    #[test]
    fn an_entry_without_effect_is_told() {
        let told = |entry: Accepted, outcome| notes(&[entry], &[result(outcome)], TODAY).join("");
        assert_eq!(told(entry("a", None), Outcome::Fail), "");
        assert!(told(entry("a", None), Outcome::Pass).contains("but it passes"));
        assert!(told(entry("b", None), Outcome::Fail).contains("no suite of this run"));
        let expired = entry("a", Some(date(2026, 4, 30)));
        assert!(told(expired, Outcome::Fail).contains("expired on 2026-04-30"));
    }
}
