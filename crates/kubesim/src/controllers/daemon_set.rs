//! DaemonSets: a pod on each node that takes one, replaced node by node.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Value, json};

use super::pace::Pace;
use super::revisions;
use super::template::{is_active, pod, share, until_available};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::matching::{is_part, selects_node, toleration};
use crate::object::{
    int, is_deleting, is_over, is_same, label, list, name, namespace, set_in_metadata, text, truth,
    uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{DAEMON_SETS, NODES, PODS};
use crate::store::{Change, Stored};

const NAME: &str = "daemonset-controller";

/// Keeps DaemonSets.
#[derive(Debug, Default)]
pub(super) struct DaemonSets {
    pace: Pace,
}

/// What a node means to a DaemonSet.
struct Fit {
    /// It should get a pod.
    takes: bool,
    /// It may keep one.
    keeps: bool,
}

/// A node with the pods that a DaemonSet has there.
struct Place {
    node: String,
    fit: Fit,
    pods: Vec<Arc<Stored>>,
}

impl Controller for DaemonSets {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![DAEMON_SETS, PODS, NODES]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == DAEMON_SETS {
            return vec![Key::of(change)];
        }
        if change.resource == PODS {
            return super::replica_set::owner_keys(change, "DaemonSet");
        }
        let same = change.previous.as_ref().is_some_and(|previous| {
            let (old, new) = (&previous.value, &change.object.value);
            is_same(&old["spec"], &new["spec"])
                && old["metadata"]["labels"] == new["metadata"]["labels"]
        });
        if same && change.kind == crate::store::ChangeKind::Modified {
            return Vec::new();
        }
        let sets = cluster.store().list(&DAEMON_SETS, None).0;
        sets.iter()
            .map(|set| set.place())
            .map(|(namespace, name)| Key { namespace, name })
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(set) = api.get(&DAEMON_SETS, &key.namespace, &key.name) else {
            self.pace.forget(key);
            return Ok(Next::Change);
        };
        let nodes = cx.cluster.store().list(&NODES, None).0;
        if let Some(pause) = self.pace.wait(key, nodes.len()) {
            return Ok(Next::After(pause));
        }
        if is_deleting(&set) {
            return Ok(Next::Change);
        }
        let (revision, all) = revisions::present(cx.cluster, &set, NAME)?;
        let hash = revisions::hash_of(&revision).to_owned();
        let look = || places(cx.cluster, &set, &nodes);
        let mut places = look();
        let mut seen = cx.cluster.store().revision();
        self.manage(cx, &set, &hash, &places)?;
        if seen != cx.cluster.store().revision() {
            places = look();
            seen = cx.cluster.store().revision();
        }
        if text(&set, "/spec/updateStrategy/type") != "OnDelete" {
            roll(cx, &set, &hash, &places)?;
            if seen != cx.cluster.store().revision() {
                places = look();
            }
        }
        let live: Vec<&str> = places
            .iter()
            .flat_map(|place| &place.pods)
            .filter_map(|pod| label(&pod.value, revisions::HASH))
            .chain([hash.as_str()])
            .collect();
        revisions::clean_up(cx.cluster, &set, &all, &live)?;
        tell(cx, &set, &hash, &places)
    }
}

fn places(cluster: &Cluster, set: &Value, nodes: &[Arc<Stored>]) -> Vec<Place> {
    let mut by_node: BTreeMap<String, Vec<Arc<Stored>>> = BTreeMap::new();
    for pod in cluster.store().owned(&PODS, uid(set)) {
        by_node
            .entry(target(&pod.value).to_owned())
            .or_default()
            .push(pod);
    }
    let mut places: Vec<Place> = nodes
        .iter()
        .map(|node| {
            let name = name(&node.value);
            Place {
                fit: fit(set, &node.value),
                pods: by_node.remove(name).unwrap_or_default(),
                node: name.to_owned(),
            }
        })
        .collect();
    // Pods of nodes that are gone: the pod garbage collection removes bound ones.
    places.extend(by_node.into_iter().map(|(node, pods)| {
        let fit = Fit {
            takes: false,
            keeps: pods
                .iter()
                .all(|pod| !text(&pod.value, "/spec/nodeName").is_empty()),
        };
        Place { node, fit, pods }
    }));
    places
}

/// The node that a pod of a DaemonSet is on or meant for.
fn target(pod: &Value) -> &str {
    let bound = text(pod, "/spec/nodeName");
    if !bound.is_empty() {
        return bound;
    }
    text(
        pod,
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0",
    )
}

