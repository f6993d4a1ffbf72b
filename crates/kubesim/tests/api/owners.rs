//! What becomes of dependents, namespaces and budgets, and who is asked about writes.

use std::sync::Arc;
use std::time::Duration;

use kubesim::admission::{self, Operation};
use kubesim::registry::{Deletion, Write};
use kubesim::resource::builtin::{
    CONFIG_MAPS, NAMESPACES, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, SECRETS,
};
use kubesim::{Admission, AdmissionRequest, ApiError, Cluster, GroupResource, Options, Simulation};
use serde_json::{Value, json};

fn world() -> (Simulation, Cluster) {
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("c", kubesim::controllers::all());
    make(
        &cluster,
        &NAMESPACES,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}),
    );
    (simulation, cluster)
}

fn make(cluster: &Cluster, id: &GroupResource, object: Value) -> Value {
    let stored = cluster
        .api()
        .create(id, object, &Write::by("test"))
        .unwrap();
    (*stored.value).clone()
}

fn map(name: &str, owner: Option<&Value>, blocks: bool) -> Value {
    let mut map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "demo", "name": name}});
    if let Some(owner) = owner {
        map["metadata"]["ownerReferences"] = json!([{
            "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"], "blockOwnerDeletion": blocks,
        }]);
    }
    map
}

fn secret(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "demo", "name": name}})
}

/// The ConfigMaps, but for the one that every namespace is given.
fn maps(cluster: &Cluster) -> Vec<String> {
    let maps = cluster.api().list(&CONFIG_MAPS, Some("demo")).into_iter();
    maps.map(|map| map["metadata"]["name"].as_str().unwrap().to_owned())
        .filter(|name| name != "kube-root-ca.crt")
        .collect()
}

fn propagation(how: &str) -> Deletion {
    Deletion {
        propagation: Some(how.to_owned()),
        ..Deletion::default()
    }
}

async fn settle() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn dependents_go_in_the_background_through_all_generations() {
    let (_simulation, cluster) = world();
    let owner = make(&cluster, &SECRETS, secret("owner"));
    let child = make(&cluster, &CONFIG_MAPS, map("child", Some(&owner), true));
    make(
        &cluster,
        &CONFIG_MAPS,
        map("grandchild", Some(&child), true),
    );
    make(&cluster, &CONFIG_MAPS, map("stranger", None, false));
    settle().await;
    assert_eq!(maps(&cluster), ["child", "grandchild", "stranger"]);
    cluster
        .api()
        .delete(&SECRETS, "demo", "owner", &Deletion::default())
        .unwrap();
    settle().await;
    assert_eq!(maps(&cluster), ["stranger"]);
}

