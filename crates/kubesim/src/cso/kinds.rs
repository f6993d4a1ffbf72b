//! The kinds of the Cluster Stack Operator, and how they and their conditions are written.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{condition, list, set_condition, text};
use crate::registry::Write;
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use crate::resource::{GroupResource, Resource};

/// The group.
pub const GROUP: &str = "clusterstack.x-k8s.io";
/// Its only version.
pub const VERSION: &str = "v1alpha1";
/// `clusterstacks`
pub const CLUSTER_STACKS: GroupResource = GroupResource::new(GROUP, "clusterstacks");
/// `clusterstackreleases`
pub const RELEASES: GroupResource = GroupResource::new(GROUP, "clusterstackreleases");
/// `clusteraddons`
pub const ADDONS: GroupResource = GroupResource::new(GROUP, "clusteraddons");

/// The group of providers of node images.
const PROVIDERS: &str = "infrastructure.clusterstack.x-k8s.io";
/// `dockerclusterstackreleases` and the like: what a provider does for a release.
pub static PROVIDED: [GroupResource; 2] = [
    GroupResource::new(PROVIDERS, "dockerclusterstackreleases"),
    GroupResource::new(PROVIDERS, "openstackclusterstackreleases"),
];
/// `dockerclusterstackreleasetemplates` and the like: what a provider's objects are made of.
pub static PROVIDER_TEMPLATES: [GroupResource; 2] = [
    GroupResource::new(PROVIDERS, "dockerclusterstackreleasetemplates"),
    GroupResource::new(PROVIDERS, "openstackclusterstackreleasetemplates"),
];

/// Where the operator runs.
pub const NAMESPACE: &str = "cso-system";
/// The operator's Pod.
pub const POD: &str = "cso-controller-manager-0";
/// The field manager of its own objects.
pub(super) const MANAGER: &str = "cso";
/// Who it is to the API server.
pub(super) const ACCOUNT: &str = "system:serviceaccount:cso-system:cso-controller-manager";

/// The kinds.
pub(super) fn resources() -> Vec<Resource> {
    let all: [(&GroupResource, &str, &[&'static str]); 7] = [
        (&CLUSTER_STACKS, "ClusterStack", &["cs"]),
        (&RELEASES, "ClusterStackRelease", &["cskr"]),
        (&ADDONS, "ClusterAddon", &["caddon"]),
        (
            &PROVIDER_TEMPLATES[0],
            "DockerClusterStackReleaseTemplate",
            &[],
        ),
        (&PROVIDED[0], "DockerClusterStackRelease", &[]),
        (
            &PROVIDER_TEMPLATES[1],
            "OpenStackClusterStackReleaseTemplate",
            &[],
        ),
        (&PROVIDED[1], "OpenStackClusterStackRelease", &[]),
    ];
    all.into_iter()
        .map(|(id, kind, short)| Resource {
            id: id.clone(),
            versions: vec![Cow::Borrowed(VERSION)],
            storage: Cow::Borrowed(VERSION),
            kind: Cow::Owned(kind.to_owned()),
            singular: Cow::Owned(kind.to_lowercase()),
            short_names: short.iter().copied().map(Cow::Borrowed).collect(),
            categories: Vec::new(),
            namespaced: true,
            status: true,
            generation: true,
        })
        .collect()
}

/// Creates the definition of a kind, established.
///
/// # Errors
/// Those of the API; that there is one already is none.
pub(super) fn define(cluster: &Cluster, resource: &Resource) -> Result<(), ApiError> {
    let now = cluster.api().clock().stamp();
    let names = json!({
        "plural": resource.id.resource, "singular": resource.singular, "kind": resource.kind,
        "listKind": format!("{}List", resource.kind), "shortNames": resource.short_names,
    });
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let met = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", resource.id.resource, resource.id.group)},
        "spec": {"group": resource.id.group, "names": names, "scope": "Namespaced", "versions": [
            {"name": VERSION, "served": true, "storage": true, "schema": schema, "subresources": {"status": {}}}]},
        "status": {"acceptedNames": names, "storedVersions": [VERSION], "conditions": [
            met("NamesAccepted", "NoConflicts"), met("Established", "InitialNamesAccepted")]},
    });
    let write = Write::by("helm");
    match cluster
        .api()
        .create(&CUSTOM_RESOURCE_DEFINITIONS, definition, &write)
    {
        Err(error) if error.reason != "AlreadyExists" => Err(error),
        _ => Ok(()),
    }
}

/// Says that a condition holds.
pub(super) fn holds(object: &mut Value, kind: &str, now: &str) {
    let new = json!({"type": kind, "status": "True"});
    set_condition(&mut object["status"], new, now, &[]);
}

/// Says that a condition does not hold, and why.
pub(super) fn fails(object: &mut Value, kind: &str, reason: &str, message: &str, now: &str) {
    is_false(object, kind, "Info", (reason, message), now);
}

/// Says that a condition does not hold, as a warning.
pub(super) fn warns(object: &mut Value, kind: &str, reason: &str, message: &str, now: &str) {
    is_false(object, kind, "Warning", (reason, message), now);
}

/// Says that a condition does not hold, as an error.
pub(super) fn errs(object: &mut Value, kind: &str, reason: &str, message: &str, now: &str) {
    is_false(object, kind, "Error", (reason, message), now);
}

fn is_false(object: &mut Value, kind: &str, severity: &str, told: (&str, &str), now: &str) {
    let (reason, message) = told;
    let new = json!({
        "type": kind, "status": "False", "severity": severity, "reason": reason, "message": message,
    });
    set_condition(&mut object["status"], new, now, &[]);
}

/// The condition that sums up the others.
pub(super) fn sum_up(object: &mut Value, now: &str) {
    let others = list(object, "/status/conditions");
    let bad = others
        .iter()
        .find(|one| one["type"] != "Ready" && one["status"] == "False")
        .cloned();
    match bad {
        None => holds(object, "Ready", now),
        Some(bad) => errs(
            object,
            "Ready",
            text(&bad, "/reason"),
            text(&bad, "/message"),
            now,
        ),
    }
}

/// Whether a condition holds.
pub(super) fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}
