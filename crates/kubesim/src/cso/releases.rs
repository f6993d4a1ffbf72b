//! What the operator reads of a release. Charts are rendered by whoever uses the simulation.

use std::sync::Arc;

use serde_json::Value;

/// Hook at which a new Cluster gets its addons.
pub const CREATED: &str = "AfterControlPlaneInitialized";
/// Hook at which an upgraded Cluster gets them.
pub const UPGRADED: &str = "BeforeClusterUpgrade";

/// What a release says of itself; versions in dash form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// E.g. `v1.35.0`.
    pub kubernetes: String,
    /// The version of its addons.
    pub addon: String,
    /// Whether it has a `clusteraddon.yaml`, and so stages.
    pub staged: bool,
}

/// What a stage does with its chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `apply`
    Apply,
    /// `delete`
    Delete,
}

/// One stage of a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The chart's directory.
    pub name: String,
    /// What is done with it.
    pub action: Action,
    /// What has to hold before.
    pub before: Option<Wait>,
    /// What has to hold before the next stage.
    pub after: Option<Wait>,
}

/// A condition over objects of the workload cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// The objects.
    pub objects: Vec<Watched>,
    /// The CEL expression.
    pub expression: String,
}

/// An object that a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its name in the expression.
    pub key: String,
    /// `apiVersion`
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace; empty for cluster-scoped ones.
    pub namespace: String,
}

/// The objects of the management cluster that values are templated with.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// The Cluster, in v1beta1.
    pub cluster: Value,
    /// What it names as its control plane.
    pub control_plane: Value,
    /// What it names as its infrastructure.
    pub infrastructure: Value,
}

/// Why a chart gave no objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RenderError {
    /// There is no such chart.
    Missing,
    /// The template of its values fails.
    Values(String),
    /// The chart fails.
    Chart(String),
}

impl RenderError {
    pub(super) fn message(&self, chart: &str) -> String {
        match self {
            Self::Missing => format!("chart {chart} not found"),
            Self::Values(why) | Self::Chart(why) => {
                format!("failed to template helm chart {chart}: {why}")
            }
        }
    }
}

/// The releases that the operator's registry has, and their charts.
pub trait Releases: Send + Sync {
    /// The tags that the registry has.
    fn tags(&self) -> Vec<String>;

    /// What a release says of itself.
    ///
    /// # Errors
    /// When it cannot be downloaded.
    fn metadata(&self, tag: &str) -> Result<Metadata, String>;

    /// The objects of its class chart.
    ///
    /// # Errors
    /// When the chart fails.
    fn class(&self, tag: &str, namespace: &str) -> Result<Vec<Value>, String>;

    /// The stages of a hook, in their order.
    fn stages(&self, tag: &str, hook: &str) -> Vec<Stage>;

    /// Whether there is a chart of this name.
    fn has_chart(&self, tag: &str, chart: &str) -> bool;

    /// Whether a chart brings a template of values, `overwrite.yaml`.
    fn has_overwrite(&self, tag: &str, chart: &str) -> bool;

    /// The objects of an addon's chart, with the values that the template of `values_of` gives; with
    /// the chart's own alone where it is none.
    ///
    /// # Errors
    /// When there is no such chart, or it fails.
    fn addon(
        &self,
        tag: &str,
        chart: &str,
        values_of: Option<&str>,
        objects: &Objects,
    ) -> Result<Vec<Value>, RenderError>;

    /// Whether an expression holds of objects by their keys.
    ///
    /// # Errors
    /// When it cannot be evaluated.
    fn holds(&self, expression: &str, objects: &[(String, Arc<Value>)]) -> Result<bool, String>;
}
