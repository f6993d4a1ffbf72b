//! A simulated cluster of three nodes that is well, and a client of it that notes what is asked.
#![allow(dead_code, reason = "tests and the benchmark use their own parts")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Wakeup, Poll};
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::Body;
use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::registry::Write;
use kubesim::resource::builtin::PODS;
use kubesim::store::Stored;
use kubesim::{Cluster, Options, Simulation, User, controllers};
use serde_json::{Value, json};
use stackgate::checks::TOOLS_IMAGE;
use stackgate::cluster::{Context, Interrupt};
use stackgate::engine::embedded::Simulated;
use stackgate::gate::{self, CheckPlan, Ending};
use stackgate::record::{CheckResult, Clock, Recorder, RunId, Surroundings, What, read};
use stackgate::suite::{Place, Suite};
use tokio::time::Instant;

/// The version of its Kubernetes.
pub const VERSION: &str = "v1.35.0";

/// How many nodes are its control plane.
const CONTROL_PLANES: usize = 2;
/// How many pods a Deployment of a large cluster has.
const REPLICAS: usize = 10;

/// The cluster.
pub struct Lab {
    /// What it lives in.
    pub simulation: Simulation,
    /// The cluster.
    pub cluster: Cluster,
    /// Its first moment, by the clock on the wall and by the one that can be stopped.
    began: (jiff::Timestamp, Instant),
    /// How many runs it has seen: each has an id of its own.
    runs: AtomicU64,
}

impl Lab {
    /// Two control-plane nodes and a worker with a CNI, a storage class and a workload, settled. The time
    /// that this takes is virtual.
    pub async fn settled() -> Self {
        Self::with_workers(1).await
    }

    /// The same with so many nodes, and so many pods on each: those of the DaemonSets that every cluster
    /// here has, and those of small Deployments.
    pub async fn of_size(nodes: usize, pods_a_node: usize) -> Self {
        let lab = Self::with_workers(nodes - CONTROL_PLANES).await;
        let pods = nodes * pods_a_node - lab.cluster.store().count(&PODS);
        for number in 0..pods.div_ceil(REPLICAS) {
            let replicas = REPLICAS.min(pods - number * REPLICAS);
            lab.create(deployment(number, replicas));
        }
        while !lab.has_ready_pods(nodes * pods_a_node) {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        // Warnings from before do not count any more.
        tokio::time::sleep(Duration::from_secs(1800)).await;
        lab
    }

    fn has_ready_pods(&self, wanted: usize) -> bool {
        let pods = self.cluster.store().list(&PODS, None).0;
        let is_ready = |pod: &&Arc<Stored>| {
            let mut conditions = pod.value["status"]["conditions"]
                .as_array()
                .into_iter()
                .flatten();
            conditions
                .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        pods.iter().filter(is_ready).count() == wanted
    }

    async fn with_workers(workers: usize) -> Self {
        let options = Options::default();
        let began = (options.epoch, Instant::now());
        let simulation = Simulation::new(&options);
        let cluster = simulation.add_cluster("demo", controllers::all());
        let node = |name: &str, role, zone: &str| {
            let mut node = NodeSpec::new(name, role, VERSION);
            for (key, value) in [("region", "r1"), ("zone", zone)] {
                let key = format!("topology.kubernetes.io/{key}");
                node.labels.insert(key, value.to_owned());
            }
            node.images.insert(TOOLS_IMAGE.to_owned());
            node
        };
        let mut first = node("control-1", Role::ControlPlane, "a");
        // Its methods of authorization are in a file, so that they have to be asked for.
        let flags = first
            .extra_args
            .entry("kube-apiserver".to_owned())
            .or_default();
        let (flag, file) = ("authorization-config", "/etc/kubernetes/authorization.yaml");
        flags.insert(flag.to_owned(), file.to_owned());
        let mut init = Init::new(first);
        // Enough for thousands of nodes.
        init.pod_cidr = "100.64.0.0/10".to_owned();
        kubeadm::init(&cluster, &init).expect("the first node");
        let second = node("control-2", Role::ControlPlane, "b");
        let workers = (1..=workers).map(|n| node(&format!("worker-{n}"), Role::Worker, "a"));
        for joining in std::iter::once(second).chain(workers) {
            kubeadm::join(&cluster, &joining).expect("another node");
        }
        let lab = Self {
            simulation,
            cluster,
            began,
            runs: AtomicU64::new(0),
        };
        lab.create(cni());
        lab.create(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "csi.example.org", "volumeBindingMode": "WaitForFirstConsumer",
        }));
        lab.create(workload());
        tokio::time::sleep(Duration::from_secs(1800)).await;
        lab
    }

    /// Creates an object of a built-in kind.
    pub fn create(&self, object: Value) {
        let of = |field: &str| object[field].as_str().expect("a type").to_owned();
        let catalogue = self.cluster.api().catalogue();
        let resource = catalogue.of_kind(&of("apiVersion"), &of("kind"));
        let resource = resource.expect("a built-in kind");
        let created = self
            .cluster
            .api()
            .create(&resource.id, object, &Write::by("lab"));
        created.expect("it is taken");
    }

    /// A client as which somebody asks; nobody is who may do everything.
    pub fn client(&self, user: Option<User>, log: &Log) -> Client {
        let noted = Noted {
            service: self.cluster.service(),
            user,
            log: log.clone(),
        };
        Client::new(noted, "default")
    }

