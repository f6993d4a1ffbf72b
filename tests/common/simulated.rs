//! Simulated clusters for checks: one that passes every check, and ways to spoil it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use kube::Client;
use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::registry::Write;
use kubesim::{Cluster, GroupResource, Options, Simulation, controllers};
use serde_json::{Value, json};
use stackgate::checks::{ManagementTarget, Shared, TOOLS_IMAGE, Target};
use stackgate::cluster::{Context, Interrupt};
use stackgate::engine::embedded::Simulated;
use stackgate::record::{CheckResult, Clock, Phase, Recorder, RunId};
use stackgate::suite::{self, Acceptance, Memory, Place, Round, Suite};
use tempfile::TempDir;

/// The version that the clusters have.
pub const VERSION: &str = "v1.35.0";

/// What a cluster is to be made of.
#[derive(Clone, Debug)]
pub struct Shape {
    /// What `kubeadm init` is told of its first node.
    pub init: Init,
    /// The other nodes.
    pub others: Vec<NodeSpec>,
    /// The kubelets' configuration, where it is not kubeadm's.
    pub kubelet: Vec<(&'static str, Value)>,
    /// The day by which is judged; else the simulation's.
    pub judged_on: Option<Date>,
}

impl Shape {
    /// Three control-plane nodes in three zones, which take pods, and whose flags are those that the SCS
    /// standards ask for.
    pub fn exemplary() -> Self {
        let node = |name: &str, zone: &str| {
            let mut node = NodeSpec::new(name, Role::ControlPlane, VERSION);
            node.taints = Some(Vec::new());
            let labels = [("region", "r"), ("zone", zone)];
            node.labels = labels
                .map(|(key, value)| (format!("topology.kubernetes.io/{key}"), value.to_owned()))
                .into();
            node
        };
        let mut shape = Self {
            init: Init::new(node("cp-1", "a")),
            others: vec![node("cp-2", "b"), node("cp-3", "c")],
            kubelet: Vec::new(),
            judged_on: None,
        };
        for (component, flag, value) in [
            ("kube-apiserver", "max-requests-inflight", "400"),
            ("kube-apiserver", "max-mutating-requests-inflight", "200"),
            ("kube-apiserver", "min-request-timeout", "1800"),
            (
                "kube-apiserver",
                "enable-admission-plugins",
                "NodeRestriction,EventRateLimit",
            ),
            (
                "kube-apiserver",
                "admission-control-config-file",
                "/etc/kubernetes/admission.yaml",
            ),
            (
                "kube-apiserver",
                "etcd-servers",
                "https://etcd.example.org:2379",
            ),
            ("etcd", "auto-compaction-mode", "periodic"),
            ("etcd", "auto-compaction-retention", "8h"),
        ] {
            shape.flag(component, flag, value);
        }
        shape
    }

    /// Every node.
    pub fn nodes(&mut self) -> impl Iterator<Item = &mut NodeSpec> {
        std::iter::once(&mut self.init.node).chain(&mut self.others)
    }

    /// Starts a component of every control plane with a flag.
    pub fn flag(&mut self, component: &str, name: &str, value: &str) {
        for node in self.nodes() {
            let flags: &mut BTreeMap<_, _> =
                node.extra_args.entry(component.to_owned()).or_default();
            flags.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// The management side of a world.
pub struct Side {
    /// The cluster.
    pub cluster: Cluster,
    /// Talks to it.
    pub client: Client,
    /// The namespace of the Cluster.
    pub namespace: &'static str,
    /// The Cluster's name.
    pub name: &'static str,
}

/// A cluster that runs, and a run's context.
pub struct World {
    /// The simulation.
    pub simulation: Simulation,
    /// The cluster.
    pub cluster: Cluster,
    /// Its management cluster, where it has one.
    pub management: Option<Side>,
    /// The version that its release asks for.
    pub version: &'static str,
    client: Client,
    addons: Vec<Value>,
    context: Context,
    memory: Memory,
    _folder: TempDir,
}

impl World {
    /// The run around a cluster; its release has one addon object, which is there.
    pub fn around(simulation: Simulation, cluster: Cluster, version: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(folder.path(), Clock::rehearsed(), vec![]).unwrap();
        let run = RunId::of_seed(1);
        let addon = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"mode": "strict"},
            "metadata": {"namespace": "kube-system", "name": "addon"}});
        let world = Self {
            simulation,
            client: Client::new(cluster.service(), "default"),
            cluster,
            management: None,
            version,
            addons: vec![addon.clone()],
            context: Context::new(run, recorder, Interrupt::default(), 1.0),
            memory: Memory::default(),
            _folder: folder,
        };
        world.create(addon);
        world
    }

