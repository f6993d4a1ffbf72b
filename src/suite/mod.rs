//! Suites: which checks are asked with which force, and how they are run.

mod accepted;
mod file;
mod load;
mod process;
mod run;
mod schema;
pub mod scs;
mod tally;

pub use file::{Check, Spec, SuiteFile};
pub use load::{Suite, SuiteError, names};
pub use run::run;
pub use schema::suite_schema;
pub use tally::tally;
