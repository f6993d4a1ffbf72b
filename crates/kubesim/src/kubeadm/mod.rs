//! What kubeadm does to a cluster: bring up the first node, join others, move what belongs to the
//! cluster as a whole to another version.

mod addons;
mod config;
mod static_pods;
pub mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::fault::Fault;
use crate::kubelet::machine::{Machine, Subnets};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{DAEMON_SETS, DEPLOYMENTS, LEASES, NODES};

pub use crate::kubelet::machine::Role;

/// Who writes, in managed fields.
const MANAGER: &str = "kubeadm";
/// The taint of a Node that a cloud's controller has not looked at.
pub(crate) const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";
/// The label of control-plane nodes, and the taint of the same key.
pub const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// A machine that becomes a node.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// The node's name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Version of its kubelet, and of the static pods of a control-plane node, e.g. `v1.35.0`.
    pub kubernetes_version: String,
    /// `spec.providerID`; empty for none.
    pub provider_id: String,
    /// Whether its kubelet leaves the Node to a cloud's controller (`--cloud-provider=external`): until that
    /// has looked at it, the Node has a taint and no `spec.providerID`.
    pub external_cloud: bool,
    /// Labels besides those that kubelet and kubeadm set.
    pub labels: BTreeMap<String, String>,
    /// Taints, in the API's form; none for kubeadm's own (that of a control plane, nothing else).
    pub taints: Option<Vec<Value>>,
    /// Images that are on the machine already.
    pub images: BTreeSet<String>,
    /// KubeletConfiguration; of it, `maxPods` is heeded.
    pub kubelet: Value,
    /// The container runtime as `nodeInfo` tells it.
    pub container_runtime: String,
    /// Address on the machines' network; empty for the next free one.
    pub address: String,
    /// Number of CPUs, as a quantity.
    pub cpu: String,
    /// Memory, as a quantity.
    pub memory: String,
    /// Flags of control-plane components besides kubeadm's, by component (`etcd`, `kube-apiserver`,
    /// `kube-controller-manager`, `kube-scheduler`) and name without dashes.
    pub extra_args: BTreeMap<String, BTreeMap<String, String>>,
    /// Tag of etcd's image; empty for the one that kubeadm brings.
    pub etcd_image_tag: String,
    /// Where control-plane images come from.
    pub image_repository: String,
}

impl NodeSpec {
    /// A machine without anything special.
    #[must_use]
    pub fn new(name: &str, role: Role, kubernetes_version: &str) -> Self {
        Self {
            name: name.to_owned(),
            role,
            kubernetes_version: kubernetes_version.to_owned(),
            provider_id: String::new(),
            external_cloud: false,
            labels: BTreeMap::new(),
            taints: None,
            images: BTreeSet::new(),
            kubelet: Value::Null,
            container_runtime: "containerd://2.2.0".to_owned(),
            address: String::new(),
            cpu: "8".to_owned(),
            memory: "32Gi".to_owned(),
            extra_args: BTreeMap::new(),
            etcd_image_tag: String::new(),
            image_repository: versions::REPOSITORY.to_owned(),
        }
    }
}

/// What `kubeadm init` is told.
#[derive(Clone, Debug)]
pub struct Init {
    /// The first node; its role is to be [`Role::ControlPlane`].
    pub node: NodeSpec,
    /// `clusterName`.
    pub cluster_name: String,
    /// Version of the control plane, e.g. `v1.35.0`.
    pub kubernetes_version: String,
    /// `networking.podSubnet`.
    pub pod_cidr: String,
    /// `networking.serviceSubnet`.
    pub service_cidr: String,
    /// `networking.dnsDomain`.
    pub service_domain: String,
    /// `controlPlaneEndpoint`, host and port; empty for the first node's address.
    pub control_plane_endpoint: String,
    /// `dns.imageTag`; empty for the one that kubeadm brings.
    pub dns_image_tag: String,
    /// `dns.imageRepository`; empty for kubeadm's.
    pub dns_image_repository: String,
    /// Do without kube-proxy (`skipPhases: [addon/kube-proxy]`).
    pub skip_kube_proxy: bool,
    /// Do without CoreDNS (`skipPhases: [addon/coredns]`).
    pub skip_core_dns: bool,
}

impl Init {
    /// kubeadm's defaults.
    #[must_use]
    pub fn new(node: NodeSpec) -> Self {
        let subnets = Subnets::default();
        Self {
            kubernetes_version: node.kubernetes_version.clone(),
            node,
            cluster_name: "kubernetes".to_owned(),
            pod_cidr: subnets.pods,
            service_cidr: subnets.services,
            service_domain: subnets.domain,
            control_plane_endpoint: String::new(),
            dns_image_tag: String::new(),
            dns_image_repository: String::new(),
            skip_kube_proxy: false,
            skip_core_dns: false,
        }
    }
}

