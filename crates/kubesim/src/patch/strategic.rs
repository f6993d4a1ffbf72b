//! Strategic merge patches: lists merged by their keys, with directives for what cannot be said otherwise.

use serde_json::{Map, Value};

use super::shape::{Field, Shape};
use crate::error::ApiError;

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Changes an object as a patch says.
///
/// # Errors
/// 400 for directives that make no sense, and items without the key by which they are told apart.
pub(crate) fn strategic(
    object: &mut Value,
    patch: &Value,
    shape: Shape<'_>,
) -> Result<(), ApiError> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request("the patch is no object"));
    };
    let root = Structure { shape, root: true };
    fields(object, patch, root)
}

/// A structure and whether it is the object itself.
#[derive(Clone, Copy)]
struct Structure<'s> {
    shape: Shape<'s>,
    root: bool,
}

impl<'s> Structure<'s> {
    fn field(self, name: &str) -> Field<'s> {
        if self.root {
            self.shape.root(name)
        } else {
            self.shape.field(name)
        }
    }
}

fn fields(live: &mut Value, patch: &Map<String, Value>, of: Structure<'_>) -> Result<(), ApiError> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        None | Some("merge") => {}
        Some("replace") => {
            *live = plain(&Value::Object(patch.clone()));
            return Ok(());
        }
        Some("delete") => {
            *live = Value::Object(Map::new());
            return Ok(());
        }
        Some(other) => return Err(unknown(other)),
    }
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    let Some(live) = live.as_object_mut() else {
        return Ok(());
    };
    if let Some(Value::Array(retained)) = patch.get(RETAIN) {
        live.retain(|name, _| retained.iter().any(|one| one == name));
    }
    for (name, value) in patch {
        if name == DIRECTIVE || name == RETAIN || name.starts_with(ORDER) {
            continue;
        }
        if let Some(name) = name.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(Value::Array(items)) = live.get_mut(name) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if value.is_null() {
            live.shift_remove(name);
            continue;
        }
        let field = of.field(name);
        match (live.get_mut(name), value) {
            (Some(before @ Value::Object(_)), Value::Object(patch)) if !replaces(&field) => {
                let below = Structure {
                    shape: field.shape,
                    root: false,
                };
                fields(before, patch, below)?;
            }
            (Some(Value::Array(before)), Value::Array(patch)) if merges(&field) => {
                items(before, patch, &field)?;
            }
            (None, Value::Array(patch)) if merges(&field) => {
                let mut made = Vec::new();
                items(&mut made, patch, &field)?;
                live.insert(name.clone(), Value::Array(made));
            }
            _ => {
                live.insert(name.clone(), plain(value));
            }
        }
    }
    for (name, order) in patch {
        let (Some(name), Value::Array(order)) = (name.strip_prefix(ORDER), order) else {
            continue;
        };
        let key = of
            .field(name)
            .strategic
            .and_then(|merging| merging.merge_key);
        if let Some(Value::Array(items)) = live.get_mut(name) {
            *items = ordered(std::mem::take(items), order, key);
        }
    }
    Ok(())
}

fn strategy<'f>(field: &'f Field<'_>) -> &'f str {
    field
        .strategic
        .and_then(|merging| merging.strategy)
        .unwrap_or_default()
}

fn merges(field: &Field<'_>) -> bool {
    strategy(field).split(',').any(|one| one == "merge")
}

fn replaces(field: &Field<'_>) -> bool {
    strategy(field).split(',').any(|one| one == "replace")
}

