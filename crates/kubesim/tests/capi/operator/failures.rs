//! What is wrong with the operator, each defect as a consequence of how it works.

use std::time::Duration;

use kubesim::capi::kinds;
use kubesim::cso::{self, Fault};
use kubesim::resource::builtin::{CONFIG_MAPS, DAEMON_SETS, PODS};
use serde_json::{Value, json};

use super::{Chart, N, NEXT, SAME, World, map, release, stage};
use crate::lab::{NAME, SPACE, changes, condition, until};

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

fn chart(objects: Vec<Value>) -> Chart {
    Chart {
        objects,
        overwrite: false,
    }
}

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

/// The network with another image, so that it is not up for a while.
fn rolls() -> Value {
    let mut cni = crate::lab::cni();
    cni["spec"]["template"]["spec"]["containers"][0]["image"] = json!("cni:next");
    cni
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
async fn a_release_that_the_registry_lacks_is_tried_again_and_again() {
    let world = World::new().await;
    world.operator.inject(Fault::DownloadFails);
    crate::lab::create(&world.management, super::stack("1.34", &["v1"]))
        .await
        .unwrap();
    minutes(2).await;
    let release = world.get(&cso::RELEASES, N);
    let (status, reason, _) = condition(&release, "ClusterStackReleaseDownloaded");
    assert_eq!(
        (&*status, &*reason),
        ("False", "ReleaseAssetsNotDownloadedYet")
    );
    world.operator.clear(Fault::DownloadFails);
    minutes(5).await;
    assert_eq!(world.get(&cso::RELEASES, N)["status"]["ready"], true);
}

#[tokio::test(start_paused = true)]
async fn a_release_stays_ready_when_its_providers_object_is_not() {
    let world = World::new().await;
    let provider = "infrastructure.clusterstack.x-k8s.io/v1alpha1";
    let kind = "DockerClusterStackReleaseTemplate";
    let mut stack = super::stack("1.34", &["v1"]);
    stack["spec"]["noProvider"] = json!(false);
    stack["spec"]["providerRef"] = json!({"apiVersion": provider, "kind": kind, "name": "images"});
    crate::lab::create(&world.management, stack).await.unwrap();
    minutes(1).await;
    let told = condition(&world.get(&cso::CLUSTER_STACKS, "demo-1.34"), "Ready").1;
    assert_eq!(told, "ProviderTemplateNotFound");
    let template = json!({"apiVersion": provider, "kind": kind,
        "metadata": {"name": "images", "namespace": SPACE}, "spec": {"template": {"spec": {}}}});
    crate::lab::create(&world.management, template)
        .await
        .unwrap();
    until("ready", || {
        world.get(&cso::RELEASES, N)["status"]["ready"] == true
    })
    .await;
    world.operator.inject(Fault::ProviderFails);
    minutes(2).await;
    assert_eq!(world.get(&cso::PROVIDED[0], N)["status"]["ready"], false);
    // SovereignCloudStack/cluster-stack-operator#59
    let release = world.get(&cso::RELEASES, N);
    assert_eq!(release["status"]["ready"], true);
    let (status, reason, _) = condition(&release, "ProviderClusterStackReleaseReady");
    assert_eq!((&*status, &*reason), ("False", "ProcessOngoing"));
}

#[tokio::test(start_paused = true)]
async fn a_class_in_a_version_that_cluster_api_does_not_serve_is_not_applied() {
    for (minor, ready) in [(10, false), (11, true)] {
        let world = World::new().await;
        world.operator.set_cluster_api(minor);
        crate::lab::create(&world.management, super::stack("1.34", &["v1"]))
            .await
            .unwrap();
        minutes(1).await;
        let release = world.get(&cso::RELEASES, N);
        assert_eq!(release["status"]["ready"] == true, ready, "{minor}");
    }
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

#[tokio::test(start_paused = true)]
async fn objects_that_are_noted_as_synced_can_be_left_behind() {
    let world = World::created().await;
    world.operator.inject(Fault::SkipsSynced);
    world.move_to(SAME, "v1.34.3").await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.applied(SAME).await;
    assert_eq!(world.live(&CONFIG_MAPS, "settings")["data"]["of"], "v1");
}

#[tokio::test(start_paused = true)]
async fn a_class_chart_with_a_kind_beyond_the_operators_role_is_forbidden() {
    // Through the trait alone: the class of this release has one object more.
    struct Extra(super::Registry);
    impl cso::Releases for Extra {
        fn tags(&self) -> Vec<String> {
            self.0.tags()
        }
        fn metadata(&self, tag: &str) -> Result<cso::Metadata, String> {
            self.0.metadata(tag)
        }
        fn class(&self, tag: &str, namespace: &str) -> Result<Vec<Value>, String> {
            let mut all = self.0.class(tag, namespace)?;
            all.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}}));
            Ok(all)
        }
        fn stages(&self, tag: &str, hook: &str) -> Vec<cso::Stage> {
            self.0.stages(tag, hook)
        }
        fn has_overwrite(&self, tag: &str, chart: &str) -> bool {
            self.0.has_overwrite(tag, chart)
        }
        fn addon(
            &self,
            tag: &str,
            chart: &str,
            values_of: Option<&str>,
            objects: &cso::Objects,
        ) -> Result<Vec<Value>, cso::RenderError> {
            self.0.addon(tag, chart, values_of, objects)
        }
        fn holds(
            &self,
            expression: &str,
            objects: &[(String, std::sync::Arc<Value>)],
        ) -> Result<bool, String> {
            self.0.holds(expression, objects)
        }
    }
    let world = World::with(|registry| std::sync::Arc::new(Extra(registry))).await;
    crate::lab::create(&world.management, super::stack("1.34", &["v1"]))
        .await
        .unwrap();
    minutes(2).await;
    let release = world.get(&cso::RELEASES, N);
    let (status, reason, _) = condition(&release, "HelmChartApplied");
    assert_eq!((&*status, &*reason), ("False", "ObjectsApplyingOngoing"));
    let noted = release["status"]["resources"].to_string();
    assert!(
        noted.contains("cannot patch resource \\\"configmaps\\\""),
        "{noted}"
    );
}
