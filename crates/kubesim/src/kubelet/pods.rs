//! The kubelets of all nodes, as far as pods go.

use jiff::Timestamp;
use serde_json::Value;

use super::pod::{At, PodRun};
use super::status;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{annotation, condition, is_deleting, is_over, name, text, uid};
use crate::registry::Deletion;
use crate::resource::GroupResource;
use crate::resource::builtin::{NODES, PODS};
use crate::store::{Change, ChangeKind};

const NAME: &str = "kubelet";
/// Annotation of the mirror of a static pod.
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// How long it takes until a kubelet that was stopped is seen to run again.
const STOPPED: std::time::Duration = std::time::Duration::from_secs(10);

/// Runs pods.
#[derive(Debug, Default)]
pub(crate) struct Pods;

impl Controller for Pods {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![PODS, NODES]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let pod = &change.object.value;
        if change.resource == NODES {
            // A kubelet that was lost tells of its pods again: they were marked as not ready.
            let lost = |node: &Value| {
                condition(node, "Ready").is_some_and(|ready| ready["status"] == "Unknown")
            };
            let back = change.previous.as_ref().is_some_and(|old| lost(&old.value)) && !lost(pod);
            if !back || change.kind == ChangeKind::Deleted {
                return Vec::new();
            }
            let pods = cluster.store().on_node(name(pod));
            return pods
                .iter()
                .map(|pod| pod.place())
                .map(|(namespace, name)| Key { namespace, name })
                .collect();
        }
        if text(pod, "/spec/nodeName").is_empty() {
            return Vec::new();
        }
        // Its own writes of the status tell it nothing new.
        let known = change.previous.as_ref().is_some_and(|previous| {
            let (old, new) = (&previous.value["metadata"], &pod["metadata"]);
            previous.value["spec"]["nodeName"] == pod["spec"]["nodeName"]
                && old["deletionTimestamp"] == new["deletionTimestamp"]
                && old["generation"] == new["generation"]
        });
        if known && change.kind == ChangeKind::Modified {
            Vec::new()
        } else {
            vec![Key::of(change)]
        }
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let place = (key.namespace.clone(), key.name.clone());
        let machines = cx.cluster.machines();
        let Some(pod) = api.get(&PODS, &key.namespace, &key.name) else {
            machines.state().pods.remove(&place);
            cx.cluster.logs().remove(&key.namespace, &key.name);
            return Ok(Next::Change);
        };
        let now = api.clock().now();
        let node = text(&pod, "/spec/nodeName");
        let host = {
            let state = machines.state();
            state
                .machines
                .get(node)
                .map(|machine| (machine.running, machine.address.clone()))
        };
        let Some((running, address)) = host else {
            return Ok(Next::Change);
        };
        if !running {
            return Ok(Next::After(STOPPED));
        }
        let mirror = annotation(&pod, MIRROR).is_some();
        if mirror && is_deleting(&pod) {
            // Its containers are the node's; the mirror comes again.
            return finish(cx, key);
        }
        let known = machines
            .state()
            .pods
            .remove(&place)
            .filter(|run| run.uid == uid(&pod));
        if known.is_none() && is_over(&pod) {
            return if is_deleting(&pod) {
                finish(cx, key)
            } else {
                Ok(Next::Change)
            };
        }
        let mut run = known.unwrap_or_else(|| PodRun::new(&pod, &address, now));
        let due = run.advance(&mut At {
            cluster: cx.cluster,
            pod: &pod,
            now,
            random: cx.random,
        });
        let over = run.stopped && is_deleting(&pod);
        // Stopping shows when it is over; until then the pod is told to be as it was.
        let stopping = is_deleting(&pod) && !over;
        let told = if stopping {
            Ok(())
        } else {
            let written = api.modify(&PODS, &key.namespace, &key.name, NAME, |pod| {
                status::write(pod, &run, now)
            });
            written.map(drop)
        };
        machines.state().pods.insert(place.clone(), run);
        match told {
            Err(error) if error.is_not_found() => {
                machines.state().pods.remove(&place);
                return Ok(Next::Change);
            }
            other => other?,
        }
        if over {
            machines.state().pods.remove(&place);
            return finish(cx, key);
        }
        Ok(due.map_or(Next::Change, |due| Next::After(until(due, now))))
    }
}

fn until(due: Timestamp, now: Timestamp) -> std::time::Duration {
    due.duration_since(now)
        .unsigned_abs()
        .max(std::time::Duration::from_millis(1))
}

/// Tells the API server that a pod has ended and may go.
fn finish(cx: &Cx<'_>, key: &Key) -> Result<Next, ApiError> {
    let deletion = Deletion {
        grace: Some(0),
        ..Deletion::default()
    };
    match cx
        .cluster
        .api()
        .delete(&PODS, &key.namespace, &key.name, &deletion)
    {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(Next::Change),
    }
}
