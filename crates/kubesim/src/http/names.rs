//! Names and labels as Kubernetes allows them.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::decode::invalid;
use super::request::Request;
use crate::error::ApiError;
use crate::schema::{self, Cause};

const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

fn whole(pattern: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// Refuses an object that is to be created under a name or with labels that cannot be.
///
/// # Errors
/// 422.
pub fn check(request: &Request<'_>, object: &Value) -> Result<(), ApiError> {
    let metadata = &object["metadata"];
    let mut causes = Vec::new();
    // Roles have names of their own kind.
    if request.resource.id.group != "rbac.authorization.k8s.io" {
        let name = metadata["name"].as_str().unwrap_or_default();
        if let Some(why) = (!name.is_empty()).then(|| wrong_name(name)).flatten() {
            causes.push(schema::invalid("metadata.name", &metadata["name"], &why));
        }
    }
    of_labels(&metadata["labels"], &mut causes);
    if causes.is_empty() {
        return Ok(());
    }
    Err(invalid(request, object, &causes))
}

/// Why a name is none.
fn wrong_name(name: &str) -> Option<String> {
    static NAME: LazyLock<Option<Regex>> = LazyLock::new(|| whole(SUBDOMAIN));
    if name.len() > 253 {
        return Some("must be no more than 253 bytes".to_owned());
    }
    let fits = NAME.as_ref().is_none_or(|pattern| pattern.is_match(name));
    (!fits).then(|| {
        format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
        )
    })
}

fn of_labels(labels: &Value, causes: &mut Vec<Cause>) {
    static VALUE: LazyLock<Option<Regex>> = LazyLock::new(|| whole(LABEL));
    static KEY: LazyLock<Option<Regex>> = LazyLock::new(|| whole(QUALIFIED));
    for (key, value) in labels.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        let name = key.rsplit('/').next().unwrap_or_default();
        if name.len() > 63 || KEY.as_ref().is_some_and(|pattern| !pattern.is_match(name)) {
            let why = format!(
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}')"
            );
            let key = Value::String(key.clone());
            causes.push(schema::invalid("metadata.labels", &key, &why));
        }
        if text.len() > 63 {
            causes.push(schema::invalid(
                "metadata.labels",
                value,
                "must be no more than 63 bytes",
            ));
        } else if VALUE
            .as_ref()
            .is_some_and(|pattern| !pattern.is_match(text))
        {
            let why = format!(
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{LABEL}')"
            );
            causes.push(schema::invalid("metadata.labels", value, &why));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_labels_are_those_of_kubernetes() {
        assert!(
            wrong_name("a-1.b").is_none()
                && wrong_name("A").is_some()
                && wrong_name("a_b").is_some()
        );
        let wrong = |labels: Value| {
            let mut causes = Vec::new();
            of_labels(&labels, &mut causes);
            causes.len()
        };
        assert_eq!(
            wrong(json!({"app.kubernetes.io/name": "a.b-C_d", "x": ""})),
            0
        );
        assert_eq!(wrong(json!({"a": "b c"})), 1);
        assert_eq!(wrong(json!({"a b": "c"})), 1);
    }
}
