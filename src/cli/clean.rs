//! `stackgate clean`: removes by label what earlier runs left.

use anyhow::anyhow;

use super::args::CleanArgs;
use super::exit::Failure;

/// THE SEAM: removes what the given run, or every run, left behind; prints what it removed.
///
/// # Errors
/// When the engine cannot be asked, or something could not be removed.
pub fn run(args: &CleanArgs) -> Result<(), Failure> {
    let engine = args.engine.engine.name();
    let error = anyhow!("failed to clean up: engine {engine} is not part of this build");
    Err(Failure::infrastructure(error))
}
