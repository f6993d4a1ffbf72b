//! A release as the Cluster Stack Operator reads it: one folder with two YAML files and two archives.

mod addon_config;
mod hashes;
mod metadata;
mod node_images;
mod open;
mod pack;
mod render;
mod rendered;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use addon_config::{Action, Condition, ConditionObject, Hook, Stage};

pub use hashes::Hashes;
pub(crate) use node_images::NODE_IMAGES;
pub use node_images::NodeImage;
pub use pack::{PackError, pack};
pub use render::ADDON_NAMESPACE;

use super::chart::{Chart, ChartError};
use super::problem::{Problem, Problems};
use super::values::{ReleaseTag, ReleaseVersion, Version};
use super::yaml::Source;

/// An opened release: its files are there, agree with each other, and its charts are read.
#[derive(Debug, Clone)]
pub struct Release {
    pub tag: ReleaseTag,
    /// The release's own folder.
    pub folder: PathBuf,
    /// Name of its ClusterClass (dot form).
    pub class_name: String,
    pub kubernetes_version: Version,
    pub cluster_stack_version: ReleaseVersion,
    pub addon_version: ReleaseVersion,
    pub node_image_version: ReleaseVersion,
    pub class_chart: Chart,
    pub addons: Addons,
    results: rendered::Results,
}

impl Release {
    /// Its `clusteraddon.yaml`, or the values of its one chart where it has no stages.
    #[must_use]
    pub fn addon_config_file(&self) -> PathBuf {
        let staged = self.addons.staged;
        self.folder.join(if staged {
            open::ADDON_CONFIG
        } else {
            open::ADDON_VALUES
        })
    }

    /// The archive of its class chart.
    #[must_use]
    pub fn class_file(&self) -> PathBuf {
        self.folder.join(open::class_archive(&self.tag))
    }

    /// The archive of its addons' charts.
    #[must_use]
    pub fn addon_file(&self) -> PathBuf {
        let name = open::addon_archive(&self.tag, &self.addon_version);
        self.folder.join(name)
    }

    /// The archive of what its node images are made of, which few releases have.
    #[must_use]
    pub fn node_image_archive(&self) -> PathBuf {
        let (stem, version) = (self.tag.stem(), self.node_image_version.dotted());
        self.folder.join(format!("{stem}-node-image-{version}.tgz"))
    }
}

/// The addons of a release: which charts at which hook, in order.
#[derive(Debug, Clone)]
pub struct Addons {
    /// Whether there is a `clusteraddon.yaml`, and so a chart for each stage.
    staged: bool,
    hooks: BTreeMap<Hook, Vec<Stage>>,
    charts: BTreeMap<String, AddonChart>,
    /// `clusteraddon.yaml`, where there is one.
    config: Option<Source>,
}

/// One addon's chart and what overwrites its values.
#[derive(Debug, Clone)]
pub struct AddonChart {
    pub chart: Chart,
    /// Template of the values, over the Cluster's objects.
    pub overwrite: Option<Overwrite>,
}

/// A template of values: `overwrite.yaml` of a chart, or `cluster-addon-values.yaml`.
#[derive(Debug, Clone)]
pub struct Overwrite {
    /// Where it comes from, for messages.
    pub file: PathBuf,
    pub text: String,
}

impl Addons {
    /// The stages of a hook in their order; none where the release names no stages for it.
    pub fn stages(&self, hook: Hook) -> &[Stage] {
        self.hooks.get(&hook).map_or(&[], Vec::as_slice)
    }

    /// Whether there is a chart for each stage; else one chart is all.
    pub const fn is_staged(&self) -> bool {
        self.staged
    }

    /// The chart of a directory of the addon archive.
    #[must_use]
    pub fn chart(&self, name: &str) -> Option<&AddonChart> {
        self.charts.get(name)
    }

    /// A problem of `clusteraddon.yaml` at the node that `path` leads to; none without such a file.
    pub(crate) fn problem(&self, path: &[&str], message: impl Into<String>) -> Option<Problem> {
        let config = self.config.as_ref()?;
        Some(config.problem(path, message))
    }

    /// All charts of the addon archive by directory name.
    pub fn charts(&self) -> impl Iterator<Item = (&str, &AddonChart)> {
        self.charts
            .iter()
            .map(|(name, chart)| (name.as_str(), chart))
    }
}

/// Why a release cannot be used: always the release's fault.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error("invalid release `{tag}`\n{problems}")]
    Invalid { tag: String, problems: Problems },
    #[error("failed to render {what} of release `{tag}`: {source}")]
    Render {
        tag: String,
        what: String,
        source: Box<ChartError>,
    },
}

#[cfg(test)]
mod tests;
