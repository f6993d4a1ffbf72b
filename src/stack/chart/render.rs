//! A chart and options to objects; a text and a context to text.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::context::{Source, capabilities, is_partial, release, sources};
use super::template::{self, Execution, Library, Limits, Templates, on_own_stack};
use super::values::{Nulls, coalesce};
use super::{Chart, ChartError, RenderOptions, Rendered, TemplateError, dependencies, manifest};

/// Renders `chart` as `helm template` would: objects in the order of installation, those of
/// Helm hooks last, as ordinary objects. Blocks its thread while it renders: milliseconds for an
/// ordinary chart, at most some 30 s for one that means harm.
///
/// # Errors
/// [`ChartError`]: dependencies are missing, values do not fit, a template fails (with its file
/// and line) or passes a limit, or what it prints is not a Kubernetes object.
pub fn render(chart: &Chart, options: &RenderOptions) -> Result<Vec<Rendered>, ChartError> {
    Ok(outcome(chart, options)?.objects)
}

/// What comes of rendering.
pub(in crate::stack) struct Outcome {
    pub objects: Vec<Rendered>,
    /// Whether something else would come of it another time: chance or the time of day is in it.
    pub is_drawn: bool,
}

/// As [`render`], with whether the same would come of it again.
pub(in crate::stack) fn outcome(
    chart: &Chart,
    options: &RenderOptions,
) -> Result<Outcome, ChartError> {
    let user_values = match &options.values {
        Value::Object(map) => map.clone(),
        Value::Null => Map::new(),
        _ => {
            let message = "the given values are not a mapping, expected one".into();
            return Err(ChartError::Values {
                chart: chart.name().to_owned(),
                message,
            });
        }
    };
    let kube_version = check_kube_version(chart, &options.kube_version)?;
    if chart.metadata.library {
        let message =
            "is a library chart, expected an application chart: a library renders nothing".into();
        return Err(ChartError::Options {
            chart: chart.name().to_owned(),
            message,
        });
    }
    dependencies::check_present(chart)?;
    let mut chart = chart.clone();
    let bad_values = |chart: &str, message| ChartError::Values {
        chart: chart.to_owned(),
        message,
    };
    dependencies::process(&mut chart, &user_values).map_err(|m| bad_values(chart.name(), m))?;
    let values =
        coalesce(&chart, user_values, Nulls::Delete).map_err(|m| bad_values(chart.name(), m))?;
    let values = Value::Object(values);
    let (files, is_drawn) = on_own_stack(|| render_files(&chart, options, &kube_version, &values))
        .map_err(|source| ChartError::Read {
            path: "the rendering thread".into(),
            source,
        })??;
    let mut objects = Vec::new();
    if options.include_crds {
        crds(&chart, chart.name(), &mut objects)?;
    }
    objects.append(&mut manifest::sorted(files)?);
    Ok(Outcome { objects, is_drawn })
}

/// The version as `.Capabilities.KubeVersion` has it, where the chart accepts it.
fn check_kube_version(chart: &Chart, version: &str) -> Result<String, ChartError> {
    let fail = |message| ChartError::Options {
        chart: chart.name().to_owned(),
        message,
    };
    let numbers = version.trim().trim_start_matches('v');
    let end = numbers
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(numbers.len());
    let numbers = numbers[..end].trim_end_matches('.');
    if !numbers.contains('.') || numbers.split('.').any(str::is_empty) {
        return Err(fail(format!(
            "Kubernetes version {version:?} is invalid, expected one such as v1.34.3"
        )));
    }
    let wanted = &chart.metadata.kube_version;
    if !wanted.is_empty() && !dependencies::in_range(wanted, numbers) {
        return Err(fail(format!(
            "requires Kubernetes {wanted}, which v{numbers} is not"
        )));
    }
    Ok(format!("v{numbers}"))
}

