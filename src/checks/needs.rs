//! What checks need of the workload cluster's API: told by `suites explain`, granted by the role of
//! `check --print-rbac`, and held to by `tests/embedded_check.rs`.

use std::fmt;

use crate::cluster::Kind;

/// Reads of a kind are a list and a watch.
const READ: &[&str] = &["list", "watch"];

/// One right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// To do something with a resource, in all namespaces.
    Resource {
        /// API group, empty for the core.
        group: &'static str,
        /// Plural name, with its subresource.
        resource: &'static str,
        /// What is done with it.
        verbs: &'static [&'static str],
    },
    /// To get a path that is no resource. Kubernetes gives these to everybody who is authenticated
    /// (`system:discovery`, `system:public-info-viewer`), so no role has to.
    Open(&'static str),
}

impl Need {
    const fn of(
        group: &'static str,
        resource: &'static str,
        verbs: &'static [&'static str],
    ) -> Self {
        Self::Resource {
            group,
            resource,
            verbs,
        }
    }

    const fn read(group: &'static str, resource: &'static str) -> Self {
        Self::of(group, resource, READ)
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn writes(&self) -> bool {
        let reading = ["get", "list", "watch"];
        match self {
            // Reviews are created, and stored nowhere.
            Self::Resource {
                group: "authorization.k8s.io",
                ..
            } => false,
            Self::Resource { verbs, .. } => verbs.iter().any(|verb| !reading.contains(verb)),
            Self::Open(_) => false,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resource {
                resource, verbs, ..
            } => write!(f, "{} {resource}", verbs.join(", ")),
            Self::Open(path) => write!(f, "get {path}"),
        }
    }
}

/// Rights that belong together.
pub type Needs = &'static [Need];

/// Reads Nodes.
pub const NODES: Needs = &[Need::read("", "nodes")];
/// Reads Pods.
pub const PODS: Needs = &[Need::read("", "pods")];
/// Reads Deployments.
pub const DEPLOYMENTS: Needs = &[Need::read("apps", "deployments")];
/// Reads DaemonSets.
pub const DAEMON_SETS: Needs = &[Need::read("apps", "daemonsets")];
/// Reads StatefulSets.
pub const STATEFUL_SETS: Needs = &[Need::read("apps", "statefulsets")];
/// Reads ReplicaSets.
pub const REPLICA_SETS: Needs = &[Need::read("apps", "replicasets")];
/// Reads Jobs.
pub const JOBS: Needs = &[Need::read("batch", "jobs")];
/// Reads Events.
pub const EVENTS: Needs = &[Need::read("", "events")];
/// Reads PersistentVolumeClaims.
pub const CLAIMS: Needs = &[Need::read("", "persistentvolumeclaims")];
/// Reads PersistentVolumes.
pub const VOLUMES: Needs = &[Need::read("", "persistentvolumes")];
/// Reads EndpointSlices.
pub const ENDPOINT_SLICES: Needs = &[Need::read("discovery.k8s.io", "endpointslices")];
/// Reads StorageClasses.
pub const STORAGE_CLASSES: Needs = &[Need::read("storage.k8s.io", "storageclasses")];
/// Asks kubelets how they are configured.
pub const KUBELETS: Needs = &[Need::of("", "nodes/proxy", &["get"])];
/// Sends requests to Pods by way of the API server.
pub const POD_PROXY: Needs = &[Need::of("", "pods/proxy", &["get"])];
/// Asks what somebody else may do.
pub const ASK_ACCESS: Needs = &[Need::of(
    "authorization.k8s.io",
    "subjectaccessreviews",
    &["create"],
)];
/// Asks the API server which version it is of.
pub const VERSION: Needs = &[Need::Open("/version")];
/// Asks the API server how it is.
pub const HEALTH: Needs = &[Need::Open("/livez"), Need::Open("/readyz")];
/// Works in a namespace of its own.
pub const SANDBOX: Needs = &[
    Need::of("", "namespaces", &["create", "delete"]),
    Need::of("", "serviceaccounts", &["create"]),
];
/// Runs Kubernetes' e2e tests, which may do everything.
pub const RUN_TESTS: Needs = &[
    Need::of("", "namespaces", &["list"]),
    Need::of(
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        &["create"],
    ),
    Need::of("rbac.authorization.k8s.io", "clusterroles", &["bind"]),
];
/// Gives its namespace another label.
pub const LABEL_SANDBOX: Needs = &[Need::of("", "namespaces", &["patch"])];
/// Creates Pods.
pub const CREATE_PODS: Needs = &[Need::of("", "pods", &["create"])];
/// Deletes Pods.
pub const DELETE_PODS: Needs = &[Need::of("", "pods", &["delete"])];
/// Reads what Pods wrote.
pub const POD_LOGS: Needs = &[Need::of("", "pods/log", &["get"])];
/// Creates PersistentVolumeClaims.
pub const CREATE_CLAIMS: Needs = &[Need::of("", "persistentvolumeclaims", &["create"])];
/// Creates NetworkPolicies, and takes them back.
pub const OWN_NETWORK_POLICIES: Needs = &[Need::of(
    "networking.k8s.io",
    "networkpolicies",
    &["create", "delete"],
)];

/// A right to read a kind that only a suite knows: group and plural name.
#[must_use]
pub fn reading(kind: &Kind) -> (String, String) {
    (kind.group.to_string(), kind.plural.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks;
    use crate::cluster::kinds;

    #[test]
    fn a_right_is_told_by_verb_and_resource() {
        assert_eq!(PODS[0].to_string(), "list, watch pods");
        assert_eq!(HEALTH[0].to_string(), "get /livez");
        assert!(!PODS[0].writes() && !HEALTH[0].writes() && !KUBELETS[0].writes());
        assert!(SANDBOX.iter().all(Need::writes));
    }

    #[test]
    fn every_check_says_what_it_needs() {
        // What lives on the management cluster alone needs nothing of the workload cluster.
        let silent = |native: &&checks::Native| native.needs.is_empty();
        let silent: Vec<&str> = checks::all()
            .iter()
            .filter(silent)
            .map(|one| one.name)
            .collect();
        assert_eq!(
            silent,
            ["addons-live", "machines-settled", "operator-guards"]
        );
        assert_eq!(
            reading(&kinds::DEPLOYMENT),
            ("apps".to_owned(), "deployments".to_owned())
        );
    }
}
