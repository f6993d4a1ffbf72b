//! The Node as its kubelet keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::image;
use super::machine::Machine;
use super::pod::mounts_cni;
use super::pods::MIRROR;
use crate::clock::{micro_stamp, stamp};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::fault::Fault;
use crate::object::{condition, controlled_by, is_true, set_condition, set_in_metadata, text};
use crate::registry::Write;
use crate::resource::GroupResource;
use crate::resource::builtin::{LEASES, NODES, PODS};
use crate::store::{Change, ChangeKind};

/// What a kubelet says whose view of its pods has come to a stop.
const STUCK: &str = "PLEG is not healthy: pleg was last seen active 3m0s ago; threshold is 3m0s";
/// What a kubelet says while no CNI has written its configuration.
const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
/// How many images a Node tells of (`nodeStatusMaxImages`).
const MAX_IMAGES: usize = 50;
/// How often a Lease is renewed. A real kubelet does so every 10 s; what watches it waits for 50 s.
const RENEWAL: Duration = Duration::from_secs(40);
/// How often the status is written though nothing has changed (`nodeStatusReportFrequency`).
const REPORT: i64 = 300;
const LEASE_SPACE: &str = "kube-node-lease";

/// Keeps Nodes, their Leases and the mirrors of their static pods.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    started: BTreeMap<Key, ()>,
}

impl Controller for Nodes {
    fn name(&self) -> &'static str {
        "kubelet-node"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NODES, PODS]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == NODES {
            let new = change.kind != ChangeKind::Modified
                || change.previous.as_ref().is_none_or(|old| {
                    old.value["spec"]["podCIDR"] != change.object.value["spec"]["podCIDR"]
                });
            return if new {
                vec![Key::of(change)]
            } else {
                Vec::new()
            };
        }
        let pod = &change.object.value;
        let mirror =
            change.kind == ChangeKind::Deleted && crate::object::annotation(pod, MIRROR).is_some();
        let begun = change.kind == ChangeKind::Modified
            && !text(pod, "/status/podIP").is_empty()
            && mounts_cni(pod);
        if mirror || begun {
            vec![Key::new("", text(pod, "/spec/nodeName"))]
        } else {
            Vec::new()
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(node) = api.get(&NODES, "", &key.name) else {
            self.started.remove(key);
            return Ok(Next::Change);
        };
        let now = api.clock().now();
        let (status, told, manifests, version) = {
            let state = cx.cluster.machines().state();
            let Some(machine) = state.machines.get(&key.name) else {
                self.started.remove(key);
                return Ok(Next::Change);
            };
            if !machine.running {
                return Ok(Next::After(Duration::from_secs(10)));
            }
            let dead = machine.faults.contains(&Fault::WorkerNeverReady);
            let conditions = conditions(machine, !dead, &stamp(now));
            let due = is_due(&node, &conditions, now);
            let status = due.then(|| status(&key.name, machine));
            (
                status,
                conditions,
                machine.static_pods.clone(),
                machine.version.clone(),
            )
        };
        if self.started.insert(key.clone(), ()).is_none() {
            record(
                cx.cluster,
                &node,
                &News {
                    host: &key.name,
                    ..News::normal("kubelet", "Starting", "Starting kubelet.")
                },
            );
        }
        if let Some(status) = status {
            let became = !is_true(&node, "Ready");
            let written = api.modify(&NODES, "", &key.name, "kubelet", |node| {
                if let (Some(parts), true) = (status.as_object(), node["status"].is_object()) {
                    for (part, value) in parts {
                        node["status"][part] = value.clone();
                    }
                }
                for condition in &told {
                    let mut condition = condition.clone();
                    condition
                        .as_object_mut()
                        .map(|condition| condition.shift_remove("lastTransitionTime"));
                    set_condition(&mut node["status"], condition, &stamp(now), &[]);
                }
            })?;
            if became && is_true(&written.value, "Ready") {
                let message = format!("Node {} status is now: NodeReady", key.name);
                record(
                    cx.cluster,
                    &node,
                    &News {
                        host: &key.name,
                        ..News::normal("kubelet", "NodeReady", &message)
                    },
                );
            }
        }
        mirror(cx, &node, &manifests, now, &version)?;
        renew(cx, &node, now)
    }
}

/// Whether the node's status says something else than it should, or has said nothing for long.
fn is_due(node: &Value, conditions: &[Value], now: Timestamp) -> bool {
    conditions.iter().any(|wanted| {
        let found = condition(node, text(wanted, "/type"));
        let told = found.is_some_and(|found| {
            found["status"] == wanted["status"] && found["reason"] == wanted["reason"]
        });
        let heard =
            found.and_then(|found| text(found, "/lastHeartbeatTime").parse::<Timestamp>().ok());
        !told || heard.is_none_or(|heard| now.as_second() - heard.as_second() >= REPORT)
    })
}

