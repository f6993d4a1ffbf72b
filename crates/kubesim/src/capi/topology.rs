//! Clusters with a topology: made from a class, and moved to another version part by part, the control
//! plane first, with the lifecycle hooks in between.

mod apply;
mod calls;
mod known;
mod plan;
mod report;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Options;
use super::access::unless_gone;
use super::conditions::{self, State};
use super::desired::Desired;
use super::hooks::Hook;
use super::kinds::{
    CLUSTER_CLASSES, CLUSTER_NAME, CLUSTERS, CONTROL_PLANES, MACHINE_DEPLOYMENTS, MACHINES, OWNED,
};
use super::patches::Templates;
use super::webhooks::class_of;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{
    annotation, is_deleting, label, name, namespace, set_in_metadata, text, truth, uid,
};
use crate::resource::GroupResource;
use crate::store::Change;

use calls::{Calls, Hooks};
use known::{Done, Known};
use upgrade::Progress;

const MANAGER: &str = "capi-topology";
/// How long after an error it is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Set when a Cluster's deletion may begin.
pub(super) const OK_TO_DELETE: &str = "runtime.cluster.x-k8s.io/ok-to-delete";
/// The version that an upgrade is at, while there is one.
const STEP: &str = "topology.internal.cluster.x-k8s.io/upgrade-step";

/// The controller.
pub struct Topology {
    calls: Calls,
    templates: Option<Arc<dyn Templates>>,
    known: Known,
    done: Done,
}

impl Topology {
    /// The controller with its extensions.
    pub fn new(options: &Options) -> Self {
        Self {
            calls: Calls::new(&options.extensions),
            templates: options.templates.clone(),
            known: Known::default(),
            done: Done::default(),
        }
    }
}

/// Why a topology could not be brought about.
enum Trouble {
    Failed(String),
}

impl Trouble {
    /// What is asked for cannot be computed.
    fn desired(why: String) -> Self {
        Self::Failed(format!(
            "error computing the desired state of the Cluster topology: {why}"
        ))
    }
}

impl Controller for Topology {
    fn name(&self) -> &'static str {
        MANAGER
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![
            CLUSTERS,
            CLUSTER_CLASSES,
            CONTROL_PLANES,
            MACHINE_DEPLOYMENTS,
            MACHINES,
        ]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let object = &change.object.value;
        if change.resource == CLUSTERS {
            return vec![Key::of(change)];
        }
        if change.resource == CLUSTER_CLASSES {
            let class = (namespace(object), name(object));
            let clusters = cluster.api().list(&CLUSTERS, None);
            let mine = clusters.iter().filter(|one| class_of(one) == class);
            return mine
                .map(|one| Key::new(namespace(one), name(one)))
                .collect();
        }
        // Of Machines, only that they are there and at which version.
        let before = change.previous.as_ref();
        let same = |before: &Value| before["spec"]["version"] == object["spec"]["version"];
        let modified = change.kind == crate::store::ChangeKind::Modified;
        if change.resource == MACHINES && modified && before.is_some_and(|one| same(&one.value)) {
            return Vec::new();
        }
        let owner = label(object, CLUSTER_NAME);
        owner
            .map(|owner| Key::new(namespace(object), owner))
            .into_iter()
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(cluster) = api.get(&CLUSTERS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if !cluster["spec"]["topology"].is_object() {
            return Ok(Next::Change);
        }
        if cx.simulation.is_thorough() || is_deleting(&cluster) {
            self.done.forget(&cluster);
        }
        let outcome = if truth(&cluster, "/spec/paused") {
            let state = State::no("Paused", "Cluster spec.paused is set to true");
            Ok((state, Next::Change))
        } else if is_deleting(&cluster) {
            self.let_go(cx.cluster, &cluster)
        } else {
            self.bring_about(cx.cluster, &cluster)
        };
        let (state, next) = match outcome {
            Ok(settled) => settled,
            Err(Trouble::Failed(why)) => (State::no("ReconcileFailed", why), Next::After(AGAIN)),
        };
        let mut older = state.clone();
        if older.reason == "ReconcileFailed" {
            "TopologyReconcileFailed".clone_into(&mut older.reason);
        }
        let now = api.clock().stamp();
        unless_gone(
            api.modify(&CLUSTERS, &key.namespace, &key.name, MANAGER, |cluster| {
                conditions::set(cluster, "TopologyReconciled", &state, &now);
                conditions::set_older(cluster, "TopologyReconciled", &older, &now);
            }),
        )?;
        Ok(next)
    }
}

