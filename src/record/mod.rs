//! The run's stream of events: what happened, in one order, appended to disk as it happens.

mod clock;
mod event;
mod history;
mod recorder;
mod rehearsal;
mod run_id;

pub use clock::Clock;
pub use event::{
    Blocker, Change, CheckResult, Counts, Event, Finding, ObjectRef, Outcome, Phase, PhaseOutcome,
    ReleaseRef, Severity, Usage, Verdict, What,
};
pub use history::{History, Moment, read_history};
pub use recorder::{Recorder, Sink, read};
pub use rehearsal::Rehearsal;
pub use run_id::RunId;
