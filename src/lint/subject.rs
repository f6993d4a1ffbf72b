//! What is judged: both releases with everything that they render to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::finding::Found;
use super::place;
use super::rules::release;
use crate::stack::chart::{Chart, Rendered};
use crate::stack::{Action, Hook, Problem, Release, Stack};

/// Both releases of a stack, rendered.
pub(super) struct Subject<'a> {
    pub stack: &'a Stack,
    /// What addon values are templated with.
    pub inputs: &'a Value,
    pub from: &'a Side<'a>,
    pub to: &'a Side<'a>,
}

/// One release, rendered.
pub(super) struct Side<'a> {
    pub release: &'a Release,
    pub class: Vec<Item>,
    /// The objects of each chart that a stage names.
    pub charts: BTreeMap<String, Vec<Item>>,
    /// Whether everything could be rendered.
    pub complete: bool,
}

/// A rendered object with where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Directory of the addon's chart; none for the class chart.
    pub chart: Option<String>,
    pub object: Value,
    /// The template, as the renderer names it.
    pub source: String,
    /// How many objects of this kind the template gave before it.
    ordinal: usize,
}

impl<'a> Side<'a> {
    /// Renders whatever can be rendered; what cannot is a finding.
    pub(super) fn render(release: &'a Release, inputs: &Value, found: &mut Found) -> Self {
        let mut complete = true;
        let mut keep = |rendered, chart: Option<&str>| match rendered {
            Ok(rendered) => items(rendered, chart),
            Err(error) => {
                release::unusable(&release.tag, Some(release), error, found);
                complete = false;
                Vec::new()
            }
        };
        let class = keep(release.render_class("default"), None);
        let mut charts = BTreeMap::new();
        for hook in [
            Hook::AfterControlPlaneInitialized,
            Hook::BeforeClusterUpgrade,
        ] {
            for stage in release.addons.stages(hook) {
                if !charts.contains_key(&stage.name) {
                    let rendered = release.render_addon(stage, inputs);
                    charts.insert(stage.name.clone(), keep(rendered, Some(&stage.name)));
                }
            }
        }
        Self {
            release,
            class,
            charts,
            complete,
        }
    }

    /// The charts that the stages of a hook apply, in their order.
    pub(super) fn applied(&self, hook: Hook) -> impl Iterator<Item = (usize, &'a str)> + use<'a> {
        let stages = self.release.addons.stages(hook).iter().enumerate();
        stages
            .filter(|(_, stage)| stage.action == Action::Apply)
            .map(|(index, stage)| (index, stage.name.as_str()))
    }

    /// The objects that a hook applies, in their order.
    pub(super) fn objects(&self, hook: Hook) -> impl Iterator<Item = &Item> {
        self.applied(hook)
            .filter_map(move |(_, chart)| self.charts.get(chart))
            .flatten()
    }

    /// The objects that a Cluster of this release has, whether it was created with it or upgraded to it.
    pub(super) fn addons(&self) -> impl Iterator<Item = &Item> {
        let upgraded: Vec<&str> = self
            .applied(Hook::BeforeClusterUpgrade)
            .map(|(_, chart)| chart)
            .collect();
        let created = self.applied(Hook::AfterControlPlaneInitialized);
        let only_created: Vec<&str> = created
            .map(|(_, chart)| chart)
            .filter(|chart| !upgraded.contains(chart))
            .collect();
        upgraded
            .into_iter()
            .chain(only_created)
            .filter_map(move |chart| self.charts.get(chart))
            .flatten()
    }

    /// The definitions of custom resources among them.
    pub(super) fn definitions(&self) -> Vec<&Item> {
        self.addons()
            .filter(|item| item.object["kind"] == "CustomResourceDefinition")
            .collect()
    }

    /// A problem of an object, at the last of `keys` that its template has, each below the one before.
    pub(super) fn problem(
        &self,
        item: &Item,
        keys: &[&str],
        message: impl Into<String>,
    ) -> Problem {
        let (archive, chart) = match &item.chart {
            None => (self.release.class_file(), Some(&self.release.class_chart)),
            Some(name) => (
                self.release.addon_file(),
                self.release.addons.chart(name).map(|addon| &addon.chart),
            ),
        };
        let inside = match (&item.chart, item.source.split_once('/')) {
            // An addon's folder need not be called as its chart is.
            (Some(folder), Some((_, inside))) if self.release.addons.is_staged() => {
                format!("{folder}/{inside}")
            }
            _ => item.source.clone(),
        };
        let file = PathBuf::from(format!("{}:{inside}", archive.display()));
        let text = chart.and_then(|chart: &Chart| chart.text_of(&item.source));
        let found = text.and_then(|text| place::find(text, &item.object, item.ordinal, keys));
        Problem::new(&file, message).at(found)
    }

    /// A problem of the addons' configuration; of the release's folder where there is none.
    pub(super) fn config_problem(&self, path: &[&str], message: &str) -> Problem {
        let addons = &self.release.addons;
        addons
            .problem(path, message)
            .unwrap_or_else(|| Problem::new(&self.release.folder, message))
    }

    /// A problem of `metadata.yaml` as a whole.
    pub(super) fn metadata_problem(&self, message: impl Into<String>) -> Problem {
        Problem::new(&self.release.folder.join("metadata.yaml"), message)
    }

    /// The ClusterClass.
    pub(super) fn cluster_class(&self) -> Option<&Item> {
        self.class
            .iter()
            .find(|item| item.object["kind"] == "ClusterClass")
    }
}

fn items(rendered: Vec<Rendered>, chart: Option<&str>) -> Vec<Item> {
    let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
    let item = |Rendered { object, source }| {
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let before = seen.entry((source.clone(), kind)).or_default();
        let ordinal = *before;
        *before += 1;
        Item {
            chart: chart.map(str::to_owned),
            object,
            source,
            ordinal,
        }
    };
    rendered.into_iter().map(item).collect()
}
