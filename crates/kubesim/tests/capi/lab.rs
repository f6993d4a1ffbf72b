//! A management cluster with Cluster API, a class in the manner of the demo's, and a client to both
//! clusters.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kubesim::capi::{self, kinds};
use kubesim::resource::builtin::NODES;
use kubesim::store::{Change, Observer};
use kubesim::{Cluster, GroupResource, Options, Simulation};
use serde_json::{Value, json};

/// Where everything is.
pub const SPACE: &str = "demo";
/// The Cluster's name.
pub const NAME: &str = "c1";
/// The version of N, and of N+1.
pub const VERSIONS: [&str; 2] = ["v1.34.3", "v1.35.0"];

/// Both clusters.
pub struct Lab {
    pub simulation: Simulation,
    pub management: Cluster,
}

/// The class for a version, and its templates.
pub fn class(name: &str, version: &str) -> Vec<Value> {
    let meta = |suffix: &str| json!({"namespace": SPACE, "name": format!("{name}{suffix}")});
    let template = |group: &str, kind: &str, suffix: &str, spec: Value| {
        json!({"apiVersion": format!("{group}.cluster.x-k8s.io/v1beta2"), "kind": kind,
            "metadata": meta(suffix), "spec": {"template": {"spec": spec}}})
    };
    let reference = |group: &str, kind: &str, suffix: &str| {
        json!({"templateRef": {"apiVersion": format!("{group}.cluster.x-k8s.io/v1beta2"),
            "kind": kind, "name": format!("{name}{suffix}")}})
    };
    let registration = json!({"nodeRegistration": {"kubeletExtraArgs": [
        {"name": "eviction-hard", "value": "nodefs.available<0%"}]}});
    let image = json!({"customImage": format!("kindest/node:{version}")});
    let mut plane = reference("controlplane", "KubeadmControlPlaneTemplate", "-plane");
    plane["machineInfrastructure"] = reference("infrastructure", "DockerMachineTemplate", "-plane");
    let mut worker = json!({"class": "default-worker"});
    worker["bootstrap"] = reference("bootstrap", "KubeadmConfigTemplate", "-worker");
    worker["infrastructure"] = reference("infrastructure", "DockerMachineTemplate", "-worker");
    vec![
        template(
            "infrastructure",
            "DockerClusterTemplate",
            "-cluster",
            json!({}),
        ),
        template(
            "infrastructure",
            "DockerMachineTemplate",
            "-plane",
            image.clone(),
        ),
        template("infrastructure", "DockerMachineTemplate", "-worker", image),
        template(
            "bootstrap",
            "KubeadmConfigTemplate",
            "-worker",
            json!({"joinConfiguration": registration}),
        ),
        template(
            "controlplane",
            "KubeadmControlPlaneTemplate",
            "-plane",
            json!({"kubeadmConfigSpec": {
                "clusterConfiguration": {"apiServer": {"certSANs": ["localhost"]}},
                "initConfiguration": registration, "joinConfiguration": registration}}),
        ),
        json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "ClusterClass", "metadata": meta(""),
        "spec": {
            "infrastructure": reference("infrastructure", "DockerClusterTemplate", "-cluster"),
            "controlPlane": plane,
            "workers": {"machineDeployments": [worker]},
            "variables": [{"name": "certSANs", "required": false, "schema": {"openAPIV3Schema":
                {"type": "array", "items": {"type": "string"}, "default": ["localhost", "127.0.0.1"]}}}],
            "patches": [{"name": "certSANs", "definitions": [{
                "selector": {"apiVersion": "controlplane.cluster.x-k8s.io/v1beta2",
                    "kind": "KubeadmControlPlaneTemplate", "matchResources": {"controlPlane": true}},
                "jsonPatches": [{"op": "add", "valueFrom": {"variable": "certSANs"},
                    "path": "/spec/template/spec/kubeadmConfigSpec/clusterConfiguration/apiServer/certSANs"}]}]}],
        }}),
    ]
}

/// A Cluster of class `n` at N.
pub fn cluster(planes: u64, workers: &[(&str, u64)]) -> Value {
    let workers: Vec<Value> = workers
        .iter()
        .map(|(name, replicas)| json!({"class": "default-worker", "name": name, "replicas": replicas}))
        .collect();
    json!({"apiVersion": "cluster.x-k8s.io/v1beta2", "kind": "Cluster",
        "metadata": {"namespace": SPACE, "name": NAME},
        "spec": {
            "clusterNetwork": {"pods": {"cidrBlocks": ["10.244.0.0/16"]}, "services": {"cidrBlocks": ["10.96.0.0/16"]},
                "serviceDomain": "cluster.local"},
            "topology": {"classRef": {"name": "n"}, "version": VERSIONS[0],
                "controlPlane": {"replicas": planes}, "workers": {"machineDeployments": workers}}}})
}

/// What moves it to N+1.
pub fn to_next() -> Value {
    json!({"spec": {"topology": {"classRef": {"name": "n1"}, "version": VERSIONS[1]}}})
}

/// A CNI in the manner of kindnet.
pub fn cni() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"namespace": "kube-system", "name": "cni"},
        "spec": {"selector": {"matchLabels": {"app": "cni"}}, "template": {
            "metadata": {"labels": {"app": "cni"}},
            "spec": {"hostNetwork": true, "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "cni", "image": "kindest/kindnetd:v20250512-df8de77b"}],
                "volumes": [{"name": "cni-cfg", "hostPath": {"path": "/etc/cni/net.d"}}]}}}})
}

