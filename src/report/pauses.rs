//! When a run stood still on request: what people did then is nowhere told, so a reader has to know of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text;
use crate::record::{Decision, Phase, What};

/// A pause of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PauseSummary {
    /// The phase that it stood before, in or after.
    pub phase: Phase,
    /// Where, in the reader's words.
    pub place: String,
    /// How it went on; absent when the run ended there, or still stands.
    pub decision: Option<Decision>,
    /// Who decided.
    pub by: Option<String>,
    /// How long it stood still by the machine's clock, in seconds.
    pub seconds: Option<f64>,
}

/// The pauses of a run, in their order, and where another process went on with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pauses(Vec<PauseSummary>, Vec<Phase>);

impl Pauses {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[PauseSummary] {
        &self.0
    }

    /// Takes the next event.
    pub fn take(&mut self, what: &What) {
        match what {
            What::Paused(pause) => self.0.push(PauseSummary {
                phase: pause.phase,
                place: pause.place.clone(),
                decision: None,
                by: None,
                seconds: None,
            }),
            What::PauseEnded {
                decision,
                by,
                seconds,
                ..
            } => {
                if let Some(last) = self.0.last_mut() {
                    last.decision = Some(*decision);
                    last.by = Some(by.clone());
                    last.seconds = Some(*seconds);
                }
            }
            What::Resumed { phase, .. } => self.1.push(*phase),
            _ => {}
        }
    }

    /// With which phases another process went on, since the one before was gone.
    #[must_use]
    pub fn resumed(&self) -> &[Phase] {
        &self.1
    }

    /// What a reader of the verdict has to know, in a sentence; none without a pause.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        sentence(&self.0, &self.1)
    }
}

/// What a reader of the verdict has to know, in a sentence; none without a pause.
#[must_use]
pub fn sentence(pauses: &[PauseSummary], resumed: &[Phase]) -> Option<String> {
    let mut sentences = Vec::new();
    let told: Vec<String> = pauses.iter().map(PauseSummary::told).collect();
    if !told.is_empty() {
        let told = told.join("; ");
        sentences.push(format!(
            "paused {told}. What was done to the clusters meanwhile is not part of the releases"
        ));
    }
    sentences.extend(resumed.iter().map(|phase| {
        format!("its process ended, and another one went on with {phase}. Nothing was measured in between")
    }));
    (!sentences.is_empty()).then(|| sentences.join(". "))
}

impl PauseSummary {
    /// Where, for how long, and how it went on.
    #[must_use]
    pub fn told(&self) -> String {
        let mut told = self.place.clone();
        if let (Some(seconds), Some(decision)) = (self.seconds, self.decision) {
            let long = text::clock(seconds as u64);
            told.push_str(&format!(" for {long}, then it {}", decision.words()));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Pause;

    #[test]
    fn each_pause_is_told_with_its_end_where_it_has_one() {
        let mut pauses = Pauses::default();
        assert_eq!(pauses.sentence(), None);
        let pause = |place: &str| {
            What::Paused(Pause {
                phase: Phase::Upgrade,
                place: place.to_owned(),
                failed: vec![],
                clusters: vec![],
                control: String::new(),
                keys: false,
                may_retry: false,
                at_most_s: 60,
            })
        };
        pauses.take(&pause("before upgrade"));
        pauses.take(&What::PauseEnded {
            phase: Phase::Upgrade,
            decision: Decision::GoesOn,
            by: "a key".to_owned(),
            seconds: 75.2,
        });
        pauses.take(&pause("at upgrade+40s"));
        insta::assert_snapshot!(pauses.sentence().unwrap(), @"paused before upgrade for 01:15, then it goes on; at upgrade+40s. What was done to the clusters meanwhile is not part of the releases");
    }
}
