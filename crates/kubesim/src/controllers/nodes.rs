//! Nodes: their part of the pod range, taints by their condition, and what becomes of pods on nodes
//! that are not well, or gone.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::matching::toleration;
use crate::network::address::Range;
use crate::object::{condition, int, is_deleting, is_over, list, name, set_condition, text, truth};
use crate::registry::Deletion;
use crate::resource::GroupResource;
use crate::resource::builtin::{LEASES, NODES, PODS};
use crate::store::{Change, ChangeKind};

/// Without a word for so long, a node counts as lost (`--node-monitor-grace-period`).
const GRACE: i64 = 50;
/// For so long pods stay on a node that is not well, unless they say otherwise
/// (`--default-not-ready-toleration-seconds`).
const TOLERATED: i64 = 300;
/// How long a pod of a node that is gone is left alone.
const QUARANTINE: Duration = Duration::from_secs(40);
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Gives each node its part of the pod range.
#[derive(Debug, Default)]
pub(super) struct Ipam;

impl Controller for Ipam {
    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NODES]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        let given = change.object.value["spec"]["podCIDR"].is_string();
        if given || change.kind == ChangeKind::Deleted {
            Vec::new()
        } else {
            vec![Key::of(change)]
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(node) = api.get(&NODES, "", &key.name) else {
            return Ok(Next::Change);
        };
        if node["spec"]["podCIDR"].is_string() {
            return Ok(Next::Change);
        }
        let subnets = cx.cluster.machines().subnets();
        let Some(range) = Range::parse(&subnets.pods) else {
            return Ok(Next::Change);
        };
        let Some(part) = cx.cluster.machines().free_part(&key.name, &range) else {
            record(
                cx.cluster,
                &node,
                &News::warning(
                    "cidrAllocator",
                    "CIDRNotAvailable",
                    &format!("Node {} status is now: CIDRNotAvailable", key.name),
                ),
            );
            return Ok(Next::After(Duration::from_secs(60)));
        };
        api.modify(&NODES, "", &key.name, self.name(), |node| {
            node["spec"]["podCIDR"] = json!(part);
            node["spec"]["podCIDRs"] = json!([part]);
        })?;
        Ok(Next::Change)
    }
}

/// Taints nodes by their condition.
#[derive(Debug, Default)]
pub(super) struct Lifecycle;

impl Controller for Lifecycle {
    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NODES]
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(mut node) = api.get(&NODES, "", &key.name) else {
            return Ok(Next::Change);
        };
        let now = api.clock().now();
        let lease = api.get(&LEASES, "kube-node-lease", &key.name);
        let heard: Vec<Timestamp> = [
            lease
                .as_ref()
                .and_then(|lease| text(lease, "/spec/renewTime").parse().ok()),
            text(&node, "/metadata/creationTimestamp").parse().ok(),
            condition(&node, "Ready")
                .and_then(|ready| text(ready, "/lastHeartbeatTime").parse().ok()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let heard = heard.into_iter().max().unwrap_or(now);
        let silent = now.as_second() - heard.as_second();
        if silent >= GRACE {
            node = lose(cx.cluster, self.name(), &node)?;
        }
        self.taint(cx, &node)?;
        let left = if silent >= GRACE {
            GRACE
        } else {
            GRACE - silent
        };
        Ok(Next::After(Duration::from_secs(
            u64::try_from(left).unwrap_or(1).max(1),
        )))
    }
}

/// Says of a node that nothing is known of it any more.
fn lose(cluster: &Cluster, manager: &str, node: &Value) -> Result<std::sync::Arc<Value>, ApiError> {
    let api = cluster.api();
    let stamp = api.clock().stamp();
    let known = condition(node, "Ready").is_some_and(|ready| ready["status"] != "Unknown");
    let written = api.modify(&NODES, "", name(node), manager, |node| {
        for kind in ["MemoryPressure", "DiskPressure", "PIDPressure", "Ready"] {
            let heartbeat =
                condition(node, kind).map(|condition| condition["lastHeartbeatTime"].clone());
            let new = json!({
                "type": kind, "status": "Unknown", "reason": "NodeStatusUnknown",
                "message": "Kubelet stopped posting node status.", "lastHeartbeatTime": heartbeat,
            });
            set_condition(&mut node["status"], new, &stamp, &[]);
        }
    })?;
    if known {
        let message = format!("Node {} status is now: NodeNotReady", name(node));
        record(
            cluster,
            node,
            &News::normal(manager, "NodeNotReady", &message),
        );
        for pod in cluster.store().on_node(name(node)) {
            let (namespace, pod_name) = pod.place();
            let marked = api.modify(&PODS, &namespace, &pod_name, manager, |pod| {
                if let Some(conditions) = pod
                    .pointer_mut("/status/conditions")
                    .and_then(Value::as_array_mut)
                {
                    for ready in conditions
                        .iter_mut()
                        .filter(|c| c["type"] == "Ready" && c["status"] == "True")
                    {
                        ready["status"] = json!("False");
                        ready["lastTransitionTime"] = json!(stamp);
                    }
                }
            });
            drop(marked);
        }
    }
    Ok(written.value.clone())
}

