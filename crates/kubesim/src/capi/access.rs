//! What the controllers of Cluster API have in common: reading references, finding Machines, the
//! workload cluster behind a Cluster.

use std::sync::Arc;

use serde_json::{Value, json};

use super::kinds::{CLUSTER_NAME, CLUSTERS, MACHINES, STORED};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{label, list, name, namespace, text, uid};
use crate::resource::GroupResource;
use crate::resource::catalogue::Catalogue;
use crate::simulation::Simulation;

/// Where a workload cluster's API is said to be.
const SERVER: &str = ".kubesim:6443";

/// The address of a Cluster's API server, as its kubeconfig has it.
#[must_use]
pub fn server(namespace: &str, name: &str) -> String {
    format!("https://{name}.{namespace}{SERVER}")
}

/// The workload cluster behind an address that [`server`] made.
#[must_use]
pub fn workload(simulation: &Simulation, server: &str) -> Option<Cluster> {
    let host = server.strip_prefix("https://")?.strip_suffix(SERVER)?;
    let (name, namespace) = host.split_once('.')?;
    simulation.cluster(&workload_name(namespace, name))
}

/// The name of a Cluster's workload cluster in the simulation.
#[must_use]
pub fn workload_name(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// A reference as v1beta2 has it.
#[must_use]
pub fn reference(object: &Value) -> Value {
    let group = text(object, "/apiVersion")
        .split('/')
        .next()
        .unwrap_or_default();
    json!({"apiGroup": group, "kind": object["kind"], "name": object["metadata"]["name"]})
}

/// The resource that a reference (v1beta2 by group, or with an apiVersion) is about, in whatever version
/// it is served.
#[must_use]
pub fn resource_in(catalogue: &Catalogue, reference: &Value) -> Option<GroupResource> {
    let kind = text(reference, "/kind");
    let group = match reference["apiVersion"].as_str() {
        Some(api_version) => api_version.split('/').next().unwrap_or_default(),
        None => text(reference, "/apiGroup"),
    };
    let stored = catalogue.of_kind(&format!("{group}/{STORED}"), kind);
    let found = stored.or_else(|| {
        let mut all = catalogue.all().into_iter();
        all.find(|one| one.kind == kind && one.id.group == group)
    });
    found.map(|resource| resource.id.clone())
}

/// The resource that a reference is about, on a cluster.
#[must_use]
pub fn resource_of(cluster: &Cluster, reference: &Value) -> Option<GroupResource> {
    resource_in(cluster.api().catalogue(), reference)
}

/// The object behind a reference.
#[must_use]
pub fn referred(cluster: &Cluster, namespace: &str, reference: &Value) -> Option<Arc<Value>> {
    let resource = resource_of(cluster, reference)?;
    cluster
        .api()
        .get(&resource, namespace, text(reference, "/name"))
}

/// The Cluster that an object belongs to, by its label.
#[must_use]
pub fn owner_cluster(cluster: &Cluster, object: &Value) -> Option<Arc<Value>> {
    let owner = label(object, CLUSTER_NAME).or_else(|| object["spec"]["clusterName"].as_str())?;
    cluster.api().get(&CLUSTERS, namespace(object), owner)
}

/// The Machines of a Cluster that a filter takes, the oldest first.
#[must_use]
pub fn machines(
    cluster: &Cluster,
    namespace: &str,
    of: &str,
    mut filter: impl FnMut(&Value) -> bool,
) -> Vec<Arc<Value>> {
    let mut machines = cluster
        .api()
        .labelled(&MACHINES, Some(namespace), &[(CLUSTER_NAME, of)]);
    machines.retain(|machine| filter(machine));
    machines.sort_by(|a, b| {
        let key = |machine: &Value| {
            let created = text(machine, "/metadata/creationTimestamp").to_owned();
            (created, name(machine).to_owned())
        };
        key(a).cmp(&key(b))
    });
    machines
}

/// Whether an object is controlled by another.
#[must_use]
pub fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    crate::object::controller_of(object)
        .is_some_and(|reference| text(reference, "/uid") == uid(owner))
}

/// Nothing, where an object is gone already.
///
/// # Errors
/// Any other refusal.
pub fn unless_gone<T>(result: Result<T, ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

fn is_held(object: &Value, finalizer: &str) -> bool {
    list(object, "/metadata/finalizers")
        .iter()
        .any(|one| one == finalizer)
}

/// Takes a finalizer off an object.
///
/// # Errors
/// Those of the API; that the object is gone is none.
pub fn release(
    cluster: &Cluster,
    resource: &GroupResource,
    object: &Value,
    finalizer: &str,
) -> Result<(), ApiError> {
    if !is_held(object, finalizer) {
        return Ok(());
    }
    unless_gone(cluster.api().modify(
        resource,
        namespace(object),
        name(object),
        "manager",
        |object| {
            if let Some(held) = object["metadata"]["finalizers"].as_array_mut() {
                held.retain(|one| one != finalizer);
            }
        },
    ))
}

/// Puts a finalizer on an object.
///
/// # Errors
/// Those of the API.
pub fn hold(
    cluster: &Cluster,
    resource: &GroupResource,
    object: &Value,
    finalizer: &str,
) -> Result<(), ApiError> {
    if is_held(object, finalizer) {
        return Ok(());
    }
    cluster
        .api()
        .modify(
            resource,
            namespace(object),
            name(object),
            "manager",
            |object| {
                let held = &mut object["metadata"]["finalizers"];
                if !held.is_array() {
                    *held = json!([]);
                }
                if let Some(held) = held.as_array_mut()
                    && !held.iter().any(|one| one == finalizer)
                {
                    held.push(json!(finalizer));
                }
            },
        )
        .map(drop)
}
