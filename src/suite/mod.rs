//! Suites: which checks are asked with which force, and how they are run.

mod accepted;
mod cel;
mod exec;
mod file;
mod load;
mod process;
mod rights;
mod run;
mod schema;
pub mod scs;
mod tally;
mod validate;

pub use accepted::Acceptance;
pub use cel::Memory;
pub use file::{
    CelCheck, Check, ExecCheck, Lifetime, Rule, Selector, Side, Spec, SuiteFile, Weight, When,
    WhichCluster,
};
pub use load::{Suite, SuiteError, names, shipped};
pub use rights::Rights;
pub use run::{Place, READ_ONLY, Round, heavy, run};
pub use schema::suite_schema;
pub use tally::tally;
