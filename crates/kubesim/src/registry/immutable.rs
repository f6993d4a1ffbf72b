//! Fields that stay as they were made.

use serde_json::Value;

use crate::error::ApiError;
use crate::object::{at, name};
use crate::resource::Resource;

/// The fields of a built-in kind that an update cannot change, as JSON pointers.
fn fixed(resource: &Resource) -> &'static [&'static str] {
    match (resource.id.group.as_ref(), resource.id.resource.as_ref()) {
        ("apps", "deployments" | "daemonsets" | "replicasets") => &["/spec/selector"],
        ("apps", "statefulsets") => &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/podManagementPolicy",
            "/spec/volumeClaimTemplates",
        ],
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => &["/roleRef"],
        ("storage.k8s.io", "storageclasses") => &[
            "/provisioner",
            "/parameters",
            "/reclaimPolicy",
            "/volumeBindingMode",
        ],
        _ => &[],
    }
}

/// Refuses an update that changes what stays.
///
/// # Errors
/// 422 with the fields.
pub(super) fn unchanged(resource: &Resource, new: &Value, old: &Value) -> Result<(), ApiError> {
    let changed = |pointer: &&&str| at(new, pointer) != at(old, pointer);
    let causes: Vec<_> = fixed(resource)
        .iter()
        .filter(changed)
        .map(|pointer| {
            let field = pointer.trim_start_matches('/').replace('/', ".");
            let told = at(new, pointer).unwrap_or(&Value::Null);
            let message = format!("Invalid value: {told}: field is immutable");
            (field, "FieldValueInvalid", message)
        })
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &resource.kind,
        &resource.id.group,
        name(new),
        &causes,
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::builtin;

    #[test]
    fn a_selector_stays_and_a_template_does_not() {
        let all = builtin::resources();
        let deployments = all
            .iter()
            .find(|one| one.id == builtin::DEPLOYMENTS)
            .unwrap();
        let of = |app: &str, image: &str| {
            json!({"metadata": {"name": "a"},
            "spec": {"selector": {"matchLabels": {"app": app}}, "template": {"image": image}}})
        };
        assert_eq!(unchanged(deployments, &of("a", "2"), &of("a", "1")), Ok(()));
        let error = unchanged(deployments, &of("b", "1"), &of("a", "1")).unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (
                422,
                "Deployment.apps \"a\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"b\"}}: field is immutable"
            )
        );
    }
}
