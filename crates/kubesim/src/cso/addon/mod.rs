//! ClusterAddons: a release's addons on a Cluster, when a hook or another class asks for them.

mod create;
mod prune;
mod stages;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Operator;
use super::apply::{self, apply_all, skips_news};
use super::kinds::{ADDONS, MANAGER, errs, fails, holds, sum_up};
use super::names;
use super::process::{Fault, cluster_of, is_start};
use super::releases::{CREATED, Metadata, Objects, UPGRADED};
use crate::capi::kinds::{CLUSTERS, OLDER};
use crate::capi::{referred, workload_name};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{annotation, is_deleting, name, namespace, set_in_metadata, text, truth};
use crate::resource::GroupResource;
use crate::resource::builtin::{PODS, SECRETS};
use crate::store::Change;

pub(super) use create::Creation;

/// Until something that the Cluster or the release still lacks is looked for again.
const SOON: Duration = Duration::from_secs(10);
/// Until objects, conditions and clean-ups are tried again.
const AGAIN: Duration = Duration::from_secs(20);
/// Says whether the addons came with the Cluster or with an upgrade; set once.
const STAGE: &str = "ClusterAddonStage";
/// What holds a ClusterAddon.
const FINALIZER: &str = "clusteraddon.clusterstack.x-k8s.io";

/// The controller.
pub(super) struct Addons(pub(super) Operator);

/// The class that a Cluster asks for.
fn class_of(cluster: &Value) -> &str {
    text(cluster, "/spec/topology/classRef/name")
}

impl Controller for Addons {
    fn name(&self) -> &'static str {
        "cso-clusteraddon"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![ADDONS, CLUSTERS, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let object = &change.object.value;
        if change.resource == ADDONS {
            return vec![Key::of(change)];
        }
        if change.resource == CLUSTERS {
            let before = change.previous.as_ref();
            let other = before.is_some_and(|before| class_of(&before.value) != class_of(object));
            let key = Key::new(namespace(object), &super::hooks::addon_name(name(object)));
            return other.then_some(key).into_iter().collect();
        }
        let all = is_start(change).then(|| cluster.api().list(&ADDONS, None));
        let all = all.into_iter().flatten();
        all.map(|one| Key::new(namespace(&one), name(&one)))
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        if let Some(left) = self.0.down_for() {
            return Ok(Next::After(left));
        }
        let api = cx.cluster.api();
        let Some(stored) = api.get(&ADDONS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&stored) {
            let released = crate::capi::release(cx.cluster, &ADDONS, &stored, FINALIZER);
            return released.map(|()| Next::Change);
        }
        let cluster = api.get(&CLUSTERS, &key.namespace, cluster_of(&stored));
        let Some(cluster) = cluster.filter(|cluster| !is_deleting(cluster)) else {
            return Ok(Next::Change);
        };
        crate::capi::hold(cx.cluster, &ADDONS, &stored, FINALIZER)?;
        let mut visit = Visit {
            operator: &self.0,
            management: cx.cluster,
            addon: (*stored).clone(),
            cluster,
            now: api.clock().stamp(),
        };
        let workload = cx
            .simulation
            .cluster(&workload_name(&key.namespace, name(&visit.cluster)));
        let outcome = visit.work(workload);
        if matches!(outcome, Err(Stop::Panicked)) {
            // Nothing that it had in mind was written.
            return Ok(Next::Change);
        }
        sum_up(&mut visit.addon, &visit.now);
        let Visit { addon, .. } = visit;
        api.modify(&ADDONS, &key.namespace, &key.name, MANAGER, |live| {
            live["spec"] = addon["spec"].clone();
            live["status"] = addon["status"].clone();
            if let Some(stage) = annotation(&addon, STAGE) {
                set_in_metadata(live, "annotations", STAGE, stage);
            }
        })?;
        match outcome {
            Ok(next) => Ok(next),
            Err(Stop::Again(after)) => Ok(Next::After(after)),
            Err(Stop::Failed(why)) => Err(ApiError::new(500, "InternalError", why)),
            Err(Stop::Panicked) => Ok(Next::Change),
        }
    }
}

/// Why a reconciliation ended before its end.
enum Stop {
    /// It is to be tried again after this.
    Again(Duration),
    /// It failed: tried again with a growing pause.
    Failed(String),
    /// The process is gone.
    Panicked,
}

