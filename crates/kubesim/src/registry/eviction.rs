//! Evicting pods: deleting them where their PodDisruptionBudget allows it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Deletion, Registry};
use crate::error::ApiError;
use crate::object::{int, is_deleting, is_over, is_ready, name, set_condition, text};
use crate::resource::GroupResource;
use crate::resource::builtin::{POD_DISRUPTION_BUDGETS, PODS};
use crate::selector::Labels;

/// Most evictions that may be granted before the disruption controller has seen them.
const MOST_DISRUPTED: usize = 2000;
/// How a budget is called where it refuses.
const BUDGET: GroupResource = GroupResource::new("policy", "poddisruptionbudget");

impl Registry {
    /// Evicts a pod: deletes it, unless its budget forbids that.
    ///
    /// # Errors
    /// 429 when the budget allows no disruption now; what a deletion refuses.
    pub fn evict(&self, namespace: &str, name: &str, deletion: &Deletion) -> Result<(), ApiError> {
        let pod = self
            .get(&PODS, namespace, name)
            .ok_or_else(|| ApiError::not_found(&PODS, name))?;
        let pending = text(&pod, "/status/phase") == "Pending";
        if !is_over(&pod) && !pending && !is_deleting(&pod) {
            self.charge(namespace, &pod, deletion)?;
        }
        let dry_run = deletion.dry_run || deletion.write.dry_run;
        if !is_deleting(&pod) && !dry_run {
            let now = self.clock().stamp();
            self.modify(&PODS, namespace, name, "", |pod| {
                let condition = json!({
                    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                    "message": "Eviction API: evicting",
                });
                set_condition(&mut pod["status"], condition, &now, &[]);
            })?;
        }
        self.delete(&PODS, namespace, name, deletion)?;
        Ok(())
    }

    /// The budgets that a pod counts for.
    #[must_use]
    pub fn budgets_of(&self, pod: &Value) -> Vec<Arc<Value>> {
        let namespace = text(pod, "/metadata/namespace");
        let mut budgets = self.list(&POD_DISRUPTION_BUDGETS, Some(namespace));
        budgets.retain(|budget| selects(budget, pod));
        budgets
    }

    /// Takes a disruption from the budget of a pod.
    fn charge(&self, namespace: &str, pod: &Value, deletion: &Deletion) -> Result<(), ApiError> {
        let budgets = self.budgets_of(pod);
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [budget] => budget,
            _ => {
                let message = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::new(500, "InternalError", message));
            }
        };
        let number = |pointer: &str| int(budget, pointer).unwrap_or_default();
        let (healthy, desired) = (
            number("/status/currentHealthy"),
            number("/status/desiredHealthy"),
        );
        if !is_ready(pod) {
            let always = text(budget, "/spec/unhealthyPodEvictionPolicy") == "AlwaysAllow";
            // It is not among the healthy ones, so its end does not make them fewer.
            if always || (healthy >= desired && desired > 0) {
                return Ok(());
            }
        }
        let called = name(budget);
        if number("/status/observedGeneration") < number("/metadata/generation") {
            let why =
                format!("The disruption budget {called} is still being processed by the server.");
            return Err(too_many(&why, Some(10)));
        }
        let allowed = number("/status/disruptionsAllowed");
        if allowed < 0 {
            return Err(ApiError::forbidden(
                &BUDGET,
                called,
                "pdb disruptions allowed is negative",
            ));
        }
        let disrupted = budget["status"]["disruptedPods"].as_object();
        if disrupted.is_some_and(|disrupted| disrupted.len() > MOST_DISRUPTED) {
            let why =
                "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
            return Err(ApiError::forbidden(&BUDGET, called, why));
        }
        if allowed == 0 {
            let why = format!(
                "The disruption budget {called} needs {desired} healthy pods and has {healthy} currently"
            );
            return Err(too_many(&why, None));
        }
        if deletion.dry_run || deletion.write.dry_run {
            return Ok(());
        }
        let now = self.clock().stamp();
        self.modify(&POD_DISRUPTION_BUDGETS, namespace, called, "", |budget| {
            let status = &mut budget["status"];
            status["disruptionsAllowed"] = json!(allowed - 1);
            if !status["disruptedPods"].is_object() {
                status["disruptedPods"] = json!({});
            }
            status["disruptedPods"][name(pod)] = json!(now);
            tell_allowed(status, &now);
        })?;
        Ok(())
    }
}

/// Whether a budget counts a pod. An empty selector selects everything in `policy/v1`.
pub(crate) fn selects(budget: &Value, pod: &Value) -> bool {
    Labels::of(&budget["spec"]["selector"])
        .is_some_and(|selector| selector.matches(&pod["metadata"]["labels"]))
}

/// Sets a budget's condition by the number of disruptions in its status.
pub(crate) fn tell_allowed(status: &mut Value, now: &str) {
    let (told, reason) = if status["disruptionsAllowed"].as_i64() > Some(0) {
        ("True", "SufficientPods")
    } else {
        ("False", "InsufficientPods")
    };
    let condition = json!({
        "type": "DisruptionAllowed", "status": told, "reason": reason, "message": "",
        "observedGeneration": status["observedGeneration"],
    });
    set_condition(status, condition, now, &[]);
}

fn too_many(why: &str, retry: Option<u64>) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::new(429, "TooManyRequests", message);
    error.details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
    if let Some(seconds) = retry {
        error.details["retryAfterSeconds"] = json!(seconds);
    }
    error
}
