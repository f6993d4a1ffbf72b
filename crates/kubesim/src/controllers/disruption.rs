//! PodDisruptionBudgets: how many disruptions each allows now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{
    controller_of, int, is_deleting, is_ready, name, namespace, set_condition, text, uid,
};
use crate::registry::{Registry, selects, tell_allowed};
use crate::resource::GroupResource;
use crate::resource::builtin::{
    DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, STATEFUL_SETS,
};
use crate::store::Change;

const NAME: &str = "disruption-controller";
/// How long an evicted pod may take to be marked as deleted, until it counts again.
const PATIENCE: SignedDuration = SignedDuration::from_mins(2);

/// Keeps the status of budgets.
#[derive(Debug, Default)]
pub(super) struct Disruption;

impl Controller for Disruption {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![
            POD_DISRUPTION_BUDGETS,
            PODS,
            DEPLOYMENTS,
            REPLICA_SETS,
            STATEFUL_SETS,
        ]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == POD_DISRUPTION_BUDGETS {
            return vec![Key::of(change)];
        }
        let (namespace, _) = change.object.place();
        let budgets = cluster
            .api()
            .list(&POD_DISRUPTION_BUDGETS, Some(&namespace));
        let now = &change.object.value;
        let before = change.previous.as_ref().map(|previous| &*previous.value);
        let concerned: Box<dyn Fn(&Value) -> bool> = if change.resource == PODS {
            if before.is_some_and(|before| counts_the_same(before, now)) {
                return Vec::new();
            }
            Box::new(|budget| {
                selects(budget, now) || before.is_some_and(|before| selects(budget, before))
            })
        } else {
            let scale = |object: &Value| int(object, "/spec/replicas");
            if before.is_some_and(|before| scale(before) == scale(now)) {
                return Vec::new();
            }
            // By its template, as the pods will be labelled.
            Box::new(|budget| selects(budget, &now["spec"]["template"]))
        };
        let concerned = budgets.iter().filter(|budget| concerned(budget));
        concerned
            .map(|budget| Key::new(&namespace, name(budget)))
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(budget) = api.get(&POD_DISRUPTION_BUDGETS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let mut pods = api.list(&PODS, Some(&key.namespace));
        pods.retain(|pod| selects(&budget, pod));
        let now = api.clock().now();
        let stamp = api.clock().stamp();
        let status = match expected(api, &budget, &pods) {
            Ok(counts) => counts,
            Err(why) => {
                // Nothing may be evicted while nobody knows what that would mean.
                api.modify(&POD_DISRUPTION_BUDGETS, &key.namespace, &key.name, NAME, |budget| {
                    let status = &mut budget["status"];
                    status["disruptionsAllowed"] = json!(0);
                    let condition = json!({
                        "type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": why,
                    });
                    set_condition(status, condition, &stamp, &[]);
                })?;
                return Ok(Next::Change);
            }
        };
        let (disrupted, recheck) = disrupted(&budget, &pods, now);
        let healthy = pods
            .iter()
            .filter(|pod| !is_deleting(pod) && !disrupted.contains_key(name(pod)) && is_ready(pod));
        let healthy = i64::try_from(healthy.count()).unwrap_or(i64::MAX);
        let (expected, desired) = status;
        let allowed = if expected <= 0 {
            0
        } else {
            (healthy - desired).max(0)
        };
        api.modify(
            &POD_DISRUPTION_BUDGETS,
            &key.namespace,
            &key.name,
            NAME,
            |budget| {
                let generation = budget["metadata"]["generation"].clone();
                let status = &mut budget["status"];
                if !status.is_object() {
                    *status = json!({});
                }
                let numbers = [
                    ("currentHealthy", json!(healthy)),
                    ("desiredHealthy", json!(desired)),
                    ("disruptionsAllowed", json!(allowed)),
                    ("expectedPods", json!(expected)),
                    ("observedGeneration", generation),
                ];
                for (field, value) in numbers {
                    status[field] = value;
                }
                if disrupted.is_empty() {
                    status
                        .as_object_mut()
                        .map(|status| status.shift_remove("disruptedPods"));
                } else {
                    status["disruptedPods"] = json!(disrupted);
                }
                tell_allowed(status, &stamp);
            },
        )?;
        Ok(recheck.map_or(Next::Change, Next::After))
    }
}