/// One reconciliation of a ClusterAddon.
struct Visit<'a> {
    operator: &'a Operator,
    management: &'a Cluster,
    /// The ClusterAddon, written at the end.
    addon: Value,
    cluster: Arc<Value>,
    now: String,
}

impl Visit<'_> {
    fn work(&mut self, workload: Option<Cluster>) -> Result<Next, Stop> {
        let class = class_of(&self.cluster).to_owned();
        let applied = text(&self.addon, "/spec/clusterStack").to_owned();
        if truth(&self.addon, "/status/ready") && applied == class {
            return Ok(Next::After(super::stack::RESYNC));
        }
        let workload = self.reached(workload)?;
        let tag = names::of_class(&class);
        let metadata = self.release(&tag)?;
        if metadata.staged {
            self.staged(&workload, &applied, &class, &metadata)
        } else {
            self.single(&workload, &class, &metadata)
        }
    }

    /// The workload cluster, once it answers.
    fn reached(&mut self, workload: Option<Cluster>) -> Result<Cluster, Stop> {
        let api = self.management.api();
        let secret = format!("{}-kubeconfig", name(&self.cluster));
        let secret = api.get(&SECRETS, namespace(&self.cluster), &secret);
        let initialized = super::kinds::is_true(&self.cluster, "ControlPlaneInitialized");
        match workload {
            Some(workload) if secret.is_some() && initialized => {
                holds(&mut self.addon, "ClusterReady", &self.now);
                Ok(workload)
            }
            _ => {
                let message = "control plane is not ready yet";
                fails(
                    &mut self.addon,
                    "ClusterReady",
                    "ControlPlaneNotReady",
                    message,
                    &self.now,
                );
                Err(Stop::Again(SOON))
            }
        }
    }

    /// A release in the release directory.
    fn release(&mut self, tag: &str) -> Result<Metadata, Stop> {
        let kind = "ClusterStackReleaseDownloaded";
        if !self.operator.is_downloaded(tag) {
            let message = format!("release assets of {tag} are not downloaded yet");
            fails(
                &mut self.addon,
                kind,
                "ReleaseAssetsNotDownloadedYet",
                &message,
                &self.now,
            );
            return Err(Stop::Again(SOON));
        }
        match self.operator.releases().metadata(tag) {
            Ok(metadata) => {
                holds(&mut self.addon, kind, &self.now);
                Ok(metadata)
            }
            Err(why) => {
                errs(
                    &mut self.addon,
                    kind,
                    "IssueWithReleaseAssets",
                    &why,
                    &self.now,
                );
                Err(Stop::Again(SOON))
            }
        }
    }

    /// The release before. Whoever reads it although it could not be read gets nothing to look at.
    fn old_release(&mut self, class: &str) -> Result<(String, Metadata), Stop> {
        let tag = names::of_class(class);
        if class.is_empty() || self.operator.has(Fault::Panics) {
            self.operator.note(Fault::Panics);
            let why = "panic: runtime error: invalid memory address or nil pointer dereference [recovered]\ngithub.com/SovereignCloudStack/cluster-stack-operator/internal/controller.(*ClusterAddonReconciler).Reconcile";
            self.operator.panic(self.management, why);
            return Err(Stop::Panicked);
        }
        let metadata = self.release(&tag)?;
        Ok((tag, metadata))
    }

    fn single(&mut self, workload: &Cluster, class: &str, new: &Metadata) -> Result<Next, Stop> {
        if text(&self.addon, "/spec/version") == new.addon {
            return Ok(self.arrived(class));
        }
        let tag = names::of_class(class);
        let stages = self.operator.releases().stages(&tag, CREATED);
        let objects = self.objects();
        let mut rendered = Vec::new();
        for stage in &stages {
            let chart = stage.name.as_str();
            match self
                .operator
                .releases()
                .addon(&tag, chart, Some(chart), &objects)
            {
                Ok(some) => rendered.extend(some),
                Err(error) => {
                    let message = error.message(chart);
                    errs(
                        &mut self.addon,
                        "HelmChartTemplated",
                        "TemplateNewClusterStackFailed",
                        &message,
                        &self.now,
                    );
                    return Err(Stop::Again(AGAIN));
                }
            }
        }
        holds(&mut self.addon, "HelmChartTemplated", &self.now);
        self.applied(workload, &rendered)?;
        self.addon["spec"]["version"] = json!(new.addon);
        holds(&mut self.addon, "HelmChartApplied", &self.now);
        Ok(self.arrived(class))
    }

    fn staged(
        &mut self,
        workload: &Cluster,
        applied: &str,
        class: &str,
        new: &Metadata,
    ) -> Result<Next, Stop> {
        let hook = text(&self.addon, "/spec/hook").to_owned();
        if applied.is_empty() && hook != UPGRADED {
            if hook != CREATED {
                return Ok(Next::Change);
            }
            self.addon["spec"]["version"] = json!(new.addon);
            self.marked("created");
            self.stages(workload, class, CREATED, None)?;
            return Ok(self.finished(class));
        }
        let (old, before) = self.old_release(applied)?;
        let same_version = text(&self.addon, "/spec/version") == new.addon;
        if before.kubernetes == new.kubernetes {
            if same_version {
                return Ok(self.arrived(class));
            }
            self.addon["spec"]["version"] = json!(new.addon);
            self.addon["status"]["ready"] = json!(false);
        } else {
            self.addon["spec"]["version"] = json!(new.addon);
            if hook != UPGRADED {
                return Ok(Next::Change);
            }
        }
        self.marked("upgraded");
        self.stages(workload, class, UPGRADED, Some(&old))?;
        self.prune(workload, class, &old)?;
        let next = self.finished(class);
        if self.operator.once(Fault::RestartsWhenDone) {
            self.operator.restart(self.management);
        }
        Ok(next)
    }

    fn marked(&mut self, stage: &str) {
        if annotation(&self.addon, STAGE).is_none() {
            set_in_metadata(&mut self.addon, "annotations", STAGE, stage);
        }
    }

    /// All stages are done.
    fn finished(&mut self, class: &str) -> Next {
        if !self.operator.has(Fault::KeepsHook) {
            self.addon["spec"]["hook"] = json!("");
        } else {
            self.operator.note(Fault::KeepsHook);
        }
        self.addon["status"]["stages"] = json!([]);
        holds(&mut self.addon, "HelmChartApplied", &self.now);
        self.arrived(class)
    }

    fn arrived(&mut self, class: &str) -> Next {
        self.addon["spec"]["clusterStack"] = json!(class);
        self.addon["status"]["ready"] = json!(true);
        Next::After(super::stack::RESYNC)
    }

    /// The objects that values are templated with: the Cluster as the operator reads it, and what it
    /// refers to.
    fn objects(&self) -> Objects {
        let catalogue = self.management.api().catalogue();
        let older = format!("cluster.x-k8s.io/{OLDER}");
        let cluster = catalogue
            .convert(&CLUSTERS, (*self.cluster).clone(), &older)
            .unwrap_or_default();
        let of = |field: &str| {
            let reference = &cluster["spec"][field];
            let found = referred(self.management, namespace(&self.cluster), reference)?;
            let resource = catalogue.of_kind(text(&found, "/apiVersion"), text(&found, "/kind"))?;
            let wanted = text(reference, "/apiVersion");
            catalogue
                .convert(&resource.id, (*found).clone(), wanted)
                .ok()
        };
        Objects {
            control_plane: of("controlPlaneRef").unwrap_or_default(),
            infrastructure: of("infrastructureRef").unwrap_or_default(),
            cluster,
        }
    }

    /// Applies objects to the workload cluster.
    fn applied(&mut self, workload: &Cluster, objects: &[Value]) -> Result<(), Stop> {
        let skip = self.operator.has(Fault::SkipsSynced);
        if skip && skips_news(workload, &self.addon, objects) {
            self.operator.note(Fault::SkipsSynced);
        }
        let wrong = apply_all(
            workload,
            &mut self.addon,
            objects,
            apply::ADDONS,
            skip,
            |_| Ok(()),
        );
        if wrong.is_empty() {
            return Ok(());
        }
        let message = format!("failed to apply objects: {}", wrong.join("; "));
        errs(
            &mut self.addon,
            "HelmChartApplied",
            "FailedToApplyObjects",
            &message,
            &self.now,
        );
        Err(Stop::Again(AGAIN))
    }
}
