//! Who may do what, what reviews say of it; logs and kubelets, asked without a client.

use std::time::Duration;

use crate::support::{ask, get, lines};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use kubesim::registry::Write;
use kubesim::resource::builtin::{CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NODES, PODS};
use kubesim::{Cluster, GroupResource, Options, Simulation, User};
use serde_json::{Value, json};
use tower_service::Service as _;

fn cluster() -> Cluster {
    Simulation::new(&Options::default()).add_cluster("demo", vec![])
}

fn create(cluster: &Cluster, id: &GroupResource, object: Value) {
    cluster
        .api()
        .create(id, object, &Write::by("test"))
        .unwrap();
}

async fn ask_as(
    cluster: &Cluster,
    user: &str,
    method: &str,
    path: &str,
    body: &Value,
) -> (u16, Value) {
    let body = Full::new(Bytes::from(body.to_string()));
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(body)
        .unwrap();
    request.extensions_mut().insert(User::new(user, &[]));
    let response = cluster.service().call(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

fn let_read_pods(cluster: &Cluster) {
    create(
        cluster,
        &CLUSTER_ROLES,
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "reader"},
        "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]}),
    );
    create(
        cluster,
        &CLUSTER_ROLE_BINDINGS,
        json!({"apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding", "metadata": {"name": "jane-reads"},
        "subjects": [{"kind": "User", "name": "jane"}], "roleRef": {"kind": "ClusterRole", "name": "reader"}}),
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_may_what_a_role_says_and_is_told_what_not() {
    let cluster = cluster();
    let_read_pods(&cluster);
    let path = "/api/v1/namespaces/demo/pods";
    assert_eq!(
        ask_as(&cluster, "jane", "GET", path, &Value::Null).await.0,
        200
    );
    let (code, refusal) = ask_as(
        &cluster,
        "jane",
        "GET",
        &format!("{path}?watch=1"),
        &Value::Null,
    )
    .await;
    assert_eq!(code, 403);
    assert_eq!(
        refusal["message"],
        "pods is forbidden: User \"jane\" cannot watch resource \"pods\" in API group \"\" in the namespace \"demo\""
    );
    assert_eq!(
        ask_as(&cluster, "jane", "GET", "/version", &Value::Null)
            .await
            .0,
        200
    );
    let (code, refusal) = ask_as(&cluster, "jane", "GET", "/metrics", &Value::Null).await;
    assert_eq!(
        (code, &refusal["message"]),
        (
            403,
            &json!("forbidden: User \"jane\" cannot get path \"/metrics\"")
        )
    );
}

#[tokio::test(start_paused = true)]
async fn reviews_say_what_would_be_allowed() {
    let cluster = cluster();
    let_read_pods(&cluster);
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let question =
        |verb: &str| json!({"spec": {"resourceAttributes": {"verb": verb, "resource": "pods"}}});
    let (code, yes) = ask_as(&cluster, "jane", "POST", path, &question("list")).await;
    assert_eq!((code, &yes["status"]["allowed"]), (201, &json!(true)));
    assert_eq!(
        yes["status"]["reason"],
        "RBAC: allowed by ClusterRoleBinding \"jane-reads\" of ClusterRole \"reader\" to User \"jane\""
    );
    let (_, no) = ask_as(&cluster, "jane", "POST", path, &question("delete")).await;
    assert_eq!(no["status"], json!({"allowed": false}));
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let mut question = question("list");
    question["spec"]["user"] = json!("jane");
    let answer = ask(&cluster, "POST", path, "*/*", question).await.json();
    assert_eq!(answer["status"]["allowed"], true);
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (_, answer) = ask_as(&cluster, "jane", "POST", path, &json!({})).await;
    assert_eq!(answer["status"]["userInfo"]["username"], "jane");
}

fn pod(cluster: &Cluster) {
    create(
        cluster,
        &PODS,
        json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "demo", "name": "p"}, "spec": {"containers": [{"name": "c"}]},
        "status": {"containerStatuses": [{"name": "c", "state": {"running": {}}}]}}),
    );
}

#[tokio::test(start_paused = true)]
async fn logs_are_told_in_part_and_followed_to_the_end() {
    let cluster = cluster();
    pod(&cluster);
    let say = |line: &str| {
        cluster
            .logs()
            .append("demo", "p", "c", cluster.api().clock().now(), line)
    };
    say("one");
    tokio::time::sleep(Duration::from_secs(60)).await;
    say("two");
    say("three");
    let path = "/api/v1/namespaces/demo/pods/p/log";
    assert_eq!(get(&cluster, path).await.text, "one\ntwo\nthree\n");
    assert_eq!(
        get(&cluster, &format!("{path}?tailLines=1")).await.text,
        "three\n"
    );
    assert_eq!(
        get(&cluster, &format!("{path}?sinceSeconds=30")).await.text,
        "two\nthree\n"
    );
    let stamped = get(&cluster, &format!("{path}?timestamps=true&tailLines=1"))
        .await
        .text;
    assert_eq!(stamped, "2026-01-01T00:01:00.000000000Z three\n");
    assert_eq!(
        get(&cluster, &format!("{path}?previous=true")).await.code,
        400
    );
    assert_eq!(
        get(&cluster, &format!("{path}?container=x")).await.json()["message"],
        "container x is not valid for pod p"
    );
    let writer = cluster.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        writer
            .logs()
            .append("demo", "p", "c", writer.api().clock().now(), "four");
        tokio::time::sleep(Duration::from_secs(5)).await;
        writer
            .api()
            .delete(&PODS, "demo", "p", &Default::default())
            .unwrap();
    });
    let before = tokio::time::Instant::now();
    let path = format!("{path}?follow=true&tailLines=1");
    let told = lines(&cluster, &path, "*/*", Duration::from_secs(100)).await;
    assert_eq!(told, ["three", "four"]);
    assert_eq!(before.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_tells_its_configuration_and_no_process_is_to_be_had() {
    let cluster = cluster();
    create(
        &cluster,
        &NODES,
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}),
    );
    cluster
        .server()
        .set_kubelet_configuration(Some("n"), json!({"maxPods": 7}));
    let path = "/api/v1/nodes/n/proxy/configz";
    assert_eq!(
        get(&cluster, path).await.json(),
        json!({"kubeletconfig": {"maxPods": 7}})
    );
    assert_eq!(
        get(&cluster, "/api/v1/nodes/x/proxy/configz").await.code,
        404
    );
    pod(&cluster);
    let path = "/api/v1/namespaces/demo/pods/p/exec?command=ls";
    let refusal = ask(&cluster, "POST", path, "*/*", Value::Null).await;
    assert_eq!(refusal.code, 501);
}