fn fit(set: &Value, node: &Value) -> Fit {
    let spec = &set["spec"]["template"]["spec"];
    let no = Fit {
        takes: false,
        keeps: false,
    };
    let named = text(spec, "/nodeName");
    if !named.is_empty() && named != name(node) {
        return no;
    }
    let required =
        &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    if !is_part(&spec["nodeSelector"], &node["metadata"]["labels"])
        || (required.is_object() && !selects_node(required, node))
    {
        return no;
    }
    let repelled = |effect: &str| {
        let mut taints = list(node, "/spec/taints")
            .iter()
            .filter(|taint| text(taint, "/effect") == effect);
        let tolerations = [list(spec, "/tolerations"), automatic(spec)];
        taints.any(|taint| {
            let mut tolerated = tolerations.iter().map(|some| toleration(some, taint));
            tolerated.all(|by| by.is_none())
        })
    };
    let keeps = !repelled("NoExecute");
    Fit {
        takes: keeps && !repelled("NoSchedule"),
        keeps,
    }
}

/// The tolerations that every pod of a DaemonSet has, by its template's spec.
fn automatic(spec: &Value) -> &'static [Value] {
    static ALL: LazyLock<Vec<Value>> = LazyLock::new(|| {
        let tolerated = |(key, effect): &(&str, &str)| json!({"key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect});
        let of_all = [
            ("not-ready", "NoExecute"),
            ("unreachable", "NoExecute"),
            ("disk-pressure", "NoSchedule"),
            ("memory-pressure", "NoSchedule"),
            ("pid-pressure", "NoSchedule"),
            ("unschedulable", "NoSchedule"),
        ];
        let of_host = ("network-unavailable", "NoSchedule");
        of_all.iter().chain([&of_host]).map(tolerated).collect()
    });
    let host = truth(spec, "/hostNetwork");
    &ALL[..ALL.len() - usize::from(!host)]
}

impl DaemonSets {
    /// Creates what is missing, deletes what is too much.
    fn manage(
        &self,
        cx: &Cx<'_>,
        set: &Value,
        hash: &str,
        places: &[Place],
    ) -> Result<(), ApiError> {
        for place in places {
            for pod in place.pods.iter().filter(|pod| {
                text(&pod.value, "/status/phase") == "Failed" && !is_deleting(&pod.value)
            }) {
                let message = format!(
                    "Found failed daemon pod {} on node {}, will try to kill it",
                    name_in(set, &pod.value),
                    place.node
                );
                record(
                    cx.cluster,
                    set,
                    &News::warning(NAME, "FailedDaemonPod", &message),
                );
                delete(cx, set, pod)?;
            }
            // A pod on its way out still holds its place.
            let alive: Vec<_> = place
                .pods
                .iter()
                .filter(|pod| !is_over(&pod.value))
                .collect();
            if place.fit.takes
                && alive.is_empty()
                && place
                    .pods
                    .iter()
                    .all(|pod| text(&pod.value, "/status/phase") != "Failed")
            {
                create(cx, set, hash, &place.node)?;
            } else if !place.fit.keeps {
                for pod in alive.into_iter().filter(|pod| !is_deleting(&pod.value)) {
                    delete(cx, set, pod)?;
                }
            }
        }
        Ok(())
    }
}

fn name_in(set: &Value, pod: &Value) -> String {
    format!("{}/{}", namespace(set), name(pod))
}

fn create(cx: &Cx<'_>, set: &Value, hash: &str, node: &str) -> Result<(), ApiError> {
    let mut pod = pod(set, &set["spec"]["template"], &format!("{}-", name(set)));
    set_in_metadata(&mut pod, "labels", revisions::HASH, hash);
    let generation = int(set, "/metadata/generation").unwrap_or(1).to_string();
    set_in_metadata(&mut pod, "labels", "pod-template-generation", &generation);
    let spec = &mut pod["spec"];
    let tolerations = [list(spec, "/tolerations"), automatic(spec)].concat();
    let here =
        json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}]);
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"] =
        here;
    spec["tolerations"] = Value::Array(tolerations);
    match cx.cluster.api().create(&PODS, pod, &Write::by(NAME)) {
        Ok(pod) => {
            let message = format!("Created pod: {}", name(&pod.value));
            record(
                cx.cluster,
                set,
                &News::normal(NAME, "SuccessfulCreate", &message),
            );
            Ok(())
        }
        Err(error) => {
            let message = format!("Error creating: {error}");
            record(
                cx.cluster,
                set,
                &News::warning(NAME, "FailedCreate", &message),
            );
            Err(error)
        }
    }
}

fn delete(cx: &Cx<'_>, set: &Value, pod: &Stored) -> Result<(), ApiError> {
    let (namespace, pod_name) = pod.place();
    match cx
        .cluster
        .api()
        .delete(&PODS, &namespace, &pod_name, &Deletion::default())
    {
        Err(error) if error.is_not_found() => return Ok(()),
        other => drop(other?),
    }
    let message = format!("Deleted pod: {pod_name}");
    record(
        cx.cluster,
        set,
        &News::normal(NAME, "SuccessfulDelete", &message),
    );
    Ok(())
}