/// The API for the kind of an object.
pub fn api(cluster: &Cluster, object: &Value) -> Api<DynamicObject> {
    let text = |field: &str| object[field].as_str().unwrap();
    let resource = cluster
        .api()
        .catalogue()
        .of_kind(text("apiVersion"), text("kind"))
        .unwrap_or_else(|| panic!("{} is not served", text("kind")));
    let (group, version) = text("apiVersion")
        .split_once('/')
        .unwrap_or(("", text("apiVersion")));
    let kind = GroupVersionKind::gvk(group, version, text("kind"));
    let resource_of_kind = ApiResource::from_gvk_with_plural(&kind, &resource.id.resource);
    let client = kube::Client::new(cluster.service(), SPACE);
    match object["metadata"]["namespace"].as_str() {
        Some(space) => Api::namespaced_with(client, space, &resource_of_kind),
        None => Api::all_with(client, &resource_of_kind),
    }
}

/// Creates an object through a client.
pub async fn create(cluster: &Cluster, object: Value) -> Result<DynamicObject, kube::Error> {
    let api = api(cluster, &object);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await
}

/// Waits, for at most 20 virtual minutes.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2400 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("never: {what}");
}

/// A condition of an object: status, reason, message.
pub fn condition(object: &Value, kind: &str) -> (String, String, String) {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == kind)
        .cloned()
        .unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"), text("message"))
}

impl Lab {
    /// A management cluster with two classes, `n` and `n1`.
    pub async fn new(options: &capi::Options) -> Self {
        Self::with(&Options::default(), options).await
    }

    /// As [`Lab::new`], in a simulation that begins otherwise.
    pub async fn with(begin: &Options, options: &capi::Options) -> Self {
        let simulation = Simulation::new(begin);
        let mut controllers = kubesim::controllers::all();
        controllers.extend(capi::controllers(options));
        let management = simulation.add_cluster("management", controllers);
        capi::install(&management, options);
        let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}});
        create(&management, space).await.unwrap();
        let lab = Self {
            simulation,
            management,
        };
        for object in [class("n", VERSIONS[0]), class("n1", VERSIONS[1])].concat() {
            create(&lab.management, object).await.unwrap();
        }
        until("classes are seen", || {
            let classes = lab.list(&kinds::CLUSTER_CLASSES);
            classes.iter().all(|class| {
                class["status"]["observedGeneration"] == class["metadata"]["generation"]
            })
        })
        .await;
        lab
    }

    /// Objects on the management cluster.
    pub fn list(&self, resource: &GroupResource) -> Vec<Arc<Value>> {
        self.management.api().list(resource, Some(SPACE))
    }

    /// The Cluster.
    pub fn cluster(&self) -> Value {
        let found = self.management.api().get(&kinds::CLUSTERS, SPACE, NAME);
        found.map(|found| (*found).clone()).unwrap_or_default()
    }

    /// A condition of the Cluster.
    pub fn condition(&self, kind: &str) -> (String, String, String) {
        condition(&self.cluster(), kind)
    }

    /// Patches the Cluster through a client.
    pub async fn patch(&self, patch: Value) -> Result<DynamicObject, kube::Error> {
        let api = api(&self.management, &cluster(1, &[]));
        api.patch(NAME, &PatchParams::default(), &Patch::Merge(patch))
            .await
    }

    /// Deletes the Cluster through a client.
    pub async fn delete(&self) {
        let api = api(&self.management, &cluster(1, &[]));
        api.delete(NAME, &DeleteParams::default()).await.unwrap();
    }

    /// The workload cluster, as an engine finds it: by the server that the kubeconfig names.
    pub fn workload(&self) -> Option<Cluster> {
        capi::workload(&self.simulation, &capi::server(SPACE, NAME))
    }

    /// Makes a Cluster, gives it a CNI, and waits until all is well.
    pub async fn settled(&self, planes: u64, workers: &[(&str, u64)]) -> Cluster {
        create(&self.management, cluster(planes, workers))
            .await
            .unwrap();
        until("the API server answers", || {
            self.workload()
                .is_some_and(|workload| !workload.api().list(&NODES, None).is_empty())
        })
        .await;
        let workload = self.workload().unwrap();
        create(&workload, cni()).await.unwrap();
        self.arrived(VERSIONS[0]).await;
        workload
    }

    /// Waits until every Node and Machine is at a version, and nothing moves.
    pub async fn arrived(&self, version: &str) {
        until(&format!("all at {version}"), || self.is_at(version)).await;
    }

    fn is_at(&self, version: &str) -> bool {
        let Some(workload) = self.workload() else {
            return false;
        };
        let (nodes, machines) = (
            workload.api().list(&NODES, None),
            self.list(&kinds::MACHINES),
        );
        let at = |node: &Arc<Value>| {
            condition(node, "Ready").0 == "True"
                && node["status"]["nodeInfo"]["kubeletVersion"] == version
        };
        let running = |machine: &Arc<Value>| {
            machine["spec"]["version"] == version
                && machine["status"]["phase"] == "Running"
                && condition(machine, "Available").0 == "True"
        };
        nodes.len() == machines.len()
            && nodes.iter().all(at)
            && machines.iter().all(running)
            && self.condition("Available").0 == "True"
            && self.condition("TopologyReconciled").0 == "True"
            && ["RollingOut", "ScalingUp", "ScalingDown"]
                .iter()
                .all(|kind| self.condition(kind).0 == "False")
    }
}

/// The changes since an observer was made.
pub fn changes(observer: &mut Observer) -> Vec<Arc<Change>> {
    std::iter::from_fn(|| observer.next_now()).collect()
}
