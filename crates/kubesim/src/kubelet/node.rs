//! The Node as its kubelet keeps it.

use serde_json::{Value, json};

use super::image;
use super::machine::Machine;
use crate::cluster::Cluster;

/// What a kubelet says while no CNI has written its configuration.
const NO_NETWORK: &str = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
/// How many images a Node tells of (`nodeStatusMaxImages`).
const MAX_IMAGES: usize = 50;

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
        condition("Ready", "False", "KubeletNotReady", NO_NETWORK)
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
