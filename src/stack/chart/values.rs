//! How values of a chart, its parents and the user come together: Helm's "coalescing".
//!
//! What is above wins; mappings are merged, everything else is replaced; null deletes.

use serde_json::{Map, Value};

use super::Chart;

/// The key whose mapping every chart below sees too.
const GLOBAL: &str = "global";

type Table = Map<String, Value>;

/// What happens to nulls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Nulls {
    /// They delete the default and vanish.
    Delete,
    /// They stay, because a later pass will need them.
    Keep,
}

/// All values of `chart` and its dependencies under `values`, which win. The error is a message.
pub(super) fn coalesce(chart: &Chart, mut values: Table, nulls: Nulls) -> Result<Table, String> {
    coalesce_into(chart, &mut values, nulls)?;
    Ok(values)
}

fn coalesce_into(chart: &Chart, values: &mut Table, nulls: Nulls) -> Result<(), String> {
    for (key, default) in chart.values.clone() {
        match (values.get_mut(&key), default) {
            (None, default) => {
                values.insert(key, default);
            }
            (Some(Value::Null), _) if nulls == Nulls::Delete => {
                values.shift_remove(&key);
            }
            (Some(Value::Object(table)), Value::Object(default)) => {
                // What is meant for a dependency is coalesced again with its own defaults.
                let for_dependency = chart.dependencies.iter().any(|d| d.name() == key);
                let nulls = if for_dependency { Nulls::Keep } else { nulls };
                merge_tables(table, default, nulls);
            }
            _ => {}
        }
    }
    for dependency in &chart.dependencies {
        let name = dependency.name().to_owned();
        let mut below = match values.shift_remove(&name) {
            None => Table::new(),
            Some(Value::Object(table)) => table,
            Some(other) => {
                return Err(format!(
                    "values of the dependency {name} are {}, expected a mapping",
                    kind(&other)
                ));
            }
        };
        merge_globals(&mut below, values);
        coalesce_into(dependency, &mut below, nulls)?;
        values.insert(name, Value::Object(below));
    }
    Ok(())
}

/// Copies the globals of `above` into `below`; those above win.
fn merge_globals(below: &mut Table, above: &Table) {
    let Value::Object(globals) = below.entry(GLOBAL).or_insert_with(|| Table::new().into()) else {
        return;
    };
    let Some(Value::Object(from_above)) = above.get(GLOBAL) else {
        return;
    };
    for (key, value) in from_above {
        match (value, globals.get_mut(key)) {
            (Value::Object(table), Some(Value::Object(known))) => {
                let mut merged = table.clone();
                merge_tables(&mut merged, std::mem::take(known), Nulls::Keep);
                *known = merged;
            }
            (Value::Object(_), Some(_)) | (_, Some(Value::Object(_))) => {}
            (value, _) => {
                globals.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Merges `defaults` into `table`, which wins.
pub(super) fn merge_tables(table: &mut Table, mut defaults: Table, nulls: Nulls) {
    for (key, value) in table.iter() {
        if value.is_null() {
            defaults.insert(key.clone(), Value::Null);
        }
    }
    for (key, default) in defaults {
        match (table.get_mut(&key), default) {
            (None, default) => {
                table.insert(key, default);
            }
            (Some(Value::Null), _) if nulls == Nulls::Delete => {
                table.shift_remove(&key);
            }
            (Some(Value::Object(inner)), Value::Object(default)) => {
                merge_tables(inner, default, nulls);
            }
            _ => {}
        }
    }
}

/// The table at a dotted path.
pub(super) fn table<'v>(values: &'v Table, path: &str) -> Option<&'v Table> {
    path.split('.')
        .try_fold(values, |table, key| table.get(key)?.as_object())
}

/// The value at a dotted path, unless it is a table.
pub(super) fn leaf<'v>(values: &'v Table, path: &str) -> Option<&'v Value> {
    let (parent, key) = match path.rsplit_once('.') {
        Some((parent, key)) => (table(values, parent)?, key),
        None => (values, path),
    };
    parent.get(key).filter(|value| !value.is_object())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
