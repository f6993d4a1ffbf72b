//! The scheduler: which node a pod goes to.

mod fit;
mod nodes;

pub(super) use fit::quantity;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::nodes::{Nodes, Refusals};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::event::{News, record};
use crate::object::{condition, is_deleting, is_same, list, namespace, set_condition, text};
use crate::resource::GroupResource;
use crate::resource::builtin::{NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS};
use crate::store::{Change, ChangeKind};

const NAME: &str = "default-scheduler";
/// The annotation by which a claim is told the node of its first consumer.
pub(super) const SELECTED: &str = "volume.kubernetes.io/selected-node";

/// Binds pods to nodes.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    nodes: Nodes,
}

impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![PODS, NODES, PERSISTENT_VOLUME_CLAIMS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let pod = &change.object.value;
        let waiting =
            |object: &Value| text(object, "/spec/nodeName").is_empty() && !is_deleting(object);
        if change.resource == PODS {
            let told = change
                .previous
                .as_ref()
                .is_some_and(|old| is_same(&old.value["spec"], &pod["spec"]));
            if change.kind != ChangeKind::Deleted && waiting(pod) {
                return if told {
                    Vec::new()
                } else {
                    vec![Key::of(change)]
                };
            }
            if change.kind != ChangeKind::Deleted {
                return Vec::new();
            }
        } else if change.resource == NODES {
            let old = change.previous.as_ref();
            let same = old.is_some_and(|old| {
                is_same(&old.value["spec"], &pod["spec"])
                    && old.value["metadata"]["labels"] == pod["metadata"]["labels"]
                    && old.value["status"]["allocatable"] == pod["status"]["allocatable"]
            });
            if same || change.kind == ChangeKind::Deleted {
                return Vec::new();
            }
        }
        // What had no place may have one now.
        let pending = cluster.store().on_node("");
        let pending = pending.iter().filter(|pod| waiting(&pod.value));
        pending
            .map(|pod| pod.place())
            .map(|(namespace, name)| Key { namespace, name })
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(pod) = api.get(&PODS, &key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let other = !matches!(text(&pod, "/spec/schedulerName"), "" | NAME);
        if other
            || is_deleting(&pod)
            || !text(&pod, "/spec/nodeName").is_empty()
            || !list(&pod, "/spec/schedulingGates").is_empty()
        {
            return Ok(Next::Change);
        }
        self.nodes.refresh(cx.cluster);
        let claims = match claims(cx.cluster, &pod) {
            Ok(claims) => claims,
            Err(why) => return self.refuse(cx, &pod, &why),
        };
        match self.nodes.choose(cx.cluster, &pod, &claims.nodes) {
            Ok(node) => {
                if claims.select(cx, &node)? {
                    // The claims are bound now that their node is known.
                    return Ok(Next::Change);
                }
                self.bind(cx, &pod, &node)
            }
            Err(refusals) => {
                let why = refusals.message(self.nodes.count());
                self.refuse(cx, &pod, &why)
            }
        }
    }
}

impl Scheduler {
    fn bind(&mut self, cx: &Cx<'_>, pod: &Value, node: &str) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let (place, pod_name) = (namespace(pod), crate::object::name(pod));
        let stamp = api.clock().stamp();
        let bound = api.modify(&PODS, place, pod_name, NAME, |pod| {
            if text(pod, "/spec/nodeName").is_empty() {
                pod["spec"]["nodeName"] = json!(node);
                let scheduled = json!({
                    "type": "PodScheduled", "status": "True", "lastProbeTime": null,
                    "observedGeneration": pod["metadata"]["generation"],
                });
                if !pod["status"].is_object() {
                    pod["status"] = json!({"phase": "Pending"});
                }
                set_condition(&mut pod["status"], scheduled, &stamp, &[]);
            }
        });
        match bound {
            Err(error) if error.is_not_found() => return Ok(Next::Change),
            other => drop(other?),
        }
        self.nodes.assume(pod, node);
        let message = format!("Successfully assigned {place}/{pod_name} to {node}");
        record(cx.cluster, pod, &News::normal(NAME, "Scheduled", &message));
        Ok(Next::Change)
    }

