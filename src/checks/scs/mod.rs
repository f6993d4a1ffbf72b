//! The SCS standards for Kubernetes as a service, one folder or file each.

mod authorization;
mod certificates;
mod components;
pub mod conformance;
mod endpoints;
mod etcd_isolation;
mod hardening;
mod kubelet;
mod network_policy;
mod node_distribution;
mod pod_security;
mod ports;
mod robustness;
mod storage;
pub mod version_policy;

use super::Native;

/// Provisioners whose volumes are directories of a node.
pub use storage::LOCAL as NODE_LOCAL;

/// The checks of SCS standards, in the order in which they are told.
pub const ALL: &[Native] = &[
    version_policy::CHECK,
    storage::DEFAULT_CLASS,
    storage::VOLUME_KEEPS_DATA,
    storage::FAILURE_SAFE,
    node_distribution::LABELS,
    node_distribution::CONTROL_PLANE_NODES,
    node_distribution::CONTROL_PLANE_ZONES,
    robustness::REQUEST_LIMITS,
    robustness::EVENT_RATE_LIMIT,
    robustness::ETCD_COMPACTION,
    certificates::CHECK,
    kubelet::ROTATION,
    kubelet::READ_ONLY_PORT,
    ports::CHECK,
    endpoints::CHECK,
    kubelet::ANONYMOUS,
    kubelet::WEBHOOK,
    hardening::NODE_RESTRICTION,
    authorization::CHECK,
    hardening::AUTHENTICATION_METHODS,
    hardening::ETCD_CLIENT_TLS,
    hardening::ETCD_TLS,
    etcd_isolation::CHECK,
    pod_security::CHECK,
    network_policy::CHECK,
    conformance::CONFORMANCE,
    conformance::NETWORKING,
];
