//! What a person sees: a live view of the run, and its last lines.

mod closing;
mod live;
mod log;
mod pauses;
mod progress;
mod screen;
mod sections;

pub use closing::closing;
pub use live::Live;
pub use log::log;
pub use screen::Screen;
pub use sections::Sections;
