//! Reading objects, and the few parts of them that every kind has.

use serde_json::{Value, json};

/// Up to so many fields are looked through; among more, a name is found sooner by its hash.
const FEW: usize = 12;

/// A field of an object. Most objects have few: to compare their names takes less than to hash the one that
/// is wanted.
pub(crate) fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = value.as_object()?;
    if fields.len() > FEW {
        return fields.get(name);
    }
    let mut fields = fields.iter();
    fields.find_map(|(own, value)| (own == name).then_some(value))
}

/// The value at a JSON pointer. As `Value::pointer`, without the copies that it makes of each word; hardly any
/// of the pointers here has a word that needs escaping.
pub(crate) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let (mut found, mut rest) = (value, pointer);
    while let Some(path) = rest.strip_prefix('/') {
        let end = path.bytes().position(|byte| matches!(byte, b'/' | b'~'));
        let (word, more) = path.split_at(end.unwrap_or(path.len()));
        if more.starts_with('~') {
            return value.pointer(pointer);
        }
        found = match found {
            Value::Object(_) => field(found, word)?,
            Value::Array(items) => items.get(word.parse::<usize>().ok()?)?,
            _ => return None,
        };
        rest = more;
    }
    Some(found)
}

/// Whether two values are equal. As `==`, and quick where the fields stand in the same order, as they do in a
/// copy of which little was changed.
pub(crate) fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((key, value), (beside, same))| {
                    let same = if key == beside {
                        Some(same)
                    } else {
                        other.get(key)
                    };
                    same.is_some_and(|same| is_same(value, same))
                })
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        // Most of what is compared.
        (Value::String(one), Value::String(other)) => one == other,
        _ => one == other,
    }
}

/// A field of an object to be written, as by `value[name]`; found as by [`field`].
pub(crate) fn slot<'v>(value: &'v mut Value, name: &str) -> &'v mut Value {
    let at = match value {
        Value::Object(fields) if fields.len() <= FEW => fields.keys().position(|own| own == name),
        _ => None,
    };
    match (at, value) {
        (Some(at), Value::Object(fields)) => fields
            .values_mut()
            .nth(at)
            .unwrap_or_else(|| unreachable!("it was just found there")),
        (_, value) => &mut value[name],
    }
}

/// Whether two objects are equal in those of their fields that count.
pub(crate) fn is_same_in(one: &Value, other: &Value, counts: impl Fn(&str) -> bool) -> bool {
    let of = |object: &'_ Value| {
        let fields = object.as_object().into_iter().flatten();
        fields.filter(|(name, _)| counts(name)).count()
    };
    let mut fields = one.as_object().into_iter().flatten();
    of(one) == of(other)
        && fields.all(|(name, value)| {
            !counts(name) || other.get(name).is_some_and(|same| is_same(value, same))
        })
}

/// The text at a pointer, or an empty one.
pub(crate) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    at(value, pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The number at a pointer.
pub(crate) fn int(value: &Value, pointer: &str) -> Option<i64> {
    at(value, pointer).and_then(Value::as_i64)
}

/// Whether there is a `true` at a pointer.
pub(crate) fn truth(value: &Value, pointer: &str) -> bool {
    at(value, pointer).and_then(Value::as_bool) == Some(true)
}

/// The list at a pointer, or an empty one.
pub(crate) fn list<'v>(value: &'v Value, pointer: &str) -> &'v [Value] {
    at(value, pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn in_metadata<'v>(object: &'v Value, name: &str) -> Option<&'v Value> {
    field(field(object, "metadata")?, name)
}

fn text_in_metadata<'v>(object: &'v Value, name: &str) -> &'v str {
    in_metadata(object, name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    text_in_metadata(object, "name")
}

/// `metadata.namespace`, empty for cluster-scoped objects.
pub(crate) fn namespace(object: &Value) -> &str {
    text_in_metadata(object, "namespace")
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    text_in_metadata(object, "uid")
}

/// Whether the object is on its way out.
pub(crate) fn is_deleting(object: &Value) -> bool {
    in_metadata(object, "deletionTimestamp").is_some_and(Value::is_string)
}

/// A label's value.
pub(crate) fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    field(in_metadata(object, "labels")?, key)?.as_str()
}

