//! The gate on real clusters: the open one, and each real failure that must close it.
//!
//! Each is judged with a management cluster made by kind and with one without nodes (`real_light_*`): verdict,
//! failing checks and first cause must not depend on it.
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

#[path = "../common/recorded.rs"]
mod recorded;

mod failures;
mod gate;
mod killed;
mod machine;
mod open;
mod scs;

use std::process::ExitCode;

use testbed::Real;

const TESTS: [Real; 22] = [
    ("real_open_gate", true, || open::open_gate("kind")),
    ("real_light_open_gate", true, || open::open_gate("light")),
    ("real_kubelet_flag_unknown_closes", true, || {
        failures::kubelet_flag("kind")
    }),
    ("real_addon_image_missing_closes", false, || {
        failures::addon_image("kind")
    }),
    ("real_scs_light_is_judged_check_by_check", true, scs::light),
    ("real_coredns_not_moved_closes", false, || {
        failures::coredns("kind")
    }),
    ("real_drain_blocked_by_budget_closes", false, || {
        failures::blocked_drain("kind")
    }),
    ("real_worker_kubelet_stopped_closes", false, || {
        failures::stopped_kubelet("kind")
    }),
    ("real_light_kubelet_flag_unknown_closes", false, || {
        failures::kubelet_flag("light")
    }),
    ("real_light_addon_image_missing_closes", false, || {
        failures::addon_image("light")
    }),
    ("real_light_coredns_not_moved_closes", false, || {
        failures::coredns("light")
    }),
    ("real_light_drain_blocked_by_budget_closes", false, || {
        failures::blocked_drain("light")
    }),
    ("real_light_worker_kubelet_stopped_closes", false, || {
        failures::stopped_kubelet("light")
    }),
    (
        "real_reused_management_is_faster",
        false,
        open::reused_management,
    ),
    (
        "real_killed_in_each_phase_leaves_nothing_after_clean",
        false,
        || killed::in_each_phase("kind"),
    ),
    (
        "real_light_killed_in_each_phase_leaves_nothing_after_clean",
        false,
        || killed::in_each_phase("light"),
    ),
    (
        "real_killed_is_resumed_from_the_last_finished_phase",
        false,
        killed::resumed,
    ),
    (
        "real_killed_and_cleaned_is_not_resumed",
        false,
        killed::cleaned_is_not_resumed,
    ),
    ("real_interrupted_leaves_nothing", false, || {
        killed::interrupted("kind")
    }),
    ("real_light_interrupted_leaves_nothing", false, || {
        killed::interrupted("light")
    }),
    (
        "real_light_two_runs_side_by_side",
        false,
        open::side_by_side,
    ),
    (
        "real_light_recorded_failure_is_reproduced",
        true,
        failures::recorded,
    ),
];

fn main() -> ExitCode {
    testbed::run(&TESTS)
}
