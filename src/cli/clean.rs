//! `stackgate clean`: removes by label what earlier runs left.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::args::{CleanArgs, EngineKind};
use super::exit::Failure;
use super::runs;

/// Removes what the given run, or every run of this user's that is not under way, left behind, or the
/// management cluster that was kept under a name; prints what it removed, and which runs it left alone.
///
/// # Errors
/// When the engine cannot be asked, or something could not be removed.
pub fn run(args: &CleanArgs) -> Result<(), Failure> {
    if let Some(folder) = &args.reports {
        return reports(folder, args.keep);
    }
    let engine = args.engine.engine;
    if args.forget && engine != EngineKind::Existing {
        let error = anyhow!(
            "failed to start: only engine existing has management clusters that can be gone for good"
        );
        return Err(Failure::input(error).hint("leave --forget away, or add --engine existing"));
    }
    let runtime = super::runtime()?;
    let clean = super::engine::clean(engine, args.run.clone(), args.kept.clone(), args.forget);
    let removed = runtime.block_on(clean).map_err(Failure::infrastructure)?;
    let mut text: String = removed
        .iter()
        .map(|what| format!("removed {what}\n"))
        .collect();
    if text.is_empty() {
        text = "nothing to remove\n".to_owned();
    }
    super::print(&text).map_err(Failure::infrastructure)?;
    if args.run.is_some() || args.kept.is_some() {
        return Ok(());
    }
    let others = runtime
        .block_on(super::engine::others(engine))
        .map_err(Failure::infrastructure)?;
    let text: String = others
        .iter()
        .map(|run| {
            format!("left alone: run {run} is somebody else's, or its folder is gone: remove it with: stackgate clean {run}\n")
        })
        .collect();
    super::print(&text).map_err(Failure::infrastructure)
}

/// Removes the folders of old runs, and prints which.
fn reports(folder: &Path, keep: usize) -> Result<(), Failure> {
    let mut text = String::new();
    for folder in runs::old(folder, keep) {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("failed to remove {}", folder.display()))
            .map_err(Failure::infrastructure)?;
        text.push_str(&format!("removed {}\n", folder.display()));
    }
    if text.is_empty() {
        text = "nothing to remove\n".to_owned();
    }
    super::print(&text).map_err(Failure::infrastructure)
}
