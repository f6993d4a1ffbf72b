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
        use std::hash::{BuildHasher, Hasher, RandomState};
        // RandomState is seeded by the operating system; an id needs to be unique, not secret.
        let hash = RandomState::new().build_hasher().finish();
        Self(format!("{:08x}", hash as u32))
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
    fn anything_else_is_refused_with_what_was_expected() {
        for bad in ["", "7f3a", "7F3A09BC", "7f3a09bcd", "../../..", "7f3a09b "] {
            let error = bad.parse::<RunId>().unwrap_err().to_string();
            assert!(error.contains("eight hexadecimal digits"), "{error}");
        }
    }
}
