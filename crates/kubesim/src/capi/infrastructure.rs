//! What every infrastructure provider does: a load balancer for each Cluster, a container or a server for
//! each Machine, in which kubeadm runs as soon as the bootstrap data is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::access::{self, hold, owner_cluster, release};
use super::conditions::{self, State};
use super::kinds::{CONTROL_PLANE_LABEL, MACHINES, infrastructure_kind};
use super::kubelet;
use super::provider::{Provider, is_provisioned};
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::fault::Fault;
use crate::kubeadm::{self, Init, NodeSpec, Role};
use crate::object::{controller_of, is_deleting, label, list, text, truth};
use crate::resource::GroupResource;
use crate::simulation::Simulation;

const MANAGER: &str = "capi-infrastructure";
/// How long kubeadm goes on after the etcd of a further control-plane machine has become a member.
const MEMBER: Duration = Duration::from_secs(8);

/// The address at which a Cluster's API is said to be.
fn balancer(simulation: &Simulation, start: &str, namespace: &str, name: &str) -> String {
    let mut random = simulation.random(&format!("balancer {namespace}/{name}"));
    format!("{start}{}", 3 + random.below(200))
}

/// Clusters of one provider.
pub struct ClusterController {
    provider: Provider,
    resource: GroupResource,
    ready_at: BTreeMap<Key, tokio::time::Instant>,
    gone_at: BTreeMap<Key, tokio::time::Instant>,
}

impl ClusterController {
    /// The controller of a provider.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            resource: infrastructure_kind(&provider, "clusters"),
            ready_at: BTreeMap::new(),
            gone_at: BTreeMap::new(),
        }
    }
}

impl Controller for ClusterController {
    fn name(&self) -> &'static str {
        "capi-infrastructure-cluster"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![self.resource.clone()]
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let held = self.provider.finalizer("cluster");
        let api = cx.cluster.api();
        let Some(object) = api.get(&self.resource, &key.namespace, &key.name) else {
            self.ready_at.remove(key);
            self.gone_at.remove(key);
            return Ok(Next::Change);
        };
        if is_deleting(&object) {
            let now = tokio::time::Instant::now();
            let due = *self.gone_at.entry(key.clone()).or_insert_with(|| {
                now + cx
                    .random
                    .between(Duration::from_millis(500), Duration::from_millis(1500))
            });
            if due > now {
                return Ok(Next::After(due - now));
            }
            release(cx.cluster, &self.resource, &object, &held)?;
            return Ok(Next::Change);
        }
        if owner_cluster(cx.cluster, &object).is_none() || is_provisioned(&object) {
            return Ok(Next::Change);
        }
        hold(cx.cluster, &self.resource, &object, &held)?;
        let now = tokio::time::Instant::now();
        let due = *self.ready_at.entry(key.clone()).or_insert_with(|| {
            now + cx
                .random
                .between(Duration::from_millis(900), Duration::from_millis(2500))
        });
        if due > now {
            return Ok(Next::After(due - now));
        }
        let host = balancer(
            cx.simulation,
            self.provider.balancers,
            &key.namespace,
            &key.name,
        );
        let stamp = api.clock().stamp();
        api.modify(
            &self.resource,
            &key.namespace,
            &key.name,
            MANAGER,
            |object| {
                if !object["spec"].is_object() {
                    object["spec"] = json!({});
                }
                object["spec"]["controlPlaneEndpoint"] = json!({"host": host, "port": 6443});
                self.provider.provision(object);
                conditions::set(
                    object,
                    "LoadBalancerAvailable",
                    &State::yes("Available"),
                    &stamp,
                );
                conditions::set(object, "Ready", &State::yes("Ready"), &stamp);
            },
        )?;
        Ok(Next::Change)
    }
}

/// How far a machine has come.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Its container starts.
    Starting(tokio::time::Instant),
    /// kubeadm runs in it.
    Bootstrapping(tokio::time::Instant),
    /// Its etcd is a member already, the rest follows.
    Joining(tokio::time::Instant),
    /// kubeadm has failed, for good.
    Failed,
    /// Its container is being removed.
    Removing(tokio::time::Instant),
}

/// Machines of one provider.
pub struct MachineController {
    provider: Provider,
    resource: GroupResource,
    stages: BTreeMap<Key, Stage>,
}

