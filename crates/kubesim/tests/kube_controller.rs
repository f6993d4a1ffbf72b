//! kube-rs in process: a controller with a reflector, a watcher and a finalizer, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Config;
use kube::{Client, ResourceExt as _};
use kubesim::{Options, Simulation};

/// Keeps a Secret of the same name for each ConfigMap, and takes it away before the map goes.
async fn reconcile(map: Arc<ConfigMap>, client: Arc<Client>) -> Result<Action, kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), "default");
    let secrets: Api<Secret> = Api::namespaced((*client).clone(), "default");
    let done = finalizer(&maps, "example.org/secret", map, |event| async {
        match event {
            Event::Apply(map) => {
                let name = map.name_any();
                if secrets.get_opt(&name).await?.is_none() {
                    let metadata = ObjectMeta {
                        name: Some(name),
                        ..ObjectMeta::default()
                    };
                    let secret = Secret {
                        metadata,
                        ..Secret::default()
                    };
                    secrets.create(&PostParams::default(), &secret).await?;
                }
            }
            Event::Cleanup(map) => {
                let _ = secrets
                    .delete(&map.name_any(), &DeleteParams::default())
                    .await?;
            }
        }
        Ok::<_, kube::Error>(Action::requeue(Duration::from_secs(300)))
    });
    done.await
        .map_err(|error| kube::Error::Service(Box::new(error)))
}

#[tokio::test(start_paused = true)]
async fn a_controller_with_a_finalizer_runs_unchanged() {
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("demo", vec![]);
    let client = Client::new(cluster.service(), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let secrets: Api<Secret> = Api::default_namespaced(client.clone());
    let controller = Controller::new(maps.clone(), Config::default());
    let seen = controller.store();
    let running = controller.run(
        reconcile,
        |_, _, _| Action::requeue(Duration::from_secs(5)),
        Arc::new(client),
    );
    let running = tokio::spawn(running.for_each(|result| {
        if let Err(error) = result {
            eprintln!("the controller: {error}");
        }
        std::future::ready(())
    }));

    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some("a".to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    };
    maps.create(&PostParams::default(), &map).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(secrets.get_opt("a").await.unwrap().is_some());
    assert_eq!(
        maps.get("a").await.unwrap().finalizers(),
        ["example.org/secret"]
    );
    assert!(seen.get(&ObjectRef::new("a").within("default")).is_some());

    let patch = Patch::Merge(serde_json::json!({"data": {"k": "v"}}));
    maps.patch("a", &PatchParams::default(), &patch)
        .await
        .unwrap();
    maps.delete("a", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(maps.get_opt("a").await.unwrap().is_none());
    assert!(secrets.get_opt("a").await.unwrap().is_none());
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn lists_in_pages_and_watches_as_lists_reach_the_same_objects() {
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("demo", vec![]);
    let client = Client::new(cluster.service(), "default");
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    for index in 0..25 {
        let metadata = ObjectMeta {
            name: Some(format!("m-{index:02}")),
            ..ObjectMeta::default()
        };
        let map = ConfigMap {
            metadata,
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let mut names = Vec::new();
    let mut parameters = ListParams::default().limit(10);
    loop {
        let page = maps.list(&parameters).await.unwrap();
        names.extend(page.items.iter().map(|map| map.name_any()));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => parameters.continue_token = Some(token),
            _ => break,
        }
    }
    assert_eq!(names.len(), 25);
    for config in [
        Config::default().page_size(7),
        Config::default().streaming_lists(),
    ] {
        let events = kube::runtime::watcher(maps.clone(), config);
        let told: Vec<String> = events
            .take_while(|event| {
                let done = matches!(event, Ok(kube::runtime::watcher::Event::InitDone));
                std::future::ready(!done)
            })
            .filter_map(|event| async move {
                match event.unwrap() {
                    kube::runtime::watcher::Event::InitApply(map) => Some(map.name_any()),
                    _ => None,
                }
            })
            .collect()
            .await;
        assert_eq!(told, names);
    }
}

/// A controller, its reflector and a watcher as any operator has them: over HTTPS, with a kubeconfig, in real
/// time.
#[cfg(feature = "serve")]
mod served {
    use kube::Config as ClientConfig;
    use kube::config::{KubeConfigOptions, Kubeconfig};
    use kube::runtime::wait::{Condition, await_condition};
    use kube::runtime::{WatchStreamExt as _, watcher};
    use kubesim::serve::Server;

    use super::*;

    /// How long anything may take: generous, since the machine may be busy.
    const LIMIT: Duration = Duration::from_secs(60);

    async fn client(server: &Server) -> Client {
        let file = Kubeconfig::from_yaml(&server.kubeconfig().to_string()).unwrap();
        let options = KubeConfigOptions::default();
        let config = ClientConfig::from_custom_kubeconfig(file, &options).await;
        Client::try_from(config.unwrap()).unwrap()
    }

    async fn until<K>(api: &Api<K>, name: &str, holds: impl Condition<K>)
    where
        K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
    {
        let waiting = await_condition(api.clone(), name, holds);
        let waited = tokio::time::timeout(LIMIT, waiting).await;
        waited.expect("in time").expect("the watch goes on");
    }

    #[tokio::test]
    async fn a_controller_runs_unchanged_over_https() {
        let simulation = Simulation::new(&Options::default());
        let cluster = simulation.add_cluster("demo", vec![]);
        let server = Server::start(&cluster).await.unwrap();
        let client = client(&server).await;
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
        let controller = Controller::new(maps.clone(), Config::default())
            .owns(secrets.clone(), Config::default());
        let reflected = controller.store();
        let running = controller.run(
            reconcile,
            |_, _, _| Action::requeue(Duration::from_secs(1)),
            Arc::new(client.clone()),
        );
        let running = tokio::spawn(running.for_each(|_| std::future::ready(())));
        let watched = watcher(secrets.clone(), Config::default()).applied_objects();
        let mut watched = std::pin::pin!(watched);

        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some("a".to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        maps.create(&PostParams::default(), &map).await.unwrap();
        until(&secrets, "a", |secret: Option<&Secret>| secret.is_some()).await;
        let told = tokio::time::timeout(LIMIT, watched.next()).await.unwrap();
        assert_eq!(told.unwrap().unwrap().name_any(), "a");
        until(&maps, "a", |map: Option<&ConfigMap>| {
            map.is_some_and(|map| map.finalizers() == ["example.org/secret"])
        })
        .await;
        tokio::time::timeout(LIMIT, reflected.wait_until_ready())
            .await
            .expect("in time")
            .unwrap();
        assert!(
            reflected
                .get(&ObjectRef::new("a").within("default"))
                .is_some()
        );

        maps.delete("a", &DeleteParams::default()).await.unwrap();
        until(&maps, "a", |map: Option<&ConfigMap>| map.is_none()).await;
        assert!(secrets.get_opt("a").await.unwrap().is_none());
        running.abort();
    }
}
