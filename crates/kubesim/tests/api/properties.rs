//! What holds whatever a client sends: the server answers, and watches tell what lists show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{ask, get, lines, send};
use kubesim::{Cluster, Options, Simulation};
use proptest::prelude::*;
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

fn cluster() -> Cluster {
    Simulation::new(&Options::default()).add_cluster("demo", vec![])
}

/// Any JSON, with the names that the server looks at among its keys.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z0-9./-]{0,8}".prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("status"),
        Just("name"),
        Just("namespace"),
        Just("labels"),
        Just("annotations"),
        Just("finalizers"),
        Just("ownerReferences"),
        Just("deletionTimestamp"),
        Just("managedFields"),
        Just("resourceVersion"),
        Just("generateName"),
        Just("replicas"),
        Just("selector"),
        Just("template"),
        Just("containers"),
        Just("conditions"),
        Just("names"),
        Just("versions"),
        Just("schema"),
        Just("openAPIV3Schema"),
        Just("kind"),
        Just("apiVersion"),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5).prop_map(|fields| fields
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

fn path() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("metadata"),
        Just("spec"),
        Just("status"),
        Just("labels"),
        Just("replicas"),
        Just("0"),
        Just("-"),
        Just("data"),
        Just("name"),
        Just("finalizers"),
        Just("kind"),
        Just("apiVersion"),
        Just("template"),
    ];
    prop::collection::vec(word, 0..4)
        .prop_map(|words| words.iter().map(|word| format!("/{word}")).collect())
}

fn steps() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        Just("add"),
        Just("remove"),
        Just("replace"),
        Just("test"),
        Just("move"),
        Just("copy")
    ];
    let step = (kind, path(), path(), value()).prop_map(
        |(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}),
    );
    prop::collection::vec(step, 1..5).prop_map(Value::from)
}

const KINDS: [(&str, &str, &str); 5] = [
    ("/api/v1/namespaces/default/configmaps", "v1", "ConfigMap"),
    ("/api/v1/namespaces/default/pods", "v1", "Pod"),
    ("/api/v1/namespaces", "v1", "Namespace"),
    (
        "/apis/apps/v1/namespaces/default/deployments",
        "apps/v1",
        "Deployment",
    ),
    (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "apiextensions.k8s.io/v1",
        "CustomResourceDefinition",
    ),
];

fn named(api_version: &str, kind: &str, mut object: Value) -> Value {
    if object.is_object() {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
    }
    object
}

proptest! {
    // What was found is a test of its own, not a file beside this one.
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_created_is_answered(index in 0..KINDS.len(), object in value()) {
        run(async {
            let (path, api_version, kind) = KINDS[index];
            let answer = ask(&cluster(), "POST", path, "application/json", named(api_version, kind, object)).await;
            assert!((200..500).contains(&answer.code), "{}", answer.text);
        });
    }

    #[test]
    fn whatever_is_patched_is_answered(index in 0..KINDS.len(), steps in steps(), merge in value(), strategic in value(), applied in value()) {
        run(async {
            let (path, api_version, kind) = KINDS[index];
            let cluster = cluster();
            let mut object = named(api_version, kind, json!({"metadata": {"name": "a", "labels": {"x": "y"}}}));
            if kind == "Deployment" {
                object["spec"] = json!({"replicas": 1, "selector": {"matchLabels": {"x": "y"}}, "template": {
                    "metadata": {"labels": {"x": "y"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}});
            }
            ask(&cluster, "POST", path, "application/json", object).await;
            let place = format!("{path}/a");
            for (form, patch) in [
                ("application/json-patch+json", steps),
                ("application/merge-patch+json", merge),
                ("application/strategic-merge-patch+json", strategic),
                ("application/apply-patch+yaml", named(api_version, kind, applied)),
            ] {
                let asked = format!("{place}?fieldManager=m&force=true");
                let answer = send(&cluster, "PATCH", &asked, form, patch).await;
                let declared = answer.text.contains("field not declared in schema");
                assert!((200..500).contains(&answer.code) || declared, "{}", answer.text);
            }
            let answer = get(&cluster, &place).await;
            assert!(matches!(answer.code, 200 | 404), "{}", answer.text);
        });
    }

    #[test]
    fn a_list_and_what_is_watched_from_it_give_what_is_listed_at_the_end(
        writes in prop::collection::vec((0..3u8, 0..6u8, any::<u8>()), 1..40),
        from in 0..40usize,
    ) {
        run(async {
            let cluster = cluster();
            let mut seen: Option<(BTreeMap<String, Value>, String)> = None;
            for (index, (action, name, value)) in writes.iter().enumerate() {
                if index == from.min(writes.len() - 1) {
                    seen = Some(picture(&cluster).await);
                }
                let object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("m{name}")}, "data": {"v": value.to_string()}});
                let place = format!("{MAPS}/m{name}");
                match action {
                    0 => ask(&cluster, "POST", MAPS, "application/json", object).await,
                    1 => ask(&cluster, "PUT", &place, "application/json", object).await,
                    _ => ask(&cluster, "DELETE", &place, "application/json", Value::Null).await,
                };
            }
            let (mut known, revision) = seen.unwrap();
            let watch = format!("{MAPS}?watch=true&resourceVersion={revision}");
            for line in lines(&cluster, &watch, "application/json", Duration::from_secs(1)).await {
                let event: Value = serde_json::from_str(&line).unwrap();
                let object = event["object"].clone();
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                if event["type"] == "DELETED" {
                    known.remove(&name);
                } else {
                    known.insert(name, object);
                }
            }
            assert_eq!(known, picture(&cluster).await.0);
        });
    }
}

async fn picture(cluster: &Cluster) -> (BTreeMap<String, Value>, String) {
    let list = get(cluster, MAPS).await.json();
    let items = list["items"].as_array().unwrap().iter();
    let named = items.map(|item| {
        let mut item = item.clone();
        // Items of a list do not repeat what the list is of.
        item["apiVersion"] = json!("v1");
        item["kind"] = json!("ConfigMap");
        (item["metadata"]["name"].as_str().unwrap().to_owned(), item)
    });
    let revision = list["metadata"]["resourceVersion"]
        .as_str()
        .unwrap()
        .to_owned();
    (named.collect(), revision)
}
