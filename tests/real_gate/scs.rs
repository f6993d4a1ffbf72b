//! What the SCS standards say of the demo stack, check by check: also what fails there, honestly.

use std::collections::BTreeMap;

use libtest_mimic::Failed;
use stackgate::record::Outcome;

use crate::gate::Gate;
use crate::variant::Variant;

/// What fails on the testbed after the upgrade, and why that is the truth.
const FAILING: &[(&str, &str)] = &[
    // Kubernetes v1.35.0 has newer patches, for longer than a month on the day that is judged by.
    ("scs-0210-version-policy", "v1.35.0"),
    // Volumes are folders of a node.
    ("scs-0211-failure-safe", "directories of a node"),
    // Nobody gives the nodes a place, and there is one control-plane node.
    ("scs-0214-node-labels", "topology.kubernetes.io/region"),
    (
        "scs-0214-control-plane-nodes",
        "is the only control-plane node",
    ),
    (
        "scs-0214-control-plane-zones",
        "topology.kubernetes.io/zone",
    ),
    // The class sets none of what the draft asks for.
    (
        "scs-0215-request-limits",
        "--max-requests-inflight is not set",
    ),
    ("scs-0215-event-rate-limit", "EventRateLimit"),
    (
        "scs-0215-etcd-compaction",
        "--auto-compaction-mode is not set",
    ),
    ("scs-0217-etcd-isolation", "on the same machine"),
    // The testbed's network hands out addresses and heeds no policies.
    ("scs-0219-network-policy", "still reaches a server"),
];

/// A day on which the data that ships is fresh.
const DAY: &str = "2026-09-01";

/// The light suite, asked of real clusters before and after the upgrade.
pub fn light() -> Result<(), Failed> {
    let variant = Variant::from("docker-demo").edit_stack(|stack| {
        stack.replace(
            "suites: [health, upgrade]",
            "suites: [health, upgrade, scs-light]",
        )
    });
    let ended = Gate::variant(variant).with(&["--now", DAY]).run()?;
    let failing: BTreeMap<&str, &str> = FAILING.iter().copied().collect();
    let mut judged = 0;
    for check in &ended.summary.checks {
        let after = check
            .after
            .as_ref()
            .ok_or_else(|| format!("{} has no answer", check.id))?;
        let told = format!("{}: {}: {}", check.id, after.outcome, after.message);
        match failing.get(check.id.as_str()) {
            Some(words) => {
                ended.expect(
                    after.outcome == Outcome::Fail,
                    &format!("a failure: {told}"),
                )?;
                ended.expect(
                    after.message.contains(words),
                    &format!("{words:?} in {told}"),
                )?;
                judged += 1;
            }
            None => {
                // There is no claim on a fresh cluster.
                let claims = ["claims-bound", "claims-kept"].contains(&check.id.as_str());
                let idle = claims && after.outcome == Outcome::Skip;
                let well = after.outcome == Outcome::Pass || idle;
                ended.expect(well, &format!("a pass: {told}"))?;
            }
        }
    }
    ended.expect(judged == FAILING.len(), "every expected failure was judged")?;
    ended.expect(
        ended.code == 1,
        "a gate that is closed by what a standard demands",
    )
}
