//! CEL checks against an API server whose answers the tests make up.

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, PostParams};
use kubesim::{Options, Simulation};

use super::*;
use crate::checks::world::World;
use crate::cluster::kinds;

const NODES: &str = "
objects: {apiVersion: v1, kind: Node}
settles: 1s
rules:
- expression: has(object.metadata.labels) && 'zone' in object.metadata.labels
  message: \"'has no zone, in ' + string(size(objects)) + ' nodes'\"
";

/// A simulated cluster.
struct Sim {
    _simulation: Simulation,
    client: Client,
    world: World,
}

impl Sim {
    fn new() -> Self {
        let simulation = Simulation::new(&Options::default());
        let cluster = simulation.add_cluster("demo", vec![]);
        Self {
            client: Client::new(cluster.service(), "default"),
            _simulation: simulation,
            world: World::new(|_, path| panic!("{path} is not asked for")),
        }
    }

    async fn create(&self, mut object: Value) {
        let kind = if object["data"].is_null() {
            kinds::NODE
        } else {
            kinds::SECRET
        };
        object["apiVersion"] = "v1".into();
        object["kind"] = (*kind.kind).into();
        let resource = kind.resource();
        let api: Api<DynamicObject> = if kind == kinds::NODE {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::default_namespaced_with(self.client.clone(), &resource)
        };
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    async fn remove_node(&self, name: &str) {
        let api: Api<Node> = Api::all(self.client.clone());
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn asked(&self, check: &str, phase: Phase, memory: &Memory) -> Result<(Outcome, String)> {
        let check: CelCheck = serde_saphyr::from_str(check).unwrap();
        let target = Target {
            workload: &self.client,
            ..self.world.target()
        };
        let answer = run(&target, "own", &check, phase, memory).await?;
        Ok((answer.outcome, answer.message))
    }
}

fn node(name: &str, zone: Option<&str>) -> Value {
    let labels = zone.map_or_else(|| json!({}), |zone| json!({"zone": zone}));
    json!({"metadata": {"name": name, "labels": labels}})
}

#[tokio::test(start_paused = true)]
async fn a_rule_about_an_object_holds_for_each() {
    let sim = Sim::new();
    sim.create(node("a", Some("1"))).await;
    sim.create(node("b", None)).await;
    let memory = Memory::default();
    let told = sim.asked(NODES, Phase::CheckBefore, &memory).await.unwrap();
    assert_eq!(
        told,
        (Outcome::Fail, "Node b: has no zone, in 2 nodes".to_owned())
    );
    sim.remove_node("b").await;
    let told = sim.asked(NODES, Phase::CheckBefore, &memory).await.unwrap();
    assert_eq!(
        told,
        (Outcome::Pass, "1 Node as they have to be".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn too_few_objects_are_a_failure_and_not_a_pass() {
    let sim = Sim::new();
    sim.create(node("a", Some("1"))).await;
    for (with, selected) in [
        ("labels: {zone: '2'}", 0),
        ("fields: {metadata.name: b}", 0),
        ("namespace: other", 0),
    ] {
        let check = NODES.replace("kind: Node", &format!("kind: Node, {with}"));
        let told = sim
            .asked(&check, Phase::CheckBefore, &Memory::default())
            .await;
        let (outcome, message) = told.unwrap();
        assert_eq!(outcome, Outcome::Fail, "{with}");
        assert!(
            message.contains(&format!("{selected} selected")),
            "{message}"
        );
    }
    let unserved = NODES.replace("kind: Node", "kind: Nodule");
    let told = sim
        .asked(&unserved, Phase::CheckBefore, &Memory::default())
        .await;
    assert_eq!(told.unwrap().0, Outcome::Fail);
    let none = unserved.replace("settles", "atLeast: 0\nsettles");
    let told = sim
        .asked(&none, Phase::CheckBefore, &Memory::default())
        .await;
    assert_eq!(told.unwrap().0, Outcome::Pass);
}

#[tokio::test(start_paused = true)]
async fn old_and_new_are_compared_after_the_upgrade() {
    let check = NODES.replace(
        "rules:",
        "rules:\n- expression: old.all(o, new.exists(n, n.metadata.name == o.metadata.name))\n  message: \"'gone: ' + old[0].metadata.name\"",
    );
    let only = check.split("- expression: has").next().unwrap();
    let sim = Sim::new();
    sim.create(node("a", Some("1"))).await;
    let memory = Memory::default();
    let (outcome, message) = sim.asked(only, Phase::CheckBefore, &memory).await.unwrap();
    assert_eq!(outcome, Outcome::Skip, "{message}");
    let told = sim.asked(&check, Phase::CheckAfter, &memory).await.unwrap();
    assert_eq!(told.0, Outcome::Pass);
    sim.remove_node("a").await;
    sim.create(node("b", Some("1"))).await;
    let told = sim.asked(&check, Phase::CheckAfter, &memory).await.unwrap();
    assert_eq!(told, (Outcome::Fail, "Node (all): gone: a".to_owned()));
    let unseen = sim
        .asked(&check, Phase::CheckAfter, &Memory::default())
        .await;
    let error = format!("{:#}", unseen.unwrap_err());
    assert!(
        error.contains("before the upgrade were not seen"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_cannot_be_evaluated_is_no_failure_of_the_cluster() {
    let sim = Sim::new();
    sim.create(node("a", None)).await;
    for wrong in ["object.spec.missing == 1", "object.metadata.name"] {
        let check = NODES.replace(
            "has(object.metadata.labels) && 'zone' in object.metadata.labels",
            wrong,
        );
        let told = sim
            .asked(&check, Phase::CheckBefore, &Memory::default())
            .await;
        assert!(told.unwrap_err().to_string().contains(wrong));
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_judged_by_its_keys_and_its_values_are_never_told() {
    let secret = json!({"metadata": {"name": "s"}, "data": {"token": "U0VDUkVU"}});
    let sim = Sim::new();
    sim.create(secret).await;
    let check = "
objects: {apiVersion: v1, kind: Secret}
settles: 1s
rules:
- expression: has(object.data.token) && object.data.token == 'U0VDUkVU'
  message: \"'it is ' + object.data.token\"
";
    let told = sim
        .asked(check, Phase::CheckBefore, &Memory::default())
        .await
        .unwrap();
    assert_eq!(
        told,
        (Outcome::Fail, "Secret default/s: it is (hidden)".to_owned())
    );
}

#[test]
fn values_of_environment_variables_are_not_told() {
    let pod = json!({"spec": {"containers": [{"env": [{"name": "A", "value": "SECRET"}, {"name": "B"}]}]}});
    let told = without_environment(pod).to_string();
    assert!(!told.contains("SECRET") && told.contains("\"A\""), "{told}");
}
