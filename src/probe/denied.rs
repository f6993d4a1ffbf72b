//! Whether a connection that a NetworkPolicy denies stays denied, on old nodes and on new ones.
//!
//! It is the same workload as that of the `service` probe, at another port: while that one answers, a port
//! that does not is denied and not merely absent.

use std::time::Duration;

use super::Probe;
use super::pods::{POLICY, SERVER, SHUT};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "denied",
    title: "What a NetworkPolicy denies stays denied",
    cause: "policy-not-enforced",
    about: ("NetworkPolicy", POLICY),
    forbids: true,
    moves: false,
    lost: "connections denied by a NetworkPolicy were let through",
    // Kubernetes asks of a network that pods are isolated before their containers start: there is nothing to allow for.
    longest_gap: |_| Duration::ZERO,
    share_lost: None,
    is_lost: |word| word == "ok",
    // Each try takes a second until it is given up.
    ask: Some(|place| {
        format!(
            "5=connect={SERVER}.{}.svc.{}.:{SHUT}",
            place.namespace, place.domain
        )
    }),
};
