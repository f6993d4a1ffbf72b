//! Reading objects, and the few parts of them that every kind has.

use serde_json::{Value, json};

/// The value at a JSON pointer. As `Value::pointer`, without the copies that it makes of each word; none of
/// the pointers here has a word that needs escaping.
pub(crate) fn at<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    if pointer.contains('~') {
        return value.pointer(pointer);
    }
    let mut words = pointer.split('/').skip(1);
    words.try_fold(value, |value, word| match value {
        Value::Object(fields) => fields.get(word),
        Value::Array(items) => items.get(word.parse::<usize>().ok()?),
        _ => None,
    })
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
        _ => one == other,
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

/// `metadata.name`.
pub(crate) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

/// `metadata.namespace`, empty for cluster-scoped objects.
pub(crate) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// `metadata.uid`.
pub(crate) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Whether the object is on its way out.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// A label's value.
pub(crate) fn label<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["labels"].get(key)?.as_str()
}

/// An annotation's value.
pub(crate) fn annotation<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object["metadata"]["annotations"].get(key)?.as_str()
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
    owners.iter().find(|owner| owner["controller"] == true)
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
    let conditions = list(object, "/status/conditions");
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

/// Whether a condition of the object's status is true.
pub(crate) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
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
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(conditions) = status["conditions"].as_array_mut() else {
        return;
    };
    let old = conditions
        .iter_mut()
        .find(|condition| condition["type"] == new["type"]);
    let same = |old: &Value| {
        let told = new.as_object().into_iter().flatten();
        let mut told = told.filter(|(key, _)| key.as_str() != "observedGeneration");
        told.all(|(key, value)| old.get(key) == Some(value))
            && new.get("message").is_some() == old.get("message").is_some()
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
