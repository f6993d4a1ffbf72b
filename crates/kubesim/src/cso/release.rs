//! ClusterStackReleases: downloaded, and their class applied once.

use std::time::Duration;

use serde_json::{Value, json};

use super::Operator;
use super::apply::{apply_new, is_served_by, may_in_class};
use super::kinds::{MANAGER, PROVIDED, RELEASES, errs, fails, holds, is_true, sum_up};
use super::names;
use super::process::is_start;
use super::stack::{FINALIZER, RESYNC, classes};
use crate::capi::kinds::CLUSTERS;
use crate::capi::referred;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, name, namespace, truth};
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;
use crate::store::Change;

/// Until a release in use is looked at again.
const MINUTE: Duration = Duration::from_mins(1);
/// Until objects that could not be applied are tried again.
const APPLY: Duration = Duration::from_secs(20);

/// The controller.
pub(super) struct ReleaseController(pub(super) Operator);

impl Controller for ReleaseController {
    fn name(&self) -> &'static str {
        "cso-release"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        [vec![RELEASES, PODS], PROVIDED.to_vec()].concat()
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == RELEASES || PROVIDED.contains(&change.resource) {
            // A provider's object is called as its release.
            return vec![Key::of(change)];
        }
        let all = is_start(change).then(|| cluster.api().list(&RELEASES, None));
        let all = all.into_iter().flatten();
        all.map(|one| Key::new(namespace(&one), name(&one)))
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        if let Some(left) = self.0.down_for() {
            return Ok(Next::After(left));
        }
        let api = cx.cluster.api();
        let Some(stored) = api.get(&RELEASES, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&stored) {
            return leave(cx.cluster, &stored);
        }
        let now = api.clock().stamp();
        let mut release = (*stored).clone();
        let outcome = self.bring(cx.cluster, &mut release, &now);
        sum_up(&mut release, &now);
        api.modify(&RELEASES, &key.namespace, &key.name, MANAGER, |live| {
            live["status"] = release["status"].clone();
        })?;
        // What goes wrong is tried again with a growing pause.
        outcome.map_err(|why| ApiError::new(500, "InternalError", why))
    }
}

/// A release goes when no Cluster uses it any more.
fn leave(management: &Cluster, release: &Value) -> Result<Next, ApiError> {
    let used = classes(management, namespace(release));
    if used
        .iter()
        .any(|class| names::of_class(class) == name(release))
    {
        return Ok(Next::After(MINUTE));
    }
    crate::capi::release(management, &RELEASES, release, FINALIZER).map(|()| Next::Change)
}

impl ReleaseController {
    /// As upstream `ClusterStackReleaseReconciler.Reconcile` does it.
    fn bring(&self, management: &Cluster, release: &mut Value, now: &str) -> Result<Next, String> {
        let tag = name(release).to_owned();
        let kind = "ClusterStackReleaseDownloaded";
        if !self.0.is_downloaded(&tag) {
            let reason = "ReleaseAssetsNotDownloadedYet";
            fails(release, kind, reason, "assets not downloaded yet", now);
            holds(release, "AssetsClientAPIAvailable", now);
            // Why it fails is in the log alone.
            self.0
                .fetch(&tag)
                .map_err(|why| format!("failed to download release assets: {why}"))?;
        }
        let metadata = self.0.releases().metadata(&tag);
        let metadata = metadata.inspect_err(|why| {
            errs(release, kind, "IssueWithReleaseAssets", why, now);
        })?;
        holds(release, kind, now);
        release["status"]["kubernetesVersion"] = json!(metadata.kubernetes);
        if !self.provided(management, release, now)? {
            // That it was ready before is not taken back (SovereignCloudStack/cluster-stack-operator#59).
            return Ok(Next::Change);
        }
        holds(release, "ProviderClusterStackReleaseReady", now);
        if is_true(release, "HelmChartApplied") {
            // What becomes of the class after that is nobody's concern.
            return Ok(Next::After(RESYNC));
        }
        let space = namespace(release).to_owned();
        let objects = self.0.releases().class(&tag, &space)?;
        let cluster_api = self.0.cluster_api();
        let may = |object: &Value| {
            cluster_api.map_or(Ok(()), |minor| is_served_by(minor, object))?;
            may_in_class(management, object)
        };
        if apply_new(management, release, &objects, &space, may) {
            holds(release, "HelmChartApplied", now);
            release["status"]["ready"] = json!(true);
            return Ok(Next::After(RESYNC));
        }
        let (reason, message) = (
            "ObjectsApplyingOngoing",
            "failed to successfully apply everything",
        );
        fails(release, "HelmChartApplied", reason, message, now);
        Ok(Next::After(APPLY))
    }

    /// Whether the provider's object of a release, where it has one, is ready.
    fn provided(
        &self,
        management: &Cluster,
        release: &mut Value,
        now: &str,
    ) -> Result<bool, String> {
        let reference = release["spec"]["providerRef"].clone();
        if !reference.is_object() {
            return Ok(true);
        }
        let found = referred(management, namespace(release), &reference);
        let found = found.ok_or("failed to get ProviderClusterStackRelease object: not found")?;
        let ready = truth(&found, "/status/ready");
        if !ready {
            let (reason, message) = (
                "ProcessOngoing",
                "providerClusterStackRelease not ready yet",
            );
            fails(
                release,
                "ProviderClusterStackReleaseReady",
                reason,
                message,
                now,
            );
        }
        Ok(ready)
    }
}

/// Whether a Cluster uses a release.
pub(super) fn is_used(clusters: &[std::sync::Arc<Value>], tag: &str) -> bool {
    clusters.iter().any(|cluster| {
        let class = crate::object::text(cluster, "/spec/topology/classRef/name");
        names::of_class(class) == tag
    })
}

/// The resource by which use is told.
pub(super) const USERS: GroupResource = CLUSTERS;
