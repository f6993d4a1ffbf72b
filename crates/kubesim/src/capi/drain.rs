//! Draining a Machine's node: cordon it, evict what runs there, wait until it is gone.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::fault::Fault;
use crate::object::{condition, controller_of, is_deleting, is_over, name, namespace, text};
use crate::registry::Deletion;
use crate::resource::builtin::{NODES, POD_DISRUPTION_BUDGETS, PODS};

const MANAGER: &str = "capi-machine";

/// What keeps a node from being drained; empty when it is.
///
/// # Errors
/// Those of the workload cluster's API.
pub fn drain(workload: &Cluster, node: &str) -> Result<Vec<String>, ApiError> {
    let api = workload.api();
    super::access::unless_gone(api.modify(&NODES, "", node, MANAGER, |node| {
        node["spec"]["unschedulable"] = json!(true);
    }))?;
    // A kubelet that cannot be reached ends no pod, so that none is waited for.
    let reached = api.get(&NODES, "", node).is_none_or(|node| {
        condition(&node, "Ready").is_none_or(|ready| ready["status"] != "Unknown")
    });
    let (mut leaving, mut refused) = (Vec::new(), Vec::new());
    for pod in api.list(&PODS, None) {
        if text(&pod, "/spec/nodeName") != node || !is_drained(&pod) {
            continue;
        }
        let shown = format!("{}/{}", namespace(&pod), name(&pod));
        if is_deleting(&pod) {
            leaving.extend(reached.then_some(shown));
            continue;
        }
        match evict(workload, &pod) {
            Ok(()) => leaving.push(shown),
            Err(error) if error.code == 429 => {
                if workload.machines().suffer(Fault::DrainBlocked) {
                    workload.machines().note(Fault::DrainBlocked);
                }
                refused.push((shown, error.message));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    let mut told = Vec::new();
    for (pod, why) in refused {
        // The budget's own words follow the cause's name.
        told.push(format!(
            "* Pod {pod}: cannot evict pod as it would violate the pod's disruption budget. {}",
            why.trim_start_matches(
                "Cannot evict pod as it would violate the pod's disruption budget. "
            )
        ));
    }
    if !leaving.is_empty() {
        let (word, more) = match leaving.len() {
            1 => ("Pod", String::new()),
            4.. => ("Pods", format!(", ... ({} more)", leaving.len() - 3)),
            _ => ("Pods", String::new()),
        };
        leaving.truncate(3);
        told.push(format!(
            "* {word} {}{more}: deletionTimestamp set, but still not removed from the Node",
            leaving.join(", ")
        ));
    }
    Ok(told)
}

/// Evicts a pod, unless a budget forbids it.
fn evict(workload: &Cluster, pod: &Value) -> Result<(), ApiError> {
    let api = workload.api();
    let selects = |budget: &Value| {
        let wanted = budget["spec"]["selector"]["matchLabels"].as_object();
        wanted.is_some_and(|wanted| {
            wanted
                .iter()
                .all(|(key, value)| pod["metadata"]["labels"].get(key) == Some(value))
        })
    };
    let budgets = api.list(&POD_DISRUPTION_BUDGETS, Some(namespace(pod)));
    let strict = budgets.iter().find(|budget| {
        selects(budget) && budget["status"]["disruptionsAllowed"].as_i64() == Some(0)
    });
    if let Some(budget) = strict {
        let why = format!(
            "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget {} needs {} healthy pods and has {} currently",
            name(budget),
            budget["status"]["desiredHealthy"],
            budget["status"]["currentHealthy"]
        );
        return Err(ApiError::new(429, "TooManyRequests", why));
    }
    api.delete(&PODS, namespace(pod), name(pod), &Deletion::default())
        .map(drop)
}

/// DaemonSets' pods, mirrors of static ones, and those that are over stay.
fn is_drained(pod: &Value) -> bool {
    let mirror = pod["metadata"]["annotations"]
        .get("kubernetes.io/config.mirror")
        .is_some();
    let owner = controller_of(pod).map(|owner| text(owner, "/kind"));
    !mirror
        && owner != Some("DaemonSet")
        && owner != Some("Node")
        && !(is_over(pod) && is_deleting(pod))
}