/// Whether a pod counts for a budget as it did before.
fn counts_the_same(before: &Value, now: &Value) -> bool {
    let counted = |pod: &Value| (is_ready(pod), is_deleting(pod));
    counted(before) == counted(now)
        && before["metadata"]["labels"] == now["metadata"]["labels"]
        && before["metadata"]["ownerReferences"] == now["metadata"]["ownerReferences"]
}

/// How many pods there should be, and how many of them healthy.
fn expected(api: &Registry, budget: &Value, pods: &[Arc<Value>]) -> Result<(i64, i64), String> {
    let spec = &budget["spec"];
    if !spec["maxUnavailable"].is_null() {
        let expected = scale(api, pods)?;
        let most = part(&spec["maxUnavailable"], expected)?;
        return Ok((expected, (expected - most).max(0)));
    }
    match &spec["minAvailable"] {
        Value::Null => Ok((0, 0)),
        Value::Number(least) => {
            let expected = i64::try_from(pods.len()).unwrap_or(i64::MAX);
            Ok((expected, least.as_i64().unwrap_or_default()))
        }
        least => {
            let expected = scale(api, pods)?;
            Ok((expected, part(least, expected)?))
        }
    }
}

/// A number, or a percentage of a whole, rounded up.
fn part(value: &Value, whole: i64) -> Result<i64, String> {
    if let Some(number) = value.as_i64() {
        return Ok(number);
    }
    let text = value.as_str().unwrap_or_default();
    let percent = text
        .strip_suffix('%')
        .and_then(|percent| percent.parse::<i64>().ok());
    let percent = percent.ok_or_else(|| {
        format!("invalid value for IntOrString: invalid value \"{text}\": strconv.Atoi: parsing \"{text}\": invalid syntax")
    })?;
    Ok(whole.saturating_mul(percent).saturating_add(99) / 100)
}

/// What the controllers of pods are scaled to, together.
fn scale(api: &Registry, pods: &[Arc<Value>]) -> Result<i64, String> {
    let mut scales = BTreeMap::new();
    for pod in pods {
        let Some(owner) = controller_of(pod) else {
            continue;
        };
        let own = text(owner, "/uid");
        if scales.contains_key(own) {
            continue;
        }
        let found = scaled(api, namespace(pod), owner);
        let (id, replicas) =
            found.ok_or_else(|| format!("found no controllers for pod \"{}\"", name(pod)))?;
        scales.insert(id, replicas);
    }
    Ok(scales.values().sum())
}

/// The uid of what is scaled, and to how many: of a ReplicaSet that belongs to a Deployment, that.
fn scaled(api: &Registry, within: &str, owner: &Value) -> Option<(String, i64)> {
    let kind = api
        .catalogue()
        .of_kind(text(owner, "/apiVersion"), text(owner, "/kind"))?;
    let object = api.get(&kind.id, within, text(owner, "/name"))?;
    if uid(&object) != text(owner, "/uid") {
        return None;
    }
    if kind.id == REPLICA_SETS
        && let Some(above) = controller_of(&object)
        && above["kind"] == "Deployment"
    {
        return scaled(api, within, above);
    }
    let path = api.scale_path(&kind.id)?;
    let replicas = object.pointer(&path).and_then(Value::as_i64);
    Some((uid(&object).to_owned(), replicas.unwrap_or(1)))
}

/// Pods that were evicted but are not yet marked as deleted, and when to look again.
fn disrupted(
    budget: &Value,
    pods: &[Arc<Value>],
    now: Timestamp,
) -> (BTreeMap<String, Value>, Option<Duration>) {
    let mut kept = BTreeMap::new();
    let mut recheck: Option<Duration> = None;
    let told = &budget["status"]["disruptedPods"];
    for pod in pods.iter().filter(|pod| !is_deleting(pod)) {
        let Some(since) = told.get(name(pod)) else {
            continue;
        };
        let begun = since
            .as_str()
            .and_then(|since| since.parse::<Timestamp>().ok());
        let left = begun.map(|begun| PATIENCE - now.duration_since(begun));
        let Some(left) = left.and_then(|left| Duration::try_from(left).ok()) else {
            continue;
        };
        kept.insert(name(pod).to_owned(), since.clone());
        let again = left + Duration::from_millis(1);
        recheck = Some(recheck.map_or(again, |other| other.min(again)));
    }
    (kept, recheck)
}
