//! One cluster seen through its API: watching, waiting, applying, comparing live with rendered.

mod context;
mod object;
mod view;
mod wait;

pub use context::{Context, Interrupt, Interrupted};
pub use object::Object;
pub use view::{Kind, View};
pub use wait::{Investigate, Progress, WaitError, wait};
