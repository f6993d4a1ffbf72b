//! `stackgate suites list`: the suites that ship, and their checks.

use std::path::Path;

use super::exit::Failure;
use crate::suite::{self, Suite};

/// Prints every suite with its checks: those that ship, and those in `suites/` of the working
/// directory.
///
/// # Errors
/// When a suite file cannot be read.
pub fn list() -> Result<(), Failure> {
    let folder = Path::new("suites");
    let mut text = String::new();
    for name in suite::names(folder) {
        let suite = Suite::load(&name, folder).map_err(Failure::input)?;
        text.push_str(&format!("{name}: {}\n", suite.description));
        for check in &suite.checks {
            text.push_str(&format!(
                "  {:<6} {:<24} {}\n",
                check.severity, check.id, check.title
            ));
        }
    }
    super::print(&text).map_err(Failure::infrastructure)
}
