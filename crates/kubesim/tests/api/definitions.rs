//! Kinds that definitions add: served, pruned, defaulted, judged, scaled, and gone with their objects.

use std::time::Duration;

use crate::support::{Answer, ask, get, send};
use kubesim::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use kubesim::{Cluster, GroupResource, Options, Simulation};
use serde_json::{Value, json};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.org/v1/namespaces/default/widgets";
const JSON: &str = "application/json";

fn cluster() -> Cluster {
    Simulation::new(&Options::default()).add_cluster("demo", vec![])
}

fn widgets() -> Value {
    let schema = json!({"type": "object", "properties": {
        "spec": {"type": "object", "required": ["color"],
            "x-kubernetes-validations": [
                {"rule": "!has(oldSelf.shape) || self.shape == oldSelf.shape", "message": "shape is immutable"},
                {"rule": "self.replicas <= 10", "message": "too many"}],
            "properties": {
                "color": {"type": "string", "enum": ["blue", "green"]},
                "shape": {"type": "string"},
                "replicas": {"type": "integer", "default": 1}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}}}}});
    let scale = json!({"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector"});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}, "scale": scale}},
                {"name": "v1beta1", "served": true, "storage": false, "deprecated": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

fn widget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

async fn post(cluster: &Cluster, path: &str, object: Value) -> Answer {
    ask(cluster, "POST", path, JSON, object).await
}

async fn defined() -> Cluster {
    let cluster = cluster();
    let answer = post(&cluster, DEFINITIONS, widgets()).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    cluster
}

fn message(answer: &Answer) -> String {
    answer.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_definition_is_established_and_served() {
    let cluster = defined().await;
    let definition = get(&cluster, &format!("{DEFINITIONS}/widgets.example.org"))
        .await
        .json();
    let condition = |kind: &str| {
        let conditions = definition["status"]["conditions"].as_array().unwrap();
        conditions
            .iter()
            .find(|one| one["type"] == kind)
            .unwrap()
            .clone()
    };
    assert_eq!(condition("Established")["status"], "True");
    assert_eq!(condition("NamesAccepted")["reason"], "NoConflicts");
    assert_eq!(definition["status"]["acceptedNames"]["singular"], "widget");
    assert_eq!(definition["spec"]["names"]["listKind"], "WidgetList");
    assert_eq!(definition["status"]["storedVersions"], json!(["v1"]));
    let found = get(&cluster, "/apis/example.org/v1").await.json();
    let names: Vec<&Value> = found["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["name"])
        .collect();
    assert_eq!(names, ["widgets", "widgets/scale", "widgets/status"]);
    // A second one wants a name that is taken: it is there, but not served.
    let mut other = widgets();
    other["metadata"]["name"] = json!("wads.example.org");
    other["spec"]["names"] = json!({"plural": "wads", "kind": "Wad", "shortNames": ["wd"]});
    let other = post(&cluster, DEFINITIONS, other).await.json();
    assert_eq!(
        other["status"]["conditions"][0]["message"],
        "\"wd\" is already in use"
    );
    assert_eq!(get(&cluster, "/apis/example.org/v1/wads").await.code, 404);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_is_wrong_is_refused() {
    let cluster = cluster();
    let mut wrong = widgets();
    wrong["metadata"]["name"] = json!("gadgets.example.org");
    let told = post(&cluster, DEFINITIONS, wrong).await;
    assert_eq!(
        message(&told),
        "CustomResourceDefinition.apiextensions.k8s.io \"gadgets.example.org\" is invalid: metadata.name: Invalid value: \"gadgets.example.org\": must be spec.names.plural+\".\"+spec.group"
    );
    let mut open = widgets();
    open["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] =
        json!({"properties": {}});
    let told = post(&cluster, DEFINITIONS, open).await;
    assert_eq!(
        message(&told),
        "CustomResourceDefinition.apiextensions.k8s.io \"widgets.example.org\" is invalid: spec.versions[0].schema.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object fields"
    );
    post(&cluster, DEFINITIONS, widgets()).await;
    let mut moved = get(&cluster, &format!("{DEFINITIONS}/widgets.example.org"))
        .await
        .json();
    moved["spec"]["scope"] = json!("Cluster");
    let told = ask(
        &cluster,
        "PUT",
        &format!("{DEFINITIONS}/widgets.example.org"),
        JSON,
        moved,
    )
    .await;
    assert!(
        message(&told).ends_with("spec.scope: Invalid value: \"Cluster\": field is immutable"),
        "{}",
        told.text
    );
}

#[tokio::test(start_paused = true)]
async fn objects_are_completed_and_judged() {
    let cluster = defined().await;
    let made = post(
        &cluster,
        WIDGETS,
        widget("a", &json!({"color": "blue", "size": 1})),
    )
    .await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(
        made.headers["warning"],
        "299 - \"unknown field \\\"spec.size\\\"\""
    );
    assert_eq!(made.json()["spec"], json!({"color": "blue", "replicas": 1}));
    let refused = post(
        &cluster,
        WIDGETS,
        widget("b", &json!({"color": "red", "replicas": "x"})),
    )
    .await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        message(&refused),
        "Widget.example.org \"b\" is invalid: [spec.color: Unsupported value: \"red\": supported values: \"blue\", \"green\", spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]"
    );
    let strict = format!("{WIDGETS}?fieldValidation=Strict");
    let refused = post(
        &cluster,
        &strict,
        widget("b", &json!({"color": "blue", "size": 1})),
    )
    .await;
    assert_eq!(
        (refused.code, message(&refused).as_str()),
        (
            400,
            "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"spec.size\""
        )
    );
    let ignored = format!("{WIDGETS}?fieldValidation=Ignore");
    let quiet = post(
        &cluster,
        &ignored,
        widget("c", &json!({"color": "blue", "size": 1})),
    )
    .await;
    assert!(quiet.code == 201 && quiet.headers.get("warning").is_none());
    let refused = post(
        &cluster,
        WIDGETS,
        widget("d", &json!({"color": "blue", "replicas": 11})),
    )
    .await;
    assert_eq!(
        message(&refused),
        "Widget.example.org \"d\" is invalid: spec: Invalid value: \"object\": too many"
    );
    // A rule that compares is asked when there is something to compare with.
    let path = format!("{WIDGETS}/a");
    let merge = |patch: Value| {
        send(
            &cluster,
            "PATCH",
            &path,
            "application/merge-patch+json",
            patch,
        )
    };
    assert_eq!(merge(json!({"spec": {"shape": "round"}})).await.code, 200);
    let mut blind = get(&cluster, &path).await.json();
    blind["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("resourceVersion");
    let refused = ask(&cluster, "PUT", &path, JSON, blind).await;
    assert_eq!(
        message(&refused),
        "widgets.example.org \"a\" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update"
    );
    let refused = merge(json!({"spec": {"shape": "square"}})).await;
    assert_eq!(
        message(&refused),
        "Widget.example.org \"a\" is invalid: spec: Invalid value: \"object\": shape is immutable"
    );
}

#[tokio::test(start_paused = true)]
async fn each_version_has_its_own_schema() {
    let cluster = defined().await;
    let mut old = widget("old", &json!({"anything": 1}));
    old["apiVersion"] = json!("example.org/v1beta1");
    let path = WIDGETS.replace("v1", "v1beta1");
    let made = post(&cluster, &path, old).await;
    assert_eq!(made.code, 201, "{}", made.text);
    assert_eq!(
        made.headers["warning"],
        "299 - \"example.org/v1beta1 Widget is deprecated\""
    );
    let same = get(&cluster, &format!("{WIDGETS}/old")).await.json();
    assert_eq!(same["apiVersion"], "example.org/v1");
}

#[tokio::test(start_paused = true)]
async fn the_status_is_written_by_itself_and_counts_no_generation() {
    let cluster = defined().await;
    let mut with_status = widget("a", &json!({"color": "blue"}));
    with_status["status"] = json!({"replicas": 7});
    let made = post(&cluster, WIDGETS, with_status).await.json();
    assert!(made.get("status").is_none(), "{made}");
    let path = format!("{WIDGETS}/a");
    let patch = |path: String, patch: Value| {
        let cluster = cluster.clone();
        async move {
            send(
                &cluster,
                "PATCH",
                &path,
                "application/merge-patch+json",
                patch,
            )
            .await
        }
    };
    let told = patch(
        format!("{path}/status"),
        json!({"status": {"replicas": 2}, "spec": {"color": "green"}}),
    );
    let told = told.await.json();
    assert_eq!(
        (
            &told["status"]["replicas"],
            &told["spec"]["color"],
            &told["metadata"]["generation"]
        ),
        (&json!(2), &json!("blue"), &json!(1))
    );
    let told = patch(
        path.clone(),
        json!({"status": {"replicas": 3}, "spec": {"color": "green"}}),
    )
    .await
    .json();
    assert_eq!(
        (
            &told["status"]["replicas"],
            &told["spec"]["color"],
            &told["metadata"]["generation"]
        ),
        (&json!(2), &json!("green"), &json!(2))
    );
    let wrong = patch(
        format!("{path}/status"),
        json!({"status": {"replicas": "x"}}),
    )
    .await;
    assert_eq!(wrong.code, 422, "{}", wrong.text);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_subresource_is_not_found() {
    let cluster = cluster();
    let mut plain = widgets();
    plain["spec"]["versions"] = json!([{"name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]);
    post(&cluster, DEFINITIONS, plain).await;
    let mut object = widget("a", &json!({}));
    object["status"] = json!({"ready": true});
    let made = post(&cluster, WIDGETS, object).await.json();
    assert_eq!(made["status"]["ready"], true);
    for part in ["status", "scale", "nothing"] {
        assert_eq!(
            get(&cluster, &format!("{WIDGETS}/a/{part}")).await.code,
            404,
            "{part}"
        );
    }
    // Without the subresource the status is a part like others.
    let patch = json!({"status": {"ready": false}});
    let told = send(
        &cluster,
        "PATCH",
        &format!("{WIDGETS}/a"),
        "application/merge-patch+json",
        patch,
    )
    .await
    .json();
    assert_eq!(
        (&told["status"]["ready"], &told["metadata"]["generation"]),
        (&json!(false), &json!(2))
    );
}

#[tokio::test(start_paused = true)]
async fn scales_are_the_same_for_all_kinds() {
    let cluster = defined().await;
    post(&cluster, WIDGETS, widget("a", &json!({"color": "blue"}))).await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": {}}});
    post(&cluster, deployments, deployment).await;
    for (collection, selector) in [(WIDGETS, Value::Null), (deployments, json!("app=a"))] {
        let path = format!("{collection}/a/scale");
        let scale = get(&cluster, &path).await.json();
        assert_eq!(
            (&scale["kind"], &scale["apiVersion"]),
            (&json!("Scale"), &json!("autoscaling/v1"))
        );
        assert_eq!(scale["status"]["selector"], selector);
        let patch = json!({"spec": {"replicas": 5}});
        let told = send(
            &cluster,
            "PATCH",
            &path,
            "application/merge-patch+json",
            patch,
        )
        .await;
        assert_eq!(
            (told.code, &told.json()["spec"]["replicas"]),
            (200, &json!(5)),
            "{}",
            told.text
        );
        let mut wrong = told.json();
        wrong["spec"]["replicas"] = json!(-1);
        let told = ask(&cluster, "PUT", &path, JSON, wrong).await;
        assert_eq!(
            message(&told),
            "Scale.autoscaling \"a\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
        );
        // An old revision is refused.
        let mut stale = scale;
        stale["spec"]["replicas"] = json!(1);
        assert_eq!(ask(&cluster, "PUT", &path, JSON, stale).await.code, 409);
        let object = get(&cluster, &format!("{collection}/a")).await.json();
        assert_eq!(
            (
                &object["spec"]["replicas"],
                &object["metadata"]["generation"]
            ),
            (&json!(5), &json!(2))
        );
    }
    // Rules hold there, too.
    let patch = json!({"spec": {"replicas": 11}});
    let told = send(
        &cluster,
        "PATCH",
        &format!("{WIDGETS}/a/scale"),
        "application/merge-patch+json",
        patch,
    )
    .await;
    assert_eq!(told.code, 422, "{}", told.text);
}

#[tokio::test(start_paused = true)]
async fn a_definition_goes_with_its_objects() {
    let cluster = defined().await;
    post(&cluster, WIDGETS, widget("a", &json!({"color": "blue"}))).await;
    let mut held = widget("b", &json!({"color": "blue"}));
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    post(&cluster, WIDGETS, held).await;
    let path = format!("{DEFINITIONS}/widgets.example.org");
    assert_eq!(
        ask(&cluster, "DELETE", &path, JSON, Value::Null).await.code,
        200
    );
    let left = get(&cluster, WIDGETS).await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    let refused = post(&cluster, WIDGETS, widget("c", &json!({"color": "blue"}))).await;
    assert_eq!(
        (refused.code, message(&refused).as_str()),
        (
            405,
            "create not allowed while custom resource definition is terminating"
        )
    );
    let freed = json!({"metadata": {"finalizers": null}});
    send(
        &cluster,
        "PATCH",
        &format!("{WIDGETS}/b"),
        "application/merge-patch+json",
        freed,
    )
    .await;
    assert_eq!(get(&cluster, &path).await.code, 404);
    assert_eq!(get(&cluster, WIDGETS).await.code, 404);
    // The same kind can come again, with nothing left of what was.
    assert_eq!(post(&cluster, DEFINITIONS, widgets()).await.code, 201);
    let id = GroupResource::named("example.org", "widgets");
    assert_eq!(cluster.api().list(&id, None).len(), 0);
    assert_eq!(
        cluster.api().list(&CUSTOM_RESOURCE_DEFINITIONS, None).len(),
        1
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[cfg(feature = "openapi")]
#[tokio::test(start_paused = true)]
async fn unknown_fields_of_built_in_kinds_are_told() {
    let cluster = cluster();
    let maps = "/api/v1/namespaces/default/configmaps";
    let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "dat": {"a": "b"}});
    let warned = post(&cluster, maps, map("a")).await;
    assert_eq!(
        warned.headers["warning"],
        "299 - \"unknown field \\\"dat\\\"\""
    );
    assert!(warned.json().get("dat").is_none());
    let strict = post(
        &cluster,
        &format!("{maps}?fieldValidation=Strict"),
        map("b"),
    )
    .await;
    assert_eq!(
        message(&strict),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: unknown field \"dat\""
    );
    let mistyped = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": 1}});
    let told = post(&cluster, maps, mistyped).await;
    assert_eq!(
        (told.code, message(&told).as_str()),
        (
            400,
            "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data.a of type string"
        )
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_has_to_be_what_the_path_says() {
    let cluster = cluster();
    let maps = "/api/v1/namespaces/default/configmaps";
    let map =
        |metadata: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
    for (object, code) in [
        (map(json!({"name": "a"})), 201),
        (map(json!({"name": "a", "namespace": "other"})), 400),
        (map(json!({"name": "A_b"})), 422),
        (map(json!({"name": "b", "labels": {"x": "y z"}})), 422),
        (map(json!({"name": "b", "labels": {"x": 1}})), 400),
        (map(json!(5)), 400),
        (secret, 400),
    ] {
        let told = post(&cluster, maps, object.clone()).await;
        assert_eq!(told.code, code, "{object}: {}", told.text);
    }
    let other = map(json!({"name": "b"}));
    let told = ask(&cluster, "PUT", &format!("{maps}/a"), JSON, other).await;
    assert_eq!(
        message(&told),
        "the name of the object (b) does not match the name on the URL (a)"
    );
    let kind = "application/json-patch+json";
    let steps = json!([{"op": "replace", "path": "", "value": []}]);
    let told = send(&cluster, "PATCH", &format!("{maps}/a"), kind, steps).await;
    assert_eq!(told.code, 400, "{}", told.text);
    // Nor is it another object, or one of another time.
    for (field, value, code) in [
        ("uid", "other", 409),
        ("creationTimestamp", "2001-01-01T00:00:00Z", 422),
        ("deletionTimestamp", "2001-01-01T00:00:00Z", 422),
    ] {
        let patch = json!({"metadata": {field: value}});
        let kind = "application/merge-patch+json";
        let told = send(&cluster, "PATCH", &format!("{maps}/a"), kind, patch).await;
        assert_eq!(told.code, code, "{field}: {}", told.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_collection_is_deleted_by_selectors() {
    let cluster = cluster();
    let maps = "/api/v1/namespaces/default/configmaps";
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "x")] {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"k": label}}});
        post(&cluster, maps, map).await;
    }
    let gone = ask(
        &cluster,
        "DELETE",
        &format!("{maps}?labelSelector=k%3Dx"),
        JSON,
        Value::Null,
    )
    .await;
    assert_eq!(
        (gone.code, gone.json()["items"].as_array().unwrap().len()),
        (200, 2)
    );
    let left = get(&cluster, maps).await.json();
    assert_eq!(left["items"][0]["metadata"]["name"], "b");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_cannot_be_applied() {
    let cluster = defined().await;
    let apply = |spec: Value| {
        let path = format!("{WIDGETS}/a?fieldManager=m");
        let cluster = cluster.clone();
        async move {
            send(
                &cluster,
                "PATCH",
                &path,
                "application/apply-patch+yaml",
                widget("a", &spec),
            )
            .await
        }
    };
    let refused = apply(json!({"color": "blue", "size": 1})).await;
    assert_eq!(
        message(&refused),
        "failed to create typed patch object (default/a; example.org/v1, Kind=Widget): .spec.size: field not declared in schema"
    );
    let made = apply(json!({"color": "blue"})).await;
    assert_eq!(
        (made.code, &made.json()["spec"]["replicas"]),
        (201, &json!(1)),
        "{}",
        made.text
    );
    assert_eq!(apply(json!({"color": "red"})).await.code, 422);
}

#[tokio::test(start_paused = true)]
async fn pods_are_bound_and_accounts_get_tokens() {
    let cluster = cluster();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    post(&cluster, pods, pod).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"}});
    let place = format!("{pods}/p/binding");
    assert_eq!(post(&cluster, &place, binding.clone()).await.code, 201);
    assert_eq!(
        get(&cluster, &format!("{pods}/p")).await.json()["spec"]["nodeName"],
        "n"
    );
    let again = post(&cluster, &place, binding).await;
    assert_eq!(
        message(&again),
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
    );
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot"}});
    post(&cluster, accounts, account).await;
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let told = post(&cluster, &format!("{accounts}/bot/token"), request)
        .await
        .json();
    let token = told["status"]["token"].as_str().unwrap();
    let user = cluster.server().user_of(token).unwrap();
    assert_eq!(user.name, "system:serviceaccount:default:bot");
}
