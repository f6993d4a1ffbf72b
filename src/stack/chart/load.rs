//! Charts from folders and archives.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::ignore::{self, Rules};
use super::metadata::Metadata;
use super::{ChartError, dependencies, yaml};
use crate::stack::archive::{self, Limits};

/// A chart and the charts below it.
#[derive(Debug, Clone)]
pub struct Chart {
    pub(super) metadata: Metadata,
    pub(super) values: Map<String, Value>,
    /// Files below `templates/` and all others, by their path in the chart.
    pub(super) templates: Arc<BTreeMap<String, Vec<u8>>>,
    pub(super) files: Arc<BTreeMap<String, Vec<u8>>>,
    pub(super) dependencies: Vec<Chart>,
}

/// Charts inside of charts; Helm itself has no limit.
const MAX_DEPTH: usize = 16;

impl Chart {
    /// Reads the chart in the folder `dir`, without what its `.helmignore` leaves out.
    ///
    /// # Errors
    /// [`ChartError`] naming the file at fault.
    pub fn from_dir(dir: &Path) -> Result<Chart, ChartError> {
        let origin = dir.display().to_string();
        let ignore_file = dir.join(ignore::FILE_NAME);
        let rules = match std::fs::read_to_string(&ignore_file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(source) => {
                return Err(ChartError::Read {
                    path: ignore_file,
                    source,
                });
            }
        };
        let rules = Rules::parse(&ignore_file.display().to_string(), &rules)?;
        let mut files = BTreeMap::new();
        read_dir(dir, "", &rules, &mut files)?;
        load(&origin, files, 0)
    }

    /// Reads the packed chart (`.tgz`) at `path`.
    ///
    /// # Errors
    /// [`ChartError`] naming the archive and the entry or file at fault.
    pub fn from_archive(path: &Path) -> Result<Chart, ChartError> {
        let origin = path.display().to_string();
        load(&origin, chart_root(&origin, archive::read(path)?)?, 0)
    }

    /// Takes a chart whose files are in memory, by their path inside of the chart's folder
    /// (`Chart.yaml`, `templates/x.yaml`). `origin` stands before these paths in errors.
    ///
    /// # Errors
    /// [`ChartError`] naming the file at fault.
    pub fn from_files(
        origin: &str,
        files: BTreeMap<PathBuf, Vec<u8>>,
    ) -> Result<Chart, ChartError> {
        load(origin, by_name(files), 0)
    }

    /// The chart's name.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// The chart's version, as `Chart.yaml` writes it.
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// The text of the file that [`Rendered::source`](super::Rendered::source) names: below
    /// `templates/` or `crds/` of this chart or of one below it.
    #[must_use]
    pub fn text_of(&self, source: &str) -> Option<&str> {
        let (_, inside) = source.split_once('/')?;
        if let Some(below) = inside.strip_prefix("charts/") {
            let key = below.split('/').next()?;
            let alias = self
                .metadata
                .dependencies
                .iter()
                .find(|one| one.key() == key);
            let name = alias.map_or(key, |one| one.name.as_str());
            let chart = self
                .dependencies
                .iter()
                .find(|chart| chart.name() == name)?;
            return chart.text_of(below);
        }
        let data = self
            .templates
            .get(inside)
            .or_else(|| self.files.get(inside))?;
        std::str::from_utf8(data).ok()
    }

    /// The range of Kubernetes versions that `Chart.yaml` demands, where `version` is outside of it.
    #[must_use]
    pub fn refuses_kubernetes(&self, version: &str) -> Option<&str> {
        let range = self.metadata.kube_version.as_str();
        let plain = version.trim_start_matches('v');
        (!range.is_empty() && !dependencies::in_range(range, plain)).then_some(range)
    }

    /// The chart's own default values (`values.yaml`), without those of its dependencies.
    pub fn values(&self) -> Value {
        Value::Object(self.values.clone())
    }
}

fn read_dir(
    dir: &Path,
    relative: &str,
    rules: &Rules,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), ChartError> {
    let unreadable = |path: &Path, source| ChartError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = std::fs::read_dir(dir).map_err(|e| unreadable(dir, e))?;
    for entry in entries {
        let entry = entry.map_err(|e| unreadable(dir, e))?;
        let path = entry.path();
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            return Err(ChartError::file(
                path.display().to_string(),
                None,
                "its name is not UTF-8",
            ));
        };
        let relative = if relative.is_empty() {
            name
        } else {
            format!("{relative}/{name}")
        };
        let kind = entry.file_type().map_err(|e| unreadable(&path, e))?;
        if rules.ignores(&relative, kind.is_dir()) {
            continue;
        }
        if kind.is_dir() {
            read_dir(&path, &relative, rules, files)?;
        } else if kind.is_file() {
            files.insert(
                relative,
                std::fs::read(&path).map_err(|e| unreadable(&path, e))?,
            );
        } else {
            return Err(ChartError::file(
                path.display().to_string(),
                None,
                "is a link or special file, expected a regular file: releases allow nothing else",
            ));
        }
    }
    Ok(())
}

