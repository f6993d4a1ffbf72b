//! What counts as a difference, and what does not.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn daemon_set() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "cni", "namespace": "kube-system", "labels": {"app": "cni"}},
        "spec": {"selector": {"matchLabels": {"app": "cni"}}, "template": {"spec": {
            "hostNetwork": true, "hostPID": false,
            "containers": [
                {"name": "cni", "image": "example.org/cni:v2", "args": ["--mode", "ptp"],
                    "ports": [{"containerPort": 9090}],
                    "env": [{"name": "TOKEN", "value": "hunter2"}],
                    "resources": {"limits": {"cpu": "1000m", "memory": "128Mi"}},
                    "securityContext": {"privileged": false},
                    "volumeMounts": [{"name": "run", "mountPath": "/run/cni"}]},
                {"name": "side", "image": "example.org/side:v1"}],
            "volumes": [{"name": "run", "emptyDir": {}}]}}}})
}

/// The same as an API server gives it back: defaults, bookkeeping, another order.
fn live() -> Value {
    let mut live = daemon_set();
    live["metadata"]["uid"] = json!("0-1");
    live["metadata"]["annotations"] = json!({"deprecated.daemonset.template.generation": "1"});
    live["status"] = json!({"numberReady": 1});
    let spec = &mut live["spec"]["template"]["spec"];
    spec.as_object_mut().unwrap().remove("hostPID");
    spec["dnsPolicy"] = json!("ClusterFirst");
    spec["containers"].as_array_mut().unwrap().reverse();
    let cni = &mut spec["containers"][1];
    cni["imagePullPolicy"] = json!("IfNotPresent");
    cni["resources"]["limits"] = json!({"cpu": "1", "memory": "128Mi"});
    cni["ports"] = json!([{"containerPort": 9090, "protocol": "TCP"}]);
    live
}

