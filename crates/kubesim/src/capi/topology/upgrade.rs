//! When which part of a Cluster may move to another version: the control plane first, then workers, with
//! the hooks in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::super::access::{machines, referred};
use super::super::hooks::Hook;
use super::super::kinds::{
    CLUSTER_NAME, DEPLOYMENT_NAME, MACHINE_DEPLOYMENTS, TOPOLOGY_DEPLOYMENT,
};
use super::super::webhooks::version;
use super::calls::Hooks;
use super::{Trouble, plan};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{annotation, label, list, name, namespace, text};

/// How many MachineDeployments move at a time; one unless the Cluster says otherwise.
const CONCURRENCY: &str = "topology.cluster.x-k8s.io/upgrade-concurrency";
/// On a MachineDeployment of the topology: it stays as it is while this is there.
pub(super) const DEFER: &str = "topology.cluster.x-k8s.io/defer-upgrade";
/// On a MachineDeployment of the topology: it and those after it wait.
pub(super) const SEQUENCE: &str = "topology.cluster.x-k8s.io/hold-upgrade-sequence";

/// How far the control plane is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Plane {
    /// It does not tell a version yet.
    pub provisioning: bool,
    /// It is not yet told the version that is asked for.
    pub pending: bool,
    /// It is told another version just now.
    pub starting: bool,
    /// It has not arrived at the version that it was told.
    pub upgrading: bool,
    /// Workers have to come to its version before it may go on.
    waiting: bool,
}

impl Plane {
    fn is_stable(self) -> bool {
        !(self.provisioning || self.upgrading || self.starting || self.pending)
    }

    fn lets_workers_move(self) -> bool {
        let pending = self.pending && !self.waiting;
        !(self.provisioning || self.upgrading || self.starting || pending)
    }
}

/// The parts of a Cluster as they are, and where they go.
pub(super) struct Progress {
    /// The control plane's object.
    pub plane: Option<Arc<Value>>,
    /// MachineDeployments by their names in the topology.
    pub deployments: BTreeMap<String, Arc<Value>>,
    /// How far the control plane is.
    pub state: Plane,
    /// What the control plane passes.
    pub plane_plan: Vec<String>,
    /// What workers pass.
    pub worker_plan: Vec<String>,
    /// MachineDeployments that move.
    pub moving: BTreeSet<String>,
    /// Those that are to move later; they are left alone until then.
    pub pending: BTreeSet<String>,
    /// Those that annotations keep from moving.
    pub deferred: BTreeSet<String>,
    /// Those, by their names in the topology, that are to be made later.
    pub uncreated: BTreeSet<String>,
}

impl Progress {
    pub(super) fn of(
        management: &Cluster,
        cluster: &Value,
        class: &Value,
    ) -> Result<Self, Trouble> {
        let (space, own) = (namespace(cluster), name(cluster));
        let reference = &cluster["spec"]["controlPlaneRef"];
        let plane = referred(management, space, reference);
        if reference.is_object() && plane.is_none() {
            return Err(Trouble::Failed(format!(
                "error reading current state of the Cluster topology: failed to read {} {space}/{}: not found",
                text(reference, "/kind"),
                text(reference, "/name")
            )));
        }
        let of_cluster = [(CLUSTER_NAME, own)];
        let all = management
            .api()
            .labelled(&MACHINE_DEPLOYMENTS, Some(space), &of_cluster);
        let deployments: BTreeMap<_, _> = all
            .into_iter()
            .filter_map(|one| Some((label(&one, TOPOLOGY_DEPLOYMENT)?.to_owned(), one)))
            .collect();
        let machines = machines(management, space, own, |_| true);
        let moving = deployments
            .values()
            .filter(|deployment| {
                let at = text(deployment, "/spec/template/spec/version");
                let mut of = machines
                    .iter()
                    .filter(|machine| label(machine, DEPLOYMENT_NAME) == Some(name(deployment)));
                of.any(|machine| text(machine, "/spec/version") != at)
            })
            .map(|deployment| name(deployment).to_owned())
            .collect();
        let mut progress = Self {
            plane,
            deployments,
            state: Plane::default(),
            plane_plan: Vec::new(),
            worker_plan: Vec::new(),
            moving,
            pending: BTreeSet::new(),
            deferred: BTreeSet::new(),
            uncreated: BTreeSet::new(),
        };
        progress.make_plans(text(cluster, "/spec/topology/version"), class)?;
        Ok(progress)
    }

    fn make_plans(&mut self, wanted: &str, class: &Value) -> Result<(), Trouble> {
        let Some(plane) = &self.plane else {
            return Ok(());
        };
        let present = text(plane, "/spec/version");
        let known = list(class, "/spec/kubernetesVersions").iter();
        let known: Vec<&str> = known.filter_map(Value::as_str).collect();
        self.plane_plan = plan::of_plane(&known, present, wanted).map_err(Trouble::desired)?;
        let lowest = self.lowest().map(str::to_owned);
        self.worker_plan = plan::of_workers((present, &self.plane_plan), lowest.as_deref(), wanted);
        Ok(())
    }

    /// The lowest version of any MachineDeployment.
    fn lowest(&self) -> Option<&str> {
        let versions = self.deployments.values();
        versions
            .map(|deployment| text(deployment, "/spec/template/spec/version"))
            .min_by_key(|text| version(text))
    }

