//! Nodes and workloads: what runs, what rolls, what fails.

use crate::cluster::{
    agnhost, condition, create, get, is_ready, nodes, pass, pods, settled, start, troubles, web,
};
use kubesim::registry::Deletion;
use kubesim::resource::builtin::{
    DAEMON_SETS, DEPLOYMENTS, ENDPOINT_SLICES, EVENTS, NODES, PODS, REPLICA_SETS,
};
use serde_json::json;

#[tokio::test(start_paused = true)]
async fn without_a_cni_no_node_becomes_ready() {
    let (_simulation, cluster) = start(1);
    pass(120).await;
    for node in nodes(&cluster) {
        let ready = node["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|c| c["type"] == "Ready")
            .unwrap();
        assert_eq!(ready["status"], "False");
        assert!(
            ready["message"]
                .as_str()
                .unwrap()
                .contains("reason:NetworkPluginNotReady"),
            "{ready}"
        );
        assert!(
            node["spec"]["taints"]
                .to_string()
                .contains("node.kubernetes.io/not-ready")
        );
    }
    let dns: Vec<_> = pods(&cluster, "kube-system")
        .into_iter()
        .filter(|pod| pod["metadata"]["labels"]["k8s-app"] == "kube-dns")
        .collect();
    assert_eq!(dns.len(), 2);
    for pod in dns {
        assert_eq!(
            condition(&pod, "PodScheduled"),
            "False",
            "{}",
            pod["status"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_with_a_cni_becomes_ready_in_full() {
    let (_simulation, cluster) = settled(2).await;
    assert_eq!(troubles(&cluster), Vec::<String>::new());
    assert_eq!(nodes(&cluster).len(), 3);
    for component in [
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        let pod = get(
            &cluster,
            &PODS,
            "kube-system",
            &format!("{component}-control-1"),
        );
        assert_eq!(pod["metadata"]["labels"]["tier"], "control-plane");
        assert_eq!(pod["metadata"]["labels"]["component"], component);
    }
    let proxy = get(&cluster, &DAEMON_SETS, "kube-system", "kube-proxy");
    assert_eq!(proxy["status"]["numberAvailable"], 3);
    assert_eq!(proxy["status"]["updatedNumberScheduled"], 3);
    let dns = get(&cluster, &DEPLOYMENTS, "kube-system", "coredns");
    assert_eq!(
        dns["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.k8s.io/coredns/coredns:v1.13.1"
    );
    assert_eq!(dns["status"]["availableReplicas"], 2);
    assert_eq!(condition(&dns, "Progressing"), "True");
    let api = get(&cluster, &ENDPOINT_SLICES, "default", "kubernetes");
    assert_eq!(api["endpoints"][0]["conditions"]["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_keeps_to_its_budget_at_every_moment() {
    let (_simulation, cluster) = settled(2).await;
    create(&cluster, web(8, "example.org/web:v1"));
    pass(60).await;
    let deployment = get(&cluster, &DEPLOYMENTS, "default", "web");
    assert_eq!(
        deployment["status"]["availableReplicas"], 8,
        "{}",
        deployment["status"]
    );
    let changed = cluster
        .api()
        .modify(&DEPLOYMENTS, "default", "web", "test", |deployment| {
            deployment["spec"]["template"]["spec"]["containers"][0]["image"] =
                json!("example.org/web:v2");
        });
    let generation = changed.unwrap().value["metadata"]["generation"]
        .as_i64()
        .unwrap();
    let (mut least, mut most, mut moved) = (8, 0, false);
    for _ in 0..600 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let all = pods(&cluster, "default");
        let active = all
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let ready = active.clone().filter(|pod| is_ready(pod)).count();
        least = least.min(ready);
        most = most.max(active.count());
        let deployment = get(&cluster, &DEPLOYMENTS, "default", "web");
        moved |= deployment["status"]["updatedReplicas"].as_i64() < Some(8);
        if deployment["status"]["observedGeneration"] == generation
            && moved
            && deployment["status"]["updatedReplicas"] == 8
            && deployment["status"]["replicas"] == 8
            && deployment["status"]["availableReplicas"] == 8
        {
            break;
        }
    }
    // 25 % of eight are two, either way.
    assert!(least >= 6, "only {least} were available");
    assert!(most <= 10 && most > 8, "{most} were there");
    let all = pods(&cluster, "default");
    let live: Vec<_> = all
        .iter()
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .collect();
    assert_eq!(live.len(), 8);
    assert!(
        live.iter().all(
            |pod| pod["spec"]["containers"][0]["image"] == "example.org/web:v2" && is_ready(pod)
        )
    );
    let deployment = get(&cluster, &DEPLOYMENTS, "default", "web");
    assert_eq!(
        deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "2"
    );
    let reasons = deployment["status"]["conditions"].to_string();
    assert!(reasons.contains("NewReplicaSetAvailable"), "{reasons}");
    let sets = cluster.api().list(&REPLICA_SETS, Some("default"));
    assert_eq!(sets.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_is_not_there_is_told_and_never_available() {
    let (simulation, cluster) = settled(1).await;
    simulation.images().remove("example.org/web:v9");
    let mut web = web(1, "example.org/web:v9");
    web["spec"]["progressDeadlineSeconds"] = json!(60);
    create(&cluster, web);
    let mut reasons = std::collections::BTreeSet::new();
    for _ in 0..90 {
        pass(1).await;
        for pod in pods(&cluster, "default") {
            let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
            reasons.insert(waiting["reason"].as_str().unwrap_or_default().to_owned());
        }
    }
    for reason in ["ContainerCreating", "ErrImagePull", "ImagePullBackOff"] {
        assert!(reasons.contains(reason), "{reasons:?}");
    }
    let deployment = get(&cluster, &DEPLOYMENTS, "default", "web");
    assert_eq!(condition(&deployment, "Available"), "False");
    assert_eq!(condition(&deployment, "Progressing"), "False");
    assert!(
        deployment["status"]["conditions"]
            .to_string()
            .contains("ProgressDeadlineExceeded")
    );
    let events = cluster.api().list(&EVENTS, Some("default"));
    let failed = events
        .iter()
        .find(|event| {
            event["reason"] == "Failed" && event["message"].as_str().unwrap().contains("not found")
        })
        .unwrap();
    assert!(
        failed["count"].as_i64() > Some(1) && failed["type"] == "Warning",
        "{failed}"
    );
    simulation.images().restore("example.org/web:v9");
    pass(120).await;
    let deployment = get(&cluster, &DEPLOYMENTS, "default", "web");
    assert_eq!(
        condition(&deployment, "Available"),
        "True",
        "{}",
        deployment["status"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_is_left_and_the_pods_come_elsewhere() {
    let (_simulation, cluster) = settled(2).await;
    create(&cluster, web(4, "example.org/web:v1"));
    pass(30).await;
    cluster
        .api()
        .modify(&NODES, "", "worker-1", "test", |node| {
            node["spec"]["unschedulable"] = json!(true)
        })
        .unwrap();
    let on = |node: &str| -> Vec<String> {
        let here = pods(&cluster, "default");
        let here = here.iter().filter(|pod| pod["spec"]["nodeName"] == node);
        here.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!((on("worker-1").len(), on("worker-2").len()), (2, 2));
    for pod in on("worker-1") {
        cluster
            .api()
            .delete(&PODS, "default", &pod, &Deletion::default())
            .unwrap();
    }
    pass(30).await;
    assert_eq!((on("worker-1").len(), on("worker-2").len()), (0, 4));
    assert_eq!(troubles(&cluster), Vec::<String>::new());
    kubesim::kubeadm::leave(&cluster, "worker-1").unwrap();
    pass(120).await;
    assert_eq!(cluster.store().on_node("worker-1").len(), 0);
    assert_eq!(troubles(&cluster), Vec::<String>::new());
}

/// What the check pod of cluster DNS says, on a worker.
async fn connect(cluster: &kubesim::Cluster, name: &str, to: &str) -> (String, String) {
    create(
        cluster,
        agnhost(name, "worker-1", &["connect", "--timeout=5s", to]),
    );
    pass(40).await;
    let pod = get(cluster, &PODS, "default", name);
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    (
        pod["status"]["phase"].as_str().unwrap().to_owned(),
        ended["message"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test(start_paused = true)]
async fn names_are_resolved_while_cluster_dns_runs_and_services_answer() {
    let (_simulation, cluster) = settled(1).await;
    assert_eq!(
        connect(&cluster, "one", "kubernetes.default.svc:443").await,
        ("Succeeded".to_owned(), String::new())
    );
    assert_eq!(
        connect(&cluster, "two", "kubernetes.default.svc:444").await,
        ("Failed".to_owned(), "TIMEOUT\n".to_owned())
    );
    let (phase, said) = connect(&cluster, "three", "nobody.default.svc:443").await;
    assert_eq!(
        (phase.as_str(), said.as_str()),
        (
            "Failed",
            "DNS: lookup nobody.default.svc on 10.96.0.10:53: no such host\n"
        )
    );
    cluster
        .api()
        .modify(&DEPLOYMENTS, "kube-system", "coredns", "test", |dns| {
            dns["spec"]["replicas"] = json!(0)
        })
        .unwrap();
    pass(30).await;
    let (phase, said) = connect(&cluster, "four", "kubernetes.default.svc:443").await;
    assert_eq!(phase, "Failed");
    assert!(
        said.starts_with("DNS: lookup kubernetes.default.svc on 10.96.0.10:53:"),
        "{said}"
    );
}
