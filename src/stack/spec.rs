//! The form of `stack.yaml`: one stack under test, its pair of releases and how to test them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::operator::{OperatorSpec, ProviderTemplate};
use super::probes::Probes;
use super::values::{
    Cidr, Day, ImageReference, Label, Pattern, ReleaseTag, Subdomain, Timeout, Version,
    VersionRange,
};

/// A stack under test: which pair of releases is tested, on which cluster, and how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(title = "StackUnderTest")]
pub struct StackFile {
    pub api_version: FileVersion,
    pub kind: FileKind,
    pub metadata: Metadata,
    pub spec: Spec,
}

/// Version of this file's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FileVersion {
    #[serde(rename = "stackgate/v1alpha1")]
    V1Alpha1,
}

/// Kind of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum FileKind {
    StackUnderTest,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// Name of the stack under test; Clusters are named after it, with a suffix of ten characters.
    pub name: Label,
    /// The scenario that this file was made for, where `run --scenario` made it.
    #[serde(default)]
    pub scenario: Option<Label>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    pub releases: Releases,
    #[serde(default)]
    pub delivery: Delivery,
    /// What delivery `operator` needs on real clusters; simulated ones have an operator of their own.
    #[serde(default)]
    pub operator: Option<OperatorSpec>,
    /// With delivery `operator`, where node images come from a provider of their own: the template that ClusterStacks
    /// refer to (`providerRef`). Without it they say `noProvider`.
    #[serde(default)]
    pub provider_template: Option<ProviderTemplate>,
    pub cluster: ClusterSpec,
    /// Node image of each Kubernetes version of the pair; the releases name the same images.
    pub node_images: BTreeMap<Version, ImageReference>,
    pub management: Management,
    /// Other images that the clusters need, such as load balancer and addons; checked before anything is created.
    #[serde(default)]
    pub images: Vec<ImageReference>,
    /// Names of the suites to run before and after the upgrade.
    #[serde(default = "default_suites")]
    pub suites: Vec<Label>,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub upgrade: Upgrade,
    #[serde(default)]
    pub probes: Probes,
    /// Failures that do not close the gate, each with its reason.
    #[serde(default)]
    pub accepted: Vec<Accepted>,
    /// A file with more of them in the form of the SCS tests (`okToFail`), relative to the stack's
    /// folder: expressions that match a check's id or title, or the name of a conformance test.
    #[serde(default)]
    pub ok_to_fail: Option<String>,
}

fn default_suites() -> Vec<Label> {
    let names = ["health", "upgrade"].into_iter();
    names.filter_map(|name| name.parse().ok()).collect()
}

/// The pair of releases: N and N+1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Releases {
    /// Folder, relative to this file, that holds `cluster-stacks/<tag>/` as the Cluster Stack Operator's release directory does.
    #[serde(default = "default_directory")]
    pub directory: String,
    /// Where the releases come from when they do not lie in that folder.
    #[serde(default)]
    pub source: Option<ReleaseSource>,
    /// A release before N, of which the cluster is created; it is moved to N before anything is checked.
    #[serde(default)]
    pub start: Option<StartRelease>,
    /// Release N, from which the upgrade starts.
    pub from: ReleaseTag,
    /// Release N+1, to which it leads.
    pub to: ReleaseTag,
}

/// The release of which the cluster is created, where that is not N.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartRelease {
    pub release: ReleaseTag,
    /// Whether no cluster comes to be whole with it: N has to mend that.
    #[serde(default)]
    pub broken: bool,
}

/// What must come of the upgrade, beside that it arrives.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upgrade {
    #[serde(default)]
    pub machines: Machines,
    #[serde(default)]
    pub hooks: Hooks,
    /// What happens to the clusters in the middle of it, and must not keep it from arriving.
    #[serde(default)]
    pub disturbance: Option<Disturbance>,
}

/// What happens in the middle of an upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Disturbance {
    /// The Cluster Stack Operator is restarted while it applies the addons, and the hook waits for it.
    OperatorRestartedAtAddons,
    /// The Cluster Stack Operator is restarted while Machines are replaced.
    OperatorRestartedAtMachines,
    /// The kubelet of a worker stops while Machines are replaced: its Node is not Ready any more.
    WorkerUnready,
}

