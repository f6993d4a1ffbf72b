//! One cluster seen through its API: watching, waiting, applying, comparing live with rendered.

mod apply;
pub mod cel;
pub mod compare;
mod context;
#[cfg(test)]
mod fake;
pub mod kinds;
mod object;
mod patience;
mod pulse;
mod resolve;
mod rollout;
mod view;
mod wait;

pub use apply::{Applier, Apply, ApplyError, FIELD_MANAGER};
pub use context::{Context, Interrupt, Interrupted};
pub use object::{Condition, Object};
pub use resolve::kind_of;
pub use rollout::rollout_blocker;
pub use view::{Kind, View, blind};
pub use wait::{Investigate, Progress, WaitError, stay, wait};
