//! Images that a node cannot have, and how long that may last before it is a cause.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::causes::{Clue, containers, text};
use crate::checks::sandbox;
use crate::cluster::Object;
use crate::record::Finding;

/// For how long an image has to be refused without a pause. Back-off grows to minutes, so a registry
/// that comes back within this time was asked at least three times.
const REFUSED: Duration = Duration::from_secs(60);
/// The same where another node of the cluster has run the image: so it exists, and what is in the way may be a slow
/// registry, or a Pod of N on a node of N+1, which goes when its workload is moved. By then five attempts have failed.
const REFUSED_TO_ONE: Duration = Duration::from_secs(300);

/// The same of kube-proxy: its DaemonSet is moved for all nodes at once, so that either its image of N is missing on a
/// node of N+1 or that of N+1 on one of N, until the last Machine is replaced.
const REFUSED_TO_SOME: Duration = Duration::from_mins(15);

/// The images that nodes are known to have run, each with the node: it may go, what it showed stays.
pub(super) type Had = Mutex<BTreeSet<(String, String)>>;

/// What a node says of an image that it does not get.
const REASONS: [&str; 4] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
];

/// Containers that do not start for want of their images, each of which has its own time. `had` learns of the images
/// that run. While `dns_may_move`, nobody has moved CoreDNS yet.
pub(super) fn refused(pods: &[Arc<Object>], had: &Had, dns_may_move: bool) -> Vec<Clue> {
    let mut had = had.lock().unwrap_or_else(PoisonError::into_inner);
    for pod in pods {
        let node = pod.str("/spec/nodeName");
        let started = containers(pod).filter(|one| is_started(one));
        had.extend(started.map(|one| (image_of(pod, one).to_owned(), node.to_owned())));
    }
    let mut found = Vec::new();
    for pod in pods {
        // What stackgate itself brings says nothing about the stack.
        if sandbox::is_name(pod.namespace()) || pod.is_deleting() {
            continue;
        }
        let (is_dns, is_proxy) = (is_part(pod, "kube-dns"), is_part(pod, "kube-proxy"));
        if dns_may_move && is_dns {
            continue;
        }
        for container in containers(pod) {
            let reason = text(container, "/state/waiting/reason");
            if !REASONS.contains(&reason) {
                continue;
            }
            let (image, node) = (image_of(pod, container), pod.str("/spec/nodeName"));
            let runs = elsewhere(pods, image, node);
            let exists = had.iter().any(|(had, on)| had == image && on != node);
            let mut message = format!(
                "image {image} cannot be had by node {node}, so {} does not run",
                pod.reference()
            );
            let mut evidence = vec![format!(
                "{reason}: {}",
                text(container, "/state/waiting/message")
            )];
            if is_dns {
                message.push_str(
                    ": cluster DNS still names the CoreDNS image of the release before; \
                     KubeadmControlPlane moves it only when the ClusterClass sets \
                     clusterConfiguration.dns.imageTag",
                );
            } else if exists {
                message.push_str(", although another node has run it");
                evidence.extend(runs.map(|other| {
                    let there = other.str("/spec/nodeName");
                    format!("{} has it on node {there}", other.reference())
                }));
            }
            let cause = if is_dns {
                "coredns-image-missing"
            } else {
                "image-not-available"
            };
            let hold = match exists && !is_dns {
                true if is_proxy => REFUSED_TO_SOME,
                true => REFUSED_TO_ONE,
                false => REFUSED,
            };
            let finding = Finding {
                cause: cause.to_owned(),
                message,
                object: pod.reference(),
                evidence,
            };
            found.push(Clue::new(hold, finding).by_way_of(format!("{image} {exists}")));
        }
    }
    found
}

fn is_started(container: &Value) -> bool {
    let state = &container["state"];
    state.get("running").is_some() || state.get("terminated").is_some()
}

/// A Pod on another node in which the image was started.
fn elsewhere<'p>(pods: &'p [Arc<Object>], image: &str, node: &str) -> Option<&'p Arc<Object>> {
    pods.iter().find(|pod| {
        pod.str("/spec/nodeName") != node
            && containers(pod).any(|one| is_started(one) && image_of(pod, one) == image)
    })
}

/// The image as the Pod asks for it: what its status says is another name, once there is one.
fn image_of<'p>(pod: &'p Object, container: &'p Value) -> &'p str {
    let asked = ["/spec/initContainers", "/spec/containers"]
        .into_iter()
        .flat_map(|pointer| pod.array(pointer))
        .find(|one| one["name"] == container["name"]);
    text(asked.unwrap_or(container), "/image")
}

