//! The scenarios, each on simulated clusters: open where nothing is wrong, and closed by what it is about.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::common::{TestContext, copy};
use crate::rehearsal::{Rehearsal, stacks};
use crate::variant::Variant;
use crate::variants::rehearse;

const OPERATOR: [&str; 2] = ["--delivery", "operator"];

fn run(scenario: &str, more: &[&str]) -> Rehearsal {
    let given = [
        "--engine",
        "embedded",
        "--seed",
        "7",
        "--scenario",
        scenario,
    ];
    Rehearsal::demo(&[&given, more].concat())
}

/// Release N and N+1 of a run.
fn pair(run: &Rehearsal) -> [&str; 2] {
    ["from", "to"].map(|which| run.summary[which]["tag"].as_str().unwrap())
}

fn said(run: &Rehearsal, words: &str) -> bool {
    run.events().iter().any(|event| event.contains(words))
}

#[test]
fn embedded_scenario_class_only_rolls_all_machines_issue_7() {
    let open = run("class-only", &[]);
    open.is_open();
    assert_eq!(pair(&open), ["docker-demo-1-34-v1", "docker-demo-1-34-v2"]);
    let again = open.summary["rehearsal"]["reproduce"].as_str().unwrap();
    assert!(again.starts_with("stackgate run docker-demo "), "{again}");
    assert!(again.contains("--scenario class-only"), "{again}");
    assert!(said(&open, "\"scenario\""));
    run("class-only", &OPERATOR).is_open();
    run("class-only", &["--fault", "drain-blocked"]).is_closed_by(&["drain-blocked-by-budget"]);
}

#[test]
fn embedded_scenario_addons_only_keeps_all_machines_issue_7() {
    run("addons-only", &[]).is_open();
    // Without a change of Kubernetes, what comes after a pause prunes nothing, as on real clusters.
    let closed = run("addons-only", &OPERATOR);
    closed.is_closed_by(&[
        "addon-not-pruned",
        "ConfigMap kube-system/metrics-server-nanny",
    ]);
    let closed = run("addons-only", &["--fault", "addon-left-behind"]);
    closed.is_closed_by(&["addons-live", "DaemonSet kube-system/kindnet"]);
}

#[test]
fn embedded_scenario_node_image_only_rolls_all_machines_issue_7() {
    run("node-image-only", &[]).is_open();
    run("node-image-only", &OPERATOR).is_open();
    let closed = run("node-image-only", &["--fault", "worker-never-ready"]);
    closed.is_closed_by(&["NodeHealthy False"]);
}

#[test]
fn embedded_scenario_kubernetes_patch_goes_through_the_hook_issue_7() {
    let open = run("kubernetes-patch", &OPERATOR);
    open.is_open();
    assert_eq!(open.summary["to"]["kubernetes"], "v1.34.4");
    assert!(said(&open, "addons.applied-after"));
    let closed = run(
        "kubernetes-patch",
        &[&OPERATOR[..], &["--fault", "hook-stuck"]].concat(),
    );
    closed.is_closed_by(&["hook-blocks-though-addon-ready"]);
}

#[test]
fn embedded_scenario_kubernetes_minor_is_the_stacks_own_pair_issue_7() {
    let open = run("kubernetes-minor", &[]);
    open.is_open();
    assert_eq!(pair(&open), ["docker-demo-1-34-v1", "docker-demo-1-35-v1"]);
    run("kubernetes-minor", &["--fault", "volume-lost"]).is_closed_by(&["keeps-data"]);
}

#[test]
fn embedded_scenario_three_releases_is_judged_from_the_second_on_issue_7() {
    for delivery in ["direct", "operator"] {
        let open = run("three-releases", &["--delivery", delivery]);
        open.is_open();
        assert_eq!(pair(&open), ["docker-demo-1-35-v1", "docker-demo-1-35-v2"]);
        assert!(said(&open, "by way of docker-demo-1-34-v1"));
    }
    let closed = run(
        "three-releases",
        &[&OPERATOR[..], &["--fault", "hook-passed"]].concat(),
    );
    closed.is_closed_by(&["hook-passed-without-addons"]);
}

