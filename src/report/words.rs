//! What every view calls things: one word and one tone for a verdict, a change, a phase's ending.

use super::overview::State;
use super::text::one_line;
use crate::record::{Change, Counts, Outcome, Rehearsal, ReleaseRef, Verdict};

/// What something says, where there is colour. Colour never carries it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// As it must not be.
    Bad,
    /// Worth a look.
    Attention,
    /// Less important than the rest.
    Faint,
}

/// A verdict in two words; of a run that only checks there is no gate to speak of.
#[must_use]
pub const fn verdict(verdict: Option<Verdict>, only_checks: bool) -> (Tone, &'static str) {
    match verdict {
        Some(Verdict::Open) if only_checks => (Tone::Good, "check passed"),
        Some(Verdict::Open) => (Tone::Good, "gate open"),
        Some(Verdict::Closed) if only_checks => (Tone::Bad, "check failed"),
        Some(Verdict::Closed) => (Tone::Bad, "gate closed"),
        Some(Verdict::None | Verdict::NothingRan) | None => (Tone::Attention, "no verdict"),
        Some(Verdict::Interrupted) => (Tone::Attention, "interrupted"),
    }
}

/// How far a phase came: its mark and its word.
#[must_use]
pub const fn state(state: State) -> (Tone, &'static str, &'static str) {
    match state {
        State::Passed => (Tone::Good, "✓", "passed"),
        State::Failed => (Tone::Bad, "✗", "failed"),
        State::Aborted => (Tone::Attention, "!", "aborted"),
        State::Running => (Tone::Attention, "…", "the run ended here"),
        State::Skipped(_) => (Tone::Faint, "-", "skipped"),
        State::NotReached => (Tone::Faint, "-", "not reached"),
    }
}

/// The changes as they are listed, the worst first; what was not compared is last.
pub const CHANGES: [Option<Change>; 8] = [
    Some(Change::Regressed),
    Some(Change::StillFailing),
    Some(Change::NotComparable),
    Some(Change::Flaky),
    Some(Change::Fixed),
    Some(Change::Kept),
    Some(Change::Accepted),
    None,
];

/// A change by its tone, its key (in links and in attributes) and its word.
#[must_use]
pub const fn change(change: Option<Change>) -> (Tone, &'static str, &'static str) {
    match change {
        Some(Change::Regressed) => (Tone::Bad, "regressed", "regressed"),
        Some(Change::StillFailing) => (Tone::Bad, "still-failing", "still failing"),
        Some(Change::NotComparable) => (Tone::Attention, "not-comparable", "not comparable"),
        Some(Change::Flaky) => (Tone::Attention, "flaky", "flaky"),
        Some(Change::Fixed) => (Tone::Good, "fixed", "fixed"),
        Some(Change::Kept) => (Tone::Good, "kept", "kept"),
        Some(Change::Accepted) => (Tone::Faint, "accepted", "accepted"),
        None => (Tone::Faint, "not-compared", "not compared"),
    }
}

/// How much a change matters to a reader; most what got worse.
#[must_use]
pub const fn weight(change: Change) -> u8 {
    match change {
        Change::Kept | Change::Fixed => 0,
        Change::Accepted => 1,
        Change::NotComparable | Change::Flaky => 2,
        Change::StillFailing => 3,
        Change::Regressed => 4,
    }
}

/// How often there was a change.
#[must_use]
pub const fn count(counts: &Counts, change: Change) -> u32 {
    match change {
        Change::Kept => counts.kept,
        Change::Fixed => counts.fixed,
        Change::Flaky => counts.flaky,
        Change::Regressed => counts.regressed,
        Change::StillFailing => counts.still_failing,
        Change::Accepted => counts.accepted,
        Change::NotComparable => counts.not_comparable,
    }
}

/// The comparison in words, without what is none.
#[must_use]
pub fn counts(counts: &Counts) -> String {
    let told = CHANGES.into_iter().flatten().filter_map(|one| {
        let count = count(counts, one);
        (count > 0).then(|| format!("{count} {one}"))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// An outcome, or that there is none.
#[must_use]
pub fn outcome(outcome: Option<Outcome>) -> String {
    outcome.map_or_else(|| "-".to_owned(), |outcome| outcome.to_string())
}

/// The tone of an outcome.
#[must_use]
pub const fn outcome_tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Pass => Tone::Good,
        Outcome::Fail => Tone::Bad,
        Outcome::Flaky | Outcome::Abort => Tone::Attention,
        Outcome::Skip => Tone::Faint,
    }
}

/// The tag without the stack's name, which stands beside it.
#[must_use]
pub fn short(stack: &str, release: &ReleaseRef) -> String {
    let tag = release
        .tag
        .strip_prefix(stack)
        .and_then(|rest| rest.strip_prefix('-'));
    one_line(tag.unwrap_or(&release.tag))
}

/// The command that does a gate again; none where no gate was run, but checks alone, or shards were joined.
pub fn again(rehearsal: Option<&Rehearsal>, command: &[String], run: &str) -> Option<String> {
    let word = command.get(1).map(String::as_str);
    match rehearsal {
        Some(rehearsal) => Some(rehearsal.reproduce.clone()),
        None if matches!(word, Some("run" | "reproduce")) => Some(reproduce(command, run)),
        None => None,
    }
}

/// The command that runs again what another command had run, by what its folder holds.
pub fn reproduce(command: &[String], run: &str) -> String {
    const REPORTS: &str = "--reports";
    let mut words = command.iter();
    // Where it is found, if that is not the usual place.
    let reports = words.find_map(|word| match word.strip_prefix(REPORTS)? {
        "" => Some(None),
        joined => Some(joined.strip_prefix('=')),
    });
    let reports = reports.and_then(|joined| joined.or(words.next().map(String::as_str)));
    match reports {
        Some(reports) => format!("stackgate reproduce {run} {REPORTS} {reports}"),
        None => format!("stackgate reproduce {run}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_stands_beside_its_stack_without_repeating_it() {
        let release = |tag: &str| ReleaseRef {
            tag: tag.to_owned(),
            kubernetes: String::new(),
        };
        assert_eq!(
            short("docker-demo", &release("docker-demo-1-35-v1")),
            "1-35-v1"
        );
        assert_eq!(
            short("demo", &release("docker-demo-1-35-v1")),
            "docker-demo-1-35-v1"
        );
    }

    #[test]
    fn every_change_is_listed_and_counted() {
        let counts = Counts {
            kept: 1,
            fixed: 2,
            flaky: 3,
            regressed: 4,
            still_failing: 5,
            accepted: 6,
            not_comparable: 7,
        };
        let listed = CHANGES.into_iter().flatten();
        assert_eq!(listed.map(|one| count(&counts, one)).sum::<u32>(), 28);
        assert!(super::counts(&counts).starts_with("4 regressed, 5 still failing, "));
    }

    #[test]
    fn what_is_run_again_is_looked_for_where_it_is() {
        for (command, told) in [
            ("stackgate run demo", "stackgate reproduce 7f3a09bc"),
            (
                "stackgate run demo --reports there",
                "stackgate reproduce 7f3a09bc --reports there",
            ),
            (
                "stackgate run --reports=there demo",
                "stackgate reproduce 7f3a09bc --reports there",
            ),
        ] {
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(again(None, &command, "7f3a09bc").as_deref(), Some(told));
        }
        assert_eq!(
            again(
                None,
                &["stackgate".to_owned(), "check".to_owned()],
                "7f3a09bc"
            ),
            None
        );
    }
}
