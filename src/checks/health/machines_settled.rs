//! `machines-settled`: Cluster API has nothing left to do for the Cluster.
//!
//! Fields and conditions are those of `cluster.x-k8s.io/v1beta2` and
//! `controlplane.cluster.x-k8s.io/v1beta2` as of Cluster API 1.12 (`api/core/v1beta2`,
//! `api/controlplane/kubeadm/v1beta2`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::checks::judgement::{Judgement, problem, settle};
use crate::checks::{Answer, Native, Parameters, Target};
use crate::cluster::kinds::{CLUSTER_NAME, PENDING_HOOKS};
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

const NAME: &str = "machines-settled";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(90),
    parameters: Parameters::NONE,
    needs: &[],
    run: |target| Box::pin(run(target)),
};

/// Conditions follow the objects that they sum up by some seconds.
const SETTLE: Duration = Duration::from_secs(60);

/// What a Cluster is made of on the management side.
#[derive(Default)]
struct Parts {
    cluster: Option<Arc<Object>>,
    control_planes: Vec<Arc<Object>>,
    deployments: Vec<Arc<Object>>,
    machines: Vec<Arc<Object>>,
}

async fn run(target: &Target<'_>) -> Result<Answer> {
    let Some(management) = &target.management else {
        let reason = "no management cluster is given".to_owned();
        return Ok(Judgement::Skip(reason).into());
    };
    let watched = [
        kinds::CLUSTER,
        kinds::KUBEADM_CONTROL_PLANE,
        kinds::MACHINE_DEPLOYMENT,
        kinds::MACHINE,
    ];
    let view = target.management_view(management, &watched);
    let (namespace, name) = (management.namespace, management.cluster);
    settle(target, NAME, SETTLE, &[&view], || {
        let mine = |kind| {
            let mut objects = view.list(&kind);
            objects.retain(|object| object.label(CLUSTER_NAME) == Some(name));
            objects
        };
        let parts = Parts {
            cluster: view.get(&kinds::CLUSTER, namespace, name),
            control_planes: mine(kinds::KUBEADM_CONTROL_PLANE),
            deployments: mine(kinds::MACHINE_DEPLOYMENT),
            machines: mine(kinds::MACHINE),
        };
        judge(target.kubernetes, namespace, name, &parts)
    })
    .await
}

fn judge(version: &str, namespace: &str, name: &str, parts: &Parts) -> Judgement {
    let missing = |kind| problem("management", kind, namespace, name, "missing");
    let mut problems = match &parts.cluster {
        Some(cluster) => cluster_problems(cluster, version),
        None => vec![missing("Cluster")],
    };
    if parts.control_planes.is_empty() {
        problems.push(missing("KubeadmControlPlane"));
    }
    for plane in &parts.control_planes {
        problems.extend(at_version(plane, "/spec/version", version));
        problems.extend(at_version(plane, "/status/version", version));
        problems.extend(replica_problems(plane));
    }
    for deployment in &parts.deployments {
        problems.extend(at_version(
            deployment,
            "/spec/template/spec/version",
            version,
        ));
        problems.extend(replica_problems(deployment));
    }
    if parts.machines.is_empty() {
        problems.push(missing("Machine"));
    }
    for machine in &parts.machines {
        problems.extend(machine_problems(machine, version));
    }
    // The Cluster's conditions only sum up what the parts say in full.
    problems.sort_by_key(|problem| problem.object.kind == "Cluster");
    Judgement::unless(problems, || {
        let deployments = super::count(parts.deployments.len(), "MachineDeployment");
        let machines = super::count(parts.machines.len(), "Machine");
        format!("{machines}, control plane and {deployments} settled at {version}")
    })
}

fn cluster_problems(cluster: &Object, version: &str) -> Vec<Blocker> {
    let mut problems = Vec::new();
    if cluster.is_deleting() {
        problems.push(cluster.blocker("being deleted"));
    }
    if cluster
        .at("/spec/paused")
        .is_some_and(|paused| paused == true)
    {
        problems.push(cluster.blocker("paused: nothing is reconciled"));
    }
    problems.extend(unseen(cluster));
    if let Some(hooks) = cluster
        .annotation(PENDING_HOOKS)
        .filter(|hooks| !hooks.is_empty())
    {
        problems.push(cluster.blocker(format!("hooks pending: {hooks}")));
    }
    if cluster.at("/spec/topology").is_some() {
        problems.extend(at_version(cluster, "/spec/topology/version", version));
        problems.extend(cluster.unless_true("TopologyReconciled"));
    }
    problems.extend(cluster.unless_true("Available"));
    problems.extend(under_way(cluster));
    problems
}