/// Each file with its text, and whether chance or the time of day is in any.
fn render_files(
    chart: &Chart,
    options: &RenderOptions,
    kube_version: &str,
    values: &Value,
) -> Result<(Vec<(String, String)>, bool), ChartError> {
    let shared = [
        ("Release", release(options)),
        (
            "Capabilities",
            capabilities(kube_version, &options.api_versions),
        ),
    ];
    let mut sources = sources(chart, template::Value::from_helm(values), &shared);
    // Helm's order, which decides who wins where two charts define the same template.
    let depth = |source: &Source<'_>| source.path.matches('/').count();
    sources.sort_by(|a, b| depth(b).cmp(&depth(a)).then_with(|| b.path.cmp(&a.path)));
    let mut templates = Templates::new(Library::Helm);
    for source in &sources {
        let text = std::str::from_utf8(source.text).map_err(|_| {
            ChartError::file(&source.path, None, "is not UTF-8, expected a template")
        })?;
        templates.add(&source.path, text)?;
    }
    let mut execution = Execution::new(Rc::new(templates), true, Limits::default());
    let mut files = Vec::new();
    for source in sources.iter().filter(|source| !is_partial(&source.path)) {
        let about = [
            ("Name", template::Value::text(source.path.as_str())),
            ("BasePath", template::Value::text(source.base_path.as_str())),
        ];
        source.scope.set("Template", template::Value::map(about));
        let text = execution.render(&source.path, template::Value::Map(source.scope.clone()))?;
        // Notes are rendered, since they may fail, but they are no manifest.
        if !source.path.ends_with("NOTES.txt") {
            files.push((source.path.clone(), text.replace("<no value>", "")));
        }
    }
    Ok((files, execution.is_drawn()))
}

/// Objects below `crds/` of the chart and of those below it; never templated.
fn crds(chart: &Chart, full_path: &str, rendered: &mut Vec<Rendered>) -> Result<(), ChartError> {
    for (name, data) in chart.files.iter() {
        let extension = name.rsplit('.').next().unwrap_or("").to_lowercase();
        if !name.starts_with("crds/") || !matches!(extension.as_str(), "yaml" | "yml" | "json") {
            continue;
        }
        let source = format!("{full_path}/{name}");
        let text = std::str::from_utf8(data)
            .map_err(|_| ChartError::file(&source, None, "is not UTF-8, expected YAML"))?;
        for object in manifest::objects(&source, text)? {
            rendered.push(Rendered {
                object,
                source: source.clone(),
            });
        }
    }
    for below in &chart.dependencies {
        crds(
            below,
            &format!("{full_path}/charts/{}", below.name()),
            rendered,
        )?;
    }
    Ok(())
}

/// Renders a Go text/template with the functions of slim-sprig, as the Cluster Stack Operator
/// does with `cluster-addon-values.yaml` and `overwrite.yaml`. `name` stands for the text in
/// errors; `context` is `.`, with integers as integers.
///
/// # Errors
/// [`ChartError::Template`] with the line at fault.
pub fn render_text(name: &str, text: &str, context: &Value) -> Result<String, ChartError> {
    Ok(render_alone(Library::SlimSprig, name, text, context)?.0)
}

/// Renders a template in a patch of a ClusterClass as Cluster API does, with the functions that Sprig calls
/// hermetic, and tells whether it would be another text another time: some of those draw lots all the same.
///
/// # Errors
/// [`ChartError::Template`] with the line at fault.
pub fn render_patch(text: &str, variables: &Value) -> Result<(String, bool), ChartError> {
    render_alone(Library::Hermetic, "patch", text, variables)
}

fn render_alone(
    library: Library,
    name: &str,
    text: &str,
    context: &Value,
) -> Result<(String, bool), ChartError> {
    let run = || {
        let mut templates = Templates::new(library);
        templates.add(name, text)?;
        let mut execution = Execution::new(Rc::new(templates), false, Limits::default());
        let rendered = execution.render(name, template::Value::from_object(context))?;
        Ok::<_, TemplateError>((rendered, execution.is_drawn()))
    };
    let rendered = on_own_stack(run).map_err(|source| ChartError::Read {
        path: "the rendering thread".into(),
        source,
    })?;
    Ok(rendered?)
}
