//! A Kubernetes object as JSON, with the few readings that everything here needs.

use jiff::Timestamp;
use serde_json::Value;

use crate::record::{Blocker, ObjectRef};

/// An object as the API server gave it, without `managedFields`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Which cluster it lives in: `management` or `workload`.
    pub cluster: &'static str,
    /// The whole object.
    pub json: Value,
}

/// A condition of an object's status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Empty when absent.
    pub reason: String,
    /// Empty when absent.
    pub message: String,
    /// When it last changed.
    pub since: Option<Timestamp>,
    /// The generation of the object that it is about, where it tells.
    pub observed: Option<i64>,
}

/// Up to so many fields are looked through; among more, a name is found sooner by its hash.
const FEW: usize = 12;

/// A field of an object. Most objects have few: to compare their names takes less than to hash the one that
/// is wanted.
fn field<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    let fields = value.as_object()?;
    if fields.len() > FEW {
        return fields.get(name);
    }
    let mut fields = fields.iter();
    fields.find_map(|(own, value)| (own == name).then_some(value))
}

impl Object {
    /// Wraps an object of a cluster.
    #[must_use]
    pub const fn new(cluster: &'static str, json: Value) -> Self {
        Self { cluster, json }
    }

    /// The value at a JSON pointer such as `/spec/replicas`, if there is one that is not null.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        // As `Value::pointer`, which copies each word because it may be escaped.
        let (mut found, mut rest) = (&self.json, pointer);
        while let Some(path) = rest.strip_prefix('/') {
            let end = path.bytes().position(|byte| byte == b'/');
            let (word, more) = path.split_at(end.unwrap_or(path.len()));
            if word.contains('~') {
                return self.json.pointer(pointer).filter(|value| !value.is_null());
            }
            found = match found {
                Value::Object(_) => field(found, word)?,
                Value::Array(items) => items.get(word.parse::<usize>().ok()?)?,
                _ => return None,
            };
            rest = more;
        }
        Some(found).filter(|value| !value.is_null())
    }

    /// The string at a pointer, or an empty one.
    #[must_use]
    pub fn str(&self, pointer: &str) -> &str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The integer at a pointer.
    #[must_use]
    pub fn int(&self, pointer: &str) -> Option<i64> {
        self.at(pointer).and_then(Value::as_i64)
    }

    /// Whether a field is true; one that is not there is not.
    #[must_use]
    pub fn bool(&self, pointer: &str) -> bool {
        self.at(pointer).and_then(Value::as_bool) == Some(true)
    }

    /// The array at a pointer, or an empty one.
    #[must_use]
    pub fn array(&self, pointer: &str) -> &[Value] {
        self.at(pointer)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.str("/metadata/name")
    }

    /// `metadata.namespace`, empty for what has none.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.str("/metadata/namespace")
    }

    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.str("/kind")
    }

    /// A label's value.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        field(self.at("/metadata/labels")?, key)?.as_str()
    }

    /// An annotation's value.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        field(self.at("/metadata/annotations")?, key)?.as_str()
    }

    /// Whether it is on its way out.
    #[must_use]
    pub fn is_deleting(&self) -> bool {
        self.at("/metadata/deletionTimestamp").is_some()
    }

    /// Whether `status.observedGeneration` has caught up; true where the status does not tell.
    #[must_use]
    pub fn is_observed(&self) -> bool {
        match (
            self.int("/metadata/generation"),
            self.int("/status/observedGeneration"),
        ) {
            (Some(generation), Some(observed)) => observed >= generation,
            _ => true,
        }
    }

    /// A condition of the status. Looks at `status.conditions` first, then at those that Cluster
    /// API's v1beta1 objects keep under `status.v1beta2`.
    #[must_use]
    pub fn condition(&self, kind: &str) -> Option<Condition> {
        let condition = self.find_condition(kind)?;
        let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
        Some(Condition {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
            since: text("lastTransitionTime").parse().ok(),
            observed: condition["observedGeneration"].as_i64(),
        })
    }

    fn find_condition(&self, kind: &str) -> Option<&Value> {
        ["/status/conditions", "/status/v1beta2/conditions"]
            .iter()
            .flat_map(|pointer| self.array(pointer))
            .find(|condition| field(condition, "type").is_some_and(|own| own == kind))
    }

    /// What the status of a condition is, if anybody reports it: `True`, `False`, `Unknown`.
    #[must_use]
    pub fn status_of(&self, kind: &str) -> Option<&str> {
        field(self.find_condition(kind)?, "status")?.as_str()
    }

    /// Whether a condition of the status is `True`.
    #[must_use]
    pub fn is_true(&self, kind: &str) -> bool {
        self.status_of(kind) == Some("True")
    }

    /// A reference to it.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.cluster, self.kind(), self.namespace(), self.name())
    }

    /// A blocker about it, in our own words.
    #[must_use]
    pub fn blocker(&self, condition: impl Into<String>) -> Blocker {
        Blocker::new(self.reference(), condition)
    }

    /// As [`Object::unless_true`], and the condition has to be about the latest spec: one that is still
    /// `True` from before a change says nothing about it.
    #[must_use]
    pub fn unless_true_now(&self, kind: &str) -> Option<Blocker> {
        let observed = self
            .find_condition(kind)
            .and_then(|condition| condition["observedGeneration"].as_i64());
        match (observed, self.int("/metadata/generation")) {
            (Some(observed), Some(generation)) if observed < generation => {
                Some(self.blocker(format!("{kind} does not speak of the latest spec yet")))
            }
            _ => self.unless_true(kind),
        }
    }

    /// The blocker of a condition that has to be `True` and is not; none when it is.
    #[must_use]
    pub fn unless_true(&self, kind: &str) -> Option<Blocker> {
        if self.is_true(kind) {
            return None;
        }
        match self.condition(kind) {
            Some(condition) => Some(Blocker {
                object: self.reference(),
                condition: format!("{kind} {}", condition.status),
                reason: condition.reason,
                message: condition.message,
                since: condition.since,
            }),
            None => Some(self.blocker(format!("{kind} not reported"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn machine() -> Object {
        Object::new(
            "management",
            json!({"kind": "Machine", "metadata": {"name": "m", "namespace": "n", "generation": 2},
                "status": {"observedGeneration": 1, "conditions": [
                    {"type": "NodeHealthy", "status": "False", "reason": "WaitingForNodeRef", "message": "no node",
                     "lastTransitionTime": "2026-01-01T00:00:00Z"},
                    {"type": "BootstrapConfigReady", "status": "True"}]}}),
        )
    }

    #[test]
    fn an_unmet_condition_names_the_object_the_reason_and_the_message() {
        let blocker = machine().unless_true("NodeHealthy").unwrap();
        assert_eq!(
            blocker.to_string(),
            "Machine n/m: NodeHealthy False, WaitingForNodeRef: no node"
        );
        assert_eq!(blocker.since, "2026-01-01T00:00:00Z".parse().ok());
        assert_eq!(machine().unless_true("BootstrapConfigReady"), None);
    }

    #[test]
    fn a_condition_that_nobody_reports_is_not_true() {
        let blocker = machine().unless_true("Ready").unwrap();
        assert_eq!(blocker.condition, "Ready not reported");
    }

    #[test]
    fn an_older_observed_generation_is_not_observed() {
        assert!(!machine().is_observed());
        assert!(Object::new("workload", json!({"metadata": {"generation": 3}})).is_observed());
    }
}
