//! What the operator's webhooks refuse, and what they only warn of.

use kubesim::cso;
use kubesim::registry::{Deletion, Warnings, Write};
use serde_json::{Value, json};

use super::{N, NEXT, World, cluster, release, stack};
use crate::lab::{NAME, SPACE, create, until};

async fn refused(world: &World, object: Value) -> String {
    create(&world.management, object)
        .await
        .unwrap_err()
        .to_string()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_has_to_say_the_version_of_its_release() {
    let world = World::provided().await;
    let mut other = cluster();
    other["spec"]["topology"]["version"] = json!("v1.34.2");
    let error = refused(&world, other).await;
    assert!(
        error.contains("topology version must be \"v1.34.3\""),
        "{error}"
    );
    let mut bare = cluster();
    bare["spec"] = json!({"controlPlaneRef": {"apiGroup": "controlplane.cluster.x-k8s.io",
        "kind": "KubeadmControlPlane", "name": "a"}});
    let error = refused(&world, bare).await;
    assert!(
        error.contains("topology and its class must be set"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_keeps_the_stack_and_moves_by_one_minor() {
    let world = World::created().await;
    let far = "docker-demo-1-36-v1";
    let other = "docker-other-1-34-v1";
    let back = "docker-demo-1-33-v1";
    for (tag, kubernetes) in [(far, "v1.36.0"), (other, "v1.34.3"), (back, "v1.33.0")] {
        world.registry.put(tag, release(kubernetes, "v1"));
    }
    for (minor, name) in [("1.36", "demo"), ("1.34", "other"), ("1.33", "demo")] {
        let mut stack = stack(minor, &["v1"]);
        stack["metadata"]["name"] = json!(format!("{name}-{minor}-x"));
        stack["spec"]["name"] = json!(name);
        create(&world.management, stack).await.unwrap();
    }
    until("ready", || {
        [far, other, back]
            .iter()
            .all(|tag| world.get(&cso::RELEASES, tag)["status"]["ready"] == true)
    })
    .await;
    for (class, version, why) in [
        (NEXT, "v1.34.3", "topology version must be \"v1.35.0\""),
        (far, "v1.36.0", "can stay or move by one, from 1.34"),
        (
            other,
            "v1.34.3",
            "provider and name of the cluster stack cannot change",
        ),
        (back, "v1.33.0", "can stay or move by one"),
    ] {
        let error = world.move_to(class, version).await.unwrap_err();
        // Cluster API's own webhook may be the first to say no.
        let own = error.contains("denied the request: spec.topology");
        assert!(
            error.contains(why) || !own && error.contains("denied"),
            "{class}: {error}"
        );
    }
    // Two patches, class first, do not pass where the version differs.
    let class = json!({"spec": {"topology": {"classRef": {"name": NEXT}}}});
    let error = world.patch(class).await.unwrap_err();
    assert!(error.contains("topology version must be"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_not_ready_only_earns_a_warning() {
    let world = World::new().await;
    let write = Write {
        warnings: Warnings::kept(),
        ..Write::by("test")
    };
    let created = world
        .management
        .api()
        .create(&kubesim::capi::kinds::CLUSTERS, cluster(), &write);
    created.unwrap();
    let told = write.warnings.told();
    assert!(
        told.iter().any(|one| one.contains(&format!(
            "clusterStackRelease {N} is not found or not ready"
        ))),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_fixed_stays_and_what_is_used_is_kept() {
    let world = World::created().await;
    let api = world.management.api();
    let write = Write::by("test");
    let live = world.get(&cso::CLUSTER_STACKS, "demo-1.34");
    for (pointer, value, why) in [
        ("/spec/provider", "openstack", "spec.provider"),
        ("/spec/kubernetesVersion", "1.35", "field is immutable"),
        ("/spec/channel", "custom", "field is immutable"),
    ] {
        let mut changed = live.clone();
        *changed.pointer_mut(pointer).unwrap() = json!(value);
        let error = api
            .update(&cso::CLUSTER_STACKS, changed, &write)
            .unwrap_err();
        assert!(error.message.contains(why), "{error}");
    }
    // Versions are judged when a ClusterStack is made, and not when one is added.
    let mut changed = live.clone();
    changed["spec"]["versions"] = json!(["v1", "1.2"]);
    api.update(&cso::CLUSTER_STACKS, changed, &write).unwrap();
    let odd = stack("1.36", &["v1", "1.2"]);
    assert!(refused(&world, odd).await.contains("invalid version"));
    let mut bad = stack("1.36", &["v1"]);
    bad["spec"]["noProvider"] = json!(false);
    assert!(refused(&world, bad).await.contains("spec.providerRef"));

    let deletion = Deletion::default();
    for (id, name) in [(cso::CLUSTER_STACKS, "demo-1.34"), (cso::RELEASES, N)] {
        let error = api.delete(&id, SPACE, name, &deletion).unwrap_err();
        assert!(error.message.contains("still used by a cluster"), "{error}");
    }
    let mut addon = world.addon();
    addon["spec"]["clusterRef"]["name"] = json!("another");
    let error = api.update(&cso::ADDONS, addon, &write).unwrap_err();
    assert!(error.message.contains("spec.clusterRef.name"), "{error}");
    let mut addon = world.addon();
    addon["metadata"] = json!({"name": "mine", "namespace": SPACE});
    addon["spec"]["clusterRef"]["namespace"] = json!("elsewhere");
    assert!(
        refused(&world, addon)
            .await
            .contains("must be the ClusterAddon's own")
    );
}

#[tokio::test(start_paused = true)]
async fn while_the_operator_is_away_no_cluster_can_be_written() {
    let world = World::created().await;
    world.operator.restart(&world.management);
    let error = world.move_to(NEXT, "v1.35.0").await.unwrap_err();
    assert!(error.contains("failed calling webhook"), "{error}");
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    world.move_to(NEXT, "v1.35.0").await.unwrap();
    assert_eq!(world.cluster()["metadata"]["name"], NAME);
}
