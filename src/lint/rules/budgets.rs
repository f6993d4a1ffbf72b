//! Disruption budgets that never let a Pod go: a drain of its Node never ends.

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::{list, reference, text};
use super::super::rule::rules;
use super::super::subject::{Item, Subject};

rules! {
    BUDGET_NEVER_MET = "budget-never-met", Must, Anyone, "https://kubernetes.io/docs/tasks/run-application/configure-pdb/", [],
        "every budget lets a Pod go when all replicas that the topology has room for are ready",
        "Cluster API drains each Node before it goes; an eviction that is never allowed holds up the upgrade until its deadline",
        "run one replica more than the budget demands, or let maxUnavailable be at least 1";
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let side = subject.to;
    let spec = &subject.stack.spec.cluster;
    let workers: u64 = spec.workers.iter().map(|one| u64::from(one.replicas)).sum();
    let planes = u64::from(spec.control_plane.replicas);
    let items: Vec<&Item> = side.addons().collect();
    for budget in items
        .iter()
        .filter(|item| item.object["kind"] == "PodDisruptionBudget")
    {
        let pods: u64 = items
            .iter()
            .filter(|item| selects(&budget.object, &item.object))
            .map(|item| replicas(&item.object, &items, workers, planes))
            .sum();
        // Of Pods that no chart brings nothing is known.
        if pods == 0 {
            continue;
        }
        let allowed = allowed(&budget.object["spec"], pods);
        if allowed > 0 {
            continue;
        }
        let given = ["maxUnavailable", "minAvailable"]
            .into_iter()
            .find(|field| !budget.object["spec"][*field].is_null())
            .unwrap_or("spec");
        let value = &budget.object["spec"][given];
        let many = if pods == 1 {
            "1 Pod".to_owned()
        } else {
            format!("{pods} Pods")
        };
        let message = format!("{given} {value} never lets one of its {many} go");
        let problem = side.problem(budget, &["spec", given], message);
        let object = Some(reference(&budget.object));
        found.add(&BUDGET_NEVER_MET, &side.release.tag, object, problem);
    }
}

/// How many of so many Pods may be away.
fn allowed(spec: &Value, pods: u64) -> u64 {
    if !spec["maxUnavailable"].is_null() {
        return count(&spec["maxUnavailable"], pods);
    }
    if spec["minAvailable"].is_null() {
        // Neither given: the budget demands one.
        return pods.saturating_sub(1);
    }
    pods.saturating_sub(count(&spec["minAvailable"], pods))
}

/// A number, or a share rounded up as the controller does.
fn count(value: &Value, pods: u64) -> u64 {
    let percent = value.as_str().and_then(|text| text.strip_suffix('%'));
    match percent.map(str::parse::<u64>) {
        Some(Ok(percent)) => (percent * pods).div_ceil(100),
        _ => {
            let number = value.as_str().and_then(|text| text.parse().ok());
            value.as_u64().or(number).unwrap_or(0)
        }
    }
}

/// Whether a budget is about the Pods of a workload that a drain evicts.
fn selects(budget: &Value, workload: &Value) -> bool {
    let kind = text(workload, "/kind");
    if !matches!(kind, "Deployment" | "StatefulSet" | "ReplicaSet") {
        return false;
    }
    let selector = &budget["spec"]["selector"];
    // What an expression selects is left to the cluster.
    if !list(selector, "/matchExpressions").is_empty() || selector.is_null() {
        return false;
    }
    let labels = &workload["spec"]["template"]["metadata"]["labels"];
    let wanted = selector["matchLabels"].as_object().into_iter().flatten();
    let namespace = |object| match text(object, "/metadata/namespace") {
        "" => crate::stack::ADDON_NAMESPACE,
        other => other,
    };
    wanted.clone().all(|(key, value)| labels[key] == *value)
        && namespace(budget) == namespace(workload)
}

/// How many Pods of a workload can be ready at once: at most one on each Node where it says so.
fn replicas(workload: &Value, items: &[&Item], workers: u64, planes: u64) -> u64 {
    let name = text(workload, "/metadata/name");
    let scaler = items.iter().map(|item| &item.object).find(|one| {
        one["kind"] == "HorizontalPodAutoscaler" && text(one, "/spec/scaleTargetRef/name") == name
    });
    let asked = match scaler {
        Some(scaler) => scaler["spec"]["minReplicas"].as_u64().unwrap_or(1),
        None => workload["spec"]["replicas"].as_u64().unwrap_or(1),
    };
    let pod = &workload["spec"]["template"]["spec"];
    let terms = list(
        pod,
        "/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution",
    );
    let apart = terms
        .iter()
        .any(|term| term["topologyKey"] == "kubernetes.io/hostname");
    let tolerates = list(pod, "/tolerations").iter().any(|one| {
        let key = text(one, "/key");
        key.is_empty() || key == "node-role.kubernetes.io/control-plane"
    });
    let nodes = if tolerates || workers == 0 {
        workers + planes
    } else {
        workers
    };
    if apart { asked.min(nodes) } else { asked }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        for (spec, pods, expected) in [
            (json!({"maxUnavailable": 0}), 3, 0),
            (json!({"maxUnavailable": "0%"}), 3, 0),
            (json!({"maxUnavailable": "1%"}), 3, 1),
            (json!({"minAvailable": 1}), 1, 0),
            (json!({"minAvailable": 1}), 2, 1),
            (json!({"minAvailable": "50%"}), 3, 1),
            (json!({"minAvailable": "100%"}), 3, 0),
            (json!({}), 2, 1),
        ] {
            assert_eq!(allowed(&spec, pods), expected, "{spec}");
        }
    }
}
