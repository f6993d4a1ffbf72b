//! What is spoken at ports, asked by way of the API server, and what namespaces keep out.

use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::registry::Write;
use kubesim::resource::builtin::PODS;
use kubesim::{ApiError, Cluster, Options, Simulation, controllers};
use serde_json::{Value, json};

use crate::cluster::{VERSION, create, pass, settled};

/// Status and words of an answer of `pods/proxy`.
async fn asked(cluster: &Cluster, namespace: &str, target: &str) -> (u16, String) {
    let client = kube::Client::new(cluster.service(), "default");
    let path = format!("/api/v1/namespaces/{namespace}/pods/{target}/proxy/");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    match client.request_text(request).await {
        Ok(text) => (200, text),
        Err(kube::Error::Api(status)) => (status.code, status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_port_is_asked_in_the_clear_or_by_tls() {
    let (_simulation, cluster) = settled(1).await;
    let container = |ports: Value| {
        json!({"name": "main", "image": "registry.k8s.io/e2e-test-images/agnhost:2.53",
            "args": ["netexec", "--http-port=8443"], "ports": ports})
    };
    for (name, ports) in [
        ("plain", json!([{"containerPort": 8443, "name": "http"}])),
        ("secure", json!([{"containerPort": 8443, "name": "https"}])),
    ] {
        create(
            &cluster,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
                "spec": {"containers": [container(ports)]}}),
        );
    }
    pass(60).await;
    for (namespace, target, code, said) in [
        ("default", "plain:8443", 200, ""),
        (
            "default",
            "https:plain:8443",
            503,
            "server gave HTTP response to HTTPS client",
        ),
        ("default", "plain:8444", 503, "connection refused"),
        (
            "default",
            "secure:8443",
            400,
            "HTTP request to an HTTPS server",
        ),
        ("default", "nobody:80", 404, "not found"),
        ("default", "plain:http", 400, "invalid port"),
        (
            "kube-system",
            "https:kube-apiserver-control-1:6443",
            401,
            "Unauthorized",
        ),
        (
            "kube-system",
            "kube-apiserver-control-1:10250",
            400,
            "HTTPS server",
        ),
        ("kube-system", "etcd-control-1:2379", 400, "HTTPS server"),
        (
            "kube-system",
            "kube-scheduler-control-1:10259",
            503,
            "connection refused",
        ),
    ] {
        let answer = asked(&cluster, namespace, target).await;
        assert!(
            answer.0 == code && answer.1.contains(said),
            "{target}: {answer:?}"
        );
    }
}

/// What becomes of a privileged pod in a namespace with a level.
fn privileged(cluster: &Cluster, level: &str) -> Result<(), ApiError> {
    create(
        cluster,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": level,
            "labels": {"pod-security.kubernetes.io/enforce": level}}}),
    );
    let pod = json!({"metadata": {"name": "p", "namespace": level}, "spec": {"containers": [
        {"name": "main", "image": "x", "securityContext": {"privileged": true}}]}});
    let created = cluster.api().create(&PODS, pod, &Write::by("test"));
    created.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_namespace_keeps_out_what_its_level_forbids_unless_the_plugin_is_off() {
    let simulation = Simulation::new(&Options::default());
    for (name, flag, refused) in [("on", "", true), ("off", "PodSecurity", false)] {
        let cluster = simulation.add_cluster(name, controllers::all());
        let mut node = NodeSpec::new("control-1", Role::ControlPlane, VERSION);
        let flags = [("disable-admission-plugins".to_owned(), flag.to_owned())];
        node.extra_args
            .insert("kube-apiserver".to_owned(), flags.into());
        kubeadm::init(&cluster, &Init::new(node)).unwrap();
        pass(30).await;
        privileged(&cluster, "privileged").unwrap();
        for level in ["baseline", "restricted"] {
            let answer = privileged(&cluster, level);
            assert_eq!(answer.is_err(), refused, "{name} {level}");
            if let Err(error) = answer {
                let told = error.to_string();
                let said = format!("violates PodSecurity \"{level}:latest\": privileged");
                assert!(error.code == 403 && told.contains(&said), "{told}");
            }
        }
    }
}
