//! The version policy in a whole run: judged by the data that ships, on the run's day or another.

mod common;
#[path = "common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

use common::TestContext;
use variant::Variant;

const POLICY: &str = "\
apiVersion: stackgate/v1alpha1
kind: Suite
metadata: {name: policy}
spec:
  description: The version policy alone
  checks:
  - id: version
    title: The version is supported, and not behind
    severity: MUST
    native: scs-0210-version-policy
";

/// What a rehearsal with this option shows.
fn run(option: &str) -> String {
    let context = TestContext::new();
    let demo = Variant::from("docker-demo");
    let demo = demo.edit_stack(|text| text.replace("[health, upgrade]", "[policy]"));
    let folder = demo.write(&context.path().join("stack"));
    std::fs::create_dir(folder.join("suites")).unwrap();
    std::fs::write(folder.join("suites/policy.yaml"), POLICY).unwrap();
    let folder = folder.display();
    context.run(&format!("run {folder} --engine embedded --seed 1 {option}"))
}

#[test]
fn the_day_decides_what_is_outdated_and_what_cannot_be_judged() {
    for (option, code, told) in [
        ("", 0, "gate open"),
        (
            "--now 2026-03-20",
            1,
            "version: v1.35.0 is outdated: v1.35.1 has been out since 2026-02-10, for longer than 31 days",
        ),
        (
            "--now 2026-12-11",
            3,
            "the version data of 2026-11-10 is valid until 2026-12-11, and it is 2026-12-11",
        ),
    ] {
        let shown = run(option);
        assert!(shown.starts_with(&format!("exit code {code}\n")), "{shown}");
        assert!(shown.contains(told), "{shown}");
    }
    let shown = run("--now 2026-03-20");
    assert!(shown.contains("--seed 1 --now 2026-03-20"), "{shown}");
}
