//! What is special about namespaces: how they begin, that they end slowly, and that nothing is created
//! in one that ends.

use serde_json::{Value, json};

use super::Registry;
use crate::error::ApiError;
use crate::object::{name, namespace, set_in_metadata, text};
use crate::resource::Resource;
use crate::resource::builtin::NAMESPACES;

/// Namespaces that cannot be deleted.
const LASTING: [&str; 3] = ["default", "kube-system", "kube-public"];

/// What a namespace has from its beginning.
pub(super) fn prepare(namespace: &mut Value) {
    let name = name(namespace).to_owned();
    set_in_metadata(namespace, "labels", "kubernetes.io/metadata.name", &name);
    if !namespace["spec"].is_object() {
        namespace["spec"] = json!({});
    }
    let finalizers = &mut namespace["spec"]["finalizers"];
    match finalizers.as_array_mut() {
        Some(finalizers) if finalizers.iter().any(|one| one == "kubernetes") => {}
        Some(finalizers) => finalizers.push(json!("kubernetes")),
        None => *finalizers = json!(["kubernetes"]),
    }
    namespace["status"] = json!({"phase": "Active"});
}

/// Refuses the deletion of a namespace that has to stay.
pub(super) fn refuse_deletion(name: &str) -> Result<(), ApiError> {
    if LASTING.contains(&name) {
        let why = "this namespace may not be deleted";
        return Err(ApiError::forbidden(&NAMESPACES, name, why));
    }
    Ok(())
}

impl Registry {
    /// Refuses new objects in a namespace that is being deleted.
    pub(super) fn refuse_new_content(
        &self,
        resource: &Resource,
        object: &Value,
    ) -> Result<(), ApiError> {
        // Access reviews have to be answered until the end.
        if !resource.namespaced || resource.id.group == "authorization.k8s.io" {
            return Ok(());
        }
        let within = namespace(object);
        let Some(found) = self.get(&NAMESPACES, "", within) else {
            return Ok(());
        };
        if text(&found, "/status/phase") != "Terminating" {
            return Ok(());
        }
        let why = format!(
            "unable to create new content in namespace {within} because it is being terminated"
        );
        let mut error = ApiError::forbidden(&resource.id, name(object), &why);
        let cause = json!({
            "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {within} is being terminated"),
        });
        error.details["causes"] = json!([cause]);
        Err(error)
    }
}
