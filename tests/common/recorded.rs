//! The bundle of a real run whose gate closed (tests/data/README.md).

use std::process::Command;

use libtest_mimic::Failed;
use stackgate::record::Outcome;
use stackgate::report::summary::{PhaseState, Summary};

/// The run.
pub const BUNDLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/addon-image-missing.tar.zst"
);
/// The image that N+1 names and nobody has.
pub const IMAGE: &str = "registry.k8s.io/metrics-server/metrics-server:v0.8.1-missing";

/// What it told.
pub fn summary() -> Result<Summary, Failed> {
    let output = Command::new(env!("CARGO_BIN_EXE_stackgate"))
        .args(["report", BUNDLE, "--format", "json"])
        .output()?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Everything that failed, by name: phases, checks after the upgrade, and the first cause with the kind and namespace
/// of its object, and whether it names [`IMAGE`]. The object's own name is drawn.
pub fn failing(summary: &Summary) -> Vec<String> {
    let phases = summary.phases.iter();
    let phases = phases.filter(|phase| phase.outcome == PhaseState::Failed);
    let checks = summary.checks.iter().filter(|check| {
        let after = check.after.as_ref();
        after.is_some_and(|answer| answer.outcome == Outcome::Fail)
    });
    phases
        .map(|phase| format!("phase {}", phase.phase))
        .chain(checks.map(|check| format!("check {}", check.id)))
        .chain(summary.findings.first().map(|it| {
            let (object, named) = (&it.object, it.message.contains(IMAGE));
            let place = object.namespace.as_deref().unwrap_or_default();
            let kind = &object.kind;
            format!(
                "{} of a {kind} in {place}, names the image: {named}",
                it.cause
            )
        }))
        .collect()
}
