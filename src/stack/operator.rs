//! The Cluster Stack Operator that a stack names for delivery `operator` on real clusters: what installs it,
//! and where it has the releases from.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::chart::{self, Chart, RenderOptions};
use super::problem::{Problem, Problems};
use super::values::{ImageReference, Subdomain};

/// Where the operator runs: its ExtensionConfig names no other namespace.
pub const OPERATOR_NAMESPACE: &str = "cso-system";
/// How its chart's release is called: what the chart names after it is what the operator's documents name.
const RELEASE: &str = "cso";

/// The Cluster Stack Operator.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OperatorSpec {
    /// What installs it.
    pub install: OperatorInstall,
    /// Image of its manager, in place of that of chart or manifests.
    #[serde(default)]
    pub image: Option<ImageReference>,
    /// Where it has the releases from.
    #[serde(default)]
    pub releases: OperatorReleases,
}

/// What installs the operator.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum OperatorInstall {
    /// Its Helm chart.
    #[serde(rename_all = "camelCase")]
    Chart {
        /// A folder or an archive, relative to this file.
        path: String,
        /// Values above the chart's own.
        #[serde(default)]
        values: Map<String, Value>,
    },
    /// A file with its manifests, relative to this file.
    Manifests(String),
}

/// Where the operator has the releases from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OperatorReleases {
    /// From a folder of its own (`--local`), into which stackgate puts the pair under test.
    #[default]
    Local,
    /// From where its own flags and variables say. Those that its Deployment takes from a Secret, such as
    /// OCI_USERNAME, are filled from stackgate's environment where it has them; where nobody says anything of
    /// OCI_REGISTRY and OCI_REPOSITORY, they are those of `releases.source` of this file.
    Remote,
}

/// What a provider of node images makes its objects of: ClusterStacks refer to it (`providerRef`), and the operator
/// makes one object of it for each release, whose kind is the template's without `Template`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderTemplate {
    /// E.g. `infrastructure.clusterstack.x-k8s.io/v1alpha1`.
    pub api_version: String,
    /// E.g. `OpenStackClusterStackReleaseTemplate`.
    pub kind: String,
    pub metadata: ProviderMetadata,
    /// With the provider's own settings in `template.spec`; `template` names no apiVersion or kind of its own.
    pub spec: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderMetadata {
    /// Name of the template, in the run's namespace.
    pub name: Subdomain,
}

impl ProviderTemplate {
    /// The kind of the objects that are made of it.
    #[must_use]
    pub fn provided(&self) -> &str {
        self.kind.strip_suffix("Template").unwrap_or_default()
    }

    /// The template, to be applied in a namespace.
    #[must_use]
    pub fn object(&self, namespace: &str) -> Value {
        json!({"apiVersion": self.api_version, "kind": self.kind,
            "metadata": {"name": self.metadata.name, "namespace": namespace}, "spec": self.spec})
    }

    /// What refers to it.
    #[must_use]
    pub fn reference(&self) -> Value {
        json!({"apiVersion": self.api_version, "kind": self.kind, "name": self.metadata.name})
    }

    /// What is wrong with it, by the way to the field, and what was expected.
    pub(super) fn problem(&self) -> Option<(&'static [&'static str], String, &'static str)> {
        if !self.api_version.contains('/') {
            let wrong = format!("`{}` is no version of a provider's kinds", self.api_version);
            let expected =
                "group and version, such as infrastructure.clusterstack.x-k8s.io/v1alpha1";
            return Some((&["apiVersion"], wrong, expected));
        }
        if self.provided().is_empty() {
            let wrong = format!("`{}` is no template", self.kind);
            let expected =
                "a kind that ends in Template, such as OpenStackClusterStackReleaseTemplate";
            return Some((&["kind"], wrong, expected));
        }
        let Some(template) = self.spec.get("template").and_then(Value::as_object) else {
            let wrong = "there is no mapping spec.template".to_owned();
            let expected = "what the provider's objects are made of: template with its spec";
            return Some((&["spec"], wrong, expected));
        };
        // The operator would make objects of that kind, and releases refer to those of another.
        let own: [&[&str]; 2] = [
            &["spec", "template", "apiVersion"],
            &["spec", "template", "kind"],
        ];
        let own = own.into_iter().find(|way| template.contains_key(way[2]))?;
        let wrong = format!("spec.template has `{}` of its own", own[2]);
        let expected = "none: the provider's objects are of the template's apiVersion, and of its kind without Template";
        Some((own, wrong, expected))
    }
}

impl OperatorSpec {
    /// The operator's objects, in the namespace that it has to be in.
    ///
    /// # Errors
    /// When chart or manifests cannot be read or rendered.
    pub fn objects(&self, folder: &Path, kubernetes: &str) -> anyhow::Result<Vec<Value>> {
        let mut objects = match &self.install {
            OperatorInstall::Chart { path, values } => {
                let path = folder.join(path);
                let chart = if path.is_dir() {
                    Chart::from_dir(&path)
                } else {
                    Chart::from_archive(&path)
                };
                let options = RenderOptions {
                    release_name: RELEASE.to_owned(),
                    namespace: OPERATOR_NAMESPACE.to_owned(),
                    kube_version: kubernetes.to_owned(),
                    api_versions: Vec::new(),
                    values: Value::Object(values.clone()),
                    include_crds: true,
                };
                let rendered = chart::render(&chart?, &options)?;
                rendered.into_iter().map(|one| one.object).collect()
            }
            OperatorInstall::Manifests(file) => manifests(&folder.join(file))?,
        };
        let is_namespaced = |object: &Value| NAMESPACED.iter().any(|kind| object["kind"] == **kind);
        for object in objects.iter_mut().filter(|object| is_namespaced(object)) {
            // As `helm install --namespace` would.
            if object["metadata"].get("namespace").is_none() {
                object["metadata"]["namespace"] = OPERATOR_NAMESPACE.into();
            }
        }
        Ok(objects)
    }
}

/// The kinds of a namespace that such manifests are made of.
const NAMESPACED: [&str; 9] = [
    "Certificate",
    "ConfigMap",
    "Deployment",
    "Issuer",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
];

fn manifests(file: &Path) -> Result<Vec<Value>, Problems> {
    let wrong = |what: String| {
        Problems(vec![
            Problem::new(file, what).expected("the Cluster Stack Operator's manifests, as YAML"),
        ])
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| wrong(error.to_string()))?;
    let objects = documents.into_iter().filter(|document| !document.is_null());
    Ok(objects.collect())
}
