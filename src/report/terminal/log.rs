//! The whole run as lines, as it was seen live without a terminal.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::closing::closing_of;
use super::progress::Progress;
use super::screen::Screen;
use super::sections::Sections;
use crate::record::{self, What};

/// Writes the log of a stream, and its last lines.
///
/// # Errors
/// When the stream cannot be read, or `out` cannot be written.
pub fn log(stream: &Path, sections: Sections, out: &mut dyn Write) -> Result<()> {
    let mut progress = Progress::new(Screen::PLAIN);
    let mut open = None;
    for event in record::read(stream)? {
        let event = event?;
        match event.what {
            What::PhaseStarted { phase, .. } => open = Some((phase, event.at)),
            What::PhaseFinished { .. } => open = None,
            _ => {}
        }
        let lines = progress.take(&event);
        for line in sections.mark(&event, lines) {
            writeln!(out, "{line}")?;
        }
    }
    if let Some((phase, at)) = open.filter(|_| sections != Sections::None) {
        writeln!(out, "{}", sections.end(at.as_second(), phase.name()))?;
    }
    for line in closing_of(stream, &[], Screen::PLAIN)?.lines() {
        writeln!(out, "{}", sections.harmless(line))?;
    }
    Ok(())
}
