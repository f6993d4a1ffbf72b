//! The kinds of Cluster API: which resources it brings, in which versions.

use std::borrow::Cow;

use super::provider::Provider;
use crate::resource::{GroupResource, Resource};

/// Core group.
pub const CORE: &str = "cluster.x-k8s.io";
/// Group of kubeadm bootstrap.
pub const BOOTSTRAP: &str = "bootstrap.cluster.x-k8s.io";
/// Group of kubeadm control planes.
pub const CONTROL_PLANE: &str = "controlplane.cluster.x-k8s.io";
/// Group of infrastructure providers.
pub const INFRASTRUCTURE: &str = "infrastructure.cluster.x-k8s.io";
/// Group of runtime extensions.
pub const RUNTIME: &str = "runtime.cluster.x-k8s.io";
/// The version in which objects are stored, and whose fields the controllers read.
pub const STORED: &str = "v1beta2";
/// The older version, served too.
pub const OLDER: &str = "v1beta1";

/// `clusters`
pub const CLUSTERS: GroupResource = GroupResource::new(CORE, "clusters");
/// `clusterclasses`
pub const CLUSTER_CLASSES: GroupResource = GroupResource::new(CORE, "clusterclasses");
/// `machines`
pub const MACHINES: GroupResource = GroupResource::new(CORE, "machines");
/// `machinesets`
pub const MACHINE_SETS: GroupResource = GroupResource::new(CORE, "machinesets");
/// `machinedeployments`
pub const MACHINE_DEPLOYMENTS: GroupResource = GroupResource::new(CORE, "machinedeployments");
/// `kubeadmcontrolplanes`
pub const CONTROL_PLANES: GroupResource = GroupResource::new(CONTROL_PLANE, "kubeadmcontrolplanes");
/// `kubeadmconfigs`
pub const CONFIGS: GroupResource = GroupResource::new(BOOTSTRAP, "kubeadmconfigs");
/// `kubeadmconfigtemplates`
pub const CONFIG_TEMPLATES: GroupResource = GroupResource::new(BOOTSTRAP, "kubeadmconfigtemplates");

/// Label with the Cluster's name.
pub const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";
/// Label of what a topology made.
pub const OWNED: &str = "topology.cluster.x-k8s.io/owned";
/// Label with the name of a MachineDeployment in the topology.
pub const TOPOLOGY_DEPLOYMENT: &str = "topology.cluster.x-k8s.io/deployment-name";
/// Label with the name of a Machine's MachineDeployment.
pub const DEPLOYMENT_NAME: &str = "cluster.x-k8s.io/deployment-name";
/// Label with the name of a Machine's MachineSet.
pub const SET_NAME: &str = "cluster.x-k8s.io/set-name";
/// Label of control-plane Machines.
pub const CONTROL_PLANE_LABEL: &str = "cluster.x-k8s.io/control-plane";
/// Label that tells Machines of one template from those of another.
pub const TEMPLATE_HASH: &str = "machine-template-hash";
/// Annotation of a Cluster with the hooks that are still to be called.
pub const PENDING_HOOKS: &str = "runtime.cluster.x-k8s.io/pending-hooks";

struct Line {
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
}

const fn line(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    short: &'static [&'static str],
    status: bool,
) -> Line {
    Line {
        group,
        plural,
        singular,
        kind,
        short,
        namespaced: true,
        status,
    }
}

#[rustfmt::skip]
const TABLE: &[Line] = &[
    line(CORE, "clusters", "cluster", "Cluster", &["cl"], true),
    line(CORE, "clusterclasses", "clusterclass", "ClusterClass", &["cc"], true),
    line(CORE, "machines", "machine", "Machine", &["ma"], true),
    line(CORE, "machinesets", "machineset", "MachineSet", &["ms"], true),
    line(CORE, "machinedeployments", "machinedeployment", "MachineDeployment", &["md"], true),
    line(CORE, "machinepools", "machinepool", "MachinePool", &["mp"], true),
    line(CORE, "machinehealthchecks", "machinehealthcheck", "MachineHealthCheck", &["mhc"], true),
    line(CORE, "machinedrainrules", "machinedrainrule", "MachineDrainRule", &[], false),
    line(BOOTSTRAP, "kubeadmconfigs", "kubeadmconfig", "KubeadmConfig", &[], true),
    line(BOOTSTRAP, "kubeadmconfigtemplates", "kubeadmconfigtemplate", "KubeadmConfigTemplate", &[], false),
    line(CONTROL_PLANE, "kubeadmcontrolplanes", "kubeadmcontrolplane", "KubeadmControlPlane", &["kcp"], true),
    line(CONTROL_PLANE, "kubeadmcontrolplanetemplates", "kubeadmcontrolplanetemplate", "KubeadmControlPlaneTemplate", &[], false),
    line("addons.cluster.x-k8s.io", "clusterresourcesets", "clusterresourceset", "ClusterResourceSet", &[], true),
    Line { namespaced: false, ..line(RUNTIME, "extensionconfigs", "extensionconfig", "ExtensionConfig", &["ext"], true) },
];

/// The kinds of core, bootstrap, control plane and runtime.
#[must_use]
pub fn resources() -> Vec<Resource> {
    let of_table = TABLE.iter().map(|line| {
        let mut resource = resource(
            line.group,
            line.plural,
            line.singular,
            line.kind,
            line.status,
        );
        resource.short_names = line.short.iter().copied().map(Cow::Borrowed).collect();
        resource.namespaced = line.namespaced;
        resource
    });
    of_table.collect()
}

/// The kinds of an infrastructure provider: a Cluster, a Machine, and the templates of both.
#[must_use]
pub fn infrastructure(provider: &Provider) -> Vec<Resource> {
    [
        ("Cluster", true),
        ("ClusterTemplate", false),
        ("Machine", true),
        ("MachineTemplate", false),
    ]
    .into_iter()
    .map(|(suffix, status)| {
        let kind = format!("{}{suffix}", provider.prefix);
        let singular = kind.to_lowercase();
        let plural = format!("{singular}s");
        let mut resource = resource(INFRASTRUCTURE, "", "", "", status);
        resource.id = GroupResource::named(INFRASTRUCTURE, &plural);
        resource.versions = provider
            .versions
            .iter()
            .copied()
            .map(Cow::Borrowed)
            .collect();
        resource.storage = Cow::Borrowed(provider.versions[0]);
        resource.kind = Cow::Owned(kind);
        resource.singular = Cow::Owned(singular);
        resource
    })
    .collect()
}

/// The infrastructure kind of a provider that ends so, e.g. `machines`.
#[must_use]
pub fn infrastructure_kind(provider: &Provider, plural: &str) -> GroupResource {
    let plural = format!("{}{plural}", provider.prefix.to_lowercase());
    GroupResource::named(INFRASTRUCTURE, &plural)
}

fn resource(
    group: &'static str,
    plural: &'static str,
    singular: &'static str,
    kind: &'static str,
    status: bool,
) -> Resource {
    Resource {
        id: GroupResource::new(group, plural),
        versions: vec![Cow::Borrowed(STORED), Cow::Borrowed(OLDER)],
        storage: Cow::Borrowed(STORED),
        kind: Cow::Borrowed(kind),
        singular: Cow::Borrowed(singular),
        short_names: Vec::new(),
        categories: vec![Cow::Borrowed("cluster-api")],
        namespaced: true,
        status,
        generation: true,
    }
}
