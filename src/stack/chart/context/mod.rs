//! What a template sees: `.Values`, `.Release`, `.Chart`, `.Capabilities`, `.Files`, `.Subcharts`.

mod capabilities;
mod chart;
mod files;
mod record;

use std::rc::Rc;

use super::template::{Map, Value};
use super::{Chart, RenderOptions};
pub(super) use capabilities::capabilities;
use chart::chart_object;
use files::Files;

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