    /// Asks suites, and returns the ending and every answer in the order of the suites' checks.
    pub async fn ask(
        &self,
        user: Option<User>,
        log: &Log,
        suites: &[&str],
        read_only: bool,
    ) -> (Ending, Vec<CheckResult>) {
        let suites = suites
            .iter()
            .map(|name| Suite::load(name, Path::new("/nowhere")).expect("a suite that ships"));
        let plan = CheckPlan {
            suites: suites.collect(),
            accepted: vec![],
            ok_to_fail: vec![],
            handshakes: Some(Arc::new(Simulated(self.cluster.clone()))),
            place: Place {
                engine: "existing".to_owned(),
                surroundings: Surroundings::default(),
                kubeconfig: None,
                read_only,
            },
        };
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("run");
        let (epoch, since) = self.began;
        let clock = Clock::starting_at(epoch + since.elapsed());
        let recorder = Recorder::create(&place, clock, vec![]).expect("a recorder");
        let stream = recorder.path().to_owned();
        let run = RunId::of_seed(self.runs.fetch_add(1, Ordering::Relaxed));
        let context = Context::new(run, recorder, Interrupt::default(), 1.0);
        let ending = gate::check(&plan, &self.client(user, log), &context).await;
        let events = read(&stream).expect("the stream");
        let results = events.filter_map(|event| match event.expect("an event").what {
            What::Check(result) => Some(result),
            _ => None,
        });
        let mut results: Vec<CheckResult> = results.collect();
        results.sort_by(|one, other| one.id.cmp(&other.id));
        (ending, results)
    }
}

fn cni() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "kindnet", "namespace": "kube-system"},
        "spec": {
            "selector": {"matchLabels": {"app": "kindnet"}},
            "template": {
                "metadata": {"labels": {"app": "kindnet"}},
                "spec": {
                    "hostNetwork": true, "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "cni", "image": "docker.io/kindest/kindnetd:v20251212",
                        "volumeMounts": [{"name": "cni", "mountPath": "/etc/cni/net.d"}]}],
                    "volumes": [{"name": "cni", "hostPath": {"path": "/etc/cni/net.d"}}],
                },
            },
        },
    })
}

fn deployment(number: usize, replicas: usize) -> Value {
    let (name, image) = (format!("app-{number}"), "registry.k8s.io/pause:3.10.1");
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "tolerations": [{"operator": "Exists"}],
                    "containers": [{"name": "main", "image": image}],
                },
            },
        },
    })
}

fn workload() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {
            "serviceName": "data", "replicas": 1,
            "selector": {"matchLabels": {"app": "data"}},
            "template": {
                "metadata": {"labels": {"app": "data"}},
                "spec": {"containers": [{"name": "pause", "image": "registry.k8s.io/pause:3.10.1",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]},
            },
            "volumeClaimTemplates": [{
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            }],
        },
    })
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// E.g. `GET`.
    pub method: String,
    /// Without its query.
    pub path: String,
    /// Its query.
    pub query: String,
}

impl Asked {
    /// The right that it takes: verb, API group, and resource with its subresource; none when it is about
    /// no resource.
    pub fn right(&self) -> Option<(String, String, String)> {
        let mut parts: Vec<&str> = self.path.trim_matches('/').split('/').collect();
        let group = match *parts.first()? {
            "api" if parts.len() > 2 => {
                parts.drain(..2);
                ""
            }
            "apis" if parts.len() > 3 => {
                let group = parts[1];
                parts.drain(..3);
                group
            }
            _ => return None,
        };
        if parts[0] == "namespaces" && parts.len() > 2 {
            parts.drain(..2);
        }
        let (resource, name, sub) = (parts[0], parts.get(1), parts.get(2));
        let verb = match (self.method.as_str(), name) {
            ("GET", _) if self.query.contains("watch=true") => "watch",
            ("GET", None) => "list",
            ("GET", Some(_)) => "get",
            ("POST", _) => "create",
            ("PATCH", _) => "patch",
            ("PUT", _) => "update",
            ("DELETE", _) => "delete",
            _ => return None,
        };
        let sub = sub.map(|sub| format!("/{sub}")).unwrap_or_default();
        Some((
            verb.to_owned(),
            group.to_owned(),
            format!("{resource}{sub}"),
        ))
    }
}

/// What was asked so far; clones are the same.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Asked>>>);

impl Log {
    /// All of it.
    pub fn all(&self) -> Vec<Asked> {
        self.0.lock().expect("nobody panics in here").clone()
    }
}

/// The cluster's API with a note of each request.
#[derive(Clone)]
struct Noted {
    service: kubesim::http::Service,
    user: Option<User>,
    log: Log,
}

impl tower_service::Service<Request<Body>> for Noted {
    type Response = <kubesim::http::Service as tower_service::Service<Request<Body>>>::Response;
    type Error = <kubesim::http::Service as tower_service::Service<Request<Body>>>::Error;
    type Future = <kubesim::http::Service as tower_service::Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, _: &mut Wakeup<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let asked = Asked {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
        };
        self.log
            .0
            .lock()
            .expect("nobody panics in here")
            .push(asked);
        if let Some(user) = &self.user {
            request.extensions_mut().insert(user.clone());
        }
        self.service.call(request)
    }
}