impl Disturbance {
    /// The name, as it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OperatorRestartedAtAddons => "operatorRestartedAtAddons",
            Self::OperatorRestartedAtMachines => "operatorRestartedAtMachines",
            Self::WorkerUnready => "workerUnready",
        }
    }
}

/// What must become of the cluster's Machines in the upgrade.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Machines {
    /// Whatever the upgrade needs.
    #[default]
    Any,
    /// Each is there after it: nothing was a reason to replace one.
    Kept,
    /// None is there after it.
    Replaced,
}

/// Whether Cluster API may call its hooks, which it does for another version of Kubernetes alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Hooks {
    /// Whatever the upgrade needs.
    #[default]
    Any,
    /// None: the upgrade is no reason to.
    Uncalled,
}

/// Where releases come from.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ReleaseSource {
    /// An OCI registry, with the credentials that Docker has for it; tags are the releases' own.
    #[serde(rename_all = "camelCase")]
    Oci {
        /// Host and path, e.g. `registry.example.org/kaas/cluster-stacks`.
        repository: String,
        /// Digests of manifests by tag; a tag that stands for another is refused.
        #[serde(default)]
        pinned: BTreeMap<ReleaseTag, String>,
    },
    /// Checkouts of the stack's sources, of which the releases are built.
    #[serde(rename_all = "camelCase")]
    Checkout {
        /// Sources of release N, relative to this file.
        from: String,
        /// Sources of release N+1, relative to this file.
        to: String,
    },
    /// Archives (`.tar.gz`) that hold a release's folder each.
    #[serde(rename_all = "camelCase")]
    Archive {
        /// That of release N, relative to this file.
        from: String,
        /// That of release N+1, relative to this file.
        to: String,
    },
}

fn default_directory() -> String {
    "releases".to_owned()
}

/// How a release reaches the management cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// stackgate renders the charts and applies them.
    #[default]
    Direct,
    /// The Cluster Stack Operator does; on real clusters that of `operator`.
    Operator,
}

impl Delivery {
    /// The name, as it is written and reported.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Operator => "operator",
        }
    }
}

/// The Cluster that is created from release N and upgraded to N+1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// Which shape of the Cluster object is written.
    #[serde(default)]
    pub api_version: ClusterApiVersion,
    #[serde(default)]
    pub network: Network,
    #[serde(default)]
    pub control_plane: ControlPlane,
    /// MachineDeployments of the topology.
    #[serde(default)]
    pub workers: Vec<Worker>,
    /// Variables of the topology, by name; the classes of both releases must define them.
    #[serde(default)]
    pub variables: BTreeMap<String, serde_json::Value>,
}

/// API version of the Cluster object that is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum ClusterApiVersion {
    /// Class in `topology.class`; served by Cluster API up to 1.15.
    #[serde(rename = "cluster.x-k8s.io/v1beta1")]
    V1Beta1,
    /// Class in `topology.classRef.name`; Cluster API 1.11 and later.
    #[default]
    #[serde(rename = "cluster.x-k8s.io/v1beta2")]
    V1Beta2,
}

impl ClusterApiVersion {
    /// The `apiVersion` to write.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1Beta1 => "cluster.x-k8s.io/v1beta1",
            Self::V1Beta2 => "cluster.x-k8s.io/v1beta2",
        }
    }
}

/// `clusterNetwork` of the Cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Network {
    /// Networks of the pods: one, or one per address family.
    #[serde(default = "default_pods")]
    pub pods: Vec<Cidr>,
    /// Networks of the Services: one, or one per address family.
    #[serde(default = "default_services")]
    pub services: Vec<Cidr>,
    #[serde(default = "default_service_domain")]
    pub service_domain: Subdomain,
}

fn default_pods() -> Vec<Cidr> {
    "10.244.0.0/16".parse().into_iter().collect()
}

fn default_services() -> Vec<Cidr> {
    "10.96.0.0/16".parse().into_iter().collect()
}

fn default_service_domain() -> Subdomain {
    Subdomain::cluster_local()
}