fn class(management: &Cluster, cluster: &Value) -> Result<Arc<Value>, Trouble> {
    let (space, own) = class_of(cluster);
    let found = management.api().get(&CLUSTER_CLASSES, space, own);
    let class = found.ok_or_else(|| {
        Trouble::Failed(format!(
            "failed to retrieve ClusterClass {space}/{own}: clusterclasses.cluster.x-k8s.io \"{own}\" not found"
        ))
    })?;
    let ready = conditions::get(&class, "VariablesReady");
    if ready.is_none_or(|(status, ..)| status == "False") {
        let why = "ClusterClass is not successfully reconciled: status of VariablesReady condition on ClusterClass must be \"True\"";
        return Err(Trouble::Failed(why.to_owned()));
    }
    let (seen, wanted) = (
        &class["status"]["observedGeneration"],
        &class["metadata"]["generation"],
    );
    if seen != wanted {
        let seen = seen.as_i64().unwrap_or(0);
        return Err(Trouble::Failed(format!(
            "ClusterClass is not successfully reconciled: ClusterClass.status.observedGeneration must be {wanted}, but is {seen}"
        )));
    }
    Ok(class)
}

impl Topology {
    fn bring_about(
        &mut self,
        management: &Cluster,
        cluster: &Arc<Value>,
    ) -> Result<(State, Next), Trouble> {
        let class = class(management, cluster)?;
        let templates = self.templates.as_deref();
        let desired = self.known.desired(management, cluster, &class, templates);
        let desired = desired.map_err(Trouble::Failed)?;
        let mut progress = Progress::of(management, cluster, &class)?;
        let mut hooks = Hooks::new(&mut self.calls, management, cluster);
        let is_new = cluster["spec"]["controlPlaneRef"].is_null()
            && cluster["spec"]["infrastructureRef"].is_null();
        if is_new {
            if !hooks.ask(Hook::BeforeClusterCreate)? {
                let why = hooks.message("Cluster topology creation");
                let state = State::no("ClusterCreating", why.unwrap_or_default());
                return Ok((state, hooks.again().map_or(Next::Change, Next::After)));
            }
            hooks.set_pending(&[Hook::AfterControlPlaneInitialized], true)?;
        }
        let wanted = text(cluster, "/spec/topology/version").to_owned();
        let plane = progress.plane_version(&mut hooks, &wanted)?;
        let versions: Vec<String> = desired
            .workers
            .iter()
            .map(|workers| progress.worker_version(&hooks, cluster, &workers.topology))
            .collect();
        progress.tell(management, &mut hooks, cluster)?;
        let round = Round {
            management,
            cluster,
            class: &class,
            desired: &desired,
            progress: &progress,
        };
        round.take_over(
            hooks
                .is_pending(Hook::AfterClusterUpgrade)
                .then_some(&*plane),
        )?;
        let done = &mut self.done;
        done.unless_done(cluster, "infrastructure", (&desired, ""), || {
            round.infrastructure()
        })?;
        if !progress.state.pending {
            let part = format!(
                "control plane {}",
                progress.plane.as_deref().map_or("", uid)
            );
            done.unless_done(cluster, &part, (&desired, &plane), || {
                round.set_control_plane(progress.plane.as_deref(), &plane)
            })?;
        }
        round.workers(&versions, done)?;
        let state = report::state(cluster, &progress, &hooks, &plane);
        Ok((state, hooks.again().map_or(Next::Change, Next::After)))
    }

    /// Before a Cluster is deleted, extensions are asked.
    fn let_go(&mut self, management: &Cluster, cluster: &Value) -> Result<(State, Next), Trouble> {
        let mut hooks = Hooks::new(&mut self.calls, management, cluster);
        let free =
            annotation(cluster, OK_TO_DELETE).is_some() || hooks.ask(Hook::BeforeClusterDelete)?;
        let again = hooks.again().map_or(Next::Change, Next::After);
        let blocked = hooks.message("delete");
        if free {
            let (space, own) = (namespace(cluster), name(cluster));
            unless_gone(
                management
                    .api()
                    .modify(&CLUSTERS, space, own, MANAGER, |cluster| {
                        set_in_metadata(cluster, "annotations", OK_TO_DELETE, "");
                    }),
            )?;
            self.calls.forget(uid(cluster));
            self.known.forget(cluster);
        }
        let why = match blocked {
            None => "Cluster is deleting".to_owned(),
            Some(blocked) => format!("Cluster is deleting. {blocked}"),
        };
        Ok((State::no("Deleting", why), again))
    }
}

/// One reconciliation.
struct Round<'a> {
    management: &'a Cluster,
    cluster: &'a Value,
    class: &'a Value,
    desired: &'a Arc<Desired>,
    progress: &'a Progress,
}

impl Round<'_> {
    /// The Cluster itself: its labels, its variables with their defaults, the step of an upgrade.
    fn take_over(&self, step: Option<&str>) -> Result<(), Trouble> {
        let (space, own) = (namespace(self.cluster), name(self.cluster));
        let api = self.management.api();
        api.modify(&CLUSTERS, space, own, MANAGER, |cluster| {
            set_in_metadata(cluster, "labels", OWNED, "");
            set_in_metadata(cluster, "labels", CLUSTER_NAME, own);
            set_in_metadata(cluster, "annotations", STEP, step.unwrap_or_default());
            if !self.desired.variables.is_empty() {
                cluster["spec"]["topology"]["variables"] = json!(self.desired.variables);
            }
        })?;
        Ok(())
    }
}
