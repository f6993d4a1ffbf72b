//! The views that can be made of a stream, by name.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use super::terminal::{Sections, log};
use super::{STREAM, Summary, github, html, junit, markdown, recording, scs};

/// A view of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `junit.xml`.
    Junit,
    /// `summary.json`.
    Json,
    /// `report.html`.
    Html,
    /// The SCS compliance checker's YAML.
    Scs,
    /// A comment on a pull request.
    Markdown,
    /// The log with GitHub's groups, and annotations.
    Github,
    /// The log with GitLab's sections.
    Gitlab,
    /// The log.
    Plain,
    /// A trace, in OTLP's JSON.
    #[cfg(feature = "otel")]
    Otlp,
}

impl Format {
    /// All that every build has.
    pub const ALL: [Self; 8] = [
        Self::Junit,
        Self::Json,
        Self::Html,
        Self::Scs,
        Self::Markdown,
        Self::Github,
        Self::Gitlab,
        Self::Plain,
    ];

    /// Writes the view of the run in `folder`. Annotations are put to `file`.
    ///
    /// # Errors
    /// When the stream cannot be read, or `out` cannot be written.
    pub fn write(self, folder: &Path, file: Option<&str>, out: &mut dyn Write) -> Result<()> {
        let stream = folder.join(STREAM);
        match self {
            Self::Junit => junit::write(&stream, out),
            Self::Json => Summary::write(&stream, out),
            Self::Html => html::write(&stream, recording(folder).as_deref(), out),
            Self::Scs => scs::write(&stream, out),
            Self::Markdown => markdown::write(&stream, out),
            Self::Github => {
                log(&stream, Sections::Github, out)?;
                github::write(&stream, file, out)
            }
            Self::Gitlab => log(&stream, Sections::Gitlab, out),
            Self::Plain => log(&stream, Sections::None, out),
            #[cfg(feature = "otel")]
            Self::Otlp => super::otlp::write(&stream, out),
        }
    }
}
