//! One cluster seen through its API: watching, waiting, applying, comparing live with rendered.

mod apply;
mod cache;
pub mod cel;
pub mod compare;
mod context;
#[cfg(test)]
mod fake;
mod handshake;
pub mod kinds;
mod object;
mod patience;
pub mod placement;
mod pulse;
mod reach;
mod recorded;
mod refusal;
mod requests;
mod resolve;
mod rollout;
mod view;
mod wait;
mod watch;

pub use apply::{Applier, Apply, ApplyError, FIELD_MANAGER};
pub use cache::Cache;
pub use context::{Context, Interrupt, Interrupted};
pub use handshake::{Handshakes, Network, Validity};
pub use object::{Condition, Object};
pub use reach::{Reach, WEBHOOK_AWAY, is_webhook_away};
pub use recorded::Recorded;
pub use refusal::{refusal, told, without_secrets};
pub use requests::Requests;
pub use rollout::rollout_blocker;
pub use view::{Kind, View, blind};
pub use wait::{Investigate, Progress, WaitError, stay, wait};
