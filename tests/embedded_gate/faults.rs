//! Each fault of the catalogue: it closes the gate with its cause named, or must not change the verdict.

use std::collections::BTreeSet;

use crate::common::TestContext;
use crate::rehearsal::{Rehearsal, stacks};
use crate::variant::{Variant, cilium, provided};
use crate::variants::rehearse;

/// A test for each fault, delivered as the stack says or by another, on the demo stack or through a function
/// that rehearses another; with the words that name its cause, or none for an accident of the connection.
macro_rules! faults {
    ($($test:ident $name:literal $(by $delivery:literal)? $(through $how:ident)? $(closes $words:expr)?;)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                let given = ["--seed", "7", "--fault", $name, $("--delivery", $delivery)?];
                let ways: &[fn(&[&str]) -> Rehearsal] = &[Rehearsal::demo, $($how)?];
                let run = ways[ways.len() - 1](&given);
                let closes: &[&[&str]] = &[$($words)?];
                match closes {
                    [words] => run.is_closed_by(words),
                    _ => run.is_open(),
                }
            }
        )*
    };
}

faults! {
    embedded_addon_left_behind "addon-left-behind" closes
        &["addons-live", "DaemonSet kube-system/kindnet", "the release says"];
    embedded_addon_stage_skipped "addon-stage-skipped" closes
        &["addons-live", "StorageClass kube-system/standard-retain: missing"];
    embedded_addon_not_pruned "addon-not-pruned" closes
        &["addons-live", "ConfigMap kube-system/metrics-server-nanny: still there"];
    embedded_cni_deleted "cni-deleted" closes
        &["addon-deleted", "DaemonSet kube-system/kindnet is gone although"];
    embedded_hook_stuck "hook-stuck" by "operator" closes
        &["hook-blocks-though-addon-ready", "BeforeClusterUpgrade has been blocking for"];
    embedded_operator_restart "operator-restart" by "operator" closes
        &["release-not-downloaded", "docker-demo-1-34-v1"];
    embedded_operator_locked_up "operator-locked-up" by "operator" closes
        &["release-not-downloaded", "docker-demo-1-34-v1"];
    embedded_hook_kept "hook-kept" by "operator" closes
        &["hook-kept", "keeps hook BeforeClusterUpgrade"];
    embedded_hook_passed "hook-passed" by "operator" closes
        &["hook-passed-without-addons", "is still of docker-demo-1-34-v1"];
    embedded_operator_crash_loop "operator-crash-loop" by "operator" closes
        &["operator-crash-loop", "Pod cso-system/", "nil pointer"];
    embedded_release_not_downloaded "release-not-downloaded" by "operator" closes
        &["release-not-downloaded", "not downloaded yet"];
    embedded_provider_object_not_ready "provider-object-not-ready" by "operator" through with_provider closes
        &["provider-object-not-ready", "is ready, and DockerClusterStackRelease", "node images are not ready"];
    embedded_stack_columns_wrong "stack-columns-wrong" by "operator" closes
        &["stack-columns-wrong", "ClusterStack", "says USABLE 'v1, v1', expected 'v1'"];
    embedded_addon_drift "addon-drift" by "operator" closes
        &["addon-deleted", "Deployment kube-system/metrics-server"];
    embedded_worker_never_ready "worker-never-ready" closes
        &["-md-0-", "NodeHealthy False", "PLEG is not healthy"];
    embedded_control_plane_join_fails "control-plane-join-fails" closes
        &["kubeadm-failed", "kubeadm join", "exited with code 1"];
    embedded_image_pull_fails "image-pull-fails" closes
        &["image-not-available", "kindest/kindnetd:v20251212", "Pod kube-system/kindnet-"];
    embedded_drain_blocked "drain-blocked" closes
        &["drain-blocked-by-budget", "PodDisruptionBudget default/never-disrupted"];
    embedded_volume_lost "volume-lost" closes
        &["keeps-data", "bound to non-existent persistentvolume"];
    embedded_node_loses_labels "node-loses-labels" closes
        &["node-labels-kept", "example.org/pool"];
    embedded_webhook_down "webhook-down" closes
        &["webhook-down", "failed calling webhook \\\"validate.policy.example.org\\\"", "connection refused"];
    embedded_certificate_expired "certificate-expired" closes
        &["certificate-expired", "certificate expired"];
    embedded_policy_gap "policy-gap" closes
        &["policy-not-enforced", "connections denied by a NetworkPolicy were let through for", "node "];
    embedded_cni_step_skipped "cni-step-skipped" through with_cilium closes
        &["cni-step-skipped", "DaemonSet kube-system/cilium went from quay.io/cilium/cilium:v1.16.6 to \
            quay.io/cilium/cilium:v1.18.9 in one step", "each minor version", "CS#213"];
    embedded_unexpected_rollout "unexpected-rollout" closes
        &["unexpected-rollout", "are replaced although the upgrade to v1.35.0 had arrived"];
    embedded_never_at_rest "never-at-rest" closes
        &["never-at-rest", "goes on changing although the Cluster has arrived at docker-demo-1-35-v1", "while it was waited for 45 s without a change"];
    embedded_api_server_away "api-server-away";
    embedded_watch_cut "watch-cut";
    embedded_event_lost "event-lost";
    embedded_gone "gone";
    embedded_conflict "conflict";
    embedded_throttled "throttled";
    embedded_slow "slow";
    embedded_clock_skew "clock-skew";
}

