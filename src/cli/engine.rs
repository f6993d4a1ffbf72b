//! From the name of an engine to the engine: the command line's only place that knows any.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use super::args::EngineKind;
use super::exit::Failure;
use crate::engine::Engine;

/// THE SEAM: makes the engine, for one stack or for none in particular.
///
/// # Errors
/// When it cannot be had.
pub fn make(kind: EngineKind, _stack: Option<&Path>) -> Result<Arc<dyn Engine>, Failure> {
    let error = anyhow!(
        "failed to start engine {}: it is not part of this build",
        kind.name()
    );
    Err(Failure::infrastructure(error))
}
