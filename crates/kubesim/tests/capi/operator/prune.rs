//! What is deleted after an upgrade, and what is not.

use kubesim::cso::{Action, Stage};
use kubesim::resource::builtin::{CONFIG_MAPS, DAEMON_SETS};
use serde_json::{Value, json};

use super::{Chart, N, NEXT, SAME, World, chart, map, minutes, release, rolls, stage};
use crate::lab::{condition, until};

#[tokio::test(start_paused = true)]
async fn after_one_pause_on_the_same_kubernetes_nothing_is_pruned() {
    let world = World::new().await;
    let mut old = release("v1.34.3", "v1");
    let settings = vec![map("settings", "v1"), map("gone", "v1")];
    old.charts.insert("settings".to_owned(), chart(settings));
    world.registry.put(N, old);
    let mut next = release("v1.34.3", "v2");
    next.charts.insert("cni".to_owned(), chart(vec![rolls()]));
    world.registry.put(SAME, next);
    let world = world.started().await;
    world.move_to(SAME, "v1.34.3").await.unwrap();
    until("a stage waits", || {
        world.addon()["status"]["stages"][1]["phase"] == "waitingForPreCondition"
    })
    .await;
    world.applied(SAME).await;
    // All is applied, by the release to itself: what only the one before had is not looked for.
    assert_eq!(world.live(&CONFIG_MAPS, "settings")["data"]["of"], "v2");
    assert!(!world.live(&CONFIG_MAPS, "gone").is_null());
}

#[tokio::test(start_paused = true)]
async fn an_object_in_another_api_version_is_deleted_just_after_it_was_applied() {
    let scaler = |version: &str| {
        json!({"apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "namespace": "kube-system"}, "spec": {"maxReplicas": 2,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}}})
    };
    let scalers = kubesim::GroupResource::new("autoscaling", "horizontalpodautoscalers");
    let world = World::new().await;
    for (tag, kubernetes, version) in [(N, "v1.34.3", "v1"), (NEXT, "v1.35.0", "v2")] {
        let mut one = release(kubernetes, "v1");
        one.charts
            .insert("settings".to_owned(), chart(vec![scaler(version)]));
        world.registry.put(tag, one);
    }
    let world = world.started().await;
    assert!(!world.live(&scalers, "a").is_null());
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(world.live(&scalers, "a").is_null());
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_the_release_before_has_no_chart_for_blocks() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v1");
    next.charts
        .insert("extra".to_owned(), chart(vec![map("extra", "v1")]));
    next.created.push(stage("extra"));
    next.upgraded.push(stage("extra"));
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    assert!(!world.live(&CONFIG_MAPS, "extra").is_null());
    // All stages are done, and what is wrong after them stands in the log alone.
    let addon = world.addon();
    let stages = addon["status"]["stages"].as_array().unwrap();
    assert_eq!(stages.len(), 3);
    assert!(
        stages.iter().all(|stage| stage["phase"] == "done"),
        "{addon}"
    );
    assert_eq!(condition(&addon, "HelmChartApplied").0, "");
    assert_eq!(condition(&addon, "Ready").0, "True");
    assert!(world.is_at("v1.34.3"));
}

#[tokio::test(start_paused = true)]
async fn lists_of_what_to_prune_are_rendered_with_the_values_of_another_chart() {
    let world = World::new().await;
    let mut inherits = map("settings", "v1");
    inherits["metadata"]["annotations"] = json!({"inherits": "yes"});
    // N names its charts so that nothing is inherited; N+1 does not.
    let mut old = release("v1.34.3", "v1");
    old.charts
        .insert("cni".to_owned(), chart(vec![crate::lab::cni()]));
    old.charts
        .insert("settings".to_owned(), chart(vec![inherits.clone()]));
    world.registry.put(N, old);
    let mut next = release("v1.35.0", "v1");
    next.charts
        .insert("settings".to_owned(), chart(vec![inherits]));
    world.registry.put(NEXT, next);
    let world = world.started().await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(world.live(&CONFIG_MAPS, "settings").is_null());
}

#[tokio::test(start_paused = true)]
async fn an_addon_that_is_dropped_stays() {
    let world = World::new().await;
    let mut old = release("v1.34.3", "v1");
    old.charts
        .insert("extra".to_owned(), chart(vec![map("extra", "v1")]));
    old.created.push(stage("extra"));
    old.upgraded.push(stage("extra"));
    world.registry.put(N, old);
    let world = world.started().await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(!world.live(&CONFIG_MAPS, "extra").is_null());
}

#[tokio::test(start_paused = true)]
async fn an_addon_that_only_new_clusters_get_is_deleted_by_an_upgrade() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v1");
    next.upgraded.remove(0);
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(world.live(&DAEMON_SETS, "cni").is_null());
}

/// A map that says no namespace.
fn nowhere() -> Value {
    let mut nowhere = map("nowhere", "v1");
    let metadata = nowhere["metadata"].as_object_mut().unwrap();
    metadata.remove("namespace");
    nowhere
}

#[tokio::test(start_paused = true)]
async fn an_object_of_another_namespace_is_never_applied_and_one_of_none_is_pruned() {
    let world = World::new().await;
    let mut old = release("v1.34.3", "v1");
    let settings = vec![map("settings", "v1"), nowhere()];
    old.charts.insert("settings".to_owned(), chart(settings));
    world.registry.put(N, old);
    let mut next = release("v1.35.0", "v1");
    let mut foreign = map("foreign", "v1");
    foreign["metadata"]["namespace"] = json!("default");
    next.charts.insert(
        "settings".to_owned(),
        chart(vec![map("settings", "v1"), foreign]),
    );
    world.registry.put(NEXT, next);
    let world = world.started().await;
    assert!(!world.live(&CONFIG_MAPS, "nowhere").is_null());
    world.move_to(SAME, "v1.34.3").await.unwrap();
    world.applied(SAME).await;
    assert!(world.live(&CONFIG_MAPS, "nowhere").is_null());
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(5).await;
    let (_, reason, message) = condition(&world.addon(), "HelmChartApplied");
    assert_eq!(reason, "FailedToApplyObjects");
    assert_eq!(
        message,
        "failed to successfully apply helm chart: \"settings\""
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_says_its_namespace_from_now_on_is_deleted_just_after_it_was_applied() {
    let world = World::new().await;
    let mut old = release("v1.34.3", "v1");
    old.charts
        .insert("settings".to_owned(), chart(vec![nowhere()]));
    world.registry.put(N, old);
    let mut next = release("v1.35.0", "v1");
    let named = vec![map("nowhere", "v2")];
    next.charts.insert("settings".to_owned(), chart(named));
    world.registry.put(NEXT, next);
    let world = world.started().await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(world.live(&CONFIG_MAPS, "nowhere").is_null());
}

/// A stage that deletes.
fn deletes(name: &str) -> Stage {
    Stage {
        action: Action::Delete,
        ..stage(name)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_deletes_hands_its_values_on_to_the_lists_issue_7() {
    let world = World::new().await;
    let mut inherits = map("settings", "v1");
    inherits["metadata"]["annotations"] = json!({"inherits": "yes"});
    for (tag, kubernetes) in [(N, "v1.34.3"), (NEXT, "v1.35.0")] {
        let mut one = release(kubernetes, "v1");
        for (name, object) in [("cni", crate::lab::cni()), ("settings", inherits.clone())] {
            one.charts.insert(name.to_owned(), chart(vec![object]));
        }
        let gone = Chart {
            objects: vec![map("gone", "v1")],
            overwrite: true,
        };
        one.charts.insert("gone".to_owned(), gone);
        if tag == NEXT {
            one.upgraded.insert(1, deletes("gone"));
        }
        world.registry.put(tag, one);
    }
    let world = world.started().await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    assert!(world.live(&CONFIG_MAPS, "settings").is_null());
}

#[tokio::test(start_paused = true)]
async fn what_a_stage_deletes_stays_in_the_lists_issue_7() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v1");
    next.created.push(deletes("settings"));
    next.upgraded.pop();
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    // Were it taken away from the old list, nothing would look for it.
    assert!(world.live(&CONFIG_MAPS, "settings").is_null());
}

/// An object of a kind that nobody serves.
fn unserved() -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}})
}

