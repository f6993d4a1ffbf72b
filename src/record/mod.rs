//! What happened in a run, appended to disk as it happens: the stream of events in one order, and beside it
//! the recording of its clusters' objects. What is secret gets into neither.

mod check;
mod clock;
mod event;
mod pause;
mod probe;
mod reading;
mod recorder;
mod recording;
mod redact;
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
pub use pause::{Decision, Pause, Reach};
pub use probe::{ProbeBudget, ProbeGap, ProbeLatency, ProbeResult, ProbeWindow, seconds};
pub use reading::{Head, read, read_if};
pub use recorder::{Recorder, Sink, is_written};
pub use recording::{
    ClusterPast, ContainerUse, Entry, Id, LogLine, LogOf, Past, RECORDING, Recording, State, Told,
    without_prose,
};
pub use redact::{REDACTED, Redactor};
pub use rehearsal::Rehearsal;
pub use run_id::{RunId, random_seed};

/// Version of the event format.
pub const FORMAT: u32 = 1;
