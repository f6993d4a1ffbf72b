//! Rendered against live: whether a live object contains every field that a release renders.
//!
//! A subset compare. What the API server adds (defaults, status, bookkeeping) is ignored; what the
//! release says and the cluster does not is a difference.

mod lists;
mod quantity;

use std::fmt;

use serde_json::{Map, Value};

/// Fields of built-in types that the API server keeps although they are `false`, `0` or empty, since
/// absent means something else: their absence is a difference. All other built-in fields are dropped
/// when they are zero (`omitempty`), so rendered zero and absent are the same.
const KEPT_WHEN_ZERO: &[&str] = &[
    "allowPrivilegeEscalation",
    "allowVolumeExpansion",
    "attachRequired",
    "automountServiceAccountToken",
    "backoffLimit",
    "completions",
    "enableServiceLinks",
    "fsGroup",
    "hostUsers",
    "immutable",
    "maxSurge",
    "maxUnavailable",
    "minAvailable",
    "optional",
    "parallelism",
    "partition",
    "privileged",
    "progressDeadlineSeconds",
    "readOnlyRootFilesystem",
    "replicas",
    "revisionHistoryLimit",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "shareProcessNamespace",
    "suspend",
    "terminationGracePeriodSeconds",
];

/// Metadata that belongs to the cluster, or to where an object is applied.
const NOT_OURS: &[&str] = &[
    "creationTimestamp",
    "generation",
    "managedFields",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A rendered field that the live object does not have as rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where, e.g. `spec.template.spec.containers[name=cni].image`.
    pub path: String,
    /// What the release says; none when it does not have what is live.
    pub rendered: Option<String>,
    /// What is live; none when it is absent.
    pub live: Option<String>,
}

impl Difference {
    /// Whether it is about a container's image: the surest sign of an object of another release.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.path.ends_with(".image")
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.path)?;
        match (&self.rendered, &self.live) {
            (Some(rendered), Some(live)) => write!(f, "is {live}, the release says {rendered}"),
            (Some(rendered), None) => write!(f, "is absent, the release says {rendered}"),
            (None, live) => write!(
                f,
                "is {}, the release does not have it",
                live.as_deref().unwrap_or("present")
            ),
        }
    }
}

/// Every rendered field that `live` does not contain; images first, then in the rendered order.
///
/// Values of Secrets and of environment variables are compared, but not told.
#[must_use]
pub fn compare(rendered: &Value, live: &Value) -> Vec<Difference> {
    let mut comparison = Comparison {
        kind: rendered["kind"].as_str().unwrap_or_default().to_owned(),
        builtin: is_builtin(rendered["apiVersion"].as_str().unwrap_or_default()),
        path: Vec::new(),
        found: Vec::new(),
    };
    comparison.value(&prepared(rendered), Some(live));
    let mut found = comparison.found;
    found.sort_by_key(|difference| !difference.is_image());
    found
}

/// The rendered object as the API server stores it: `stringData` folded into `data`, and without
/// what only the cluster says.
fn prepared(rendered: &Value) -> Value {
    let mut object = rendered.clone();
    let aggregated = object.get("aggregationRule").is_some_and(|r| !r.is_null());
    let Some(fields) = object.as_object_mut() else {
        return object;
    };
    // By these it was found.
    fields.shift_remove("apiVersion");
    fields.shift_remove("kind");
    let string_data = fields.shift_remove("stringData");
    if let Some(Value::Object(texts)) = string_data {
        let data = fields
            .entry("data")
            .or_insert_with(|| Value::Object(Map::new()));
        if data.is_null() {
            *data = Value::Object(Map::new());
        }
        for (key, text) in texts {
            let bytes = text.as_str().unwrap_or_default().as_bytes().to_vec();
            let encoded = serde_json::to_value(k8s_openapi::ByteString(bytes)).unwrap_or_default();
            data[key] = encoded;
        }
    }
    fields.shift_remove("status");
    if aggregated {
        // The controller fills the rules of an aggregated ClusterRole.
        fields.shift_remove("rules");
    }
    if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| !NOT_OURS.contains(&key.as_str()));
    }
    object
}

