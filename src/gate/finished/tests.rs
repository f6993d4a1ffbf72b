//! A cluster that has arrived, and each single thing that must keep it from counting as such.

use serde_json::{Value, json};

use super::*;
use crate::cluster::Kind;

const N: &str = "v1.34.3";
const N1: &str = "v1.35.0";

/// Objects by kind, to be changed by a case.
struct World {
    management: Vec<(Kind, Value)>,
    workload: Vec<(Kind, Value)>,
}

fn mine(kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({
        "kind": kind,
        "metadata": {"name": name, "namespace": "run", "generation": 2, "labels": {CLUSTER_NAME: "demo"}},
    });
    for (key, value) in rest.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn machine(name: &str) -> Value {
    let mut machine = mine(
        "Machine",
        name,
        json!({"spec": {"version": N1}, "status": {
            "nodeRef": {"name": format!("node-{name}")},
            "conditions": [
                {"type": "InfrastructureReady", "status": "True"},
                {"type": "BootstrapConfigReady", "status": "True"},
                {"type": "NodeHealthy", "status": "True"},
                {"type": "UpToDate", "status": "True"}]}}),
    );
    let owner = json!({"kind": "MachineSet", "name": "md", "controller": true});
    machine["metadata"]["ownerReferences"] = json!([owner]);
    machine
}

fn node(name: &str) -> Value {
    json!({"kind": "Node", "metadata": {"name": format!("node-{name}")}, "status": {
        "nodeInfo": {"kubeletVersion": N1}, "conditions": [{"type": "Ready", "status": "True"}]}})
}

fn deployment(name: &str) -> Value {
    json!({"kind": "Deployment", "metadata": {"name": name, "namespace": "kube-system", "generation": 1},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}})
}

