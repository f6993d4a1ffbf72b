//! Whether a workload is rolled out: what was asked for is what runs, and all of it is available.

use super::Object;
use crate::record::Blocker;

/// What keeps a Deployment, DaemonSet or StatefulSet from being rolled out; none when it is, and for
/// every other kind.
#[must_use]
pub fn rollout_blocker(workload: &Object) -> Option<Blocker> {
    let fields = match workload.kind() {
        "Deployment" => Fields {
            wanted: workload.int("/spec/replicas").unwrap_or(1),
            present: workload.int("/status/replicas"),
            updated: workload.int("/status/updatedReplicas"),
            available: workload.int("/status/availableReplicas"),
        },
        "StatefulSet" => Fields {
            wanted: workload.int("/spec/replicas").unwrap_or(1),
            present: workload.int("/status/replicas"),
            updated: workload.int("/status/updatedReplicas"),
            available: workload.int("/status/availableReplicas"),
        },
        "DaemonSet" => Fields {
            // A DaemonSet's status is the only place that knows how many nodes it wants to be on.
            wanted: workload.int("/status/desiredNumberScheduled").unwrap_or(-1),
            present: workload.int("/status/currentNumberScheduled"),
            updated: workload.int("/status/updatedNumberScheduled"),
            available: workload.int("/status/numberAvailable"),
        },
        _ => return None,
    };
    if !workload.is_observed() || workload.int("/status/observedGeneration").is_none() {
        return Some(workload.blocker("not yet seen by its controller"));
    }
    let Fields {
        wanted,
        present,
        updated,
        available,
    } = fields;
    let [present, updated, available] =
        [present, updated, available].map(Option::unwrap_or_default);
    if wanted >= 0 && present == wanted && updated == wanted && available == wanted {
        return None;
    }
    let mut blocker = workload.blocker(format!(
        "{available} of {wanted} available, {updated} updated, {present} present"
    ));
    if let Some(condition) = workload
        .condition("Progressing")
        .filter(|condition| condition.status == "False")
    {
        blocker.reason = condition.reason;
        blocker.message = condition.message;
        blocker.since = condition.since;
    }
    Some(blocker)
}

struct Fields {
    wanted: i64,
    present: Option<i64>,
    updated: Option<i64>,
    available: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn workload(kind: &str, status: Value) -> Object {
        Object::new(
            "workload",
            json!({"kind": kind, "metadata": {"name": "w", "namespace": "n", "generation": 3},
                "spec": {"replicas": 2}, "status": status}),
        )
    }

    #[test]
    fn all_updated_and_available_is_rolled_out() {
        let status = json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
        assert_eq!(rollout_blocker(&workload("Deployment", status)), None);
        let status = json!({"observedGeneration": 3, "desiredNumberScheduled": 0});
        assert_eq!(rollout_blocker(&workload("DaemonSet", status)), None);
    }

    #[test]
    fn an_old_generation_a_missing_pod_and_a_surplus_pod_are_not() {
        for (status, told) in [
            (
                json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}),
                "not yet seen",
            ),
            (
                json!({"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}),
                "1 of 2 available",
            ),
            (
                json!({"observedGeneration": 3, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}),
                "3 present",
            ),
            (json!({}), "not yet seen"),
        ] {
            let blocker = rollout_blocker(&workload("Deployment", status)).unwrap();
            assert!(blocker.condition.contains(told), "{blocker}");
        }
    }

    #[test]
    fn a_daemon_set_without_a_status_is_not_rolled_out() {
        let blocker = rollout_blocker(&workload("DaemonSet", json!({"observedGeneration": 3})));
        assert!(blocker.is_some());
    }
}