fn by_name(files: BTreeMap<PathBuf, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files
        .into_iter()
        .map(|(path, data)| (path.to_string_lossy().into_owned(), data))
        .collect()
}

/// Takes away the folder around a packed chart.
fn chart_root(
    origin: &str,
    files: archive::Files,
) -> Result<BTreeMap<String, Vec<u8>>, ChartError> {
    let mut inside = BTreeMap::new();
    for (name, data) in by_name(files) {
        match name.split_once('/') {
            Some((_, rest)) => {
                inside.insert(rest.to_owned(), data);
            }
            None if name == "Chart.yaml" => {
                return Err(ChartError::file(
                    format!("{origin}/Chart.yaml"),
                    None,
                    "stands at the top of the archive, expected it in a folder named as the chart",
                ));
            }
            None => {}
        }
    }
    Ok(inside)
}

fn load(origin: &str, files: BTreeMap<String, Vec<u8>>, depth: usize) -> Result<Chart, ChartError> {
    if depth > MAX_DEPTH {
        let message = format!("charts are nested more than {MAX_DEPTH} levels deep");
        return Err(ChartError::file(origin, None, message));
    }
    let Some(chart_yaml) = files.get("Chart.yaml") else {
        return Err(ChartError::file(
            format!("{origin}/Chart.yaml"),
            None,
            "is missing, expected a Helm chart with Chart.yaml, values.yaml and templates/",
        ));
    };
    let yaml = read_yaml(&format!("{origin}/Chart.yaml"), chart_yaml)?;
    let mut metadata = Metadata::from_yaml(&yaml)
        .map_err(|message| ChartError::file(format!("{origin}/Chart.yaml"), None, message))?;
    let (mut values, mut templates, mut others) = (Map::new(), BTreeMap::new(), BTreeMap::new());
    let mut below: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for (name, mut data) in files {
        // Helm drops the byte order mark of every file.
        if data.starts_with(b"\xef\xbb\xbf") {
            data.drain(..3);
        }
        let place = format!("{origin}/{name}");
        if name == "values.yaml" {
            values = match read_yaml(&place, &data)? {
                Value::Object(map) => map,
                Value::Null => Map::new(),
                _ => {
                    return Err(ChartError::file(
                        place,
                        None,
                        "expected a mapping of values",
                    ));
                }
            };
        } else if name == "requirements.yaml" {
            if let Value::Object(fields) = read_yaml(&place, &data)? {
                let added = metadata.add_dependencies(&fields);
                added.map_err(|message| ChartError::file(place, None, message))?;
            }
        } else if name.starts_with("templates/") {
            templates.insert(name, data);
        } else if let Some(inner) = name.strip_prefix("charts/") {
            let (chart, rest) = inner.split_once('/').unwrap_or((inner, ""));
            below
                .entry(chart.to_owned())
                .or_default()
                .insert(rest.to_owned(), data);
        } else if !matches!(
            name.as_str(),
            "Chart.yaml" | "Chart.lock" | "requirements.lock" | "values.schema.json"
        ) {
            others.insert(name, data);
        }
    }
    Ok(Chart {
        metadata,
        values,
        templates: Arc::new(templates),
        files: Arc::new(others),
        dependencies: load_below(origin, below, depth)?,
    })
}

/// Loads what stands under `charts/`: folders and archives; single files there are no charts.
fn load_below(
    origin: &str,
    below: BTreeMap<String, BTreeMap<String, Vec<u8>>>,
    depth: usize,
) -> Result<Vec<Chart>, ChartError> {
    let mut charts = Vec::new();
    for (name, mut files) in below {
        if name.starts_with(['.', '_']) {
            continue;
        }
        let place = format!("{origin}/charts/{name}");
        if let Some(packed) = files.remove("") {
            if name.ends_with(".tgz") {
                let unpacked = archive::read_from(&place, packed.as_slice(), &Limits::default())?;
                charts.push(load(&place, chart_root(&place, unpacked)?, depth + 1)?);
                continue;
            }
            if files.is_empty() && !name.ends_with(".prov") {
                // Helm takes a lone file for a chart without Chart.yaml; so it names the mistake.
                return Err(ChartError::file(
                    place,
                    None,
                    "is not a chart, expected a folder or a .tgz",
                ));
            }
        }
        if !files.is_empty() {
            charts.push(load(&place, files, depth + 1)?);
        }
    }
    Ok(charts)
}

fn read_yaml(place: &str, data: &[u8]) -> Result<Value, ChartError> {
    let text = std::str::from_utf8(data)
        .map_err(|_| ChartError::file(place, None, "is not UTF-8, expected YAML"))?;
    yaml::parse(text).map_err(|e| ChartError::file(place, Some(e.line), e.message))
}