/// The demo stack with node images of a provider's.
fn with_provider(arguments: &[&str]) -> Rehearsal {
    rehearse(provided(), &[], arguments)
}

#[test]
fn embedded_node_images_of_a_provider_open_and_a_fault_of_it_needs_one_issue_7() {
    with_provider(&["--seed", "7", "--delivery", "operator"]).is_open();
    let context = TestContext::new();
    let given = [
        "--fault",
        "provider-object-not-ready",
        "--delivery",
        "operator",
    ];
    let output = context
        .command()
        .args(["run", "docker-demo", "--stacks"])
        .arg(stacks())
        .args(given)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("stack.yaml names none"), "{stderr}");
    assert!(!context.path().join("reports").exists());
}

/// The demo stack with a network that asks for steps.
fn with_cilium(given: &[&str]) -> Rehearsal {
    rehearse(cilium(), &[], given)
}

#[test]
fn embedded_a_step_of_the_network_that_does_no_harm_is_not_held_against_it_issue_7() {
    with_cilium(&["--seed", "7"]).is_open();
}

/// A check that sees a gap in the policies as well, if only before and after the upgrade.
const POLICY: &str = "
apiVersion: stackgate/v1alpha1
kind: Suite
metadata: {name: policy}
spec:
  description: Are NetworkPolicies heeded?
  checks:
  - id: scs-0219-network-policy
    title: NetworkPolicies are heeded
    severity: MUST
    native: scs-0219-network-policy
";

#[test]
fn embedded_policy_gap_is_seen_by_a_check_too() {
    let wants = |stack: &str| stack.replace("suites: [", "suites: [policy, ");
    let variant = Variant::from("docker-demo").edit_stack(wants);
    let given = ["--seed", "7", "--fault", "policy-gap"];
    let run = rehearse(variant, &[("suites/policy.yaml", POLICY)], &given);
    run.is_closed_by(&["scs-0219-network-policy", "regressed"]);
}

#[test]
fn embedded_every_fault_of_the_catalogue_has_a_test() {
    let output = TestContext::new()
        .command()
        .args(["faults", "--format", "plain"])
        .output();
    let listed = String::from_utf8(output.unwrap().stdout).unwrap();
    let names: BTreeSet<&str> = listed
        .lines()
        .filter_map(|line| line.split('\t').next())
        .collect();
    let tested: BTreeSet<&str> = TESTED.iter().copied().collect();
    assert_eq!(names, tested);
}

#[test]
fn embedded_faults_of_the_connection_together_do_not_change_the_verdict() {
    let all = [
        "watch-cut",
        "event-lost",
        "gone",
        "conflict",
        "throttled",
        "slow",
    ];
    let given: Vec<&str> = all.iter().flat_map(|name| ["--fault", name]).collect();
    Rehearsal::demo(&[&["--seed", "11"], &given[..]].concat()).is_open();
}
