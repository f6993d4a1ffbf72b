//! Why a chart could not be read or rendered, always with the place at fault.

use std::fmt;
use std::path::PathBuf;

use crate::stack::archive::ArchiveError;

/// Why a chart could not be read or rendered. Displays as a fragment that follows `error: `.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// The archive is not one that a release may contain.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A chart folder or one of its files could not be read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A file of the chart, or a rendered manifest, is not what Helm demands.
    #[error("{file}{}: {message}", line_suffix(.line))]
    File {
        /// `<origin>/<path in the chart>`, or `<chart>/templates/<name>` of a manifest.
        file: String,
        /// One-based line; of the rendered text where the file is a template.
        line: Option<usize>,
        /// What is wrong and what was expected.
        message: String,
    },
    /// `Chart.yaml` names dependencies that `charts/` does not contain.
    #[error(
        "chart {chart}: dependencies {} are named in Chart.yaml but not found under charts/; \
         vendor them with `helm dependency build` before packing the release",
        missing.join(", ")
    )]
    MissingDependencies {
        /// The chart's name.
        chart: String,
        /// Names of the dependencies that are not there.
        missing: Vec<String>,
    },
    /// The values do not fit the chart.
    #[error("chart {chart}: {message}")]
    Values {
        /// The chart's name.
        chart: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// The chart refuses this Kubernetes version, or the options are unusable.
    #[error("chart {chart}: {message}")]
    Options {
        /// The chart's name.
        chart: String,
        /// What is wrong and what was expected.
        message: String,
    },
    /// A template is malformed, failed on purpose (`fail`, `required`) or went wrong.
    #[error(transparent)]
    Template(Box<TemplateError>),
}

fn line_suffix(line: &Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

impl ChartError {
    pub(super) fn file(
        file: impl Into<String>,
        line: Option<usize>,
        message: impl Into<String>,
    ) -> Self {
        ChartError::File {
            file: file.into(),
            line,
            message: message.into(),
        }
    }
}

/// A failed template: where, why, and how rendering came there.
#[derive(Debug)]
pub struct TemplateError {
    /// The template file, `<chart>/templates/<name>`.
    pub file: String,
    /// One-based line in `file`.
    pub line: usize,
    /// One-based column in `file`, in characters.
    pub column: usize,
    /// What went wrong.
    pub message: String,
    /// Whether a limit on time, depth, steps or output ended the render.
    pub limit: bool,
    /// Callers, innermost first: file, line and the expression (`include "x" .`).
    pub trace: Vec<(String, usize, String)>,
}

impl std::error::Error for TemplateError {}

/// Callers shown in a message; a template that includes itself has a thousand.
const TRACE_SHOWN: usize = 5;

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )?;
        for (file, line, expression) in self.trace.iter().take(TRACE_SHOWN) {
            write!(f, "\n  reached from {file}:{line}: {expression}")?;
        }
        match self.trace.len().saturating_sub(TRACE_SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  reached from {more} more"),
        }
    }
}

impl From<TemplateError> for ChartError {
    fn from(error: TemplateError) -> Self {
        ChartError::Template(Box::new(error))
    }
}
