//! Sets of fields, as `managedFields` hold them (`FieldsV1`).

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use super::shape::{Field, Keys, ListRule, Shape};
use crate::object::list;

/// One step down into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A field of a structure, an entry of a map.
    Field(String),
    /// An item of a list, by its keys, in JSON.
    Key(String),
    /// An item of a set, in JSON.
    Value(String),
}

impl Step {
    /// The step to an item of a list.
    pub(super) fn to(item: &Value, keys: &Keys<'_>) -> Self {
        let mut names = keys.names();
        names.sort_unstable();
        let keys: Map<String, Value> = names
            .into_iter()
            .map(|name| {
                let value = match item.get(name) {
                    Some(value) => value.clone(),
                    // The one key that has a default.
                    None if name == "protocol" => Value::from("TCP"),
                    None => Value::Null,
                };
                (name.to_owned(), value)
            })
            .collect();
        Self::Key(Value::Object(keys).to_string())
    }

    fn name(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => format!("k:{keys}"),
            Self::Value(value) => format!("v:{value}"),
        }
    }

    fn read(name: &str) -> Option<Self> {
        let (form, rest) = name.split_once(':')?;
        let rest = rest.to_owned();
        match form {
            "f" => Some(Self::Field(rest)),
            "k" => Some(Self::Key(rest)),
            "v" => Some(Self::Value(rest)),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Key(keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let keys: Vec<String> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(f, "[{}]", keys.join(","))
            }
        }
    }
}

/// What is in a set at a place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Node {
    /// The place itself.
    own: bool,
    below: Set,
}

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set(BTreeMap<Step, Node>);

impl Set {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a place in.
    pub(super) fn insert(&mut self, step: Step) {
        self.0.entry(step).or_default().own = true;
    }

    /// Puts in what is below a place; nothing where that is nothing.
    pub(super) fn extend(&mut self, step: Step, below: Self) {
        if !below.is_empty() {
            let node = self.0.entry(step).or_default();
            node.below = node.below.union(&below);
        }
    }

    /// Whether a place is in it.
    pub(super) fn has(&self, step: &Step) -> bool {
        self.0.get(step).is_some_and(|node| node.own)
    }

    /// What is in it below a place.
    pub(super) fn below(&self, step: &Step) -> Option<&Self> {
        self.0.get(step).map(|node| &node.below)
    }

    /// What is in one or the other.
    pub(crate) fn union(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (step, node) in &other.0 {
            let into = both.0.entry(step.clone()).or_default();
            into.own |= node.own;
            into.below = into.below.union(&node.below);
        }
        both
    }

    /// What is in this one and not in the other.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.filtered(other, |here, there| here && !there)
    }

    /// What is in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.filtered(other, |here, there| here && there)
    }

    fn filtered(&self, other: &Self, keep: fn(bool, bool) -> bool) -> Self {
        let none = Node::default();
        let kept = self.0.iter().filter_map(|(step, node)| {
            let there = other.0.get(step).unwrap_or(&none);
            let below = node.below.filtered(&there.below, keep);
            let own = node.own && keep(true, there.own);
            (own || !below.is_empty()).then(|| (step.clone(), Node { own, below }))
        });
        Self(kept.collect())
    }

    /// This without a place and everything below it.
    pub(crate) fn stripped(mut self, path: &[&str]) -> Self {
        self.strip(path);
        self
    }

    fn strip(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else {
            return;
        };
        let step = Step::Field((*first).to_owned());
        let Some(node) = self.0.get_mut(&step) else {
            return;
        };
        if !rest.is_empty() {
            node.below.strip(rest);
            if node.own || !node.below.is_empty() {
                return;
            }
        }
        self.0.remove(&step);
    }

    /// Every place in it, as a reader knows them: `.spec.containers[name="a"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.tell("", &mut paths);
        paths
    }

    fn tell(&self, prefix: &str, paths: &mut Vec<String>) {
        for (step, node) in &self.0 {
            let path = format!("{prefix}{step}");
            if node.own {
                paths.push(path.clone());
            }
            node.below.tell(&path, paths);
        }
    }

    /// As `fieldsV1`.
    pub(crate) fn fields(&self) -> Value {
        let fields = self.0.iter().map(|(step, node)| {
            let mut fields = Map::new();
            if node.own && !node.below.is_empty() {
                fields.insert(".".to_owned(), Value::Object(Map::new()));
            }
            if let Value::Object(below) = node.below.fields() {
                fields.extend(below);
            }
            (step.name(), Value::Object(fields))
        });
        Value::Object(fields.collect())
    }

    /// From `fieldsV1`; what is none of its forms is left out.
    pub(crate) fn read(fields: &Value) -> Self {
        let fields = fields.as_object().into_iter().flatten();
        let nodes = fields.filter_map(|(name, value)| {
            let below = Self::read(value);
            let own = below.is_empty() || value.get(".").is_some();
            Some((Step::read(name)?, Node { own, below }))
        });
        Self(nodes.collect())
    }
}

