//! Jobs, StatefulSets, volumes and policies.

use crate::cluster::{
    agnhost, cni, condition, create, get, is_ready, join, pass, pods, settled, start, troubles,
};
use kubesim::registry::Deletion;
use kubesim::resource::builtin::{
    DAEMON_SETS, EVENTS, JOBS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STATEFUL_SETS,
};
use kubesim::{Cluster, Fault};
use serde_json::{Value, json};

fn job(name: &str, image: &str, limit: i64) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "completions": 3, "parallelism": 2, "backoffLimit": limit, "ttlSecondsAfterFinished": 100,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "work", "image": image}]}},
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_job_succeeds_as_often_as_it_is_asked_to_and_goes_when_its_time_is_over() {
    let (_simulation, cluster) = settled(1).await;
    create(&cluster, job("good", "example.org/work:v1", 2));
    let mut most = 0;
    for _ in 0..300 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let all = pods(&cluster, "default");
        most = most.max(
            all.iter()
                .filter(|pod| pod["status"]["phase"] != "Succeeded")
                .count(),
        );
    }
    let good = get(&cluster, &JOBS, "default", "good");
    assert_eq!(condition(&good, "Complete"), "True", "{}", good["status"]);
    assert_eq!((good["status"]["succeeded"].as_i64(), most), (Some(3), 2));
    pass(120).await;
    assert!(cluster.api().get(&JOBS, "default", "good").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_pods_fail_gives_up_at_its_limit() {
    let (simulation, cluster) = settled(1).await;
    simulation.programs().install(
        "crash",
        std::sync::Arc::new(kubesim::kubelet::program::Crashing {
            after: std::time::Duration::from_secs(1),
            code: 3,
            said: "no luck".to_owned(),
        }),
    );
    create(&cluster, job("bad", "example.org/crash:v1", 1));
    pass(60).await;
    let bad = get(&cluster, &JOBS, "default", "bad");
    assert_eq!(condition(&bad, "Failed"), "True", "{}", bad["status"]);
    assert!(
        bad["status"]["conditions"]
            .to_string()
            .contains("BackoffLimitExceeded")
    );
    let failed = pods(&cluster, "default");
    assert!(
        failed.iter().any(
            |pod| pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
        )
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_crashes_is_told_to_loop() {
    let (simulation, cluster) = settled(1).await;
    simulation.programs().install(
        "crash",
        std::sync::Arc::new(kubesim::kubelet::program::Crashing {
            after: std::time::Duration::from_secs(1),
            code: 1,
            said: "cannot go on".to_owned(),
        }),
    );
    create(&cluster, crate::cluster::web(1, "example.org/crash:v1"));
    pass(60).await;
    let all = pods(&cluster, "default");
    let status = &all[0]["status"]["containerStatuses"][0];
    assert_eq!(
        status["state"]["waiting"]["reason"], "CrashLoopBackOff",
        "{status}"
    );
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    assert!(status["restartCount"].as_i64() >= Some(2), "{status}");
    let name = all[0]["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        &*cluster.logs().current("default", name, "web")[0].text,
        "cannot go on"
    );
    let events = cluster.api().list(&EVENTS, Some("default"));
    assert!(
        events
            .iter()
            .any(|event| event["reason"] == "BackOff" && event["type"] == "Warning")
    );
}

fn class(mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "rancher.io/local-path", "volumeBindingMode": mode, "reclaimPolicy": "Delete",
    })
}

fn database() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": 3, "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{
                "name": "db", "image": "example.org/db:v1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_starts_in_order_and_updates_from_the_top_with_its_volumes() {
    let (_simulation, cluster) = settled(2).await;
    create(&cluster, class("WaitForFirstConsumer"));
    create(&cluster, database());
    let mut seen = Vec::new();
    for _ in 0..600 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for number in 0..3 {
            let name = format!("db-{number}");
            let Some(pod) = cluster.api().get(&PODS, "default", &name) else {
                continue;
            };
            if is_ready(&pod) && !seen.contains(&name) {
                seen.push(name);
            } else if number > 0 {
                assert!(
                    seen.contains(&format!("db-{}", number - 1)),
                    "{name} did not wait"
                );
            }
        }
    }
    assert_eq!(seen, ["db-0", "db-1", "db-2"]);
    let claim = get(&cluster, &PERSISTENT_VOLUME_CLAIMS, "default", "data-db-1");
    assert_eq!(claim["status"]["phase"], "Bound");
    let volume = claim["spec"]["volumeName"].as_str().unwrap().to_owned();
    cluster.machines().write_file(&volume, "/kept", "yes");
    let changed = cluster
        .api()
        .modify(&STATEFUL_SETS, "default", "db", "test", |set| {
            set["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example.org/db:v2");
        });
    changed.unwrap();
    let mut order = Vec::new();
    for _ in 0..900 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        for pod in pods(&cluster, "default") {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            if pod["spec"]["containers"][0]["image"] == "example.org/db:v2"
                && !order.contains(&name)
            {
                order.push(name);
            }
        }
    }
    assert_eq!(order, ["db-2", "db-1", "db-0"]);
    let set = get(&cluster, &STATEFUL_SETS, "default", "db");
    assert_eq!(
        set["status"]["currentRevision"],
        set["status"]["updateRevision"]
    );
    assert_eq!(set["status"]["availableReplicas"], 3);
    let pod = get(&cluster, &PODS, "default", "db-1");
    let volume_node = get(&cluster, &PERSISTENT_VOLUMES, "", &volume);
    assert!(
        volume_node["spec"]["nodeAffinity"]
            .to_string()
            .contains(pod["spec"]["nodeName"].as_str().unwrap())
    );
    assert_eq!(
        cluster.machines().read_file(&volume, "/kept").as_deref(),
        Some("yes")
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_volume_is_seen_by_who_reads_it_and_by_its_claim() {
    let (simulation, cluster) = settled(1).await;
    create(&cluster, class("Immediate"));
    create(
        &cluster,
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}),
    );
    let task = |name: &str, flag: &str| {
        let mut pod = agnhost(name, "worker-1", &["mounttest", flag]);
        pod["spec"]["containers"][0]["volumeMounts"] =
            json!([{"name": "data", "mountPath": "/data"}]);
        pod["spec"]["volumes"] =
            json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
        pod
    };
    create(&cluster, task("writer", "--new_file_0644=/data/file"));
    pass(20).await;
    create(&cluster, task("reader", "--file_content=/data/file"));
    pass(20).await;
    assert_eq!(
        get(&cluster, &PODS, "default", "reader")["status"]["phase"],
        "Succeeded"
    );
    assert_eq!(
        &*cluster.logs().current("default", "reader", "agnhost")[0].text,
        "content of file \"/data/file\": mount-tester new file\n"
    );
    simulation.faults().inject(Fault::VolumeLost);
    cluster
        .api()
        .delete(&PODS, "default", "writer", &Deletion::default())
        .unwrap();
    pass(20).await;
    assert_eq!(
        get(&cluster, &PERSISTENT_VOLUME_CLAIMS, "default", "data")["status"]["phase"],
        "Lost"
    );
    create(&cluster, task("late", "--file_content=/data/file"));
    pass(20).await;
    assert_eq!(
        condition(&get(&cluster, &PODS, "default", "late"), "PodScheduled"),
        "False"
    );
}

