//! Is the cluster well? One file per check: a thin part that fetches, a pure one that judges.

mod addons_live;
mod api_ready_endpoints;
mod claims_bound;
mod control_plane_pods;
mod coredns_version;
mod dns_resolves;
mod kube_proxy_version;
mod machines_settled;
mod no_blocking_events;
mod no_restarting_pods;
mod node_labels_kept;
mod nodes_ready;
mod workloads_rolled_out;

use super::Native;

/// The health checks, in the order in which they are told.
pub const ALL: &[Native] = &[
    nodes_ready::CHECK,
    control_plane_pods::CHECK,
    api_ready_endpoints::CHECK,
    kube_proxy_version::CHECK,
    coredns_version::CHECK,
    dns_resolves::CHECK,
    workloads_rolled_out::CHECK,
    no_restarting_pods::CHECK,
    addons_live::CHECK,
    machines_settled::CHECK,
    no_blocking_events::CHECK,
    claims_bound::CHECK,
    node_labels_kept::CHECK,
];

/// A number of things in words: `1 node`, `2 nodes`.
fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
pub(crate) mod fixtures;
