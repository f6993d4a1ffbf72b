//! A recorded run, seen again: its clusters served as they were at a moment, and what changed between two.

mod diff;
mod images;
mod moment;
mod pairs;
mod past;
mod terms;

pub use diff::{Change, Side, diff};
pub use images::missing_images;
pub use moment::{At, Times};
pub use past::Replay;