impl Default for Network {
    fn default() -> Self {
        Self {
            pods: default_pods(),
            services: default_services(),
            service_domain: default_service_domain(),
        }
    }
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ControlPlane {
    /// Control-plane Machines; odd, so that etcd keeps a majority.
    pub replicas: u16,
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self { replicas: 1 }
    }
}

/// One MachineDeployment of the topology.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Worker {
    /// Class of the MachineDeployment; the classes of both releases must have it.
    pub class: String,
    pub name: Label,
    pub replicas: u16,
}

/// The management cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Management {
    /// What it is made of; `--management` overrides it.
    #[serde(default)]
    pub mode: ManagementKind,
    /// File with kind's own Cluster, beside this file or in `kind-configs/`. Engine `kind` needs it, and no other.
    #[serde(default)]
    pub kind_config: Option<String>,
    /// Node image of the management cluster. Engine `kind` needs it, and no other.
    #[serde(default)]
    pub node_image: Option<ImageReference>,
    pub components: Components,
}

/// What a management cluster is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ManagementKind {
    /// A node made by kind: the reference, with a network, a kubelet and a scheduler.
    #[default]
    Kind,
    /// Containers of its programs alone, without nodes: quicker, for a developer's loop.
    Light,
}

/// What runs on the management cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Components {
    /// Version of Cluster API: core, kubeadm bootstrap and kubeadm control plane.
    pub cluster_api: Version,
    pub infrastructure: Infrastructure,
}

/// Infrastructure provider of Cluster API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Infrastructure {
    /// CAPD, of Cluster API's own version.
    Docker,
    /// CAPO: Machines are servers in OpenStack.
    #[serde(rename = "openstack")]
    OpenStack,
}

impl std::fmt::Display for Infrastructure {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Docker => "docker",
            Self::OpenStack => "openstack",
        })
    }
}

/// Deadlines of the phases, all multiplied by `--timeout-scale`. The defaults follow the
/// intervals of Cluster API's own end-to-end tests for Docker, named at each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Timeouts {
    /// Management cluster up and its controllers' webhooks answering: `wait-controllers` (4m) and one minute for the node.
    pub management: Timeout,
    /// Release applied and its ClusterClass accepted; Cluster API waits nowhere for this, seconds are usual.
    pub release: Timeout,
    /// Cluster created, all Machines Ready, addons rolled out: `wait-control-plane` (10m).
    pub create: Timeout,
    /// One round of all checks but the heavy ones, which add their own: `wait-worker-nodes` (5m).
    pub check: Timeout,
    /// From the patch of class and version to the end of the rollout: `wait-machine-upgrade` (20m).
    pub upgrade: Timeout,
    /// How long the finished state must stay as it is: shorter than `wait-resource-versions-remain-stable` (2m), since the checks run meanwhile.
    pub stable: Timeout,
    /// Clusters deleted and everything removed: `wait-delete-cluster` (3m).
    pub teardown: Timeout,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            management: Timeout::from_secs(5 * 60),
            release: Timeout::from_secs(2 * 60),
            create: Timeout::from_secs(10 * 60),
            check: Timeout::from_secs(5 * 60),
            upgrade: Timeout::from_secs(20 * 60),
            stable: Timeout::from_secs(15),
            teardown: Timeout::from_secs(3 * 60),
        }
    }
}

impl Timeouts {
    /// All deadlines times `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self {
            management: self.management.scaled(factor),
            release: self.release.scaled(factor),
            create: self.create.scaled(factor),
            check: self.check.scaled(factor),
            upgrade: self.upgrade.scaled(factor),
            stable: self.stable.scaled(factor),
            teardown: self.teardown.scaled(factor),
        }
    }
}

/// A failure that does not close the gate.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Accepted {
    /// Id of the check.
    pub check: String,
    /// Why it is accepted.
    pub reason: String,
    /// Only a failure whose message or evidence this matches; any without it.
    #[serde(default, rename = "match")]
    pub matches: Option<Pattern>,
    /// Last day on which it is accepted (YYYY-MM-DD); without it, for ever.
    #[serde(default)]
    pub expires: Option<Day>,
    /// Only with these versions of Kubernetes; with all without it.
    #[serde(default)]
    pub versions: Option<VersionRange>,
}
