//! Server-side apply and the other patches: what becomes of an object, and whose its fields are.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use kubesim::{Cluster, Options, Simulation};
use serde_json::{Value, json};
use tower_service::Service as _;

const MAP: &str = "/api/v1/namespaces/demo/configmaps/m";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/demo/deployments/d";

fn cluster() -> Cluster {
    Simulation::new(&Options::default()).add_cluster("demo", vec![])
}

async fn patch(cluster: &Cluster, kind: &str, path: &str, body: &Value) -> (u16, Value) {
    let request = Request::builder()
        .method("PATCH")
        .uri(path)
        .header("content-type", kind)
        .header("user-agent", "tester/1.0 (linux)");
    let request = request
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let response = cluster.service().call(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

async fn apply(cluster: &Cluster, path: &str, manager: &str, body: &Value) -> (u16, Value) {
    let path = format!("{path}?fieldManager={manager}");
    patch(cluster, "application/apply-patch+yaml", &path, body).await
}

async fn force(cluster: &Cluster, path: &str, manager: &str, body: &Value) -> (u16, Value) {
    let path = format!("{path}?fieldManager={manager}&force=true");
    patch(cluster, "application/apply-patch+yaml", &path, body).await
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data})
}

fn deployment(containers: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}}}})
}

fn fields(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let found = entries.iter().find(|entry| entry["manager"] == manager);
    found
        .map(|entry| entry["fieldsV1"].clone())
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn an_apply_creates_changes_and_takes_back_what_it_no_longer_says() {
    let cluster = cluster();
    let (code, made) = apply(&cluster, MAP, "one", &map(json!({"a": "1", "b": "2"}))).await;
    assert_eq!((code, &made["data"]), (201, &json!({"a": "1", "b": "2"})));
    assert_eq!(
        fields(&made, "one"),
        json!({"f:data": {"f:a": {}, "f:b": {}}})
    );
    let (code, same) = apply(&cluster, MAP, "one", &map(json!({"a": "1", "b": "2"}))).await;
    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!((code, revision(&same)), (200, revision(&made)));
    let (_, less) = apply(&cluster, MAP, "one", &map(json!({"a": "1"}))).await;
    assert_eq!(less["data"], json!({"a": "1"}));
    let (_, none) = apply(
        &cluster,
        MAP,
        "one",
        &json!({"apiVersion": "v1", "kind": "ConfigMap"}),
    )
    .await;
    assert_eq!(none["data"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn what_another_one_applied_is_a_conflict_until_it_is_forced() {
    let cluster = cluster();
    apply(&cluster, MAP, "one", &map(json!({"a": "1"}))).await;
    let (code, refused) = apply(&cluster, MAP, "two", &map(json!({"a": "2", "b": "3"}))).await;
    assert_eq!((code, &refused["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"one\" using v1: .data.a"
    );
    assert_eq!(
        refused["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"one\" using v1",
            "field": ".data.a"}])
    );
    // The same value is no conflict: both own it.
    let (code, both) = apply(&cluster, MAP, "two", &map(json!({"a": "1"}))).await;
    assert_eq!((code, fields(&both, "two")), (200, fields(&both, "one")));
    let (_, taken) = force(&cluster, MAP, "two", &map(json!({"a": "2"}))).await;
    assert_eq!(
        (&taken["data"]["a"], fields(&taken, "one")),
        (&json!("2"), Value::Null)
    );
    // What one gives up, and the other still wants, stays.
    force(&cluster, MAP, "one", &map(json!({"a": "2"}))).await;
    let (_, kept) = apply(&cluster, MAP, "one", &map(json!({}))).await;
    assert_eq!(kept["data"], json!({"a": "2"}));
}

#[tokio::test(start_paused = true)]
async fn items_of_lists_have_owners_of_their_own() {
    let cluster = cluster();
    let main = json!([{"name": "main", "image": "i:1", "ports": [{"containerPort": 80}]}]);
    apply(&cluster, DEPLOYMENT, "one", &deployment(main)).await;
    let side = json!([{"name": "side", "image": "s:1"}]);
    let (code, both) = apply(&cluster, DEPLOYMENT, "two", &deployment(side)).await;
    let names = |object: &Value| -> Vec<String> {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let containers = containers.unwrap().iter();
        containers
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        (code, names(&both)),
        (200, vec!["main".to_owned(), "side".to_owned()])
    );
    let other = json!([{"name": "main", "image": "i:2"}]);
    let (code, refused) = apply(&cluster, DEPLOYMENT, "three", &deployment(other)).await;
    assert_eq!(code, 409);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with(".spec.template.spec.containers[name=\"main\"].image"),
        "{refused}"
    );
    let (_, less) = apply(&cluster, DEPLOYMENT, "two", &deployment(json!([]))).await;
    assert_eq!(names(&less), ["main"]);
}

#[tokio::test(start_paused = true)]
async fn other_writes_take_fields_without_asking_and_the_next_apply_is_told() {
    let cluster = cluster();
    apply(&cluster, MAP, "one", &map(json!({"a": "1", "b": "2"}))).await;
    let merge = json!({"data": {"a": "9"}});
    let (code, merged) = patch(&cluster, "application/merge-patch+json", MAP, &merge).await;
    assert_eq!(
        (code, fields(&merged, "tester")),
        (200, json!({"f:data": {"f:a": {}}}))
    );
    assert_eq!(fields(&merged, "one"), json!({"f:data": {"f:b": {}}}));
    let (code, refused) = apply(&cluster, MAP, "one", &map(json!({"a": "1"}))).await;
    assert_eq!(code, 409);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "Apply failed with 1 conflict: conflict with \"tester\" using v1 at 2026-01-01T"
        ),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_of_an_apply_says_what_would_be_and_writes_nothing() {
    let cluster = cluster();
    let path = format!("{MAP}?fieldManager=one&dryRun=All");
    let kind = "application/apply-patch+yaml";
    let (code, would) = patch(&cluster, kind, &path, &map(json!({"a": "1"}))).await;
    assert_eq!((code, &would["data"]["a"]), (201, &json!("1")));
    assert_eq!(crate::support::get(&cluster, MAP).await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_status_is_applied_apart() {
    let cluster = cluster();
    let mut object = deployment(json!([{"name": "c", "image": "i"}]));
    object["status"] = json!({"replicas": 7});
    let (_, made) = apply(&cluster, DEPLOYMENT, "one", &object).await;
    assert_eq!(made["status"]["replicas"], Value::Null);
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"paused": true},
        "status": {"replicas": 3}});
    let (code, told) = apply(&cluster, &format!("{DEPLOYMENT}/status"), "two", &status).await;
    assert_eq!((code, &told["status"]["replicas"]), (200, &json!(3)));
    assert_eq!(told["spec"]["paused"], Value::Null);
    assert_eq!(
        fields(&told, "two"),
        json!({"f:status": {"f:replicas": {}}})
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_patched_is_refused_and_says_why() {
    let cluster = cluster();
    let kind = "application/apply-patch+yaml";
    let (code, refused) = patch(&cluster, kind, MAP, &map(json!({}))).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("fieldManager: Required value")
    );
    let mut claimed = map(json!({}));
    claimed["metadata"]["managedFields"] = json!([]);
    let (code, refused) = apply(&cluster, MAP, "one", &claimed).await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("metadata.managedFields must be nil"))
    );
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}});
    assert_eq!(apply(&cluster, MAP, "one", &other).await.0, 400);
    let wrong = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "m"}});
    assert_eq!(apply(&cluster, MAP, "one", &wrong).await.0, 400);
    apply(&cluster, MAP, "one", &map(json!({}))).await;
    let (code, _) = patch(&cluster, "text/plain", MAP, &json!({})).await;
    assert_eq!(code, 415);
}

#[tokio::test(start_paused = true)]
async fn a_strategic_patch_merges_containers_by_name() {
    let cluster = cluster();
    let containers = json!([{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:1"}]);
    apply(&cluster, DEPLOYMENT, "one", &deployment(containers)).await;
    let change =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "j:2"}]}}}});
    let kind = "application/strategic-merge-patch+json";
    let (code, patched) = patch(&cluster, kind, DEPLOYMENT, &change).await;
    let containers = &patched["spec"]["template"]["spec"]["containers"];
    assert_eq!(
        (code, containers),
        (
            200,
            &json!([{"name": "a", "image": "i:1"}, {"name": "b", "image": "j:2"}])
        )
    );
}
