//! Dependencies: which are enabled, under which name, and what values they lend their parent.

use serde_json::{Map, Value};

use super::metadata::Dependency;
use super::semver::{Constraint, Version};
use super::values::{Nulls, coalesce, leaf, merge_tables, table};
use super::{Chart, ChartError};

type Table = Map<String, Value>;

/// Names in Chart.yaml without a chart under `charts/`.
pub(super) fn check_present(chart: &Chart) -> Result<(), ChartError> {
    let is_there = |d: &&Dependency| chart.dependencies.iter().any(|c| c.name() == d.name);
    let missing: Vec<String> = chart
        .metadata
        .dependencies
        .iter()
        .filter(|d| !is_there(d))
        .map(|d| {
            if d.version.is_empty() {
                d.name.clone()
            } else {
                format!("{} {}", d.name, d.version)
            }
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ChartError::MissingDependencies {
        chart: chart.name().to_owned(),
        missing,
    })
}

/// Applies `condition`, `tags`, `alias` and `import-values`, in all charts below `chart` too.
/// The error is a message.
pub(super) fn process(chart: &mut Chart, values: &Table) -> Result<(), String> {
    enable(chart, values, "")?;
    import_values(chart)
}

fn enable(chart: &mut Chart, values: &Table, path: &str) -> Result<(), String> {
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    chart.dependencies = chosen(chart);
    for dependency in &mut chart.metadata.dependencies {
        if !dependency.alias.is_empty() {
            dependency.name = dependency.alias.clone();
        }
        dependency.enabled = true;
    }
    let values = coalesce(chart, values.clone(), Nulls::Delete)?;
    for dependency in &mut chart.metadata.dependencies {
        apply_tags(dependency, &values);
        apply_condition(dependency, &values, path);
    }
    let disabled: Vec<String> = chart
        .metadata
        .dependencies
        .iter()
        .filter(|d| !d.enabled)
        .map(|d| d.name.clone())
        .collect();
    chart
        .dependencies
        .retain(|c| !disabled.iter().any(|name| name == c.name()));
    chart
        .metadata
        .dependencies
        .retain(|d| !disabled.contains(&d.name));
    for below in &mut chart.dependencies {
        let path = format!("{path}{}.", below.name());
        enable(below, &values, &path)?;
    }
    Ok(())
}

/// Charts that Chart.yaml does not mention, then one per entry of Chart.yaml under its alias.
fn chosen(chart: &Chart) -> Vec<Chart> {
    let wanted = &chart.metadata.dependencies;
    let fits = |d: &Dependency, c: &Chart| c.name() == d.name && in_range(&d.version, c.version());
    let unmentioned = chart
        .dependencies
        .iter()
        .filter(|c| !wanted.iter().any(|d| fits(d, c)));
    let mut charts: Vec<Chart> = unmentioned.cloned().collect();
    for dependency in wanted {
        let Some(found) = chart.dependencies.iter().find(|c| fits(dependency, c)) else {
            continue;
        };
        let mut found = found.clone();
        if !dependency.alias.is_empty() {
            found.metadata.name = dependency.alias.clone();
        }
        charts.push(found);
    }
    charts
}

/// Whether a version satisfies a constraint; malformed ones never do.
pub(super) fn in_range(constraint: &str, version: &str) -> bool {
    match (Constraint::parse(constraint), Version::parse(version)) {
        (Ok(constraint), Ok(version)) => constraint.matches(&version),
        _ => false,
    }
}

fn apply_tags(dependency: &mut Dependency, values: &Table) {
    let Some(Value::Object(tags)) = values.get("tags") else {
        return;
    };
    let mut set = dependency
        .tags
        .iter()
        .filter_map(|tag| tags.get(tag)?.as_bool())
        .peekable();
    // One true tag enables; false ones disable only where none is true.
    dependency.enabled = set.peek().is_none() || set.any(|on| on);
}

fn apply_condition(dependency: &mut Dependency, values: &Table, path: &str) {
    let conditions = dependency
        .condition
        .trim()
        .split(',')
        .filter(|c| !c.is_empty());
    let first = conditions
        .filter_map(|condition| leaf(values, &format!("{path}{condition}"))?.as_bool())
        .next();
    if let Some(enabled) = first {
        dependency.enabled = enabled;
    }
}

fn import_values(chart: &mut Chart) -> Result<(), String> {
    for below in &mut chart.dependencies {
        import_values(below)?;
    }
    if chart.metadata.dependencies.is_empty() {
        return Ok(());
    }
    let mut values = coalesce(chart, Table::new(), Nulls::Keep)?;
    let mut imported = Table::new();
    for dependency in &chart.metadata.dependencies {
        for import in &dependency.import_values {
            let Some(found) = table(&values, &format!("{}.{}", dependency.name, import.child))
            else {
                continue;
            };
            merge_tables(
                &mut imported,
                at_path(&import.parent, found.clone()),
                Nulls::Keep,
            );
        }
    }
    // The parent's own values win over imported ones.
    merge_tables(&mut values, imported, Nulls::Keep);
    chart.values = values;
    Ok(())
}

/// `table` below the dotted `path`; `.` is the top.
fn at_path(path: &str, table: Table) -> Table {
    if path == "." {
        return table;
    }
    path.rsplit('.').fold(table, |inner, key| {
        let mut outer = Table::new();
        outer.insert(key.to_owned(), Value::Object(inner));
        outer
    })
}
