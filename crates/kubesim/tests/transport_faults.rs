//! What a client meets while faults of the connection are in force.

use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::runtime::watcher;
use kubesim::{Cluster, Fault, Options, Simulation};
use tokio::time::{Instant, sleep, timeout};

fn world() -> (Simulation, Cluster, Api<ConfigMap>) {
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("demo", vec![]);
    let client = kube::Client::new(cluster.service(), "default");
    (simulation, cluster, Api::namespaced(client, "default"))
}

fn map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

async fn list(maps: &Api<ConfigMap>) -> Result<usize, String> {
    let listed = maps.list(&ListParams::default()).await;
    listed
        .map(|list| list.items.len())
        .map_err(|error| format!("{error:?}"))
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_goes_away_is_back_after_30_s() {
    let (simulation, _, maps) = world();
    simulation.faults().inject_on(Fault::ApiServerAway, "demo");
    let refused = list(&maps).await.unwrap_err();
    assert!(refused.contains("Connection refused"), "{refused}");
    sleep(Duration::from_secs(29)).await;
    assert!(list(&maps).await.is_err());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(list(&maps).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_another_cluster_harms_nobody() {
    let (simulation, _, maps) = world();
    simulation
        .faults()
        .inject_on(Fault::CertificateExpired, "other");
    assert_eq!(list(&maps).await, Ok(0));
    simulation
        .faults()
        .inject_on(Fault::CertificateExpired, "demo");
    let refused = list(&maps).await.unwrap_err();
    assert!(refused.contains("certificate expired"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_away_ends_its_watches() {
    let (simulation, _, maps) = world();
    let mut events = std::pin::pin!(watcher(maps.clone(), watcher::Config::default()));
    for _ in 0..2 {
        events.try_next().await.unwrap();
    }
    simulation.faults().inject(Fault::ApiServerAway);
    // The stream ends, and is begun anew against a closed door.
    let ended = timeout(Duration::from_secs(1), events.try_next()).await;
    assert!(ended.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn some_requests_are_throttled_and_say_when_to_come_back() {
    let (simulation, _, maps) = world();
    simulation.faults().inject(Fault::Throttled);
    let mut codes = Vec::new();
    for _ in 0..50 {
        codes.push(match maps.list(&ListParams::default()).await {
            Ok(_) => 200,
            Err(kube::Error::Api(status)) => status.code,
            Err(other) => panic!("{other}"),
        });
    }
    assert!(codes.contains(&200) && codes.contains(&429), "{codes:?}");
}

#[tokio::test(start_paused = true)]
async fn some_updates_conflict_and_nothing_is_written_by_them() {
    let (simulation, cluster, maps) = world();
    let made = maps
        .create(&PostParams::default(), &map("one"))
        .await
        .unwrap();
    simulation.faults().inject(Fault::Conflict);
    let (mut refused, mut last) = (0, made);
    for _ in 0..50 {
        let revision = cluster.store().revision();
        last.data = Some([("revision".to_owned(), revision.to_string())].into());
        match maps.replace("one", &PostParams::default(), &last).await {
            Ok(map) => last = map,
            Err(kube::Error::Api(status)) => {
                assert_eq!((status.code, cluster.store().revision()), (409, revision));
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1..50).contains(&refused), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_down_keeps_everything_from_being_written() {
    let (simulation, _, maps) = world();
    simulation.faults().inject(Fault::WebhookDown);
    let refused = maps.create(&PostParams::default(), &map("one")).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("failed calling webhook"), "{refused}");
    assert_eq!(list(&maps).await, Ok(0));
}

#[tokio::test(start_paused = true)]
async fn slow_answers_come_within_two_seconds() {
    let (simulation, _, maps) = world();
    simulation.faults().inject(Fault::Slow);
    let start = Instant::now();
    for _ in 0..20 {
        list(&maps).await.unwrap();
    }
    let passed = start.elapsed();
    assert!(
        passed > Duration::from_secs(2) && passed < Duration::from_secs(40),
        "{passed:?}"
    );
}

/// What a watcher that begins anew whenever it fails knows in the end.
async fn watched(faults: &[Fault]) -> (usize, usize) {
    let (simulation, _, maps) = world();
    for fault in faults {
        simulation.faults().inject(*fault);
    }
    let told = std::sync::Arc::new(std::sync::Mutex::new((0, 0)));
    let (seen, of) = (told.clone(), maps.clone());
    let watching = tokio::spawn(async move {
        loop {
            let mut events = std::pin::pin!(watcher(of.clone(), watcher::Config::default()));
            while let Ok(Some(event)) = events.try_next().await {
                let mut seen = seen.lock().unwrap();
                match event {
                    watcher::Event::Init => seen.1 += 1,
                    watcher::Event::Apply(_) => seen.0 += 1,
                    _ => {}
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    sleep(Duration::from_secs(1)).await;
    for number in 0..40 {
        maps.create(&PostParams::default(), &map(&format!("map-{number}")))
            .await
            .unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    watching.abort();
    *told.lock().unwrap()
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_not_told_and_nothing_else_shows_it() {
    let (applied, lists) = watched(&[Fault::EventLost]).await;
    assert!((1..40).contains(&applied), "{applied}");
    assert_eq!(lists, 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_began_too_late_has_to_list_anew() {
    let (_, lists) = watched(&[Fault::Gone, Fault::WatchCut]).await;
    assert!(lists > 1, "{lists}");
}

#[tokio::test(start_paused = true)]
async fn cut_watches_go_on_from_where_they_were() {
    assert_eq!(watched(&[Fault::WatchCut]).await, (40, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_removed_is_not_reached() {
    let (simulation, _, maps) = world();
    assert_eq!(list(&maps).await, Ok(0));
    simulation.remove_cluster("demo");
    tokio::task::yield_now().await;
    assert!(list(&maps).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_skewed_clock_is_five_minutes_behind() {
    let simulation = Simulation::new(&Options::default());
    simulation.faults().inject_on(Fault::ClockSkew, "late");
    let times: Vec<_> = ["late", "other"]
        .map(|name| simulation.add_cluster(name, vec![]).api().clock().now())
        .into();
    assert_eq!(times[1].duration_since(times[0]).as_secs(), 300);
}
