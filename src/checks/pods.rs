//! What is wrong with a pod, in the words of its containers.

use std::sync::Arc;

use serde_json::Value;

use super::sandbox;
use crate::cluster::Object;
use crate::record::Blocker;

/// Reasons of a waiting container that only say that it is about to start.
const STARTING: &[&str] = &["ContainerCreating", "PodInitializing"];
/// Reasons of a waiting container whose image cannot be had.
const NO_IMAGE: &[&str] = &[
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// The statuses of a pod's containers, init containers first.
pub fn statuses(pod: &Object) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|pointer| pod.array(pointer))
}

/// The string at a pointer, or an empty one.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether an image that the pod needs cannot be had by its node.
pub fn lacks_image(pod: &Object) -> bool {
    statuses(pod).any(|status| NO_IMAGE.contains(&text(status, "/state/waiting/reason")))
}

/// Why a pod does not do its work; none when it does, or has done it.
pub fn trouble(pod: &Object) -> Option<Blocker> {
    if pod.str("/status/phase") == "Succeeded" || is_ready(pod) {
        return None;
    }
    let scheduled = pod.condition("PodScheduled");
    if scheduled.is_some_and(|condition| condition.status == "False") {
        return pod.unless_true("PodScheduled");
    }
    if pod.str("/spec/nodeName").is_empty() {
        return Some(pod.blocker("not seen by the scheduler"));
    }
    let contained = statuses(pod).find_map(|status| container_trouble(pod, status));
    contained.or_else(|| {
        let mut blocker = pod.unless_true("Ready")?;
        blocker.condition = format!("{}{}", blocker.condition, on_node(pod));
        Some(blocker)
    })
}

/// Whether all its containers are ready.
pub fn is_ready(pod: &Object) -> bool {
    pod.condition("Ready")
        .is_some_and(|condition| condition.status == "True")
}

fn container_trouble(pod: &Object, status: &Value) -> Option<Blocker> {
    let about = |state: &str| {
        let (name, image) = (text(status, "/name"), text(status, "/image"));
        pod.blocker(format!(
            "container {name} ({image}) {state}{}",
            on_node(pod)
        ))
    };
    let waiting = text(status, "/state/waiting/reason");
    if !waiting.is_empty() && !STARTING.contains(&waiting) {
        let mut blocker = about("waits");
        blocker.reason = waiting.to_owned();
        blocker.message = text(status, "/state/waiting/message").to_owned();
        return Some(blocker);
    }
    let ended = status.pointer("/state/terminated")?;
    if ended["exitCode"].as_i64() == Some(0) {
        return None;
    }
    let mut blocker = about(&format!("ended with exit code {}", ended["exitCode"]));
    blocker.reason = text(ended, "/reason").to_owned();
    blocker.message = text(ended, "/message").trim().to_owned();
    Some(blocker)
}

fn on_node(pod: &Object) -> String {
    match pod.str("/spec/nodeName") {
        "" => String::new(),
        node => format!(" on node {node}"),
    }
}

/// The pods that a workload's selector selects, those of check namespaces aside. A selector with
/// expressions selects none here: half a selector would name the wrong pods.
pub fn selected<'p>(
    workload: &'p Object,
    pods: &'p [Arc<Object>],
) -> impl Iterator<Item = &'p Arc<Object>> {
    let labels = workload
        .at("/spec/selector/matchLabels")
        .and_then(Value::as_object)
        .filter(|_| workload.array("/spec/selector/matchExpressions").is_empty());
    pods.iter().filter(move |pod| {
        pod.namespace() == workload.namespace()
            && labels.is_some_and(|labels| {
                labels
                    .iter()
                    .all(|(key, value)| pod.label(key) == value.as_str())
            })
    })
}

/// Whether a pod belongs to a check, so that no other check judges it.
pub fn is_checks_own(pod: &Object) -> bool {
    sandbox::is_name(pod.namespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: Value) -> Object {
        Object::new(
            "workload",
            json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "n"}, "spec": {"nodeName": "w1"}, "status": status}),
        )
    }

    #[test]
    fn a_pod_that_is_ready_or_done_is_no_trouble() {
        assert_eq!(trouble(&pod(json!({"phase": "Succeeded"}))), None);
        let ready =
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(trouble(&pod(ready)), None);
    }

    #[test]
    fn a_missing_image_is_named_with_its_node() {
        let pod = pod(json!({"phase": "Pending", "containerStatuses": [
            {"name": "dns", "image": "coredns:v1", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}}}]}));
        assert!(lacks_image(&pod));
        assert_eq!(
            trouble(&pod).unwrap().to_string(),
            "Pod n/p: container dns (coredns:v1) waits on node w1, ImagePullBackOff: Back-off"
        );
    }

    #[test]
    fn a_pod_that_no_scheduler_sees_is_trouble() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "status": {"phase": "Pending"}});
        let told = trouble(&Object::new("workload", pod)).unwrap();
        assert_eq!(told.to_string(), "Pod p: not seen by the scheduler");
    }

    #[test]
    fn an_unscheduled_a_crashed_and_a_starting_pod_are_trouble() {
        for (status, told) in [
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
                "PodScheduled False, Unschedulable: 0/1 nodes",
            ),
            (
                json!({"initContainerStatuses": [{"name": "i", "image": "x", "state": {"terminated": {"exitCode": 3, "reason": "Error", "message": "no\n"}}}]}),
                "container i (x) ended with exit code 3 on node w1, Error: no",
            ),
            (
                json!({"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}],
                    "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}]}),
                "Ready False on node w1, ContainersNotReady",
            ),
        ] {
            let told_of = trouble(&pod(status)).unwrap().to_string();
            assert!(told_of.contains(told), "{told_of}");
        }
    }
}
