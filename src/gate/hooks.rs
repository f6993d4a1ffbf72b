//! An upgrade that is to go on without Cluster API's hooks: whether one was called.

use std::time::Duration;

use super::causes::Clue;
use super::finished::Goal;
use crate::cluster::View;
use crate::cluster::kinds::{self, PENDING_HOOKS};
use crate::record::{Finding, ObjectRef};

/// What tells of a call, and for how long that has to be there. From the hook before an upgrade to the end of the
/// rollout there is always one of these, so that a look from time to time misses none: it blocks, or the hook after the
/// upgrade is still to be called. A ClusterAddon's `spec.hook` proves no call: the operator sets it itself where
/// Kubernetes stays the same.
pub(super) fn called(goal: &Goal, management: &View) -> Option<Clue> {
    let mut told = Vec::new();
    if let Some(cluster) = management.get(&kinds::CLUSTER, &goal.namespace, &goal.cluster) {
        let pending = cluster.annotation(PENDING_HOOKS);
        let pending = pending.filter(|hooks| !hooks.is_empty());
        told.extend(
            pending.map(|hooks| format!("{}: hooks pending: {hooks}", cluster.reference())),
        );
        let topology = cluster.condition("TopologyReconciled");
        let lines = topology.iter().flat_map(|it| it.message.lines());
        let blocking = lines.filter(|line| line.contains("hooks are blocking"));
        let why = |line: &str| line.trim_start_matches(['*', ' ']).to_owned();
        told.extend(blocking.map(|line| format!("{}: {}", cluster.reference(), why(line))));
    }
    let first = told.first()?;
    let finding = Finding {
        cause: "unexpected-hook".to_owned(),
        message: format!(
            "Cluster API called a hook for the upgrade to {}, which was to go on without: {first}",
            goal.class
        ),
        object: ObjectRef::new("management", "Cluster", &goal.namespace, &goal.cluster),
        evidence: told,
    };
    Some(Clue::new(Duration::ZERO, finding))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn goal() -> Goal {
        Goal::of_the_operator("docker-demo-1-34-v2", "v1.34.3")
    }

    /// What is told of a Cluster with this annotation and topology, and a ClusterAddon with this hook.
    fn told(pending: &str, topology: Value, hook: &str) -> Vec<String> {
        let metadata =
            json!({"name": "c", "namespace": "n", "annotations": {PENDING_HOOKS: pending}});
        let cluster = json!({
            "apiVersion": "cluster.x-k8s.io/v1beta2",
            "kind": "Cluster",
            "metadata": metadata,
            "status": {"conditions": [topology]},
        });
        let addon = json!({
            "apiVersion": "clusterstack.x-k8s.io/v1alpha1",
            "kind": "ClusterAddon",
            "metadata": {"name": "cluster-addon-c", "namespace": "n"},
            "spec": {"hook": hook},
        });
        let objects = [(kinds::CLUSTER, cluster), (kinds::CLUSTER_ADDON, addon)];
        let called = called(&goal(), &View::holding("management", &objects));
        called.map_or_else(Vec::new, |clue| clue.finding.evidence)
    }

    #[test]
    fn a_call_is_seen_while_it_blocks_and_until_the_upgrade_is_done() {
        let topology = |status: &str, message: &str| json!({"type": "TopologyReconciled", "status": status, "reason": "r", "message": message});
        let done = || topology("True", "");
        let moves = || {
            topology(
                "False",
                "Cluster is upgrading: MachineDeployment md-0 rolls out",
            )
        };
        assert_eq!(told("", done(), ""), Vec::<String>::new());
        // The operator sets this itself where it applies the addons of the same Kubernetes.
        assert_eq!(
            told("", done(), "BeforeClusterUpgrade"),
            Vec::<String>::new()
        );
        // Machines are replaced all the same.
        assert_eq!(told("", moves(), ""), Vec::<String>::new());
        let blocks = "Following hooks are blocking upgrade: BeforeClusterUpgrade: x";
        let lines = format!("Cluster is upgrading to v1.34.4\n  * {blocks}\n  * more");
        assert_eq!(
            told("", topology("False", &lines), ""),
            [format!("Cluster n/c: {blocks}")]
        );
        assert_eq!(
            told("AfterClusterUpgrade", done(), "BeforeClusterUpgrade"),
            ["Cluster n/c: hooks pending: AfterClusterUpgrade"]
        );
    }
}