/// Replaces pods of old revisions, as many at a time as the strategy allows.
fn roll(cx: &Cx<'_>, set: &Value, hash: &str, places: &[Place]) -> Result<(), ApiError> {
    let now = cx.cluster.api().clock().now();
    let min_ready = int(set, "/spec/minReadySeconds").unwrap_or(0);
    let wanted = places.iter().filter(|place| place.fit.takes).count();
    let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
    let rolling = &set["spec"]["updateStrategy"]["rollingUpdate"];
    let surge = share(&rolling["maxSurge"], wanted, true, 0);
    let mut unavailable = share(&rolling["maxUnavailable"], wanted, true, 1);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    let is_new = |pod: &&Arc<Stored>| label(&pod.value, revisions::HASH) == Some(hash);
    let available = |pod: &Stored| until_available(&pod.value, min_ready, now) == Some(0);
    let (mut missing, mut surging) = (0, 0);
    let mut candidates = Vec::new();
    for place in places.iter().filter(|place| place.fit.takes) {
        let active: Vec<_> = place
            .pods
            .iter()
            .filter(|pod| is_active(&pod.value))
            .collect();
        let old = active.iter().find(|pod| !is_new(pod)).copied();
        let new = active.iter().find(|pod| is_new(pod)).copied();
        if surge > 0 {
            match (old, new) {
                (Some(old), Some(new)) if available(new) => delete(cx, set, old)?,
                (Some(_), Some(_)) => surging += 1,
                (Some(old), None) if !available(old) => {
                    surging += 1;
                    create(cx, set, hash, &place.node)?;
                }
                (Some(_), None) => candidates.push((place, old)),
                (None, Some(new)) if !available(new) => surging += 1,
                _ => {}
            }
            continue;
        }
        match (old, new) {
            // What does not work yet can be replaced at no cost, but takes its share of the budget.
            (Some(old), _) if !available(old) => {
                missing += 1;
                delete(cx, set, old)?;
            }
            (Some(old), _) => candidates.push((place, Some(old))),
            (None, Some(new)) if available(new) => {}
            _ => missing += 1,
        }
    }
    if surge > 0 {
        let room = usize::try_from(surge - surging).unwrap_or(0);
        for (place, _) in candidates.into_iter().take(room) {
            create(cx, set, hash, &place.node)?;
        }
    } else {
        let room = usize::try_from(unavailable - missing).unwrap_or(0);
        for pod in candidates.into_iter().take(room).filter_map(|(_, pod)| pod) {
            delete(cx, set, pod)?;
        }
    }
    Ok(())
}

fn tell(cx: &Cx<'_>, set: &Value, hash: &str, places: &[Place]) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let now = api.clock().now();
    let min_ready = int(set, "/spec/minReadySeconds").unwrap_or(0);
    let (mut desired, mut current, mut misplaced, mut ready, mut available, mut updated) =
        (0, 0, 0, 0, 0, 0);
    let mut soonest: Option<i64> = None;
    for place in places {
        let pods: Vec<_> = place
            .pods
            .iter()
            .filter(|pod| is_active(&pod.value))
            .collect();
        if !place.fit.takes {
            misplaced += i64::from(!pods.is_empty());
            continue;
        }
        desired += 1;
        if pods.is_empty() {
            continue;
        }
        current += 1;
        let waits: Vec<i64> = pods
            .iter()
            .filter_map(|pod| until_available(&pod.value, min_ready, now))
            .collect();
        ready += i64::from(!waits.is_empty());
        available += i64::from(waits.contains(&0));
        soonest = waits
            .iter()
            .copied()
            .filter(|wait| *wait > 0)
            .chain(soonest)
            .min();
        updated += i64::from(
            pods.iter()
                .any(|pod| label(&pod.value, revisions::HASH) == Some(hash)),
        );
    }
    let generation = set["metadata"]["generation"].clone();
    let written = api.modify(&DAEMON_SETS, namespace(set), name(set), NAME, |set| {
        if !set["status"].is_object() {
            set["status"] = json!({});
        }
        let status = &mut set["status"];
        status["currentNumberScheduled"] = json!(current);
        status["numberMisscheduled"] = json!(misplaced);
        status["desiredNumberScheduled"] = json!(desired);
        status["numberReady"] = json!(ready);
        status["observedGeneration"] = generation.clone();
        for (key, number) in [
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", desired - available),
        ] {
            if number == 0 {
                status
                    .as_object_mut()
                    .map(|status| status.shift_remove(key));
            } else {
                status[key] = json!(number);
            }
        }
    });
    match written {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    Ok(soonest.map_or(Next::Change, |seconds| {
        Next::After(Duration::from_secs(u64::try_from(seconds).unwrap_or(1)))
    }))
}
