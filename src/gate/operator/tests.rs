//! What is named, and what is left to time.

use serde_json::{Value, json};

use std::sync::Mutex;

use super::releases::unprovided;
use super::stages::CONDITION;
use super::*;
use crate::cluster::{Context, Interrupt, WaitError};
use crate::gate::causes::held;
use crate::gate::finished::blockers;
use crate::gate::trouble::Trouble;
use crate::record::{Clock, Recorder, RunId};

const CLASS: &str = "docker-demo-1-35-v1";

fn goal() -> Goal {
    Goal {
        from: Some("v1.34.3".to_owned()),
        ..Goal::of_the_operator(CLASS, "v1.35.0")
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
    let mut found: Vec<String> = clues(&view)
        .into_iter()
        .map(|one| one.finding.cause)
        .collect();
    found.dedup();
    found
}

fn clues(management: &View) -> Vec<Clue> {
    let (workload, now) = (View::holding("workload", &[]), "2026-01-01T00:01:35Z");
    evidence(&goal(), management, &workload, None, now.parse().unwrap())
}

const BLOCKS: &str = "Following hooks are blocking upgrade: BeforeClusterUpgrade: not applied";

#[test]
fn a_hook_blocks_for_nothing_only_where_the_addon_has_nothing_to_do() {
    let spec = json!({"clusterStack": CLASS, "hook": "BeforeClusterUpgrade"});
    let status = json!({"ready": true, "stages": [], "conditions": [true_("Ready")]});
    let stuck = [cluster(BLOCKS), addon(spec.clone(), status.clone())];
    assert_eq!(named(&stuck), ["hook-blocks-though-addon-ready"]);
    let view = View::holding("management", &stuck);
    let message = &clues(&view)[0].finding.message;
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
fn node_images_of_the_release_before_matter_until_the_next_is_the_goal_issue_7() {
    let provider = "infrastructure.clusterstack.x-k8s.io/v1alpha1";
    let before = "docker-demo-1-34-v1";
    // Without its provider's object.
    let ready = |name: &str| {
        let reference =
            json!({"apiVersion": provider, "kind": "OpenStackClusterStackRelease", "name": name});
        let json = json!({"kind": "ClusterStackRelease", "metadata": {"name": name, "namespace": "n"},
            "spec": {"providerRef": reference}, "status": {"ready": true}});
        (kinds::CLUSTER_STACK_RELEASE, json)
    };
    let cause = "provider-object-not-ready";
    for (class, lost, counts) in [
        (before, before, true),
        (CLASS, before, false),
        (CLASS, CLASS, true),
        (before, CLASS, false),
    ] {
        let goal = Goal::of_the_operator(class, "v1.35.0");
        let management = View::holding("management", &[ready(lost)]);
        let workload = View::holding("workload", &[]);
        let found = evidence(&goal, &management, &workload, None, Timestamp::UNIX_EPOCH);
        let mut causes = found.iter().map(|one| &*one.finding.cause);
        assert_eq!(causes.any(|one| one == cause), counts, "{class} {lost}");
        let mut blockers = blockers(&goal, &management, &workload).into_iter();
        let blocks = blockers.any(|one| one.object.kind == "OpenStackClusterStackRelease");
        assert_eq!(blocks, counts, "{class} {lost}");
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
    let found = clues(&view);
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.hold, &*one.finding.cause))
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
        let found = unprovided(&Object::new("management", json), false);
        found.map(|one| (one.finding.cause, one.finding.message))
    };
    let is = |found: Option<(String, String)>, cause: &str, words: &[&str]| {
        let (named, message) = found.unwrap();
        assert_eq!(named, cause);
        for words in words {
            assert!(message.contains(words), "{words}: {message}");
        }
    };
    let downloaded = "ClusterStackReleaseDownloaded";
    is(
        told(downloaded, "IssueWithReleaseAssets", json!([])),
        "release-not-downloaded",
        &[": why"],
    );
    // What cannot be fetched is, for the real operator, what is not there yet: it says no more.
    is(
        told(downloaded, "ReleaseAssetsNotDownloadedYet", json!([])),
        "release-not-downloaded",
        &[
            "its log, in cso-system",
            "OCI_REPOSITORY",
            "OCI_PASSWORD",
            "GIT_ACCESS_TOKEN",
        ],
    );
    let resources = json!([{"kind": "ConfigMap", "name": "a", "status": "synced"},
        {"kind": "Secret", "name": "b", "status": "not-synced", "error": "forbidden"}]);
    for reason in ["FailedToApplyObjects", "ObjectsApplyingOngoing"] {
        is(
            told("HelmChartApplied", reason, resources.clone()),
            "class-not-applied",
            &["Secret b: forbidden"],
        );
    }
    assert_eq!(told("HelmChartApplied", "Other", json!([])), None);
}

