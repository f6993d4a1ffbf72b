//! ClusterStacks: which releases there are to be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Operator;
use super::kinds::{
    CLUSTER_STACKS, GROUP, MANAGER, RELEASES, VERSION, errs, holds, is_true, sum_up,
};
use super::names::{self, Tag};
use super::process::{Fault, is_start};
use super::provider;
use crate::capi::kinds::CLUSTERS;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{
    controlled_by, controller_of, is_deleting, list, name, namespace, text, truth, uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;
use crate::store::Change;

/// The cache's resync.
pub(super) const RESYNC: std::time::Duration = std::time::Duration::from_mins(5);
/// The finalizer of releases.
pub(super) const FINALIZER: &str = "clusterstackrelease.clusterstack.x-k8s.io";

/// The controller.
pub(super) struct Stacks(pub(super) Operator);

/// The beginning of the names of a stack's releases, and its classes.
pub(super) fn prefix(stack: &Value) -> String {
    let spec = |field: &str| text(stack, field).to_owned();
    let kubernetes = spec("/spec/kubernetesVersion").replace('.', "-");
    format!(
        "{}-{}-{kubernetes}-",
        spec("/spec/provider"),
        spec("/spec/name")
    )
}

/// The classes of Clusters in a namespace.
pub(super) fn classes(management: &Cluster, space: &str) -> BTreeSet<String> {
    let clusters = management.api().list(&CLUSTERS, Some(space));
    let class =
        |cluster: &std::sync::Arc<Value>| text(cluster, "/spec/topology/classRef/name").to_owned();
    clusters
        .iter()
        .map(class)
        .filter(|class| !class.is_empty())
        .collect()
}

impl Controller for Stacks {
    fn name(&self) -> &'static str {
        "cso-clusterstack"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![CLUSTER_STACKS, RELEASES, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == CLUSTER_STACKS {
            return vec![Key::of(change)];
        }
        if change.resource == RELEASES {
            let object = &change.object.value;
            let owner = controller_of(object).map(|owner| text(owner, "/name"));
            let owner = owner.map(|owner| Key::new(namespace(object), owner));
            return owner.into_iter().collect();
        }
        let all = is_start(change).then(|| cluster.api().list(&CLUSTER_STACKS, None));
        let all = all.into_iter().flatten();
        all.map(|one| Key::new(namespace(&one), name(&one)))
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        if let Some(left) = self.0.down_for() {
            return Ok(Next::After(left));
        }
        let api = cx.cluster.api();
        let Some(stored) = api.get(&CLUSTER_STACKS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&stored) {
            return Ok(Next::Change);
        }
        let now = api.clock().stamp();
        let mut stack = (*stored).clone();
        let outcome = self.keep(cx.cluster, &mut stack, &now);
        if let Err(error) = &outcome {
            errs(
                &mut stack,
                "ClusterStackReleasesSynced",
                "FailedToCreateOrUpdate",
                &error.message,
                &now,
            );
        }
        sum_up(&mut stack, &now);
        api.modify(
            &CLUSTER_STACKS,
            &key.namespace,
            &key.name,
            MANAGER,
            |live| {
                live["status"] = stack["status"].clone();
            },
        )?;
        outcome.map(|()| Next::After(RESYNC))
    }
}

impl Stacks {
    fn keep(&self, management: &Cluster, stack: &mut Value, now: &str) -> Result<(), ApiError> {
        let (space, prefix) = (namespace(stack).to_owned(), prefix(stack));
        let present: BTreeMap<String, std::sync::Arc<Value>> = management
            .api()
            .list(&RELEASES, Some(&space))
            .into_iter()
            .filter(|one| controller_of(one).is_some_and(|owner| owner["uid"] == uid(stack)))
            .map(|one| (name(&one).to_owned(), one))
            .collect();
        let mut wanted: BTreeSet<String> = list(stack, "/spec/versions")
            .iter()
            .filter_map(|version| names::dashed(version.as_str()?))
            .map(|version| format!("{prefix}{version}"))
            .collect();
        if stack["spec"]["autoSubscribe"] != false {
            wanted.extend(self.newest(stack, &prefix));
        }
        // The dot form, compared with names in dash form: right for stable versions alone.
        let kept = classes(management, &space);
        wanted.extend(
            kept.iter()
                .filter(|class| present.contains_key(*class))
                .cloned(),
        );
        let ready = present.values().filter(|one| truth(one, "/status/ready"));
        let latest =
            ready.max_by_key(|one| Tag::parse(name(one)).map(|tag| names::number(&tag.version)));
        wanted.extend(latest.map(|one| name(one).to_owned()));
        self.create(management, stack, &wanted, &present, now)?;
        for gone in present.keys().filter(|one| !wanted.contains(*one)) {
            let deletion = Deletion {
                write: Write::by(MANAGER),
                ..Deletion::default()
            };
            crate::capi::unless_gone(management.api().delete(&RELEASES, &space, gone, &deletion))?;
        }
        holds(stack, "ClusterStackReleasesSynced", now);
        if stack["spec"]["autoSubscribe"] != false {
            holds(stack, "ReleasesSynced", now);
        }
        tell(stack, &wanted, &present, now);
        if self.0.has(Fault::MiscountsVersions) {
            miscount(stack);
            self.0.note(Fault::MiscountsVersions);
        }
        Ok(())
    }

    /// The newest release of the registry's in the stack's channel.
    fn newest(&self, stack: &Value, prefix: &str) -> Option<String> {
        let channel = match text(stack, "/spec/channel") {
            "" => "stable",
            channel => channel,
        };
        let of_channel = |tag: &String| {
            let version = tag.strip_prefix(prefix)?;
            let parts: Vec<&str> = version.split('-').collect();
            let own = parts.get(1).copied().unwrap_or("stable");
            (own == channel).then(|| names::number(version))
        };
        let tags = self.0.releases().tags();
        let numbered = tags
            .into_iter()
            .filter_map(|tag| Some((of_channel(&tag)?, tag)));
        numbered.max().map(|(_, tag)| tag)
    }

    fn create(
        &self,
        management: &Cluster,
        stack: &mut Value,
        wanted: &BTreeSet<String>,
        present: &BTreeMap<String, std::sync::Arc<Value>>,
        now: &str,
    ) -> Result<(), ApiError> {
        let provided = !truth(stack, "/spec/noProvider");
        for tag in wanted {
            let reference = if provided {
                Some(provider::object(management, stack, tag, now)?)
            } else {
                None
            };
            if present.contains_key(tag) {
                continue;
            }
            let mut release = json!({
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ClusterStackRelease",
                "metadata": {
                    "name": tag, "namespace": namespace(stack), "finalizers": [FINALIZER],
                    "ownerReferences": [controlled_by(stack)],
                },
                "spec": {},
            });
            if let Some(reference) = reference {
                release["spec"]["providerRef"] = reference;
            }
            match management
                .api()
                .create(&RELEASES, release, &Write::by(MANAGER))
            {
                Err(error) if error.reason != "AlreadyExists" => return Err(error),
                _ => {}
            }
        }
        if provided {
            holds(stack, "ProviderClusterStackReleasesSynced", now);
        }
        Ok(())
    }
}

/// The status.
fn tell(
    stack: &mut Value,
    wanted: &BTreeSet<String>,
    present: &BTreeMap<String, std::sync::Arc<Value>>,
    now: &str,
) {
    let none = Value::Null;
    let of = |tag: &String| present.get(tag).map_or(&none, |one| &**one);
    let summary: Vec<Value> = wanted
        .iter()
        .map(|tag| {
            let release = of(tag);
            let phase = if truth(release, "/status/ready") {
                "done"
            } else if is_true(release, "ClusterStackReleaseDownloaded") {
                "applying objects"
            } else if release.is_null() {
                ""
            } else {
                "downloading release assets"
            };
            json!({"name": tag, "ready": truth(release, "/status/ready"), "phase": phase})
        })
        .collect();
    let ready: Vec<&String> = wanted
        .iter()
        .filter(|tag| truth(of(tag), "/status/ready"))
        .collect();
    let newest = ready
        .iter()
        .max_by_key(|tag| Tag::parse(tag).map(|tag| names::number(&tag.version)));
    let newest = newest.map(|tag| {
        let kubernetes = text(of(tag), "/status/kubernetesVersion");
        format!("{}{} | {kubernetes}", prefix(stack), dotted(tag))
    });
    let usable: Vec<String> = ready.iter().map(|tag| dotted(tag)).collect();
    stack["status"]["summary"] = json!(summary);
    stack["status"]["usableVersions"] = json!(usable.join(", "));
    match newest {
        Some(newest) => {
            stack["status"]["latestRelease"] = json!(newest);
            holds(stack, "ClusterStackReleaseAvailable", now);
        }
        None => drop(
            stack["status"]
                .as_object_mut()
                .map(|status| status.shift_remove("latestRelease")),
        ),
    }
}

/// A release's version in dot form.
fn dotted(tag: &str) -> String {
    let version = Tag::parse(tag).map_or_else(String::new, |tag| tag.version);
    match version.rsplit_once('-') {
        Some((channel, patch)) => format!("{channel}.{patch}"),
        None => version,
    }
}

/// As it was told of once (SovereignCloudStack/cluster-stack-operator#57, #221): as many usable versions as there
/// are, all the same one, and the latest release in dash form.
fn miscount(stack: &mut Value) {
    let usable = text(stack, "/status/usableVersions");
    let count = usable.split(", ").count().max(2);
    let first = usable.split(", ").next().unwrap_or_default().to_owned();
    stack["status"]["usableVersions"] = json!(vec![first; count].join(", "));
    if let Some((tag, kubernetes)) = text(stack, "/status/latestRelease").split_once(" | ") {
        let latest = format!("{} | {kubernetes}", tag.replace('.', "-"));
        stack["status"]["latestRelease"] = json!(latest);
    }
}
