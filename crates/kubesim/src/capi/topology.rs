//! Clusters with a topology: made from a class, and moved to another version part by part, the control
//! plane first, with the lifecycle hooks in between.

mod apply;
mod upgrade;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Options;
use super::conditions::{self, State};
use super::desired::{self, Desired};
use super::hooks::{Hook, HookAnswer, RuntimeExtension};
use super::kinds::{
    CLUSTER_CLASSES, CLUSTER_NAME, CLUSTERS, CONTROL_PLANES, MACHINE_DEPLOYMENTS, MACHINES, OWNED,
    PENDING_HOOKS,
};
use super::patches::Templates;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{annotation, is_deleting, label, name, namespace, set_in_metadata, text};
use crate::resource::GroupResource;
use crate::store::Change;

use upgrade::Progress;

const MANAGER: &str = "capi-topology";
/// How long after an error it is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The controller.
pub struct Topology {
    extensions: Vec<Arc<dyn RuntimeExtension>>,
    templates: Option<Arc<dyn Templates>>,
}

impl Topology {
    /// The controller with its extensions.
    pub fn new(options: &Options) -> Self {
        Self {
            extensions: options.extensions.clone(),
            templates: options.templates.clone(),
        }
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
            let clusters = cluster.api().list(&CLUSTERS, None);
            let mine = clusters
                .iter()
                .filter(|one| text(one, "/spec/topology/classRef/name") == name(object));
            return mine
                .map(|one| Key::new(namespace(one), name(one)))
                .collect();
        }
        label(object, CLUSTER_NAME)
            .map(|owner| Key::new(namespace(object), owner))
            .into_iter()
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(cluster) = api.get(&CLUSTERS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&cluster) || !cluster["spec"]["topology"].is_object() {
            return Ok(Next::Change);
        }
        let outcome = self.bring_about(cx, &cluster);
        let (state, next) = match outcome {
            Ok(settled) => settled,
            Err(Trouble::Class(why)) => (State::no("ReconcileFailed", why), Next::After(AGAIN)),
            Err(Trouble::NotReconciled) => {
                let why = "ClusterClass not reconciled. If this condition persists please check ClusterClass status. A ClusterClass is reconciled if .status.observedGeneration == .metadata.generation is true. If this is not the case either ClusterClass reconciliation failed or the ClusterClass is paused";
                (
                    State::no("ClusterClassNotReconciled", why),
                    Next::After(Duration::from_secs(1)),
                )
            }
            Err(Trouble::Api(error)) => (
                State::no("ReconcileFailed", error.message),
                Next::After(AGAIN),
            ),
        };
        let now = api.clock().stamp();
        super::access::unless_gone(api.modify(
            &CLUSTERS,
            &key.namespace,
            &key.name,
            MANAGER,
            |cluster| {
                conditions::set(cluster, "TopologyReconciled", &state, &now);
                conditions::set_older(cluster, "TopologyReconciled", &state, &now);
            },
        ))?;
        Ok(next)
    }
}

