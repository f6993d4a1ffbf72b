//! The version policy's rules (scs-0210-v2), as a function of the cluster's version, the data, the day.

use jiff::ToSpan;
use jiff::civil::Date;

use super::data::{Branch, VersionData};
use super::version::Release;
use crate::checks::Answer;
use crate::record::Outcome;

/// How long the latest patch may be out before it has to be offered: the standard's month, which its
/// own test takes as 31 days.
const PATCH_DAYS: i64 = 31;
/// The same when it fixes a critical vulnerability: two weeks.
const CRITICAL_DAYS: i64 = 14;
/// The same as a recommendation: two days.
const RECOMMENDED_DAYS: i64 = 2;
/// From which CVSS base score on a vulnerability is critical by scs-0210-v2.
const CRITICAL_SCORE: f64 = 8.0;
/// How many minor versions upstream supports at a time.
const BRANCHES: usize = 3;

/// Judges a cluster's version on a day.
#[must_use]
pub fn judge(git_version: &str, data: &VersionData, today: Date) -> Answer {
    let verdict = Judge { data, today }.verdict(git_version);
    let (outcome, message, mut evidence) = match verdict {
        Ok(passed) => passed,
        Err(why) => (Outcome::Abort, why, Vec::new()),
    };
    let notes = data.sources.iter().filter_map(|source| {
        let note = source.note.as_ref()?;
        Some(format!("{}: {note}", source.url))
    });
    evidence.extend(notes);
    evidence.push(format!(
        "judged on {today} by data of {}, valid until {}",
        data.generated_at, data.valid_until
    ));
    Answer {
        outcome,
        message,
        evidence,
    }
}

struct Judge<'a> {
    data: &'a VersionData,
    today: Date,
}

type Verdict = (Outcome, String, Vec<String>);