fn told(rendered: &Value, live: &Value) -> Vec<String> {
    compare(rendered, live)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn what_the_api_server_adds_and_rewrites_is_no_difference() {
    assert_eq!(told(&daemon_set(), &live()), Vec::<String>::new());
}

#[test]
fn an_image_of_another_release_comes_first() {
    let mut live = live();
    live["metadata"]["labels"]["app"] = json!("old");
    live["spec"]["template"]["spec"]["containers"][1]["image"] = json!("example.org/cni:v1");
    assert_eq!(
        told(&daemon_set(), &live),
        [
            "spec.template.spec.containers[name=cni].image is 'example.org/cni:v1', the release says 'example.org/cni:v2'",
            "metadata.labels.app is 'old', the release says 'cni'",
        ]
    );
}

#[test]
fn items_that_are_gone_and_items_that_nobody_rendered_are_told() {
    let mut live = live();
    live["spec"]["template"]["spec"]["containers"][0]["name"] = json!("other");
    live["spec"]["template"]["spec"]["containers"][1]["args"] = json!(["--mode"]);
    assert_eq!(
        told(&daemon_set(), &live),
        [
            "spec.template.spec.containers[name=cni].args is [\"--mode\"], the release says [\"--mode\",\"ptp\"]",
            "spec.template.spec.containers[name=side] is absent, the release says {…}",
            "spec.template.spec.containers[name=other] is {…}, the release does not have it",
        ]
    );
}

#[test]
fn zero_is_absent_only_where_the_api_server_drops_it() {
    let mut live = live();
    live["spec"]["template"]["spec"]["containers"][1]["securityContext"] = json!({});
    assert_eq!(
        told(&daemon_set(), &live),
        [
            "spec.template.spec.containers[name=cni].securityContext.privileged is absent, the release says false"
        ]
    );
    let custom =
        json!({"apiVersion": "example.org/v1", "kind": "Thing", "spec": {"enabled": false}});
    assert_eq!(told(&custom, &json!({"spec": {}})).len(), 1);
}

#[test]
fn numbers_and_strings_meet_where_both_are_allowed() {
    let service = |port: Value| json!({"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80, "targetPort": port}]}});
    assert!(told(&service(json!(8080)), &service(json!("8080"))).is_empty());
    assert_eq!(
        told(&service(json!(8080)), &service(json!("http"))).len(),
        1
    );
}

#[test]
fn string_data_is_compared_as_data_and_no_value_is_told() {
    let rendered =
        json!({"apiVersion": "v1", "kind": "Secret", "stringData": {"password": "hunter2"}});
    let live = |data: &str| json!({"data": {"password": data}});
    assert!(told(&rendered, &live("aHVudGVyMg==")).is_empty());
    assert_eq!(
        told(&rendered, &live("b3RoZXI=")),
        ["data.password is (hidden), the release says (hidden)"]
    );
    let mut other = self::live();
    other["spec"]["template"]["spec"]["containers"][1]["env"][0]["value"] = json!("other");
    let told = told(&daemon_set(), &other).join("\n");
    assert!(told.contains("env[name=TOKEN].value is (hidden)"), "{told}");
}

#[test]
fn what_controllers_fill_in_is_theirs() {
    let webhook = |bundle: &str| {
        json!({"kind": "ValidatingWebhookConfiguration", "apiVersion": "admissionregistration.k8s.io/v1",
        "webhooks": [{"name": "a", "clientConfig": {"caBundle": bundle}}]})
    };
    assert!(told(&webhook("Cg=="), &webhook("LS0t")).is_empty());
    assert_eq!(told(&webhook("AAAA"), &webhook("LS0t")).len(), 1);
    let role = |rules: Value| {
        json!({"kind": "ClusterRole", "apiVersion": "rbac.authorization.k8s.io/v1",
        "aggregationRule": {"clusterRoleSelectors": []}, "rules": rules})
    };
    assert!(told(&role(json!([])), &role(json!([{"verbs": ["get"]}]))).is_empty());
    let finalizers = |list: Value| json!({"metadata": {"finalizers": list}});
    assert!(told(&finalizers(json!(["a"])), &finalizers(json!(["b", "a"]))).is_empty());
    assert_eq!(
        told(&finalizers(json!(["a"])), &finalizers(json!(["b"]))).len(),
        1
    );
}

/// Objects without special names and without zeros, so that every leaf has to be there.
fn objects() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (1..1000_i64).prop_map(Value::from),
        "[a-z]{1,6}".prop_map(Value::from),
        Just(json!(true)),
    ];
    let scalars =
        prop::collection::vec("[a-z]{1,3}".prop_map(Value::from), 1..4).prop_map(Value::from);
    let value = prop_oneof![4 => leaf, 1 => scalars].prop_recursive(4, 40, 4, |inner| {
        let map = prop::collection::btree_map("[a-f]", inner.clone(), 1..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()));
        let named = prop::collection::btree_map("[a-z]{3}", inner, 1..4).prop_map(|map| {
            map.into_iter()
                .map(|(name, value)| json!({"name": name, "v": value}))
                .collect()
        });
        let plain = prop::collection::vec(map.clone(), 1..3).prop_map(Value::from);
        prop_oneof![2 => map, 1 => named, 1 => plain]
    });
    prop::collection::btree_map("[a-f]", value, 1..4)
        .prop_map(|map| Value::Object(map.into_iter().collect()))
}

/// Pointers to everything that is neither map nor list.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map
            .iter()
            .for_each(|(k, v)| leaves(v, &format!("{at}/{k}"), found)),
        Value::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                leaves(item, &format!("{at}/{index}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

fn with_defaults(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(with_defaults);
            map.insert("added".to_owned(), json!("default"));
        }
        Value::Array(list) => list.iter_mut().for_each(with_defaults),
        _ => {}
    }
}

proptest! {
    #[test]
    fn an_object_contains_itself_with_defaults_and_without(object in objects()) {
        prop_assert_eq!(compare(&object, &object), vec![]);
        let mut live = object.clone();
        with_defaults(&mut live);
        prop_assert_eq!(compare(&object, &live), vec![]);
    }

    #[test]
    fn an_altered_or_removed_leaf_is_noticed(object in objects(), pick in any::<prop::sample::Index>()) {
        let mut found = Vec::new();
        leaves(&object, "", &mut found);
        let pointer = pick.get(&found);
        let mut altered = object.clone();
        *altered.pointer_mut(pointer).unwrap() = json!("ALTERED");
        prop_assert!(!compare(&object, &altered).is_empty(), "altered {}", pointer);

        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut removed = object.clone();
        match removed.pointer_mut(parent).unwrap() {
            Value::Object(map) => drop(map.remove(key)),
            Value::Array(list) => drop(list.remove(key.parse().unwrap())),
            _ => unreachable!(),
        }
        prop_assert!(!compare(&object, &removed).is_empty(), "removed {}", pointer);
    }
}