#[test]
fn an_operator_that_lacks_a_variable_says_nothing_about_the_stack_issue_7() {
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "False", "reason": reason, "message": message});
    let conditions = json!([
        condition(
            "ClusterStackReleaseDownloaded",
            "ReleaseAssetsNotDownloadedYet",
            "assets not downloaded yet"
        ),
        condition(
            "AssetsClientAPIAvailable",
            "FailedCreateAssetsClient",
            "environment variable OCI_REGISTRY is not set"
        ),
    ]);
    let metadata = json!({"name": CLASS, "namespace": "n"});
    let release = json!({"kind": "ClusterStackRelease", "metadata": metadata, "status": {"conditions": conditions}});
    let release = Object::new("management", release);
    let clue = unable(&release).unwrap();
    assert!(
        clue.finding
            .message
            .contains("OCI_REGISTRY is not set; expected in"),
        "{}",
        clue.finding.message
    );
    // It is named before a download that has not happened either.
    assert!(clue.hold < unprovided(&release, false).unwrap().hold);
    let trouble = Trouble::from(WaitError::Cause(Box::new(clue.finding)));
    assert!(matches!(trouble, Trouble::Infrastructure(_)), "{trouble}");
    assert_eq!(trouble.finding().unwrap().cause, "operator-cannot-fetch");
    assert_eq!(
        named(&[addon(json!({}), json!({"conditions": conditions}))]),
        ["operator-cannot-fetch"]
    );
}

