//! ClusterAddons: a release's addons on a Cluster, when a hook or another class asks for them.

mod create;
mod prune;
mod stages;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Operator;
use super::apply::{self, apply_new, take_dropped};
use super::kinds::{ADDONS, MANAGER, errs, fails, holds, is_true, sum_up, warns};
use super::names;
use super::process::{Fault, cluster_of, is_start};
use super::releases::{CREATED, Metadata, Objects, UPGRADED};
use crate::capi::kinds::{CLUSTERS, OLDER};
use crate::capi::{referred, workload_name};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{
    annotation, condition, is_deleting, name, namespace, remove_condition, set_in_metadata, text,
    truth,
};
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
/// The condition that the hook looks at.
const APPLIED: &str = "HelmChartApplied";
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
        if self.0.is_locked_up() {
            // The only worker waits for its own mutex.
            return Ok(Next::Change);
        }
        let api = cx.cluster.api();
        let Some(stored) = api.get(&ADDONS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let of = cluster_of(&stored);
        let Some(cluster) = api.get(&CLUSTERS, &key.namespace, of) else {
            if is_deleting(&stored) {
                let released = crate::capi::release(cx.cluster, &ADDONS, &stored, FINALIZER);
                return released.map(|()| Next::Change);
            }
            let why = format!("failed to find cluster {}/{of}", key.namespace);
            return Err(ApiError::new(500, "InternalError", why));
        };
        // As long as there is a Cluster, one that is to be deleted is kept and looked after as any other.
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
            Ok(()) => Ok(Next::After(super::stack::RESYNC)),
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
    /// As upstream `ClusterAddonReconciler.Reconcile` does it, step by step.
    fn work(&mut self, workload: Option<Cluster>) -> Result<(), Stop> {
        let class = class_of(&self.cluster).to_owned();
        let workload = self.reached(workload)?;
        let metadata = self.release(&names::of_class(&class))?;
        if metadata.staged {
            self.staged(&workload, &class, &metadata)
        } else {
            self.single(&workload, &class, &metadata)
        }
    }

    /// The workload cluster, once it answers.
    fn reached(&mut self, workload: Option<Cluster>) -> Result<Cluster, Stop> {
        let api = self.management.api();
        let secret = format!("{}-kubeconfig", name(&self.cluster));
        let secret = api.get(&SECRETS, namespace(&self.cluster), &secret);
        let (kind, reason) = ("ClusterReady", "ControlPlaneNotReady");
        if secret.is_none() {
            let message = "kubeconfig not there (yet)";
            warns(&mut self.addon, kind, reason, message, &self.now);
            return Err(Stop::Again(SOON));
        }
        let initialized = is_true(&self.cluster, "ControlPlaneInitialized");
        let Some(workload) = workload.filter(|_| initialized) else {
            let message = "control plane not ready yet";
            fails(&mut self.addon, kind, reason, message, &self.now);
            return Err(Stop::Again(SOON));
        };
        holds(&mut self.addon, kind, &self.now);
        Ok(workload)
    }

    /// A release in the release directory.
    fn release(&mut self, tag: &str) -> Result<Metadata, Stop> {
        let kind = "ClusterStackReleaseDownloaded";
        if !self.operator.is_downloaded(tag) {
            let message = "release assets not downloaded yet".to_owned();
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

    /// The release before, fetched by this controller itself where it is missing (upstream
    /// `downloadOldClusterStackRelease`). Whoever reads it although it could not be read gets nothing to look at.
    fn old_release(&mut self, class: &str) -> Result<(String, Metadata), Stop> {
        let tag = names::of_class(class);
        if self.operator.has(Fault::Panics) {
            self.operator.note(Fault::Panics);
            return Err(self.panicked());
        }
        if !self.operator.is_downloaded(&tag) {
            let message = "assets not downloaded yet";
            let (kind, reason) = (
                "ClusterStackReleaseDownloaded",
                "ReleaseAssetsNotDownloadedYet",
            );
            fails(&mut self.addon, kind, reason, message, &self.now);
            if let Err(why) = self.operator.fetch(&tag) {
                // The mutex is not let go of on this way out, and taken again by the next attempt.
                self.operator.lock_up();
                let why = format!("failed to download release assets: {why}");
                return Err(Stop::Failed(why));
            }
            return Err(Stop::Again(SOON));
        }
        let metadata = self.release(&tag)?;
        Ok((tag, metadata))
    }

    fn panicked(&self) -> Stop {
        let why = "panic: runtime error: invalid memory address or nil pointer dereference [recovered]\ngithub.com/SovereignCloudStack/cluster-stack-operator/internal/controller.(*ClusterAddonReconciler).Reconcile";
        self.operator.panic(self.management, why);
        Stop::Panicked
    }

    /// A release without `clusteraddon.yaml`. Whether a hook asks for it makes no difference: one that comes while
    /// the chart is being applied takes `HelmChartApplied` away, and nobody brings it back, since only what a
    /// reconciliation has changed is written at its end (SovereignCloudStack/cluster-stack-operator#272).
    fn single(&mut self, workload: &Cluster, class: &str, new: &Metadata) -> Result<(), Stop> {
        if text(&self.addon, "/spec/clusterStack") != class {
            if text(&self.addon, "/spec/version") != new.addon {
                let own = (namespace(&self.addon), name(&self.addon));
                let was = is_true(&self.addon, APPLIED);
                let was = self.operator.applying(own, was).map_err(Stop::Again)?;
                self.addon["status"]["ready"] = json!(false);
                let applied = self.chart(workload, class)?;
                self.addon["spec"]["version"] = json!(new.addon);
                if !applied {
                    self.addon["spec"]["clusterStack"] = json!(class);
                    return Err(self.not_applied("failed to successfully apply everything"));
                }
                if !was {
                    holds(&mut self.addon, APPLIED, &self.now);
                }
            }
        } else if condition(&self.addon, APPLIED).is_some_and(|it| it["status"] == "False") {
            if !self.chart(workload, class)? {
                return Err(self.not_applied("failed to successfully apply everything"));
            }
            holds(&mut self.addon, APPLIED, &self.now);
        }
        self.marked("created");
        self.addon["spec"]["hook"] = json!("");
        self.arrived(class);
        Ok(())
    }

    /// Applies the one chart, all but what is noted as synced (SovereignCloudStack/cluster-stacks#202); whether
    /// all could be.
    fn chart(&mut self, workload: &Cluster, class: &str) -> Result<bool, Stop> {
        let tag = names::of_class(class);
        let objects = self.objects();
        let mut rendered = Vec::new();
        for stage in &self.operator.releases().stages(&tag, CREATED) {
            let chart = stage.name.as_str();
            let releases = self.operator.releases();
            match releases.addon(&tag, chart, Some(chart), &objects) {
                Ok(some) => rendered.extend(some),
                Err(error) => return Err(self.failed(&error.message(chart))),
            }
        }
        let may = |_: &Value| Ok(());
        let done = apply_new(workload, &mut self.addon, &rendered, apply::ADDONS, may);
        let gone = take_dropped(&mut self.addon, &rendered);
        match self.dropped(workload, &gone, |_| apply::ADDONS) {
            Ok(all) => Ok(done && all),
            Err(error) => Err(self.failed(&error.message)),
        }
    }

    fn failed(&mut self, why: &str) -> Stop {
        let message = format!("failed to apply: {why}");
        let reason = "FailedToApplyObjects";
        errs(&mut self.addon, APPLIED, reason, &message, &self.now);
        Stop::Failed(message)
    }

    fn staged(&mut self, workload: &Cluster, class: &str, new: &Metadata) -> Result<(), Stop> {
        let tag = names::of_class(class);
        holds(&mut self.addon, "ClusterAddonConfigValidated", &self.now);
        let before = text(&self.addon, "/spec/clusterStack").to_owned();
        let old = if before.is_empty() {
            None
        } else {
            Some(self.old_release(&before)?)
        };
        let same = old
            .as_ref()
            .is_some_and(|(_, old)| old.kubernetes == new.kubernetes);
        let hook = text(&self.addon, "/spec/hook").to_owned();
        if !hook.is_empty() {
            self.begin(&tag, &hook);
            self.addon["status"]["ready"] = json!(false);
        }
        // No hook is called then. After a pause or an error the version is the new one already: the class is taken
        // for done, and what is done after that finds nothing to prune.
        if before != class && same {
            if text(&self.addon, "/spec/version") == new.addon {
                self.arrived(class);
            } else {
                self.begin(&tag, UPGRADED);
                self.addon["status"]["ready"] = json!(false);
                remove_condition(&mut self.addon["status"], APPLIED);
            }
        }
        self.addon["spec"]["version"] = json!(new.addon);
        if truth(&self.addon, "/status/ready") {
            return Ok(());
        }
        let kind = "HookServerReady";
        if same {
            self.addon["spec"]["hook"] = json!(UPGRADED);
        } else if hook.is_empty() {
            let (reason, message) = (
                "HookServerUnresponsive",
                "hook server hasn't updated the spec.hook yet",
            );
            fails(&mut self.addon, kind, reason, message, &self.now);
            return Ok(());
        } else {
            holds(&mut self.addon, kind, &self.now);
        }
        let hook = text(&self.addon, "/spec/hook").to_owned();
        let old = old.map(|(tag, _)| tag);
        self.stages(workload, &tag, &hook, old.as_deref())?;
        if hook == UPGRADED {
            let Some(old) = old else {
                // SovereignCloudStack/cluster-stack-operator#337: `getOldReleaseObjects` of no release.
                return Err(self.panicked());
            };
            self.prune(workload, &tag, &hook, &old)?;
            self.marked("upgraded");
        }
        self.marked("created");
        self.finished(class);
        Ok(())
    }

    fn marked(&mut self, stage: &str) {
        if annotation(&self.addon, STAGE).is_none() {
            set_in_metadata(&mut self.addon, "annotations", STAGE, stage);
        }
    }

    /// All stages are done.
    fn finished(&mut self, class: &str) {
        if !self.operator.has(Fault::KeepsHook) {
            self.addon["spec"]["hook"] = json!("");
        } else {
            self.operator.note(Fault::KeepsHook);
        }
        self.addon["status"]["stages"] = json!([]);
        self.addon["status"]["resources"] = json!([]);
        holds(&mut self.addon, APPLIED, &self.now);
        self.arrived(class);
    }

    fn arrived(&mut self, class: &str) {
        self.addon["spec"]["clusterStack"] = json!(class);
        self.addon["status"]["ready"] = json!(true);
    }

    fn not_applied(&mut self, message: &str) -> Stop {
        let reason = "FailedToApplyObjects";
        fails(&mut self.addon, APPLIED, reason, message, &self.now);
        Stop::Again(AGAIN)
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
}