fn arrived() -> World {
    let counts = json!({"observedGeneration": 2, "replicas": 1, "readyReplicas": 1,
        "availableReplicas": 1, "upToDateReplicas": 1});
    let mut plane = counts.clone();
    plane["version"] = json!(N1);
    World {
        management: vec![
            (
                kinds::CLUSTER,
                mine(
                    "Cluster",
                    "demo",
                    json!({"spec": {"topology": {"classRef": {"name": "class-b"}, "version": N1}},
                        "status": {"observedGeneration": 2, "conditions": [
                            {"type": "TopologyReconciled", "status": "True", "observedGeneration": 2}]}}),
                ),
            ),
            (
                kinds::KUBEADM_CONTROL_PLANE,
                mine(
                    "KubeadmControlPlane",
                    "cp",
                    json!({"spec": {"version": N1}, "status": plane}),
                ),
            ),
            (
                kinds::MACHINE_DEPLOYMENT,
                mine(
                    "MachineDeployment",
                    "md",
                    json!({"spec": {"replicas": 1, "template": {"spec": {"version": N1}}}, "status": counts}),
                ),
            ),
            (kinds::MACHINE, machine("cp")),
            (kinds::MACHINE, machine("md")),
        ],
        workload: vec![
            (kinds::NODE, node("cp")),
            (kinds::NODE, node("md")),
            (
                kinds::DAEMON_SET,
                json!({"kind": "DaemonSet",
                    "metadata": {"name": "kube-proxy", "namespace": "kube-system", "generation": 1},
                    "spec": {"template": {"spec": {"containers": [{"image": format!("kube-proxy:{N1}")}]}}},
                    "status": {"observedGeneration": 1, "desiredNumberScheduled": 2, "numberAvailable": 2,
                        "currentNumberScheduled": 2, "updatedNumberScheduled": 2}}),
            ),
            (kinds::DEPLOYMENT, deployment("coredns")),
            (kinds::DEPLOYMENT, deployment("addon")),
            (
                kinds::POD,
                json!({"kind": "Pod",
                    "metadata": {"name": "etcd", "namespace": "kube-system", "labels": {"tier": "control-plane"}},
                    "status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
            ),
        ],
    }
}

fn goal() -> Goal {
    Goal {
        namespace: "run".to_owned(),
        cluster: "demo".to_owned(),
        class: "class-b".to_owned(),
        version: N1.to_owned(),
        control_plane: 1,
        workers: 1,
        workloads: vec![(
            "stage".to_owned(),
            ObjectRef::new("workload", "Deployment", "kube-system", "addon"),
        )],
        from: None,
        operator: false,
        fetches: false,
    }
}

fn told(world: &World) -> Vec<String> {
    let management = View::holding("management", &world.management);
    let workload = View::holding("workload", &world.workload);
    let found = blockers(&goal(), &management, &workload);
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn a_cluster_that_has_arrived_is_not_held_up_by_anything() {
    assert_eq!(told(&arrived()), Vec::<String>::new());
}

#[test]
fn each_single_thing_that_is_not_there_yet_is_told() {
    let cases: [(&str, usize, &str, Value, &str); 16] = [
        (
            "m",
            0,
            "/spec/topology/classRef/name",
            json!("class-a"),
            "'class-a', not 'class-b'",
        ),
        (
            "m",
            0,
            "/spec/topology/version",
            json!(N),
            "'v1.34.3', not 'v1.35.0'",
        ),
        (
            "m",
            0,
            "/status/observedGeneration",
            json!(1),
            "not yet seen",
        ),
        (
            "m",
            0,
            "/status/conditions/0/status",
            json!("False"),
            "TopologyReconciled False",
        ),
        (
            "m",
            0,
            "/status/conditions/0/observedGeneration",
            json!(1),
            "does not speak of the latest spec",
        ),
        (
            "m",
            1,
            "/status/version",
            json!(N),
            "/status/version is v1.34.3",
        ),
        ("m", 1, "/status/upToDateReplicas", json!(0), "0 up to date"),
        ("m", 2, "/status/replicas", json!(2), "2 present"),
        (
            "m",
            2,
            "/spec/template/spec/version",
            json!(N),
            "/spec/template/spec/version is v1.34.3",
        ),
        (
            "m",
            4,
            "/spec/version",
            json!(N),
            "Machine run/md: /spec/version is v1.34.3",
        ),
        (
            "m",
            4,
            "/metadata/ownerReferences",
            json!([{"kind": "Cluster", "name": "demo"}]),
            "Machine run/md: no controller owns it",
        ),
        (
            "m",
            4,
            "/status/conditions/2/status",
            json!("Unknown"),
            "NodeHealthy Unknown",
        ),
        (
            "m",
            4,
            "/status/conditions/3/status",
            json!("False"),
            "UpToDate False",
        ),
        (
            "w",
            1,
            "/status/nodeInfo/kubeletVersion",
            json!(N),
            "Node node-md",
        ),
        (
            "w",
            3,
            "/status/availableReplicas",
            json!(0),
            "coredns: 0 of 1 available",
        ),
        (
            "w",
            5,
            "/status/conditions/0/status",
            json!("False"),
            "Pod kube-system/etcd: Ready False",
        ),
    ];
    for (side, index, pointer, value, expected) in cases {
        let mut world = arrived();
        let objects = if side == "m" {
            &mut world.management
        } else {
            &mut world.workload
        };
        *objects[index].1.pointer_mut(pointer).unwrap() = value;
        let told = told(&world);
        assert!(
            told.iter().any(|line| line.contains(expected)),
            "{pointer}: {told:?}"
        );
    }
}

#[test]
fn whatever_is_missing_is_told() {
    for (side, index, expected) in [
        ("m", 0, "Cluster run/demo: missing"),
        ("m", 1, "KubeadmControlPlane run/demo: missing"),
        ("m", 2, "0 of 1 worker replicas asked for"),
        ("m", 4, "1 Machines, 2 wanted"),
        ("w", 1, "1 nodes for 2 Machines"),
        ("w", 4, "Deployment kube-system/addon: missing"),
    ] {
        let mut world = arrived();
        let objects = if side == "m" {
            &mut world.management
        } else {
            &mut world.workload
        };
        objects.remove(index);
        let told = told(&world);
        assert!(
            told.iter().any(|line| line.contains(expected)),
            "{expected}: {told:?}"
        );
    }
}

#[test]
fn what_is_left_of_the_release_before_is_told() {
    let mut world = arrived();
    let mut leaving = machine("old");
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.management.push((kinds::MACHINE, leaving));
    world.workload.push((kinds::NODE, node("stray")));
    world.management[0].1["metadata"]["annotations"] =
        json!({PENDING_HOOKS: "AfterClusterUpgrade"});
    let told = told(&world).join("\n");
    for expected in [
        "Machine run/old: being deleted",
        "Node node-stray: no Machine owns it",
        "hooks pending: AfterClusterUpgrade",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
}

#[test]
fn a_stack_with_its_own_proxy_and_dns_can_arrive() {
    let mut world = arrived();
    world.workload.retain(|(_, object)| {
        !["kube-proxy", "coredns"].contains(&object["metadata"]["name"].as_str().unwrap())
    });
    assert_eq!(told(&world), Vec::<String>::new());
}

#[test]
fn where_the_operator_delivers_its_claim_has_to_be_there_too() {
    let mut world = arrived();
    let mut goal = goal();
    goal.operator = true;
    let told = |world: &World, goal: &Goal| -> Vec<String> {
        let management = View::holding("management", &world.management);
        let workload = View::holding("workload", &world.workload);
        let blockers = blockers(goal, &management, &workload);
        blockers.iter().map(ToString::to_string).collect()
    };
    let missing = ["ClusterAddon run/cluster-addon-demo: missing"];
    assert_eq!(told(&world, &goal), missing);
    let addon = json!({
        "kind": "ClusterAddon", "metadata": {"name": "cluster-addon-demo", "namespace": "run"},
        "spec": {"clusterStack": "class-b"},
        "status": {"ready": true, "conditions": [{"type": "HelmChartApplied", "status": "True"}]},
    });
    world.management.push((kinds::CLUSTER_ADDON, addon));
    assert!(told(&world, &goal).is_empty());
}
