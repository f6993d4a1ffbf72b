//! Selectors: which objects a list, a watch or a controller means.

mod fields;
mod labels;

pub use fields::Fields;
pub use labels::Labels;
