//! OpenAPI documents, asked without a client.

use crate::support::{ask, get};
use kubesim::registry::Write;
use kubesim::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use kubesim::{GroupResource, Options, Resource, Simulation};
use serde_json::{Value, json};

/// Whether every reference in a document leads somewhere.
fn dangling(document: &Value, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let pointer = reference.trim_start_matches('#');
                if document.pointer(pointer).is_none() {
                    found.push(reference.clone());
                }
            }
            fields
                .values()
                .for_each(|value| dangling(document, value, found));
        }
        Value::Array(items) => items
            .iter()
            .for_each(|value| dangling(document, value, found)),
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn every_group_has_a_whole_document() {
    let cluster = Simulation::new(&Options::default()).add_cluster("demo", vec![]);
    let root = get(&cluster, "/openapi/v3").await.json();
    let paths = root["paths"].as_object().unwrap();
    assert!(paths.len() > 15, "{paths:?}");
    for (path, entry) in paths {
        let document = get(&cluster, entry["serverRelativeURL"].as_str().unwrap())
            .await
            .json();
        let mut found = Vec::new();
        dangling(&document, &document, &mut found);
        assert_eq!(found, Vec::<String>::new(), "{path}");
    }
    let core = get(&cluster, "/openapi/v3/api/v1").await.json();
    let containers =
        &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-list-map-keys"], json!(["name"]));
    let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
    let old = get(&cluster, "/openapi/v2").await.json();
    let mut found = Vec::new();
    dangling(&old, &old, &mut found);
    assert_eq!((old["swagger"].as_str(), found), (Some("2.0"), vec![]));
    let refused = ask(
        &cluster,
        "GET",
        "/openapi/v3/api/v1",
        "application/yaml",
        Value::Null,
    );
    assert_eq!(refused.await.code, 406);
}

#[tokio::test(start_paused = true)]
async fn a_definitions_schema_and_columns_are_shown() {
    let cluster = Simulation::new(&Options::default()).add_cluster("demo", vec![]);
    cluster.api().catalogue().serve(Resource {
        id: GroupResource::named("example.org", "widgets"),
        versions: vec!["v1".into()],
        storage: "v1".into(),
        kind: "Widget".into(),
        singular: "widget".into(),
        short_names: vec![],
        categories: vec![],
        namespaced: true,
        status: true,
        generation: true,
    });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "selectableFields": [{"jsonPath": ".spec.color"}],
                "additionalPrinterColumns": [{"name": "Color", "type": "string", "jsonPath": ".spec.color"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"color": {"type": "string"}}}}}},
            }],
        },
    });
    let api = cluster.api();
    api.create(&CUSTOM_RESOURCE_DEFINITIONS, definition, &Write::by("test"))
        .unwrap();
    for (name, color) in [("a", "red"), ("b", "blue")] {
        let widget = json!({"apiVersion": "example.org/v1", "kind": "Widget",
            "metadata": {"namespace": "demo", "name": name}, "spec": {"color": color}});
        api.create(
            &GroupResource::named("example.org", "widgets"),
            widget,
            &Write::by("test"),
        )
        .unwrap();
    }
    let document = get(&cluster, "/openapi/v3/apis/example.org/v1")
        .await
        .json();
    let schema = &document["components"]["schemas"]["org.example.v1.Widget"];
    assert_eq!(
        schema["properties"]["spec"]["properties"]["color"]["type"],
        "string"
    );
    let path = "/apis/example.org/v1/widgets?fieldSelector=spec.color%3Dred";
    let table = ask(
        &cluster,
        "GET",
        path,
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        Value::Null,
    );
    let table = table.await.json();
    assert_eq!(table["rows"].as_array().unwrap().len(), 1);
    assert_eq!(table["rows"][0]["cells"], json!(["a", "red"]));
    let wrong = get(
        &cluster,
        "/apis/example.org/v1/widgets?fieldSelector=spec.size%3D1",
    )
    .await;
    assert_eq!(
        wrong.json()["message"],
        "field label not supported: spec.size"
    );
}