/// What moves with the cluster as a whole to another version: `KubeadmControlPlane` does so after its
/// last Machine, `kubeadm upgrade apply` with the first node.
#[derive(Clone, Debug)]
pub struct SystemUpgrade {
    /// The new version, for kube-proxy and the cluster's configuration.
    pub kubernetes_version: String,
    /// Tag of CoreDNS; empty to leave it alone.
    pub dns_image_tag: String,
    /// Repository of CoreDNS; empty to leave it alone.
    pub dns_image_repository: String,
}

/// `kubeadm init`: the first node with its static pods, and what belongs to the cluster as a whole.
/// The Node is there at once; it becomes Ready when its kubelet and a CNI say so.
///
/// # Errors
/// When the node exists already, or the API refuses an object.
pub fn init(cluster: &Cluster, init: &Init) -> Result<(), ApiError> {
    cluster.server().set_version(&init.kubernetes_version);
    cluster.machines().set_subnets(Subnets {
        pods: init.pod_cidr.clone(),
        services: init.service_cidr.clone(),
        domain: init.service_domain.clone(),
    });
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        create(cluster, config::namespace(namespace))?;
    }
    for object in config::rbac() {
        create(cluster, object)?;
    }
    create(cluster, addons::kubernetes_service(init))?;
    join(cluster, &init.node)?;
    let address = cluster
        .machines()
        .address(&init.node.name)
        .unwrap_or_default();
    for object in config::maps(init, &address) {
        create(cluster, object)?;
    }
    if !init.skip_core_dns {
        for object in addons::core_dns(init) {
            create(cluster, object)?;
        }
    }
    if !init.skip_kube_proxy {
        for object in addons::kube_proxy(init, &address) {
            create(cluster, object)?;
        }
    }
    Ok(())
}

/// `kubeadm join`: a machine's kubelet begins to run and registers its Node, whose name must be free;
/// a control-plane machine also runs the static pods, at the machine's version.
///
/// # Errors
/// When the node exists already.
pub fn join(cluster: &Cluster, spec: &NodeSpec) -> Result<(), ApiError> {
    if cluster.machines().has(&spec.name) {
        return Err(ApiError::already_exists(&NODES, &spec.name));
    }
    let address = cluster.machines().join(spec);
    let manifests = match spec.role {
        Role::ControlPlane => {
            cluster.machines().etcd_joins(&spec.name);
            static_pods::manifests(spec, &address, &cluster.machines().subnets())
        }
        Role::Worker => BTreeMap::new(),
    };
    cluster.machines().set_static_pods(&spec.name, manifests);
    let mut node = node(cluster, spec);
    let lost = cluster
        .machines()
        .came_with(&spec.name, Fault::NodeLosesLabels);
    if lost {
        cluster.machines().note(Fault::NodeLosesLabels);
    }
    if !lost {
        for (key, value) in &spec.labels {
            node["metadata"]["labels"][key] = json!(value);
        }
    }
    if spec.kubelet.is_object() {
        let server = cluster.server();
        server.set_kubelet_configuration(Some(&spec.name), spec.kubelet.clone());
    }
    let created = cluster.api().create(&NODES, node, &Write::by("kubelet"));
    if created.is_err() {
        cluster.machines().leave(&spec.name);
    }
    created.map(drop)
}

/// A machine goes: its kubelet stops, its Node and Lease are deleted. Its pods are left to the pod
/// garbage collection.
///
/// # Errors
/// Those of the API; that the Node is gone already is none.
pub fn leave(cluster: &Cluster, name: &str) -> Result<(), ApiError> {
    cluster.machines().leave(name);
    let gone = |result: Result<_, ApiError>| match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    };
    let deletion = Deletion::default();
    gone(cluster.api().delete(&NODES, "", name, &deletion))?;
    gone(
        cluster
            .api()
            .delete(&LEASES, "kube-node-lease", name, &deletion),
    )
}

/// Moves kube-proxy and the cluster's configuration to a version, and CoreDNS when asked.
///
/// # Errors
/// Those of the API; that kube-proxy or CoreDNS is not there is none.
pub fn upgrade_system(cluster: &Cluster, upgrade: &SystemUpgrade) -> Result<(), ApiError> {
    cluster.server().set_version(&upgrade.kubernetes_version);
    config::move_to(cluster, upgrade)?;
    let set_image = |id: &GroupResource, name: &str, change: &dyn Fn(&str) -> String| {
        let moved = cluster
            .api()
            .modify(id, "kube-system", name, MANAGER, |object| {
                let image = &mut object["spec"]["template"]["spec"]["containers"][0]["image"];
                *image = json!(change(image.as_str().unwrap_or_default()));
            });
        match moved {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
        }
    };
    let tag = versions::tag(&upgrade.kubernetes_version);
    set_image(&DAEMON_SETS, "kube-proxy", &|image| {
        versions::retagged(image, &tag)
    })?;
    if upgrade.dns_image_tag.is_empty() && upgrade.dns_image_repository.is_empty() {
        return Ok(());
    }
    set_image(&DEPLOYMENTS, "coredns", &|image| {
        let image = match upgrade.dns_image_repository.as_str() {
            "" => image.to_owned(),
            repository => format!("{repository}/coredns:{}", versions::tag_of(image)),
        };
        match upgrade.dns_image_tag.as_str() {
            "" => image,
            tag => versions::retagged(&image, tag),
        }
    })
}