fn items(live: &mut Vec<Value>, patch: &[Value], field: &Field<'_>) -> Result<(), ApiError> {
    let directive = |item: &Value| {
        item.get(DIRECTIVE)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if patch
        .iter()
        .any(|item| directive(item).as_deref() == Some("replace"))
    {
        let rest = patch.iter().filter(|item| directive(item).is_none());
        *live = rest.map(plain).collect();
        return Ok(());
    }
    let Some(key) = field.strategic.and_then(|merging| merging.merge_key) else {
        for value in patch {
            if !live.contains(value) {
                live.push(value.clone());
            }
        }
        return Ok(());
    };
    for item in patch {
        let Some(value) = item.get(key) else {
            let message = format!("map: {item} does not contain declared merge key: {key}");
            return Err(ApiError::bad_request(message));
        };
        let same = |known: &Value| known.get(key) == Some(value);
        match (directive(item).as_deref(), item) {
            (Some("delete"), _) => live.retain(|known| !same(known)),
            (None | Some("merge"), Value::Object(patch)) => {
                let below = Structure {
                    shape: field.shape,
                    root: false,
                };
                match live.iter_mut().find(|known| same(known)) {
                    Some(known) => fields(known, patch, below)?,
                    None => {
                        let mut made = Value::Object(Map::new());
                        fields(&mut made, patch, below)?;
                        live.push(made);
                    }
                }
            }
            (Some(other), _) => return Err(unknown(other)),
            (None, _) => return Err(ApiError::bad_request(format!("{item} is no object"))),
        }
    }
    Ok(())
}

/// Items in the order that the patch wants, those that it does not know at their place between them.
fn ordered(items: Vec<Value>, order: &[Value], key: Option<&str>) -> Vec<Value> {
    let same = |item: &Value, wanted: &Value| match key {
        Some(key) => item.get(key) == wanted.get(key),
        None => item == wanted,
    };
    let place = |item: &Value| order.iter().position(|wanted| same(item, wanted));
    let before: Vec<Value> = items.clone();
    let (mut known, others): (Vec<Value>, Vec<Value>) =
        items.into_iter().partition(|item| place(item).is_some());
    known.sort_by_key(&place);
    // As it was: an item stands before another one that it stood before.
    let stood = |item: &Value| before.iter().position(|one| one == item);
    let (mut known, mut others) = (known.into_iter().peekable(), others.into_iter().peekable());
    let mut merged = Vec::with_capacity(before.len());
    loop {
        let next = match (known.peek(), others.peek()) {
            (None, None) => return merged,
            (Some(_), None) => known.next(),
            (None, Some(_)) => others.next(),
            (Some(one), Some(other)) if stood(one) < stood(other) => known.next(),
            _ => others.next(),
        };
        merged.extend(next);
    }
}

/// A value without directives and without what it says is to go.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| {
                let directive = *name == DIRECTIVE
                    || *name == RETAIN
                    || name.starts_with(DELETE_FROM)
                    || name.starts_with(ORDER);
                !directive && !value.is_null()
            })
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        Value::Array(items) => items.iter().map(plain).collect(),
        other => other.clone(),
    }
}

fn unknown(directive: &str) -> ApiError {
    ApiError::bad_request(format!(
        "unknown patch type: {directive}, expected merge, replace or delete"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut object: Value, patch: Value) -> Result<Value, String> {
        let shape = Shape::built_in("apps/v1", "Deployment");
        strategic(&mut object, &patch, shape).map_err(|error| error.message)?;
        Ok(object)
    }

    fn deployment(containers: Value) -> Value {
        json!({"spec": {"template": {"spec": {"containers": containers}}}})
    }

    #[test]
    fn containers_are_merged_by_name_and_arguments_replaced() {
        let live = deployment(json!([
            {"name": "a", "image": "i:1", "args": ["x", "y"], "env": [{"name": "E", "value": "1"}]},
            {"name": "b", "image": "j:1"}]));
        let patch = deployment(json!([{"name": "a", "image": "i:2", "args": ["z"],
            "env": [{"name": "F", "value": "2"}]}]));
        let wanted = deployment(json!([
            {"name": "a", "image": "i:2", "args": ["z"],
                "env": [{"name": "E", "value": "1"}, {"name": "F", "value": "2"}]},
            {"name": "b", "image": "j:1"}]));
        assert_eq!(patched(live, patch).unwrap(), wanted);
    }

    #[test]
    fn directives_delete_replace_and_order() {
        let live = || deployment(json!([{"name": "a"}, {"name": "b"}, {"name": "c"}]));
        let names = |patch: Value| -> Vec<Value> {
            let patched = patched(live(), patch).unwrap();
            let containers = patched.pointer("/spec/template/spec/containers").unwrap();
            let containers = containers.as_array().unwrap().iter();
            containers.map(|one| one["name"].clone()).collect()
        };
        assert_eq!(
            names(deployment(json!([{"name": "b", "$patch": "delete"}]))),
            ["a", "c"]
        );
        assert_eq!(
            names(deployment(json!([{"$patch": "replace"}, {"name": "z"}]))),
            ["z"]
        );
        let order = json!({"spec": {"template": {"spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "d"}, {"name": "a"}],
            "containers": [{"name": "d"}]}}}});
        assert_eq!(names(order), ["b", "c", "d", "a"]);
    }

    #[test]
    fn other_keys_go_where_only_some_are_retained_and_null_removes() {
        let live = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}, "paused": true}});
        let patch = json!({"spec": {"paused": null,
            "strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
        assert_eq!(
            patched(live, patch).unwrap(),
            json!({"spec": {"strategy": {"type": "Recreate"}}})
        );
        let live = json!({"metadata": {"finalizers": ["a", "b"]}});
        let patch = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}});
        assert_eq!(
            patched(live, patch).unwrap(),
            json!({"metadata": {"finalizers": ["b", "c"]}})
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let error = patched(deployment(json!([])), deployment(json!([{"image": "i"}])));
        assert!(error.unwrap_err().contains("declared merge key: name"));
        let error = patched(json!({}), json!({"$patch": "explode"})).unwrap_err();
        assert!(error.contains("unknown patch type: explode"));
    }
}
