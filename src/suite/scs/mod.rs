//! SCS certificate scopes: their files, and the scripts that judge their testcases.

mod file;
mod native;
mod protocol;
mod run;
mod scope;
mod words;

pub use native::{Call, Judge, Said, Substitute};
pub use protocol::{Levels, Word, lines, verdict};
pub use run::{Choice, ChoiceError, Invocation, Job, Means, Order};
pub use scope::{Form, Scope, Script, Testcase, Version};
pub use words::split;
