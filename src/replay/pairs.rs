//! Which object on one side is which on the other, though its name was drawn.

use std::collections::BTreeMap;

use serde_json::Value;

use super::terms;
use crate::record::{Id, State};

/// One side's objects, by what they are called on both.
pub(super) type Called = BTreeMap<(String, String, String), Value>;

/// Names an object by cluster, kind and place, without what differs from run to run.
///
/// Pods, Machines with what belongs to them, and Nodes have a name that was drawn: they are called after what they belong to, and counted in
/// the order of their names.
pub(super) fn called(state: &State) -> anyhow::Result<Called> {
    let mut counts: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut found = Called::new();
    let own = own_names(state)?;
    for cluster in state.clusters.values() {
        for object in cluster.objects() {
            let (id, object) = object?;
            // What belongs to a Deployment is told with it.
            if !terms::is_told(&object) || id.resource == "replicasets.apps" {
                continue;
            }
            let place = place(id, &object, &own);
            let key = (id.cluster.clone(), kind(&object), place);
            let count = counts.entry(key.clone()).or_default();
            *count += 1;
            let (cluster, kind, mut place) = key;
            if *count > 1 {
                place.push_str(&format!(" ({count})"));
            }
            found.insert((cluster, kind, place), object);
        }
    }
    Ok(found)
}

fn kind(object: &Value) -> String {
    object["kind"].as_str().unwrap_or_default().to_owned()
}

/// The names that the run's id is in: of its Cluster and its namespace.
fn own_names(state: &State) -> anyhow::Result<Vec<(String, &'static str)>> {
    let mut own = Vec::new();
    let management = state.clusters.get("management");
    for object in management.into_iter().flat_map(|cluster| cluster.objects()) {
        let (id, _) = object?;
        if id.resource == "clusters.cluster.x-k8s.io" {
            own.push((id.name.clone(), "<cluster>"));
            own.push((id.namespace.clone(), "<run>"));
        }
    }
    Ok(own)
}

fn place(id: &Id, object: &Value, own: &[(String, &'static str)]) -> String {
    let name = match id.resource.as_str() {
        "pods" => of_pod(id, object),
        "nodes" | "machines.cluster.x-k8s.io" => of_machine(object),
        _ => match owner(object) {
            // Its bootstrap configuration, and its infrastructure.
            ("Machine", _) => of_machine(object),
            ("MachineDeployment", name) => name.to_owned(),
            _ => without_suffix(&id.name, object),
        },
    };
    let mut place = if id.namespace.is_empty() {
        name
    } else {
        format!("{}/{name}", id.namespace)
    };
    for (name, called) in own {
        place = place.replace(name.as_str(), called);
    }
    place
}

/// Kind and name of what an object belongs to.
fn owner(object: &Value) -> (&str, &str) {
    let owner = &object["metadata"]["ownerReferences"][0];
    let text = |field: &str| owner[field].as_str().unwrap_or_default();
    (text("kind"), text("name"))
}

/// A pod is called after what owns it, and a ReplicaSet after its Deployment.
fn of_pod(id: &Id, object: &Value) -> String {
    let (kind, name) = owner(object);
    match kind {
        "ReplicaSet" => {
            let hash = object["metadata"]["labels"]["pod-template-hash"].as_str();
            let end = format!("-{}", hash.unwrap_or_default());
            name.strip_suffix(&end).unwrap_or(name).to_owned()
        }
        "Node" => {
            // A static pod: its name ends with the node's.
            let end = format!("-{name}");
            id.name.strip_suffix(&end).unwrap_or(&id.name).to_owned()
        }
        "StatefulSet" | "" => id.name.clone(),
        _ => name.to_owned(),
    }
}

/// A Machine and its Node are called after the part that they play.
fn of_machine(object: &Value) -> String {
    let labels = &object["metadata"]["labels"];
    let has = |label: &str| labels.get(label).is_some();
    if has("node-role.kubernetes.io/control-plane") || has("cluster.x-k8s.io/control-plane") {
        return "control plane".to_owned();
    }
    let deployment = labels["topology.cluster.x-k8s.io/deployment-name"].as_str();
    deployment.map_or_else(|| "worker".to_owned(), str::to_owned)
}

/// The end of a name that an API server has drawn.
fn without_suffix(name: &str, object: &Value) -> String {
    let drawn = object["metadata"]["generateName"].as_str();
    match drawn.filter(|drawn| !drawn.is_empty() && name.starts_with(drawn)) {
        Some(drawn) => format!("{drawn}…"),
        None => name.to_owned(),
    }
}
