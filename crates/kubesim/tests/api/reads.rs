//! Lists, watches, tables and discovery, asked without a client.

use std::time::Duration;

use crate::support::{ask, get, lines};
use kubesim::registry::Write;
use kubesim::resource::builtin::{CONFIG_MAPS, EVENTS, NODES, PODS};
use kubesim::{Cluster, GroupResource, Options, Simulation};
use serde_json::{Value, json};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

fn cluster() -> Cluster {
    Simulation::new(&Options::default()).add_cluster("demo", vec![])
}

fn create(cluster: &Cluster, id: &GroupResource, object: Value) {
    cluster
        .api()
        .create(id, object, &Write::by("test"))
        .unwrap();
}

fn map(cluster: &Cluster, name: &str, app: &str) {
    let metadata = json!({"namespace": "default", "name": name, "labels": {"app": app}});
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"k": "v"}});
    create(cluster, &CONFIG_MAPS, object);
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_list_in_chunks_shows_one_picture() {
    let cluster = cluster();
    for name in ["a", "b", "c", "d", "e"] {
        map(&cluster, name, "x");
    }
    let path = "/api/v1/namespaces/default/configmaps?limit=2";
    let first = get(&cluster, path).await.json();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    map(&cluster, "bb", "x");
    cluster
        .api()
        .delete(&CONFIG_MAPS, "default", "d", &Default::default())
        .unwrap();
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    let second = get(&cluster, &format!("{path}&continue={token}"))
        .await
        .json();
    assert_eq!(names(&second), ["c", "d"]);
    assert_eq!(second["metadata"]["remainingItemCount"], 1);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    cluster.store().compact();
    let gone = get(&cluster, &format!("{path}&continue={token}")).await;
    assert_eq!(
        (gone.code, gone.json()["reason"].as_str()),
        (410, Some("Expired"))
    );
    let token = gone.json()["metadata"]["continue"]
        .as_str()
        .unwrap()
        .to_owned();
    let rest = get(&cluster, &format!("{path}&limit=9&continue={token}"))
        .await
        .json();
    assert_eq!(names(&rest), ["bb", "c", "e"]);
}

