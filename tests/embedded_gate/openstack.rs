//! The stack for OpenStack: it opens on its provider's kinds, and closes when nodes wait for their cloud in vain.

use std::path::Path;

use serde_json::Value;
use stackgate::source;

use crate::common::{TestContext, copy};
use crate::rehearsal::Rehearsal;

const NAME: &str = "openstack-demo";
const SEED: &[&str] = &["--engine", "embedded", "--seed", "1"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Rehearses the stack with a file of N+1's sources changed.
fn changed(file: &str, change: impl Fn(&str) -> String) -> Rehearsal {
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stacks").join(NAME);
    copy(&root().join("stacks-under-test").join(NAME), &stack);
    copy(
        &root().join("kind-configs"),
        &folder.path().join("kind-configs"),
    );
    let file = stack.join("sources/1-35").join(file);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_ne!(change(&text), text, "nothing to change");
    std::fs::write(&file, change(&text)).unwrap();
    let tag = "openstack-demo-1-35-v1";
    for (name, content) in source::build(&stack.join("sources"), &tag.parse().unwrap()).unwrap() {
        let release = stack.join("releases/cluster-stacks").join(tag);
        std::fs::write(release.join(name), content).unwrap();
    }
    let arguments = [SEED, &["--no-lint"]].concat();
    Rehearsal::of(stack.to_str().unwrap(), &arguments)
}

/// Rehearses the stack with node images of its provider's.
fn provided(arguments: &[&str]) -> Rehearsal {
    let folder = tempfile::tempdir().unwrap();
    let stack = folder.path().join("stacks").join(NAME);
    copy(&root().join("stacks-under-test").join(NAME), &stack);
    let file = stack.join("stack.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let template = "  providerTemplate:
    apiVersion: infrastructure.clusterstack.x-k8s.io/v1alpha1
    kind: OpenStackClusterStackReleaseTemplate
    metadata: {name: cspotemplate}
    spec: {template: {spec: {identityRef: {kind: Secret, name: openstack}}}}
  delivery: operator";
    let changed = text.replace("  delivery: direct", template);
    assert_ne!(changed, text);
    std::fs::write(&file, changed).unwrap();
    Rehearsal::of(stack.to_str().unwrap(), &[SEED, arguments].concat())
}

#[test]
fn embedded_openstack_opens_with_node_images_of_its_provider_and_closes_without_issue_7() {
    provided(&[]).is_open();
    provided(&["--fault", "provider-object-not-ready"]).is_closed_by(&[
        "provider-object-not-ready",
        "OpenStackClusterStackRelease",
        "openstack-demo-1-35-v1",
    ]);
}

fn shipped(arguments: &[&str]) -> Rehearsal {
    let stack = root().join("stacks-under-test").join(NAME);
    Rehearsal::of(stack.to_str().unwrap(), &[SEED, arguments].concat())
}

#[test]
fn embedded_openstack_opens_on_the_kinds_of_its_provider_issue_7() {
    for delivery in ["direct", "operator"] {
        let run = shipped(&["--delivery", delivery]);
        run.is_open();
        let told = run.summary.to_string();
        assert!(!told.to_lowercase().contains("docker"), "{told}");
        let kept = run.summary["counts"]["kept"].as_u64().unwrap();
        assert!(kept >= 12, "{}", run.summary["counts"]);
    }
}

#[test]
fn embedded_openstack_closes_when_the_images_of_its_addons_are_not_there_issue_7() {
    shipped(&["--fault", "image-pull-fails"]).is_closed_by(&[
        "image-not-available",
        "openstack-cloud-controller-manager:v1.35.0",
    ]);
}

#[test]
fn embedded_openstack_closes_when_no_cloud_controller_looks_at_new_nodes_issue_7() {
    // N+1 drops the addon: a new Node keeps its taint, and has no provider id by which its Machine finds it.
    let run = changed("clusteraddon.yaml", |text| {
        let text = text.replace("  - name: ccm\n    action: apply\n", "");
        let conditions = text.lines().filter(|line| {
            let depth = line.len() - line.trim_start().len();
            depth < 4 || line.trim() == "action: apply"
        });
        conditions.map(|line| format!("{line}\n")).collect()
    });
    run.is_closed_by(&[
        "cloud-controller-missing",
        "node.cloudprovider.kubernetes.io/uninitialized",
    ]);
}

#[test]
fn embedded_openstack_is_not_for_the_engine_kind_which_says_so_once_issue_7() {
    let context = TestContext::new();
    let output = context
        .command()
        .current_dir(root())
        .args(["run", NAME, "--engine", "kind", "--reports"])
        .arg(context.path().join("reports"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.starts_with(
            "no verdict: preflight: the stack is for the infrastructure provider openstack, \
             and engine kind makes Machines with docker only; rehearse it with --engine embedded, \
             or bring a management cluster that has the provider: --engine existing --kubeconfig FILE\n"
        ),
        "{told}"
    );
    let summary = context.path().join("reports/latest/summary.json");
    let summary: Value = serde_json::from_slice(&std::fs::read(summary).unwrap()).unwrap();
    assert_eq!(summary["verdict"], "none");
}
