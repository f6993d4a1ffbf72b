//! The Cluster Stack Operator: releases that are made up here, and a management cluster with it.

mod flows;
mod process;
mod prune;
mod releases;
mod stages;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kubesim::capi::{self, kinds};
use kubesim::cso::{
    self, Action, Metadata, Objects, Operator, Releases, RenderError, Stage, Wait, Watched,
};
use kubesim::resource::builtin::NODES;
use kubesim::{Cluster, GroupResource, Options, Simulation};
use serde_json::{Value, json};

use crate::lab::{NAME, SPACE, class, cni, condition, create, until};

/// A chart: its objects, given the values of `overwrite.yaml`, where it has one.
#[derive(Clone)]
pub struct Chart {
    pub objects: Vec<Value>,
    pub overwrite: bool,
}

/// One release.
#[derive(Clone, Default)]
pub struct Release {
    pub kubernetes: String,
    pub addon: String,
    pub charts: BTreeMap<String, Chart>,
    /// Stages of both hooks.
    pub created: Vec<Stage>,
    pub upgraded: Vec<Stage>,
    /// Without stages it is a single chart.
    pub single: bool,
}

/// A registry in memory.
#[derive(Clone, Default)]
pub struct Registry(
    pub Arc<Mutex<BTreeMap<String, Release>>>,
    /// How many charts were rendered.
    Arc<AtomicUsize>,
);

impl Registry {
    pub fn put(&self, tag: &str, release: Release) {
        self.0.lock().unwrap().insert(tag.to_owned(), release);
    }

    fn rendered(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }

    fn of(&self, tag: &str) -> Option<Release> {
        self.0.lock().unwrap().get(tag).cloned()
    }
}

impl Releases for Registry {
    fn tags(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    fn metadata(&self, tag: &str) -> Result<Metadata, String> {
        let release = self.of(tag).ok_or("404 Not Found")?;
        Ok(Metadata {
            kubernetes: release.kubernetes,
            addon: release.addon,
            staged: !release.single,
        })
    }

    fn class(&self, tag: &str, namespace: &str) -> Result<Vec<Value>, String> {
        assert_eq!(namespace, SPACE);
        Ok(class(tag, &self.of(tag).unwrap().kubernetes))
    }

    fn stages(&self, tag: &str, hook: &str) -> Vec<Stage> {
        let release = self.of(tag).unwrap();
        if hook == cso::CREATED {
            release.created
        } else {
            release.upgraded
        }
    }

    fn has_chart(&self, tag: &str, chart: &str) -> bool {
        self.of(tag).unwrap().charts.contains_key(chart)
    }

    fn has_overwrite(&self, tag: &str, chart: &str) -> bool {
        let release = self.of(tag).unwrap();
        release
            .charts
            .get(chart)
            .is_some_and(|chart| chart.overwrite)
    }

    fn addon(
        &self,
        tag: &str,
        chart: &str,
        values_of: Option<&str>,
        objects: &Objects,
    ) -> Result<Vec<Value>, RenderError> {
        assert_eq!(objects.cluster["apiVersion"], "cluster.x-k8s.io/v1beta1");
        assert_eq!(objects.control_plane["kind"], "KubeadmControlPlane");
        self.1.fetch_add(1, Ordering::Relaxed);
        let release = self.of(tag).unwrap();
        let found = release.charts.get(chart).ok_or(RenderError::Missing)?;
        let mut objects = found.objects.clone();
        // Values of another chart make another object of one that asks for them.
        let inherits = !found.overwrite && values_of.is_some_and(|other| other != chart);
        let own = found.overwrite && values_of == Some(chart);
        for object in &mut objects {
            if own && object["metadata"]["annotations"]["own"] == "yes" {
                object["metadata"]["name"] = json!("with-its-values");
            }
            if inherits && object["metadata"]["annotations"]["inherits"] == "yes" {
                object["metadata"]["name"] = json!(format!("of-{tag}"));
            }
        }
        Ok(objects)
    }

    fn holds(&self, expression: &str, objects: &[(String, Arc<Value>)]) -> Result<bool, String> {
        assert_eq!(
            (expression, objects[0].0.as_str()),
            ("ds is rolled out", "ds")
        );
        let daemons = &objects[0].1;
        let status = &daemons["status"];
        Ok(
            status["observedGeneration"] == daemons["metadata"]["generation"]
                && status["numberReady"].as_i64() >= Some(1)
                && status["numberReady"] == status["desiredNumberScheduled"]
                && status["updatedNumberScheduled"] == status["desiredNumberScheduled"],
        )
    }
}

/// A stage that applies.
pub fn stage(name: &str) -> Stage {
    Stage {
        name: name.to_owned(),
        action: Action::Apply,
        before: None,
        after: None,
    }
}

/// A condition that the network's DaemonSet is rolled out.
pub fn network_is_up() -> Wait {
    Wait {
        objects: vec![Watched {
            key: "ds".to_owned(),
            api_version: "apps/v1".to_owned(),
            kind: "DaemonSet".to_owned(),
            name: "cni".to_owned(),
            namespace: "kube-system".to_owned(),
        }],
        expression: "ds is rolled out".to_owned(),
    }
}

pub fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "kube-system"},
        "data": {"of": value}})
}

