//! What a template sees: `.Values`, `.Release`, `.Chart`, `.Capabilities`, `.Files`, `.Subcharts`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value as Json;

use super::glob::{Dialect, matches};
use super::template::functions::base64;
use super::template::{Map, Object, Value};
use super::{Chart, RenderOptions, yaml};

/// API versions that Helm 3.19 knows without a cluster (`helm template` prints them).
const API_VERSIONS: &[&str] = &[
    "v1",
    "admissionregistration.k8s.io/v1",
    "admissionregistration.k8s.io/v1alpha1",
    "admissionregistration.k8s.io/v1beta1",
    "internal.apiserver.k8s.io/v1alpha1",
    "apps/v1",
    "apps/v1beta1",
    "apps/v1beta2",
    "authentication.k8s.io/v1",
    "authentication.k8s.io/v1alpha1",
    "authentication.k8s.io/v1beta1",
    "authorization.k8s.io/v1",
    "authorization.k8s.io/v1beta1",
    "autoscaling/v1",
    "autoscaling/v2",
    "autoscaling/v2beta1",
    "autoscaling/v2beta2",
    "batch/v1",
    "batch/v1beta1",
    "certificates.k8s.io/v1",
    "certificates.k8s.io/v1beta1",
    "certificates.k8s.io/v1alpha1",
    "coordination.k8s.io/v1alpha2",
    "coordination.k8s.io/v1beta1",
    "coordination.k8s.io/v1",
    "discovery.k8s.io/v1",
    "discovery.k8s.io/v1beta1",
    "events.k8s.io/v1",
    "events.k8s.io/v1beta1",
    "extensions/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1",
    "flowcontrol.apiserver.k8s.io/v1beta1",
    "flowcontrol.apiserver.k8s.io/v1beta2",
    "flowcontrol.apiserver.k8s.io/v1beta3",
    "networking.k8s.io/v1",
    "networking.k8s.io/v1beta1",
    "node.k8s.io/v1",
    "node.k8s.io/v1alpha1",
    "node.k8s.io/v1beta1",
    "policy/v1",
    "policy/v1beta1",
    "rbac.authorization.k8s.io/v1",
    "rbac.authorization.k8s.io/v1beta1",
    "rbac.authorization.k8s.io/v1alpha1",
    "resource.k8s.io/v1",
    "resource.k8s.io/v1beta2",
    "resource.k8s.io/v1beta1",
    "resource.k8s.io/v1alpha3",
    "scheduling.k8s.io/v1alpha1",
    "scheduling.k8s.io/v1beta1",
    "scheduling.k8s.io/v1",
    "storage.k8s.io/v1beta1",
    "storage.k8s.io/v1",
    "storage.k8s.io/v1alpha1",
    "storagemigration.k8s.io/v1alpha1",
    "apiextensions.k8s.io/v1beta1",
    "apiextensions.k8s.io/v1",
];

/// `.Release`.
pub(super) fn release(options: &RenderOptions) -> Value {
    Value::map([
        ("Name", Value::text(options.release_name.as_str())),
        ("Namespace", Value::text(options.namespace.as_str())),
        ("IsUpgrade", Value::Bool(false)),
        ("IsInstall", Value::Bool(true)),
        ("Revision", Value::Int(1)),
        ("Service", Value::text("Helm")),
    ])
}

/// `.Capabilities`; `kube_version` is `v1.34.3`.
pub(super) fn capabilities(kube_version: &str, more_apis: &[String]) -> Value {
    let mut numbers = kube_version.trim_start_matches('v').split('.');
    let mut number = || Value::text(numbers.next().unwrap_or("0"));
    let kube = Record {
        type_name: "chartutil.KubeVersion",
        shown: Some(kube_version.to_owned()),
        fields: vec![
            ("Version", "Version", Value::text(kube_version)),
            ("Major", "Major", number()),
            ("Minor", "Minor", number()),
        ],
    };
    let helm = Record {
        type_name: "version.BuildInfo",
        shown: None,
        fields: vec![
            ("Version", "version", Value::text("v3.19.5")),
            ("GitCommit", "git_commit", Value::text("")),
            ("GitTreeState", "git_tree_state", Value::text("")),
            ("GoVersion", "go_version", Value::text("")),
        ],
    };
    let apis = API_VERSIONS
        .iter()
        .map(|v| (*v).to_owned())
        .chain(more_apis.iter().cloned());
    let capabilities = Record {
        type_name: "*chartutil.Capabilities",
        shown: None,
        fields: vec![
            ("KubeVersion", "KubeVersion", Value::Object(Rc::new(kube))),
            (
                "APIVersions",
                "APIVersions",
                Value::Object(Rc::new(VersionSet(apis.collect()))),
            ),
            ("HelmVersion", "HelmVersion", Value::Object(Rc::new(helm))),
        ],
    };
    Value::Object(Rc::new(capabilities))
}

