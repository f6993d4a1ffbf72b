//! `stackgate lint` and what a broken rule does to a run, through the real binary.

mod common;
#[path = "common/variant.rs"]
#[expect(
    dead_code,
    reason = "each test binary uses its own part of the fixtures"
)]
mod variant;

use std::path::Path;
use std::process::Output;

use common::TestContext;
use serde_json::Value;
use variant::{N1, Variant, failing, stacks_dir};

/// A working directory with a variant of the demo stack as `stacks/docker-demo`.
fn with(variant: Variant) -> TestContext {
    let context = TestContext::new();
    variant.write(&context.path().join("stacks/docker-demo"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("kind-configs/management.yaml");
    let config = std::fs::read_to_string(shipped).unwrap();
    context.write("kind-configs/management.yaml", &config);
    context
}

fn run(context: &TestContext, arguments: &str) -> Output {
    let arguments = arguments.split_whitespace();
    context.command().args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_clean_stack_is_told_what_the_upgrade_will_do() {
    let context = TestContext::new();
    let stacks = stacks_dir();
    let output = run(
        &context,
        &format!("lint docker-demo --stacks {}", stacks.display()),
    );
    insta::assert_snapshot!(context.show(&output), @"
    exit code 0
    --- stdout
    the upgrade of the addons: 1 added, 1 removed, 10 changed, 4 unchanged
      + StorageClass standard-retain
      - ConfigMap kube-system/metrics-server-nanny
      ~ Service kube-system/metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ServiceAccount kube-system/metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ APIService v1beta1.metrics.k8s.io: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ DaemonSet kube-system/kindnet: spec.template.spec.containers[name=kindnet].image: 'kindest/kindnetd:v20250512-df8de77b' to 'kindest/kindnetd:v20251212-v0.29.0-alpha-105-g20ccfc88' (and 2 more)
      ~ Deployment kube-system/metrics-server: spec.template.spec.containers[name=metrics-server].image: 'registry.k8s.io/metrics-server/metrics-server:v0.8.0' to 'registry.k8s.io/metrics-server/metrics-server:v0.8.1' (and 1 more)
      ~ ClusterRole system:aggregated-metrics-reader: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ClusterRole system:metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ClusterRoleBinding metrics-server:system:auth-delegator: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ClusterRoleBinding system:metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ RoleBinding kube-system/metrics-server-auth-reader: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
    docker-demo: docker-demo-1-34-v1 to docker-demo-1-35-v1: 0 MUST, 0 SHOULD, 0 MAY
    --- stderr
    ");
}

#[test]
fn a_broken_rule_is_told_with_place_reason_and_remedy() {
    let context = with(failing("blocked-drain"));
    insta::assert_snapshot!(context.run("lint docker-demo --stacks stacks"), @"
    exit code 1
    --- stdout
    MUST budget-never-met: PodDisruptionBudget kube-system/pinned
      stacks/docker-demo/releases/cluster-stacks/docker-demo-1-35-v1/docker-demo-1-35-cluster-addon-v1.tgz:storage/templates/pinned.yaml:27:3: maxUnavailable 0 never lets one of its 1 Pod go
         |
      27 |   maxUnavailable: 0
         |   ^^^^^^^^^^^^^^^^^
      why: Cluster API drains each Node before it goes; an eviction that is never allowed holds up the upgrade until its deadline (https://kubernetes.io/docs/tasks/run-application/configure-pdb/)
      help: run one replica more than the budget demands, or let maxUnavailable be at least 1

    the upgrade of the addons: 1 added, 1 removed, 10 changed, 6 unchanged
      + StorageClass standard-retain
      - ConfigMap kube-system/metrics-server-nanny
      ~ Service kube-system/metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ServiceAccount kube-system/metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ APIService v1beta1.metrics.k8s.io: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ DaemonSet kube-system/kindnet: spec.template.spec.containers[name=kindnet].image: 'kindest/kindnetd:v20250512-df8de77b' to 'kindest/kindnetd:v20251212-v0.29.0-alpha-105-g20ccfc88' (and 2 more)
      ~ Deployment kube-system/metrics-server: spec.template.spec.containers[name=metrics-server].image: 'registry.k8s.io/metrics-server/metrics-server:v0.8.0' to 'registry.k8s.io/metrics-server/metrics-server:v0.8.1' (and 1 more)
      ~ ClusterRole system:aggregated-metrics-reader: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ClusterRole system:metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ClusterRoleBinding metrics-server:system:auth-delegator: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ ClusterRoleBinding system:metrics-server: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
      ~ RoleBinding kube-system/metrics-server-auth-reader: metadata.labels.app.kubernetes.io/version: '0.8.0' to '0.8.1'
    docker-demo: docker-demo-1-34-v1 to docker-demo-1-35-v1: 1 MUST, 0 SHOULD, 0 MAY
    --- stderr
    ");
}

#[test]
fn a_release_that_cannot_be_read_is_a_finding_and_no_wrong_usage() {
    let variant = Variant::from("docker-demo").edit(N1, "clusteraddon.yaml", |text| {
        text.replace("name: storage", "name: storag")
    });
    let output = run(&with(variant), "lint docker-demo --stacks stacks");
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("MUST stage-without-chart: Release docker-demo-1-35-v1"));
}

#[test]
fn a_stack_that_is_not_there_is_wrong_usage() {
    let output = run(&TestContext::new(), "lint nothing --stacks stacks");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn other_releases_can_be_named() {
    let output = run(
        &with(Variant::from("docker-demo")),
        "lint docker-demo --stacks stacks --from docker-demo-1-35-v1 --to docker-demo-1-34-v1",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("MUST kubernetes-step"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn programs_read_json_sarif_and_junit() {
    let context = with(failing("blocked-drain"));
    let told = |format: &str| {
        let output = run(
            &context,
            &format!("lint docker-demo --stacks stacks --format {format}"),
        );
        assert_eq!(output.status.code(), Some(1), "{format}");
        stdout(&output)
    };
    let json: Value = serde_json::from_str(&told("json")).unwrap();
    assert_eq!(json["counts"]["must"], 1);
    assert_eq!(json["findings"][0]["rule"], "budget-never-met");
    assert!(json["findings"][0]["line"].is_u64());

    let sarif: Value = serde_json::from_str(&told("sarif")).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["results"][0]["ruleId"], "budget-never-met");
    assert_eq!(run["results"][0]["level"], "error");
    let place = &run["results"][0]["locations"][0];
    let uri = place["physicalLocation"]["artifactLocation"]["uri"]
        .as_str()
        .unwrap();
    assert!(
        uri.ends_with("docker-demo-1-35-cluster-addon-v1.tgz"),
        "{uri}"
    );
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    assert_eq!(rules.len(), stackgate::lint::all().count());

    let junit = quick_junit::Report::deserialize_from_str(&told("junit")).unwrap();
    let suite = &junit.test_suites[0];
    assert_eq!((suite.failures, suite.errors), (1, 0));
    assert_eq!(suite.test_cases.len(), stackgate::lint::all().count());
}

#[test]
fn a_broken_must_closes_the_gate_before_a_cluster_is_paid_for() {
    let context = with(failing("blocked-drain"));
    let arguments = "run docker-demo --stacks stacks --engine embedded --seed 5";
    let output = run(&context, arguments);
    let told = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    let summary = std::fs::read(context.path().join("reports/latest/summary.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    let reason = summary["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("preflight: lint-budget-never-met: PodDisruptionBudget"),
        "{reason}"
    );
    assert_eq!(summary["findings"][0]["cause"], "lint-budget-never-met");
    let phases = summary["phases"].as_array().unwrap();
    let of =
        |name: &str| phases.iter().find(|phase| phase["phase"] == name).unwrap()["outcome"].clone();
    assert_eq!(of("preflight"), "failed");
    assert_eq!(of("create"), "skipped");
    // Going on shows the same on the cluster.
    let output = run(&context, &format!("{arguments} --no-lint"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("upgrade: PodDisruptionBudget kube-system/pinned never lets Pod"),
        "{}",
        stdout(&output)
    );
}
