//! ClusterStackReleases: downloaded, and their class applied once.

use std::time::Duration;

use serde_json::{Value, json};

use super::Operator;
use super::apply::{apply_all, may_in_class};
use super::kinds::{MANAGER, RELEASES, errs, holds, sum_up};
use super::names::{self};
use super::process::{Fault, is_start};
use super::stack::{FINALIZER, RESYNC, classes};
use crate::capi::kinds::CLUSTERS;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, name, namespace, truth};
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;
use crate::store::Change;

/// Until a release that could not be read is tried again, and until one in use is looked at again.
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
        vec![RELEASES, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == RELEASES {
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
        let next = self.bring(cx.cluster, &mut release, &now);
        sum_up(&mut release, &now);
        api.modify(&RELEASES, &key.namespace, &key.name, MANAGER, |live| {
            live["status"] = release["status"].clone();
        })?;
        Ok(next)
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
    fn bring(&self, management: &Cluster, release: &mut Value, now: &str) -> Next {
        let tag = name(release).to_owned();
        holds(release, "AssetsClientAPIAvailable", now);
        if !self.0.is_downloaded(&tag) {
            if !self.0.acquire() {
                // Whoever holds the mutex never lets it go: the one worker waits for ever.
                return Next::Change;
            }
            let fetched = if self.0.once(Fault::DownloadFails) {
                Err("failed to resolve reference: 404 Not Found".to_owned())
            } else {
                self.0.releases().metadata(&tag).map(drop)
            };
            if let Err(why) = fetched {
                // The mutex is not let go of on this way out.
                let message = format!("failed to download release assets for {tag}: {why}");
                errs(
                    release,
                    "ClusterStackReleaseDownloaded",
                    "IssueWithReleaseAssets",
                    &message,
                    now,
                );
                return Next::After(MINUTE);
            }
            self.0.let_go();
            self.0.downloaded(&tag);
        }
        let metadata = match self.0.releases().metadata(&tag) {
            Ok(metadata) => metadata,
            Err(why) => {
                errs(
                    release,
                    "ClusterStackReleaseDownloaded",
                    "IssueWithReleaseAssets",
                    &why,
                    now,
                );
                return Next::After(MINUTE);
            }
        };
        holds(release, "ClusterStackReleaseDownloaded", now);
        release["status"]["kubernetesVersion"] = json!(metadata.kubernetes);
        holds(release, "ProviderClusterStackReleaseReady", now);
        if truth(release, "/status/ready") {
            // What becomes of the class after that is nobody's concern.
            return Next::After(RESYNC);
        }
        let space = namespace(release).to_owned();
        let objects = match self.0.releases().class(&tag, &space) {
            Ok(objects) => objects,
            Err(why) => {
                errs(
                    release,
                    "HelmChartApplied",
                    "FailedToApplyObjects",
                    &why,
                    now,
                );
                return Next::After(APPLY);
            }
        };
        let may = |object: &Value| may_in_class(management, object);
        let wrong = apply_all(management, release, &objects, &space, false, may);
        if wrong.is_empty() {
            holds(release, "HelmChartApplied", now);
            release["status"]["ready"] = json!(true);
            return Next::After(RESYNC);
        }
        release["status"]["ready"] = json!(false);
        let message = format!("failed to apply objects: {}", wrong.join("; "));
        errs(
            release,
            "HelmChartApplied",
            "FailedToApplyObjects",
            &message,
            now,
        );
        Next::After(APPLY)
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
