//! What a person sees: a live view of the run, and its last lines.

mod closing;
mod live;
mod progress;
mod screen;

pub use closing::closing;
pub use live::Live;
pub use screen::Screen;
