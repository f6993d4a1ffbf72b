//! `stackgate clean`: removes by label what earlier runs left.

use super::args::CleanArgs;
use super::exit::Failure;

/// Removes what the given run, or every run that is not under way, left behind; prints what it
/// removed; or the management cluster that was kept under a name.
///
/// # Errors
/// When the engine cannot be asked, or something could not be removed.
pub fn run(args: &CleanArgs) -> Result<(), Failure> {
    let clean = super::engine::clean(args.engine.engine, args.run.clone(), args.kept.clone());
    let removed = super::runtime()?
        .block_on(clean)
        .map_err(Failure::infrastructure)?;
    let mut text: String = removed
        .iter()
        .map(|what| format!("removed {what}\n"))
        .collect();
    if text.is_empty() {
        text = "nothing to remove\n".to_owned();
    }
    super::print(&text).map_err(Failure::infrastructure)
}
