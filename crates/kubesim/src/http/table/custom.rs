//! Columns that a CustomResourceDefinition names by JSONPath.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{age, name, since};
use super::{Cells, Column, Columns};
use crate::http::request::Request;
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;

/// One step of a path.
#[derive(Clone, Debug)]
enum Step {
    Field(String),
    Index(usize),
    All,
    /// `[?(@.a.b=="c")]`
    Where(Vec<String>, String),
}

/// Where a cell's value is, and how it is shown.
#[derive(Clone, Debug)]
pub struct Cell {
    path: Vec<Step>,
    kind: String,
}

/// The columns of a resource that a definition serves.
pub fn columns(request: &Request<'_>) -> Option<Columns> {
    let name = request.resource.id.to_string();
    let api = request.cluster.api();
    let definition = api.get(&CUSTOM_RESOURCE_DEFINITIONS, "", &name)?;
    let versions = definition["spec"]["versions"].as_array()?;
    let version = versions
        .iter()
        .find(|version| version["name"] == request.target.version.as_str())?;
    let printed = version["additionalPrinterColumns"].as_array()?;
    let word = |column: &Value, field: &str| column[field].as_str().unwrap_or_default().to_owned();
    let first = Column {
        name: "Name".to_owned(),
        kind: "string".to_owned(),
        format: "name".to_owned(),
        priority: 0,
        description: String::new(),
    };
    let more = printed.iter().map(|column| Column {
        name: word(column, "name"),
        kind: word(column, "type"),
        format: word(column, "format"),
        priority: column["priority"].as_i64().unwrap_or_default(),
        description: word(column, "description"),
    });
    let cells = printed.iter().map(|column| Cell {
        path: steps(&word(column, "jsonPath")),
        kind: word(column, "type"),
    });
    Some(Columns {
        columns: std::iter::once(first).chain(more).collect(),
        cells: Cells::Custom(cells.collect()),
    })
}

/// The cells of an object.
pub fn cells(columns: &[Cell], object: &Value, now: Timestamp) -> Vec<Value> {
    let more = columns.iter().map(|cell| cell.of(object, now));
    std::iter::once(name(object)).chain(more).collect()
}

impl Cell {
    fn of(&self, object: &Value, now: Timestamp) -> Value {
        let mut found = vec![object];
        for step in &self.path {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        let Some(first) = found.first().filter(|value| !value.is_null()) else {
            return Value::Null;
        };
        match self.kind.as_str() {
            "date" if matches!(self.path.as_slice(), [Step::Field(a), Step::Field(b)] if a == "metadata" && b == "creationTimestamp") => {
                age(object, now)
            }
            "date" => json!(since(first, now)),
            "integer" | "number" | "boolean" => (*first).clone(),
            _ => {
                let shown = found.iter().map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                json!(shown.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => value.get(index).into_iter().collect(),
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where(path, wanted) => value
                .as_array()
                .into_iter()
                .flatten()
                .filter(|item| {
                    let found = path.iter().try_fold(*item, |item, field| item.get(field));
                    match found {
                        Some(Value::String(text)) => text == wanted,
                        Some(other) => said(other) == *wanted,
                        None => false,
                    }
                })
                .collect(),
        }
    }
}

/// A number or truth value as text.
fn said(value: &Value) -> String {
    value.to_string()
}

/// Takes the JSONPath of a definition apart: fields, `\.` in names, `['name']`, indices, `[*]`, and
/// the one form of filter that definitions use.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path.trim().trim_start_matches('{').trim_end_matches('}');
    rest = rest.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let Some((inside, after)) = bracket(inside) else {
                return steps;
            };
            rest = after;
            steps.extend(bracketed(inside));
            continue;
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = at;
                    break;
                }
                c => name.push(c),
            }
        }
        rest = &rest[end..];
        match name.as_str() {
            "" => {}
            "*" => steps.push(Step::All),
            _ => steps.push(Step::Field(name)),
        }
    }
    steps
}

/// What stands before the closing bracket, outside quotes, and what follows.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some((&text[..at], &text[at + 1..])),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['\'', '"'])
}

fn bracketed(inside: &str) -> Option<Step> {
    if let Some(condition) = inside.strip_prefix("?(") {
        let (left, right) = condition.trim_end_matches(')').split_once("==")?;
        let path = left.trim().trim_start_matches('@').split('.');
        let path = path.filter(|field| !field.is_empty()).map(str::to_owned);
        return Some(Step::Where(path.collect(), unquoted(right).to_owned()));
    }
    if inside == "*" {
        return Some(Step::All);
    }
    Some(match inside.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Field(unquoted(inside).to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_found_by_the_paths_that_definitions_use() {
        let object = json!({
            "metadata": {"name": "x", "labels": {"a.b/c": "label"}},
            "spec": {"names": ["p", "q"], "replicas": 3},
            "status": {"conditions": [
                {"type": "Ready", "status": "False"}, {"type": "Available", "status": "True"},
            ]},
        });
        let now = Timestamp::UNIX_EPOCH;
        let shown = |path: &str, kind: &str| {
            let cell = Cell {
                path: steps(path),
                kind: kind.to_owned(),
            };
            cell.of(&object, now)
        };
        assert_eq!(shown(".spec.replicas", "integer"), json!(3));
        assert_eq!(shown(".spec.names", "string"), json!("[\"p\",\"q\"]"));
        assert_eq!(shown(".spec.names[*]", "string"), json!("p,q"));
        assert_eq!(shown(".spec.names[1]", "string"), json!("q"));
        assert_eq!(
            shown(
                ".status.conditions[?(@.type==\"Available\")].status",
                "string"
            ),
            json!("True")
        );
        assert_eq!(
            shown(".status.conditions[?(@.type=='Ready')].status", "string"),
            json!("False")
        );
        assert_eq!(shown(".metadata.labels['a.b/c']", "string"), json!("label"));
        assert_eq!(shown(".metadata.labels.a\\.b/c", "string"), json!("label"));
        assert_eq!(shown(".status.phase", "string"), Value::Null);
    }
}
