//! Whether a workload behind a Service can be reached from another pod, while both are moved by the upgrade.
//!
//! The workload is what a careful owner runs: two replicas on two nodes, a budget that lets one go at a
//! time, and a pause before it stops, so that nobody is sent to a replica that is gone.

use std::time::Duration;

use super::Probe;
use super::pods::{OPEN, SERVER};

/// The probe.
pub const PROBE: Probe = Probe {
    name: "service",
    title: "A workload of two replicas behind a Service can be reached",
    cause: "service-interrupted",
    about: ("Service", SERVER),
    forbids: false,
    moves: false,
    lost: "a Service with two replicas could not be reached",
    // Long enough for every kube-proxy to hear of an endpoint's end (a second or two) several times over, and
    // for a connection that was cut to be tried again; a caller that gives up after ten seconds is common.
    longest_gap: |_| Duration::from_secs(10),
    share_lost: Some(2.0),
    is_lost: |word| word != "ok",
    ask: Some(|place| {
        format!(
            "10=connect={SERVER}.{}.svc.{}.:{OPEN}",
            place.namespace, place.domain
        )
    }),
};