#[tokio::test(start_paused = true)]
async fn revisions_of_lists_mean_what_they_do_in_kubernetes() {
    let cluster = cluster();
    map(&cluster, "a", "x");
    let at = cluster.store().revision();
    map(&cluster, "b", "x");
    let path = "/api/v1/namespaces/default/configmaps?resourceVersionMatch";
    let exact = get(&cluster, &format!("{path}=Exact&resourceVersion={at}"))
        .await
        .json();
    assert_eq!(names(&exact), ["a"]);
    assert_eq!(exact["metadata"]["resourceVersion"], at.to_string());
    let newer = get(
        &cluster,
        &format!("{path}=NotOlderThan&resourceVersion={at}"),
    )
    .await
    .json();
    assert_eq!(names(&newer), ["a", "b"]);
    let future = get(
        &cluster,
        &format!("{path}=NotOlderThan&resourceVersion=999"),
    )
    .await;
    assert_eq!(future.code, 504);
    assert_eq!(
        future.json()["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
    assert_eq!(future.headers["retry-after"], "1");
    let wrong = get(&cluster, &format!("{path}=Exact")).await.json();
    assert_eq!(
        wrong["message"],
        "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
    );
}

#[tokio::test(start_paused = true)]
async fn selectors_choose_objects_and_unknown_fields_are_refused() {
    let cluster = cluster();
    map(&cluster, "a", "x");
    map(&cluster, "b", "y");
    let path = "/api/v1/configmaps";
    let one = get(&cluster, &format!("{path}?labelSelector=app%20in%20(y,z)"))
        .await
        .json();
    assert_eq!(names(&one), ["b"]);
    let one = get(&cluster, &format!("{path}?fieldSelector=metadata.name%3Da"))
        .await
        .json();
    assert_eq!(names(&one), ["a"]);
    let wrong = get(&cluster, "/api/v1/pods?fieldSelector=spec.foo%3Da").await;
    assert_eq!(wrong.code, 400);
    assert_eq!(
        wrong.json()["message"],
        "field label not supported: spec.foo"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_with_a_selector_tells_leaving_as_deletion() {
    let cluster = cluster();
    map(&cluster, "a", "x");
    let since = cluster.store().revision();
    let relabel = |app: &str| {
        let change = |object: &mut Value| object["metadata"]["labels"]["app"] = json!(app);
        cluster
            .api()
            .modify(&CONFIG_MAPS, "default", "a", "test", change)
            .unwrap();
    };
    relabel("y");
    relabel("x");
    map(&cluster, "other", "z");
    let path =
        format!("/api/v1/configmaps?watch=true&labelSelector=app%3Dx&resourceVersion={since}");
    let told = lines(&cluster, &path, "application/json", Duration::from_secs(1)).await;
    let told: Vec<Value> = told
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = told
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["DELETED", "ADDED"]);
    let last = &told[0]["object"]["metadata"];
    assert_eq!(last["labels"]["app"], "x");
    assert_eq!(last["resourceVersion"], (since + 1).to_string());
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_told_where_it_stands_and_ends_in_time() {
    let cluster = cluster();
    map(&cluster, "a", "x");
    let path = "/api/v1/configmaps?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=150";
    let told = lines(
        &cluster,
        path,
        "application/json",
        Duration::from_secs(1000),
    )
    .await;
    let told: Vec<Value> = told
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kinds: Vec<_> = told
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["ADDED", "BOOKMARK", "BOOKMARK", "BOOKMARK"]);
    let annotations = &told[1]["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    assert_eq!(told[2]["object"]["metadata"]["annotations"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_revision_is_told_so_in_its_stream() {
    let cluster = cluster();
    map(&cluster, "a", "x");
    map(&cluster, "b", "x");
    cluster.store().compact();
    let path = "/api/v1/configmaps?watch=1&resourceVersion=2";
    let told = lines(&cluster, path, "application/json", Duration::from_secs(5)).await;
    let event: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!((told.len(), event["type"].as_str()), (1, Some("ERROR")));
    assert_eq!(
        (&event["object"]["code"], &event["object"]["reason"]),
        (&json!(410), &json!("Expired"))
    );
}

#[tokio::test(start_paused = true)]
async fn tables_show_what_kubectl_prints() {
    let cluster = cluster();
    let node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/control-plane": ""}},
        "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.35.0"}}});
    create(&cluster, &NODES, node);
    let table = ask(&cluster, "GET", "/api/v1/nodes", TABLE, Value::Null)
        .await
        .json();
    assert_eq!(table["kind"], "Table");
    let cells = table["rows"][0]["cells"].as_array().unwrap();
    assert_eq!(
        cells[..5],
        [
            json!("n"),
            json!("Ready,SchedulingDisabled"),
            json!("control-plane"),
            json!("0s"),
            json!("v1.35.0")
        ]
    );
    assert_eq!(
        cells.len(),
        table["columnDefinitions"].as_array().unwrap().len()
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    create(&cluster, &PODS, pod);
    let path = "/api/v1/pods?watch=1&timeoutSeconds=1";
    let told = lines(&cluster, path, TABLE, Duration::from_secs(5)).await;
    let event: Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(event["object"]["rows"][0]["cells"][1], "0/1");
    let one = ask(
        &cluster,
        "GET",
        "/api/v1/nodes/n",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        Value::Null,
    );
    let one = one.await.json();
    assert_eq!(
        (&one["kind"], &one["spec"]),
        (&json!("PartialObjectMetadata"), &Value::Null)
    );
    let refused = ask(
        &cluster,
        "GET",
        "/api/v1/nodes",
        "application/vnd.kubernetes.protobuf",
        Value::Null,
    );
    assert_eq!(refused.await.code, 406);
}

#[tokio::test(start_paused = true)]
async fn the_same_event_is_told_by_both_groups() {
    let cluster = cluster();
    let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"namespace": "default", "name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"}, "reason": "Started", "message": "m", "type": "Normal"});
    create(&cluster, &EVENTS, event);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let list = get(&cluster, path).await.json();
    let told = &list["items"][0];
    assert_eq!(
        (&list["apiVersion"], &told["note"]),
        (&json!("events.k8s.io/v1"), &json!("m"))
    );
    assert_eq!(told["regarding"]["name"], "p");
    // In a table, which is what k9s looks at, too (issue 6).
    let table = ask(&cluster, "GET", path, TABLE, Value::Null).await.json();
    let of_core = "/api/v1/namespaces/default/events";
    let of_core = ask(&cluster, "GET", of_core, TABLE, Value::Null)
        .await
        .json();
    assert_eq!(table["rows"][0]["cells"], of_core["rows"][0]["cells"]);
    assert_eq!(table["rows"][0]["cells"][3], "pod/p");
    let path = format!("{path}?fieldSelector=regarding.name%3Dother");
    assert_eq!(get(&cluster, &path).await.json()["items"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn discovery_is_told_one_by_one_and_at_once() {
    let cluster = cluster();
    let groups = get(&cluster, "/apis").await.json();
    let apps = groups["groups"]
        .as_array()
        .unwrap()
        .iter()
        .find(|group| group["name"] == "apps");
    assert_eq!(apps.unwrap()["preferredVersion"]["groupVersion"], "apps/v1");
    let list = get(&cluster, "/apis/apps/v1").await.json();
    let names: Vec<_> = list["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert!(names.contains(&&json!("deployments/scale")), "{names:?}");
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let all = ask(&cluster, "GET", "/api", accept, Value::Null).await;
    assert!(all.headers.contains_key("etag"));
    let resources = all.json()["items"][0]["versions"][0]["resources"].clone();
    let pods = resources
        .as_array()
        .unwrap()
        .iter()
        .find(|r| r["resource"] == "pods")
        .unwrap();
    assert_eq!(
        (&pods["scope"], &pods["shortNames"]),
        (&json!("Namespaced"), &json!(["po"]))
    );
    assert_eq!(get(&cluster, "/apis/nobody/v1").await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn the_server_tells_its_version_and_how_its_parts_are() {
    let cluster = cluster();
    cluster.set_version("v1.34.3");
    let version = get(&cluster, "/version").await.json();
    assert_eq!(
        (&version["gitVersion"], &version["minor"]),
        (&json!("v1.34.3"), &json!("34"))
    );
    assert_eq!(get(&cluster, "/readyz").await.text, "ok");
    let well = get(&cluster, "/livez?verbose").await;
    assert!(well.text.starts_with("[+]ping ok\n") && well.text.ends_with("livez check passed\n"));
    cluster.server().set_part("etcd", Some("no leader"));
    let ill = get(&cluster, "/readyz?verbose").await;
    assert_eq!(ill.code, 500);
    assert!(
        ill.text.contains("[-]etcd failed: reason withheld\n"),
        "{}",
        ill.text
    );
    assert_eq!(get(&cluster, "/readyz?exclude=etcd").await.code, 200);
    assert_eq!(
        get(&cluster, "/livez/etcd").await.text,
        "internal server error: no leader\n"
    );
    assert_eq!(get(&cluster, "/livez/nothing").await.code, 404);
}
