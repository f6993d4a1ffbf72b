//! Selectors in the API's form: of labels, of nodes; taints and what tolerates them.

use serde_json::Value;

use crate::object::{list, text};

/// Whether a `LabelSelector` selects labels. An empty selector selects everything, none nothing.
pub(crate) fn selects(selector: &Value, labels: &Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let pairs = selector["matchLabels"].as_object().into_iter().flatten();
    let mut pairs = pairs.map(|(key, value)| labels.get(key) == Some(value));
    let of = |key: &str| labels.get(key).and_then(Value::as_str);
    pairs.all(|held| held)
        && list(selector, "/matchExpressions")
            .iter()
            .all(|term| holds(term, &of))
}

/// Whether a plain map (a Service's selector, a node selector) is part of labels.
pub(crate) fn is_part(map: &Value, labels: &Value) -> bool {
    let pairs = map.as_object().into_iter().flatten();
    let mut pairs = pairs.map(|(key, value)| labels.get(key) == Some(value));
    pairs.all(|held| held)
}

/// Whether a requirement holds: key, operator, values.
fn holds<'v>(term: &Value, of: &dyn Fn(&str) -> Option<&'v str>) -> bool {
    let found = of(text(term, "/key"));
    let values = list(term, "/values");
    let named = |value: &str| values.iter().any(|listed| listed == value);
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = || values.first().and_then(Value::as_str).and_then(number);
    match text(term, "/operator") {
        "In" => found.is_some_and(named),
        "NotIn" => !found.is_some_and(named),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => found
            .and_then(number)
            .zip(bound())
            .is_some_and(|(found, bound)| found > bound),
        "Lt" => found
            .and_then(number)
            .zip(bound())
            .is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

/// Whether a node is one that a `NodeSelector` (`nodeSelectorTerms`) selects.
pub(crate) fn selects_node(selector: &Value, node: &Value) -> bool {
    list(selector, "/nodeSelectorTerms")
        .iter()
        .any(|term| selects_node_by_term(term, node))
}

/// Whether one term of a `NodeSelector` selects a node; an empty one selects none.
pub(crate) fn selects_node_by_term(term: &Value, node: &Value) -> bool {
    let labels = |key: &str| node["metadata"]["labels"].get(key).and_then(Value::as_str);
    let fields = |key: &str| (key == "metadata.name").then(|| text(node, "/metadata/name"));
    let (by_labels, by_fields) = (list(term, "/matchExpressions"), list(term, "/matchFields"));
    !(by_labels.is_empty() && by_fields.is_empty())
        && by_labels.iter().all(|term| holds(term, &labels))
        && by_fields.iter().all(|term| holds(term, &fields))
}

/// The toleration of a taint, if there is one.
pub(crate) fn toleration<'v>(tolerations: &'v [Value], taint: &Value) -> Option<&'v Value> {
    tolerations.iter().find(|toleration| {
        let (key, effect) = (text(toleration, "/key"), text(toleration, "/effect"));
        let exists = text(toleration, "/operator") == "Exists";
        (effect.is_empty() || effect == text(taint, "/effect"))
            && ((key.is_empty() && exists) || key == text(taint, "/key"))
            && (exists || text(toleration, "/value") == text(taint, "/value"))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_hold_as_in_the_api() {
        let labels = json!({"app": "web", "tier": "2"});
        let selector = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]});
        assert!(selects(&json!({}), &labels) && !selects(&Value::Null, &labels));
        assert!(selects(&json!({"matchLabels": {"app": "web"}}), &labels));
        for (operator, values, expected) in [
            ("In", json!(["1", "2"]), true),
            ("NotIn", json!(["2"]), false),
            ("Exists", json!([]), true),
            ("DoesNotExist", json!([]), false),
            ("Gt", json!(["1"]), true),
            ("Lt", json!(["1"]), false),
        ] {
            assert_eq!(
                selects(&selector(operator, values), &labels),
                expected,
                "{operator}"
            );
        }
    }

    #[test]
    fn a_taint_is_tolerated_by_key_value_and_effect() {
        let taint = json!({"key": "a", "value": "1", "effect": "NoSchedule"});
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (
                json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}),
                false,
            ),
            (json!({"key": "a", "value": "1"}), true),
            (
                json!({"key": "a", "operator": "Equal", "value": "2"}),
                false,
            ),
        ] {
            assert_eq!(
                super::toleration(std::slice::from_ref(&toleration), &taint).is_some(),
                expected,
                "{toleration}"
            );
        }
    }
}