/// Creates an object of a built-in kind; one that is there already stays as it is.
fn create(cluster: &Cluster, object: Value) -> Result<(), ApiError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let resource = cluster
        .api()
        .catalogue()
        .of_kind(text("apiVersion"), text("kind"))
        .ok_or_else(ApiError::no_such_path)?;
    match cluster
        .api()
        .create(&resource.id, object, &Write::by(MANAGER))
    {
        Err(error) if error.reason == "AlreadyExists" => Ok(()),
        other => other.map(drop),
    }
}

/// The Node as its kubelet registers it.
fn node(cluster: &Cluster, spec: &NodeSpec) -> Value {
    let mut labels = json!({
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
    });
    let mut taints = Vec::new();
    if spec.role == Role::ControlPlane {
        labels[CONTROL_PLANE] = json!("");
        labels["node.kubernetes.io/exclude-from-external-load-balancers"] = json!("");
        taints.push(json!({"key": CONTROL_PLANE, "effect": "NoSchedule"}));
    }
    if let Some(own) = &spec.taints {
        taints.clone_from(own);
    }
    if spec.external_cloud {
        taints.push(json!({"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}));
    }
    taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
    let mut node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": spec.name, "labels": labels,
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": {"taints": taints},
        "status": crate::kubelet::node::first_status(cluster, &spec.name),
    });
    if !spec.provider_id.is_empty() && !spec.external_cloud {
        node["spec"]["providerID"] = json!(spec.provider_id);
    }
    node
}

impl crate::kubelet::machine::Machines {
    /// Registers a machine; its address.
    fn join(&self, spec: &NodeSpec) -> String {
        let mut state = self.state();
        state.joined += 1;
        let address = if spec.address.is_empty() {
            // The Docker network of kind; .1 is its gateway, .2 kind's load balancer's.
            format!("172.18.{}.{}", state.joined / 250, state.joined % 250 + 2)
        } else {
            spec.address.clone()
        };
        let mut faults: BTreeSet<Fault> = Fault::ALL
            .iter()
            .copied()
            .filter(|fault| self.suffer(*fault))
            .collect();
        if spec.role == Role::ControlPlane {
            faults.remove(&Fault::WorkerNeverReady);
        }
        // Only a node that takes another's place can lose what that one had.
        if !state.left
            && !state
                .machines
                .values()
                .any(|other| other.version != spec.kubernetes_version)
        {
            faults.remove(&Fault::NodeLosesLabels);
        }
        if faults.contains(&Fault::WorkerNeverReady) {
            self.note(Fault::WorkerNeverReady);
        }
        let machine = Machine {
            address: address.clone(),
            version: spec.kubernetes_version.clone(),
            runtime: spec.container_runtime.clone(),
            images: spec.images.clone(),
            static_pods: BTreeMap::new(),
            max_pods: spec.kubelet["maxPods"].as_i64().unwrap_or(110),
            cpu: spec.cpu.clone(),
            memory: spec.memory.clone(),
            cloud_id: spec.provider_id.clone(),
            cni: false,
            enforces: None,
            enforcing: false,
            agent: None,
            running: true,
            faults,
            pods: String::new(),
            pulls: BTreeMap::new(),
            given_out: 0,
            number: state.joined,
        };
        state.add(&spec.name, machine);
        address
    }

    fn leave(&self, name: &str) {
        let mut state = self.state();
        state.left |= state.remove(name);
        state.pods.retain(|_, pod| pod.node != name);
        state.etcd.remove(name);
    }

    fn set_static_pods(&self, name: &str, manifests: BTreeMap<String, Value>) {
        if let Some(machine) = self.state().machines.get_mut(name) {
            machine.static_pods = manifests;
        }
    }

    pub(crate) fn came_with(&self, name: &str, fault: Fault) -> bool {
        let state = self.state();
        state
            .machines
            .get(name)
            .is_some_and(|machine| machine.faults.contains(&fault))
    }

    /// A machine's address.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<String> {
        let state = self.state();
        state
            .machines
            .get(name)
            .map(|machine| machine.address.clone())
    }
}
