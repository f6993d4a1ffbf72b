//! What goes wrong with the operator as a process: what it forgets, and what it does not look at again.

use kubesim::GroupResource;
use kubesim::capi::kinds;
use kubesim::cso::{self, Fault};
use kubesim::registry::Deletion;
use kubesim::resource::builtin::{CONFIG_MAPS, DAEMON_SETS, PODS};
use serde_json::{Value, json};

use super::{N, NEXT, SAME, World, chart, minutes, release, rolls};
use crate::lab::{NAME, SPACE, changes, condition, until};

#[tokio::test(start_paused = true)]
async fn a_hook_that_is_noted_halfway_blocks_the_upgrade_until_a_restart() {
    let world = World::created().await;
    world.operator.inject(Fault::LosesHook);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    let addon = world.addon();
    assert_eq!(addon["spec"]["hook"], "");
    assert_eq!(condition(&addon, "Ready").0, "True");
    assert_eq!(condition(&addon, "HelmChartApplied").0, "");
    assert!(world.is_at("v1.34.3"));
    // The note was in memory alone.
    world.operator.restart(&world.management);
    world.upgraded("v1.35.0").await;
    world.applied(NEXT).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_the_addons_are_applied_does_no_harm() {
    let world = World::created().await;
    let mut next = release("v1.35.0", "v2");
    next.charts.insert("cni".to_owned(), chart(vec![rolls()]));
    world.registry.put(NEXT, next);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    until("a stage waits", || {
        world.addon()["status"]["stages"][1]["phase"] == "waitingForPreCondition"
    })
    .await;
    let mut observer = world.management.store().observe();
    world.operator.restart(&world.management);
    world.upgraded("v1.35.0").await;
    // The hook is not remembered and so called again: the stages are run a second time, from the release to itself.
    let again = changes(&mut observer).into_iter().filter(|change| {
        let spec = &change.object.value["spec"];
        change.resource == cso::ADDONS
            && spec["hook"] == cso::UPGRADED
            && spec["clusterStack"] == NEXT
    });
    assert!(again.count() > 0);
    world.applied(NEXT).await;
    assert_eq!(world.live(&CONFIG_MAPS, "settings")["data"]["of"], "v2");
}

#[tokio::test(start_paused = true)]
async fn a_restart_loses_the_release_before_where_nobody_has_it_any_more() {
    let world = World::created().await;
    world.operator.inject(Fault::RestartsMidway);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(10).await;
    for object in [world.addon(), world.get(&cso::RELEASES, N)] {
        let (status, reason, _) = condition(&object, "ClusterStackReleaseDownloaded");
        assert_eq!(
            (&*status, &*reason),
            ("False", "ReleaseAssetsNotDownloadedYet"),
            "{object}"
        );
    }
    assert!(world.is_at("v1.34.3"));
    let api = world.management.api();
    let pod = api.get(&PODS, cso::NAMESPACE, cso::POD).unwrap();
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_download_that_fails_once_locks_up_the_controller_of_addons() {
    let world = World::created().await;
    world.operator.inject(Fault::LocksUp);
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    minutes(20).await;
    // The release is there again, and nobody looks.
    let release = world.get(&cso::RELEASES, N);
    assert_eq!(
        condition(&release, "ClusterStackReleaseDownloaded").0,
        "True"
    );
    let (_, reason, _) = condition(&world.addon(), "ClusterStackReleaseDownloaded");
    assert_eq!(reason, "ReleaseAssetsNotDownloadedYet");
    assert!(world.is_at("v1.34.3"));
    // A new process has a new mutex.
    world.operator.restart(&world.management);
    world.upgraded("v1.35.0").await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_the_nodes_roll_does_no_harm() {
    let world = World::created().await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    until("the control plane moves", || {
        let planes = world
            .management
            .api()
            .list(&kinds::CONTROL_PLANES, Some(SPACE));
        planes[0]["spec"]["version"] == "v1.35.0"
    })
    .await;
    world.operator.restart(&world.management);
    world.upgraded("v1.35.0").await;
    world.applied(NEXT).await;
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_before_the_first_addons_are_done_is_a_crash_loop() {
    let world = World::provided().await;
    world.create_cluster().await;
    until("the hook is set", || {
        world.addon()["spec"]["hook"] == cso::CREATED
    })
    .await;
    let api = world.management.api();
    // What an upgrade at this moment makes of it.
    api.modify(
        &cso::ADDONS,
        SPACE,
        &format!("cluster-addon-{NAME}"),
        "test",
        |addon| {
            addon["spec"]["hook"] = json!(cso::UPGRADED);
            addon["spec"]["clusterStack"] = Value::Null;
        },
    )
    .unwrap();
    minutes(10).await;
    let pod = world
        .management
        .api()
        .get(&PODS, cso::NAMESPACE, cso::POD)
        .unwrap();
    let container = &pod["status"]["containerStatuses"][0];
    assert!(container["restartCount"].as_i64() >= Some(4), "{container}");
    let told = container["lastState"]["terminated"]["message"]
        .as_str()
        .unwrap();
    assert!(told.contains("nil pointer dereference"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_was_noted_before_is_passed_without_any_work() {
    let world = World::created().await;
    assert!(world.operator.note_hook(SPACE, NAME, NEXT));
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    world.upgraded("v1.35.0").await;
    assert_eq!(world.addon()["spec"]["clusterStack"], N);
    assert_eq!(world.addon()["spec"]["version"], "v1");
    assert_eq!(world.addon()["status"]["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn drift_is_not_repaired() {
    let world = World::created().await;
    let api = world.workload();
    let gone = api.api().delete(
        &DAEMON_SETS,
        "kube-system",
        "cni",
        &kubesim::registry::Deletion::default(),
    );
    gone.unwrap();
    minutes(30).await;
    assert!(world.live(&DAEMON_SETS, "cni").is_null());
    assert!(world.is_applied(N));
}

#[tokio::test(start_paused = true)]
async fn addons_that_are_deleted_stay_until_their_cluster_is_gone_issue_7() {
    let world = World::created().await;
    let delete = |id: &GroupResource, name: &str| {
        let deletion = Deletion::default();
        let deleted = world.management.api().delete(id, SPACE, name, &deletion);
        deleted.unwrap();
    };
    delete(&cso::ADDONS, &format!("cluster-addon-{NAME}"));
    minutes(10).await;
    let addon = world.addon();
    assert!(
        addon["metadata"]["deletionTimestamp"].is_string(),
        "{addon}"
    );
    // They are looked after all the same.
    world.move_to(SAME, "v1.34.3").await.unwrap();
    world.applied(SAME).await;
    delete(&kinds::CLUSTERS, NAME);
    until("both are gone", || {
        world.cluster().is_null() && world.addon().is_null()
    })
    .await;
}
