//! Whether a node is of the kind that a Pod asks for: by selector, required affinity and taints. What passes (a drain,
//! a node that is not ready) is none of its kind, and neither is how full it is.

use serde_json::Value;

use super::Object;

/// Domains of taints that tell how a node is at the moment, and not what it is for.
const PASSING: [&str; 3] = [
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "node.cluster.x-k8s.io/",
];
/// Where a Pod's spec has the affinity that has to be met.
const REQUIRED: &str =
    "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// Whether Pods of this spec may be on a node.
#[must_use]
pub fn suits(spec: &Value, node: &Object) -> bool {
    unmet_labels(spec, node).is_empty() && is_near(spec, node) && tolerates(spec, node)
}

/// The labels of a Pod's node selector that a node does not have, as `key=value`.
#[must_use]
pub fn unmet_labels(spec: &Value, node: &Object) -> Vec<String> {
    let wanted = spec["nodeSelector"].as_object().into_iter().flatten();
    wanted
        .filter(|(key, value)| node.label(key) != value.as_str())
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect()
}

/// Whether a node meets one of the terms of the required affinity, if there are any.
fn is_near(spec: &Value, node: &Object) -> bool {
    let Some(terms) = spec.pointer(REQUIRED) else {
        return true;
    };
    let label = |key: &str| node.label(key).map(str::to_owned);
    let field = |key: &str| (key == "metadata.name").then(|| node.name().to_owned());
    list(terms).iter().any(|term| {
        let (labels, fields) = (list(&term["matchExpressions"]), list(&term["matchFields"]));
        !(labels.is_empty() && fields.is_empty())
            && labels.iter().all(|wanted| holds(wanted, label))
            && fields.iter().all(|wanted| holds(wanted, field))
    })
}

fn holds(wanted: &Value, of: impl Fn(&str) -> Option<String>) -> bool {
    let found = of(wanted["key"].as_str().unwrap_or_default());
    let values = list(&wanted["values"]);
    let named = |value: &str| values.iter().any(|one| one == value);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = values.first().and_then(Value::as_str).and_then(number);
    let numbers = || found.as_deref().and_then(number).zip(bound);
    match wanted["operator"].as_str().unwrap_or_default() {
        "In" => found.as_deref().is_some_and(named),
        "NotIn" => !found.as_deref().is_some_and(named),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => numbers().is_some_and(|(found, bound)| found > bound),
        "Lt" => numbers().is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

/// Whether a Pod tolerates what a node is tainted with for good.
fn tolerates(spec: &Value, node: &Object) -> bool {
    let mut lasting = node.array("/spec/taints").iter().filter(|taint| {
        let key = taint["key"].as_str().unwrap_or_default();
        taint["effect"] != "PreferNoSchedule" && !PASSING.iter().any(|start| key.starts_with(start))
    });
    lasting.all(|taint| {
        list(&spec["tolerations"])
            .iter()
            .any(|one| is_for(one, taint))
    })
}

fn is_for(toleration: &Value, taint: &Value) -> bool {
    let said = |field: &str| toleration[field].as_str().unwrap_or_default();
    let exists = said("operator") == "Exists";
    (said("effect").is_empty() || toleration["effect"] == taint["effect"])
        && ((said("key").is_empty() && exists) || toleration["key"] == taint["key"])
        && (exists || said("value") == taint["value"].as_str().unwrap_or_default())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(labels: Value, taints: Value) -> Object {
        let metadata = json!({"name": "n", "labels": labels});
        let node = json!({"kind": "Node", "metadata": metadata, "spec": {"taints": taints}});
        Object::new("workload", node)
    }

    fn near(key: &str, operator: &str, values: Value) -> Value {
        let wanted = json!({"key": key, "operator": operator, "values": values});
        let terms = json!([{"matchExpressions": [wanted]}]);
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
    }

    #[test]
    fn a_node_suits_by_its_labels() {
        let node = node(json!({"disk": "fast", "rack": "2"}), Value::Null);
        for (spec, expected) in [
            (json!({}), true),
            (json!({"nodeSelector": {"disk": "fast"}}), true),
            (json!({"nodeSelector": {"disk": "slow"}}), false),
            (
                json!({"nodeSelector": {"disk": "fast", "gpu": "yes"}}),
                false,
            ),
            (near("disk", "In", json!(["slow", "fast"])), true),
            (near("disk", "NotIn", json!(["fast"])), false),
            (near("gpu", "NotIn", json!(["yes"])), true),
            (near("gpu", "Exists", json!([])), false),
            (near("gpu", "DoesNotExist", json!([])), true),
            (near("rack", "Gt", json!(["1"])), true),
            (near("rack", "Lt", json!(["2"])), false),
            (near("disk", "Like", json!(["fast"])), false),
        ] {
            assert_eq!(suits(&spec, &node), expected, "{spec}");
        }
        let mut named = near("disk", "In", json!(["fast"]));
        let term = named.pointer_mut(&format!("{REQUIRED}/0")).unwrap();
        term["matchFields"] =
            json!([{"key": "metadata.name", "operator": "In", "values": ["other"]}]);
        assert!(!suits(&named, &node));
    }

    #[test]
    fn a_node_suits_by_its_lasting_taints_alone() {
        let spec = json!({"tolerations": [{"key": "pool", "operator": "Exists"}]});
        for (key, effect, expected) in [
            ("pool", "NoSchedule", true),
            ("other", "NoSchedule", false),
            ("other", "PreferNoSchedule", true),
            ("node.kubernetes.io/unschedulable", "NoSchedule", true),
            ("node.cluster.x-k8s.io/uninitialized", "NoSchedule", true),
        ] {
            let node = node(json!({}), json!([{"key": key, "effect": effect}]));
            assert_eq!(suits(&spec, &node), expected, "{key} {effect}");
        }
        let node = node(
            json!({}),
            json!([{"key": "pool", "value": "a", "effect": "NoExecute"}]),
        );
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "pool", "value": "a"}), true),
            (json!({"key": "pool", "value": "b"}), false),
            (
                json!({"key": "pool", "operator": "Exists", "effect": "NoSchedule"}),
                false,
            ),
        ] {
            let spec = json!({"tolerations": [toleration]});
            assert_eq!(suits(&spec, &node), expected, "{spec}");
        }
    }
}
