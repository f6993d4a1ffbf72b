//! Whether the kubelet of a new machine starts: it does not with a flag that it does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::object::{namespace, text};

/// For how long kubeadm waits for a kubelet to be healthy.
pub(super) const HEALTHY: Duration = Duration::from_mins(4);

/// The flags that there are.
const FLAGS: &str = include_str!("../../data/kubelet-flags.txt");

/// The first flag of a Machine's configuration that its kubelet does not know; `first` is the one whose
/// kubeadm begins the cluster.
pub(super) fn unknown_flag(management: &Cluster, machine: &Value, first: bool) -> Option<String> {
    let reference = &machine["spec"]["bootstrap"]["configRef"];
    let config = super::access::referred(management, namespace(machine), reference)?;
    let part = if first {
        "initConfiguration"
    } else {
        "joinConfiguration"
    };
    let registration = &config["spec"][part]["nodeRegistration"];
    let given = arguments(&registration["kubeletExtraArgs"]);
    given.into_keys().find(|flag| !is_known(flag))
}

/// Extra arguments, which v1beta2 has as a list.
pub(super) fn arguments(arguments: &Value) -> BTreeMap<String, String> {
    let list = arguments.as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .map(|one| {
            (
                text(one, "/name").to_owned(),
                text(one, "/value").to_owned(),
            )
        })
        .collect()
}

/// Whether there is such a flag; it may be written with underscores, too.
fn is_known(flag: &str) -> bool {
    let flag = flag.replace('_', "-");
    FLAGS.lines().any(|known| known == flag)
}

/// A kubelet's last words on it, as its journal has them.
pub(super) fn last_words(flag: &str) -> String {
    format!(
        "kubelet[312]: E0101 00:00:00.000000     312 run.go:72] \"command failed\" err=\"failed to parse kubelet flag: unknown flag: --{flag}\""
    )
}

/// What kubeadm says of a kubelet that never becomes healthy.
pub(super) fn unhealthy(first: bool) -> String {
    let command = if first {
        "init --config /run/kubeadm/kubeadm.yaml"
    } else {
        "join --config /run/kubeadm/kubeadm-join-config.yaml"
    };
    format!(
        "failed to run cloud config: [/bin/sh -c kubeadm {command}] exited with code 1: error execution phase kubelet-start: The HTTP call equal to 'curl -sSL http://127.0.0.1:10248/healthz' returned error: dial tcp 127.0.0.1:10248: connect: connection refused"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_known_by_name_and_comments_are_none() {
        for known in ["node-labels", "v", "max_pods", "eviction-hard"] {
            assert!(is_known(known), "{known}");
        }
        for unknown in ["no-such-flag", "", "docker", "# Flags"] {
            assert!(!is_known(unknown), "{unknown}");
        }
    }
}