/// A chart without a template of values.
fn chart(objects: Vec<Value>) -> Chart {
    Chart {
        objects,
        overwrite: false,
    }
}

/// The network with another image, so that it is not up for a while.
fn rolls() -> Value {
    let mut cni = cni();
    cni["spec"]["template"]["spec"]["containers"][0]["image"] = json!("cni:next");
    cni
}

async fn minutes(minutes: u64) {
    tokio::time::sleep(Duration::from_secs(60 * minutes)).await;
}

/// A release with a network and settings, and the stages `cni` and `settings` at both hooks.
pub fn release(kubernetes: &str, addon: &str) -> Release {
    let chart = |objects, overwrite| Chart { objects, overwrite };
    let mut settings = stage("settings");
    settings.before = Some(network_is_up());
    Release {
        kubernetes: kubernetes.to_owned(),
        addon: addon.to_owned(),
        charts: BTreeMap::from([
            ("cni".to_owned(), chart(vec![cni()], true)),
            (
                "settings".to_owned(),
                chart(vec![map("settings", addon)], false),
            ),
        ]),
        created: vec![stage("cni"), settings.clone()],
        upgraded: vec![stage("cni"), settings],
        single: false,
    }
}

/// The tags of N and N+1 with another minor of Kubernetes, and of N+1 with the same.
pub const N: &str = "docker-demo-1-34-v1";
pub const NEXT: &str = "docker-demo-1-35-v1";
pub const SAME: &str = "docker-demo-1-34-v2";

pub struct World {
    pub simulation: Simulation,
    pub management: Cluster,
    pub operator: Operator,
    pub registry: Registry,
}

pub fn stack(minor: &str, versions: &[&str]) -> Value {
    json!({"apiVersion": "clusterstack.x-k8s.io/v1alpha1", "kind": "ClusterStack",
        "metadata": {"name": format!("demo-{minor}"), "namespace": SPACE},
        "spec": {"provider": "docker", "name": "demo", "kubernetesVersion": minor, "channel": "stable",
            "autoSubscribe": false, "noProvider": true, "versions": versions}})
}

impl World {
    /// A management cluster with Cluster API and the operator, and N, NEXT and SAME in the registry.
    pub async fn new() -> Self {
        Self::of(0, |registry| Arc::new(registry)).await
    }

    /// The same, with releases that are seen through something else.
    pub async fn with(through: impl FnOnce(Registry) -> Arc<dyn Releases>) -> Self {
        Self::of(0, through).await
    }