fn machine_problems(machine: &Object, version: &str) -> Vec<Blocker> {
    if machine.is_deleting() {
        return vec![because(machine, "being deleted", "Deleting")];
    }
    let mut problems = Vec::from_iter(at_version(machine, "/spec/version", version));
    let kubelet = machine.str("/status/nodeInfo/kubeletVersion");
    if !kubelet.is_empty() && kubelet != version {
        problems.push(machine.blocker(format!("its kubelet is {kubelet}, not {version}")));
    }
    let phase = machine.str("/status/phase");
    if phase != "Running" {
        problems.push(machine.blocker(format!("phase is '{phase}', not Running")));
    }
    // The first unmet one is the cause of those behind it.
    let unmet = [
        "InfrastructureReady",
        "BootstrapConfigReady",
        "NodeHealthy",
        "Ready",
    ]
    .iter()
    .find_map(|condition| machine.unless_true(condition));
    problems.extend(unmet);
    // Not reported for Machines of whoever does not roll them.
    let outdated = machine.condition("UpToDate").is_some();
    problems.extend(outdated.then(|| machine.unless_true("UpToDate")).flatten());
    problems
}

/// As many as asked for, all of them up to date, ready and available, and nothing going on.
fn replica_problems(owner: &Object) -> Vec<Blocker> {
    if owner.is_deleting() {
        return vec![because(owner, "being deleted", "Deleting")];
    }
    let mut problems = Vec::from_iter(unseen(owner));
    let wanted = owner.int("/spec/replicas").unwrap_or(1);
    let counts = [
        "replicas",
        "upToDateReplicas",
        "readyReplicas",
        "availableReplicas",
    ]
    .map(|field| owner.int(&format!("/status/{field}")).unwrap_or_default());
    if counts != [wanted; 4] {
        let [present, updated, ready, available] = counts;
        problems.push(owner.blocker(format!(
            "{wanted} wanted, {present} present, {updated} up to date, {ready} ready, {available} available"
        )));
    }
    problems.extend(owner.unless_true("Available"));
    problems.extend(under_way(owner));
    problems
}

fn at_version(object: &Object, pointer: &str, version: &str) -> Option<Blocker> {
    let live = object.str(pointer);
    (live != version).then(|| {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        object.blocker(format!("{field} is '{live}', not {version}"))
    })
}

fn unseen(object: &Object) -> Option<Blocker> {
    (!object.is_observed()).then(|| object.blocker("latest spec not yet seen by its controller"))
}

/// The first condition that says that something is going on.
fn under_way(object: &Object) -> Option<Blocker> {
    ["RollingOut", "ScalingUp", "ScalingDown", "Remediating"]
        .iter()
        .filter(|kind| object.condition(kind).is_some_and(|c| c.status == "True"))
        .map(|kind| because(object, &format!("{kind} True"), kind))
        .next()
}

