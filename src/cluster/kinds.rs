//! The kinds that the gate watches, each in the version in which its fields are read.

use super::Kind;

/// Cluster API's core, from 1.11 on.
const CORE: &str = "cluster.x-k8s.io";
/// The Cluster Stack Operator's.
const STACKS: &str = "clusterstack.x-k8s.io";
/// The version whose fields and conditions are read, whatever version a stack writes.
const VERSION: &str = "v1beta2";

/// `Cluster`.
pub const CLUSTER: Kind = Kind::new(CORE, VERSION, "Cluster", "clusters");
/// `Machine`.
pub const MACHINE: Kind = Kind::new(CORE, VERSION, "Machine", "machines");
/// `MachineDeployment`.
pub const MACHINE_DEPLOYMENT: Kind =
    Kind::new(CORE, VERSION, "MachineDeployment", "machinedeployments");
/// `KubeadmControlPlane`.
pub const KUBEADM_CONTROL_PLANE: Kind = Kind::new(
    "controlplane.cluster.x-k8s.io",
    VERSION,
    "KubeadmControlPlane",
    "kubeadmcontrolplanes",
);
/// `ClusterClass`.
pub const CLUSTER_CLASS: Kind = Kind::new(CORE, VERSION, "ClusterClass", "clusterclasses");
/// `Secret`; watched for a moment in the run's own namespace, and recorded without its values.
pub const SECRET: Kind = Kind::new("", "v1", "Secret", "secrets");
/// `Namespace`.
pub const NAMESPACE: Kind = Kind::new("", "v1", "Namespace", "namespaces");
/// `Node`.
pub const NODE: Kind = Kind::new("", "v1", "Node", "nodes");
/// `Pod`.
pub const POD: Kind = Kind::new("", "v1", "Pod", "pods");
/// `EndpointSlice`.
pub const ENDPOINT_SLICE: Kind =
    Kind::new("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
/// `Deployment`.
pub const DEPLOYMENT: Kind = Kind::new("apps", "v1", "Deployment", "deployments");
/// `DaemonSet`.
pub const DAEMON_SET: Kind = Kind::new("apps", "v1", "DaemonSet", "daemonsets");
/// `StatefulSet`.
pub const STATEFUL_SET: Kind = Kind::new("apps", "v1", "StatefulSet", "statefulsets");
/// `PodDisruptionBudget`.
pub const POD_DISRUPTION_BUDGET: Kind = Kind::new(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
);
/// `CustomResourceDefinition`.
pub const CUSTOM_RESOURCE_DEFINITION: Kind = Kind::new(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
);

/// `ClusterStack`.
pub const CLUSTER_STACK: Kind = Kind::new(STACKS, "v1alpha1", "ClusterStack", "clusterstacks");
/// `ClusterStackRelease`.
pub const CLUSTER_STACK_RELEASE: Kind = Kind::new(
    STACKS,
    "v1alpha1",
    "ClusterStackRelease",
    "clusterstackreleases",
);
/// `ClusterAddon`.
pub const CLUSTER_ADDON: Kind = Kind::new(STACKS, "v1alpha1", "ClusterAddon", "clusteraddons");

/// Label that Cluster API puts on everything that belongs to a Cluster.
pub const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// The label by which Cluster API tells the control plane's Machines.
pub const CONTROL_PLANE: &str = "cluster.x-k8s.io/control-plane";
/// Annotation of a Cluster whose lifecycle hooks have not all been answered.
pub const PENDING_HOOKS: &str = "runtime.cluster.x-k8s.io/pending-hooks";