impl MachineController {
    /// The controller of a provider.
    pub fn new(provider: Provider) -> Self {
        Self {
            provider,
            resource: infrastructure_kind(&provider, "machines"),
            stages: BTreeMap::new(),
        }
    }
}

impl Controller for MachineController {
    fn name(&self) -> &'static str {
        "capi-infrastructure-machine"
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![self.resource.clone(), MACHINES]
    }

    /// An infrastructure machine is called as its Machine.
    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let held = self.provider.finalizer("machine");
        let api = cx.cluster.api();
        let Some(object) = api.get(&self.resource, &key.namespace, &key.name) else {
            self.stages.remove(key);
            return Ok(Next::Change);
        };
        let owner = owner_cluster(cx.cluster, &object);
        if is_deleting(&object) {
            let now = tokio::time::Instant::now();
            let due = match self.stages.get(key) {
                Some(Stage::Removing(due)) => *due,
                _ => {
                    let takes = (Duration::from_millis(800), Duration::from_millis(3000));
                    let due = now + cx.random.between(takes.0, takes.1);
                    self.stages.insert(key.clone(), Stage::Removing(due));
                    due
                }
            };
            if due > now {
                return Ok(Next::After(due - now));
            }
            let owner = owner.as_deref();
            if let Some(workload) = owner.and_then(|owner| workload_of(cx.simulation, owner)) {
                // Its Node stays until the Machine's controller deletes it.
                workload.machines().stop_kubelet(&key.name);
            }
            release(cx.cluster, &self.resource, &object, &held)?;
            return Ok(Next::Change);
        }
        if is_provisioned(&object) {
            return Ok(Next::Change);
        }
        let machine = controller_of(&object)
            .and_then(|machine| api.get(&MACHINES, &key.namespace, text(machine, "/name")));
        let (Some(owner), Some(machine)) = (owner, machine) else {
            return Ok(Next::Change);
        };
        hold(cx.cluster, &self.resource, &object, &held)?;
        let ready = truth(&owner, "/status/initialization/infrastructureProvisioned")
            && machine["spec"]["bootstrap"]["dataSecretName"].is_string();
        if !ready {
            return Ok(Next::After(Duration::from_secs(1)));
        }
        self.advance(cx, key, &owner, &machine, &object)
    }
}

impl MachineController {
    fn advance(
        &mut self,
        cx: &mut Cx<'_>,
        key: &Key,
        owner: &Value,
        machine: &Value,
        object: &Value,
    ) -> Result<Next, ApiError> {
        let now = tokio::time::Instant::now();
        let random = &mut *cx.random;
        let stage = *self.stages.entry(key.clone()).or_insert_with(|| {
            Stage::Starting(
                now + random.between(Duration::from_millis(1200), Duration::from_secs(4)),
            )
        });
        match stage {
            Stage::Starting(due) | Stage::Bootstrapping(due) | Stage::Joining(due) if due > now => {
                Ok(Next::After(due - now))
            }
            Stage::Starting(_) => {
                let plane = label(machine, CONTROL_PLANE_LABEL).is_some();
                // kubeadm on a control-plane machine starts etcd and an API server first.
                let (least, most) = if plane { (14, 28) } else { (8, 18) };
                let mut takes =
                    random.between(Duration::from_secs(least), Duration::from_secs(most));
                if plane && truth(owner, "/status/initialization/controlPlaneInitialized") {
                    takes -= MEMBER;
                }
                let first = workload_of(cx.simulation, owner).is_none();
                if let Some(flag) = kubelet::unknown_flag(cx.cluster, machine, first) {
                    let words = kubelet::last_words(&flag);
                    cx.simulation.note_kubelet(&key.name, words);
                    takes = kubelet::HEALTHY;
                }
                self.stages
                    .insert(key.clone(), Stage::Bootstrapping(now + takes));
                Ok(Next::After(takes))
            }
            Stage::Bootstrapping(_) => {
                let plane = label(machine, CONTROL_PLANE_LABEL).is_some();
                let joins = plane && truth(owner, "/status/initialization/controlPlaneInitialized");
                if joins && cx.simulation.faults().is(Fault::ControlPlaneJoinFails) {
                    cx.simulation.faults().note(Fault::ControlPlaneJoinFails);
                    self.stages.insert(key.clone(), Stage::Failed);
                    return self.failed(cx, key, NO_ETCD);
                }
                let first = workload_of(cx.simulation, owner).is_none();
                if kubelet::unknown_flag(cx.cluster, machine, first).is_some() {
                    self.stages.insert(key.clone(), Stage::Failed);
                    return self.failed(cx, key, &kubelet::unhealthy(first));
                }
                if joins && let Some(workload) = workload_of(cx.simulation, owner) {
                    // Its etcd is a member before kubeadm is through.
                    workload.machines().etcd_joins(&key.name);
                    self.stages
                        .insert(key.clone(), Stage::Joining(now + MEMBER));
                    return Ok(Next::After(MEMBER));
                }
                bootstrap(cx, &self.provider, owner, machine, object)?;
                self.stages.remove(key);
                self.provisioned(cx, key)
            }
            Stage::Joining(_) => {
                bootstrap(cx, &self.provider, owner, machine, object)?;
                self.stages.remove(key);
                self.provisioned(cx, key)
            }
            Stage::Failed | Stage::Removing(_) => Ok(Next::Change),
        }
    }

