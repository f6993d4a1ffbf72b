//! `Chart.yaml`.

use serde_json::{Map, Value};

use super::semver::Version;

/// What `Chart.yaml` says, as far as rendering is concerned.
#[derive(Debug, Clone)]
pub(super) struct Metadata {
    pub name: String,
    pub version: String,
    pub kube_version: String,
    pub library: bool,
    pub dependencies: Vec<Dependency>,
    /// All fields, for `.Chart`.
    pub fields: Map<String, Value>,
}

/// One entry of `dependencies`.
#[derive(Debug, Clone, Default)]
pub(super) struct Dependency {
    pub name: String,
    pub version: String,
    pub repository: String,
    pub condition: String,
    pub tags: Vec<String>,
    pub alias: String,
    pub import_values: Vec<Import>,
    pub enabled: bool,
}

/// One entry of `import-values`.
#[derive(Debug, Clone)]
pub(super) struct Import {
    pub child: String,
    pub parent: String,
}

/// A scalar as Go's YAML reader puts it into a string field.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(value)) => value.to_string(),
        _ => String::new(),
    }
}

impl Metadata {
    /// Reads and checks the file's content; the error is a message without a place.
    pub fn from_yaml(yaml: &Value) -> Result<Metadata, String> {
        let Value::Object(fields) = yaml else {
            return Err("expected a mapping with apiVersion, name and version".into());
        };
        let name = text(fields.get("name"));
        let version = text(fields.get("version"));
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(format!(
                "name {name:?} is invalid, expected the chart's name"
            ));
        }
        if Version::parse(&version).is_err() {
            return Err(format!(
                "version {version:?} is invalid, expected a semantic version such as 1.2.3"
            ));
        }
        let kind = text(fields.get("type"));
        if !matches!(kind.as_str(), "" | "application" | "library") {
            return Err(format!(
                "type {kind:?} is invalid, expected application or library"
            ));
        }
        let mut metadata = Metadata {
            name,
            version,
            kube_version: text(fields.get("kubeVersion")),
            library: kind == "library",
            dependencies: Vec::new(),
            fields: fields.clone(),
        };
        metadata.add_dependencies(fields)?;
        Ok(metadata)
    }

    /// Adds the `dependencies` of Chart.yaml, or of the older requirements.yaml.
    pub fn add_dependencies(&mut self, fields: &Map<String, Value>) -> Result<(), String> {
        let Some(Value::Array(list)) = fields.get("dependencies") else {
            return Ok(());
        };
        self.dependencies = Vec::new();
        for entry in list {
            let Value::Object(entry) = entry else {
                return Err("dependencies must be mappings with a name and a version".into());
            };
            let dependency = Dependency {
                name: text(entry.get("name")),
                version: text(entry.get("version")),
                repository: text(entry.get("repository")),
                condition: text(entry.get("condition")),
                tags: match entry.get("tags") {
                    Some(Value::Array(tags)) => tags.iter().map(|t| text(Some(t))).collect(),
                    _ => Vec::new(),
                },
                alias: text(entry.get("alias")),
                import_values: imports(entry.get("import-values"))?,
                enabled: true,
            };
            if dependency.name.is_empty() {
                return Err("a dependency has no name".into());
            }
            if self
                .dependencies
                .iter()
                .any(|known| known.key() == dependency.key())
            {
                return Err(format!(
                    "more than one dependency with name or alias {:?}",
                    dependency.key()
                ));
            }
            self.dependencies.push(dependency);
        }
        Ok(())
    }
}

impl Dependency {
    /// The key of its values in the parent's.
    pub fn key(&self) -> &str {
        if self.alias.is_empty() {
            &self.name
        } else {
            &self.alias
        }
    }
}

fn imports(value: Option<&Value>) -> Result<Vec<Import>, String> {
    let Some(Value::Array(list)) = value else {
        return Ok(Vec::new());
    };
    list.iter()
        .map(|entry| match entry {
            Value::String(name) => Ok(Import {
                child: format!("exports.{name}"),
                parent: ".".into(),
            }),
            Value::Object(pair) => Ok(Import {
                child: text(pair.get("child")),
                parent: text(pair.get("parent")),
            }),
            _ => Err("import-values must be names or mappings with child and parent".into()),
        })
        .collect()
}
