//! `stackgate scs-check` in the place of `run_sonobuoy.py`: the certificate scope's conformance testcases on a
//! simulated cluster that is served over HTTPS.

mod common;
#[path = "common/lab.rs"]
mod lab;

use std::sync::Arc;
use std::time::Duration;

use common::TestContext;
use kubesim::kubelet::conformance::{Conformance, Course};
use kubesim::serve::Server;
use lab::Lab;

/// The calls of the SCS scope for Kubernetes, with a variable of another name.
const SCOPE: &str = "\
name: Toy
uuid: 1fffebe6-fd4b-44d3-a36c-fc58b4bb0180
url: https://example.org/toy.yaml
variables: [cluster, execution_mode: parallel]
scripts:
- executable: ./run_sonobuoy.py
  args: >-
    run -k {cluster} --scs-sonobuoy-config ok.yaml --execution-mode {execution_mode} -r results
    -c 'kaas-networking-check' -a '--e2e-focus \"NetworkPolicy\"'
    -a '--plugin-env e2e.E2E_EXTRA_ARGS=--ginkgo.flake-attempts=2'
  testcases: [{id: kaas-networking-check, section: heavy}]
modules: [{id: m, targets: {main: [kaas-networking-check]}}]
timeline: [{date: 2024-01-01, versions: {v1: effective}}]
versions: [{version: v1, include: [m]}]
";

async fn run(context: &TestContext, arguments: &str) -> String {
    let mut command = context.command();
    command.arg("scs-check").args(arguments.split_whitespace());
    let output = tokio::process::Command::from(command)
        .output()
        .await
        .unwrap();
    context.show(&output)
}

#[tokio::test(start_paused = true)]
async fn the_networking_testcase_is_judged_by_our_own_run_of_the_tests() {
    let lab = Lab::settled().await;
    let tests = |course| {
        let mut tests = Conformance::with(course);
        tests.takes = Duration::from_millis(1);
        let programs = lab.cluster.machines().programs();
        programs.install("conformance", Arc::new(tests));
    };
    tests(Course::Fails(vec!["hold in case 7 ".to_owned()]));
    tokio::time::resume();
    let server = Server::start(&lab.cluster).await.unwrap();
    let context = TestContext::new();
    context.write("kubeconfig.yaml", &server.kubeconfig().to_string());
    context.write("scope.yaml", SCOPE);
    context.write(
        "ok.yaml",
        "okToFail:\n- {regex: nothing is called so, reason: gone}\n",
    );
    let line = "-v -s toy -a cluster=kubeconfig.yaml scope.yaml";
    let shown = run(&context, line).await;
    // One error for the case, one for them all, one for the failure: as the SCS test counts.
    assert!(shown.starts_with("exit code 3\n"), "{shown}");
    for told in [
        "ERROR: 1 failed, 49 passed",
        "ERROR: FAILED: [sig-network] Netpol",
        "WARNING: okToFail: no check of this run is named by `nothing is called so` (gone)",
        "kaas-networking-check: FAIL",
        "4 processes",
    ] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    // The same failure, accepted.
    context.write(
        "ok.yaml",
        "okToFail:\n- {regex: hold in case 7, reason: upstream}\n",
    );
    let shown = run(&context, line).await;
    assert!(shown.starts_with("exit code 0\n"), "{shown}");
    assert!(shown.contains("INFO: accepted: "), "{shown}");
    // An acceptance that nobody needs is told.
    tests(Course::Well);
    let shown = run(&context, line).await;
    assert!(shown.starts_with("exit code 0\n"), "{shown}");
    assert!(shown.contains("WARNING: okToFail: every case that `hold in case 7` names (upstream) passes: remove the entry"), "{shown}");
    // What a dry run prints is no verdict, and a wrong file of acceptances is found before any test.
    let shown = run(&context, &format!("-a execution_mode=dry {line}")).await;
    assert!(shown.starts_with("exit code 1\n"), "{shown}");
    assert!(
        shown.contains("CRITICAL: a dry run tests nothing"),
        "{shown}"
    );
    context.write("ok.yaml", "okToFail:\n- {regex: '['}\n");
    let shown = run(&context, line).await;
    assert!(
        shown.contains("kaas-networking-check: ABORT") && shown.contains("ok.yaml:2"),
        "{shown}"
    );
    // The script itself is not there.
    let shown = run(&context, &format!("--no-native {line}")).await;
    assert!(
        shown.contains("No such file or directory") || shown.contains("can't open file"),
        "{shown}"
    );
}