#[test]
fn embedded_scenario_recovery_mends_what_is_broken_issue_7() {
    let open = run("recovery", &[]);
    open.is_open();
    assert!(said(
        &open,
        "release docker-demo-1-34-v2 is broken, as it is meant to be"
    ));
    assert!(said(&open, "registry.invalid/stackgate/broken:v1"));
    assert_eq!(pair(&open), ["docker-demo-1-34-v3", "docker-demo-1-35-v1"]);
    run("recovery", &["--fault", "drain-blocked"]).is_closed_by(&["drain-blocked-by-budget"]);
    // Moved to the mended release, the operator still waits at the stage behind the broken network.
    let closed = run("recovery", &OPERATOR);
    closed.is_closed_by(&[
        "create: ",
        "image-not-available",
        "registry.invalid/stackgate/broken:v1",
    ]);
}

#[test]
fn embedded_scenario_same_again_moves_nothing_issue_7() {
    for delivery in ["direct", "operator"] {
        let open = run("same-again", &["--delivery", delivery]);
        open.is_open();
        assert_eq!(pair(&open), ["docker-demo-1-34-v1"; 2]);
    }
    run("same-again", &["--fault", "unexpected-rollout"]).is_closed_by(&["unexpected-rollout"]);
}

#[test]
fn embedded_scenario_budget_lets_the_drain_end_issue_7() {
    let open = run("budget", &[]);
    open.is_open();
    assert_eq!(pair(&open), ["docker-demo-1-34-v2", "docker-demo-1-35-v3"]);
    run("budget", &["--fault", "drain-blocked"]).is_closed_by(&["drain-blocked-by-budget"]);
}

#[test]
fn embedded_scenario_operator_restarted_issue_7() {
    let open = run("operator-restarted-at-machines", &[]);
    open.is_open();
    assert!(said(
        &open,
        "the Cluster Stack Operator is restarted, on purpose"
    ));
    // The hook is called again, and what was done for it is done again, which does no harm.
    run("operator-restarted-at-addons", &[]).is_open();
    let closed = run("operator-restarted-at-addons", &["--fault", "hook-kept"]);
    closed.is_closed_by(&["hook-kept"]);
}

#[test]
fn embedded_scenario_worker_unready_issue_7() {
    let open = run("worker-unready", &[]);
    open.is_open();
    assert!(said(&open, "is stopped, on purpose"));
    let open = run("worker-unready", &OPERATOR);
    open.is_open();
    assert!(said(&open, "is stopped, on purpose"));
    let closed = run("worker-unready", &["--fault", "worker-never-ready"]);
    closed.is_closed_by(&["NodeHealthy False"]);
}

#[test]
fn embedded_scenario_guards_asks_before_and_after_issue_7() {
    let open = run("guards", &[]);
    open.is_open();
    let checks = open.summary["checks"].as_array().unwrap();
    let guards = checks.iter().find(|check| check["id"] == "operator-guards");
    for round in ["before", "after"] {
        let answer = &guards.unwrap()[round];
        assert_eq!(answer["outcome"], "pass", "{round}: {answer}");
        assert!(
            answer.to_string().contains("were refused"),
            "{round}: {answer}"
        );
    }
}

#[test]
fn embedded_scenario_is_refused_with_a_delivery_that_it_is_not_about_issue_7() {
    let context = TestContext::new();
    let stacks = stacks();
    let words = format!(
        "run docker-demo --stacks {} --engine embedded --scenario guards --delivery direct",
        stacks.display()
    );
    let told = context.run(&words);
    assert!(told.starts_with("exit code 2"), "{told}");
    assert!(
        told.contains("it is about delivery operator, and direct is asked for"),
        "{told}"
    );
}

