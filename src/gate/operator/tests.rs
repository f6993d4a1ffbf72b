//! What is named, and what is left to time.

use serde_json::json;

use super::*;

const CLASS: &str = "docker-demo-1-35-v1";

fn goal() -> Goal {
    Goal {
        namespace: "n".to_owned(),
        cluster: "c".to_owned(),
        class: CLASS.to_owned(),
        version: "v1.35.0".to_owned(),
        control_plane: 1,
        workers: 1,
        workloads: vec![],
        from: Some("v1.34.3".to_owned()),
        operator: true,
    }
}

fn cluster(message: &str) -> (crate::cluster::Kind, Value) {
    let json = json!({"kind": "Cluster", "metadata": {"name": "c", "namespace": "n"},
        "status": {"conditions": [{"type": "TopologyReconciled", "status": "False", "reason": "ClusterUpgrading",
            "message": message, "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    (kinds::CLUSTER, json)
}

fn plane(version: &str) -> (crate::cluster::Kind, Value) {
    let labels = json!({"cluster.x-k8s.io/cluster-name": "c"});
    let json = json!({"kind": "KubeadmControlPlane", "metadata": {"name": "k", "namespace": "n", "labels": labels},
        "spec": {"version": version}});
    (kinds::KUBEADM_CONTROL_PLANE, json)
}

fn addon(spec: Value, status: Value) -> (crate::cluster::Kind, Value) {
    let metadata = json!({"name": "cluster-addon-c", "namespace": "n"});
    let json =
        json!({"kind": "ClusterAddon", "metadata": metadata, "spec": spec, "status": status});
    (kinds::CLUSTER_ADDON, json)
}

fn true_(kind: &str) -> Value {
    json!({"type": kind, "status": "True"})
}

fn named(objects: &[(crate::cluster::Kind, Value)]) -> Vec<String> {
    let view = View::holding("management", objects);
    let now = "2026-01-01T00:01:35Z".parse().unwrap();
    let found = evidence(&goal(), &view, None, now);
    found.into_iter().map(|(_, one)| one.cause).collect()
}

const BLOCKS: &str = "Following hooks are blocking upgrade: BeforeClusterUpgrade: not applied";

#[test]
fn a_hook_blocks_for_nothing_only_where_the_addon_has_nothing_to_do() {
    let spec = json!({"clusterStack": CLASS, "hook": "BeforeClusterUpgrade"});
    let status = json!({"ready": true, "stages": [], "conditions": [true_("Ready")]});
    let stuck = [cluster(BLOCKS), addon(spec.clone(), status.clone())];
    assert_eq!(named(&stuck), ["hook-blocks-though-addon-ready"]);
    let view = View::holding("management", &stuck);
    let now = "2026-01-01T00:01:35Z".parse().unwrap();
    let message = &evidence(&goal(), &view, None, now)[0].1.message;
    assert!(
        message.starts_with("BeforeClusterUpgrade has been blocking for 95 s although"),
        "{message}"
    );
    // Another hook, addons at work, the class of before, a condition that says no.
    let other = "Following hooks are blocking upgrade: AfterControlPlaneUpgrade: x";
    assert!(named(&[cluster(other), stuck[1].clone()]).is_empty());
    for (pointer, value) in [
        ("/spec/clusterStack", json!("docker-demo-1-34-v1")),
        (
            "/status/stages",
            json!([{"name": "cni", "phase": "Pending"}]),
        ),
        ("/status/ready", json!(false)),
        ("/status/conditions/0/status", json!("False")),
    ] {
        let (kind, mut changed) = stuck[1].clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        assert!(
            named(&[cluster(BLOCKS), (kind, changed)]).is_empty(),
            "{pointer}"
        );
    }
}

#[test]
fn a_hook_is_passed_only_where_the_control_plane_moves_on_from_another_version() {
    let old = || {
        addon(
            json!({"clusterStack": "docker-demo-1-34-v1"}),
            json!({"ready": true}),
        )
    };
    assert_eq!(
        named(&[plane("v1.35.0"), old()]),
        ["hook-passed-without-addons"]
    );
    assert!(named(&[plane("v1.34.3"), old()]).is_empty());
    let fresh = addon(json!({"hook": ""}), json!({}));
    assert!(named(&[plane("v1.35.0"), fresh]).is_empty());
}

#[test]
fn a_hook_is_kept_only_where_all_is_applied() {
    let spec = json!({"clusterStack": CLASS, "hook": "AfterControlPlaneInitialized"});
    let done = json!({"ready": true, "conditions": [true_("HelmChartApplied")]});
    assert_eq!(named(&[addon(spec.clone(), done)]), ["hook-kept"]);
    assert!(named(&[addon(spec, json!({"ready": true}))]).is_empty());
}

#[test]
fn a_stage_fails_only_while_it_does() {
    let failed = |resource: &str| {
        let condition = json!({"type": "HelmChartApplied", "status": "False",
            "reason": "FailedToApplyObjects", "message": "no"});
        let resources = json!([{"name": "a", "status": resource}]);
        let status = json!({"resources": resources, "conditions": [condition]});
        named(&[addon(json!({}), status)])
    };
    assert_eq!(failed("not-synced"), ["addon-stage-failed"]);
    // Tried again with success, the condition stays until all is done.
    assert!(failed("synced").is_empty());
}

#[test]
fn a_stage_of_which_no_object_is_noted_fails_while_it_acts_issue_7() {
    let at = |phase: &str| {
        let condition = json!({"type": "HelmChartApplied", "status": "False", "reason": "FailedToApplyObjects",
            "message": "failed to successfully apply helm chart: \"cni\""});
        let stages = json!([{"name": "cni", "action": "apply", "phase": phase}]);
        named(&[addon(
            json!({}),
            json!({"stages": stages, "conditions": [condition]}),
        )])
    };
    assert_eq!(at("applyingOrDeleting"), ["addon-stage-failed"]);
    assert!(at("waitingForPostCondition").is_empty());
}

#[test]
fn a_condition_may_take_longer_than_a_stage_that_fails_issue_7() {
    let condition = json!({"type": "EvaluatedCEL", "status": "False", "reason": "FailedToEvaluatePreCondition",
        "message": "no"});
    let stages = json!([{"name": "a", "action": "apply", "phase": "waitingForPreCondition"}]);
    let waits = addon(
        json!({}),
        json!({"stages": stages, "conditions": [condition]}),
    );
    let view = View::holding("management", &[waits]);
    let found = evidence(&goal(), &view, None, Timestamp::UNIX_EPOCH);
    let found: Vec<_> = found
        .iter()
        .map(|(hold, one)| (*hold, &*one.cause))
        .collect();
    assert_eq!(found, [(CONDITION, "addon-stage-failed")]);
}

#[test]
fn addons_whose_stages_are_done_come_to_no_end_issue_7() {
    let at = |phase: &str, ready: bool, hook: &str| {
        let stages = json!([{"name": "a", "phase": "done"}, {"name": "b", "phase": phase}]);
        named(&[addon(
            json!({"hook": hook}),
            json!({"stages": stages, "ready": ready}),
        )])
    };
    let hook = "BeforeClusterUpgrade";
    assert_eq!(at("done", false, hook), ["addon-stage-failed"]);
    assert!(at("Pending", false, hook).is_empty());
    assert!(at("done", true, hook).is_empty());
    assert!(at("done", false, "").is_empty());
}

#[test]
fn a_release_tells_what_keeps_it_from_being_ready_issue_7() {
    let told = |kind: &str, reason: &str, resources: Value| {
        let condition =
            json!({"type": kind, "status": "False", "reason": reason, "message": "why"});
        let json = json!({"kind": "ClusterStackRelease", "metadata": {"name": CLASS, "namespace": "n"},
            "status": {"conditions": [condition], "resources": resources}});
        let found = unprovided(&Object::new("management", json));
        found.map(|(_, one)| (one.cause, one.message))
    };
    let is = |found: Option<(String, String)>, cause: &str, end: &str| {
        let (named, message) = found.unwrap();
        assert_eq!(named, cause);
        assert!(message.ends_with(end), "{message}");
    };
    let downloaded = "ClusterStackReleaseDownloaded";
    for (kind, reason) in [
        (downloaded, "IssueWithReleaseAssets"),
        // What cannot be fetched is, for the real operator, what is not there yet.
        (downloaded, "ReleaseAssetsNotDownloadedYet"),
        ("AssetsClientAPIAvailable", "FailedCreateAssetsClient"),
    ] {
        is(
            told(kind, reason, json!([])),
            "release-not-downloaded",
            "why",
        );
    }
    let resources = json!([{"kind": "ConfigMap", "name": "a", "status": "synced"},
        {"kind": "Secret", "name": "b", "status": "not-synced", "error": "forbidden"}]);
    for reason in ["FailedToApplyObjects", "ObjectsApplyingOngoing"] {
        is(
            told("HelmChartApplied", reason, resources.clone()),
            "class-not-applied",
            "Secret b: forbidden",
        );
    }
    assert_eq!(told("HelmChartApplied", "Other", json!([])), None);
}

#[test]
fn a_crash_loop_is_one_after_three_restarts_of_the_operator_itself() {
    let pod = |namespace: &str, restarts: i64| {
        let container =
            json!({"restartCount": restarts, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
        let json = json!({"kind": "Pod", "metadata": {"name": "p", "namespace": namespace},
            "status": {"containerStatuses": [container]}});
        named(&[(kinds::POD, json)])
    };
    assert_eq!(pod("cso-system", 3), ["operator-crash-loop"]);
    assert!(pod("cso-system", 2).is_empty());
    assert!(pod("default", 9).is_empty());
}
