//! The run's id: short enough for a name, a label of everything the run creates.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Eight lower-case hexadecimal digits: fits into every Kubernetes and Docker name with room to
/// spare, and can be recognised when a later process cleans up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

impl RunId {
    /// A fresh id from the process's random state.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{:08x}", random_seed()))
    }

    /// An id that follows from a seed: the same for the same seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        Self(format!("{:08x}", mixed(seed) as u32))
    }

    /// The `count`th id that is drawn from this one, e.g. for a name within the run: unlike the others,
    /// and the same whenever the run has the same id.
    #[must_use]
    pub fn derived(&self, count: u64) -> Self {
        let own = u64::from_str_radix(&self.0, 16).unwrap_or_default();
        Self::of_seed((own << 32) ^ count)
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fresh seed from the process's random state; short enough to be typed again.
#[must_use]
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // RandomState is seeded by the operating system; a seed needs to be another one, not secret.
    RandomState::new().build_hasher().finish() >> 32
}

/// The last step of the SplitMix64 generator: near seeds give numbers that have nothing in common.
const fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The text is not a run id.
#[derive(Debug, thiserror::Error)]
#[error("'{0}' is not a run id: expected eight hexadecimal digits, e.g. 7f3a09bc")]
pub struct InvalidRunId(String);

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let valid = text.len() == 8
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRunId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_reads_back_as_itself() {
        let id = RunId::random();
        assert_eq!(id.as_str().parse::<RunId>().unwrap(), id);
        assert_ne!(RunId::random(), RunId::random());
    }

    #[test]
    fn a_seed_gives_one_id_and_ids_drawn_from_it_differ() {
        let id = RunId::of_seed(7);
        assert_eq!((&id, id.as_str().len()), (&RunId::of_seed(7), 8));
        assert_ne!(id, RunId::of_seed(8));
        assert_eq!(id.derived(1), id.derived(1));
        assert_ne!(id.derived(1), id.derived(2));
        assert_ne!(id.derived(1), RunId::of_seed(8).derived(1));
    }

    #[test]
    fn anything_else_is_refused_with_what_was_expected() {
        for bad in ["", "7f3a", "7F3A09BC", "7f3a09bcd", "../../..", "7f3a09b "] {
            let error = bad.parse::<RunId>().unwrap_err().to_string();
            assert!(error.contains("eight hexadecimal digits"), "{error}");
        }
    }
}