/// Whether a check pod reaches a port of the server at an address.
async fn reaches(cluster: &Cluster, name: &str, node: &str, to: &str) -> bool {
    create(
        cluster,
        agnhost(name, node, &["connect", "--timeout=5s", to]),
    );
    pass(20).await;
    let pod = get(cluster, &PODS, "default", name);
    pod["status"]["phase"] == "Succeeded"
}

fn deny() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "default"},
        "spec": {"podSelector": {"matchLabels": {"app": "server"}}, "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}], "ports": [{"port": 8080}]}]},
    })
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_enforced_by_a_cni_that_does_and_not_on_a_node_with_a_gap() {
    let (simulation, cluster) = settled(1).await;
    create(&cluster, agnhost("server", "worker-1", &["netexec"]));
    pass(20).await;
    let address = get(&cluster, &PODS, "default", "server")["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    let to = format!("{address}:8080");
    assert!(reaches(&cluster, "before", "worker-1", &to).await);
    assert!(!reaches(&cluster, "closed", "worker-1", &format!("{address}:8090")).await);
    create(&cluster, deny());
    assert!(!reaches(&cluster, "foe", "worker-1", &to).await);
    let foe = get(&cluster, &PODS, "default", "foe");
    assert_eq!(
        foe["status"]["containerStatuses"][0]["state"]["terminated"]["message"],
        "TIMEOUT\n"
    );
    assert!(reaches(&cluster, "friend", "worker-1", &to).await);
    simulation.faults().inject(Fault::PolicyGap);
    join(&cluster, "worker-2");
    pass(30).await;
    create(&cluster, agnhost("server-2", "worker-2", &["netexec"]));
    pass(20).await;
    cluster
        .api()
        .modify(&PODS, "default", "server-2", "test", |pod| {
            pod["metadata"]["labels"]["app"] = json!("server")
        })
        .unwrap();
    let gap = get(&cluster, &PODS, "default", "server-2")["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(reaches(&cluster, "foe-2", "worker-1", &format!("{gap}:8080")).await);
    assert!(!reaches(&cluster, "foe-3", "worker-1", &to).await);
}

#[tokio::test(start_paused = true)]
async fn agents_that_are_more_than_a_minor_version_apart_lose_what_is_sent_between_their_nodes() {
    let agent = |version: &str| {
        let mut set = cni(&format!("quay.io/cilium/cilium:{version}"));
        let container = &mut set["spec"]["template"]["spec"]["containers"][0];
        container["readinessProbe"] = json!({"httpGet": {"path": "/healthz", "port": 9879}});
        set
    };
    for (next, skips) in [("v1.17.9", false), ("v1.18.9", true)] {
        let (simulation, cluster) = start(2);
        create(&cluster, agent("v1.16.6"));
        pass(60).await;
        create(&cluster, agnhost("server", "worker-1", &["netexec"]));
        pass(20).await;
        let server = get(&cluster, &PODS, "default", "server");
        let to = format!("{}:8080", server["status"]["podIP"].as_str().unwrap());
        assert!(reaches(&cluster, "before", "worker-2", &to).await);
        simulation.faults().inject(Fault::CniStepSkipped);
        cluster
            .api()
            .modify(&DAEMON_SETS, "kube-system", "kindnet", "test", |set| {
                set["spec"] = agent(next)["spec"].clone();
            })
            .unwrap();
        // Three agents of a minute each, one after the other.
        let mut lost = 0;
        for number in 0..10 {
            let name = format!("meanwhile-{number}");
            lost += u32::from(!reaches(&cluster, &name, "worker-2", &to).await);
        }
        assert_eq!(lost > 0, skips, "{next}: {lost} lost");
        assert_eq!(
            simulation.faults().has_happened(Fault::CniStepSkipped),
            skips
        );
        assert!(reaches(&cluster, "after", "worker-2", &to).await, "{next}");
    }
}

#[tokio::test(start_paused = true)]
async fn flannel_does_not_enforce_policies() {
    let (_simulation, cluster) = start(1);
    create(&cluster, cni("ghcr.io/flannel-io/flannel:v0.27.0"));
    pass(60).await;
    create(&cluster, agnhost("server", "worker-1", &["netexec"]));
    create(&cluster, deny());
    pass(20).await;
    let address = get(&cluster, &PODS, "default", "server")["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(reaches(&cluster, "foe", "worker-1", &format!("{address}:8080")).await);
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_is_tainted_and_its_pods_are_evicted_in_time() {
    let (_simulation, cluster) = settled(2).await;
    create(&cluster, crate::cluster::web(2, "example.org/web:v1"));
    pass(30).await;
    cluster.machines().stop_kubelet("worker-1");
    pass(120).await;
    let node = get(&cluster, &kubesim::resource::builtin::NODES, "", "worker-1");
    assert_eq!(condition(&node, "Ready"), "Unknown");
    assert!(
        node["spec"]["taints"]
            .to_string()
            .contains("node.kubernetes.io/unreachable")
    );
    pass(400).await;
    let all = pods(&cluster, "default");
    let well = all
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == "worker-2" && is_ready(pod))
        .count();
    assert_eq!(well, 2);
    assert!(all.iter().any(|pod| pod["spec"]["nodeName"] == "worker-1"
        && pod["metadata"]["deletionTimestamp"].is_string()));
    cluster.machines().start_kubelet("worker-1");
    pass(60).await;
    assert_eq!(troubles(&cluster), Vec::<String>::new());
    assert_eq!(pods(&cluster, "default").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_the_fault_never_becomes_ready_and_one_without_labels_has_none() {
    let (simulation, cluster) = settled(1).await;
    simulation.faults().inject(Fault::WorkerNeverReady);
    join(&cluster, "worker-2");
    simulation.faults().clear(Fault::WorkerNeverReady);
    pass(120).await;
    let node = get(&cluster, &kubesim::resource::builtin::NODES, "", "worker-2");
    assert_eq!(condition(&node, "Ready"), "False");
    kubesim::kubeadm::leave(&cluster, "worker-1").unwrap();
    simulation.faults().inject(Fault::NodeLosesLabels);
    let mut spec = kubesim::kubeadm::NodeSpec::new(
        "worker-3",
        kubesim::kubeadm::Role::Worker,
        crate::cluster::VERSION,
    );
    spec.labels.insert("team".to_owned(), "blue".to_owned());
    kubesim::kubeadm::join(&cluster, &spec).unwrap();
    let node = get(&cluster, &kubesim::resource::builtin::NODES, "", "worker-3");
    assert!(node["metadata"]["labels"]["team"].is_null());
}
