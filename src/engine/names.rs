//! Names and labels by which whatever belongs to a run is known, on every engine.

use crate::record::RunId;

/// The label of everything in a cluster that belongs to a run.
pub(super) const RUN_LABEL: &str = "stackgate/run";
/// Set in every child process, so that those that outlive a killed run can be told.
pub(super) const RUN_VARIABLE: &str = "STACKGATE_RUN";
/// How everything is called that is named after a run.
pub(super) const PREFIX: &str = "stackgate-";

/// The name of a run's management cluster, of its namespace, and of its private folder.
pub(super) fn of_run(run: &RunId) -> String {
    format!("{PREFIX}{run}")
}

/// The run that a management cluster, namespace or private folder of that name belongs to.
pub(super) fn run_of(name: &str) -> Option<RunId> {
    name.strip_prefix(PREFIX)?.parse().ok()
}
