//! One run from preflight to teardown: phases, upgrade, comparison, verdict.

mod causes;
mod check;
mod clusters;
mod comparison;
mod finished;
mod journey;
mod named;
mod operator;
mod phases;
mod plan;
mod recorded;
mod run;
mod topology;
mod trouble;
mod truth;

pub use check::{CheckPlan, check};
pub use plan::{Keep, Plan, inputs_of, namespace};
pub use recorded::{RecordedPlan, Then, judge_recorded};
pub use run::{Ending, run};
