//! Names for what kept a wait from its end when the deadline passed: the most telling of what blocked
//! it, by what the clusters themselves say.

use crate::cluster::{ApplyError, WEBHOOK_AWAY};
use crate::record::{Blocker, Finding};

/// How many blockers are shown as evidence.
const EVIDENCE: usize = 8;

/// The cause by name; none when nothing blocked.
pub(super) fn cause(message: &str, blockers: &[Blocker]) -> Option<Finding> {
    let first = blockers.first()?;
    Some(Finding {
        cause: name(first).to_owned(),
        message: message.to_owned(),
        object: first.object.clone(),
        evidence: blockers
            .iter()
            .take(EVIDENCE)
            .map(ToString::to_string)
            .collect(),
    })
}

/// The cause of an object that was never taken, where the answer says it.
pub(super) fn refusal(error: &ApplyError) -> Option<Finding> {
    let ApplyError::Deadline {
        object, message, ..
    } = error
    else {
        return None;
    };
    let name = if message.contains(WEBHOOK_AWAY) {
        "webhook-down"
    } else if is_expired(message) {
        "certificate-expired"
    } else {
        return None;
    };
    Some(Finding {
        cause: name.to_owned(),
        message: error.to_string(),
        object: object.clone(),
        evidence: vec![message.clone()],
    })
}

/// Whether a failed connection says that the server's certificate has expired.
pub(super) fn is_expired(message: &str) -> bool {
    let message = message.to_lowercase();
    message.contains("certificate") && message.contains("expired")
}

fn name(blocker: &Blocker) -> &'static str {
    let condition = blocker.condition.as_str();
    let begins = |start: &str| condition.starts_with(start);
    if begins("cannot be watched") {
        return if is_expired(&blocker.message) {
            "certificate-expired"
        } else {
            "api-not-reached"
        };
    }
    match blocker.object.kind.as_str() {
        "Node" if begins("Ready") => "node-not-ready",
        "Machine" if begins("being deleted") && blocker.reason == "DrainingNode" => {
            "drain-does-not-end"
        }
        "Machine" if begins("being deleted") => "machine-not-deleted",
        "Machine" if blocker.message.contains("kubeadm") => "kubeadm-failed",
        "Machine" if begins("InfrastructureReady") => "infrastructure-not-ready",
        "Machine" if begins("BootstrapConfigReady") => "bootstrap-not-ready",
        "Machine" if begins("NodeHealthy") => "machine-without-healthy-node",
        "Deployment" | "DaemonSet" | "StatefulSet" | "Pod" if condition == "missing" => {
            "workload-missing"
        }
        "Deployment" | "DaemonSet" | "StatefulSet" | "Pod" => "workload-not-rolled-out",
        "ClusterAddon" => "addons-not-applied",
        "ClusterStackRelease" | "ClusterStack" => "release-not-ready",
        _ if condition == "missing" => "object-missing",
        _ => "not-reconciled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ObjectRef;

    fn blocker(kind: &str, condition: &str) -> Blocker {
        Blocker::new(ObjectRef::new("workload", kind, "a", "b"), condition)
    }

    #[test]
    fn the_most_telling_blocker_gives_the_name() {
        for (kind, condition, name) in [
            ("Node", "Ready False", "node-not-ready"),
            (
                "Machine",
                "NodeHealthy Unknown",
                "machine-without-healthy-node",
            ),
            (
                "Machine",
                "BootstrapConfigReady False",
                "bootstrap-not-ready",
            ),
            ("Machine", "being deleted", "machine-not-deleted"),
            ("DaemonSet", "missing", "workload-missing"),
            ("Deployment", "1 of 2 updated", "workload-not-rolled-out"),
            ("Secret", "missing", "object-missing"),
            ("ClusterAddon", "stage cni is Pending", "addons-not-applied"),
            ("ClusterStackRelease", "missing", "release-not-ready"),
            ("Cluster", "2 Machines, 3 wanted", "not-reconciled"),
            (
                "Pod",
                "cannot be watched on the workload cluster",
                "api-not-reached",
            ),
        ] {
            let blockers = [blocker(kind, condition), blocker("Node", "Ready False")];
            let finding = cause("timed out", &blockers).unwrap();
            assert_eq!(finding.cause, name, "{kind} {condition}");
            assert_eq!(finding.evidence.len(), 2);
        }
        assert_eq!(cause("timed out", &[]), None);
    }

    #[test]
    fn a_drain_and_an_expired_certificate_are_told_by_what_the_object_says() {
        let mut draining = blocker("Machine", "being deleted");
        draining.reason = "DrainingNode".to_owned();
        assert_eq!(name(&draining), "drain-does-not-end");
        let mut failed = blocker("Machine", "InfrastructureReady False");
        failed.message = "failed to run cloud config: [kubeadm join]".to_owned();
        assert_eq!(name(&failed), "kubeadm-failed");
        let mut expired = blocker("Pod", "cannot be watched on the workload cluster");
        expired.message = "invalid peer certificate: Expired".to_owned();
        assert_eq!(name(&expired), "certificate-expired");
    }

    #[test]
    fn a_webhook_that_does_not_answer_is_named_and_other_refusals_are_not() {
        let error = |message: &str| ApplyError::Deadline {
            verb: "apply",
            object: ObjectRef::new("workload", "Service", "a", "b"),
            origin: "addon a".to_owned(),
            seconds: 5.0,
            message: message.to_owned(),
        };
        let finding = refusal(&error("Internal error: failed calling webhook \"x\"")).unwrap();
        assert_eq!(finding.cause, "webhook-down");
        assert_eq!(refusal(&error("no such kind")), None);
    }
}
