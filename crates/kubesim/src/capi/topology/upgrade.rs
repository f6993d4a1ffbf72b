//! When which part of a Cluster may move to another version.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::super::access::{machines, referred, unless_gone};
use super::super::hooks::Hook;
use super::super::kinds::{
    CLUSTER_NAME, DEPLOYMENT_NAME, MACHINE_DEPLOYMENTS, TOPOLOGY_DEPLOYMENT,
};
use super::{Round, Trouble};
use crate::cluster::Cluster;
use crate::object::{annotation, is_deleting, label, name, namespace, text, truth};
use crate::registry::Deletion;

/// Annotations of a Cluster that hold an upgrade back.
const HOLD: &str = "before-upgrade.hook.cluster.cluster.x-k8s.io";
/// How many MachineDeployments move at a time; one unless the Cluster says otherwise.
const CONCURRENCY: &str = "topology.cluster.x-k8s.io/upgrade-concurrency";
/// On a MachineDeployment: it is moved by nobody while this is there.
const DEFER: &str = "topology.cluster.x-k8s.io/defer-upgrade";
/// On a MachineDeployment: it and those after it wait.
const SEQUENCE: &str = "topology.cluster.x-k8s.io/hold-upgrade-sequence";

/// How far the parts of a Cluster are.
pub struct Progress {
    pub plane: Option<Arc<Value>>,
    pub deployments: BTreeMap<String, Arc<Value>>,
    /// MachineDeployments some of whose Machines are at another version.
    upgrading: Vec<String>,
}

impl Progress {
    pub fn of(management: &Cluster, cluster: &Value) -> Self {
        let (space, own) = (namespace(cluster), name(cluster));
        let plane = referred(management, space, &cluster["spec"]["controlPlaneRef"]);
        let all =
            management
                .api()
                .labelled(&MACHINE_DEPLOYMENTS, Some(space), &[(CLUSTER_NAME, own)]);
        let deployments: BTreeMap<_, _> = all
            .into_iter()
            .filter_map(|one| Some((label(&one, TOPOLOGY_DEPLOYMENT)?.to_owned(), one)))
            .collect();
        let upgrading = deployments
            .iter()
            .filter(|(_, deployment)| {
                let version = text(deployment, "/spec/template/spec/version");
                let of = machines(management, space, own, |machine| {
                    label(machine, DEPLOYMENT_NAME) == Some(name(deployment))
                });
                of.iter()
                    .any(|machine| text(machine, "/spec/version") != version)
            })
            .map(|(topology, _)| topology.clone())
            .collect();
        Self {
            plane,
            deployments,
            upgrading,
        }
    }

    /// Whether the control plane is as its spec says, so that something else may move.
    fn plane_is_stable(&self) -> bool {
        let Some(plane) = &self.plane else {
            return false;
        };
        let count = |field: &str| plane["status"][field].as_i64().unwrap_or(0);
        let wanted = plane["spec"]["replicas"].as_i64().unwrap_or(1);
        truth(plane, "/status/initialization/controlPlaneInitialized")
            && plane["status"]["observedGeneration"] == plane["metadata"]["generation"]
            && plane["status"]["version"] == plane["spec"]["version"]
            && ["replicas", "upToDateReplicas"]
                .iter()
                .all(|field| count(field) == wanted)
    }
}

impl Round<'_, '_> {
    /// Makes the control plane, or moves it when its time has come.
    pub(super) fn control_plane(&mut self) -> Result<(), Trouble> {
        let wanted = self.version().to_owned();
        let Some(plane) = self.progress.plane.clone() else {
            return self.set_control_plane(None, &wanted);
        };
        if truth(&plane, "/status/initialization/controlPlaneInitialized")
            && self.is_pending(Hook::AfterControlPlaneInitialized)
        {
            // Extensions are told; they cannot block here.
            let _ = self.topology.call(
                self.cx.cluster,
                Hook::AfterControlPlaneInitialized,
                self.cluster,
            );
            self.set_pending(&[Hook::AfterControlPlaneInitialized], false)?;
        }
        let current = text(&plane, "/spec/version").to_owned();
        if current == wanted {
            self.set_control_plane(Some(&plane), &wanted)?;
            if !self.progress.plane_is_stable() && plane["status"]["version"] != *wanted {
                self.pending
                    .push(format!("KubeadmControlPlane upgrading to version {wanted}"));
            }
            return self.after_control_plane();
        }
        if !self.may_begin()? {
            self.pending.push(format!(
                "KubeadmControlPlane pending upgrade to version {wanted}"
            ));
            return Ok(());
        }
        self.set_pending(
            &[
                Hook::AfterControlPlaneUpgrade,
                Hook::BeforeWorkersUpgrade,
                Hook::AfterWorkersUpgrade,
                Hook::AfterClusterUpgrade,
            ],
            true,
        )?;
        self.set_control_plane(Some(&plane), &wanted)?;
        self.pending
            .push(format!("KubeadmControlPlane upgrading to version {wanted}"));
        Ok(())
    }