    fn refuse(&self, cx: &Cx<'_>, pod: &Value, why: &str) -> Result<Next, ApiError> {
        let told = condition(pod, "PodScheduled").is_some_and(|told| text(told, "/message") == why);
        let api = cx.cluster.api();
        let stamp = api.clock().stamp();
        if !told {
            record(
                cx.cluster,
                pod,
                &News::warning(NAME, "FailedScheduling", why),
            );
            let written = api.modify(&PODS, namespace(pod), crate::object::name(pod), NAME, |pod| {
                let refused = json!({
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why,
                    "lastProbeTime": null, "observedGeneration": pod["metadata"]["generation"],
                });
                if !pod["status"].is_object() {
                    pod["status"] = json!({"phase": "Pending"});
                }
                set_condition(&mut pod["status"], refused, &stamp, &[]);
            });
            match written {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        // As the real one: what could not be scheduled is tried again after five minutes at the latest.
        Ok(Next::After(Duration::from_secs(300)))
    }
}

/// What a pod's claims ask of its node.
#[derive(Debug, Default)]
struct Claims {
    /// Node affinities of bound volumes.
    nodes: Vec<Value>,
    /// Claims that wait for their first consumer.
    waiting: Vec<Arc<Value>>,
}

impl Claims {
    /// Tells waiting claims their node; whether there were any.
    fn select(&self, cx: &Cx<'_>, node: &str) -> Result<bool, ApiError> {
        for claim in &self.waiting {
            cx.cluster.api().modify(
                &PERSISTENT_VOLUME_CLAIMS,
                namespace(claim),
                crate::object::name(claim),
                NAME,
                |claim| {
                    crate::object::set_in_metadata(claim, "annotations", SELECTED, node);
                },
            )?;
        }
        Ok(!self.waiting.is_empty())
    }
}

fn claims(cluster: &Cluster, pod: &Value) -> Result<Claims, String> {
    let api = cluster.api();
    let mut claims = Claims::default();
    for volume in list(pod, "/spec/volumes") {
        let claim_name = match text(volume, "/persistentVolumeClaim/claimName") {
            "" if volume["ephemeral"].is_object() => {
                format!("{}-{}", crate::object::name(pod), text(volume, "/name"))
            }
            "" => continue,
            told => told.to_owned(),
        };
        let Some(claim) = api.get(&PERSISTENT_VOLUME_CLAIMS, namespace(pod), &claim_name) else {
            return Err(format!("persistentvolumeclaim \"{claim_name}\" not found"));
        };
        if text(&claim, "/status/phase") == "Lost" {
            return Err(format!(
                "persistentvolumeclaim \"{claim_name}\" bound to non-existent persistentvolume \"{}\"",
                text(&claim, "/spec/volumeName")
            ));
        }
        if text(&claim, "/status/phase") == "Bound" {
            let volume = api.get(&PERSISTENT_VOLUMES, "", text(&claim, "/spec/volumeName"));
            claims.nodes.extend(
                volume
                    .map(|volume| volume["spec"]["nodeAffinity"]["required"].clone())
                    .filter(Value::is_object),
            );
        } else if super::volumes::waits_for_consumer(cluster, &claim) {
            claims.waiting.push(claim);
        } else {
            let nodes = cluster.store().count(&NODES);
            return Err(format!(
                "0/{nodes} nodes are available: pod has unbound immediate PersistentVolumeClaims."
            ));
        }
    }
    Ok(claims)
}

/// Refusals are counted by reason.
impl Refusals {
    fn message(&self, nodes: usize) -> String {
        if nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut reasons: Vec<String> = self
            .0
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        reasons.sort();
        format!(
            "0/{nodes} nodes are available: {}. preemption: 0/{nodes} nodes are available: {nodes} Preemption is not helpful for scheduling.",
            reasons.join(", ")
        )
    }
}
