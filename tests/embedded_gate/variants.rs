//! The variants of the demo stack that close the gate on real clusters. Which images there are is known to
//! registries alone, so that a missing one has to be told.

use std::path::Path;

use crate::rehearsal::Rehearsal;
use crate::variant::{Variant, failing};

/// Rehearses a variant, with further files beside its stack file.
pub fn rehearse(variant: Variant, files: &[(&str, &str)], arguments: &[&str]) -> Rehearsal {
    let folder = tempfile::tempdir().unwrap();
    let stack = variant.write(&folder.path().join("stacks/docker-demo"));
    for (name, text) in files {
        let file = stack.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
    let configs = folder.path().join("kind-configs");
    std::fs::create_dir(&configs).unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs");
    let name = "management.yaml";
    std::fs::copy(shipped.join(name), configs.join(name)).unwrap();
    Rehearsal::of(stack.to_str().unwrap(), arguments)
}

fn closes(name: &str) -> Rehearsal {
    closes_with(name, &[])
}

fn closes_with(name: &str, options: &[&str]) -> Rehearsal {
    // What is seen without a cluster would close the gate before there is one.
    let engine = ["--engine", "embedded", "--seed", "5", "--no-lint"];
    rehearse(failing(name), &[], &[&engine, options].concat())
}

#[test]
fn embedded_addon_image_missing_closes() {
    const IMAGE: &str = "registry.k8s.io/metrics-server/metrics-server:v0.8.1-missing";
    let run = closes_with("addon-image", &["--missing-image", IMAGE]);
    run.is_closed_by(&["image-not-available", IMAGE]);
}

#[test]
fn embedded_coredns_not_moved_closes() {
    let run = closes("coredns");
    run.is_closed_by(&["coredns-version", "dns.imageTag"]);
}

#[test]
fn embedded_a_flag_that_no_kubelet_knows_closes() {
    closes("kubelet-flag").is_closed_by(&[
        "kubelet-unknown-flag",
        "does not start: unknown flag: --no-such-flag",
    ]);
}

#[test]
fn embedded_drain_blocked_by_budget_closes() {
    let run = closes("blocked-drain");
    run.is_closed_by(&[
        "drain-blocked-by-budget",
        "PodDisruptionBudget kube-system/pinned",
    ]);
}
