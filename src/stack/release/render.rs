//! Renders a release's charts as the Cluster Stack Operator does.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::addon_config::Stage;
use super::open::class_archive;
use super::{Overwrite, Release, ReleaseError};
use crate::stack::chart::{self, ChartError, RenderOptions, Rendered};
use crate::stack::problem::{Problem, Problems};
use crate::stack::yaml::Source;

/// In the place of an addon's name: no folder is called so.
const CLASS: &str = "";
/// Helm release name of every addon chart.
const ADDON_RELEASE: &str = "cluster-addon";
/// Kubernetes version that Helm 3.19 assumes when it is told none, as for the class chart.
const HELM_KUBE_VERSION: &str = "v1.34.0";
/// Namespace of every addon chart.
pub const ADDON_NAMESPACE: &str = "kube-system";

impl Release {
    /// The objects of the class chart for `namespace`, among them exactly the ClusterClass
    /// [`class_name`](Self::class_name).
    pub fn render_class(&self, namespace: &str) -> Result<Vec<Rendered>, ReleaseError> {
        let options = RenderOptions {
            release_name: self.tag.stem(),
            namespace: namespace.to_owned(),
            kube_version: HELM_KUBE_VERSION.to_owned(),
            api_versions: Vec::new(),
            values: Value::Object(Map::new()),
            include_crds: false,
        };
        let rendered = self
            .results
            .of(CLASS, &self.class_chart, options)
            .map_err(|source| self.failed("the class chart", source))?;
        let classes: Vec<&str> = rendered
            .iter()
            .filter(|rendered| rendered.object["kind"] == "ClusterClass")
            .filter_map(|rendered| rendered.object["metadata"]["name"].as_str())
            .collect();
        if classes == [self.class_name.as_str()] {
            return Ok(rendered);
        }
        let found = if classes.is_empty() {
            "no ClusterClass".to_owned()
        } else {
            format!("ClusterClass {}", classes.join(", "))
        };
        let file = self.folder.join(class_archive(&self.tag));
        Err(self.invalid(
            Problem::new(&file, format!("the class chart renders {found}"))
                .expected(format!("exactly one, named `{}`", self.class_name))
                .help("name it {{ .Release.Name }}-{{ .Chart.Version }}"),
        ))
    }

    /// The objects of a stage's chart. `context` is the mapping `Cluster`, `ControlPlane`,
    /// `InfraCluster` of complete objects that the values' template sees.
    pub fn render_addon(
        &self,
        stage: &Stage,
        context: &Value,
    ) -> Result<Vec<Rendered>, ReleaseError> {
        self.render_chart(&stage.name, Some(&stage.name), context)
    }

    /// The objects of an addon's chart with the values that the template of the chart `values_of`
    /// gives, or with the chart's own alone. It is its own template but for the Cluster Stack Operator's
    /// lists of what to prune.
    pub fn render_chart(
        &self,
        chart: &str,
        values_of: Option<&str>,
        context: &Value,
    ) -> Result<Vec<Rendered>, ReleaseError> {
        let what = format!("addon `{chart}`");
        let Some(addon) = self.addons.charts.get(chart) else {
            return Err(self.invalid(Problem::new(&self.folder, format!("there is no {what}"))));
        };
        let template =
            values_of.and_then(|other| self.addons.charts.get(other)?.overwrite.as_ref());
        let values = match template {
            Some(overwrite) => self.values(overwrite, context)?,
            None => Map::new(),
        };
        let options = RenderOptions {
            release_name: ADDON_RELEASE.to_owned(),
            namespace: ADDON_NAMESPACE.to_owned(),
            values: Value::Object(values),
            kube_version: self.kubernetes_version.to_string(),
            api_versions: Vec::new(),
            include_crds: true,
        };
        let rendered = self.results.of(chart, &addon.chart, options);
        rendered.map_err(|source| self.failed(&what, source))
    }

    /// The values that a template gives; a string under the key `values` stands for all of them.
    fn values(
        &self,
        overwrite: &Overwrite,
        context: &Value,
    ) -> Result<Map<String, Value>, ReleaseError> {
        let name = overwrite.file.display().to_string();
        let text = chart::render_text(&name, &overwrite.text, context)
            .map_err(|source| self.failed("the values", source))?;
        let file = PathBuf::from(format!("{name} (rendered)"));
        let mapping = self.mapping(&file, &text)?;
        match mapping.get("values") {
            Some(Value::String(inner)) => self.mapping(
                &PathBuf::from(format!("{name} (rendered, key values)")),
                inner,
            ),
            _ => Ok(mapping),
        }
    }

    fn mapping(
        &self,
        file: &std::path::Path,
        text: &str,
    ) -> Result<Map<String, Value>, ReleaseError> {
        let source = Source::new(file, text);
        match source.parse().map_err(|problems| self.refused(problems))? {
            Value::Object(mapping) => Ok(mapping),
            _ => Err(self.invalid(
                source
                    .problem(&[], "the values are no mapping")
                    .expected("a YAML mapping"),
            )),
        }
    }

    fn failed(&self, what: &str, source: ChartError) -> ReleaseError {
        ReleaseError::Render {
            tag: self.tag.to_string(),
            what: what.to_owned(),
            source: Box::new(source),
        }
    }

    fn invalid(&self, problem: Problem) -> ReleaseError {
        self.refused(problem.into())
    }

    fn refused(&self, problems: Problems) -> ReleaseError {
        ReleaseError::Invalid {
            tag: self.tag.to_string(),
            problems,
        }
    }
}
