//! What a write changed: which fields are new, other, or gone.

use serde_json::Value;

use super::set::{Set, Step, is_granular, item, within};
use super::shape::{Field, ListRule, Shape};
use crate::object::is_same;

/// The fields in which two states of an object differ.
#[derive(Debug, Default)]
pub(super) struct Diff {
    /// New, or with another value.
    pub(super) changed: Set,
    /// Gone.
    pub(super) removed: Set,
}

/// Compares two states of an object.
pub(super) fn diff(old: &Value, new: &Value, shape: Shape<'_>) -> Diff {
    let mut diff = Diff::default();
    let names = |value: &Value| -> Vec<String> {
        value
            .as_object()
            .map(|fields| fields.keys().cloned().collect())
            .unwrap_or_default()
    };
    for name in names(new) {
        let field = shape.root(&name);
        match old.get(&name) {
            Some(before) => diff.take(&name, before, &new[&name], &field),
            None => diff.added(&name, &new[&name], &field, true),
        }
    }
    for name in names(old) {
        if new.get(&name).is_none() {
            diff.gone(&name, &old[&name], &shape.root(&name));
        }
    }
    diff
}

impl Diff {
    fn take(&mut self, name: &str, old: &Value, new: &Value, field: &Field<'_>) {
        if is_same(old, new) {
            return;
        }
        let step = Step::Field(name.to_owned());
        let alike = old.is_object() && new.is_object() || old.is_array() && new.is_array();
        if alike && is_granular(new, field) {
            let below = inside(old, new, field);
            self.changed.extend(step.clone(), below.changed);
            self.removed.extend(step, below.removed);
        } else {
            self.changed.insert(step.clone());
            self.removed.extend(step, within(old, field, true));
        }
    }

    fn added(&mut self, name: &str, value: &Value, field: &Field<'_>, root: bool) {
        let step = Step::Field(name.to_owned());
        if !is_granular(value, field) || !root {
            self.changed.insert(step.clone());
        }
        if is_granular(value, field) {
            self.changed.extend(step, within(value, field, true));
        }
    }

    fn gone(&mut self, name: &str, value: &Value, field: &Field<'_>) {
        let step = Step::Field(name.to_owned());
        self.removed.insert(step.clone());
        self.removed.extend(step, within(value, field, true));
    }
}

fn inside(old: &Value, new: &Value, of: &Field<'_>) -> Diff {
    let mut diff = Diff::default();
    if let (Value::Object(before), Value::Object(after)) = (old, new) {
        for (name, value) in after {
            let field = of.shape.field(name);
            match before.get(name) {
                Some(before) => diff.take(name, before, value, &field),
                None => diff.added(name, value, &field, false),
            }
        }
        for (name, value) in before {
            if !after.contains_key(name) {
                diff.gone(name, value, &of.shape.field(name));
            }
        }
        return diff;
    }
    let steps = |items: &Value| -> Vec<(Step, Value)> {
        let items = items.as_array().into_iter().flatten();
        items
            .map(|item| match &of.list {
                ListRule::Map(keys) => (Step::to(item, keys), item.clone()),
                _ => (Step::Value(item.to_string()), Value::Null),
            })
            .collect()
    };
    let item_of = Field {
        list: ListRule::Atomic,
        ..*of
    };
    for (step, value) in steps(new) {
        match item(old, &step, of) {
            None => {
                diff.changed.insert(step.clone());
                diff.changed.extend(step, within(&value, &item_of, true));
            }
            Some(before) if value.is_object() => {
                let below = inside(before, &value, &item_of);
                diff.changed.extend(step.clone(), below.changed);
                diff.removed.extend(step, below.removed);
            }
            Some(_) => {}
        }
    }
    for (step, value) in steps(old) {
        if item(new, &step, of).is_none() {
            diff.removed.insert(step.clone());
            diff.removed.extend(step, within(&value, &item_of, true));
        }
    }
    diff
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_new_other_or_gone_is_told_apart() {
        let old = json!({"spec": {"containers": [{"name": "a", "image": "i:1"}, {"name": "b"}],
            "nodeName": "n", "tolerations": [1]}});
        let new = json!({"spec": {"containers": [{"name": "a", "image": "i:2"}, {"name": "c"}],
            "tolerations": [2]}, "metadata": {"labels": {"x": "y"}}});
        let diff = diff(&old, &new, Shape::built_in("v1", "Pod"));
        assert_eq!(
            diff.changed.paths(),
            [
                ".metadata.labels",
                ".metadata.labels.x",
                ".spec.containers[name=\"a\"].image",
                ".spec.containers[name=\"c\"]",
                ".spec.containers[name=\"c\"].name",
                ".spec.tolerations",
            ]
        );
        assert_eq!(
            diff.removed.paths(),
            [
                ".spec.containers[name=\"b\"]",
                ".spec.containers[name=\"b\"].name",
                ".spec.nodeName",
            ]
        );
    }
}
