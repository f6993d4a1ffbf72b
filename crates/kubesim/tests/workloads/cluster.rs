//! Clusters that run, for tests of workloads.

use std::sync::Arc;
use std::time::Duration;

use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::registry::Write;
use kubesim::resource::builtin::{NODES, PODS};
use kubesim::{Cluster, GroupResource, Options, Simulation, controllers};
use serde_json::{Value, json};

/// A version that is there.
pub const VERSION: &str = "v1.35.0";

/// A cluster of a control plane and so many workers, with kindnet; nothing has run yet.
pub fn start(workers: usize) -> (Simulation, Cluster) {
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("demo", controllers::all());
    let first = NodeSpec::new("control-1", Role::ControlPlane, VERSION);
    kubeadm::init(&cluster, &Init::new(first)).unwrap();
    for number in 1..=workers {
        join(&cluster, &format!("worker-{number}"));
    }
    (simulation, cluster)
}

/// Another worker.
pub fn join(cluster: &Cluster, name: &str) {
    kubeadm::join(cluster, &NodeSpec::new(name, Role::Worker, VERSION)).unwrap();
}

/// The same, with a CNI and some time to settle.
pub async fn settled(workers: usize) -> (Simulation, Cluster) {
    let (simulation, cluster) = start(workers);
    create(&cluster, cni("docker.io/kindest/kindnetd:v20251212"));
    pass(60).await;
    (simulation, cluster)
}

/// Lets so many seconds pass.
pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Creates an object of a built-in kind.
#[track_caller]
pub fn create(cluster: &Cluster, object: Value) {
    let of = |field: &str| object[field].as_str().unwrap().to_owned();
    let resource = cluster
        .api()
        .catalogue()
        .of_kind(&of("apiVersion"), &of("kind"))
        .unwrap();
    cluster
        .api()
        .create(&resource.id, object, &Write::by("test"))
        .unwrap();
}

/// An object.
#[track_caller]
pub fn get(cluster: &Cluster, id: &GroupResource, namespace: &str, name: &str) -> Arc<Value> {
    cluster
        .api()
        .get(id, namespace, name)
        .unwrap_or_else(|| panic!("{id} {namespace}/{name} is not there"))
}

/// A DaemonSet that writes a CNI's configuration.
pub fn cni(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "kindnet", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"app": "kindnet"}},
            "template": {
                "metadata": {"labels": {"app": "kindnet"}},
                "spec": {
                    "hostNetwork": true, "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "cni", "image": image, "volumeMounts": [{"name": "cni", "mountPath": "/etc/cni/net.d"}]}],
                    "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}],
                },
            },
        },
    })
}

/// A Deployment of a server with a readiness probe.
pub fn web(replicas: i64, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{
                "name": "web", "image": image, "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 2},
            }]}},
        },
    })
}

/// A pod that runs agnhost to its end.
pub fn agnhost(name: &str, node: &str, args: &[&str]) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": node},
            "dnsConfig": {"options": [{"name": "timeout", "value": "1"}, {"name": "attempts", "value": "2"}]},
            "containers": [{
                "name": "agnhost", "image": "registry.k8s.io/e2e-test-images/agnhost:2.53", "args": args,
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }],
        },
    })
}

/// The pods of a namespace.
pub fn pods(cluster: &Cluster, namespace: &str) -> Vec<Arc<Value>> {
    cluster.api().list(&PODS, Some(namespace))
}

/// The status of an object's condition.
pub fn condition<'v>(object: &'v Value, kind: &str) -> &'v str {
    let conditions = object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten();
    let mut found = conditions.filter(|condition| condition["type"] == kind);
    found
        .next()
        .map_or("", |condition| condition["status"].as_str().unwrap())
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready") == "True"
}

/// The nodes.
pub fn nodes(cluster: &Cluster) -> Vec<Arc<Value>> {
    cluster.api().list(&NODES, None)
}

/// Everything that keeps a cluster from being well, in words.
pub fn troubles(cluster: &Cluster) -> Vec<String> {
    let mut troubles = cluster.failures();
    for node in nodes(cluster) {
        if !is_ready(&node) {
            troubles.push(format!(
                "node {}: {}",
                node["metadata"]["name"], node["status"]["conditions"]
            ));
        }
    }
    for pod in cluster.api().list(&PODS, None) {
        if !is_ready(&pod) && pod["status"]["phase"] != "Succeeded" {
            troubles.push(format!(
                "pod {}: {}",
                pod["metadata"]["name"], pod["status"]
            ));
        }
    }
    troubles
}
