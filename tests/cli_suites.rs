//! `stackgate suites` and `stackgate scenarios`: what is listed, explained and refused.

mod common;

use common::{TestContext, copy};

const OWN: &str = "\
apiVersion: stackgate/v1alpha1
kind: Suite
metadata: {name: own}
spec:
  description: A suite of one's own
  checks:
  - id: zones
    title: Every node has a zone
    severity: MUST
    standard: {name: scs-0214, version: v3, status: draft, url: 'https://example.org'}
    weight: heavy
    lifetime: month
    retries: 1
    when: {engine: [kind], kubernetes: '>=1.34', phase: after}
    notTestable: Whether the zones are apart
    cel:
      objects: {apiVersion: v1, kind: Node}
      rules:
      - expression: \"'topology.kubernetes.io/zone' in object.metadata.labels\"
";

#[test]
fn a_check_is_explained_with_its_source_and_what_its_failure_does() {
    let context = TestContext::new();
    context.write("suites/own.yaml", OWN);
    insta::assert_snapshot!(context.run("suites explain zones"), @"
    exit code 0
    --- stdout
    zones
      Every node has a zone
      severity      MUST
      a failure     warns
      standard      scs-0214-v3 (draft)
      source        https://example.org
      judged by     CEL over each Node of v1
      rule          'topology.kubernetes.io/zone' in object.metadata.labels
      asked only    with engine kind, of Kubernetes >=1.34, after the upgrade
      weight        heavy
      good for      a month
      retries       1; a pass after one is flaky
      not testable  Whether the zones are apart
      suite         own
    --- stderr
    ");
    insta::assert_snapshot!(context.run("suites explain scs-0214-control-plane-nodes"), @"
    exit code 0
    --- stdout
    scs-0214-control-plane-nodes
      The control plane runs on several nodes
      severity      MUST
      a failure     closes the gate
      standard      scs-0214-v2 (stable)
      source        https://docs.scs.community/standards/scs-0214-v2-k8s-node-distribution#decision
      judged by     stackgate itself (scs-0214-control-plane-nodes)
      needs         list, watch nodes
      parameter     minimum: At least so many; the standard demands several; here 2
      weight        light
      good for      a week
      not testable  Whether the nodes run on as many machines cannot be seen through the API.
      suite         scs-light
    --- stderr
    ");
    let shown = context.run("suites show own");
    assert!(shown.contains("a failure     warns"), "{shown}");
    let unknown = context.run("suites explain nope");
    assert!(
        unknown.starts_with("exit code 2") && unknown.contains("zones"),
        "{unknown}"
    );
}

#[test]
fn lint_tells_the_lines_of_every_wrong_file() {
    let context = TestContext::new();
    context.write("suites/own.yaml", OWN);
    let shown = context.run("suites lint");
    assert!(
        shown.starts_with("exit code 0\n--- stdout\nguards: "),
        "{shown}"
    );
    assert!(
        shown.contains("\nown: 1 check, nothing wrong\nscs-heavy: "),
        "{shown}"
    );
    context.write("suites/own.yaml", &OWN.replace("retries", "retry"));
    context.write(
        "other.yaml",
        &OWN.replace("name: own", "name: other")
            .replace(" in object", " in in object"),
    );
    insta::assert_snapshot!(context.run("suites lint suites/own.yaml other.yaml"), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid suite
    suites/own.yaml:13:5: `spec.checks.0`: unknown field `retry`, expected one of id, title, severity, standard, weight, lifetime, timeout, retries, when, notTestable, native, parameters, cel, exec
       |
    13 |     retry: 1
       |     ^^^^^
    invalid suite
    other.yaml:19:55: this is no CEL: Syntax error: extraneous input 'in' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}
       |
    19 |       - expression: \"'topology.kubernetes.io/zone' in in object.metadata.labels\"
       |                                                       ^ expected a CEL expression
    ");
}

#[test]
fn the_version_data_is_told_with_its_age_and_its_sources() {
    let context = TestContext::new();
    let shown = context.run("data show");
    let expected = "exit code 0\n--- stdout\ndata of 2026-11-10, valid until 2026-12-11: 13 branches, 125 releases, 3 vulnerabilities\n";
    assert!(shown.starts_with(expected), "{shown}");
    assert!(
        shown.contains("  1.36   supported until 2027-06-28\n"),
        "{shown}"
    );
    assert!(
        shown.contains("k8s-eol-data.yml (2026-08-21T00:00:00Z)"),
        "{shown}"
    );
    context.write("data/kubernetes-versions.json", "{}");
    let shown = context.run("data show");
    assert!(shown.starts_with("exit code 2\n"), "{shown}");
    assert!(shown.contains("data/kubernetes-versions.json"), "{shown}");
}

#[test]
fn scenarios_are_listed_and_an_unknown_or_wrong_one_is_told_issue_7() {
    let context = TestContext::new();
    let stacks = concat!(env!("CARGO_MANIFEST_DIR"), "/stacks-under-test");
    let listed = context.run(&format!("scenarios list docker-demo --stacks {stacks}"));
    assert!(
        listed.starts_with("exit code 0\n--- stdout\nclass-only "),
        "{listed}"
    );
    // None of them is one that cannot be made of the demo stack.
    assert!(!listed.contains("cannot be made"), "{listed}");
    let unknown = context.run(&format!(
        "run docker-demo --stacks {stacks} --scenario classonly"
    ));
    assert!(unknown.starts_with("exit code 2\n"), "{unknown}");
    assert!(
        unknown.contains("error: no scenario `classonly`: expected one of class-only, "),
        "{unknown}"
    );
    let both = context.run("run --simulated --seed 1 --scenario class-only");
    assert!(both.starts_with("exit code 2\n"), "{both}");
    assert!(!context.path().join("reports").exists());
    // A stack's own scenario is read in the place of the one that ships, and told with its line.
    let demo = std::path::Path::new(stacks).join("docker-demo/stack.yaml");
    let demo = std::fs::read_to_string(demo).unwrap();
    context.write("stacks/own/stack.yaml", &demo);
    context.write("stacks/own/scenarios/class-only.yaml", "kind: Scenari\n");
    let wrong = context.run("run own --stacks stacks --scenario class-only");
    assert!(wrong.starts_with("exit code 2\n"), "{wrong}");
    assert!(
        wrong.contains("stacks/own/scenarios/class-only.yaml:1:7: `kind`"),
        "{wrong}"
    );
}

#[test]
fn only_a_scenario_that_does_not_apply_to_a_stack_is_a_remark_of_the_list_issue_7() {
    let context = TestContext::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["stacks-under-test/docker-demo", "kind-configs"] {
        let to = folder.replace("stacks-under-test", "stacks");
        copy(&root.join(folder), &context.path().join(to));
    }
    let unfit = "apiVersion: stackgate/v1alpha1\nkind: Scenario\nmetadata: {name: budget}\nspec:\n  description: None\n  \
                 newMinor: true\n  from: {base: from}\n  to: {base: from, classCommand: 'true'}\n";
    context.write("stacks/docker-demo/scenarios/budget.yaml", unfit);
    let list = || context.run("scenarios list docker-demo --stacks stacks");
    let told = list();
    let remark = "both releases are of the same minor of Kubernetes";
    assert!(
        told.starts_with("exit code 0\n") && told.contains(remark),
        "{told}"
    );
    let release = "stacks/docker-demo/releases/cluster-stacks/docker-demo-1-34-v1";
    let archive = format!("{release}/docker-demo-1-34-cluster-addon-v1.tgz");
    assert!(context.path().join(&archive).is_file());
    context.write(&archive, "no archive");
    let told = list();
    assert!(
        told.starts_with("exit code 2\n--- stdout\nclass-only "),
        "{told}"
    );
    let error = told.split_once("--- stderr\n").unwrap().1;
    assert!(
        error.starts_with("error: ") && error.contains(".tgz"),
        "{told}"
    );
}

#[test]
fn a_stack_that_the_environment_names_is_looked_at_issue_7() {
    let context = TestContext::new();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let stacks = root.join("stacks-under-test");
    let demo = std::fs::read_to_string(stacks.join("docker-demo/stack.yaml")).unwrap();
    let config = std::fs::read_to_string(root.join("kind-configs/management.yaml")).unwrap();
    context.write("kind-configs/management.yaml", &config);
    let of = |scenario: &str| {
        let named = format!("metadata:\n  scenario: {scenario}\n");
        demo.replacen("metadata:\n", &named, 1)
    };
    let refused = |made: &str| {
        let output = context
            .command()
            .args(["run", "docker-demo", "--scenario", "class-only", "--stacks"])
            .arg(&stacks)
            .env("STACKGATE_SCENARIO_MADE", made)
            .output()
            .unwrap();
        let told = context.show(&output);
        assert!(told.starts_with("exit code 2\n"), "{told}");
        told
    };
    let write = |name: &str, text: &str| {
        context.write(&format!("made/{name}/stack.yaml"), text);
        let releases = format!("made/{name}/releases/cluster-stacks");
        std::fs::create_dir_all(context.path().join(releases)).unwrap();
    };
    write("same-again", &of("same-again"));
    let other = of("class-only").replace("name: docker-demo", "name: other");
    write("other", &other);
    for made in ["made/same-again", "made/other", "made/nothing"] {
        let told = refused(made);
        assert!(
            told.contains(&format!("STACKGATE_SCENARIO_MADE names {made}, expected what was made of docker-demo for scenario class-only")),
            "{told}"
        );
    }
    // The right one is taken: what is wrong now are the releases that are not there.
    write("right", &of("class-only"));
    let told = refused("made/right");
    assert!(told.contains("there is no such folder"), "{told}");
    assert!(!context.path().join("reports").exists());
}
