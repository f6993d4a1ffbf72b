//! What a run on simulated clusters says of itself: that it is none on real ones, why, and how to get
//! the same run again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A run on simulated clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rehearsal {
    /// What all randomness of the run came from.
    pub seed: u64,
    /// What this machine lacks for a gate on real clusters; empty when a rehearsal was asked for.
    pub missing: Vec<String>,
    /// What was made to go wrong, as it is given to `--fault`.
    pub faults: Vec<String>,
    /// Which images could not be had, as they are given to `--missing-image`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_images: Vec<String>,
    /// The command that gives the same run again.
    pub reproduce: String,
}

impl Rehearsal {
    /// What it is, in one sentence, with the reason why it is not more.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut text = "a rehearsal on simulated clusters, not a gate on real ones".to_owned();
        if !self.missing.is_empty() {
            text.push_str(&format!("; missing for these: {}", self.missing.join("; ")));
        }
        if !self.faults.is_empty() {
            text.push_str(&format!("; injected: {}", self.faults.join(", ")));
        }
        if !self.missing_images.is_empty() {
            let images = self.missing_images.join(", ");
            text.push_str(&format!("; no registry has {images}"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_it_is_not_and_what_was_missing() {
        let mut rehearsal = Rehearsal {
            seed: 7,
            missing: vec![],
            faults: vec![],
            missing_images: vec![],
            reproduce: "stackgate run demo --seed 7".to_owned(),
        };
        let plain = "a rehearsal on simulated clusters, not a gate on real ones";
        assert_eq!(rehearsal.sentence(), plain);
        rehearsal.missing = vec!["Docker does not answer".to_owned(), "no kind".to_owned()];
        rehearsal.faults = vec!["slow@upgrade".to_owned()];
        rehearsal.missing_images = vec!["a:v1".to_owned()];
        let said = "; missing for these: Docker does not answer; no kind; injected: slow@upgrade; no registry has a:v1";
        assert_eq!(rehearsal.sentence(), format!("{plain}{said}"));
    }
}
