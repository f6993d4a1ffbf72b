//! Lists whose items differ: sets by the items themselves, maps by some of their fields.

use serde_json::{Map, Value};

use super::{Additional, Cause, Items, Node, Path, cause};

/// Tells items that are there twice.
pub(super) fn judge(value: &Value, node: &Node, path: &mut Path, causes: &mut Vec<Cause>) {
    if !node.duties.lists {
        return;
    }
    match value {
        Value::Array(items) => {
            let keys: Vec<Value> = match &node.list {
                Items::Atomic => Vec::new(),
                Items::Set => items.clone(),
                Items::Map(keys) => items.iter().map(|item| key(item, keys)).collect(),
            };
            for (index, key) in keys.iter().enumerate() {
                let before = keys[..index].iter().filter(|other| *other == key).count();
                // Told once, at the first repetition.
                if before == 1 {
                    let here = path.index(index);
                    causes.push(cause::duplicate(path.text(), key));
                    path.leave(here);
                }
            }
            if let Some(node) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    let here = path.index(index);
                    judge(item, node, path, causes);
                    path.leave(here);
                }
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let (below, here) = match (node.properties.get(name), &node.additional) {
                    (Some(node), _) => (node, path.field(name)),
                    (None, Additional::Schema(node)) => (&**node, path.key(name)),
                    _ => continue,
                };
                judge(value, below, path, causes);
                path.leave(here);
            }
        }
        _ => {}
    }
}

/// What tells an item of a map from the others.
pub(super) fn key(item: &Value, keys: &[String]) -> Value {
    let found = keys
        .iter()
        .filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
    Value::Object(found.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Schema;
    use super::*;

    #[test]
    fn what_is_there_twice_is_told_once() {
        let schema = Schema::compile(&json!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}}}}}));
        let object = json!({"set": ["a", "b", "a", "a"], "map": [{"name": "x", "v": 1}, {"name": "x", "v": 2}]});
        let mut causes = Vec::new();
        judge(&object, &schema.root, &mut Path::default(), &mut causes);
        let shown: Vec<String> = causes
            .iter()
            .map(|(field, _, why)| format!("{field}: {why}"))
            .collect();
        assert_eq!(
            shown,
            [
                "set[2]: Duplicate value: \"a\"",
                "map[1]: Duplicate value: {\"name\":\"x\"}"
            ]
        );
    }
}