/// One template file and what it sees.
pub(super) struct Source<'c> {
    /// `<chart>/charts/<below>/templates/<name>`
    pub path: String,
    /// `.Template.BasePath`
    pub base_path: String,
    pub text: &'c [u8],
    /// `.`; shared by all templates of a chart, so what one sets the next one sees.
    pub scope: Map,
}

/// Collects the templates of `chart` and the charts below it, each with its scope.
pub(super) fn sources<'c>(
    chart: &'c Chart,
    values: Value,
    shared: &[(&'static str, Value)],
) -> Vec<Source<'c>> {
    let mut sources = Vec::new();
    scope(
        chart,
        chart.name().to_owned(),
        true,
        values,
        shared,
        &mut sources,
    );
    sources
}

fn scope<'c>(
    chart: &'c Chart,
    full_path: String,
    is_root: bool,
    values: Value,
    shared: &[(&'static str, Value)],
    sources: &mut Vec<Source<'c>>,
) -> Map {
    let below = Map::from_iter::<[(&str, Value); 0]>([]);
    let scope: Map = [
        ("Chart", chart_object(chart, is_root)),
        ("Files", Value::Object(Rc::new(Files(chart.files.clone())))),
        ("Values", values.clone()),
        ("Subcharts", Value::Map(below.clone())),
    ]
    .into_iter()
    .chain(shared.iter().cloned())
    .collect();
    for dependency in &chart.dependencies {
        let name = dependency.name();
        let mut inner = values.clone();
        for key in name.split('.') {
            inner = match &inner {
                Value::Map(map) => map.get(key).unwrap_or(Value::Nil),
                _ => Value::Nil,
            };
        }
        if !matches!(inner, Value::Map(_)) {
            inner = Value::map::<&str>([]);
        }
        let path = format!("{full_path}/charts/{name}");
        let inner = self::scope(dependency, path, false, inner, shared, sources);
        below.set(name, Value::Map(inner));
    }
    for (name, text) in chart.templates.iter() {
        if chart.metadata.library && !is_partial(name) {
            continue;
        }
        sources.push(Source {
            path: format!("{full_path}/{name}"),
            base_path: format!("{full_path}/templates"),
            text,
            scope: scope.clone(),
        });
    }
    scope
}

/// Files whose name starts with `_` only define templates.
pub(super) fn is_partial(path: &str) -> bool {
    path.rsplit('/')
        .next()
        .is_some_and(|name| name.starts_with('_'))
}

/// A Go struct: reading a field that it does not have is an error.
struct Record {
    type_name: &'static str,
    /// What it prints as, where it is not its fields.
    shown: Option<String>,
    /// Name in templates, name in JSON, value.
    fields: Vec<(&'static str, &'static str, Value)>,
}

impl Object for Record {
    fn type_name(&self) -> &'static str {
        self.type_name
    }

    fn method(&self, name: &str, _: &[Value]) -> Option<Result<Value, String>> {
        let shown = self.shown.as_deref()?;
        matches!(name, "String" | "GitVersion").then(|| Ok(Value::text(shown)))
    }

    fn field(&self, name: &str) -> Option<Value> {
        self.fields
            .iter()
            .find(|(field, ..)| *field == name)
            .map(|(.., value)| value.clone())
    }

    fn data(&self) -> Value {
        let kept = self.fields.iter().filter(|(.., value)| value.truth());
        Value::map(kept.map(|(_, json, value)| (*json, value.clone())))
    }

    fn display(&self) -> Option<String> {
        self.shown.clone()
    }
}

/// `.Chart`, with every field that Chart.yaml may have.
fn chart_object(chart: &Chart, is_root: bool) -> Value {
    let fields = &chart.metadata.fields;
    let text = |json: &str| match fields.get(json) {
        Some(Json::String(text)) => Value::text(text.as_str()),
        Some(Json::Number(number)) => Value::text(number.to_string()),
        Some(Json::Bool(value)) => Value::text(value.to_string()),
        _ => Value::text(""),
    };
    let list = |json: &str| match fields.get(json) {
        Some(list @ Json::Array(_)) => Value::from_helm(list),
        _ => Value::list([]),
    };
    let annotations = match fields.get("annotations") {
        Some(map @ Json::Object(_)) => Value::from_helm(map),
        _ => Value::map::<&str>([]),
    };
    let record = Record {
        type_name: "struct { chart.Metadata; IsRoot bool }",
        shown: None,
        fields: vec![
            ("Name", "name", Value::text(chart.name())),
            ("Home", "home", text("home")),
            ("Sources", "sources", list("sources")),
            ("Version", "version", Value::text(chart.version())),
            ("Description", "description", text("description")),
            ("Keywords", "keywords", list("keywords")),
            (
                "Maintainers",
                "maintainers",
                maintainers(fields.get("maintainers")),
            ),
            ("Icon", "icon", text("icon")),
            ("APIVersion", "apiVersion", text("apiVersion")),
            ("Condition", "condition", text("condition")),
            ("Tags", "tags", text("tags")),
            ("AppVersion", "appVersion", text("appVersion")),
            (
                "Deprecated",
                "deprecated",
                Value::Bool(fields.get("deprecated") == Some(&Json::Bool(true))),
            ),
            ("Annotations", "annotations", annotations),
            (
                "KubeVersion",
                "kubeVersion",
                Value::text(chart.metadata.kube_version.as_str()),
            ),
            ("Dependencies", "dependencies", dependencies(chart)),
            ("Type", "type", text("type")),
            ("IsRoot", "IsRoot", Value::Bool(is_root)),
        ],
    };
    Value::Object(Rc::new(record))
}