/// Creates the mirrors of static pods that are not there.
fn mirror(
    cx: &Cx<'_>,
    node: &Value,
    manifests: &BTreeMap<String, Value>,
    now: Timestamp,
    version: &str,
) -> Result<(), ApiError> {
    let api = cx.cluster.api();
    let node_name = text(node, "/metadata/name");
    for (name, manifest) in manifests {
        let place = crate::object::namespace(manifest);
        let pod_name = format!("{name}-{node_name}");
        if api.get(&PODS, place, &pod_name).is_some() {
            continue;
        }
        let mut pod = manifest.clone();
        let hash = &image::digest(&format!("{version}{manifest}"))[7..39];
        pod["metadata"]["name"] = json!(pod_name);
        let mut owner = controlled_by(node);
        owner
            .as_object_mut()
            .map(|owner| owner.shift_remove("blockOwnerDeletion"));
        pod["metadata"]["ownerReferences"] = json!([owner]);
        for (key, value) in [
            ("kubernetes.io/config.hash", hash),
            (MIRROR, hash),
            ("kubernetes.io/config.seen", &micro_stamp(now)),
            ("kubernetes.io/config.source", "file"),
        ] {
            set_in_metadata(&mut pod, "annotations", key, value);
        }
        pod["spec"]["nodeName"] = json!(node_name);
        match api.create(&PODS, pod, &Write::by("kubelet")) {
            Err(error) if error.reason != "AlreadyExists" => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Renews the node's Lease when it is time.
fn renew(cx: &Cx<'_>, node: &Value, now: Timestamp) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let name = text(node, "/metadata/name");
    let Some(lease) = api.get(&LEASES, LEASE_SPACE, name) else {
        let mut owner = controlled_by(node);
        for field in ["controller", "blockOwnerDeletion"] {
            owner.as_object_mut().map(|owner| owner.shift_remove(field));
        }
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_SPACE, "ownerReferences": [owner]},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_stamp(now)},
        });
        return match api.create(&LEASES, lease, &Write::by("kubelet")) {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => Ok(Next::After(RENEWAL)),
        };
    };
    let renewed = text(&lease, "/spec/renewTime").parse::<Timestamp>();
    let age = renewed.map_or(RENEWAL, |renewed| {
        now.duration_since(renewed).unsigned_abs()
    });
    if age < RENEWAL {
        return Ok(Next::After(RENEWAL - age));
    }
    api.modify(&LEASES, LEASE_SPACE, name, "kubelet", |lease| {
        lease["spec"]["renewTime"] = json!(micro_stamp(now));
    })?;
    Ok(Next::After(RENEWAL))
}

/// The status that a Node is registered with.
pub(crate) fn first_status(cluster: &Cluster, name: &str) -> Value {
    let now = cluster.api().clock().stamp();
    let state = cluster.machines().state();
    let Some(machine) = state.machines.get(name) else {
        return json!({});
    };
    let mut status = status(name, machine);
    status["conditions"] = Value::Array(conditions(machine, false, &now));
    status
}

/// The conditions of a node whose kubelet runs, all moved now.
fn conditions(machine: &Machine, ready: bool, now: &str) -> Vec<Value> {
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    };
    let sufficient = [
        (
            "MemoryPressure",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
    ];
    let mut conditions: Vec<Value> = sufficient
        .iter()
        .map(|(kind, reason, message)| condition(kind, "False", reason, message))
        .collect();
    conditions.push(if ready && machine.cni {
        condition(
            "Ready",
            "True",
            "KubeletReady",
            "kubelet is posting ready status",
        )
    } else {
        let stuck = machine.faults.contains(&Fault::WorkerNeverReady);
        let why = if stuck { STUCK } else { NO_NETWORK };
        condition("Ready", "False", "KubeletNotReady", why)
    });
    conditions
}

/// Everything of a node's status but its conditions.
fn status(name: &str, machine: &Machine) -> Value {
    let resources = json!({
        "cpu": machine.cpu, "ephemeral-storage": "102350Mi", "hugepages-1Gi": "0", "hugepages-2Mi": "0",
        "memory": machine.memory, "pods": machine.max_pods.to_string(),
    });
    let id = format!(
        "{:032x}",
        u128::from(machine.number) + (0x6b75_6265_u128 << 96)
    );
    let images: Vec<Value> = machine
        .images
        .iter()
        .take(MAX_IMAGES)
        .map(|reference| json!({"names": [image::id(reference), image::full(reference)], "sizeBytes": 30_000_000}))
        .collect();
    json!({
        "capacity": resources, "allocatable": resources,
        "addresses": [
            {"type": "InternalIP", "address": machine.address},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": id, "systemUUID": id, "bootID": id,
            "kernelVersion": "6.12.0", "osImage": "Debian GNU/Linux 12 (bookworm)",
            "containerRuntimeVersion": machine.runtime, "kubeletVersion": machine.version,
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
        "images": images,
    })
}
