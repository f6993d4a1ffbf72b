//! What a KubeadmControlPlane says of itself.

use serde_json::{Value, json};

use super::super::access::{is_controlled_by, machines, owner_cluster};
use super::super::conditions::{self, State, aggregate};
use super::super::kinds::{CLUSTER_NAME, CONTROL_PLANE_LABEL, CONTROL_PLANES};
use super::super::machine_deployment::going_on;
use super::MANAGER;
use crate::cluster::Cluster;
use crate::controller::{Cx, Key};
use crate::error::ApiError;
use crate::object::{is_true, name, text, truth};
use crate::resource::builtin::NODES;
use crate::store::reads;

pub(super) fn report(
    cx: &Cx<'_>,
    key: &Key,
    ready: bool,
    workload: Option<&Cluster>,
) -> Result<(), ApiError> {
    let api = cx.cluster.api();
    let Some(plane) = api.get(&CONTROL_PLANES, &key.namespace, &key.name) else {
        return Ok(());
    };
    let own = text(&plane, "/metadata/labels/cluster.x-k8s.io~1cluster-name").to_owned();
    let mine = machines(cx.cluster, &key.namespace, &own, |machine| {
        is_controlled_by(machine, &plane)
    });
    let all: Vec<&Value> = mine.iter().map(AsRef::as_ref).collect();
    let number = |kind: &str| all.iter().filter(|machine| is_true(machine, kind)).count();
    let (replicas, count_ready, available, updated) = (
        all.len(),
        number("Ready"),
        number("Available"),
        number("UpToDate"),
    );
    let answers =
        workload.is_some_and(|workload| workload.api().list(&NODES, None).iter().any(|_| true));
    let initialized = truth(&plane, "/status/initialization/controlPlaneInitialized") || answers;
    let lowest = all
        .iter()
        .map(|machine| text(machine, "/spec/version").to_owned())
        .min_by_key(|version| numbers(version));
    // What is on the Machines is looked at once the Cluster says so.
    let owner = owner_cluster(cx.cluster, &plane);
    let inspected = owner
        .as_ref()
        .is_some_and(|owner| truth(owner, "/status/initialization/controlPlaneInitialized"));
    let health = |kinds: &[&str]| -> State {
        if !inspected {
            return State::unknown(
                "InspectionFailed",
                "Waiting for Cluster control plane to be initialized",
            );
        }
        let wrong: Vec<String> = all
            .iter()
            .flat_map(|machine| {
                kinds.iter().filter_map(|kind| {
                    let (status, _, message) = conditions::get(machine, kind)?;
                    (status == "False")
                        .then(|| format!("* Machine {}:\n  * {kind}: {message}", name(machine)))
                })
            })
            .collect();
        let known = all
            .iter()
            .any(|machine| kinds.iter().any(|kind| is_true(machine, kind)));
        if !wrong.is_empty() {
            State::no("NotHealthy", wrong.join("\n"))
        } else if known {
            State::yes("Healthy")
        } else {
            State::unknown("HealthUnknown", "")
        }
    };
    let components = health(&[
        "APIServerPodHealthy",
        "ControllerManagerPodHealthy",
        "SchedulerPodHealthy",
        "EtcdPodHealthy",
    ]);
    let members = reads::other({
        let workload = workload.cloned();
        move || {
            workload
                .as_ref()
                .map(|workload| workload.machines().etcd_members())
        }
    });
    let members = members.unwrap_or_default();
    let of = |member: &String| all.iter().find(|machine| name(machine) == member);
    let unknown = members
        .iter()
        .find(|member| of(member).is_none_or(|machine| machine["status"]["nodeRef"].is_null()));
    let etcd = match unknown {
        Some(member) if inspected => State::no(
            "NotHealthy",
            format!("* Etcd member {member} does not have a corresponding Machine"),
        ),
        _ => health(&["EtcdMemberHealthy"]),
    };
    let healthy = members
        .iter()
        .filter(|member| of(member).is_some_and(|machine| is_true(machine, "EtcdMemberHealthy")));
    let (healthy, quorum) = (healthy.count(), members.len() / 2 + 1);
    let serving = all.iter().any(|machine| {
        is_true(machine, "APIServerPodHealthy")
            && is_true(machine, "EtcdPodHealthy")
            && is_true(machine, "ControllerManagerPodHealthy")
    });
    let now = api.clock().stamp();
    api.modify(&CONTROL_PLANES, &key.namespace, &key.name, MANAGER, |plane| {
        let wanted = usize::try_from(plane["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(1);
        let status = &mut plane["status"];
        status["replicas"] = json!(replicas);
        status["readyReplicas"] = json!(count_ready);
        status["availableReplicas"] = json!(available);
        status["upToDateReplicas"] = json!(updated);
        status["selector"] = json!(format!("{CLUSTER_NAME}={own},{CONTROL_PLANE_LABEL}"));
        if let Some(lowest) = &lowest {
            status["version"] = json!(lowest);
        }
        if initialized {
            status["initialization"]["controlPlaneInitialized"] = json!(true);
        }
        plane["status"]["observedGeneration"] = plane["metadata"]["generation"].clone();
        let is_available = if serving && initialized && healthy >= quorum {
            State::yes("Available")
        } else if serving && initialized {
            State::no("NotAvailable", format!(
                "* {healthy} of {} etcd members is healthy, at least {quorum} healthy member required for etcd quorum",
                members.len(),
            ))
        } else if !initialized {
            State::no("NotAvailable", "Control plane not yet initialized")
        } else {
            State::no("NotAvailable", "* At least one Machine with healthy control plane components and etcd is required")
        };
        conditions::set(plane, "Available", &is_available, &now);
        conditions::set_older(plane, "Available", &is_available, &now);
        let certificates = if ready { State::yes("Available") } else { State::unknown("InternalError", "Please check controller logs for errors") };
        if ready {
            conditions::set(plane, "CertificatesAvailable", &certificates, &now);
        }
        conditions::set(plane, "Initialized", &State::either(initialized, "Initialized", "NotInitialized"), &now);
        conditions::set(plane, "EtcdClusterHealthy", &etcd, &now);
        conditions::set(plane, "ControlPlaneComponentsHealthy", &components, &now);
        for (kind, state) in going_on(&all, wanted) {
            conditions::set(plane, kind, &state, &now);
        }
        conditions::set(plane, "MachinesReady", &aggregate(&all, "Ready", "Ready", "NotReady", "NoReplicas"), &now);
        conditions::set(plane, "MachinesUpToDate", &aggregate(&all, "UpToDate", "UpToDate", "NotUpToDate", "NoReplicas"), &now);
    })?;
    Ok(())
}

/// A version as numbers, to be compared.
fn numbers(version: &str) -> Vec<u64> {
    let plain = version
        .trim_start_matches('v')
        .split(['-', '+'])
        .next()
        .unwrap_or_default();
    plain
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect()
}
