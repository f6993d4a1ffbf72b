//! The findings in the forms that people and programs read.

mod json;
mod junit;
mod sarif;
mod terminal;

pub use json::{json, schema};
pub use junit::junit;
pub use sarif::sarif;
pub use terminal::terminal;
