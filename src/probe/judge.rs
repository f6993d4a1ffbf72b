//! What a probe's measurements mean for the release.

use super::measured::{Course, Stage};
use super::network::Skip;
use super::series::holes;
use super::volume;
use crate::record::{
    Finding, ObjectRef, Outcome, ProbeBudget, ProbeGap, ProbeLatency, ProbeResult, Verdict, seconds,
};
use crate::stack::network;

/// A pause in measuring that is no news, in milliseconds: an asker that goes takes its last untold tries with it.
pub const PAUSE: i64 = 15_000;
/// A pause that is worth a word.
const WORTH_A_WORD: u64 = 20_000;

/// What a course has come to; `still` is when the run stood still.
pub fn result(
    course: &Course,
    now: i64,
    upgraded: Option<i64>,
    still: &[(i64, i64)],
) -> ProbeResult {
    let probe = course.probe;
    let mut result = ProbeResult {
        probe: probe.name.to_owned(),
        title: probe.title.to_owned(),
        outcome: Outcome::Skip,
        message: String::new(),
        budget: course.budget,
        tries: course.tries,
        lost: course.lost,
        share_lost_percent: share(course.lost, course.tries),
        longest_gap: course.longest.clone(),
        unmeasured_ms: 0,
        latency: latency(course),
    };
    let since = match &course.stage {
        Stage::Skipped(why) => {
            result.message.clone_from(why);
            return result;
        }
        Stage::Trying => {
            "it could not be measured before the upgrade".clone_into(&mut result.message);
            return result;
        }
        Stage::Measuring(since) => *since,
    };
    let covered = course.covered();
    let last = covered.iter().map(|(_, to)| *to).max();
    let missing = holes([&covered[..], still].concat(), (since, now), PAUSE);
    let missing: i64 = missing.iter().map(|(from, to)| to - from).sum();
    result.unmeasured_ms = u64::try_from(missing).unwrap_or(0);
    let before = upgraded.is_some_and(|upgraded| last.is_none_or(|last| last < upgraded));
    (result.outcome, result.message) = if let Some(over) = over(&result, probe.lost) {
        (Outcome::Fail, over)
    } else if before && probe.moves {
        let message = format!(
            "{} after the upgrade: its pod did not come back",
            probe.lost
        );
        (Outcome::Fail, message)
    } else if before {
        let message = format!(
            "{}, but nothing was measured after the upgrade: the pods that ask told nothing any more",
            told(&result)
        );
        (Outcome::Abort, message)
    } else {
        (Outcome::Pass, told(&result))
    };
    result
}

/// The longest gap, where it is longer than it may be.
pub fn too_long(result: &ProbeResult) -> Option<&ProbeGap> {
    let over = |gap: &&ProbeGap| gap.length_ms() > result.budget.longest_gap_ms;
    result.longest_gap.as_ref().filter(over)
}

/// How it is over its budget, in a sentence.
fn over(result: &ProbeResult, lost: &str) -> Option<String> {
    let ProbeBudget {
        longest_gap_ms,
        share_lost_percent,
    } = result.budget;
    let gone = |gap: &&ProbeGap| gap.reason == volume::GONE;
    if let Some(gap) = result.longest_gap.as_ref().filter(gone) {
        return Some(format!(
            "what was written to a volume before the upgrade was not there any more{}",
            when(gap)
        ));
    }
    if let Some(gap) = too_long(result) {
        return Some(format!(
            "{lost} for {}{}, where {} is allowed",
            seconds(gap.length_ms()),
            when(gap),
            if longest_gap_ms == 0 {
                "nothing".to_owned()
            } else {
                seconds(longest_gap_ms)
            },
        ));
    }
    let share = share_lost_percent.filter(|allowed| result.share_lost_percent > *allowed)?;
    Some(format!(
        "{lost}: {} of {} tries were lost, {:.1} %, where {share} % are allowed",
        result.lost, result.tries, result.share_lost_percent
    ))
}

fn when(gap: &ProbeGap) -> String {
    let mut text = format!(" from {} on", clock(gap.from_ms));
    if !gap.meanwhile.is_empty() {
        text.push_str(&format!(", while {}", gap.meanwhile));
    }
    text
}

