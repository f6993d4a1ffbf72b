//! From a ClusterStack to addons on a Cluster, and through each kind of upgrade.

use std::sync::Arc;
use std::time::Duration;

use kubesim::cso;
use kubesim::resource::builtin::{CONFIG_MAPS, DAEMON_SETS};
use serde_json::json;

use super::{N, NEXT, SAME, World, map, release, stack};
use crate::lab::{SPACE, condition, create, until};

fn data(world: &World) -> serde_json::Value {
    world.live(&CONFIG_MAPS, "settings")["data"]["of"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_stack_becomes_releases_and_classes_and_says_so() {
    let world = World::provided().await;
    until("the stack tells of its releases", || {
        let stack = world.get(&cso::CLUSTER_STACKS, "demo-1.34");
        stack["status"]["usableVersions"] == "v1, v2"
    })
    .await;
    let stack = world.get(&cso::CLUSTER_STACKS, "demo-1.34");
    assert_eq!(
        stack["status"]["latestRelease"],
        format!("{SAME} | v1.34.3")
    );
    assert_eq!(
        stack["status"]["summary"][0],
        json!({"name": N, "ready": true, "phase": "done"})
    );
    assert_eq!(condition(&stack, "Ready").0, "True");
    let release = world.get(&cso::RELEASES, N);
    assert_eq!(release["status"]["kubernetesVersion"], "v1.34.3");
    let class = world.get(&kubesim::capi::kinds::CLUSTER_CLASSES, N);
    assert_eq!(
        class["metadata"]["labels"]["clusterstack.x-k8s.io/instance"],
        "owned"
    );
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_no_longer_listed_goes_once_nobody_uses_it() {
    let world = World::provided().await;
    let mut only = stack("1.34", &["v2"]);
    only["metadata"]["resourceVersion"] =
        world.get(&cso::CLUSTER_STACKS, "demo-1.34")["metadata"]["resourceVersion"].clone();
    let api = world.management.api();
    api.update(
        &cso::CLUSTER_STACKS,
        only,
        &kubesim::registry::Write::by("test"),
    )
    .unwrap();
    until("N is gone", || world.get(&cso::RELEASES, N).is_null()).await;
    assert!(!world.get(&cso::RELEASES, SAME).is_null());
}

#[tokio::test(start_paused = true)]
async fn a_new_cluster_gets_its_addons_at_the_hook_stage_by_stage() {
    let world = World::created().await;
    assert_eq!(data(&world), "v1");
    let addon = world.addon();
    assert_eq!(
        addon["metadata"]["annotations"]["ClusterAddonStage"],
        "created"
    );
    assert_eq!(addon["spec"]["version"], "v1");
    let ds = world.live(&DAEMON_SETS, "cni");
    let label = "clusterstack.x-k8s.io/instance";
    assert_eq!(ds["spec"]["template"]["metadata"]["labels"][label], "owned");
    // What was noted of its objects is taken back in the end.
    assert_eq!(addon["status"]["resources"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn another_minor_blocks_the_upgrade_until_the_addons_are_applied() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v1");
    next.charts.get_mut("settings").unwrap().objects = vec![map("settings", "next")];
    // As long as this is missing, the stage waits.
    next.upgraded[1].before.as_mut().unwrap().objects[0].name = "later".to_owned();
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let addon = world.addon();
    // It says the new version before anything of it is there.
    assert_eq!(addon["spec"]["hook"], "BeforeClusterUpgrade");
    assert_eq!(addon["status"]["ready"], false);
    // That an object is missing is an error, of which no condition tells.
    assert_eq!(addon["status"]["stages"][1]["phase"], "Pending");
    assert_eq!(condition(&addon, "EvaluatedCEL").0, "");
    let told = condition(&world.cluster(), "TopologyReconciled").2;
    assert!(
        told.contains("BeforeClusterUpgrade: ClusterAddon"),
        "{told}"
    );
    assert!(world.is_at("v1.34.3"));
    let mut later = crate::lab::cni();
    later["metadata"]["name"] = json!("later");
    create(&world.workload(), later).await.unwrap();
    world.applied(NEXT).await;
    assert_eq!(data(&world), "next");
    world.upgraded("v1.35.0").await;
}

#[tokio::test(start_paused = true)]
async fn the_same_kubernetes_is_upgraded_without_a_hook() {
    let world = World::created().await;
    world.move_to(SAME, "v1.34.3").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.applied(SAME).await;
    assert_eq!(data(&world), "v2");
    assert_eq!(world.addon()["spec"]["version"], "v2");
}

#[tokio::test(start_paused = true)]
async fn the_same_addons_only_move_the_class() {
    let world = World::created().await;
    let mut same = release("v1.34.3", "v1");
    same.charts.get_mut("settings").unwrap().objects = vec![map("settings", "never applied")];
    world.registry.put(SAME, same);
    world.move_to(SAME, "v1.34.3").await.unwrap();
    until("the class moves", || {
        world.addon()["spec"]["clusterStack"] == SAME
    })
    .await;
    assert_eq!(data(&world), "v1");
}

/// A world whose releases are single charts, with a Cluster at N.
async fn single(seed: u64) -> World {
    let world = World::of(seed, |registry| Arc::new(registry)).await;
    for (tag, kubernetes, addon) in [
        (N, "v1.34.3", "v1"),
        (NEXT, "v1.35.0", "v2"),
        (SAME, "v1.34.3", "v2"),
    ] {
        let mut single = release(kubernetes, addon);
        let settings = single.charts.get_mut("settings").unwrap();
        settings.objects.push(map(&format!("only-{addon}"), addon));
        single.single = true;
        world.registry.put(tag, single);
    }
    world.provide().await;
    world.create_cluster().await;
    until("the addons are ready", || {
        let addon = world.addon();
        addon["spec"]["clusterStack"] == N && addon["status"]["ready"] == true
    })
    .await;
    until("reconciled", || {
        condition(&world.cluster(), "TopologyReconciled").0 == "True"
    })
    .await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_single_chart_is_applied_but_for_what_was_applied_before() {
    // SovereignCloudStack/cluster-stacks#202
    let world = single(0).await;
    world.move_to(SAME, "v1.34.3").await.unwrap();
    until("the class moves", || {
        world.addon()["spec"]["clusterStack"] == SAME
    })
    .await;
    assert_eq!(world.addon()["spec"]["version"], "v2");
    assert_eq!(data(&world), "v1");
    assert!(!world.live(&CONFIG_MAPS, "only-v2").is_null());
    assert!(world.live(&CONFIG_MAPS, "only-v1").is_null());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_comes_while_a_single_chart_is_applied_blocks_for_ever() {
    // SovereignCloudStack/cluster-stack-operator#272. Which of the two is first is chance.
    let mut blocked = 0;
    for seed in 0..8 {
        let world = single(seed).await;
        world.move_to(NEXT, "v1.35.0").await.unwrap();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let addon = world.addon();
        assert_eq!(addon["spec"]["clusterStack"], NEXT);
        assert_eq!(addon["spec"]["hook"], "");
        assert_eq!(condition(&addon, "Ready").0, "True");
        if world.is_at("v1.35.0") {
            continue;
        }
        blocked += 1;
        assert!(world.is_at("v1.34.3"));
        assert_eq!(condition(&addon, "HelmChartApplied").0, "");
        // The known way out.
        let api = world.management.api();
        api.modify(&cso::ADDONS, SPACE, "cluster-addon-c1", "test", |addon| {
            addon["spec"]["clusterStack"] = json!(N);
            addon["spec"]["version"] = json!("v1");
        })
        .unwrap();
        world.upgraded("v1.35.0").await;
    }
    assert!((1..8).contains(&blocked), "{blocked} of 8");
}

#[tokio::test(start_paused = true)]
async fn three_releases_in_one_life_and_back_to_one_place() {
    let world = World::created().await;
    world.move_to(SAME, "v1.34.3").await.unwrap();
    world.applied(SAME).await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.applied(NEXT).await;
    world.upgraded("v1.35.0").await;
    assert_eq!(data(&world), "v1");
    let space = world.get(&cso::ADDONS, "cluster-addon-c1");
    assert_eq!(space["metadata"]["namespace"], SPACE);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_broken_is_mended_by_the_next_one() {
    let world = World::new().await;
    let mut broken = release("v1.34.3", "v1");
    let thing = json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}});
    broken.charts.get_mut("cni").unwrap().objects = vec![thing];
    world.registry.put(N, broken);
    world.provide().await;
    world.create_cluster().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let (_, reason, message) = condition(&world.addon(), "HelmChartApplied");
    assert_eq!(reason, "FailedToApplyObjects");
    assert_eq!(message, "failed to successfully apply helm chart: \"cni\"");
    world.move_to(SAME, "v1.34.3").await.unwrap();
    world.applied(SAME).await;
    assert_eq!(data(&world), "v2");
}