    /// The same, with other chances.
    pub async fn of(seed: u64, through: impl FnOnce(Registry) -> Arc<dyn Releases>) -> Self {
        let registry = Registry::default();
        registry.put(N, release("v1.34.3", "v1"));
        registry.put(NEXT, release("v1.35.0", "v1"));
        registry.put(SAME, release("v1.34.3", "v2"));
        let operator = Operator::new(through(registry.clone()));
        let options = capi::Options {
            extensions: vec![Arc::new(operator.clone())],
            ..capi::Options::default()
        };
        let simulation = Simulation::new(&Options {
            seed,
            ..Options::default()
        });
        let mut controllers = kubesim::controllers::all();
        controllers.extend(capi::controllers(&options));
        controllers.extend(cso::controllers(&operator));
        let management = simulation.add_cluster("management", controllers);
        capi::install(&management, &options);
        cso::install(&management, &operator).unwrap();
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}});
        create(&management, space).await.unwrap();
        Self {
            simulation,
            management,
            operator,
            registry,
        }
    }

    /// The same, with both ClusterStacks ready.
    pub async fn provided() -> Self {
        let world = Self::new().await;
        world.provide().await;
        world
    }

    pub async fn provide(&self) {
        create(&self.management, stack("1.34", &["v1", "v2"]))
            .await
            .unwrap();
        create(&self.management, stack("1.35", &["v1"]))
            .await
            .unwrap();
        until("releases are ready", || {
            [N, NEXT, SAME].iter().all(|tag| {
                let release = self.get(&cso::RELEASES, tag);
                release["status"]["ready"] == true && condition(&release, "Ready").0 == "True"
            })
        })
        .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    /// A Cluster at N, its addons applied.
    pub async fn created() -> Self {
        Self::new().await.started().await
    }

    /// Provides what is in the registry, and creates a Cluster at N.
    pub async fn started(self) -> Self {
        let world = self;
        world.provide().await;
        world.create_cluster().await;
        world.applied(N).await;
        until("the node is ready", || {
            let nodes = world.workload().api().list(&NODES, None);
            nodes.len() == 1 && condition(&nodes[0], "Ready").0 == "True"
        })
        .await;
        until("the topology is reconciled", || {
            condition(&world.cluster(), "TopologyReconciled").0 == "True"
                && condition(&world.cluster(), "ControlPlaneAvailable").0 == "True"
        })
        .await;
        world
    }

    pub async fn create_cluster(&self) {
        create(&self.management, cluster()).await.unwrap();
    }

    pub fn get(&self, id: &GroupResource, name: &str) -> Value {
        let found = self.management.api().get(id, SPACE, name);
        found.map(|found| (*found).clone()).unwrap_or_default()
    }

    pub fn cluster(&self) -> Value {
        self.get(&kinds::CLUSTERS, NAME)
    }

    pub fn addon(&self) -> Value {
        self.get(&cso::ADDONS, &format!("cluster-addon-{NAME}"))
    }

    pub fn workload(&self) -> Cluster {
        capi::workload(&self.simulation, &capi::server(SPACE, NAME)).expect("a workload cluster")
    }

    /// An object in kube-system of the workload cluster.
    pub fn live(&self, id: &GroupResource, name: &str) -> Value {
        let found = self.workload().api().get(id, "kube-system", name);
        found.map(|found| (*found).clone()).unwrap_or_default()
    }

    /// Whether the ClusterAddon says that it has arrived at a class.
    pub fn is_applied(&self, class: &str) -> bool {
        let addon = self.addon();
        addon["spec"]["clusterStack"] == class
            && addon["spec"]["hook"]
                .as_str()
                .unwrap_or_default()
                .is_empty()
            && addon["status"]["ready"] == true
            && addon["status"]["stages"]
                .as_array()
                .is_none_or(Vec::is_empty)
            && condition(&addon, "HelmChartApplied").0 == "True"
            && condition(&addon, "Ready").0 == "True"
    }

    pub async fn applied(&self, class: &str) {
        until(&format!("addons of {class}"), || self.is_applied(class)).await;
    }

    pub async fn move_to(&self, class: &str, version: &str) -> Result<(), String> {
        let patch =
            json!({"spec": {"topology": {"classRef": {"name": class}, "version": version}}});
        self.patch(patch).await
    }

    pub async fn patch(&self, patch: Value) -> Result<(), String> {
        use kube::api::{Patch, PatchParams};
        let api = crate::lab::api(&self.management, &cluster());
        let patched = api
            .patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.map(drop).map_err(|error| error.to_string())
    }

    /// Waits until the node runs a version.
    pub async fn upgraded(&self, version: &str) {
        until(&format!("the node at {version}"), || self.is_at(version)).await;
    }

    pub fn is_at(&self, version: &str) -> bool {
        let nodes = self.workload().api().list(&NODES, None);
        let at = |node: &Arc<Value>| node["status"]["nodeInfo"]["kubeletVersion"] == version;
        nodes.len() == 1 && nodes.iter().all(at)
    }
}

/// A Cluster with one node at N.
pub fn cluster() -> Value {
    let mut cluster = crate::lab::cluster(1, &[]);
    cluster["spec"]["topology"]["classRef"]["name"] = json!(N);
    cluster
}