fn maintainers(json: Option<&Json>) -> Value {
    let people = json
        .and_then(Json::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    Value::list(people.iter().map(|person| {
        let text = |key: &str| Value::text(person.get(key).and_then(Json::as_str).unwrap_or(""));
        Value::Object(Rc::new(Record {
            type_name: "*chart.Maintainer",
            shown: None,
            fields: vec![
                ("Name", "name", text("name")),
                ("Email", "email", text("email")),
                ("URL", "url", text("url")),
            ],
        }))
    }))
}

fn dependencies(chart: &Chart) -> Value {
    Value::list(chart.metadata.dependencies.iter().map(|d| {
        Value::Object(Rc::new(Record {
            type_name: "*chart.Dependency",
            shown: None,
            fields: vec![
                ("Name", "name", Value::text(d.name.as_str())),
                ("Version", "version", Value::text(d.version.as_str())),
                (
                    "Repository",
                    "repository",
                    Value::text(d.repository.as_str()),
                ),
                ("Condition", "condition", Value::text(d.condition.as_str())),
                (
                    "Tags",
                    "tags",
                    Value::texts(d.tags.iter().map(String::as_str)),
                ),
                ("Enabled", "enabled", Value::Bool(d.enabled)),
                ("Alias", "alias", Value::text(d.alias.as_str())),
            ],
        }))
    }))
}

/// `.Capabilities.APIVersions`.
struct VersionSet(Vec<String>);

impl Object for VersionSet {
    fn type_name(&self) -> &'static str {
        "chartutil.VersionSet"
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        (name == "Has").then(|| match args {
            [Value::Text(wanted)] => Ok(Value::Bool(self.0.iter().any(|v| **v == **wanted))),
            _ => Err("wrong number or type of args for Has: want one string".into()),
        })
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn data(&self) -> Value {
        Value::texts(self.0.iter().map(String::as_str))
    }
}

/// `.Files`, or what `.Files.Glob` found of them.
struct Files(Arc<BTreeMap<String, Vec<u8>>>);

impl Files {
    /// Content as a string; bytes where it is not text (`b64enc` takes both).
    fn content(data: &[u8]) -> Value {
        match std::str::from_utf8(data) {
            Ok(text) => Value::text(text),
            Err(_) => Value::Bytes(data.into()),
        }
    }

    fn by_base_name(&self, encode: impl Fn(&[u8]) -> String) -> Value {
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let map = self
            .0
            .iter()
            .map(|(path, data)| (base(path), Json::from(encode(data))))
            .collect();
        let text = yaml::to_yaml(&Json::Object(map));
        Value::text(text.strip_suffix('\n').unwrap_or(&text))
    }

    fn glob(&self, pattern: &str) -> Value {
        let valid = matches(pattern, "", Dialect::Extended).is_some();
        let pattern = if valid { pattern } else { "**" };
        let found = self
            .0
            .iter()
            .filter(|(p, _)| matches(pattern, p, Dialect::Extended) == Some(true));
        let found = found
            .map(|(path, data)| (path.clone(), data.clone()))
            .collect();
        Value::Object(Rc::new(Files(Arc::new(found))))
    }

    fn lines(&self, path: &str) -> Value {
        let Some(data) = self.0.get(path) else {
            return Value::list([]);
        };
        let text = String::from_utf8_lossy(data);
        Value::texts(text.strip_suffix('\n').unwrap_or(&text).split('\n'))
    }
}

impl Object for Files {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let path = || match args {
            [Value::Text(path)] => Ok(&**path),
            _ => Err(format!(
                "wrong number or type of args for {name}: want one string"
            )),
        };
        let data = |path: &str| self.0.get(path).map(Vec::as_slice).unwrap_or_default();
        Some(match name {
            "Get" => path().map(|p| Files::content(data(p))),
            "GetBytes" => path().map(|p| Value::Bytes(data(p).into())),
            "Glob" => path().map(|p| self.glob(p)),
            "Lines" => path().map(|p| self.lines(p)),
            "AsConfig" => Ok(self.by_base_name(|data| String::from_utf8_lossy(data).into_owned())),
            "AsSecrets" => Ok(self.by_base_name(base64)),
            _ => return None,
        })
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(
            self.0
                .get(name)
                .map_or(Value::Nil, |data| Value::Bytes(data.as_slice().into())),
        )
    }

    fn data(&self) -> Value {
        Value::map(
            self.0
                .iter()
                .map(|(path, data)| (path.as_str(), Value::Bytes(data.as_slice().into()))),
        )
    }
}
