//! Is the cluster well? One file per check: a thin part that fetches, a pure one that judges.

mod nodes_ready;

use super::Native;

/// The health checks, in the order in which they are told.
pub const ALL: &[Native] = &[nodes_ready::CHECK];

/// Label that Cluster API puts on everything that belongs to a Cluster.
const CLUSTER_NAME: &str = "cluster.x-k8s.io/cluster-name";

/// A number of things in words: `1 node`, `2 nodes`.
fn count(number: usize, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}

#[cfg(test)]
mod fixtures;
