//! One cluster seen through its API: watching, waiting, applying, comparing live with rendered.

mod apply;
mod context;
mod object;
mod resolve;
mod view;
mod wait;

pub use apply::{Applier, Apply, ApplyError, FIELD_MANAGER};
pub use context::{Context, Interrupt, Interrupted};
pub use object::Object;
pub use view::{Kind, View};
pub use wait::{Investigate, Progress, WaitError, wait};