    fn provisioned(&self, cx: &Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let stamp = api.clock().stamp();
        let address = workload_address(cx, key);
        api.modify(
            &self.resource,
            &key.namespace,
            &key.name,
            MANAGER,
            |object| {
                object["spec"]["providerID"] = json!(self.provider.identify(object));
                self.provider.provision(object);
                object["status"]["addresses"] = json!([
                {"type": "Hostname", "address": key.name},
                {"type": "InternalIP", "address": address},
                {"type": "ExternalIP", "address": address}]);
                let told = self.provider.machine_conditions.iter();
                for (kind, reason) in told.chain(&[("Ready", "Ready")]) {
                    conditions::set(object, kind, &State::yes(reason), &stamp);
                }
            },
        )?;
        Ok(Next::Change)
    }

    fn failed(&self, cx: &Cx<'_>, key: &Key, message: &str) -> Result<Next, ApiError> {
        if !self.provider.sees_bootstrap {
            // The server is there; nobody hears why no Node comes of it.
            return self.provisioned(cx, key);
        }
        let api = cx.cluster.api();
        let stamp = api.clock().stamp();
        api.modify(
            &self.resource,
            &key.namespace,
            &key.name,
            MANAGER,
            |object| {
                let state = State::no("BootstrapFailed", message);
                conditions::set(object, "BootstrapExecSucceeded", &state, &stamp);
                conditions::set(
                    object,
                    "Ready",
                    &State::no("NotReady", format!("* BootstrapExecSucceeded: {message}")),
                    &stamp,
                );
            },
        )?;
        Ok(Next::Change)
    }
}

/// What kubeadm says when etcd does not let a new member in.
const NO_ETCD: &str = "failed to run cloud config: [/bin/sh -c kubeadm join --config /run/kubeadm/kubeadm-join-config.yaml] exited with code 1: error execution phase control-plane-join/etcd: error creating local etcd static pod manifest file: timeout waiting for etcd cluster to be available";

fn workload_of(simulation: &Simulation, owner: &Value) -> Option<Cluster> {
    let (namespace, name) = (crate::object::namespace(owner), crate::object::name(owner));
    simulation.cluster(&access::workload_name(namespace, name))
}

fn workload_address(cx: &Cx<'_>, key: &Key) -> String {
    let owner = cx.cluster.api().get(&MACHINES, &key.namespace, &key.name);
    let owner = owner.and_then(|machine| owner_cluster(cx.cluster, &machine));
    let workload = owner.and_then(|owner| workload_of(cx.simulation, &owner));
    workload
        .and_then(|workload| workload.machines().address(&key.name))
        .unwrap_or_default()
}

