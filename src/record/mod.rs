//! The run's stream of events: what happened, in one order, appended to disk as it happens.

mod check;
mod clock;
mod event;
mod history;
mod probe;
mod recorder;
mod rehearsal;
mod run_id;

pub use check::{
    Change, CheckResult, Counts, Effect, Outcome, Severity, Standard, StandardStatus, Surroundings,
};
pub use clock::Clock;
pub use event::{
    Blocker, Event, Finding, NO_DELIVERY, ObjectRef, Phase, PhaseOutcome, ReleaseRef, Usage,
    Verdict, What,
};
pub use history::{History, Moment, moments, read_history};
pub use probe::{ProbeBudget, ProbeGap, ProbeLatency, ProbeResult, ProbeWindow};
pub use recorder::{Recorder, Sink, read};
pub use rehearsal::Rehearsal;
pub use run_id::{RunId, random_seed};

/// Version of the event format.
pub const FORMAT: u32 = 1;