/// A blocker in our words, with a condition's reason, message and age.
fn because(object: &Object, words: &str, condition: &str) -> Blocker {
    let mut blocker = object.blocker(words);
    if let Some(condition) = object.condition(condition) {
        blocker.reason = condition.reason;
        blocker.message = condition.message;
        blocker.since = condition.since;
    }
    blocker
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{managed, problems, with};
    use serde_json::json;

    fn owner(kind: &str, name: &str) -> Arc<Object> {
        managed(
            json!({"kind": kind, "metadata": {"name": name, "namespace": "run", "generation": 2},
            "spec": {"replicas": 2, "version": "v1.35.0", "template": {"spec": {"version": "v1.35.0"}}},
            "status": {"observedGeneration": 2, "version": "v1.35.0",
                "replicas": 2, "readyReplicas": 2, "availableReplicas": 2, "upToDateReplicas": 2,
                "conditions": [{"type": "Available", "status": "True"}, {"type": "RollingOut", "status": "False"}]}}),
        )
    }

    fn machine() -> Arc<Object> {
        let conditions = [
            "InfrastructureReady",
            "BootstrapConfigReady",
            "NodeHealthy",
            "Ready",
            "UpToDate",
        ]
        .map(|kind| json!({"type": kind, "status": "True"}));
        managed(
            json!({"kind": "Machine", "metadata": {"name": "m-1", "namespace": "run"},
            "spec": {"version": "v1.35.0"},
            "status": {"phase": "Running", "nodeInfo": {"kubeletVersion": "v1.35.0"}, "conditions": conditions}}),
        )
    }

    fn cluster() -> Arc<Object> {
        managed(
            json!({"kind": "Cluster", "metadata": {"name": "demo", "namespace": "run", "generation": 4, "annotations": {}},
            "spec": {"topology": {"version": "v1.35.0"}},
            "status": {"observedGeneration": 4, "conditions": [
                {"type": "TopologyReconciled", "status": "True"}, {"type": "Available", "status": "True"}]}}),
        )
    }

    fn settled() -> Parts {
        Parts {
            cluster: Some(cluster()),
            control_planes: vec![owner("KubeadmControlPlane", "demo-cp")],
            deployments: vec![owner("MachineDeployment", "demo-md")],
            machines: vec![machine()],
        }
    }

    fn told(parts: &Parts) -> String {
        problems(&judge("v1.35.0", "run", "demo", parts))
    }

    #[test]
    fn a_cluster_with_nothing_left_to_do_passes() {
        assert_eq!(
            judge("v1.35.0", "run", "demo", &settled()),
            Judgement::Pass(
                "1 Machine, control plane and 1 MachineDeployment settled at v1.35.0".to_owned()
            )
        );
        let mut without_workers = settled();
        without_workers.deployments.clear();
        assert_eq!(told(&without_workers), "");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            told(&Parts::default()),
            "KubeadmControlPlane run/demo: missing\nMachine run/demo: missing\nCluster run/demo: missing"
        );
    }

    #[test]
    fn each_sign_of_work_left_on_a_machine_fails() {
        for (pointer, value, expected) in [
            (
                "/spec/version",
                json!("v1.34.3"),
                "spec.version is 'v1.34.3', not v1.35.0",
            ),
            (
                "/status/nodeInfo",
                json!({"kubeletVersion": "v1.34.3"}),
                "its kubelet is v1.34.3, not v1.35.0",
            ),
            (
                "/status/phase",
                json!("Provisioned"),
                "phase is 'Provisioned', not Running",
            ),
            (
                "/metadata/deletionTimestamp",
                json!("2026-05-01T10:00:00Z"),
                "being deleted",
            ),
            (
                "/status/conditions/2",
                json!({"type": "NodeHealthy", "status": "False", "reason": "WaitingForNodeRef"}),
                "NodeHealthy False, WaitingForNodeRef",
            ),
            (
                "/status/conditions/4",
                json!({"type": "UpToDate", "status": "False", "reason": "NotUpToDate", "message": "* Version v1.34.3"}),
                "UpToDate False, NotUpToDate: * Version v1.34.3",
            ),
        ] {
            let mut parts = settled();
            parts.machines[0] = with(&machine(), pointer, value);
            assert_eq!(told(&parts), format!("Machine run/m-1: {expected}"));
        }
    }

    #[test]
    fn each_sign_of_work_left_on_what_owns_machines_fails() {
        for (pointer, value, expected) in [
            (
                "/status/version",
                json!("v1.34.3"),
                "status.version is 'v1.34.3', not v1.35.0",
            ),
            (
                "/status/upToDateReplicas",
                json!(1),
                "2 wanted, 2 present, 1 up to date, 2 ready, 2 available",
            ),
            (
                "/status/replicas",
                json!(3),
                "2 wanted, 3 present, 2 up to date, 2 ready, 2 available",
            ),
            (
                "/status/observedGeneration",
                json!(1),
                "latest spec not yet seen by its controller",
            ),
            (
                "/status/conditions/0",
                json!({"type": "Available", "status": "False", "reason": "NotAvailable"}),
                "Available False, NotAvailable",
            ),
            (
                "/status/conditions/1",
                json!({"type": "RollingOut", "status": "True", "reason": "RollingOut", "message": "1 of 2"}),
                "RollingOut True, RollingOut: 1 of 2",
            ),
        ] {
            let mut parts = settled();
            parts.control_planes[0] = with(&parts.control_planes[0], pointer, value);
            assert_eq!(
                told(&parts),
                format!("KubeadmControlPlane run/demo-cp: {expected}")
            );
        }
        let mut parts = settled();
        parts.deployments[0] = with(
            &parts.deployments[0],
            "/spec/template",
            json!({"spec": {"version": "v1.34.3"}}),
        );
        assert!(
            told(&parts)
                .contains("MachineDeployment run/demo-md: spec.template.spec.version is 'v1.34.3'")
        );
    }

    #[test]
    fn each_sign_of_work_left_on_the_cluster_fails() {
        for (pointer, value, expected) in [
            (
                "/spec/topology",
                json!({"version": "v1.34.3"}),
                "spec.topology.version is 'v1.34.3', not v1.35.0",
            ),
            ("/spec/paused", json!(true), "paused: nothing is reconciled"),
            (
                "/metadata/annotations",
                json!({PENDING_HOOKS: "AfterClusterUpgrade"}),
                "hooks pending: AfterClusterUpgrade",
            ),
            (
                "/metadata/deletionTimestamp",
                json!("2026-05-01T10:00:00Z"),
                "being deleted",
            ),
            (
                "/status/observedGeneration",
                json!(3),
                "latest spec not yet seen by its controller",
            ),
            (
                "/status/conditions/0",
                json!({"type": "TopologyReconciled", "status": "False", "reason": "ClusterUpgrading"}),
                "TopologyReconciled False, ClusterUpgrading",
            ),
        ] {
            let mut parts = settled();
            parts.cluster = Some(with(&cluster(), pointer, value));
            assert_eq!(told(&parts), format!("Cluster run/demo: {expected}"));
        }
    }
}