/// kubeadm init for the first control-plane machine, kubeadm join for all others.
fn bootstrap(
    cx: &Cx<'_>,
    provider: &Provider,
    owner: &Value,
    machine: &Value,
    object: &Value,
) -> Result<(), ApiError> {
    let (namespace, name) = (crate::object::namespace(owner), crate::object::name(owner));
    let config = access::referred(
        cx.cluster,
        namespace,
        &machine["spec"]["bootstrap"]["configRef"],
    );
    let config = config
        .map(|config| config["spec"].clone())
        .unwrap_or_default();
    let plane = label(machine, CONTROL_PLANE_LABEL).is_some();
    let workload = workload_of(cx.simulation, owner);
    let mut node = node(machine, object, &config, plane, workload.is_none());
    node.provider_id = provider.identify(object);
    if let Some(workload) = workload {
        return kubeadm::join(&workload, &node);
    }
    let workload = cx.simulation.add_cluster(
        &access::workload_name(namespace, name),
        crate::controllers::all(),
    );
    let first = |part: &str, default: &str| {
        let pointer = format!("/spec/clusterNetwork/{part}/cidrBlocks/0");
        match text(owner, &pointer) {
            "" => default.to_owned(),
            block => block.to_owned(),
        }
    };
    let mut init = Init::new(node);
    name.clone_into(&mut init.cluster_name);
    init.pod_cidr = first("pods", &init.pod_cidr);
    init.service_cidr = first("services", &init.service_cidr);
    match text(owner, "/spec/clusterNetwork/serviceDomain") {
        "" => {}
        domain => domain.clone_into(&mut init.service_domain),
    }
    let host = text(owner, "/spec/controlPlaneEndpoint/host");
    init.control_plane_endpoint = format!("{host}:6443");
    let dns = &config["clusterConfiguration"]["dns"];
    text(dns, "/imageTag").clone_into(&mut init.dns_image_tag);
    text(dns, "/imageRepository").clone_into(&mut init.dns_image_repository);
    workload.set_version(&init.kubernetes_version);
    kubeadm::init(&workload, &init)
}

/// The machine as kubeadm finds it.
fn node(machine: &Value, object: &Value, config: &Value, plane: bool, first: bool) -> NodeSpec {
    let role = if plane {
        Role::ControlPlane
    } else {
        Role::Worker
    };
    let name = crate::object::name(machine);
    let mut node = NodeSpec::new(name, role, text(machine, "/spec/version"));
    let part = if first {
        "initConfiguration"
    } else {
        "joinConfiguration"
    };
    let registration = &config[part]["nodeRegistration"];
    if let Some(taints) = registration["taints"].as_array() {
        node.taints = Some(taints.clone());
    }
    let flags = kubelet::arguments(&registration["kubeletExtraArgs"]);
    node.external_cloud = flags
        .get("cloud-provider")
        .is_some_and(|to| to == "external");
    for label in flags
        .get("node-labels")
        .map(String::as_str)
        .unwrap_or_default()
        .split(',')
    {
        if let Some((key, value)) = label.split_once('=') {
            node.labels.insert(key.to_owned(), value.to_owned());
        }
    }
    // Labels of these domains a Machine hands on to its Node.
    for (key, value) in machine["metadata"]["labels"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let domain = key.split('/').next().unwrap_or_default();
        let handed_on = domain.ends_with("node-role.kubernetes.io")
            || domain.ends_with("node-restriction.kubernetes.io")
            || domain.ends_with("node.cluster.x-k8s.io");
        if handed_on && !key.ends_with("control-plane") {
            node.labels
                .insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
        }
    }
    let settings = &config["clusterConfiguration"];
    for (component, field) in [
        ("kube-apiserver", "apiServer"),
        ("kube-controller-manager", "controllerManager"),
        ("kube-scheduler", "scheduler"),
    ] {
        node.extra_args.insert(
            component.to_owned(),
            kubelet::arguments(&settings[field]["extraArgs"]),
        );
    }
    node.extra_args.insert(
        "etcd".to_owned(),
        kubelet::arguments(&settings["etcd"]["local"]["extraArgs"]),
    );
    text(settings, "/etcd/local/imageTag").clone_into(&mut node.etcd_image_tag);
    let repository = text(settings, "/imageRepository");
    if !repository.is_empty() {
        repository.clone_into(&mut node.image_repository);
    }
    node.images = images(object);
    node
}

/// What is preloaded beside what the node image holds.
fn images(object: &Value) -> BTreeSet<String> {
    let loaded = list(object, "/spec/preLoadImages");
    loaded
        .iter()
        .filter_map(|image| image.as_str().map(str::to_owned))
        .collect()
}
