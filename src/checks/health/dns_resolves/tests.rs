//! Check pods in every state, and the whole check against a cluster that is made up.

use super::*;
use crate::checks::health::fixtures::{node, object, pod, problems, with, without_image};
use crate::checks::world::{World, list, refusal};
use crate::record::Outcome;

/// A check pod on node `a` with this container status.
fn probe(phase: &str, status: Value) -> Probe {
    let pod = object(
        json!({"kind": "Pod", "metadata": {"name": "dns-0", "namespace": "stackgate-check-0"},
        "spec": {"nodeName": "a"},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
            "containerStatuses": [status]}}),
    );
    Probe {
        node: "a".to_owned(),
        pod: Some(pod),
    }
}

fn succeeded() -> Probe {
    probe(
        "Succeeded",
        json!({"state": {"terminated": {"exitCode": 0}}}),
    )
}

fn said(message: &str) -> Probe {
    probe(
        "Running",
        json!({"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"exitCode": 1, "message": message}}}),
    )
}

fn core_dns() -> Arc<Object> {
    let pod = pod("coredns-1", "b", "coredns:v1.12.1");
    with(&pod, "/metadata/labels", json!({"k8s-app": "kube-dns"}))
}

fn told(probe: Probe, dns: &[Arc<Object>]) -> String {
    problems(&judge(&[probe], dns).unwrap())
}

#[test]
fn a_pod_that_succeeds_passes() {
    assert!(succeeded().pending().is_none());
    let judged = judge(&[succeeded(), succeeded()], &[]).unwrap();
    let message = "kubernetes.default.svc is resolved and answers from 2 nodes".to_owned();
    assert_eq!(judged, Judgement::Pass(message));
}

#[test]
fn dead_dns_is_told_with_the_state_of_its_pods() {
    let lookup = "DNS: lookup kubernetes.default.svc on 10.96.0.10:53: read: connection refused\n";
    assert_eq!(
        told(said(lookup), &[without_image(&core_dns()), core_dns()]),
        "Node a: cannot resolve kubernetes.default.svc: DNS: lookup kubernetes.default.svc on 10.96.0.10:53: read: connection refused; \
         1 of 2 cluster DNS pods ready: Pod kube-system/coredns-1: container main (coredns:v1.12.1) waits on node b, ImagePullBackOff\n\
         Pod kube-system/coredns-1: container main (coredns:v1.12.1) waits on node b, ImagePullBackOff: Back-off pulling image"
    );
}

#[test]
fn every_other_way_to_fail_is_told_apart() {
    for (probe, dns, expected) in [
        (
            said("TIMEOUT"),
            vec![core_dns()],
            "Node a: resolves kubernetes.default.svc, but cannot reach it: TIMEOUT; 1 of 1 cluster DNS pod ready",
        ),
        (
            said(""),
            vec![],
            "Node a: the check pod failed: without a word; there is no cluster DNS pod (kube-system, k8s-app=kube-dns)",
        ),
        (
            probe(
                "Pending",
                json!({"name": "agnhost", "image": "t", "state": {"waiting": {"reason": "ContainerCreating"}}}),
            ),
            vec![core_dns()],
            "Node a: the check pod does not run: Pod stackgate-check-0/dns-0: Ready False on node a, ContainersNotReady; 1 of 1 cluster DNS pod ready",
        ),
        (
            Probe {
                node: "a".to_owned(),
                pod: None,
            },
            vec![core_dns()],
            "Node a: the check pod does not run: ; 1 of 1 cluster DNS pod ready",
        ),
    ] {
        assert_eq!(told(probe, &dns), expected);
    }
}

#[test]
fn a_pod_whose_own_image_is_missing_is_not_judged_unless_another_says_more() {
    let missing = || {
        probe(
            "Pending",
            json!({"name": "agnhost", "image": "tools:v1", "state": {"waiting": {"reason": "ErrImagePull"}}}),
        )
    };
    let error = judge(&[missing(), succeeded()], &[])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("the check pod's own image is not to be had: Pod stackgate-check-0/dns-0: container agnhost (tools:v1) waits"), "{error}");
    let judged = judge(&[missing(), said("DNS: no")], &[core_dns()]).unwrap();
    assert!(problems(&judged).contains("cannot resolve"));
}

#[test]
fn only_the_second_failed_attempt_ends_the_asking() {
    let first = probe(
        "Running",
        json!({"restartCount": 0, "state": {"terminated": {"exitCode": 1}}}),
    );
    assert!(first.pending().is_some());
    let second = probe(
        "Running",
        json!({"restartCount": 1, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1}}}),
    );
    assert!(second.pending().is_some());
    assert!(said("DNS: no").pending().is_none());
    assert!(
        Probe {
            node: "a".to_owned(),
            pod: None
        }
        .pending()
        .is_some()
    );
}

#[test]
fn pods_are_sent_to_nodes_that_take_any_or_else_to_all() {
    let node = |name: &str, spec: Value| with(&node(name, "v1"), "/spec", spec);
    let tainted = || {
        node(
            "cp",
            json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}),
        )
    };
    let preferred = node(
        "a",
        json!({"taints": [{"key": "x", "effect": "PreferNoSchedule"}]}),
    );
    let cordoned = node("b", json!({"unschedulable": true}));
    assert_eq!(
        hosts(&[tainted(), preferred, cordoned]),
        (vec!["a".to_owned()], false)
    );
    assert_eq!(hosts(&[tainted()]), (vec!["cp".to_owned()], true));
}

/// A cluster whose check pod says `message`.
fn world(message: &'static str) -> World {
    // Where the check pod was created.
    let created = std::sync::Mutex::new(String::new());
    World::new(move |method, path| {
        let path = path.split('?').next().unwrap_or_default();
        match (method, path) {
            ("GET", "/api/v1/nodes") => {
                list("NodeList", json!([{"metadata": {"name": "a"}, "spec": {}}]))
            }
            ("GET", "/api/v1/pods") => {
                let mut pod = said(message).pod.unwrap().json.clone();
                pod["metadata"]["namespace"] = created.lock().unwrap().clone().into();
                list("PodList", json!([core_dns().json, pod]))
            }
            ("POST", path) if path.ends_with("/pods") => {
                *created.lock().unwrap() = path.split('/').nth(4).unwrap().to_owned();
                (200, json!({"metadata": {"name": "x"}}))
            }
            ("POST" | "DELETE", _) => (200, json!({"metadata": {"name": "x"}})),
            _ => refusal(404, "NotFound"),
        }
    })
}

#[tokio::test(start_paused = true)]
async fn the_check_asks_from_its_own_namespace_and_removes_it() {
    let world = world("DNS: no such host");
    let answer = run(&world.target()).await.unwrap();
    assert_eq!(answer.outcome, Outcome::Fail);
    assert_eq!(
        answer.message,
        "Node a: cannot resolve kubernetes.default.svc: DNS: no such host; 1 of 1 cluster DNS pod ready"
    );
    let changed: Vec<String> = world
        .requests()
        .into_iter()
        .filter(|request| !request.starts_with("GET") && !request.contains("accessreview"))
        .collect();
    let methods: Vec<&str> = changed
        .iter()
        .filter_map(|request| request.split(' ').next())
        .collect();
    assert_eq!(methods, ["POST", "POST", "POST", "DELETE"]);
    assert!(
        changed[0].starts_with("POST /api/v1/namespaces?"),
        "{changed:?}"
    );
    assert!(
        changed[3].starts_with("DELETE /api/v1/namespaces/stackgate-check-"),
        "{changed:?}"
    );
}