#[tokio::test(start_paused = true)]
async fn a_clean_up_of_a_kind_that_is_not_served_is_tried_at_ever_longer_pauses_issue_7() {
    let world = World::created().await;
    let mut old = release("v1.34.3", "v1");
    let settings = vec![map("settings", "v1"), unserved()];
    old.charts.insert("settings".to_owned(), chart(settings));
    world.registry.put(N, old);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    let addon = world.addon();
    let stages = addon["status"]["stages"].as_array().unwrap();
    let done = stages.iter().all(|stage| stage["phase"] == "done");
    assert!(done && stages.len() == 2, "{addon}");
    assert_eq!(condition(&addon, "HelmChartApplied").0, "");
    assert!(world.is_at("v1.34.3"));
    let before = world.registry.rendered();
    minutes(10).await;
    // Every 20 s it would be thirty times, of four charts each.
    let again = world.registry.rendered() - before;
    assert!((4..=12).contains(&again), "{again}");
}

#[tokio::test(start_paused = true)]
async fn a_stage_whose_chart_dropped_what_is_not_served_says_so_issue_7() {
    let world = World::created().await;
    let mut old = release("v1.34.3", "v1");
    let cni = Chart {
        objects: vec![crate::lab::cni(), unserved()],
        overwrite: true,
    };
    old.charts.insert("cni".to_owned(), cni);
    world.registry.put(N, old);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(5).await;
    let (status, reason, message) = condition(&world.addon(), "HelmChartApplied");
    assert_eq!((&*status, &*reason), ("False", "FailedToApplyObjects"));
    let told = "failed to successfully apply helm chart: \"cni\": no matches for kind \"Thing\"";
    assert!(message.starts_with(told), "{message}");
}