#[tokio::test(start_paused = true)]
async fn an_owner_waits_for_what_blocks_it_in_the_foreground() {
    let (_simulation, cluster) = world();
    let owner = make(&cluster, &SECRETS, secret("owner"));
    let mut held = map("held", Some(&owner), true);
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    make(&cluster, &CONFIG_MAPS, held);
    make(&cluster, &CONFIG_MAPS, map("free", Some(&owner), true));
    cluster
        .api()
        .delete(&SECRETS, "demo", "owner", &propagation("Foreground"))
        .unwrap();
    settle().await;
    let owner = cluster
        .api()
        .get(&SECRETS, "demo", "owner")
        .expect("it waits");
    assert_eq!(
        owner["metadata"]["finalizers"],
        json!(["foregroundDeletion"])
    );
    assert_eq!(maps(&cluster), ["held"]);
    let let_go = |map: &mut Value| map["metadata"]["finalizers"] = json!([]);
    cluster
        .api()
        .modify(&CONFIG_MAPS, "demo", "held", "test", let_go)
        .unwrap();
    settle().await;
    assert!(maps(&cluster).is_empty());
    assert!(cluster.api().get(&SECRETS, "demo", "owner").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_block_does_not_hold_its_owner() {
    let (_simulation, cluster) = world();
    let owner = make(&cluster, &SECRETS, secret("owner"));
    let mut held = map("held", Some(&owner), false);
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    make(&cluster, &CONFIG_MAPS, held);
    cluster
        .api()
        .delete(&SECRETS, "demo", "owner", &propagation("Foreground"))
        .unwrap();
    settle().await;
    assert!(cluster.api().get(&SECRETS, "demo", "owner").is_none());
    assert_eq!(maps(&cluster), ["held"]);
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_without_their_owner() {
    let (_simulation, cluster) = world();
    let owner = make(&cluster, &SECRETS, secret("owner"));
    make(&cluster, &CONFIG_MAPS, map("child", Some(&owner), true));
    cluster
        .api()
        .delete(&SECRETS, "demo", "owner", &propagation("Orphan"))
        .unwrap();
    settle().await;
    assert!(cluster.api().get(&SECRETS, "demo", "owner").is_none());
    let child = cluster.api().get(&CONFIG_MAPS, "demo", "child").unwrap();
    assert_eq!(child["metadata"].get("ownerReferences"), None);
}

#[tokio::test(start_paused = true)]
async fn an_owner_elsewhere_or_of_an_older_birth_is_no_owner() {
    let (_simulation, cluster) = world();
    let mut elsewhere = secret("owner");
    elsewhere["metadata"]["namespace"] = json!("other");
    let elsewhere = make(&cluster, &SECRETS, elsewhere);
    make(
        &cluster,
        &CONFIG_MAPS,
        map("across", Some(&elsewhere), true),
    );
    let mut older = make(&cluster, &SECRETS, secret("again"));
    let kept = map("kept", Some(&older), true);
    older["metadata"]["uid"] = json!("0");
    make(&cluster, &CONFIG_MAPS, map("older", Some(&older), true));
    make(&cluster, &CONFIG_MAPS, kept);
    settle().await;
    assert_eq!(maps(&cluster), ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn one_owner_is_enough_and_those_gone_are_taken_out() {
    let (_simulation, cluster) = world();
    let first = make(&cluster, &SECRETS, secret("first"));
    let second = make(&cluster, &SECRETS, secret("second"));
    let mut child = map("child", Some(&first), true);
    let other = map("child", Some(&second), true)["metadata"]["ownerReferences"][0].clone();
    child["metadata"]["ownerReferences"]
        .as_array_mut()
        .unwrap()
        .push(other);
    make(&cluster, &CONFIG_MAPS, child);
    cluster
        .api()
        .delete(&SECRETS, "demo", "first", &Deletion::default())
        .unwrap();
    settle().await;
    let child = cluster.api().get(&CONFIG_MAPS, "demo", "child").unwrap();
    let owners = child["metadata"]["ownerReferences"].as_array().unwrap();
    assert_eq!((owners.len(), &owners[0]["name"]), (1, &json!("second")));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_everything_inside_is_gone() {
    let (_simulation, cluster) = world();
    let mut held = map("held", None, false);
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    make(&cluster, &CONFIG_MAPS, held);
    make(&cluster, &SECRETS, secret("free"));
    let api = cluster.api();
    let deleted = api
        .delete(&NAMESPACES, "", "demo", &Deletion::default())
        .unwrap();
    assert_eq!(deleted.value["status"]["phase"], "Terminating");
    settle().await;
    assert!(api.get(&SECRETS, "demo", "free").is_none());
    let namespace = api.get(&NAMESPACES, "", "demo").expect("it is held");
    let condition = |kind: &str| {
        let conditions = namespace["status"]["conditions"].as_array().unwrap();
        let found = conditions
            .iter()
            .find(|condition| condition["type"] == kind)
            .unwrap();
        format!(
            "{} {}",
            found["status"].as_str().unwrap(),
            found["message"].as_str().unwrap()
        )
    };
    assert_eq!(
        condition("NamespaceContentRemaining"),
        "True Some resources are remaining: configmaps. has 1 resource instances"
    );
    assert_eq!(
        condition("NamespaceFinalizersRemaining"),
        "True Some content in the namespace has finalizers remaining: example.org/hold in 1 resource instances"
    );
    let refused = api
        .create(&SECRETS, secret("new"), &Write::by("test"))
        .unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            403,
            "secrets \"new\" is forbidden: unable to create new content in namespace demo because it is being terminated"
        )
    );
    let let_go = |map: &mut Value| map["metadata"]["finalizers"] = json!([]);
    api.modify(&CONFIG_MAPS, "demo", "held", "test", let_go)
        .unwrap();
    settle().await;
    assert!(api.get(&NAMESPACES, "", "demo").is_none());
    make(
        &cluster,
        &NAMESPACES,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}),
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_must_stay_cannot_be_deleted() {
    let (_simulation, cluster) = world();
    make(
        &cluster,
        &NAMESPACES,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}),
    );
    let refused = cluster
        .api()
        .delete(&NAMESPACES, "", "kube-system", &Deletion::default())
        .unwrap_err();
    assert_eq!(
        refused.message,
        "namespaces \"kube-system\" is forbidden: this namespace may not be deleted"
    );
}

/// Labels what is created, refuses what is called `bad`, and warns of the rest.
struct Guard;

impl Admission for Guard {
    fn name(&self) -> &'static str {
        "guard.example.org"
    }

    fn admit(&self, request: &mut AdmissionRequest<'_>) -> Result<Vec<String>, ApiError> {
        let name = request.subject()["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if name == "bad" || (request.operation == Operation::Delete && name == "lasting") {
            return Err(admission::denied(self.name(), "it is bad"));
        }
        if request.operation == Operation::Create {
            request.object["metadata"]["labels"]["guarded"] = json!("true");
        }
        Ok(vec!["mind the \"gap\"".to_owned()])
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_asked_may_change_refuse_and_warn() {
    let (_simulation, cluster) = world();
    cluster.admission(Arc::new(Guard));
    let path = "/api/v1/namespaces/demo/configmaps";
    let post =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let answer =
        crate::support::ask(&cluster, "POST", path, "application/json", post("lasting")).await;
    assert_eq!(answer.code, 201);
    assert_eq!(answer.json()["metadata"]["labels"]["guarded"], "true");
    let warnings: Vec<_> = answer.headers.get_all("warning").iter().collect();
    assert_eq!(warnings, [r#"299 - "mind the \"gap\"""#]);
    let refused =
        crate::support::ask(&cluster, "POST", path, "application/json", post("bad")).await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.json()["message"],
        "admission webhook \"guard.example.org\" denied the request: it is bad"
    );
    let lasting = format!("{path}/lasting");
    let refused = crate::support::ask(
        &cluster,
        "DELETE",
        &lasting,
        "application/json",
        Value::Null,
    )
    .await;
    assert_eq!(refused.code, 403);
    // Controllers are asked, too.
    let created = cluster
        .api()
        .create(&CONFIG_MAPS, map("bad", None, false), &Write::by("test"));
    assert_eq!(created.unwrap_err().code, 403);
    cluster.api().admissions().remove("guard.example.org");
    make(&cluster, &CONFIG_MAPS, map("bad", None, false));
}

/// A pod that runs, and is ready or not.
fn pod(cluster: &Cluster, name: &str, owner: Option<&Value>, ready: bool) {
    let mut pod = map(name, owner, true);
    pod["kind"] = json!("Pod");
    pod["metadata"]["labels"] = json!({"app": "web"});
    pod["spec"] = json!({"containers": [{"name": "c", "image": "i"}]});
    if let Some(owners) = pod["metadata"]["ownerReferences"].as_array_mut() {
        owners[0]["controller"] = json!(true);
    }
    make(cluster, &PODS, pod);
    let status = json!({"phase": "Running", "conditions": [
        {"type": "Ready", "status": if ready { "True" } else { "False" }},
    ]});
    let run = |pod: &mut Value| pod["status"] = status.clone();
    cluster
        .api()
        .modify(&PODS, "demo", name, "test", run)
        .unwrap();
}

fn budget(cluster: &Cluster, spec: Value) {
    let mut budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"namespace": "demo", "name": "web"}, "spec": spec});
    budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    make(cluster, &POD_DISRUPTION_BUDGETS, budget);
}

/// Expected, desired, healthy pods and allowed disruptions.
fn told(cluster: &Cluster) -> [i64; 4] {
    let budget = cluster
        .api()
        .get(&POD_DISRUPTION_BUDGETS, "demo", "web")
        .unwrap();
    [
        "expectedPods",
        "desiredHealthy",
        "currentHealthy",
        "disruptionsAllowed",
    ]
    .map(|field| budget["status"][field].as_i64().unwrap())
}

async fn evict(cluster: &Cluster, name: &str) -> crate::support::Answer {
    let path = format!("/api/v1/namespaces/demo/pods/{name}/eviction");
    let eviction =
        json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    crate::support::ask(cluster, "POST", &path, "application/json", eviction).await
}

/// Without controllers that run pods.
fn bare() -> (Simulation, Cluster) {
    let simulation = Simulation::new(&Options::default());
    let budgets = kubesim::controllers::all().into_iter();
    let budgets = budgets.filter(|controller| controller.name() == "disruption-controller");
    let cluster = simulation.add_cluster("c", budgets.collect());
    (simulation, cluster)
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_by_numbers_and_by_shares() {
    for (spec, expected) in [
        (json!({"minAvailable": 2}), [3, 2, 2, 0]),
        (json!({"minAvailable": "25%"}), [4, 1, 2, 1]),
        (json!({"maxUnavailable": 1}), [4, 3, 2, 0]),
        (json!({"maxUnavailable": "60%"}), [4, 1, 2, 1]),
    ] {
        let (_simulation, cluster) = bare();
        let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"namespace": "demo", "name": "web"},
            "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "web"}},
                "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        let set = make(&cluster, &REPLICA_SETS, set);
        for (name, ready) in [("a", true), ("b", true), ("c", false)] {
            pod(&cluster, name, Some(&set), ready);
        }
        budget(&cluster, spec.clone());
        settle().await;
        assert_eq!(told(&cluster), expected, "{spec}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_eviction_needs_a_disruption_that_the_budget_allows() {
    let (_simulation, cluster) = bare();
    for name in ["a", "b"] {
        pod(&cluster, name, None, true);
    }
    budget(&cluster, json!({"minAvailable": 1}));
    let early = evict(&cluster, "a").await;
    assert_eq!(
        (
            early.code,
            early.json()["details"]["retryAfterSeconds"].as_i64()
        ),
        (429, Some(10))
    );
    settle().await;
    assert_eq!(told(&cluster), [2, 1, 2, 1]);
    let done = evict(&cluster, "a").await;
    assert_eq!(
        (done.code, &done.json()["status"]),
        (201, &json!("Success"))
    );
    let refused = evict(&cluster, "b").await;
    assert_eq!(refused.code, 429);
    let refused = refused.json();
    assert_eq!(
        refused["message"],
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        refused["details"]["causes"],
        json!([{"reason": "DisruptionBudget",
        "message": "The disruption budget web needs 1 healthy pods and has 2 currently"}])
    );
    settle().await;
    let refused = evict(&cluster, "b").await.json();
    assert_eq!(
        refused["details"]["causes"][0]["message"],
        "The disruption budget web needs 1 healthy pods and has 1 currently"
    );
    let budget = cluster
        .api()
        .get(&POD_DISRUPTION_BUDGETS, "demo", "web")
        .unwrap();
    assert_eq!(
        budget["status"]["conditions"][0]["reason"],
        "InsufficientPods"
    );
    assert_eq!(budget["status"]["conditions"][0]["status"], "False");
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_ready_or_without_a_budget_can_go() {
    let (_simulation, cluster) = bare();
    pod(&cluster, "a", None, true);
    pod(&cluster, "b", None, false);
    assert_eq!(evict(&cluster, "b").await.code, 201);
    pod(&cluster, "c", None, false);
    budget(&cluster, json!({"minAvailable": 1}));
    settle().await;
    // The one healthy pod is enough, and it is not the one that goes.
    assert_eq!(evict(&cluster, "c").await.code, 201);
    assert_eq!(evict(&cluster, "a").await.code, 429);
    assert_eq!(evict(&cluster, "missing").await.code, 404);
}
