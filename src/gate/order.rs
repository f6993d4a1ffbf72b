//! The order of a rollout: no worker has the next minor version of Kubernetes before the whole control plane has.

use std::time::Duration;

use super::causes::Clue;
use super::finished::Goal;
use crate::cluster::kinds::CONTROL_PLANE;
use crate::cluster::{Object, View};
use crate::record::Finding;
use crate::stack::Version;

/// A kubelet may not be newer than an API server (Kubernetes' version skew policy), so Cluster API asks for workers of
/// a version once the control plane is there.
pub(super) fn workers_first(goal: &Goal, management: &View) -> Option<Clue> {
    let mut machines = goal.machines(management);
    // What goes is replaced already.
    machines.retain(|machine| !machine.is_deleting());
    let at = |machine: &Object| machine.str("/spec/version").to_owned();
    let minor = |machine: &Object| {
        let version = at(machine).parse::<Version>().ok()?;
        Some((version.major, version.minor))
    };
    let known = machines.iter();
    let known = known.filter_map(|machine| Some((minor(machine)?, machine)));
    let (planes, workers): (Vec<_>, Vec<_>) =
        known.partition(|(_, machine)| machine.label(CONTROL_PLANE).is_some());
    let (old, behind) = planes.iter().min_by_key(|(minor, _)| *minor)?;
    let (_, ahead) = workers.iter().find(|(minor, _)| minor > old)?;
    let finding = Finding {
        cause: "workers-before-control-plane".to_owned(),
        message: format!(
            "worker {} has Kubernetes {} while {} of the control plane is at {}: a kubelet must not be newer than an API \
             server, so the control plane has to be upgraded as a whole first",
            ahead.reference(),
            at(ahead),
            behind.reference(),
            at(behind),
        ),
        object: ahead.reference(),
        evidence: [ahead, behind]
            .map(|machine| format!("{}: spec.version {}", machine.reference(), at(machine)))
            .to_vec(),
    };
    Some(Clue::new(Duration::ZERO, finding))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::{Kind, kinds};

    fn machine(name: &str, plane: bool, version: &str) -> (Kind, Value) {
        let mut labels = json!({kinds::CLUSTER_NAME: "c"});
        if plane {
            labels[kinds::CONTROL_PLANE] = json!("");
        }
        let metadata = json!({"name": name, "namespace": "n", "labels": labels});
        let machine =
            json!({"kind": "Machine", "metadata": metadata, "spec": {"version": version}});
        (kinds::MACHINE, machine)
    }

    #[test]
    fn workers_follow_the_control_plane_issue_7() {
        let (old, new) = ("v1.34.3", "v1.35.0");
        let to = |version: &str, objects: &[(Kind, Value)]| {
            let goal = Goal::of_the_operator("docker-demo-1-35-v1", version);
            let clue = workers_first(&goal, &View::holding("management", objects));
            clue.is_some()
        };
        let told = |objects: &[(Kind, Value)]| to(new, objects);
        assert!(told(&[
            machine("a", true, new),
            machine("b", true, old),
            machine("w", false, new)
        ]));
        // The one goes, and the control plane is there; or workers are still behind.
        let mut gone = machine("b", true, old);
        gone.1["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(!told(&[
            machine("a", true, new),
            gone,
            machine("w", false, new)
        ]));
        assert!(!told(&[machine("a", true, old), machine("w", false, old)]));
        // Whoever goes on with an upgrade may not have its goal yet; patches have no such rule.
        assert!(!to(
            old,
            &[machine("a", true, new), machine("w", false, old)]
        ));
        let patch = "v1.34.9";
        assert!(!to(
            patch,
            &[machine("a", true, old), machine("w", false, patch)]
        ));
    }
}