#[test]
fn embedded_a_scenario_is_run_again_from_its_runs_folder() {
    let context = TestContext::new();
    let run = |words: &[&str]| {
        let output = context.command().args(words).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let stacks = stacks();
    let stacks = stacks.to_str().unwrap();
    let given = [
        "run",
        "docker-demo",
        "--stacks",
        stacks,
        "--engine",
        "embedded",
        "--seed",
        "7",
    ];
    run(&[&given[..], &["--scenario", "three-releases"]].concat());
    run(&["reproduce"]);
    let summary = context.path().join("reports/latest/summary.json");
    let summary: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    assert_eq!(summary["to"]["tag"], "docker-demo-1-35-v2");
}

fn scenario(name: &str, text: &str) -> String {
    format!(
        "apiVersion: stackgate/v1alpha1\nkind: Scenario\nmetadata: {{name: {name}}}\nspec:\n  description: own\n{text}"
    )
}

/// Gives the stack a scenario of its own.
fn own(context: &TestContext, name: &str, text: &str) {
    let file = format!("stacks/docker-demo/scenarios/{name}.yaml");
    context.write(&file, &scenario(name, text));
}

#[test]
fn embedded_a_hook_that_was_not_to_be_called_closes_the_gate_issue_7() {
    let patch =
        "  from: {base: from}\n  to: {base: from, nextPatch: true}\n  upgrade: {hooks: uncalled}\n";
    let scenario = scenario("patch", patch);
    for (delivery, told) in [
        ("direct", "hooks pending: AfterClusterUpgrade"),
        (
            "operator",
            "hooks are blocking upgrade: BeforeClusterUpgrade",
        ),
    ] {
        let given = ["--engine", "embedded", "--seed", "7", "--scenario", "patch"];
        let given = [&given[..], &["--delivery", delivery]].concat();
        let files = [("scenarios/patch.yaml", scenario.as_str())];
        let closed = rehearse(Variant::from("docker-demo"), &files, &given);
        closed.is_closed_by(&["unexpected-hook", told]);
    }
}

#[test]
fn embedded_all_scenarios_are_run_each_with_a_folder_of_its_own_issue_7() {
    let context = TestContext::new();
    copy(
        &stacks().join("docker-demo"),
        &context.path().join("stacks/docker-demo"),
    );
    copy(
        &stacks().join("../kind-configs"),
        &context.path().join("kind-configs"),
    );
    // One that cannot be made of this stack: N+1 is of another minor than N, and is to be the same.
    own(
        &context,
        "kubernetes-minor",
        "  newMinor: true\n  from: {base: from}\n  to: {base: from, classCommand: 'true'}\n",
    );
    // One that closes: what changes the class replaces all Machines.
    own(
        &context,
        "mine",
        "  from: {base: from}\n  to: {base: from, classCommand: 'true'}\n  upgrade: {machines: kept}\n",
    );
    let output = context
        .command()
        .args([
            "run",
            "docker-demo",
            "--stacks",
            "stacks",
            "--engine",
            "embedded",
            "--seed",
            "7",
        ])
        .args(["--scenario", "all"])
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let line = |name: &str| {
        let lines = stdout.lines().skip_while(|line| *line != "scenarios");
        let mut lines = lines.filter(|line| {
            line.trim_start_matches(['✓', '✗', '-', ' '])
                .starts_with(name)
        });
        lines
            .next()
            .unwrap_or_else(|| panic!("no line of {name} in {stdout}"))
            .to_owned()
    };
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(line("class-only ").contains("✓") && line("class-only ").contains("gate open"));
    assert!(line("mine ").contains("✗") && line("mine ").contains("was to keep them"));
    assert!(line("kubernetes-minor ").contains("both releases are of the same minor"));
    assert!(
        stdout
            .trim_end()
            .ends_with("all scenarios: gate closed (13 of 14 ran)"),
        "{stdout}"
    );
    let runs = std::fs::read_dir(context.path().join("reports")).unwrap();
    assert_eq!(
        runs.map(|run| run.unwrap().path())
            .filter(|path| path.is_dir() && !path.is_symlink())
            .count(),
        13
    );
}

#[test]
fn embedded_all_scenarios_end_with_ctrl_c() {
    let context = TestContext::new();
    let mut child = context
        .command()
        .args(["run", "docker-demo", "--stacks"])
        .arg(stacks())
        .args(["--engine", "embedded", "--real-time", "--scenario", "all"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    // The first run is under way, and listens.
    while !line.contains("engine embedded") {
        line.clear();
        assert!(
            stderr.read_line(&mut line).unwrap() > 0,
            "it ended before it began"
        );
    }
    kill(
        Pid::from_raw(child.id().try_into().unwrap()),
        Signal::SIGINT,
    )
    .unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{stdout}\n{rest}");
    assert!(
        stdout.contains("not begun: somebody stopped the runs"),
        "{stdout}"
    );
    assert!(
        stdout
            .trim_end()
            .ends_with("all scenarios: interrupted (1 of 13 ran)"),
        "{stdout}"
    );
}