impl Lifecycle {
    fn taint(&self, cx: &Cx<'_>, node: &Value) -> Result<(), ApiError> {
        let ready = condition(node, "Ready").map_or("Unknown", |ready| text(ready, "/status"));
        let mut wanted: Vec<(&str, &str)> = match ready {
            "True" => vec![],
            "False" => vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
            _ => vec![(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
        };
        if truth(node, "/spec/unschedulable") {
            wanted.push((UNSCHEDULABLE, "NoSchedule"));
        }
        let ours =
            |taint: &Value| [NOT_READY, UNREACHABLE, UNSCHEDULABLE].contains(&text(taint, "/key"));
        let now = cx.cluster.api().clock().stamp();
        let taints = list(node, "/spec/taints");
        let mut new: Vec<Value> = taints
            .iter()
            .filter(|taint| {
                !ours(taint) || wanted.contains(&(text(taint, "/key"), text(taint, "/effect")))
            })
            .cloned()
            .collect();
        for (key, effect) in wanted {
            if !new
                .iter()
                .any(|taint| taint["key"] == key && taint["effect"] == effect)
            {
                new.push(json!({"key": key, "effect": effect, "timeAdded": now}));
            }
        }
        if new == taints {
            return Ok(());
        }
        cx.cluster
            .api()
            .modify(&NODES, "", name(node), self.name(), |node| {
                if new.is_empty() {
                    node["spec"]
                        .as_object_mut()
                        .map(|spec| spec.shift_remove("taints"));
                } else {
                    node["spec"]["taints"] = Value::Array(new.clone());
                }
            })?;
        Ok(())
    }
}

/// Deletes pods from nodes whose taints they do not tolerate, or not for longer.
#[derive(Debug, Default)]
pub(super) struct Eviction;

impl Controller for Eviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NODES, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let repels = |node: &Value| {
            list(node, "/spec/taints")
                .iter()
                .any(|taint| taint["effect"] == "NoExecute")
        };
        if change.resource == NODES {
            let before = change
                .previous
                .as_ref()
                .map(|previous| &previous.value["spec"]["taints"]);
            let moved = before != Some(&change.object.value["spec"]["taints"]);
            return if moved && repels(&change.object.value) {
                vec![Key::of(change)]
            } else {
                Vec::new()
            };
        }
        // A pod that was just bound to a node.
        let node = text(&change.object.value, "/spec/nodeName");
        let bound = change
            .previous
            .as_ref()
            .is_none_or(|previous| text(&previous.value, "/spec/nodeName").is_empty());
        if node.is_empty() || !bound || change.kind == ChangeKind::Deleted {
            return Vec::new();
        }
        let node = cluster
            .api()
            .get(&NODES, "", node)
            .filter(|node| repels(node));
        node.map(|node| vec![Key::new("", name(&node))])
            .unwrap_or_default()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(node) = api.get(&NODES, "", &key.name) else {
            return Ok(Next::Change);
        };
        let taints: Vec<&Value> = list(&node, "/spec/taints")
            .iter()
            .filter(|taint| taint["effect"] == "NoExecute")
            .collect();
        let now = api.clock().now().as_second();
        let mut soonest: Option<i64> = None;
        if taints.is_empty() {
            return Ok(Next::Change);
        }
        for pod in cx.cluster.store().on_node(&key.name) {
            let pod = &pod.value;
            let mirror = crate::object::annotation(pod, "kubernetes.io/config.mirror").is_some();
            if is_deleting(pod) || is_over(pod) || mirror {
                continue;
            }
            let tolerations = list(pod, "/spec/tolerations");
            let due = taints.iter().filter_map(|taint| {
                let since = text(taint, "/timeAdded")
                    .parse::<Timestamp>()
                    .map_or(now, |since| since.as_second());
                let lasting = [NOT_READY, UNREACHABLE].contains(&text(taint, "/key"));
                match toleration(tolerations, taint) {
                    Some(tolerated) => {
                        int(tolerated, "/tolerationSeconds").map(|seconds| since + seconds.max(0))
                    }
                    // Admission gives every pod these two for a while.
                    None if lasting => Some(since + TOLERATED),
                    None => Some(since),
                }
            });
            let Some(due) = due.min() else { continue };
            if due > now {
                soonest = Some(soonest.map_or(due - now, |soonest| soonest.min(due - now)));
                continue;
            }
            let message = format!(
                "Marking for deletion Pod {}/{}",
                crate::object::namespace(pod),
                name(pod)
            );
            record(
                cx.cluster,
                pod,
                &News::normal(self.name(), "TaintManagerEviction", &message),
            );
            let deleted = api.delete(
                &PODS,
                crate::object::namespace(pod),
                name(pod),
                &Deletion::default(),
            );
            match deleted {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(soonest.map_or(Next::Change, |seconds| {
            Next::After(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)))
        }))
    }
}

/// Removes the pods of nodes that are gone.
#[derive(Debug, Default)]
pub(super) struct PodGc {
    gone: BTreeMap<Key, tokio::time::Instant>,
}

impl Controller for PodGc {
    fn name(&self) -> &'static str {
        "pod-garbage-collector"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NODES]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.kind == ChangeKind::Deleted {
            vec![Key::of(change)]
        } else {
            Vec::new()
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        if api.get(&NODES, "", &key.name).is_some() {
            self.gone.remove(key);
            return Ok(Next::Change);
        }
        let pods = cx.cluster.store().on_node(&key.name);
        if pods.is_empty() {
            self.gone.remove(key);
            return Ok(Next::Change);
        }
        let now = tokio::time::Instant::now();
        let since = *self.gone.entry(key.clone()).or_insert(now);
        if now < since + QUARANTINE {
            return Ok(Next::After(since + QUARANTINE - now));
        }
        for pod in pods {
            let (namespace, pod_name) = pod.place();
            let deletion = Deletion {
                grace: Some(0),
                ..Deletion::default()
            };
            match api.delete(&PODS, &namespace, &pod_name, &deletion) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        Ok(Next::After(QUARANTINE))
    }
}
