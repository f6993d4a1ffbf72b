//! The gate on real clusters: the open one, and each real failure that must close it.
//!
//! Needs Docker and the testbed (`testbed/up`). Where it is not up, every test is shown as ignored and
//! one line says why. The quick set runs with `cargo test`; all of them with
//! `cargo test --test real_gate -- --include-ignored`.

#[path = "../common/testbed.rs"]
mod testbed;
#[path = "../common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

#[path = "../common/junit.rs"]
mod junit;

mod failures;
mod gate;
mod killed;
mod machine;
mod open;
mod scs;

use std::process::ExitCode;

use testbed::Real;

const TESTS: [Real; 10] = [
    ("real_open_gate", true, open::open_gate),
    (
        "real_kubelet_flag_unknown_closes",
        true,
        failures::kubelet_flag,
    ),
    (
        "real_addon_image_missing_closes",
        true,
        failures::addon_image,
    ),
    ("real_scs_light_is_judged_check_by_check", true, scs::light),
    ("real_coredns_not_moved_closes", false, failures::coredns),
    (
        "real_drain_blocked_by_budget_closes",
        false,
        failures::blocked_drain,
    ),
    (
        "real_worker_kubelet_stopped_closes",
        false,
        failures::stopped_kubelet,
    ),
    (
        "real_reused_management_is_faster",
        false,
        open::reused_management,
    ),
    (
        "real_killed_in_each_phase_leaves_nothing_after_clean",
        false,
        killed::in_each_phase,
    ),
    (
        "real_interrupted_leaves_nothing",
        false,
        killed::interrupted,
    ),
];

fn main() -> ExitCode {
    testbed::run(&TESTS)
}
