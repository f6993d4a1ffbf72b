//! The bundle of a real run whose gate closed (tests/data/README.md).

use std::process::Command;

use libtest_mimic::Failed;
use stackgate::record::Outcome;
use stackgate::report::summary::Summary;

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

/// The checks that failed after the upgrade.
pub fn failing(summary: &Summary) -> Vec<&str> {
    let failing = summary.checks.iter().filter(|check| {
        let after = check.after.as_ref();
        after.is_some_and(|answer| answer.outcome == Outcome::Fail)
    });
    failing.map(|check| check.id.as_str()).collect()
}