    /// The version that the control plane is to have now; asks the hooks on the way.
    pub(super) fn plane_version(
        &mut self,
        hooks: &mut Hooks<'_>,
        wanted: &str,
    ) -> Result<String, Trouble> {
        let Some(plane) = &self.plane else {
            return Ok(wanted.to_owned());
        };
        let present = text(plane, "/spec/version").to_owned();
        let reached = text(plane, "/status/version").to_owned();
        self.state.pending = present != wanted;
        if reached.is_empty() {
            self.state.provisioning = true;
            return Ok(present);
        }
        if version(&present) > version(&reached) {
            self.state.upgrading = true;
            return Ok(present);
        }
        for hook in [Hook::AfterControlPlaneUpgrade, Hook::BeforeWorkersUpgrade] {
            if !hooks.ask_if_pending(hook)? {
                return Ok(present);
            }
        }
        if self.worker_plan.first() == Some(&present) {
            self.state.waiting = true;
            return Ok(present);
        }
        if !self.moving.is_empty() {
            return Ok(present);
        }
        if !hooks.ask_if_pending(Hook::AfterWorkersUpgrade)? {
            return Ok(present);
        }
        if !self.state.pending {
            return Ok(present);
        }
        if !hooks.ask_before_upgrade()? {
            return Ok(present);
        }
        hooks.set_pending(&[Hook::AfterClusterUpgrade], true)?;
        let Some(next) = self.plane_plan.first().cloned() else {
            let why = "cannot compute the control plane version if the control plane is pending upgrade and the upgrade plan is not set";
            return Err(Trouble::desired(why.to_owned()));
        };
        if !hooks.ask(Hook::BeforeControlPlaneUpgrade)? {
            return Ok(present);
        }
        let mut later = vec![Hook::AfterControlPlaneUpgrade];
        if self.worker_plan.first() == Some(&next) {
            later.extend([Hook::BeforeWorkersUpgrade, Hook::AfterWorkersUpgrade]);
        }
        hooks.set_pending(&later, true)?;
        self.state.starting = true;
        self.state.pending = false;
        Ok(next)
    }

    /// The version that a MachineDeployment of the topology is to have now.
    pub(super) fn worker_version(
        &mut self,
        hooks: &Hooks<'_>,
        cluster: &Value,
        entry: &Value,
    ) -> String {
        let wanted = text(cluster, "/spec/topology/version");
        let blocks = hooks.is_blocking(Hook::AfterControlPlaneUpgrade)
            || hooks.is_blocking(Hook::BeforeWorkersUpgrade);
        let Some(deployment) = self.deployments.get(text(entry, "/name")) else {
            if !self.state.is_stable() || blocks {
                self.uncreated.insert(text(entry, "/name").to_owned());
            }
            return wanted.to_owned();
        };
        let present = text(deployment, "/spec/template/spec/version").to_owned();
        if present == wanted {
            return present;
        }
        let own = name(deployment).to_owned();
        if is_deferred(cluster, entry) {
            self.deferred.insert(own.clone());
            self.pending.insert(own);
            return present;
        }
        let most = annotation(cluster, CONCURRENCY).and_then(|text| text.parse().ok());
        let free = self.moving.len() < most.unwrap_or(1) && self.state.lets_workers_move();
        match self.worker_plan.first() {
            Some(next) if free && !blocks && *next != present => {
                self.moving.insert(own);
                next.clone()
            }
            _ => {
                self.pending.insert(own);
                present
            }
        }
    }

    /// Whether anything of an upgrade is still to come.
    pub(super) fn is_under_way(&self) -> bool {
        self.state.pending
            || self.state.starting
            || self.state.upgrading
            || !self.pending.is_empty()
            || !self.moving.is_empty()
            || !self.deferred.is_empty()
            || !self.uncreated.is_empty()
    }

    /// Calls the hooks that tell of what has been reached.
    pub(super) fn tell(
        &self,
        management: &Cluster,
        hooks: &mut Hooks<'_>,
        cluster: &Value,
    ) -> Result<(), Trouble> {
        let initialized = super::super::conditions::get(cluster, "ControlPlaneInitialized");
        if initialized.is_some_and(|(status, ..)| status == "True")
            && hooks.is_pending(Hook::AfterControlPlaneInitialized)
        {
            // Extensions are told; they cannot block here.
            hooks.tell(management, Hook::AfterControlPlaneInitialized)?;
            hooks.set_pending(&[Hook::AfterControlPlaneInitialized], false)?;
        }
        let earlier = [Hook::AfterControlPlaneUpgrade, Hook::AfterWorkersUpgrade];
        if hooks.is_pending(Hook::AfterClusterUpgrade)
            && !earlier.iter().any(|hook| hooks.is_pending(*hook))
            && self.state.is_stable()
            && !self.is_under_way()
        {
            hooks.ask_if_pending(Hook::AfterClusterUpgrade)?;
        }
        Ok(())
    }
}

/// Whether annotations in the topology keep a MachineDeployment from moving: its own, or the one that
/// holds the sequence on one before it.
fn is_deferred(cluster: &Value, entry: &Value) -> bool {
    let has = |entry: &Value, key: &str| entry["metadata"]["annotations"].get(key).is_some();
    if has(entry, DEFER) || has(entry, SEQUENCE) {
        return true;
    }
    let before = list(cluster, "/spec/topology/workers/machineDeployments").iter();
    let mut before = before.take_while(|one| one["name"] != entry["name"]);
    before.any(|one| has(one, SEQUENCE))
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Failed(format!(
            "error reconciling the Cluster topology: {}",
            error.message
        ))
    }
}
