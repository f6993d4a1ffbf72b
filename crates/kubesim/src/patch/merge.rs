//! Merges what is applied into an object, and takes out what is applied no longer.

use serde_json::{Map, Value};

use super::set::{Set, Step, is_granular};
use super::shape::{Field, ListRule, Shape};

/// An object with what is applied to it.
pub(crate) fn merge(live: &Value, applied: &Value, shape: Shape<'_>) -> Value {
    let mut merged = live.clone();
    let fields = applied.as_object().into_iter().flatten();
    for (name, value) in fields {
        put(&mut merged, name, value, &shape.root(name));
    }
    merged
}

fn put(into: &mut Value, name: &str, value: &Value, field: &Field<'_>) {
    let merged = match into.get(name) {
        Some(live) => merged(live, value, field),
        None => value.clone(),
    };
    into[name] = merged;
}

fn merged(live: &Value, applied: &Value, of: &Field<'_>) -> Value {
    if !is_granular(applied, of) {
        return applied.clone();
    }
    match (live, applied) {
        (Value::Object(_), Value::Object(fields)) => {
            let mut merged = live.clone();
            for (name, value) in fields {
                put(&mut merged, name, value, &of.shape.field(name));
            }
            merged
        }
        (Value::Array(live), Value::Array(applied)) => Value::Array(items(live, applied, of)),
        _ => applied.clone(),
    }
}

/// The items of both: those that were there in their order, then the new ones.
fn items(live: &[Value], applied: &[Value], of: &Field<'_>) -> Vec<Value> {
    let item_of = Field {
        list: ListRule::Atomic,
        ..*of
    };
    let step = |item: &Value| match &of.list {
        ListRule::Map(keys) => Step::to(item, keys),
        _ => Step::Value(item.to_string()),
    };
    let mut all = live.to_vec();
    for item in applied {
        let wanted = step(item);
        match all.iter_mut().find(|known| step(known) == wanted) {
            Some(known) => *known = merged(known, item, &item_of),
            None => all.push(item.clone()),
        }
    }
    all
}

/// An object without the fields of a set; what `others` own, or holds what they own, stays. What is
/// left empty by that goes, too.
pub(crate) fn without(object: &Value, gone: &Set, others: &Set, shape: Shape<'_>) -> Value {
    let mut kept = Map::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        if let Some(value) = left(
            Step::Field(name.clone()),
            value,
            gone,
            others,
            &shape.root(name),
        ) {
            kept.insert(name.clone(), value);
        }
    }
    Value::Object(kept)
}

fn left(step: Step, value: &Value, gone: &Set, others: &Set, of: &Field<'_>) -> Option<Value> {
    let nothing = Set::default();
    let below = gone.below(&step).unwrap_or(&nothing);
    let of_others = others.below(&step).unwrap_or(&nothing);
    if gone.has(&step) && !others.has(&step) && of_others.is_empty() {
        return None;
    }
    if below.is_empty() {
        return Some(value.clone());
    }
    let item_of = Field {
        list: ListRule::Atomic,
        ..*of
    };
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            for (name, value) in fields {
                let step = Step::Field(name.clone());
                let field = of.shape.field(name);
                if let Some(value) = left(step, value, below, of_others, &field) {
                    kept.insert(name.clone(), value);
                }
            }
            (!kept.is_empty() || fields.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(items) => {
            let kept: Vec<Value> = items
                .iter()
                .filter_map(|item| {
                    let step = match &of.list {
                        ListRule::Map(keys) => Step::to(item, keys),
                        _ => Step::Value(item.to_string()),
                    };
                    left(step, item, below, of_others, &item_of)
                })
                .collect();
            (!kept.is_empty() || items.is_empty()).then_some(Value::Array(kept))
        }
        _ => Some(value.clone()),
    }
}
