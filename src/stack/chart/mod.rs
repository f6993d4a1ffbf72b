//! Helm charts: loaded from folders and archives, rendered in process as `helm template` does.
//!
//! The Cluster Stack Operator calls Helm 3.19; a chart renders here to the same objects, field by
//! field (`tests/cli_charts.rs` compares them with the real program). Rendering reads nothing
//! from disk or network and runs within limits, so a chart of unknown origin does no harm.

mod context;
mod dependencies;
mod error;
mod glob;
mod ignore;
mod load;
mod manifest;
mod metadata;
mod render;
pub(in crate::stack) mod semver;
mod template;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

pub use error::{ChartError, TemplateError};
pub use load::Chart;
pub(in crate::stack) use render::{Outcome, outcome};
pub use render::{render, render_patch, render_text};

/// How a chart is rendered; the flags of `helm template`.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderOptions {
    /// `.Release.Name`.
    pub release_name: String,
    /// `.Release.Namespace`.
    pub namespace: String,
    /// `.Capabilities.KubeVersion`, such as `v1.34.3`.
    pub kube_version: String,
    /// API versions that `.Capabilities.APIVersions` has besides those that Helm knows.
    pub api_versions: Vec<String>,
    /// Values above the chart's own (`--values`); null deletes a default.
    pub values: serde_json::Value,
    /// Whether the content of `crds/` comes first.
    pub include_crds: bool,
}

/// One rendered object.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The object.
    pub object: serde_json::Value,
    /// The file that it comes from, `<chart>/templates/<name>`.
    pub source: String,
}
