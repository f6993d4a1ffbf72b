//! What a run leaves for the CI server that it runs under: GitHub's annotations and the step's summary.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::stacks;
use crate::report::overview::Overview;
use crate::report::terminal::Sections;
use crate::report::{Format, STREAM, github};
use crate::stack::STACK_FILE;

/// Tells GitHub of a run that ended, where that is where it ran.
///
/// # Errors
/// When the stream cannot be read, or the summary cannot be written.
pub fn tell(folder: &Path) -> Result<()> {
    if Sections::of_environment() != Sections::Github {
        return Ok(());
    }
    let mut text = Vec::new();
    github::write(
        &folder.join(STREAM),
        annotated_file(folder).as_deref(),
        &mut text,
    )?;
    // Nobody is left to be told that nobody listens.
    let _ = std::io::stderr().lock().write_all(&text);
    summarise(folder)
}

/// Appends the run to the step's summary, where GitHub says where that is.
///
/// # Errors
/// When the stream cannot be read, or the summary cannot be written.
pub fn summarise(folder: &Path) -> Result<()> {
    let path = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty());
    let Some(path) = path.map(PathBuf::from) else {
        return Ok(());
    };
    let mut text = Vec::new();
    Format::Markdown.write(folder, None, &mut text)?;
    text.push(b'\n');
    let mut file = OpenOptions::new().create(true).append(true).open(&path);
    let written = file
        .as_mut()
        .map_err(|error| std::io::Error::new(error.kind(), error.to_string()));
    written
        .and_then(|file| file.write_all(&text))
        .with_context(|| format!("failed to append to the step's summary {}", path.display()))
}

/// The stack's file below the working directory, which is the repository's root in a workflow.
#[must_use]
pub fn annotated_file(folder: &Path) -> Option<String> {
    let overview = Overview::read(&folder.join(STREAM)).ok()?;
    let stack = overview.start?.stack;
    let found = stacks::find(Path::new(&stack), None).ok()?.join(STACK_FILE);
    let here = std::env::current_dir().ok()?;
    let relative = match found.strip_prefix(&here) {
        Ok(relative) => relative.to_owned(),
        Err(_) if found.is_relative() => found,
        Err(_) => return None,
    };
    Some(relative.to_string_lossy().into_owned())
}
