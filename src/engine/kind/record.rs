//! What a run tells those who come after it.

use serde::{Deserialize, Serialize};

use crate::engine::process::Process;

/// What a run tells those who come after it. Written before anything is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RunRecord {
    /// The process that runs it.
    pub(super) process: Process,
    /// The management cluster's name in kind.
    pub(super) management: String,
    /// Whether the management cluster goes with the run. A cluster that is to be kept goes with it
    /// from when the run has claimed its name until it is complete.
    pub(super) removes_management: bool,
    /// The workload cluster's name.
    pub(super) workload: String,
}