/// An annotation's value.
pub(crate) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    field(in_metadata(object, "annotations")?, key)?.as_str()
}

/// Sets a text below `metadata`, e.g. in `labels`.
pub(crate) fn set_in_metadata(object: &mut Value, part: &str, key: &str, value: &str) {
    let metadata = &mut object["metadata"];
    if !metadata[part].is_object() {
        metadata[part] = json!({});
    }
    metadata[part][key] = json!(value);
}

/// The owner that manages the object.
pub(crate) fn controller_of(object: &Value) -> Option<&Value> {
    let owners = list(object, "/metadata/ownerReferences");
    let manages = |owner: &&Value| field(owner, "controller").is_some_and(|is| is == true);
    owners.iter().find(manages)
}

/// An owner reference of the managing kind to an object.
pub(crate) fn controlled_by(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// A condition of the object's status.
pub(crate) fn condition<'v>(object: &'v Value, kind: &str) -> Option<&'v Value> {
    let mut conditions = list(object, "/status/conditions").iter();
    conditions.find(|condition| is_of(condition, kind))
}

/// Whether a condition is of a type.
pub(crate) fn is_of(condition: &Value, kind: &str) -> bool {
    field(condition, "type").is_some_and(|own| own == kind)
}

/// Whether a condition of the object's status is true.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    let status = condition(object, kind).and_then(|condition| field(condition, "status"));
    status.is_some_and(|status| status == "True")
}

/// Whether a pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    is_true(pod, "Ready")
}

/// Whether a pod has come to its end.
pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Sets a condition; its time of transition moves only when its status does. `extra` are times besides
/// it, e.g. `lastUpdateTime`, which move with any change.
pub(crate) fn set_condition(status: &mut Value, mut new: Value, now: &str, extra: &[&str]) {
    let conditions = slot(status, "conditions");
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else {
        return;
    };
    let kind = text(&new, "/type");
    let old = conditions
        .iter_mut()
        .find(|condition| is_of(condition, kind));
    let same = |old: &Value| {
        let told = new.as_object().into_iter().flatten();
        let mut told = told.filter(|(key, _)| key.as_str() != "observedGeneration");
        told.all(|(key, value)| field(old, key) == Some(value))
            && field(&new, "message").is_some() == field(old, "message").is_some()
    };
    if let Some(old) = old {
        if same(old) {
            return;
        }
        let moved = if old["status"] == new["status"] {
            old["lastTransitionTime"].clone()
        } else {
            json!(now)
        };
        for key in extra {
            new[*key] = json!(now);
        }
        new["lastTransitionTime"] = moved;
        *old = new;
    } else {
        for key in extra {
            new[*key] = json!(now);
        }
        new["lastTransitionTime"] = json!(now);
        conditions.push(new);
    }
}

/// Takes a condition away.
pub(crate) fn remove_condition(status: &mut Value, kind: &str) {
    if let Some(conditions) = status["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_compared_in_what_counts() {
        let one = json!({"spec": {"a": 1}, "status": 1, "data": [1]});
        let same = |other: Value| is_same_in(&one, &other, |field| field != "status");
        assert!(same(json!({"data": [1], "status": 2, "spec": {"a": 1}})));
        assert!(same(json!({"data": [1], "spec": {"a": 1}})));
        assert!(!same(json!({"data": [2], "status": 1, "spec": {"a": 1}})));
        assert!(!same(json!({"spec": {"a": 1}})));
        assert!(!same(json!({"data": [1], "spec": {"a": 1}, "more": 1})));
    }

    #[test]
    fn a_conditions_transition_is_the_change_of_its_status() {
        let mut status = json!({});
        let ready = |status: &str, reason: &str| json!({"type": "Ready", "status": status, "reason": reason});
        set_condition(&mut status, ready("False", "A"), "1", &[]);
        set_condition(&mut status, ready("False", "B"), "2", &[]);
        assert_eq!(status["conditions"][0]["lastTransitionTime"], "1");
        assert_eq!(status["conditions"][0]["reason"], "B");
        set_condition(&mut status, ready("True", "B"), "3", &[]);
        assert_eq!(status["conditions"][0]["lastTransitionTime"], "3");
        assert_eq!(list(&status, "/conditions").len(), 1);
    }
}