/// Whether a field's value is taken apart, into fields or items.
pub(super) fn is_granular(value: &Value, field: &Field<'_>) -> bool {
    match value {
        Value::Object(_) => !field.atomic,
        Value::Array(_) => !matches!(field.list, ListRule::Atomic),
        _ => false,
    }
}

/// Every place of an object that says something: its leaves, and the entries of its lists. With
/// `whole`, also what holds them, as for somebody who wrote all of it.
pub(crate) fn own(object: &Value, shape: Shape<'_>, whole: bool) -> Set {
    let mut set = Set::default();
    for (name, value) in object.as_object().into_iter().flatten() {
        field(&mut set, name, value, &shape.root(name), whole, true);
    }
    set
}

/// The same of a value that is not an object's root.
pub(super) fn within(value: &Value, of: &Field<'_>, whole: bool) -> Set {
    let mut set = Set::default();
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                field(&mut set, name, value, &of.shape.field(name), whole, false);
            }
        }
        Value::Array(items) => {
            for item in items {
                match &of.list {
                    ListRule::Map(keys) => {
                        let step = Step::to(item, keys);
                        set.insert(step.clone());
                        let item_of = Field {
                            list: ListRule::Atomic,
                            ..*of
                        };
                        set.extend(step, within(item, &item_of, whole));
                    }
                    ListRule::Set => set.insert(Step::Value(item.to_string())),
                    ListRule::Atomic => {}
                }
            }
        }
        _ => {}
    }
    set
}

fn field(set: &mut Set, name: &str, value: &Value, of: &Field<'_>, whole: bool, root: bool) {
    let step = Step::Field(name.to_owned());
    let empty = match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    };
    if empty || !is_granular(value, of) {
        set.insert(step);
        return;
    }
    // `spec` and `metadata` are nobody's.
    if whole && !root {
        set.insert(step.clone());
    }
    set.extend(step, within(value, of, whole));
}

/// The item of a list that a step leads to.
pub(super) fn item<'v>(items: &'v Value, step: &Step, of: &Field<'_>) -> Option<&'v Value> {
    list(items, "").iter().find(|item| match &of.list {
        ListRule::Map(keys) => Step::to(item, keys) == *step,
        ListRule::Set => Step::Value(item.to_string()) == *step,
        ListRule::Atomic => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_is_written_as_kubernetes_writes_it_and_read_back() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "labels": {"app": "x"}, "finalizers": ["a/b"]},
            "spec": {"containers": [{"name": "c", "image": "i:1", "args": ["x"],
                "ports": [{"containerPort": 80}]}], "nodeSelector": {}},
        });
        let set = own(&pod, Shape::built_in("v1", "Pod"), false);
        let spec = json!({"f:containers": {"k:{\"name\":\"c\"}": {
            ".": {}, "f:args": {}, "f:image": {}, "f:name": {},
            "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
        }}, "f:nodeSelector": {}});
        assert_eq!(set.fields()["f:spec"], spec);
        assert_eq!(
            set.fields()["f:metadata"],
            json!({"f:finalizers": {"v:\"a/b\"": {}}, "f:labels": {"f:app": {}}, "f:name": {}})
        );
        assert_eq!(Set::read(&set.fields()), set);
        assert!(
            set.paths()
                .contains(&".spec.containers[name=\"c\"].image".to_owned())
        );
    }

    #[test]
    fn sets_are_joined_and_taken_apart() {
        let set = |fields| own(&fields, Shape::Unknown, false);
        let one = set(json!({"a": {"b": 1, "c": 2}}));
        let other = set(json!({"a": {"c": 3}, "d": 4}));
        assert_eq!(one.union(&other).paths(), [".a.b", ".a.c", ".d"]);
        assert_eq!(one.minus(&other).paths(), [".a.b"]);
        assert_eq!(one.and(&other).paths(), [".a.c"]);
        assert_eq!(one.stripped(&["a", "b"]).paths(), [".a.c"]);
    }
}
