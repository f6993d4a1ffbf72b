//! Deleting a Cluster: workers first, then the control plane, then the infrastructure; then nothing is
//! left of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::access::{release, resource_of, unless_gone, workload_name};
use super::super::conditions::{self, State};
use super::super::kinds::{
    CLUSTER_NAME, CLUSTERS, CONTROL_PLANE_LABEL, MACHINE_DEPLOYMENTS, MACHINE_SETS, MACHINES,
};
use super::super::topology::OK_TO_DELETE;
use super::{FINALIZER, MANAGER, Parts};
use crate::controller::{Cx, Next};
use crate::error::ApiError;
use crate::object::{annotation, controller_of, is_deleting, label, name, namespace, text};
use crate::registry::Deletion;
use crate::resource::GroupResource;

/// How many names are shown.
const SHOWN: usize = 5;
/// How soon is looked again.
const AGAIN: Duration = Duration::from_secs(5);

/// One step of a deletion.
pub(super) fn delete(cx: &Cx<'_>, cluster: &Value) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let (space, own) = (namespace(cluster), name(cluster));
    let parts = Parts::of(cx, cluster);
    let now = api.clock().stamp();
    let stage = |reason: &str, message: String| {
        let state = State {
            status: "True",
            reason: reason.to_owned(),
            message,
        };
        unless_gone(api.modify(&CLUSTERS, space, own, MANAGER, |cluster| {
            parts.report(cluster, &now);
            cluster["status"]["phase"] = json!("Deleting");
            conditions::set(cluster, "Deleting", &state, &now);
            conditions::set(cluster, "Available", &parts.available(cluster), &now);
        }))
    };
    if cluster["spec"]["topology"].is_object() && annotation(cluster, OK_TO_DELETE).is_none() {
        let why = "Waiting for BeforeClusterDelete hook";
        stage("WaitingForBeforeDeleteHook", why.to_owned())?;
        return Ok(Next::Change);
    }
    let workers = Workers::of(cx, cluster, &parts);
    workers.delete(cx)?;
    let left = workers.names();
    if !left.is_empty() {
        stage("WaitingForWorkersDeletion", left.join("\n"))?;
        return Ok(Next::After(AGAIN));
    }
    for (part, field, reason) in [
        (
            &parts.plane,
            "controlPlaneRef",
            "WaitingForControlPlaneDeletion",
        ),
        (
            &parts.infrastructure,
            "infrastructureRef",
            "WaitingForInfrastructureDeletion",
        ),
    ] {
        let reference = &cluster["spec"][field];
        if let (Some(object), Some(resource)) = (part, resource_of(cx.cluster, reference)) {
            ask(cx, object, &resource)?;
            let why = format!("Waiting for {} to be deleted", text(reference, "/kind"));
            stage(reason, why)?;
            return Ok(Next::After(AGAIN));
        }
    }
    cx.simulation.remove_cluster(&workload_name(space, own));
    stage("DeletionCompleted", "Deletion completed".to_owned())?;
    release(cx.cluster, &CLUSTERS, cluster, FINALIZER)?;
    Ok(Next::Change)
}

/// Asks for an object's deletion, once.
fn ask(cx: &Cx<'_>, object: &Value, resource: &GroupResource) -> Result<(), ApiError> {
    if is_deleting(object) {
        return Ok(());
    }
    let deletion = Deletion::default();
    let api = cx.cluster.api();
    unless_gone(api.delete(resource, namespace(object), name(object), &deletion))
}

/// What makes up a Cluster's workers; of a Cluster without a control plane's object, its Machines too.
struct Workers {
    of: [(&'static str, GroupResource, Vec<Arc<Value>>); 4],
}

impl Workers {
    fn of(cx: &Cx<'_>, cluster: &Value, parts: &Parts) -> Self {
        let (space, own) = (namespace(cluster), name(cluster));
        let of_cluster = [(CLUSTER_NAME, own)];
        let sets = cx
            .cluster
            .api()
            .labelled(&MACHINE_SETS, Some(space), &of_cluster);
        let is_plane = |machine: &Arc<Value>| label(machine, CONTROL_PLANE_LABEL).is_some();
        let (planes, workers) = parts.machines.iter().cloned().partition(is_plane);
        let planes = if cluster["spec"]["controlPlaneRef"].is_object() {
            Vec::new()
        } else {
            planes
        };
        Self {
            of: [
                ("Control plane Machines", MACHINES, planes),
                (
                    "MachineDeployments",
                    MACHINE_DEPLOYMENTS,
                    parts.deployments.clone(),
                ),
                ("MachineSets", MACHINE_SETS, sets),
                ("Worker Machines", MACHINES, workers),
            ],
        }
    }

    /// Asks for the deletion of those that no other of them owns.
    fn delete(&self, cx: &Cx<'_>) -> Result<(), ApiError> {
        for (_, resource, objects) in &self.of {
            for object in objects {
                let owner = controller_of(object).map(|owner| text(owner, "/kind"));
                if !matches!(owner, Some("MachineDeployment" | "MachineSet")) {
                    ask(cx, object, resource)?;
                }
            }
        }
        Ok(())
    }

    fn names(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (kind, _, objects) in &self.of {
            if objects.is_empty() {
                continue;
            }
            let mut names: Vec<&str> = objects.iter().map(|object| name(object)).collect();
            names.sort_unstable();
            let more = match names.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(", ... ({more} more)"),
            };
            names.truncate(SHOWN);
            lines.push(format!("* {kind}: {}{more}", names.join(", ")));
        }
        lines
    }
}
