//! The gate on simulated clusters, through the real binary: the open one, each fault, each failing variant
//! of the demo stack, and that the same seed gives the same run.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

mod faults;
mod images;
mod open;
mod openstack;
mod phases;
mod rehearsal;
mod scenarios;
mod variants;
