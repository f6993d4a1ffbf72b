//! What was measured without a pause, as every view tells it.

use super::standing::Standing;
use super::words::Tone;
use crate::record::{Outcome, ProbeBudget, ProbeGap, ProbeResult, ProbeWindow, What, seconds};

/// How many gaps of a probe are kept.
const GAPS: usize = 200;

/// One probe, as far as the stream goes.
#[derive(Clone, Debug, Default)]
pub struct ProbeView {
    /// Its name.
    pub name: String,
    /// What it has shown; absent while it measures, or when the run was killed.
    pub result: Option<ProbeResult>,
    /// When something was lost, in the order in which that was over.
    pub gaps: Vec<ProbeGap>,
    /// The samples, window by window.
    pub windows: Vec<ProbeWindow>,
}

/// The probes of a run.
#[derive(Clone, Debug, Default)]
pub struct Probes(Vec<ProbeView>);

impl Probes {
    /// All of them, in the order in which they began or ended.
    pub fn iter(&self) -> impl Iterator<Item = &ProbeView> {
        self.0.iter()
    }

    /// The results.
    pub fn results(&self) -> impl Iterator<Item = &ProbeResult> {
        self.0.iter().filter_map(|view| view.result.as_ref())
    }

    /// Takes the next event.
    pub fn take(&mut self, what: &What) {
        match what {
            What::ProbeStarted { probe, .. } => {
                self.of(probe);
            }
            What::ProbeSamples { probe, windows } => {
                self.of(probe).windows.extend(windows.iter().copied());
            }
            What::ProbeGap(gap) => {
                let view = self.of(&gap.probe);
                if view.gaps.len() < GAPS {
                    view.gaps.push(gap.clone());
                }
            }
            What::ProbeFinished(result) => {
                let view = self.of(&result.probe);
                let worse = |known: &ProbeResult| grave(known.outcome) > grave(result.outcome);
                // Of joined runs the worst counts.
                if !view.result.as_ref().is_some_and(worse) {
                    view.result = Some(result.clone());
                }
            }
            _ => {}
        }
    }

    fn of(&mut self, name: &str) -> &mut ProbeView {
        let at = self.0.iter().position(|view| view.name == name);
        let at = at.unwrap_or_else(|| {
            self.0.push(ProbeView {
                name: name.to_owned(),
                ..ProbeView::default()
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

const fn grave(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Skip => 0,
        Outcome::Pass => 1,
        Outcome::Flaky => 2,
        Outcome::Abort => 3,
        Outcome::Fail => 4,
    }
}

/// How a probe's result counts.
#[must_use]
pub const fn standing(result: &ProbeResult) -> Standing {
    match result.outcome {
        Outcome::Pass => Standing::Passed,
        Outcome::Flaky => Standing::Flaky,
        Outcome::Fail => Standing::Failed,
        Outcome::Abort => Standing::Aborted,
        Outcome::Skip => Standing::NotApplicable,
    }
}

/// The tone of a gap: bad where it alone is over the budget.
#[must_use]
pub fn gap_tone(gap: &ProbeGap, result: Option<&ProbeResult>) -> Tone {
    let allowed = result.map(|result| result.budget.longest_gap_ms);
    if allowed.is_some_and(|allowed| gap.length_ms() > allowed) {
        Tone::Bad
    } else {
        Tone::Attention
    }
}

/// A gap in words: how long, why, seen from where, and what happened meanwhile.
#[must_use]
pub fn gap(gap: &ProbeGap) -> String {
    let mut text = format!("{} for {}", gap.reason, seconds(gap.length_ms()));
    if !gap.seen_from.is_empty() {
        text.push_str(&format!(", seen from {}", gap.seen_from));
    }
    if !gap.meanwhile.is_empty() {
        text.push_str(&format!(", while {}", gap.meanwhile));
    }
    text
}

/// A budget in words.
#[must_use]
pub fn budget(budget: &ProbeBudget) -> String {
    let gap = match budget.longest_gap_ms {
        0 => "no gap".to_owned(),
        ms => format!("gaps up to {}", seconds(ms)),
    };
    match budget.share_lost_percent {
        Some(share) => format!("{gap}, {share} % lost"),
        None => gap,
    }
}

/// The longest gap in words.
#[must_use]
pub fn longest(result: &ProbeResult) -> String {
    let gap = result.longest_gap.as_ref();
    gap.map_or_else(|| "none".to_owned(), |gap| seconds(gap.length_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_and_a_budget_are_told_in_words() {
        let one = ProbeGap {
            probe: "service".to_owned(),
            from_ms: 1000,
            to_ms: 4240,
            reason: "TIMEOUT".to_owned(),
            seen_from: "demo-cp-1".to_owned(),
            meanwhile: "node demo-md-0 was drained".to_owned(),
        };
        assert_eq!(
            gap(&one),
            "TIMEOUT for 3.2 s, seen from demo-cp-1, while node demo-md-0 was drained"
        );
        let of = |longest_gap_ms, share_lost_percent| {
            budget(&ProbeBudget {
                longest_gap_ms,
                share_lost_percent,
            })
        };
        assert_eq!(of(0, None), "no gap");
        assert_eq!(of(90_000, Some(2.0)), "gaps up to 90.0 s, 2 % lost");
        assert_eq!(seconds(300_000), "300 s");
    }
}
