//! Field selectors: `metadata.name=a,spec.nodeName!=b`, over the fields that each kind has for it.

use serde_json::Value;

use crate::error::ApiError;
use crate::resource::{GroupResource, Resource};

/// A field selector, checked against what the resource offers; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    /// Where the value is: alternatives, of which the first that is there counts.
    pointers: Vec<String>,
    label: String,
    value: String,
    equal: bool,
}

/// What a kind offers beyond its metadata.
fn offered(id: &GroupResource) -> Option<&'static [&'static str]> {
    Some(match (id.group.as_ref(), id.resource.as_ref()) {
        ("", "pods") => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        ("", "events") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "namespaces") => &["status.phase"],
        ("", "nodes") => &["spec.unschedulable"],
        ("", "replicationcontrollers") | ("apps", "replicasets") => &["status.replicas"],
        ("", "secrets") => &["type"],
        ("", "services") => &["spec.clusterIP", "spec.type"],
        ("batch", "jobs") => &["status.successful"],
        ("certificates.k8s.io", "certificatesigningrequests") => &["spec.signerName"],
        _ => return None,
    })
}

/// What a field is when the object does not say it.
fn absent(label: &str) -> &'static str {
    match label {
        "spec.unschedulable" | "spec.hostNetwork" => "false",
        "status.replicas" | "status.successful" => "0",
        _ => "",
    }
}

impl Fields {
    /// Reads a selector for a resource. `selectable` are fields that its definition adds, without the
    /// dot in front.
    ///
    /// # Errors
    /// 400 for a field that cannot be selected by, and for what is no selector.
    pub fn parse(text: &str, resource: &Resource, selectable: &[String]) -> Result<Self, ApiError> {
        let mut terms = Vec::new();
        for part in split(text) {
            let (label, value, equal) = term(&part).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                ))
            })?;
            let label = core_name(&label).to_owned();
            check(&label, resource, selectable)?;
            let pointers = pointers(&label, &resource.id);
            terms.push(Term {
                pointers,
                label,
                value,
                equal,
            });
        }
        Ok(Self(terms))
    }

    /// Whether a stored object is selected.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|term| {
            let found = term
                .pointers
                .iter()
                .find_map(|pointer| object.pointer(pointer));
            let equal = match found {
                Some(Value::String(text)) => *text == term.value,
                None | Some(Value::Null) => absent(&term.label) == term.value,
                Some(other) => said(other) == term.value,
            };
            equal == term.equal
        })
    }

    /// The only name that can be selected.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let mut names = self
            .0
            .iter()
            .filter(|t| t.label == "metadata.name" && t.equal);
        names.next().map(|term| term.value.as_str())
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A number or truth value as text.
fn said(value: &Value) -> String {
    value.to_string()
}

/// The core group's name of a field of `events.k8s.io`.
fn core_name(label: &str) -> &str {
    match label {
        "spec.host" => "spec.nodeName",
        "regarding.kind" => "involvedObject.kind",
        "regarding.namespace" => "involvedObject.namespace",
        "regarding.name" => "involvedObject.name",
        "regarding.uid" => "involvedObject.uid",
        "regarding.apiVersion" => "involvedObject.apiVersion",
        "regarding.fieldPath" => "involvedObject.fieldPath",
        "reportingController" => "reportingComponent",
        other => other,
    }
}

fn check(label: &str, resource: &Resource, selectable: &[String]) -> Result<(), ApiError> {
    let known = match label {
        "metadata.name" => true,
        "metadata.namespace" => resource.namespaced,
        _ => {
            offered(&resource.id).is_some_and(|offered| offered.contains(&label))
                || selectable.iter().any(|field| field == label)
        }
    };
    if known {
        return Ok(());
    }
    // Kinds of the old kind list what there is, the others only say what is not there.
    let generic = offered(&resource.id).is_none() && resource.is_built_in();
    Err(ApiError::bad_request(if generic {
        format!(
            "\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        )
    } else {
        format!("field label not supported: {label}")
    }))
}

fn pointers(label: &str, id: &GroupResource) -> Vec<String> {
    match (label, id.resource.as_ref()) {
        ("source", "events") => {
            vec![
                "/source/component".to_owned(),
                "/reportingComponent".to_owned(),
            ]
        }
        ("status.successful", _) => vec!["/status/succeeded".to_owned()],
        _ => vec![format!("/{}", label.replace('.', "/"))],
    }
}

/// Splits at commas that no backslash escapes.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn term(part: &str) -> Option<(String, String, bool)> {
    let at = part.find(['=', '!'])?;
    let (label, rest) = part.split_at(at);
    let (value, equal) = if let Some(value) = rest.strip_prefix("!=") {
        (value, false)
    } else {
        (
            rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?,
            true,
        )
    };
    let value = value
        .replace("\\,", ",")
        .replace("\\=", "=")
        .replace("\\\\", "\\");
    Some((label.to_owned(), value, equal))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::builtin::{self, EVENTS, NODES, PODS};

    fn parse(id: &GroupResource, text: &str) -> Result<Fields, ApiError> {
        let resources = builtin::resources();
        let resource = resources
            .iter()
            .find(|resource| resource.id == *id)
            .unwrap();
        Fields::parse(text, resource, &[])
    }

    #[test]
    fn pods_are_selected_by_node_and_phase() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        for (text, selected) in [
            ("spec.nodeName=n,status.phase=Running", true),
            ("spec.nodeName!=n", false),
            ("spec.hostNetwork=false", true),
            ("metadata.name==a", true),
            ("spec.nodeName=", false),
            ("", true),
        ] {
            assert_eq!(
                parse(&PODS, text).unwrap().matches(&pod),
                selected,
                "{text}"
            );
        }
        assert!(
            parse(&NODES, "spec.unschedulable=false")
                .unwrap()
                .matches(&json!({}))
        );
        let event = json!({"reportingComponent": "kubelet"});
        assert!(parse(&EVENTS, "source=kubelet").unwrap().matches(&event));
    }

    #[test]
    fn an_unknown_field_is_refused_as_the_server_does() {
        let said = |id, text| parse(&id, text).unwrap_err().message;
        assert_eq!(
            said(PODS, "spec.image=x"),
            "field label not supported: spec.image"
        );
        assert_eq!(
            said(builtin::CONFIG_MAPS, "data.a=x"),
            "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""
        );
        assert_eq!(
            said(PODS, "a"),
            "invalid selector: 'a'; can't understand 'a'"
        );
    }
}