/// Whether a group is Kubernetes' own, whose types drop zero values; custom resources keep theirs.
fn is_builtin(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    !group.contains('.') || group.ends_with(".k8s.io")
}

struct Comparison {
    kind: String,
    builtin: bool,
    path: Vec<String>,
    found: Vec<Difference>,
}

impl Comparison {
    fn value(&mut self, rendered: &Value, live: Option<&Value>) {
        let live = live.filter(|live| !live.is_null());
        match (rendered, live) {
            (Value::Null, _) => {}
            (rendered, None) => {
                if !self.may_be_absent(rendered) {
                    self.differ(Some(rendered), None);
                }
            }
            (Value::Object(rendered), Some(Value::Object(live))) => {
                for (key, value) in rendered {
                    self.path.push(key.clone());
                    self.value(value, live.get(key));
                    self.path.pop();
                }
            }
            (Value::Array(rendered), Some(Value::Array(live))) => self.list(rendered, live),
            (rendered, Some(live)) => {
                if !self.same(rendered, live) {
                    self.differ(Some(rendered), Some(live));
                }
            }
        }
    }

    fn last(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    fn may_be_absent(&self, rendered: &Value) -> bool {
        let kept = !self.builtin || KEPT_WHEN_ZERO.contains(&self.last());
        match rendered {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            // Only what is empty at the root is looked into: a zero below may be one that is kept.
            Value::Object(fields) => fields
                .values()
                .all(|value| value.is_null() || (value.is_object() && self.may_be_absent(value))),
            Value::Bool(value) => !value && !kept,
            Value::Number(value) => value.as_f64() == Some(0.0) && !kept,
            Value::String(value) => value.is_empty() && !kept,
        }
    }

    fn same(&self, rendered: &Value, live: &Value) -> bool {
        if rendered == live || self.is_filled_in_later(rendered) {
            return true;
        }
        if self.is_quantity() {
            return quantity::same(rendered, live);
        }
        match (rendered, live) {
            (Value::Number(rendered), Value::Number(live)) => rendered.as_f64() == live.as_f64(),
            // Fields that take a number or a string may be stored as the other.
            (Value::Number(number), Value::String(text))
            | (Value::String(text), Value::Number(number)) => {
                number.is_i64() && *text == number.to_string()
            }
            _ => false,
        }
    }

    fn is_quantity(&self) -> bool {
        let parent = self.path.iter().rev().nth(1).map_or("", String::as_str);
        quantity::PARENTS.contains(&parent) || quantity::FIELDS.contains(&self.last())
    }

    /// A certificate authority that a release leaves for a controller to inject: empty, or the
    /// base64 of a line feed, which is the usual stand-in.
    fn is_filled_in_later(&self, rendered: &Value) -> bool {
        self.last() == "caBundle" && matches!(rendered.as_str(), Some("" | "Cg=="))
    }

    fn differ(&mut self, rendered: Option<&Value>, live: Option<&Value>) {
        let hidden = self.is_secret();
        let shown = |value: &Value| {
            if hidden {
                "(hidden)".to_owned()
            } else {
                shown(value)
            }
        };
        self.found.push(Difference {
            path: self.shown_path(),
            rendered: rendered.map(shown),
            live: live.map(shown),
        });
    }

    fn is_secret(&self) -> bool {
        let in_secret = self.kind == "Secret" && self.path.first().is_some_and(|key| key == "data");
        let in_environment = self.last() == "value" && self.path.iter().any(|key| key == "env");
        in_secret || in_environment
    }

    fn shown_path(&self) -> String {
        let mut shown = String::new();
        for part in &self.path {
            if !shown.is_empty() && !part.starts_with('[') {
                shown.push('.');
            }
            shown.push_str(part);
        }
        shown
    }
}

/// A value for a message: one short line, and nothing of what is nested, which may be secret.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 120;
    let text = match value {
        Value::Object(_) => return "{…}".to_owned(),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            return format!("a list of {}", items.len());
        }
        Value::Array(_) => value.to_string(),
        Value::String(text) => format!("'{}'", text.escape_debug()),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests;
