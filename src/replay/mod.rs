//! A recorded run, seen again: its clusters served as they were at a moment, and what changed between two.

mod diff;
mod moment;
mod pairs;
mod past;
mod terms;

pub use diff::{Change, Side, diff};
pub use moment::{At, Times};
pub use past::Replay;
