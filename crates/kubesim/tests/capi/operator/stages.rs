//! Stages that fail, each in its own way.

use std::time::Duration;

use kubesim::cso::{self, Action, Fault, Stage};
use kubesim::resource::builtin::CONFIG_MAPS;
use serde_json::json;

use super::{Chart, N, NEXT, SAME, World, chart, map, minutes, release, rolls, stage};
use crate::lab::{changes, condition, until};

#[tokio::test(start_paused = true)]
async fn a_chart_that_fails_is_passed_over_and_missed_at_the_clean_up() {
    let world = World::created().await;
    world.operator.inject(Fault::TemplatesFail);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    let addon = world.addon();
    assert_eq!(addon["status"]["ready"], false);
    assert_eq!(
        condition(&addon, "Ready").1,
        "TemplateNewClusterStackFailed"
    );
    assert!(world.is_at("v1.34.3"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_changed_is_tried_for_ever() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v1");
    let mut cni = crate::lab::cni();
    cni["spec"]["selector"]["matchLabels"]["app"] = json!("renamed");
    next.charts.insert("cni".to_owned(), chart(vec![cni]));
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    let (status, reason, message) = condition(&world.addon(), "HelmChartApplied");
    assert_eq!((&*status, &*reason), ("False", "FailedToApplyObjects"));
    assert_eq!(message, "failed to successfully apply helm chart: \"cni\"");
    assert!(world.is_at("v1.34.3"));
}

#[tokio::test(start_paused = true)]
async fn objects_that_are_noted_as_synced_can_be_left_behind() {
    let world = World::created().await;
    world.operator.inject(Fault::SkipsSynced);
    world.move_to(SAME, "v1.34.3").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.applied(SAME).await;
    assert_eq!(world.live(&CONFIG_MAPS, "settings")["data"]["of"], "v1");
}

/// A condition of the ClusterAddon with its severity.
fn told(world: &World, kind: &str) -> [String; 4] {
    let addon = world.addon();
    let conditions = addon["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|one| one["type"] == kind);
    let found = found.cloned().unwrap_or_default();
    ["status", "severity", "reason", "message"]
        .map(|field| found[field].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_stage_whose_chart_is_missing_is_not_begun_and_those_behind_it_are_issue_7() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v2");
    // It would wait for what nobody has.
    let mut typo = stage("typo");
    typo.before = Some(super::network_is_up());
    typo.before.as_mut().unwrap().objects[0].name = "nobody".to_owned();
    next.upgraded.insert(0, typo);
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    let message = "helm chart name doesn't exists in the cluster addon helm chart: \"typo\"";
    assert_eq!(
        told(&world, "HelmChartFound"),
        ["False", "Info", "HelmChartMissing", message]
    );
    let addon = world.addon();
    let phases = [0, 1, 2].map(|at| addon["status"]["stages"][at]["phase"].clone());
    assert_eq!(phases, ["Pending", "done", "done"]);
    assert_eq!(world.live(&CONFIG_MAPS, "settings")["data"]["of"], "v2");
    // The lists of what to prune miss the chart, too.
    assert!(world.is_at("v1.34.3"));
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_deletes_does_so_without_the_values_of_its_chart_issue_7() {
    let world = World::new().await;
    let mut extra = map("plain", "v1");
    extra["metadata"]["annotations"] = json!({"own": "yes"});
    let extra = Chart {
        objects: vec![extra],
        overwrite: true,
    };
    let mut old = release("v1.34.3", "v1");
    old.charts.insert("extra".to_owned(), extra.clone());
    old.created.push(stage("extra"));
    world.registry.put(N, old);
    let mut next = release("v1.35.0", "v1");
    next.charts.insert("extra".to_owned(), extra);
    next.upgraded.push(Stage {
        action: Action::Delete,
        ..stage("extra")
    });
    world.registry.put(NEXT, next);
    let world = world.started().await;
    let live = || world.live(&CONFIG_MAPS, "with-its-values");
    assert!(!live().is_null());
    let plain = map("plain", "by somebody");
    crate::lab::create(&world.workload(), plain).await.unwrap();
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(!live().is_null());
    assert!(world.live(&CONFIG_MAPS, "plain").is_null());
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_says_what_was_evaluated_issue_7() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v2");
    next.charts.insert("cni".to_owned(), chart(vec![rolls()]));
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    until("a stage waits", || {
        told(&world, "EvaluatedCEL")[0] == "False"
    })
    .await;
    let message = "failed to successfully evaluate pre condition: \"settings\": failed to evaluate the cel expression, \
                   please check again: condition don't match";
    assert_eq!(told(&world, "EvaluatedCEL")[3], message);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_kubeconfig_is_told_from_one_that_is_not_ready_issue_7() {
    let world = World::provided().await;
    let mut observer = world.management.store().observe();
    world.create_cluster().await;
    world.applied(N).await;
    let mut seen = Vec::new();
    for change in changes(&mut observer) {
        let conditions = change.object.value["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten();
        let ready =
            ready.filter(|one| change.resource == cso::ADDONS && one["type"] == "ClusterReady");
        seen.extend(ready.map(|one| json!([one["severity"], one["message"]])));
    }
    seen.dedup();
    assert_eq!(
        seen,
        [
            json!(["Warning", "kubeconfig not there (yet)"]),
            json!(["Info", "control plane not ready yet"]),
            json!([null, null]),
        ]
    );
}