    /// A cluster of this shape with a network, a StorageClass, and time to settle.
    pub async fn of(shape: &Shape) -> Self {
        let simulation = Simulation::new(&Options::default());
        let cluster = simulation.add_cluster("demo", controllers::all());
        kubeadm::init(&cluster, &shape.init).unwrap();
        for node in &shape.others {
            kubeadm::join(&cluster, node).unwrap();
        }
        let mut kubelet = cluster.server().kubelet_configuration("cp-1");
        for (pointer, value) in &shape.kubelet {
            *kubelet.pointer_mut(pointer).unwrap() = value.clone();
        }
        cluster.server().set_kubelet_configuration(None, kubelet);
        let mut world = Self::around(simulation, cluster, VERSION);
        world.context.judged_on = shape.judged_on;
        world.create(json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "kindnet", "namespace": "kube-system"},
            "spec": {
                "selector": {"matchLabels": {"app": "kindnet"}},
                "template": {
                    "metadata": {"labels": {"app": "kindnet"}},
                    "spec": {
                        "hostNetwork": true, "tolerations": [{"operator": "Exists"}],
                        "containers": [{"name": "cni", "image": "kindest/kindnetd:v20251212"}],
                        "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}],
                    },
                },
            },
        }));
        world.create(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "csi.example.org",
            "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        }));
        pass(300).await;
        world
    }

    /// Creates an object of a kind that the cluster serves.
    #[track_caller]
    pub fn create(&self, object: Value) {
        let of = |field: &str| object[field].as_str().unwrap().to_owned();
        let api = self.cluster.api();
        let resource = api.catalogue().of_kind(&of("apiVersion"), &of("kind"));
        let id = resource.unwrap().id.clone();
        api.create(&id, object, &Write::by("test")).unwrap();
    }

    /// Changes an object.
    #[track_caller]
    pub fn change(
        &self,
        id: &GroupResource,
        namespace: &str,
        name: &str,
        change: impl Fn(&mut Value),
    ) {
        let api = self.cluster.api();
        api.modify(id, namespace, name, "test", change).unwrap();
    }

    /// What becomes of one check of a suite, before or after the upgrade.
    pub async fn ask(&self, suite: &Suite, check: &str, phase: Phase) -> CheckResult {
        let mut suite = suite.clone();
        suite.checks.retain(|one| *one.id == *check);
        let place = Place {
            engine: "embedded".to_owned(),
            ..Place::default()
        };
        let management = self.management.as_ref();
        let target = Target {
            context: &self.context,
            workload: &self.client,
            management: management.map(|side| ManagementTarget {
                client: &side.client,
                namespace: side.namespace,
                cluster: side.name,
            }),
            kubernetes: self.version,
            upgraded_from: (phase == Phase::CheckAfter).then_some(self.version),
            addons: &self.addons,
            dropped: &[],
            tools_image: TOOLS_IMAGE,
            ok_to_fail: &[],
            shared: &Shared::with(Some(Arc::new(Simulated(self.cluster.clone())))),
            parameters: &Value::Null,
        };
        let round = Round {
            suites: std::slice::from_ref(&suite),
            accepted: Acceptance::default(),
            phase,
            place: &place,
            memory: &self.memory,
        };
        self.context.enter(phase);
        suite::run(&target, round).await.pop().unwrap()
    }
}

/// Lets so many seconds pass.
pub async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A runtime whose time is virtual.
pub fn virtual_time() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
}