/// Why a topology could not be brought about.
enum Trouble {
    Class(String),
    NotReconciled,
    Api(ApiError),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl Topology {
    fn bring_about(&self, cx: &mut Cx<'_>, cluster: &Value) -> Result<(State, Next), Trouble> {
        let reference = &cluster["spec"]["topology"]["classRef"];
        let space = match text(reference, "/namespace") {
            "" => namespace(cluster),
            space => space,
        };
        let class = cx
            .cluster
            .api()
            .get(&CLUSTER_CLASSES, space, text(reference, "/name"));
        let class = class.ok_or_else(|| {
            Trouble::Class(format!(
                "failed to get ClusterClass {space}/{}",
                text(reference, "/name")
            ))
        })?;
        if class["status"]["observedGeneration"] != class["metadata"]["generation"] {
            return Err(Trouble::NotReconciled);
        }
        let desired = desired::desired(cx.cluster, cluster, &class, self.templates.as_deref())
            .map_err(Trouble::Class)?;
        self.take_over(cx.cluster, cluster, &desired)?;
        let progress = Progress::of(cx.cluster, cluster);
        let mut round = Round {
            topology: self,
            cx,
            cluster,
            desired: &desired,
            progress: &progress,
            waits: BTreeMap::new(),
            pending: Vec::new(),
        };
        round.infrastructure()?;
        round.control_plane()?;
        round.workers()?;
        round.finish()?;
        let next = round
            .waits
            .values()
            .map(|(after, _)| *after)
            .min()
            .map_or(Next::Change, Next::After);
        Ok((round.state(), next))
    }

    /// The Cluster itself: its label, and the variables' defaults.
    fn take_over(
        &self,
        management: &Cluster,
        cluster: &Value,
        desired: &Desired,
    ) -> Result<(), ApiError> {
        let write = management.api().modify(
            &CLUSTERS,
            namespace(cluster),
            name(cluster),
            MANAGER,
            |cluster| {
                set_in_metadata(cluster, "labels", OWNED, "");
                let own = name(cluster).to_owned();
                set_in_metadata(cluster, "labels", CLUSTER_NAME, &own);
                if !desired.variables.is_empty() {
                    cluster["spec"]["topology"]["variables"] = json!(desired.variables);
                }
                if cluster["spec"]["controlPlaneRef"].is_null() {
                    // A hook that is to be called once the control plane answers.
                    set_in_metadata(
                        cluster,
                        "annotations",
                        PENDING_HOOKS,
                        Hook::AfterControlPlaneInitialized.name(),
                    );
                }
            },
        );
        write.map(drop)
    }

    /// Asks every extension; the first that does not say success decides.
    fn call(&self, management: &Cluster, hook: Hook, cluster: &Value) -> HookAnswer {
        for extension in &self.extensions {
            match extension.call(management, hook, cluster) {
                HookAnswer::Success => {}
                HookAnswer::Retry(after, why) => {
                    return HookAnswer::Retry(after, format!("{}: {why}", extension.name()));
                }
                HookAnswer::Failure(why) => {
                    return HookAnswer::Failure(format!("{}: {why}", extension.name()));
                }
            }
        }
        HookAnswer::Success
    }
}

/// One reconciliation.
struct Round<'a, 'c> {
    topology: &'a Topology,
    cx: &'a mut Cx<'c>,
    cluster: &'a Value,
    desired: &'a Desired,
    progress: &'a Progress,
    /// Hooks that block, until when and why.
    waits: BTreeMap<Hook, (Duration, String)>,
    /// What is still to be moved, in the words of the condition.
    pending: Vec<String>,
}

impl Round<'_, '_> {
    fn version(&self) -> &str {
        text(self.cluster, "/spec/topology/version")
    }

    /// Whether a hook is still to be called.
    fn is_pending(&self, hook: Hook) -> bool {
        let held =
            self.cx
                .cluster
                .api()
                .get(&CLUSTERS, namespace(self.cluster), name(self.cluster));
        held.is_some_and(|cluster| {
            let hooks = annotation(&cluster, PENDING_HOOKS).unwrap_or_default();
            hooks.split(',').any(|one| one == hook.name())
        })
    }

    /// Notes hooks as to be called, or as called.
    fn set_pending(&self, hooks: &[Hook], pending: bool) -> Result<(), ApiError> {
        let (space, own) = (namespace(self.cluster), name(self.cluster));
        let write = self
            .cx
            .cluster
            .api()
            .modify(&CLUSTERS, space, own, MANAGER, |cluster| {
                let held = annotation(cluster, PENDING_HOOKS)
                    .unwrap_or_default()
                    .to_owned();
                let mut held: Vec<&str> = held.split(',').filter(|hook| !hook.is_empty()).collect();
                for hook in hooks {
                    held.retain(|one| *one != hook.name());
                    if pending {
                        held.push(hook.name());
                    }
                }
                held.sort_unstable();
                if held.is_empty() {
                    if let Some(annotations) = cluster["metadata"]["annotations"].as_object_mut() {
                        annotations.shift_remove(PENDING_HOOKS);
                    }
                } else {
                    set_in_metadata(cluster, "annotations", PENDING_HOOKS, &held.join(","));
                }
            });
        write.map(drop)
    }

    /// Calls a hook; whether the way is free.
    fn ask(&mut self, hook: Hook) -> Result<bool, Trouble> {
        match self.topology.call(self.cx.cluster, hook, self.cluster) {
            HookAnswer::Success => Ok(true),
            HookAnswer::Retry(after, why) => {
                self.waits.insert(hook, (after, why));
                Ok(false)
            }
            HookAnswer::Failure(why) => Err(Trouble::Class(format!(
                "failed to call extension handlers for hook \"{}.hooks.runtime.cluster.x-k8s.io\": {why}",
                hook.name()
            ))),
        }
    }

    /// The condition TopologyReconciled.
    fn state(&self) -> State {
        let mut lines: Vec<String> = self
            .waits
            .iter()
            .map(|(hook, (_, why))| format!("  * {} hook is blocking: {why}", hook.name()))
            .collect();
        lines.extend(self.pending.iter().map(|line| format!("  * {line}")));
        if lines.is_empty() {
            return State::yes("ReconcileSucceeded");
        }
        let version = self.version();
        State::no(
            "ClusterUpgrading",
            format!("Cluster is upgrading to {version}\n{}", lines.join("\n")),
        )
    }
}
