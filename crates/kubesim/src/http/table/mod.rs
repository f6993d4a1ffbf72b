//! Tables: what `kubectl get` shows of each kind.

mod cells;
mod custom;
mod others;
mod pods;
mod storage;
mod workloads;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::request::Request;

/// A column: its name, type, and whether it is shown only when asked for more (1).
#[derive(Clone, Debug)]
struct Column {
    name: String,
    kind: String,
    format: String,
    priority: i64,
    description: String,
}

/// Makes the cells of an object.
#[derive(Clone, Debug)]
enum Cells {
    BuiltIn(fn(&Value, Timestamp) -> Vec<Value>),
    Custom(Vec<custom::Cell>),
}

/// The columns of a resource, and how its objects fill them.
#[derive(Clone, Debug)]
pub struct Columns {
    columns: Vec<Column>,
    cells: Cells,
}

impl Default for Columns {
    /// Name and age.
    fn default() -> Self {
        built_in(&["Name", "Age"], cells::name_and_age)
    }
}

impl Columns {
    /// `columnDefinitions`.
    pub fn definitions(&self) -> Value {
        let shown = self.columns.iter().map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            })
        });
        shown.collect()
    }

    /// Whether they are filled from an object as it is stored, whatever version is asked for: built-in columns know
    /// one form of it, as those of a real API server do.
    pub const fn are_of_storage(&self) -> bool {
        matches!(self.cells, Cells::BuiltIn(_))
    }

    /// A row without its object.
    pub fn row(&self, object: &Value, now: Timestamp) -> Value {
        let cells = match &self.cells {
            Cells::BuiltIn(cells) => cells(object, now),
            Cells::Custom(columns) => custom::cells(columns, object, now),
        };
        let mut row = json!({"cells": cells});
        if let Some(conditions) = pods::row_conditions(object) {
            row["conditions"] = conditions;
        }
        row
    }
}

/// Columns by name; `*` before a name: shown with `-o wide` only. Numbers and truth values are told by
/// `#` and `?`.
fn built_in(names: &[&str], cells: fn(&Value, Timestamp) -> Vec<Value>) -> Columns {
    let columns = names.iter().map(|name| {
        let (priority, name) = name.strip_prefix('*').map_or((0, *name), |name| (1, name));
        let (kind, name) = match name.strip_prefix('#') {
            Some(name) => ("integer", name),
            None => name
                .strip_prefix('?')
                .map_or(("string", name), |name| ("boolean", name)),
        };
        Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: if name == "Name" { "name" } else { "" }.to_owned(),
            priority,
            description: String::new(),
        }
    });
    Columns {
        columns: columns.collect(),
        cells: Cells::BuiltIn(cells),
    }
}

/// The columns for a request.
pub fn columns(request: &Request<'_>) -> Columns {
    let id = &request.resource.id;
    if !request.resource.is_built_in() {
        return custom::columns(request).unwrap_or_default();
    }
    let (group, resource) = (id.group.as_ref(), id.resource.as_ref());
    workloads::columns(group, resource)
        .or_else(|| storage::columns(group, resource))
        .or_else(|| others::columns(group, resource))
        .unwrap_or_default()
}