#[test]
fn a_release_that_the_operator_cannot_fetch_is_the_stacks_only_where_it_was_given_issue_7() {
    let of = |message: &str, fetches: bool| {
        let condition = json!({"type": "ClusterStackReleaseDownloaded", "status": "False",
            "reason": "ReleaseAssetsNotDownloadedYet", "message": message});
        let addon = json!({"kind": "ClusterAddon", "metadata": {"name": "a", "namespace": "n"},
            "spec": {"clusterStack": "docker-demo-1-34-v1"}, "status": {"conditions": [condition]}});
        unread(&Object::new("management", addon), CLASS, fetches)
            .unwrap()
            .finding
    };
    let before = of("assets not downloaded yet", false);
    assert_eq!(before.cause, "release-not-downloaded");
    assert!(
        before.message.contains("release docker-demo-1-34-v1: "),
        "{}",
        before.message
    );
    let own = of("release assets not downloaded yet", true);
    assert!(is_of_its_setup(&own));
    assert!(
        own.message.contains(&format!("release {CLASS}: ")),
        "{}",
        own.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_stage_has_more_time_while_its_own_workloads_start_issue_7() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
    let context = Context::new(RunId::random(), recorder, Interrupt::default(), 1.0);
    let place = |name: &str| ObjectRef::new("workload", "Deployment", "kube-system", name);
    let goal = Goal {
        workloads: vec![
            ("a".to_owned(), place("own")),
            ("b".to_owned(), place("other")),
        ],
        ..goal()
    };
    let condition = json!({"type": "HelmChartApplied", "status": "False", "reason": "FailedToApplyObjects", "message": "no"});
    let stages =
        json!([{"name": "a", "phase": "applyingOrDeleting"}, {"name": "b", "phase": "Pending"}]);
    let status = json!({"stages": stages, "conditions": [condition]});
    let management = View::holding("management", &[addon(json!({}), status)]);
    let at = |seen: &Mutex<_>, available: &[(&str, i64)]| {
        let deployment = |(name, available): &(&str, i64)| {
            let json = json!({"kind": "Deployment", "spec": {"replicas": 1},
                "metadata": {"name": name, "namespace": "kube-system", "generation": 1},
                "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available}});
            (kinds::DEPLOYMENT, json)
        };
        let live: Vec<_> = available.iter().map(deployment).collect();
        let workload = View::holding("workload", &live);
        let clues = evidence(&goal, &management, &workload, None, Timestamp::UNIX_EPOCH);
        held(seen, &context, clues).map(|found| found.cause)
    };
    let named = Some("addon-stage-failed".to_owned());
    let pass = async |seconds| tokio::time::sleep(Duration::from_secs(seconds)).await;
    // What it brings runs, was refused, or belongs to another stage: nothing is waited for.
    for settled in [&[("own", 1), ("other", 0)][..], &[("other", 0)], &[]] {
        let seen = Mutex::default();
        assert_eq!(at(&seen, settled), None);
        pass(69).await;
        assert_eq!(at(&seen, settled), None);
        pass(1).await;
        assert_eq!(at(&seen, settled), named, "{settled:?}");
    }
    let seen = Mutex::default();
    assert_eq!(at(&seen, &[("own", 0)]), None);
    pass(299).await;
    assert_eq!(at(&seen, &[("own", 0)]), None);
    // It runs at last: the next attempt may succeed.
    assert_eq!(at(&seen, &[("own", 1)]), None);
    pass(69).await;
    assert_eq!(at(&seen, &[("own", 1)]), None);
    pass(1).await;
    assert_eq!(at(&seen, &[("own", 1)]), named);
    // It never does.
    let seen = Mutex::default();
    assert_eq!(at(&seen, &[("own", 0)]), None);
    pass(300).await;
    assert_eq!(at(&seen, &[("own", 0)]), named);
    // It runs and does not, again and again, so that neither lasts.
    let seen = Mutex::default();
    for second in (0..370).step_by(10) {
        let runs = i64::from(second / 50 % 2 == 1);
        assert_eq!(at(&seen, &[("own", runs)]), None, "{second}");
        pass(10).await;
    }
    assert_eq!(at(&seen, &[("own", 0)]), named);
}

#[tokio::test(start_paused = true)]
async fn each_condition_and_each_stage_has_its_own_time_issue_7() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
    let context = Context::new(RunId::random(), recorder, Interrupt::default(), 1.0);
    let seen = Mutex::default();
    let at = |condition: (&str, &str), stages: Value| {
        let condition =
            json!({"type": condition.0, "status": "False", "reason": condition.1, "message": "no"});
        let status = json!({"stages": stages, "conditions": [condition]});
        let view = View::holding("management", &[addon(json!({}), status)]);
        let clues = clues(&view);
        held(&seen, &context, clues).map(|found| found.cause)
    };
    let waits = || {
        let stages = json!([{"name": "a", "phase": "waitingForPreCondition"}]);
        at(("EvaluatedCEL", "FailedToEvaluatePreCondition"), stages)
    };
    let fails = |stages: Value| at(("HelmChartApplied", "FailedToApplyObjects"), stages);
    let acts = |name: &str| json!({"name": name, "phase": "applyingOrDeleting"});
    let pass = async |seconds| tokio::time::sleep(Duration::from_secs(seconds)).await;
    assert_eq!(waits(), None);
    pass(290).await;
    assert_eq!(waits(), None);
    // The first attempt of the stage itself, and the first of the next one.
    assert_eq!(fails(json!([acts("a"), acts("b")])), None);
    pass(60).await;
    let next = || fails(json!([{"name": "a", "phase": "done"}, acts("b")]));
    assert_eq!(next(), None);
    pass(60).await;
    assert_eq!(next(), None);
    pass(10).await;
    assert_eq!(next().as_deref(), Some("addon-stage-failed"));
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
