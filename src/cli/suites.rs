//! `stackgate suites list`: the suites that ship, and their checks.

use anyhow::anyhow;

use super::exit::Failure;

/// THE SEAM: prints every suite with its checks.
///
/// # Errors
/// When a suite file cannot be read.
pub fn list() -> Result<(), Failure> {
    Err(Failure::infrastructure(anyhow!(
        "failed to list the suites: none are part of this build"
    )))
}
