//! SCS certificate scopes: their files, and the scripts that judge their testcases.

mod file;
mod protocol;
mod run;
mod scope;
mod words;

pub use protocol::{Levels, Word, lines, verdict};
pub use run::{Choice, ChoiceError, Invocation, Job, Means, Order, Said, Substitute};
pub use scope::{Form, Scope, Script, Testcase, Version};
