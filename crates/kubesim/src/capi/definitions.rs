//! The CustomResourceDefinitions of what Cluster API serves, for clients that look at them.

use serde_json::{Value, json};

use super::kinds::{BOOTSTRAP, CONTROL_PLANE, INFRASTRUCTURE};
use super::provider::Provider;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::registry::Write;
use crate::resource::Resource;
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;

const MANAGER: &str = "clusterctl";

/// Creates the definition of a served resource, established.
///
/// # Errors
/// Those of the API; that there is one already is none.
pub(super) fn create(
    cluster: &Cluster,
    resource: &Resource,
    infrastructure: &Provider,
) -> Result<(), ApiError> {
    let object = definition(resource, infrastructure, &cluster.api().clock().stamp());
    let write = Write::by(MANAGER);
    match cluster
        .api()
        .create(&CUSTOM_RESOURCE_DEFINITIONS, object, &write)
    {
        Err(error) if error.reason != "AlreadyExists" => Err(error),
        _ => Ok(()),
    }
}

/// Which provider brings a group's kinds, as clusterctl labels them, and the namespace it runs in.
fn provider(group: &str, infrastructure: &Provider) -> (&'static str, &'static str) {
    match group {
        BOOTSTRAP => ("bootstrap-kubeadm", "capi-kubeadm-bootstrap-system"),
        CONTROL_PLANE => ("control-plane-kubeadm", "capi-kubeadm-control-plane-system"),
        INFRASTRUCTURE => (infrastructure.label, infrastructure.namespace),
        _ => ("cluster-api", "capi-system"),
    }
}

fn definition(resource: &Resource, infrastructure: &Provider, now: &str) -> Value {
    let group = resource.id.group.as_ref();
    let plural = resource.id.resource.as_ref();
    let scaled = ["machinedeployments", "machinesets", "kubeadmcontrolplanes"].contains(&plural);
    let versions: Vec<Value> = resource
        .versions
        .iter()
        .map(|version| {
            let mut version = json!({
                "name": version, "served": true, "storage": *version == resource.storage,
                "schema": {"openAPIV3Schema": {"type": "object",
                    "x-kubernetes-preserve-unknown-fields": true}},
            });
            if resource.status {
                version["subresources"] = json!({"status": {}});
            }
            if scaled {
                version["subresources"]["scale"] = json!({
                    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                    "labelSelectorPath": ".status.selector"});
            }
            version
        })
        .collect();
    let names = json!({
        "plural": plural, "singular": resource.singular, "kind": resource.kind,
        "listKind": format!("{}List", resource.kind),
        "shortNames": resource.short_names, "categories": resource.categories,
    });
    let (provider, namespace) = provider(group, infrastructure);
    let mut labels =
        json!({"cluster.x-k8s.io/provider": provider, "clusterctl.cluster.x-k8s.io": ""});
    // The contract versions that the kind's versions fulfil.
    for version in &resource.versions {
        labels[format!("cluster.x-k8s.io/{version}")] = json!(version);
    }
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": now})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"), "labels": labels},
        "spec": {
            "group": group, "names": names, "versions": versions,
            "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
            "conversion": {"strategy": "Webhook", "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": format!("{}-webhook-service", namespace.trim_end_matches("-system")),
                    "namespace": namespace, "path": "/convert", "port": 443}}}},
        },
        "status": {
            "acceptedNames": names, "storedVersions": [resource.storage],
            "conditions": [
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted")],
        },
    })
}