    /// Whether the upgrade may begin: everything is stable, nobody holds it, every extension agrees.
    fn may_begin(&mut self) -> Result<bool, Trouble> {
        if !self.progress.plane_is_stable() || !self.progress.upgrading.is_empty() {
            return Ok(false);
        }
        let annotations = self.cluster["metadata"]["annotations"]
            .as_object()
            .into_iter()
            .flatten();
        if annotations
            .map(|(key, _)| key)
            .any(|key| key.starts_with(HOLD))
        {
            return Ok(false);
        }
        self.ask(Hook::BeforeClusterUpgrade)
    }

    /// The hooks between control plane and workers.
    fn after_control_plane(&mut self) -> Result<(), Trouble> {
        if !self.progress.plane_is_stable() {
            return Ok(());
        }
        for hook in [Hook::AfterControlPlaneUpgrade, Hook::BeforeWorkersUpgrade] {
            if self.is_pending(hook) {
                if !self.ask(hook)? {
                    return Ok(());
                }
                self.set_pending(&[hook], false)?;
            }
        }
        Ok(())
    }

    /// Makes MachineDeployments, moves them one at a time, removes those that are asked for no more.
    pub(super) fn workers(&mut self) -> Result<(), Trouble> {
        let wanted = self.version().to_owned();
        let plane = self.progress.plane.clone();
        let plane_done = plane
            .as_ref()
            .is_none_or(|plane| plane["spec"]["version"] == *wanted)
            && (plane.is_none() || !self.upgrades() || self.progress.plane_is_stable())
            && !self.is_pending(Hook::AfterControlPlaneUpgrade)
            && !self.is_pending(Hook::BeforeWorkersUpgrade);
        let limit = annotation(self.cluster, CONCURRENCY)
            .and_then(|text| text.parse().ok())
            .unwrap_or(1);
        let mut moving = self.progress.upgrading.len();
        let mut held = false;
        for workers in &self.desired.workers {
            let Some(present) = self.progress.deployments.get(&workers.name) else {
                let creatable = plane.is_none() || plane_done;
                if creatable {
                    self.set_workers(None, workers, &wanted)?;
                } else {
                    self.pending.push(format!(
                        "MachineDeployment {} creation pending",
                        workers.name
                    ));
                }
                continue;
            };
            let current = text(present, "/spec/template/spec/version").to_owned();
            let own = name(present).to_owned();
            if current == wanted {
                if plane
                    .as_ref()
                    .is_some_and(|plane| plane["spec"]["version"] == *wanted)
                {
                    self.set_workers(Some(present), workers, &wanted)?;
                }
                if self.progress.upgrading.contains(&workers.name) {
                    self.pending.push(format!(
                        "MachineDeployment {own} upgrading to version {wanted}"
                    ));
                }
                continue;
            }
            held |= workers.topology["metadata"]["annotations"]
                .get(SEQUENCE)
                .is_some();
            let deferred = workers.topology["metadata"]["annotations"]
                .get(DEFER)
                .is_some();
            if !plane_done || held || deferred || moving >= limit {
                self.pending.push(format!(
                    "MachineDeployment {own} pending upgrade to version {wanted}"
                ));
                continue;
            }
            self.set_workers(Some(present), workers, &wanted)?;
            moving += 1;
            self.pending.push(format!(
                "MachineDeployment {own} upgrading to version {wanted}"
            ));
        }
        let asked_for: Vec<&str> = self
            .desired
            .workers
            .iter()
            .map(|workers| workers.name.as_str())
            .collect();
        for (topology, deployment) in &self.progress.deployments {
            if !asked_for.contains(&topology.as_str()) && !is_deleting(deployment) {
                let (space, own) = (namespace(deployment), name(deployment));
                unless_gone(self.cx.cluster.api().delete(
                    &MACHINE_DEPLOYMENTS,
                    space,
                    own,
                    &Deletion::default(),
                ))?;
            }
        }
        Ok(())
    }

    /// Whether an upgrade is under way.
    fn upgrades(&self) -> bool {
        self.is_pending(Hook::AfterClusterUpgrade)
    }

    /// The hooks after everything has moved.
    pub(super) fn finish(&mut self) -> Result<(), Trouble> {
        let done =
            self.pending.is_empty() && self.waits.is_empty() && self.progress.plane_is_stable();
        if !done || !self.upgrades() {
            return Ok(());
        }
        for hook in [Hook::AfterWorkersUpgrade, Hook::AfterClusterUpgrade] {
            if self.is_pending(hook) {
                if !self.ask(hook)? {
                    return Ok(());
                }
                self.set_pending(&[hook], false)?;
            }
        }
        Ok(())
    }
}
