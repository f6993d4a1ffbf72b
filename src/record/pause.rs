//! What a run says of itself while it stands still on request, and how it went on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Phase;

/// A run stands still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// The phase that it stands before, in or after.
    pub phase: Phase,
    /// Where, in the reader's words, e.g. `before upgrade`.
    pub place: String,
    /// What failed so far; the latest last.
    pub failed: Vec<String>,
    /// How its clusters are reached meanwhile.
    pub clusters: Vec<Reach>,
    /// The socket that hears how it is to go on.
    pub control: String,
    /// Whether the keys of its terminal are heard, too.
    pub keys: bool,
    /// Whether the phase can be begun again.
    pub may_retry: bool,
    /// After how many seconds nobody is waited for any more.
    pub at_most_s: u64,
}

/// A cluster that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reach {
    /// `management` or `workload`.
    pub cluster: String,
    /// The path of a kubeconfig file that its user alone can read.
    pub file: String,
}

/// How a run goes on after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// It goes on.
    GoesOn,
    /// The phase is begun again.
    Retries,
    /// It is torn down.
    Aborts,
    /// Nobody came in time.
    Expires,
}

impl Decision {
    /// What became of the run, in the reader's words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::GoesOn => "goes on",
            Self::Retries => "begins the phase again",
            Self::Aborts => "is torn down",
            Self::Expires => "waited in vain",
        }
    }
}
