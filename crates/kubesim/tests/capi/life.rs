//! A Cluster from a ClusterClass: made, moved to the next release part by part, deleted.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::lab::{Lab, SPACE, VERSIONS, changes, class, condition, create, to_next, until};
use kubesim::capi::{self, kinds};
use kubesim::resource::builtin::{CONFIG_MAPS, DAEMON_SETS, NODES, SECRETS};
use kubesim::store::Change;
use serde_json::{Value, json};

fn names(objects: &[Arc<Value>]) -> BTreeSet<String> {
    let name = |object: &Arc<Value>| object["metadata"]["name"].as_str().unwrap().to_owned();
    objects.iter().map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_of_a_class_gets_nodes_that_are_ready_once_there_is_a_cni() {
    let lab = Lab::new(&capi::Options::default()).await;
    let begin = tokio::time::Instant::now();
    create(&lab.management, crate::lab::cluster(1, &[("md-0", 1)]))
        .await
        .unwrap();
    until("two nodes", || {
        lab.workload()
            .is_some_and(|workload| workload.api().list(&NODES, None).len() == 2)
    })
    .await;
    let workload = lab.workload().unwrap();
    let machines = lab.list(&kinds::MACHINES);
    until("Machines see that their nodes have no network", || {
        let machines = lab.list(&kinds::MACHINES);
        machines.iter().all(|machine| {
            condition(machine, "NodeHealthy")
                .2
                .contains("cni plugin not initialized")
        })
    })
    .await;
    assert_eq!(lab.condition("Available").0, "False");
    create(&workload, crate::lab::cni()).await.unwrap();
    lab.arrived(VERSIONS[0]).await;
    let took = begin.elapsed().as_secs();
    assert!((30..150).contains(&took), "took {took} s");

    let cluster = lab.cluster();
    assert_eq!(cluster["status"]["phase"], "Provisioned");
    assert_eq!(
        cluster["status"]["initialization"],
        json!({"infrastructureProvisioned": true, "controlPlaneInitialized": true})
    );
    assert_eq!(
        cluster["spec"]["topology"]["variables"][0]["value"],
        json!(["localhost", "127.0.0.1"])
    );
    assert_eq!(lab.condition("TopologyReconciled").1, "ReconcileSucceeded");
    assert_eq!(lab.condition("RemoteConnectionProbe").1, "ProbeSucceeded");
    assert!(
        cluster["metadata"]["annotations"]
            .get(kinds::PENDING_HOOKS)
            .is_none()
    );
    // What was patched arrives at the control plane.
    let plane = &lab.list(&kinds::CONTROL_PLANES)[0];
    assert_eq!(
        plane["spec"]["kubeadmConfigSpec"]["clusterConfiguration"]["apiServer"]["certSANs"],
        json!(["localhost", "127.0.0.1"])
    );
    for field in [
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "upToDateReplicas",
    ] {
        assert_eq!(plane["status"][field], 1, "{field}");
    }
    assert_eq!(names(&machines), names(&workload.api().list(&NODES, None)));
    let secret = lab
        .management
        .api()
        .get(&SECRETS, SPACE, "c1-kubeconfig")
        .unwrap();
    assert_eq!(secret["type"], "cluster.x-k8s.io/secret");
    for secret in ["c1-ca", "c1-etcd", "c1-proxy", "c1-sa"] {
        assert!(
            lab.management.api().get(&SECRETS, SPACE, secret).is_some(),
            "{secret}"
        );
    }
    assert!(
        workload
            .api()
            .get(&CONFIG_MAPS, "kube-system", "kubeadm-config")
            .is_some()
    );
}

/// Names with versions in the order in which objects got them.
fn versions(
    changes: &[Arc<Change>],
    resource: &kubesim::GroupResource,
    pointer: &str,
) -> Vec<(u64, String, String)> {
    let mut seen: Vec<(u64, String, String)> = Vec::new();
    for change in changes.iter().filter(|change| change.resource == *resource) {
        let object = &change.object.value;
        let version = object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = object["metadata"]["name"].as_str().unwrap();
        let known = seen
            .iter()
            .rev()
            .find(|(_, of, _)| of == name)
            .map(|(_, _, version)| version.as_str());
        if known != Some(version) {
            seen.push((change.revision(), name.to_owned(), version.to_owned()));
        }
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_moves_the_control_plane_first_and_then_one_deployment_at_a_time() {
    let lab = Lab::new(&capi::Options::default()).await;
    let workload = lab.settled(1, &[("a", 1), ("b", 1)]).await;
    let before = names(&lab.list(&kinds::MACHINES));
    let mut observer = lab.management.store().observe();
    let proxy = || {
        let proxy = workload
            .api()
            .get(&DAEMON_SETS, "kube-system", "kube-proxy")
            .unwrap();
        let containers = &proxy["spec"]["template"]["spec"]["containers"];
        containers[0]["image"].as_str().unwrap().to_owned()
    };
    let begin = tokio::time::Instant::now();
    lab.patch(to_next()).await.unwrap();
    until("the upgrade has begun", || {
        lab.condition("TopologyReconciled").1 == "ClusterUpgrading"
    })
    .await;
    let told = lab.condition("TopologyReconciled").2;
    assert!(told.starts_with("Cluster is upgrading to v1.35.0\n  * KubeadmControlPlane upgrading to version v1.35.0\n  * MachineDeployments c1-a-"), "{told}");
    assert!(
        told.ends_with("pending upgrade to version v1.35.0"),
        "{told}"
    );
    // What belongs to the cluster as a whole is moved when no control plane of before is left.
    until("a node is new", || {
        let nodes = workload.api().list(&NODES, None);
        nodes
            .iter()
            .any(|node| node["status"]["nodeInfo"]["kubeletVersion"] == VERSIONS[1])
    })
    .await;
    assert!(proxy().ends_with(VERSIONS[0]), "{}", proxy());
    lab.arrived(VERSIONS[1]).await;
    let took = begin.elapsed().as_secs();
    assert!((60..400).contains(&took), "took {took} s");

    assert!(
        before.is_disjoint(&names(&lab.list(&kinds::MACHINES))),
        "every Machine is replaced"
    );
    let changes = changes(&mut observer);
    let asked = versions(
        &changes,
        &kinds::MACHINE_DEPLOYMENTS,
        "/spec/template/spec/version",
    );
    let asked: Vec<_> = asked
        .iter()
        .filter(|(.., version)| version == VERSIONS[1])
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    let reached = versions(&changes, &kinds::CONTROL_PLANES, "/status/version");
    let plane = reached
        .iter()
        .find(|(.., version)| version == VERSIONS[1])
        .unwrap()
        .0;
    assert!(plane < asked[0].0, "workers wait for the control plane");
    // The second begins when no Machine of the first is at N any more.
    let gone = changes.iter().filter(|change| {
        let object = &change.object.value;
        change.resource == kinds::MACHINES
            && change.kind == kubesim::ChangeKind::Deleted
            && object["metadata"]["labels"]["cluster.x-k8s.io/deployment-name"]
                == asked[0].1.as_str()
    });
    let gone: Vec<u64> = gone.map(|change| change.revision()).collect();
    assert_eq!(gone.len(), 1);
    assert!(gone[0] < asked[1].0, "one deployment at a time");

    let image = proxy();
    assert!(image.ends_with(":v1.35.0"), "{image}");
    assert_eq!(workload.server().version(), VERSIONS[1]);
}

#[tokio::test(start_paused = true)]
async fn three_control_planes_are_replaced_one_by_one() {
    let lab = Lab::new(&capi::Options::default()).await;
    lab.settled(3, &[]).await;
    let mut observer = lab.management.store().observe();
    lab.patch(to_next()).await.unwrap();
    lab.arrived(VERSIONS[1]).await;
    let mut present = 3_i32;
    let mut range = (3, 3);
    for change in changes(&mut observer) {
        if change.resource == kinds::MACHINES {
            present += match change.kind {
                kubesim::ChangeKind::Added => 1,
                kubesim::ChangeKind::Deleted => -1,
                kubesim::ChangeKind::Modified => 0,
            };
            range = (range.0.min(present), range.1.max(present));
        }
    }
    assert_eq!(range, (3, 4));
}

#[tokio::test(start_paused = true)]
async fn the_same_class_again_replaces_nothing() {
    let lab = Lab::new(&capi::Options::default()).await;
    lab.settled(1, &[("md-0", 1)]).await;
    let before = names(&lab.list(&kinds::MACHINES));
    let templates = lab.list(&kinds::CONFIG_TEMPLATES).len();
    lab.patch(json!({"metadata": {"labels": {"touched": "yes"}}}))
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    assert_eq!(before, names(&lab.list(&kinds::MACHINES)));
    assert_eq!(templates, lab.list(&kinds::CONFIG_TEMPLATES).len());
    assert_eq!(lab.management.failures(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_cluster_leaves_nothing_behind() {
    let lab = Lab::new(&capi::Options::default()).await;
    let mine = || -> Vec<String> {
        let mut left = Vec::new();
        for resource in lab.management.api().catalogue().all() {
            for object in lab.management.api().list(&resource.id, None) {
                let name = object["metadata"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                if name.starts_with("c1") {
                    left.push(format!("{} {name}", resource.kind));
                }
            }
        }
        left
    };
    assert_eq!(mine(), Vec::<String>::new());
    lab.settled(1, &[("md-0", 1)]).await;
    assert!(mine().len() > 10);
    lab.delete().await;
    until("deleting", || {
        lab.condition("Deleting").1 == "WaitingForWorkersDeletion"
    })
    .await;
    assert!(
        lab.condition("Deleting")
            .2
            .starts_with("* MachineDeployments: c1-md-0-"),
        "{}",
        lab.condition("Deleting").2
    );
    until("the Cluster is gone", || lab.cluster().is_null()).await;
    assert!(lab.workload().is_none());
    until("nothing is left", || mine().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn the_older_version_says_the_same_in_its_own_fields() {
    let lab = Lab::new(&capi::Options::default()).await;
    let older = json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster",
        "metadata": {"namespace": SPACE, "name": "c1"},
        "spec": {"topology": {"class": "n", "version": VERSIONS[0], "controlPlane": {"replicas": 1},
            "workers": {"machineDeployments": []}}}});
    let created = create(&lab.management, older.clone()).await.unwrap();
    assert_eq!(created.data["spec"]["topology"]["class"], "n");
    assert_eq!(lab.cluster()["spec"]["topology"]["classRef"]["name"], "n");
    until("initialized", || {
        lab.condition("ControlPlaneInitialized").0 == "True"
    })
    .await;
    let api = crate::lab::api(&lab.management, &older);
    let live = serde_json::to_value(api.get("c1").await.unwrap()).unwrap();
    let reference = &live["spec"]["controlPlaneRef"];
    assert_eq!(reference["kind"], "KubeadmControlPlane");
    assert!(
        reference["apiVersion"]
            .as_str()
            .unwrap()
            .starts_with("controlplane.cluster.x-k8s.io/")
    );
    assert_eq!(live["status"]["infrastructureReady"], true);
    assert_eq!(live["status"]["controlPlaneReady"], true);
    assert_eq!(condition(&live, "ControlPlaneInitialized").0, "True");
    assert!(live["status"]["v1beta2"]["conditions"].is_array());
}

#[tokio::test(start_paused = true)]
async fn a_control_plane_is_replaced_for_another_image_and_for_what_is_done_before_kubeadm() {
    for (kind, field, value) in [
        (
            "KubeadmControlPlaneTemplate",
            "/spec/template/spec/kubeadmConfigSpec/preKubeadmCommands",
            json!(["true"]),
        ),
        (
            "DockerMachineTemplate",
            "/spec/template/spec/customImage",
            json!("kindest/node:next"),
        ),
    ] {
        let lab = Lab::new(&capi::Options::default()).await;
        lab.settled(1, &[]).await;
        for mut object in class("n2", VERSIONS[0]) {
            if object["kind"] == kind {
                let (parent, field) = field.rsplit_once('/').unwrap();
                object.pointer_mut(parent).unwrap()[field] = value.clone();
            }
            create(&lab.management, object).await.unwrap();
        }
        let before = names(&lab.list(&kinds::MACHINES));
        let patch = json!({"spec": {"topology": {"classRef": {"name": "n2"}}}});
        lab.patch(patch).await.unwrap();
        until(field, || {
            names(&lab.list(&kinds::MACHINES)).is_disjoint(&before)
        })
        .await;
        lab.arrived(VERSIONS[0]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_whose_kubelet_is_gone_is_replaced_without_waiting_for_its_pods() {
    let lab = Lab::new(&capi::Options::default()).await;
    let workload = lab.settled(1, &[("md-0", 1)]).await;
    let machines = lab.list(&kinds::MACHINES);
    let is_worker = |machine: &&Arc<Value>| {
        let labels = &machine["metadata"]["labels"];
        labels.get("cluster.x-k8s.io/control-plane").is_none()
    };
    let worker = machines.iter().find(is_worker).unwrap();
    let name = worker["metadata"]["name"].as_str().unwrap();
    workload.machines().stop_kubelet(name);
    until("the node is not reached", || {
        let nodes = workload.api().list(&NODES, None);
        let unknown = |node: &&Arc<Value>| condition(node, "Ready").0 == "Unknown";
        nodes.iter().any(|node| unknown(&node))
    })
    .await;
    lab.patch(to_next()).await.unwrap();
    lab.arrived(VERSIONS[1]).await;
}
