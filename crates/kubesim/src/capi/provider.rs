//! Infrastructure providers of Cluster API: what one brings, and in what it differs from another.

use serde_json::{Value, json};

use super::kinds::{INFRASTRUCTURE, OLDER, STORED};
use crate::object::{is_true, name, truth, uid};

/// An infrastructure provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Start of the names of its kinds, e.g. `Docker`.
    pub prefix: &'static str,
    /// What clusterctl calls it.
    pub label: &'static str,
    /// Where its controllers run.
    pub namespace: &'static str,
    /// Versions in which its kinds are served, the stored one first.
    pub versions: &'static [&'static str],
    /// Start of the addresses of the load balancers in front of control planes.
    pub balancers: &'static str,
    /// Conditions of a machine that is there beside `Ready`, each with its reason.
    pub machine_conditions: &'static [(&'static str, &'static str)],
    /// Whether it runs kubeadm itself, and so sees it fail; with others that is cloud-init's.
    pub sees_bootstrap: bool,
}

/// Machines are containers beside the management cluster's.
pub const DOCKER: Provider = Provider {
    prefix: "Docker",
    label: "infrastructure-docker",
    namespace: "capd-system",
    versions: &[STORED, OLDER],
    balancers: "172.18.0.",
    machine_conditions: &[
        ("ContainerProvisioned", "Provisioned"),
        ("BootstrapExecSucceeded", "Succeeded"),
    ],
    sees_bootstrap: true,
};

/// Machines are servers of a project in OpenStack. Its kinds fulfil the older contract only.
pub const OPENSTACK: Provider = Provider {
    prefix: "OpenStack",
    label: "infrastructure-openstack",
    namespace: "capo-system",
    versions: &[OLDER],
    balancers: "203.0.113.",
    machine_conditions: &[("InstanceReady", "Ready")],
    sees_bootstrap: false,
};

impl Provider {
    /// `spec.providerID` of a machine.
    pub(super) fn identify(&self, machine: &Value) -> String {
        match self.prefix {
            // A server has an id of its own, not its name.
            "OpenStack" => format!("openstack:///{}", uid(machine)),
            prefix => format!("{}:////{}", prefix.to_lowercase(), name(machine)),
        }
    }

    /// The finalizer of its objects of a kind, e.g. `machine`.
    pub(super) fn finalizer(&self, kind: &str) -> String {
        format!("{}{kind}.{INFRASTRUCTURE}", self.prefix.to_lowercase())
    }

    /// Notes that an object is there, as the contract of its version has it.
    pub(super) fn provision(&self, object: &mut Value) {
        if self.versions.contains(&STORED) {
            object["status"]["initialization"]["provisioned"] = json!(true);
        } else {
            object["status"]["ready"] = json!(true);
        }
    }
}

/// Whether an object of any provider is there, by whichever contract.
pub(super) fn is_provisioned(object: &Value) -> bool {
    truth(object, "/status/initialization/provisioned") || truth(object, "/status/ready")
}

/// Whether an infrastructure object says that it is ready.
pub(super) fn is_ready(object: &Value) -> bool {
    is_provisioned(object) && is_true(object, "Ready")
}