impl Judge<'_> {
    /// The verdict, or why there can be none.
    fn verdict(&self, git_version: &str) -> Result<Verdict, String> {
        let (data, today) = (self.data, self.today);
        if today >= data.valid_until {
            return Err(format!(
                "the version data of {} is valid until {}, and it is {today}; renew it with `stackgate data refresh`",
                data.generated_at, data.valid_until
            ));
        }
        let release: Release = git_version.parse()?;
        let branch = release.branch();
        let live: Vec<&str> = data
            .branches
            .iter()
            .filter(|one| today < one.end_of_life)
            .map(|one| one.branch.as_str())
            .collect();
        if live.len() < BRANCHES - 1 {
            return Err(format!(
                "the version data knows {} supported branches, and upstream has {BRANCHES}; renew it with `stackgate data refresh`",
                live.len()
            ));
        }
        let mut evidence = Vec::new();
        if live.len() < BRANCHES {
            evidence.push(format!(
                "warning: the data knows only {} supported branches",
                live.len()
            ));
        }
        if let Some(ended) = self.ended(release, &branch) {
            let message = format!(
                "{release} is of branch {branch}, which upstream has not supported since {ended}; supported are {}",
                live.join(", ")
            );
            return Ok((Outcome::Fail, message, evidence));
        }
        self.known(release, &branch)?;
        Ok(self.patches(release, evidence))
    }

    /// What is newer than anything in the data cannot be judged by it.
    fn known(&self, release: Release, branch: &str) -> Result<(), String> {
        let renew = "renew it with `stackgate data refresh`";
        if !self.data.branches.iter().any(|one| one.branch == branch) {
            return Err(format!(
                "the version data does not know branch {branch}; {renew}"
            ));
        }
        let newest = self
            .newer(Release(release.0, release.1, 0), true)
            .last()
            .map(|(release, _)| *release);
        match newest {
            Some(newest) if newest >= release => Ok(()),
            Some(newest) => Err(format!(
                "the cluster has {release}, and the newest that the version data knows is {newest}; {renew}"
            )),
            None => Err(format!(
                "the version data knows no release of branch {branch}; {renew}"
            )),
        }
    }

    /// When the support of a branch ended; of one that is older than any that is known, when that of the
    /// oldest ended.
    fn ended(&self, release: Release, branch: &str) -> Option<Date> {
        let first = |one: &Branch| format!("{}.0", one.branch).parse::<Release>().ok();
        let known = self.data.branches.iter().find(|one| one.branch == branch);
        let oldest = self.data.branches.iter().min_by_key(|one| first(one));
        let older = oldest.filter(|oldest| first(oldest).is_some_and(|oldest| release < oldest));
        let end = known.or(older)?.end_of_life;
        (self.today >= end).then_some(end)
    }

    /// Final releases of the same branch after `release` (or from it on), oldest first.
    fn newer(&self, release: Release, or_equal: bool) -> Vec<(Release, Date)> {
        let mut found: Vec<_> = self
            .data
            .releases
            .iter()
            .filter(|published| !published.prerelease && published.published_at <= self.today)
            .filter_map(|published| Some((published.tag.parse().ok()?, published.published_at)))
            .filter(|(other, _): &(Release, Date)| {
                other.branch() == release.branch()
                    && (*other > release || or_equal && *other == release)
            })
            .collect();
        found.sort_unstable();
        found
    }

    /// The highest score among critical vulnerabilities that `old` has and `new` has not.
    fn fixes(&self, old: Release, new: Release) -> Vec<&str> {
        let cves = self
            .data
            .cves
            .iter()
            .filter(|cve| cve.base_score >= CRITICAL_SCORE);
        cves.filter(|cve| {
            let affects = |release| cve.ranges.iter().any(|range| range.affects(release));
            affects(old) && !affects(new)
        })
        .map(|cve| cve.id.as_str())
        .collect()
    }

    fn patches(&self, release: Release, mut evidence: Vec<String>) -> Verdict {
        let mut late = Vec::new();
        for (newer, published) in self.newer(release, false) {
            let after = |days: i64| self.today > published.saturating_add(days.days());
            let fixes = self.fixes(release, newer);
            let fixing = fixes.join(", ");
            if !fixes.is_empty() && after(CRITICAL_DAYS) {
                late.push(format!("{newer} has been out since {published} and fixes {fixing}, for longer than {CRITICAL_DAYS} days"));
            } else if after(PATCH_DAYS) {
                late.push(format!(
                    "{newer} has been out since {published}, for longer than {PATCH_DAYS} days"
                ));
            } else if !fixes.is_empty() && after(RECOMMENDED_DAYS) {
                evidence.push(format!(
                    "warning: {newer} has been out since {published} and fixes {fixing}: {RECOMMENDED_DAYS} days are recommended"
                ));
            }
        }
        let Some(first) = late.first() else {
            let message = format!("{release} is supported, and no newer patch is overdue");
            return (Outcome::Pass, message, evidence);
        };
        let message = format!("{release} is outdated: {first}");
        evidence.splice(0..0, late);
        (Outcome::Fail, message, evidence)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::super::data::{Cve, Published, Range};
    use super::*;

    /// The vectors of the standard's own unit tests: 1.28.6 came out on 2024-01-17.
    fn data(cves: Vec<Cve>) -> VersionData {
        let branch = |branch: &str, end_of_life| Branch {
            branch: branch.to_owned(),
            end_of_life,
        };
        let release = |tag: &str, published_at| Published {
            tag: tag.to_owned(),
            published_at,
            prerelease: tag.contains("-rc"),
        };
        VersionData {
            schema: 1,
            generated_at: date(2024, 3, 1),
            valid_until: date(2024, 12, 1),
            sources: vec![],
            branches: vec![
                branch("1.26", date(2024, 2, 28)),
                branch("1.27", date(2024, 6, 28)),
                branch("1.28", date(2024, 10, 28)),
                branch("1.29", date(2025, 2, 28)),
            ],
            releases: vec![
                release("v1.28.5", date(2023, 12, 20)),
                release("v1.28.6", date(2024, 1, 17)),
                release("v1.29.0-rc.1", date(2023, 12, 1)),
                release("v1.29.1", date(2024, 1, 17)),
                release("v1.26.13", date(2024, 1, 17)),
            ],
            cves,
        }
    }

    fn critical(less_than: &str, base_score: f64) -> Vec<Cve> {
        vec![Cve {
            id: "CVE-2024-0001".to_owned(),
            base_score,
            cvss_key: "cvssV3_1".to_owned(),
            ranges: vec![Range {
                version: "1.28.0".to_owned(),
                less_than: Some(less_than.to_owned()),
                less_than_or_equal: None,
            }],
        }]
    }

    fn outcome(version: &str, data: &VersionData, day: Date) -> (Outcome, Vec<String>) {
        let answer = judge(version, data, day);
        (answer.outcome, answer.evidence)
    }

    #[test]
    fn a_patch_has_a_month_and_two_weeks_when_it_fixes_something_critical() {
        let plain = data(vec![]);
        assert_eq!(
            outcome("v1.28.5", &plain, date(2024, 1, 31)).0,
            Outcome::Pass
        );
        assert_eq!(
            outcome("v1.28.5", &plain, date(2024, 2, 18)).0,
            Outcome::Fail
        );
        assert_eq!(
            outcome("v1.28.6", &plain, date(2024, 2, 18)).0,
            Outcome::Pass
        );
        let fixed = data(critical("1.28.6", 8.8));
        let (passed, told) = outcome("v1.28.5", &fixed, date(2024, 1, 20));
        assert_eq!(passed, Outcome::Pass);
        assert!(told[0].starts_with("warning: v1.28.6"), "{told:?}");
        assert_eq!(
            outcome("v1.28.5", &fixed, date(2024, 2, 1)).0,
            Outcome::Fail
        );
    }

    #[test]
    fn what_does_not_affect_the_cluster_gives_no_haste() {
        for cves in [critical("1.28.5", 9.0), critical("1.28.6", 7.9)] {
            let (passed, told) = outcome("v1.28.5", &data(cves), date(2024, 2, 1));
            assert_eq!((passed, told.len()), (Outcome::Pass, 1), "{told:?}");
        }
    }

    #[test]
    fn a_branch_ends_on_its_day() {
        let data = data(vec![]);
        assert_eq!(
            outcome("v1.26.13", &data, date(2024, 2, 27)).0,
            Outcome::Pass
        );
        assert_eq!(
            outcome("v1.26.13", &data, date(2024, 2, 28)).0,
            Outcome::Fail
        );
    }

    #[test]
    fn a_branch_that_ended_fails_whatever_else_is_known_of_it() {
        let data = data(vec![]);
        for version in ["v1.26.99", "v1.20.0"] {
            let answer = judge(version, &data, date(2024, 6, 1));
            assert_eq!(answer.outcome, Outcome::Fail, "{version}");
            assert!(
                answer.message.contains("since 2024-02-28"),
                "{}",
                answer.message
            );
        }
    }

    #[test]
    fn what_cannot_be_known_is_no_failure() {
        let whole = data(vec![]);
        let mut few = whole.clone();
        few.branches.truncate(2);
        for (version, data, day, why) in [
            ("v1.28.5", &whole, date(2024, 12, 1), "is valid until"),
            (
                "v1.30.0",
                &whole,
                date(2024, 2, 1),
                "does not know branch 1.30",
            ),
            (
                "v1.28.7",
                &whole,
                date(2024, 2, 1),
                "the newest that the version data knows is v1.28.6",
            ),
            (
                "v1.27.1",
                &whole,
                date(2024, 2, 1),
                "no release of branch 1.27",
            ),
            (
                "v1.31.0-rc.1",
                &whole,
                date(2024, 2, 1),
                "not a final release",
            ),
            ("v1.27.1", &few, date(2024, 3, 1), "1 supported branches"),
        ] {
            let answer = judge(version, data, day);
            assert_eq!(answer.outcome, Outcome::Abort, "{version} {day}");
            assert!(answer.message.contains(why), "{}", answer.message);
        }
    }
}
