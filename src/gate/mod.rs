//! One run from preflight to teardown: phases, upgrade, comparison, verdict.

mod ahead;
mod causes;
mod check;
mod clusters;
mod comparison;
mod disturbance;
mod facts;
mod finished;
mod hooks;
mod images;
mod journey;
mod judged;
mod named;
mod operator;
mod order;
mod pause;
mod phases;
mod plan;
mod recorded;
mod rest;
mod resumed;
mod resumption;
mod run;
mod start;
mod topology;
mod trouble;
mod truth;

pub use check::{CheckPlan, check};
pub use pause::{Pauses, Point, Wish, ask};
pub use plan::{Keep, Plan, inputs_of, namespace};
pub use recorded::{RECORDED, RecordedPlan, Then, judge_recorded};
pub use resumption::{Refusal, Resumption};
pub use run::{Ending, resume, run};
