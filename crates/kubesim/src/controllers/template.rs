//! Pods from templates, and hashes that name them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::object::{condition, controlled_by, int, is_over, is_ready, text};

/// A pod of an owner, from its template; `name` is whole or, ending in `-`, a prefix.
pub(super) fn pod(owner: &Value, template: &Value, name: &str) -> Value {
    let mut metadata = json!({
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [controlled_by(owner)],
    });
    let key = if name.ends_with('-') {
        "generateName"
    } else {
        "name"
    };
    metadata[key] = json!(name);
    for part in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][part].is_null() {
            metadata[part] = template["metadata"][part].clone();
        }
    }
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
    pod["metadata"] = metadata;
    pod["spec"] = template["spec"].clone();
    pod
}

/// A short name for a value: the same whatever the order of its fields, in the characters of
/// generated names.
pub(super) fn hash(value: &Value) -> String {
    const CHARACTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    mix(value, &mut state);
    let mut name = String::with_capacity(10);
    for _ in 0..10 {
        let index = usize::try_from(state % 27).unwrap_or_default();
        name.push(char::from(CHARACTERS[index]));
        state /= 27;
    }
    name
}

fn mix(value: &Value, state: &mut u64) {
    let mut add = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0xff]) {
            *state = (*state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    match value {
        Value::Object(map) => {
            add(b"{");
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            for (key, value) in sorted {
                mix(&Value::String(key.clone()), state);
                mix(value, state);
            }
        }
        Value::Array(values) => {
            add(b"[");
            for value in values {
                mix(value, state);
            }
        }
        Value::String(text) => add(text.as_bytes()),
        other => add(other.to_string().as_bytes()),
    }
}

/// A number or a share of a whole, as `maxSurge` and `maxUnavailable` are written.
pub(super) fn share(value: &Value, whole: i64, round_up: bool, default: i64) -> i64 {
    match value {
        Value::Number(number) => number.as_i64().unwrap_or(default),
        Value::String(text) => match text.trim_end_matches('%').parse::<i64>() {
            Ok(percent) if text.ends_with('%') && round_up => (whole * percent + 99) / 100,
            Ok(percent) if text.ends_with('%') => whole * percent / 100,
            Ok(number) => number,
            Err(_) => default,
        },
        _ => default,
    }
}

/// For how many seconds more a pod has to be ready until it counts as available; none when it is not
/// ready at all.
pub(super) fn until_available(pod: &Value, min_ready: i64, now: jiff::Timestamp) -> Option<i64> {
    if !is_ready(pod) {
        return None;
    }
    let since = condition(pod, "Ready").map_or("", |ready| text(ready, "/lastTransitionTime"));
    let Ok(since) = since.parse::<jiff::Timestamp>() else {
        return Some(0);
    };
    Some((since.as_second() + min_ready - now.as_second()).max(0))
}

/// Whether a pod counts among its controller's: neither over nor on its way out.
pub(super) fn is_active(pod: &Value) -> bool {
    !is_over(pod) && !crate::object::is_deleting(pod)
}

/// How many replicas an object asks for; one by default.
pub(super) fn replicas(object: &Value) -> i64 {
    int(object, "/spec/replicas").unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_heeds_content_and_not_order() {
        let (a, b) = (json!({"x": 1, "y": [2]}), json!({"y": [2], "x": 1}));
        assert_eq!(hash(&a), hash(&b));
        assert_ne!(hash(&a), hash(&json!({"x": 1, "y": [3]})));
        assert_ne!(hash(&json!(["ab"])), hash(&json!(["a", "b"])));
    }

    #[test]
    fn shares_are_rounded_in_favour_of_the_budget() {
        assert_eq!(share(&json!("25%"), 10, true, 1), 3);
        assert_eq!(share(&json!("25%"), 10, false, 1), 2);
        assert_eq!(share(&json!(4), 10, false, 1), 4);
        assert_eq!(share(&Value::Null, 10, false, 1), 1);
    }
}
