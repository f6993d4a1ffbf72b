//! Objects for the checks' own tests, as an API server gives them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::checks::judgement::Judgement;
use crate::cluster::Object;

/// An object of the workload cluster.
pub fn object(json: Value) -> Arc<Object> {
    Arc::new(Object::new("workload", json))
}

/// An object of the management cluster.
pub fn managed(json: Value) -> Arc<Object> {
    Arc::new(Object::new("management", json))
}

/// The same object with one value changed; `null` removes it.
pub fn with(object: &Arc<Object>, pointer: &str, value: Value) -> Arc<Object> {
    let mut changed = Object::clone(object);
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = changed.json.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        map => map[key] = value,
    }
    Arc::new(changed)
}

/// A node that is well.
pub fn node(name: &str, version: &str) -> Arc<Object> {
    object(json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {}, "creationTimestamp": "2026-05-01T10:00:00Z"},
        "spec": {},
        "status": {"nodeInfo": {"kubeletVersion": version}, "conditions": [
            {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
            {"type": "DiskPressure", "status": "False", "reason": "KubeletHasNoDiskPressure"},
            {"type": "PIDPressure", "status": "False", "reason": "KubeletHasSufficientPID"},
            {"type": "Ready", "status": "True", "reason": "KubeletReady"}]}}))
}

/// A control-plane node that is well.
pub fn control_plane_node(name: &str, version: &str) -> Arc<Object> {
    let labels = json!({"node-role.kubernetes.io/control-plane": ""});
    with(&node(name, version), "/metadata/labels", labels)
}

/// A running pod with one ready container.
pub fn pod(name: &str, node: &str, image: &str) -> Arc<Object> {
    object(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "uid": format!("uid-{name}"), "labels": {}},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": image}]},
        "status": {"phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "main", "image": image, "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-05-01T10:01:00Z"}}}]}}))
}

/// The same pod, its image not to be had.
pub fn without_image(pod: &Arc<Object>) -> Arc<Object> {
    let not_ready = json!({"type": "Ready", "status": "False", "reason": "ContainersNotReady"});
    let waiting =
        json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
    let pod = with(pod, "/status/phase", json!("Pending"));
    let pod = with(&pod, "/status/conditions/1", not_ready);
    with(&pod, "/status/containerStatuses/0/state", waiting)
}

/// A workload of two replicas that is rolled out.
pub fn workload(kind: &str, name: &str, image: &str) -> Arc<Object> {
    object(json!({"apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "kube-system", "generation": 3},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}},
            "template": {"spec": {"containers": [{"name": name, "image": image}]}}},
        "status": {"observedGeneration": 3,
            "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2,
            "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}}))
}

/// The problems of a judgement as text, one per line; empty for a pass.
#[track_caller]
pub fn problems(judgement: &Judgement) -> String {
    match judgement {
        Judgement::Pass(_) => String::new(),
        Judgement::Fail(problems) => {
            assert!(!problems.is_empty());
            let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
            lines.join("\n")
        }
        Judgement::Skip(reason) => panic!("skipped: {reason}"),
    }
}
