//! The node controller of a cloud: it does nothing unless a cloud-controller-manager runs in the cluster.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::kubeadm::UNINITIALIZED;
use crate::object::{is_deleting, is_true, list, text};
use crate::resource::GroupResource;
use crate::resource::builtin::{NODES, PODS};
use crate::store::Change;

/// How a cloud-controller-manager's image is called, after the name of its cloud.
const IMAGE: &str = "cloud-controller-manager";

/// Looks Nodes up in their cloud.
#[derive(Debug)]
pub(super) struct Nodes;

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "cloud-node-controller"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NODES, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == NODES {
            let waits = is_uninitialized(&change.object.value);
            return waits.then(|| Key::of(change)).into_iter().collect();
        }
        if !manages(&change.object.value) {
            return Vec::new();
        }
        let nodes = cluster.api().list(&NODES, None);
        let waiting = nodes.iter().filter(|node| is_uninitialized(node));
        waiting
            .map(|node| Key::new("", text(node, "/metadata/name")))
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(node) = api.get(&NODES, "", &key.name) else {
            return Ok(Next::Change);
        };
        let runs = || api.list(&PODS, None).iter().any(|pod| manages(pod));
        if !is_uninitialized(&node) || !runs() {
            return Ok(Next::Change);
        }
        let machines = cx.cluster.machines().state();
        let Some(id) = machines.machines.get(&key.name) else {
            return Ok(Next::After(Duration::from_secs(5)));
        };
        let id = id.cloud_id.clone();
        drop(machines);
        api.modify(&NODES, "", &key.name, self.name(), |node| {
            node["spec"]["providerID"] = json!(id);
            if let Some(taints) = node["spec"]["taints"].as_array_mut() {
                taints.retain(|taint| taint["key"] != UNINITIALIZED);
            }
        })?;
        let told = News::normal(self.name(), "Synced", "Node synced successfully");
        record(cx.cluster, &node, &told);
        Ok(Next::Change)
    }
}

fn is_uninitialized(node: &Value) -> bool {
    let mut taints = list(node, "/spec/taints").iter();
    taints.any(|taint| taint["key"] == UNINITIALIZED)
}

/// Whether a pod is a cloud-controller-manager that works.
fn manages(pod: &Value) -> bool {
    let mut containers = list(pod, "/spec/containers").iter();
    let is_one = containers.any(|container| {
        let image = text(container, "/image").rsplit('/').next();
        let name = image.and_then(|image| image.split([':', '@']).next());
        name.is_some_and(|name| name.ends_with(IMAGE))
    });
    is_one && is_true(pod, "Ready") && !is_deleting(pod)
}
