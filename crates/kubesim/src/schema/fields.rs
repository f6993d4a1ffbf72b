//! What a schema does to an object's fields before anything is judged: unknown ones go, nulls go, and
//! what is missing gets its default.

use serde_json::{Map, Value};

use super::{Additional, Node, Path, Schema};

/// The fields of every object that its schema does not name.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The unknown fields that were found.
#[derive(Debug, Default)]
pub(crate) struct Unknown {
    path: Path,
    found: Vec<String>,
}

impl Unknown {
    fn note(&mut self, name: &str) {
        self.found.push(self.path.with(name));
    }
}

impl Schema {
    /// Takes unknown fields away and tells which, in alphabetical order.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        if !self.root.duties.prunes {
            return Vec::new();
        }
        let mut unknown = Unknown::default();
        prune(object, Some(&self.root), &mut unknown);
        unknown.found.sort();
        unknown.found
    }

    /// Takes nulls away that are not allowed, and fills in defaults.
    pub fn fill(&self, object: &mut Value) {
        if self.root.duties.defaults {
            drop_nulls(object, &self.root);
            fill(object, &self.root);
        }
    }
}

fn prune(value: &mut Value, node: Option<&Node>, unknown: &mut Unknown) {
    if let Some(node) = node
        && !node.duties.prunes
    {
        return;
    }
    match value {
        Value::Object(fields) => prune_fields(fields, node, unknown),
        Value::Array(items) => {
            if node.is_some_and(|node| node.preserve && node.items.is_none()) {
                return;
            }
            let below = node.and_then(|node| node.items.as_deref());
            for (index, item) in items.iter_mut().enumerate() {
                let here = unknown.path.index(index);
                prune(item, below, unknown);
                unknown.path.leave(here);
            }
        }
        _ => {}
    }
}

fn prune_fields(fields: &mut Map<String, Value>, node: Option<&Node>, unknown: &mut Unknown) {
    let Some(node) = node else {
        for name in fields.keys() {
            unknown.note(name);
        }
        fields.clear();
        return;
    };
    fields.retain(|name, value| {
        if node.embedded && META.contains(&name.as_str()) {
            return true;
        }
        match below(node, name) {
            Some(node) => {
                let here = unknown.path.field(name);
                prune(value, Some(node), unknown);
                unknown.path.leave(here);
                true
            }
            None if node.preserve || matches!(node.additional, Additional::Any) => true,
            None => {
                unknown.note(name);
                false
            }
        }
    });
}

/// The schema of a field.
fn below<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    match (node.properties.get(name), &node.additional) {
        (Some(node), _) => Some(node),
        (None, Additional::Schema(node)) => Some(node),
        _ => None,
    }
}

fn drop_nulls(value: &mut Value, node: &Node) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, value| {
                let Some(node) = below(node, name) else {
                    return true;
                };
                if value.is_null() {
                    return node.nullable || node.default.is_some() || node.kinds.is_empty();
                }
                drop_nulls(value, node);
                true
            });
        }
        Value::Array(items) => {
            if let Some(node) = &node.items {
                items.iter_mut().for_each(|item| drop_nulls(item, node));
            }
        }
        _ => {}
    }
}

fn fill(value: &mut Value, node: &Node) {
    if !node.duties.defaults {
        return;
    }
    match value {
        Value::Object(fields) => {
            for (name, node) in &node.properties {
                let Some(default) = &node.default else {
                    continue;
                };
                let found = fields.get(name);
                if found.is_none_or(|value| value.is_null() && !node.nullable) {
                    fields.insert(name.clone(), default.clone());
                }
            }
            for (name, value) in fields.iter_mut() {
                if let Some(node) = below(node, name) {
                    fill_one(value, node);
                }
            }
        }
        Value::Array(items) => {
            if let Some(node) = &node.items {
                items.iter_mut().for_each(|item| fill_one(item, node));
            }
        }
        _ => {}
    }
}

fn fill_one(value: &mut Value, node: &Node) {
    if value.is_null()
        && !node.nullable
        && let Some(default) = &node.default
    {
        *value = default.clone();
    }
    fill(value, node);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_go_unless_they_are_to_be_kept() {
        let schema = Schema::compile(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"known": {"type": "object", "properties": {"a": {"type": "string"}}}}},
                "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}},
                "data": {"type": "object", "additionalProperties": true}}}}}));
        let mut object = json!({"apiVersion": "v1", "kind": "K", "metadata": {"name": "a"}, "more": 1,
        "spec": {"list": [{"a": "x"}, {"a": "x", "b": 1}], "map": {"k": {"b": 1}}, "other": {},
            "free": {"x": 1, "known": {"a": "", "b": 1}},
            "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"x": 1}, "status": {}},
            "data": {"x": {"y": 1}}}});
        let gone = schema.prune(&mut object);
        assert_eq!(
            gone,
            [
                "more",
                "spec.free.known.b",
                "spec.list[1].b",
                "spec.map.k.b",
                "spec.other",
                "spec.pod.spec.x",
                "spec.pod.status"
            ]
        );
        assert_eq!(
            object["spec"],
            json!({"list": [{"a": "x"}, {"a": "x"}], "map": {"k": {}}, "free": {"x": 1, "known": {"a": ""}},
                "pod": {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {}}, "data": {"x": {"y": 1}}})
        );
        assert_eq!(object["metadata"]["name"], "a");
    }

    #[test]
    fn defaults_are_filled_in_and_nulls_taken_away() {
        let schema = Schema::compile(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "default": {}, "properties": {
                "size": {"type": "integer", "default": 3},
                "may": {"type": "string", "nullable": true},
                "must": {"type": "string"},
                "items": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer", "default": 80}}}}}}}}));
        let filled = |mut object: Value| {
            schema.fill(&mut object);
            object
        };
        assert_eq!(filled(json!({})), json!({"spec": {"size": 3}}));
        assert_eq!(
            filled(
                json!({"spec": {"size": null, "may": null, "must": null, "items": [{}, {"port": 1}]}})
            ),
            json!({"spec": {"size": 3, "may": null, "items": [{"port": 80}, {"port": 1}]}})
        );
    }
}