/// What was measured, in a sentence.
fn told(result: &ProbeResult) -> String {
    let mut text = match &result.longest_gap {
        None => format!("nothing lost in {} tries", result.tries),
        Some(gap) => format!(
            "longest gap {}{}; {} of {} tries lost",
            seconds(gap.length_ms()),
            when(gap),
            result.lost,
            result.tries
        ),
    };
    if let Some(latency) = &result.latency {
        text.push_str(&format!(
            "; answers in {} ms (median), {} ms (99 %)",
            latency.median_ms, latency.p99_ms
        ));
    }
    if result.unmeasured_ms >= WORTH_A_WORD {
        text.push_str(&format!(
            "; not measured for {}",
            seconds(result.unmeasured_ms)
        ));
    }
    text
}

/// A moment of the run.
fn clock(ms: u64) -> String {
    format!("{:02}:{:02}", ms / 60_000, ms / 1000 % 60)
}

fn share(lost: u64, tries: u64) -> f64 {
    if tries == 0 {
        return 0.0;
    }
    lost as f64 * 100.0 / tries as f64
}

fn latency(course: &Course) -> Option<ProbeLatency> {
    let count: u64 = course.answers.values().sum();
    let at = |percent: u64| {
        let wanted = (count * percent).div_ceil(100);
        let mut seen = 0;
        let mut answers = course.answers.iter();
        let found = answers.find(|(_, of)| {
            seen += **of;
            seen >= wanted
        });
        found.map(|(took, _)| *took)
    };
    Some(ProbeLatency {
        median_ms: at(50)?,
        p95_ms: at(95)?,
        p99_ms: at(99)?,
        slowest_ms: at(100)?,
    })
}

/// Whether a lost step of the network would be the reason: what is asked through it failed.
pub fn is_explained(result: &ProbeResult) -> bool {
    let mut asked = super::ALL
        .iter()
        .filter(|probe| probe.ask.is_some() && !probe.forbids);
    result.outcome == Outcome::Fail && asked.any(|probe| probe.name == result.probe)
}

/// The causes by name of what is over its budget.
pub fn findings(
    results: &[ProbeResult],
    namespace: &str,
    skipped: impl Fn(&ProbeResult) -> Option<Skip>,
) -> Vec<Finding> {
    let failed = results
        .iter()
        .filter(|result| result.outcome == Outcome::Fail);
    let finding = |result: &ProbeResult| {
        let probe = super::ALL.iter().find(|probe| probe.name == result.probe)?;
        let (kind, name) = probe.about;
        let namespace = if name == "kubernetes" {
            "default"
        } else {
            namespace
        };
        let share = format!(
            "{} of {} tries lost ({:.2} %)",
            result.lost, result.tries, result.share_lost_percent
        );
        let seen = result.longest_gap.as_ref().map(|gap| {
            let (from, to) = (clock(gap.from_ms), clock(gap.to_ms));
            format!(
                "{} from {from} to {to}, seen from {}",
                gap.reason, gap.seen_from
            )
        });
        let mut finding = Finding {
            cause: probe.cause.to_owned(),
            message: result.message.clone(),
            object: ObjectRef::new("workload", kind, namespace, name),
            evidence: seen.into_iter().chain([share]).collect(),
        };
        if let Some(skip) = skipped(result) {
            "cni-step-skipped".clone_into(&mut finding.cause);
            finding
                .evidence
                .extend([finding.object.to_string(), network::NO_STEPS.to_owned()]);
            finding.evidence.push(network::REMEDY.to_owned());
            finding.object = skip.set;
        }
        Some(finding)
    };
    failed.filter_map(finding).collect()
}

/// What the probes make of a verdict on the checks: over a budget closes the gate; a probe that was measured
/// before and not after leaves it without a verdict. A run in which nothing was asked stays one.
pub fn verdict(checks: (Verdict, String), results: &[ProbeResult]) -> (Verdict, String) {
    let first = |outcome: Outcome| {
        let mut found = results.iter().filter(|result| result.outcome == outcome);
        let told = |result: &ProbeResult| format!("probe {}: {}", result.probe, result.message);
        found.next().map(told)
    };
    match (checks.0, first(Outcome::Fail), first(Outcome::Abort)) {
        // What is against a check is told first: it is asked after the upgrade, too, and stays so.
        (Verdict::Closed, ..) => checks,
        (_, Some(failed), _) => (Verdict::Closed, failed),
        (Verdict::Open, None, Some(unknown)) => (Verdict::None, unknown),
        _ => checks,
    }
}

#[cfg(test)]
mod tests;
