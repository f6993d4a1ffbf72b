//! `control-plane-pods`: each control-plane node runs its static pods, Ready and at the target version.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::checks::judgement::{Judgement, problem, settle};
use crate::checks::surroundings::CONTROL_PLANE;
use crate::checks::{Answer, Native, Parameters, Target, images, needs, pods};
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

const NAME: &str = "control-plane-pods";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(90),
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::PODS],
    run: |target| Box::pin(run(target)),
};

/// A static pod's readiness probe needs some rounds after its container came up.
const SETTLE: Duration = Duration::from_secs(60);
const API_SERVER: &str = "kube-apiserver";
const ETCD: &str = "etcd";
/// Static pods that carry the version of Kubernetes, by their label `component` (kubeadm).
const COMPONENTS: [&str; 3] = [API_SERVER, "kube-controller-manager", "kube-scheduler"];

async fn run(target: &Target<'_>) -> Result<Answer> {
    let watched = [(kinds::NODE, ""), (kinds::POD, "kube-system")];
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        judge(
            target.kubernetes,
            &view.list(&kinds::NODE),
            &view.list(&kinds::POD),
        )
    })
    .await
}

fn judge(version: &str, nodes: &[Arc<Object>], pods: &[Arc<Object>]) -> Judgement {
    let nodes: Vec<_> = nodes
        .iter()
        .filter(|node| node.label(CONTROL_PLANE).is_some())
        .collect();
    let visible = pods
        .iter()
        .any(|pod| pod.label("component") == Some(API_SERVER));
    if nodes.is_empty() && !visible {
        return Judgement::Skip(
            "no control-plane node and no API server pod can be seen: the control plane runs elsewhere".to_owned(),
        );
    }
    let mut problems = Vec::new();
    if nodes.is_empty() {
        let condition = format!("none has the label {CONTROL_PLANE}, though API server pods run");
        problems.push(problem("workload", "Node", "", "(all)", condition));
    }
    for node in &nodes {
        for component in COMPONENTS {
            problems.extend(component_problems(component, Some(version), node, pods));
        }
        if has_local_etcd(find(API_SERVER, node, pods)) {
            problems.extend(component_problems(ETCD, None, node, pods));
        }
    }
    Judgement::unless(problems, || {
        let nodes = super::count(nodes.len(), "node");
        format!("static pods of {nodes} Ready at {version}")
    })
}

fn find<'p>(component: &str, node: &Object, pods: &'p [Arc<Object>]) -> Option<&'p Object> {
    pods.iter()
        .find(|pod| {
            pod.label("component") == Some(component) && pod.str("/spec/nodeName") == node.name()
        })
        .map(AsRef::as_ref)
}

fn component_problems(
    component: &str,
    version: Option<&str>,
    node: &Object,
    pods: &[Arc<Object>],
) -> Vec<Blocker> {
    let Some(pod) = find(component, node, pods) else {
        let name = format!("{component}-{}", node.name());
        return vec![problem("workload", "Pod", "kube-system", &name, "missing")];
    };
    let mut problems = Vec::from_iter(pods::trouble(pod));
    let image = pod.str("/spec/containers/0/image");
    if let Some(version) = version.filter(|version| !images::is_tagged(image, version)) {
        problems.push(pod.blocker(format!("image is {image}, not {version}")));
    }
    problems
}

/// Whether the node's API server keeps its data in an etcd on the same node, as kubeadm does unless
/// told otherwise.
fn has_local_etcd(api_server: Option<&Object>) -> bool {
    let flags = api_server.map_or(&[] as &[Value], |pod| {
        pod.array("/spec/containers/0/command")
    });
    let servers = flags
        .iter()
        .filter_map(Value::as_str)
        .find_map(|flag| flag.strip_prefix("--etcd-servers="));
    servers.is_none_or(|servers| servers.contains("127.0.0.1") || servers.contains("localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{
        control_plane_node, node, pod, problems, with, without_image,
    };
    use serde_json::json;

    fn static_pod(component: &str, tag: &str) -> Arc<Object> {
        let image = format!("registry.k8s.io/{component}:{tag}");
        let pod = pod(&format!("{component}-a"), "a", &image);
        with(
            &pod,
            "/metadata/labels",
            json!({"component": component, "tier": "control-plane"}),
        )
    }

    fn all() -> Vec<Arc<Object>> {
        let mut pods: Vec<_> = COMPONENTS
            .map(|component| static_pod(component, "v1.35.0"))
            .into();
        pods.push(static_pod(ETCD, "3.6.6-0"));
        pods
    }

    fn told(pods: &[Arc<Object>]) -> String {
        let nodes = [control_plane_node("a", "v1.35.0"), node("b", "v1.35.0")];
        problems(&judge("v1.35.0", &nodes, pods))
    }

    #[test]
    fn all_static_pods_ready_at_the_target_version_pass() {
        assert_eq!(told(&all()), "");
    }

    #[test]
    fn a_missing_a_broken_and_an_old_pod_fail() {
        let mut pods = all();
        pods[0] = static_pod(API_SERVER, "v1.34.3");
        pods[1] = without_image(&pods[1]);
        pods.remove(3);
        assert_eq!(
            told(&pods),
            "Pod kube-system/kube-apiserver-a: image is registry.k8s.io/kube-apiserver:v1.34.3, not v1.35.0\n\
             Pod kube-system/kube-controller-manager-a: container main (registry.k8s.io/kube-controller-manager:v1.35.0) waits on node a, ImagePullBackOff: Back-off pulling image\n\
             Pod kube-system/etcd-a: missing"
        );
    }

    #[test]
    fn an_etcd_elsewhere_is_not_expected_here() {
        let mut pods = all();
        pods.remove(3);
        let flags = json!(["kube-apiserver", "--etcd-servers=https://10.0.0.7:2379"]);
        pods[0] = with(&pods[0], "/spec/containers/0/command", flags);
        assert_eq!(told(&pods), "");
        let flags = json!(["kube-apiserver", "--etcd-servers=https://127.0.0.1:2379"]);
        pods[0] = with(&pods[0], "/spec/containers/0/command", flags);
        assert_eq!(told(&pods), "Pod kube-system/etcd-a: missing");
    }

    #[test]
    fn a_control_plane_that_cannot_be_seen_is_not_judged() {
        let workers = [node("b", "v1.35.0")];
        assert!(matches!(
            judge("v1.35.0", &workers, &[]),
            Judgement::Skip(_)
        ));
        assert!(problems(&judge("v1.35.0", &workers, &all())).contains("none has the label"));
    }
}
