//! Whether a pod's name server finds a Service's name.

use std::time::Duration;

use super::Probe;

/// The probe.
pub const PROBE: Probe = Probe {
    name: "dns",
    title: "Names are resolved",
    cause: "dns-interrupted",
    about: ("Service", "kubernetes"),
    forbids: false,
    moves: false,
    lost: "names were not resolved",
    // A resolver asks twice, and waits 5 s each time: a pause of less than ten seconds makes a caller slow, a
    // longer one makes it fail.
    longest_gap: |_| Duration::from_secs(10),
    share_lost: Some(2.0),
    is_lost: |word| word != "ok",
    ask: Some(|place| format!("10=lookup=kubernetes.default.svc.{}.", place.domain)),
};
