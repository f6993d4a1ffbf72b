//! What goes wrong with releases and their classes.

use kubesim::cso::{self, Fault};
use serde_json::{Value, json};

use super::{N, World, minutes};
use crate::lab::{SPACE, condition, until};

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
        fn has_chart(&self, tag: &str, chart: &str) -> bool {
            self.0.has_chart(tag, chart)
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