/// Whether a Pod is of a part that kubeadm installs and KubeadmControlPlane moves.
fn is_part(pod: &Object, name: &str) -> bool {
    pod.namespace() == "kube-system" && pod.label("k8s-app") == Some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(label: &str, node: &str, image: &str, state: Value) -> Arc<Object> {
        Arc::new(Object::new(
            "workload",
            json!({
                "kind": "Pod",
                "metadata": {"name": "p", "namespace": "kube-system", "labels": {"k8s-app": label}},
                "spec": {"nodeName": node, "containers": [{"name": "c", "image": image}]},
                // The name under which a node has it.
                "status": {"containerStatuses": [{"name": "c", "image": format!("docker.io/{image}"), "state": state}]},
            }),
        ))
    }

    fn waits(label: &str) -> Arc<Object> {
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
        pod(label, "new", "x:v1", waiting)
    }

    fn runs(node: &str, image: &str) -> Arc<Object> {
        pod("other", node, image, json!({"running": {}}))
    }

    fn told(pods: &[Arc<Object>], dns_may_move: bool) -> Vec<(Duration, Finding)> {
        told_to(&Mutex::default(), pods, dns_may_move)
    }

    fn told_to(had: &Had, pods: &[Arc<Object>], dns_may_move: bool) -> Vec<(Duration, Finding)> {
        let clues = refused(pods, had, dns_may_move).into_iter();
        clues.map(|clue| (clue.hold, clue.finding)).collect()
    }

    #[test]
    fn a_refused_image_names_image_node_and_pod() {
        let (hold, finding) = told(&[waits("other")], false).remove(0);
        assert_eq!(
            finding.message,
            "image x:v1 cannot be had by node new, so Pod kube-system/p does not run"
        );
        assert_eq!(finding.evidence, ["ImagePullBackOff: not found"]);
        assert_eq!(hold, REFUSED);
    }

    #[test]
    fn an_image_that_another_node_runs_is_waited_for_longer() {
        let (hold, finding) = told(&[runs("old", "x:v1"), waits("other")], false).remove(0);
        assert_eq!(hold, REFUSED_TO_ONE);
        assert!(
            finding
                .message
                .ends_with(", although another node has run it")
        );
        assert_eq!(finding.evidence[1], "Pod kube-system/p has it on node old");
        // Another image, the same node, one that waits as well.
        for other in [runs("old", "x:v2"), runs("new", "x:v1"), waits("other")] {
            let found = told(&[other, waits("other")], false);
            assert!(found.iter().all(|(hold, _)| *hold == REFUSED));
        }
    }

    #[test]
    fn an_image_that_a_node_has_run_is_known_when_that_node_is_gone() {
        let had = Mutex::default();
        // Nobody waits for it then.
        assert!(told_to(&had, &[runs("old", "x:v1")], false).is_empty());
        let (hold, finding) = told_to(&had, &[waits("other")], false).remove(0);
        assert_eq!((hold, finding.evidence.len()), (REFUSED_TO_ONE, 1));
    }

    #[test]
    fn core_dns_is_judged_only_after_the_control_plane_had_its_chance_to_move_it() {
        assert!(told(&[waits("kube-dns")], true).is_empty());
        // The nodes of before have its image of before: that makes nothing of it better.
        for pods in [
            vec![waits("kube-dns")],
            vec![runs("old", "x:v1"), waits("kube-dns")],
        ] {
            let (hold, finding) = told(&pods, false).remove(0);
            assert_eq!(
                (hold, finding.cause.as_str()),
                (REFUSED, "coredns-image-missing")
            );
            assert!(finding.message.contains("dns.imageTag"));
        }
    }

    #[test]
    fn kube_proxy_is_waited_for_until_all_machines_are_replaced_where_a_node_has_its_image() {
        let moved = [runs("old", "x:v1"), waits("kube-proxy")];
        assert_eq!(told(&moved, true)[0].0, REFUSED_TO_SOME);
        assert_eq!(told(&moved, false)[0].0, REFUSED_TO_SOME);
        assert_eq!(told(&[waits("kube-proxy")], true)[0].0, REFUSED);
    }

    #[test]
    fn each_image_of_a_pod_has_its_own_time_issue_7() {
        let (had, pods) = (Mutex::default(), [waits("other")]);
        let key = |clues: Vec<Clue>| clues[0].key();
        let unknown = key(refused(&pods, &had, false));
        let known = key(refused(&[runs("old", "x:v1"), waits("other")], &had, false));
        assert_ne!(unknown, known);
    }
}
