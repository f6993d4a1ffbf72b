//! On what kind of cluster answers were given, as its nodes and workloads show it: for clusters of which
//! nothing but the API is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Target;
use super::judgement::read;
use super::needs::{self, Needs};
use crate::cluster::{Object, View, kinds};
use crate::record::Surroundings;

/// What it takes to see them.
pub const NEEDS: &[Needs] = &[needs::NODES, needs::DAEMON_SETS];
/// What stands for a provider that no node tells.
const UNKNOWN: &str = "unknown";
/// Label of control-plane nodes (kubeadm).
pub(super) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
/// Where the agents of a network leave their configuration and programs on a node.
const CNI: [&str; 2] = ["/etc/cni", "/opt/cni"];

/// Looks; what cannot be read stays unknown.
pub async fn see(target: &Target<'_>) -> Surroundings {
    let nodes = target.view(&[(kinds::NODE, "")]);
    let sets = target.view(&[(kinds::DAEMON_SET, "")]);
    let readable = async |view: &View, what| read(target, what, &[view]).await.is_ok();
    let (nodes_read, sets_read) = futures::future::join(
        readable(&nodes, "the nodes"),
        readable(&sets, "the DaemonSets"),
    )
    .await;
    let nodes = nodes_read.then(|| nodes.list(&kinds::NODE));
    let sets = sets_read.then(|| sets.list(&kinds::DAEMON_SET));
    of(&nodes.unwrap_or_default(), &sets.unwrap_or_default())
}

fn of(nodes: &[Arc<Object>], sets: &[Arc<Object>]) -> Surroundings {
    // `openstack:///UUID`, `docker:////NAME`: who made the machine.
    let providers = nodes.iter().filter_map(|node| {
        let (provider, _) = node.str("/spec/providerID").split_once("://")?;
        Some(provider).filter(|provider| !provider.is_empty())
    });
    let images = nodes
        .iter()
        .map(|node| node.str("/status/nodeInfo/osImage"));
    let networks = sets
        .iter()
        .filter(|set| is_network(set))
        .map(|set| set.str("/spec/template/spec/containers/0/image"));
    let provider = joined(providers);
    Surroundings {
        provider: if provider.is_empty() {
            UNKNOWN.to_owned()
        } else {
            provider
        },
        cni: joined(networks),
        node_image: joined(images),
        topology: topology(nodes),
    }
}

/// How many nodes there are of each kind, e.g. `1 control plane node, 2 workers`; empty where none is known.
pub fn topology(nodes: &[Arc<Object>]) -> String {
    let control_plane = nodes.iter();
    let control_plane = control_plane.filter(|node| node.label(CONTROL_PLANE).is_some());
    let control_plane = control_plane.count();
    let counted = |count: usize, what: &str| match count {
        0 => None,
        1 => Some(format!("1 {what}")),
        count => Some(format!("{count} {what}s")),
    };
    let parts = [
        counted(control_plane, "control plane node"),
        counted(nodes.len() - control_plane, "worker"),
    ];
    Vec::from_iter(parts.into_iter().flatten()).join(", ")
}

/// Whether its pods put a network into their nodes.
fn is_network(set: &Object) -> bool {
    let volumes = set.array("/spec/template/spec/volumes").iter();
    let mut paths = volumes.filter_map(|volume| volume["hostPath"]["path"].as_str());
    paths.any(|path| CNI.iter().any(|own| path.starts_with(own)))
}

fn joined<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.filter(|name| !name.is_empty()).collect();
    Vec::from_iter(names).join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::checks::world::{World, list, refusal};

    fn node(provider: &str) -> Value {
        let mut labels = serde_json::Map::new();
        if provider.ends_with("/1") {
            labels.insert(CONTROL_PLANE.to_owned(), json!(""));
        }
        json!({"metadata": {"name": format!("n-{}", provider.len()), "labels": labels}, "spec": {"providerID": provider},
            "status": {"nodeInfo": {"osImage": "Debian GNU/Linux 13 (trixie)"}}})
    }

    fn set(name: &str, image: &str, path: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "kube-system"}, "spec": {"template": {"spec": {
            "containers": [{"image": image}], "volumes": [{"hostPath": {"path": path}}]}}}})
    }

    async fn told(nodes: Option<Value>) -> String {
        let world = World::new(move |_, path| match (&nodes, path.contains("daemonsets")) {
            (_, true) => list(
                "DaemonSetList",
                json!([
                    set("cilium", "quay.io/cilium/cilium:v1.18.4", "/etc/cni/net.d"),
                    set(
                        "kube-proxy",
                        "registry.k8s.io/kube-proxy:v1.35.0",
                        "/lib/modules"
                    )
                ]),
            ),
            (Some(nodes), _) => list("NodeList", nodes.clone()),
            (None, _) => refusal(403, "Forbidden"),
        });
        see(&world.target()).await.to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn nodes_tell_the_provider_and_their_image_and_the_networks_agents_the_cni() {
        assert_eq!(
            told(Some(json!([
                node("openstack:///1"),
                node("openstack:///22")
            ])))
            .await,
            "provider openstack, CNI quay.io/cilium/cilium:v1.18.4, node image Debian GNU/Linux 13 (trixie), topology 1 control plane node, 1 worker"
        );
        let without = told(Some(json!([node("")]))).await;
        assert!(
            without.starts_with("provider unknown, CNI quay.io"),
            "{without}"
        );
        assert_eq!(
            told(None).await,
            "provider unknown, CNI quay.io/cilium/cilium:v1.18.4"
        );
    }
}
