//! ReplicaSets: as many pods as they ask for.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::pace::Pace;
use super::template::{is_active, pod, replicas, until_available};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::object::{
    controller_of, int, is_deleting, is_ready, name, namespace, remove_condition, set_condition,
    text, uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{PODS, REPLICA_SETS};
use crate::store::{Change, Stored};

const NAME: &str = "replicaset-controller";
/// Most pods that are created or deleted at once.
const BURST: usize = 500;

/// Keeps ReplicaSets.
#[derive(Debug, Default)]
pub(super) struct ReplicaSets {
    pace: Pace,
}

/// The owner of a kind that a changed pod belongs, or belonged, to.
pub(super) fn owner_keys(change: &Change, kind: &str) -> Vec<Key> {
    let values = [Some(&change.object), change.previous.as_ref()];
    let mut keys: Vec<Key> = Vec::new();
    for object in values.into_iter().flatten() {
        let owner = controller_of(&object.value).filter(|owner| text(owner, "/kind") == kind);
        if let Some(owner) = owner {
            let key = Key::new(namespace(&object.value), text(owner, "/name"));
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![REPLICA_SETS, PODS]
    }

    fn keys(&self, _: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == REPLICA_SETS {
            vec![Key::of(change)]
        } else {
            owner_keys(change, "ReplicaSet")
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(set) = api.get(&REPLICA_SETS, &key.namespace, &key.name) else {
            self.pace.forget(key);
            return Ok(Next::Change);
        };
        let wanted = usize::try_from(replicas(&set)).unwrap_or_default();
        if let Some(pause) = self.pace.wait(key, wanted) {
            return Ok(Next::After(pause));
        }
        let mut failure = None;
        if !is_deleting(&set) {
            let pods = active(cx.cluster, &set);
            if pods.len() < wanted {
                let missing = (wanted - pods.len()).min(BURST);
                failure = create(cx, &set, missing).err();
            } else if pods.len() > wanted {
                delete(cx, &set, pods, wanted)?;
            }
        }
        let next = tell(cx, &set, wanted, failure.as_ref())?;
        match failure {
            Some(error) => Err(error),
            None => Ok(next),
        }
    }
}

/// The pods that count.
fn active(cluster: &Cluster, set: &Value) -> Vec<Arc<Stored>> {
    let mut pods = cluster.store().owned(&PODS, uid(set));
    pods.retain(|pod| is_active(&pod.value));
    pods
}

fn create(cx: &Cx<'_>, set: &Value, missing: usize) -> Result<(), ApiError> {
    for _ in 0..missing {
        let pod = pod(set, &set["spec"]["template"], &format!("{}-", name(set)));
        match cx.cluster.api().create(&PODS, pod, &Write::by(NAME)) {
            Ok(pod) => {
                let message = format!("Created pod: {}", name(&pod.value));
                record(
                    cx.cluster,
                    set,
                    &News::normal(NAME, "SuccessfulCreate", &message),
                );
            }
            Err(error) => {
                let message = format!("Error creating: {error}");
                record(
                    cx.cluster,
                    set,
                    &News::warning(NAME, "FailedCreate", &message),
                );
                return Err(error);
            }
        }
    }
    Ok(())
}

fn delete(
    cx: &Cx<'_>,
    set: &Value,
    mut pods: Vec<Arc<Stored>>,
    wanted: usize,
) -> Result<(), ApiError> {
    // Those go first that are the least missed: without a node, not running, not ready, cheap by
    // annotation, young.
    pods.sort_by_key(|pod| {
        let pod = &pod.value;
        let cost = crate::object::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
        (
            !text(pod, "/spec/nodeName").is_empty(),
            text(pod, "/status/phase") == "Running",
            is_ready(pod),
            cost.and_then(|cost| cost.parse::<i64>().ok()).unwrap_or(0),
            Reverse(text(pod, "/metadata/creationTimestamp").to_owned()),
        )
    });
    let excess = (pods.len() - wanted).min(BURST);
    for pod in &pods[..excess] {
        let (namespace, pod_name) = pod.place();
        match cx
            .cluster
            .api()
            .delete(&PODS, &namespace, &pod_name, &Deletion::default())
        {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let message = format!("Deleted pod: {pod_name}");
        record(
            cx.cluster,
            set,
            &News::normal(NAME, "SuccessfulDelete", &message),
        );
    }
    Ok(())
}

/// Writes the status.
fn tell(
    cx: &Cx<'_>,
    set: &Value,
    wanted: usize,
    failure: Option<&ApiError>,
) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let pods = active(cx.cluster, set);
    let now = api.clock().now();
    let min_ready = int(set, "/spec/minReadySeconds").unwrap_or(0);
    let waits: Vec<i64> = pods
        .iter()
        .filter_map(|pod| until_available(&pod.value, min_ready, now))
        .collect();
    let available = waits.iter().filter(|wait| **wait == 0).count();
    let soonest = waits.iter().filter(|wait| **wait > 0).min();
    let labels = &set["spec"]["template"]["metadata"]["labels"];
    let labelled = pods
        .iter()
        .filter(|pod| crate::matching::is_part(labels, &pod.value["metadata"]["labels"]))
        .count();
    let numbers = [
        ("replicas", pods.len()),
        ("fullyLabeledReplicas", labelled),
        ("readyReplicas", waits.len()),
        ("availableReplicas", available),
    ];
    let (place, set_name) = (namespace(set).to_owned(), name(set).to_owned());
    let written = api.modify(&REPLICA_SETS, &place, &set_name, NAME, |set| {
        let generation = set["metadata"]["generation"].clone();
        if !set["status"].is_object() {
            set["status"] = json!({});
        }
        let status = &mut set["status"];
        counted(status, &numbers, "replicas");
        status["observedGeneration"] = generation;
        match failure {
            Some(error) => {
                let condition = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": error.message});
                set_condition(status, condition, &crate::clock::stamp(now), &[]);
            }
            None if pods.len() == wanted => remove_condition(status, "ReplicaFailure"),
            None => {}
        }
        if status["conditions"].as_array().is_some_and(Vec::is_empty) {
            status.as_object_mut().map(|status| status.shift_remove("conditions"));
        }
    });
    match written {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    Ok(soonest.map_or(Next::Change, |seconds| {
        Next::After(Duration::from_secs(u64::try_from(*seconds).unwrap_or(1)))
    }))
}

/// Sets counters of a status; as in the API, those that are 0 are left out, but one.
pub(super) fn counted(status: &mut Value, numbers: &[(&str, usize)], always: &str) {
    for (key, number) in numbers {
        if *number == 0 && *key != always {
            status
                .as_object_mut()
                .map(|status| status.shift_remove(*key));
        } else {
            status[*key] = json!(number);
        }
    }
}
