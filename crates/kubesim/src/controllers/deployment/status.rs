//! What a Deployment's status tells of its rollout.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rollout::Rollout;
use super::{Budget, Deployments, NAME, Set, sum};
use crate::controller::Next;
use crate::controllers::replica_set::counted;
use crate::controllers::template::replicas;
use crate::error::ApiError;
use crate::object::{condition, int, set_condition, text, truth};
use crate::resource::builtin::DEPLOYMENTS;

/// How far a rollout was when it last came on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    set: String,
    updated: i64,
    ready: i64,
    available: i64,
    old: i64,
    at: Timestamp,
}

/// Whether the rollout is over.
pub(super) fn is_complete(deployment: &Value, new: &Set, old: &[Set]) -> bool {
    let wanted = replicas(deployment);
    let total = new.present + sum(old, |set| set.present);
    new.present == wanted && new.wanted == wanted && total == wanted && new.available == wanted
}

impl Deployments {
    pub(super) fn tell(
        &mut self,
        rollout: &Rollout<'_, '_>,
        new: Option<&Set>,
        old: &[Set],
    ) -> Result<Next, ApiError> {
        let api = rollout.cx.cluster.api();
        let deployment = &rollout.deployment;
        let now = api.clock().now();
        let every: Vec<Set> = old.iter().chain(new).cloned().collect();
        let count = |number: i64| usize::try_from(number).unwrap_or_default();
        let (total, ready) = (sum(&every, |set| set.present), sum(&every, |set| set.ready));
        let available = sum(&every, |set| set.available);
        let wanted = sum(&every, |set| set.wanted);
        let updated = new.map_or(0, |set| set.present);
        let numbers = [
            ("replicas", count(total)),
            ("updatedReplicas", count(updated)),
            ("readyReplicas", count(ready)),
            ("availableReplicas", count(available)),
            ("unavailableReplicas", count(wanted - available)),
        ];
        let budget = Budget::of(deployment);
        let enough = available >= budget.replicas - budget.unavailable;
        let complete = new.is_some_and(|new| is_complete(deployment, new, old));
        let progress = Progress {
            set: new.map(|set| set.name().to_owned()).unwrap_or_default(),
            updated,
            ready,
            available,
            old: sum(old, |set| set.present),
            at: now,
        };
        let came_on = match self.progress.get(rollout.key) {
            Some(last) => {
                Progress {
                    at: now,
                    ..last.clone()
                } != progress
            }
            None => true,
        };
        if came_on {
            self.progress.insert(rollout.key.clone(), progress.clone());
        }
        let since = self
            .progress
            .get(rollout.key)
            .map_or(now, |progress| progress.at);
        let deadline = int(deployment, "/spec/progressDeadlineSeconds").unwrap_or(600);
        let left = since.as_second() + deadline - now.as_second();
        let progressing = progressing(deployment, &progress.set, complete, left);
        let written = api.modify(&DEPLOYMENTS, &rollout.key.namespace, &rollout.key.name, NAME, |object| {
            let generation = deployment["metadata"]["generation"].clone();
            if !object["status"].is_object() {
                object["status"] = json!({});
            }
            let status = &mut object["status"];
            counted(status, &numbers, "");
            status["observedGeneration"] = generation;
            let stamp = crate::clock::stamp(now);
            let availability = if enough {
                json!({"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable", "message": "Deployment has minimum availability."})
            } else {
                json!({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable", "message": "Deployment does not have minimum availability."})
            };
            set_condition(status, availability, &stamp, &["lastUpdateTime"]);
            if let Some(progressing) = progressing.clone() {
                set_condition(status, progressing, &stamp, &["lastUpdateTime"]);
            }
        });
        match written {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
        let waits = !complete && left > 0 && !truth(deployment, "/spec/paused");
        Ok(if waits {
            Next::After(Duration::from_secs(u64::try_from(left).unwrap_or(1)))
        } else {
            Next::Change
        })
    }
}

/// The condition Progressing; none to leave it as it is.
fn progressing(deployment: &Value, set: &str, complete: bool, left: i64) -> Option<Value> {
    let told = |status: &str, reason: &str, message: String| {
        Some(json!({"type": "Progressing", "status": status, "reason": reason, "message": message}))
    };
    let before =
        condition(deployment, "Progressing").map_or("", |condition| text(condition, "/reason"));
    if truth(deployment, "/spec/paused") {
        return told(
            "Unknown",
            "DeploymentPaused",
            "Deployment is paused".to_owned(),
        );
    }
    if complete {
        return told(
            "True",
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{set}\" has successfully progressed."),
        );
    }
    if left <= 0 && before != "NewReplicaSetAvailable" {
        return told(
            "False",
            "ProgressDeadlineExceeded",
            format!("ReplicaSet \"{set}\" has timed out progressing."),
        );
    }
    let settled = before == "NewReplicaSetAvailable"
        && condition(deployment, "Progressing")
            .is_some_and(|c| text(c, "/message").contains(&format!("\"{set}\"")));
    if settled {
        // A pod that fails later is no rollout.
        return None;
    }
    if set.is_empty() {
        return None;
    }
    told(
        "True",
        "ReplicaSetUpdated",
        format!("ReplicaSet \"{set}\" is progressing."),
    )
}
