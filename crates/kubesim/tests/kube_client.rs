//! A kube-rs client against a cluster in process.

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::runtime::watcher;
use kubesim::{Options, Simulation};

#[tokio::test(start_paused = true)]
async fn a_watcher_is_told_of_what_is_created() {
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("demo", vec![]);
    let client = kube::Client::new(cluster.service(), "default");
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let mut events = std::pin::pin!(watcher(maps.clone(), watcher::Config::default()));
    assert!(matches!(
        events.try_next().await.unwrap(),
        Some(watcher::Event::Init)
    ));
    assert!(matches!(
        events.try_next().await.unwrap(),
        Some(watcher::Event::InitDone)
    ));
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("one".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map).await.unwrap();
    let Some(watcher::Event::Apply(told)) = events.try_next().await.unwrap() else {
        panic!("expected the new object");
    };
    assert_eq!(told.metadata.name.as_deref(), Some("one"));
    assert!(told.metadata.uid.is_some() && told.metadata.resource_version.is_some());
}
