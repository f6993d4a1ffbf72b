//! `no-blocking-events`: no recent warning keeps something from running.
//!
//! Warnings are part of a cluster's normal life: only one of a blocking kind counts, last seen within
//! [`RECENT`], about an object that still exists and is not well now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, needs, pods, sandbox};
use crate::cluster::{Kind, Object, kinds, rollout_blocker};

const NAME: &str = "no-blocking-events";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(75),
    parameters: Parameters::NONE,
    needs: &[
        needs::EVENTS,
        needs::PODS,
        needs::NODES,
        needs::DEPLOYMENTS,
        needs::DAEMON_SETS,
        needs::STATEFUL_SETS,
        needs::REPLICA_SETS,
        needs::JOBS,
        needs::CLAIMS,
    ],
    run: |target| Box::pin(run(target)),
};

/// What is about to become well is given this time.
const SETTLE: Duration = Duration::from_secs(45);
/// Older warnings are history: what still blocks repeats within five minutes.
const RECENT: SignedDuration = SignedDuration::from_mins(10);
/// Probes may fail so often while a container starts.
const PROBES: i64 = 3;

const EVENT: Kind = Kind::new("", "v1", "Event", "events");
const CLAIM: Kind = Kind::new("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
const REPLICA_SET: Kind = Kind::new("apps", "v1", "ReplicaSet", "replicasets");
const JOB: Kind = Kind::new("batch", "v1", "Job", "jobs");

/// Reasons of kubelet, scheduler, controllers and volume plugins that keep something from running.
const BLOCKING: &[&str] = &[
    "BackOff",
    "ErrImageNeverPull",
    "Failed",
    "FailedAttachVolume",
    "FailedBinding",
    "FailedCreate",
    "FailedCreatePodSandBox",
    "FailedMapVolume",
    "FailedMount",
    "FailedScheduling",
    "FailedSync",
    "InspectFailed",
    "NetworkNotReady",
    "ProvisioningFailed",
    "Unhealthy",
];

/// The kinds whose events are judged; of others it is not known when they are well.
static JUDGED: [Kind; 8] = [
    kinds::POD,
    kinds::NODE,
    kinds::DEPLOYMENT,
    kinds::DAEMON_SET,
    kinds::STATEFUL_SET,
    REPLICA_SET,
    JOB,
    CLAIM,
];

async fn run(target: &Target<'_>) -> Result<Answer> {
    let mut watched: Vec<_> = JUDGED.iter().map(|kind| (kind.clone(), "")).collect();
    watched.push((EVENT, ""));
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        let find = |kind: &str, namespace: &str, name: &str| {
            let kind = JUDGED.iter().find(|judged| judged.kind == kind)?;
            view.get(kind, namespace, name)
        };
        judge(&view.list(&EVENT), find, target.context.now())
    })
    .await
}

fn judge(
    events: &[Arc<Object>],
    find: impl Fn(&str, &str, &str) -> Option<Arc<Object>>,
    now: Timestamp,
) -> Judgement {
    // One problem for each object and reason, however many events tell it.
    let mut problems = BTreeMap::new();
    for event in events.iter().filter(|event| is_blocking(event, now)) {
        let about = |field: &str| event.str(&format!("/involvedObject/{field}"));
        let (kind, namespace, name) = (about("kind"), about("namespace"), about("name"));
        if sandbox::is_name(namespace) {
            continue;
        }
        let Some(object) = find(kind, namespace, name) else {
            continue;
        };
        // A new object of the same name is not the one that was warned about.
        let uid = about("uid");
        let replaced = !uid.is_empty() && object.str("/metadata/uid") != uid && kind != "Node";
        if replaced || is_well(&object) {
            continue;
        }
        let mut problem = object.blocker(format!("warned {}", times(event)));
        problem.reason = event.str("/reason").to_owned();
        problem.message = event.str("/message").trim().to_owned();
        problem.since = event.str("/firstTimestamp").parse().ok();
        problems.insert((object.reference(), problem.reason.clone()), problem);
    }
    Judgement::unless(problems.into_values().collect(), || {
        let warnings = events
            .iter()
            .filter(|event| event.str("/type") == "Warning");
        format!(
            "nothing is blocked ({} seen)",
            super::count(warnings.count(), "warning")
        )
    })
}

fn is_blocking(event: &Object, now: Timestamp) -> bool {
    let reason = event.str("/reason");
    event.str("/type") == "Warning"
        && BLOCKING.contains(&reason)
        && (reason != "Unhealthy" || repetitions(event) >= PROBES)
        && last_seen(event).is_none_or(|seen| now.duration_since(seen) < RECENT)
}

/// Old and new API tell repetition at different places.
fn repetitions(event: &Object) -> i64 {
    let counted = event.int("/series/count").or_else(|| event.int("/count"));
    counted.unwrap_or(1)
}

fn times(event: &Object) -> String {
    super::count(usize::try_from(repetitions(event)).unwrap_or(1), "time")
}

fn last_seen(event: &Object) -> Option<Timestamp> {
    let places = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    places
        .iter()
        .find_map(|place| event.str(place).parse().ok())
}

fn is_well(object: &Object) -> bool {
    match object.kind() {
        "Pod" => object.is_deleting() || pods::trouble(object).is_none(),
        "Node" => object.unless_true("Ready").is_none(),
        "ReplicaSet" => {
            object.int("/spec/replicas").unwrap_or(1)
                == object.int("/status/readyReplicas").unwrap_or_default()
        }
        "Job" => object.unless_true("Complete").is_none() || object.int("/status/active") > Some(0),
        "PersistentVolumeClaim" => object.str("/status/phase") == "Bound",
        _ => rollout_blocker(object).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{object, pod, problems, with, without_image, workload};
    use serde_json::{Value, json};

    const NOW: &str = "2026-05-01T10:10:00Z";

    fn event(reason: &str, kind: &str, name: &str, uid: &str) -> Arc<Object> {
        object(
            json!({"kind": "Event", "metadata": {"name": "e", "namespace": "kube-system"},
            "type": "Warning", "reason": reason, "message": "it does not work\n", "count": 4,
            "firstTimestamp": "2026-05-01T10:05:00Z", "lastTimestamp": "2026-05-01T10:09:00Z",
            "involvedObject": {"kind": kind, "namespace": "kube-system", "name": name, "uid": uid}}),
        )
    }

    fn told(event: &Arc<Object>, about: Option<&Arc<Object>>) -> String {
        let find = |kind: &str, namespace: &str, name: &str| {
            about
                .filter(|o| (o.kind(), o.namespace(), o.name()) == (kind, namespace, name))
                .cloned()
        };
        problems(&judge(
            std::slice::from_ref(event),
            find,
            NOW.parse().unwrap(),
        ))
    }

    fn stuck() -> Arc<Object> {
        without_image(&pod("web", "a", "x:v1"))
    }

    #[test]
    fn a_blocking_warning_about_what_is_not_well_fails() {
        for reason in [
            "Failed",
            "FailedMount",
            "FailedScheduling",
            "FailedCreatePodSandBox",
            "BackOff",
            "Unhealthy",
        ] {
            assert_eq!(
                told(&event(reason, "Pod", "web", "uid-web"), Some(&stuck())),
                format!("Pod kube-system/web: warned 4 times, {reason}: it does not work")
            );
        }
    }

    #[test]
    fn each_judged_kind_can_be_well_and_not_well() {
        let object = |kind: &str, spec: Value, status: Value| {
            object(
                json!({"kind": kind, "metadata": {"name": "o", "namespace": "kube-system", "uid": "u"}, "spec": spec, "status": status}),
            )
        };
        let cases = [
            (
                "ReplicaSet",
                json!({"replicas": 2}),
                json!({"readyReplicas": 1}),
                json!({"readyReplicas": 2}),
            ),
            (
                "PersistentVolumeClaim",
                json!({}),
                json!({"phase": "Pending"}),
                json!({"phase": "Bound"}),
            ),
            (
                "Job",
                json!({}),
                json!({}),
                json!({"conditions": [{"type": "Complete", "status": "True"}]}),
            ),
            (
                "Node",
                json!({}),
                json!({"conditions": [{"type": "Ready", "status": "False"}]}),
                json!({"conditions": [{"type": "Ready", "status": "True"}]}),
            ),
        ];
        for (kind, spec, ill, well) in cases {
            let event = event("FailedCreate", kind, "o", "u");
            assert!(
                told(&event, Some(&object(kind, spec.clone(), ill))).contains("FailedCreate"),
                "{kind}"
            );
            assert_eq!(told(&event, Some(&object(kind, spec, well))), "", "{kind}");
        }
        let set = workload("DaemonSet", "cni", "x");
        let event = event("FailedCreate", "DaemonSet", "cni", "");
        assert_eq!(told(&event, Some(&set)), "");
        assert!(
            told(
                &event,
                Some(&with(&set, "/status/numberAvailable", json!(0)))
            )
            .contains("FailedCreate")
        );
    }

    #[test]
    fn what_resolved_is_gone_was_replaced_or_is_old_passes() {
        let event = event("Failed", "Pod", "web", "uid-web");
        assert_eq!(told(&event, Some(&pod("web", "a", "x:v1"))), "");
        assert_eq!(told(&event, None), "");
        assert_eq!(
            told(
                &event,
                Some(&with(&stuck(), "/metadata/uid", json!("other")))
            ),
            ""
        );
        let old = with(&event, "/lastTimestamp", json!("2026-05-01T09:59:00Z"));
        assert_eq!(told(&old, Some(&stuck())), "");
        let repeated = with(
            &old,
            "/series",
            json!({"count": 9, "lastObservedTime": "2026-05-01T10:09:30.123456Z"}),
        );
        assert!(told(&repeated, Some(&stuck())).contains("warned 9 times"));
    }

    #[test]
    fn what_is_no_blocking_warning_passes() {
        let other = event("DNSConfigForming", "Pod", "web", "uid-web");
        assert_eq!(told(&other, Some(&stuck())), "");
        let normal = with(
            &event("BackOff", "Pod", "web", "uid-web"),
            "/type",
            json!("Normal"),
        );
        assert_eq!(told(&normal, Some(&stuck())), "");
        let once = with(
            &event("Unhealthy", "Pod", "web", "uid-web"),
            "/count",
            json!(1),
        );
        assert_eq!(told(&once, Some(&stuck())), "");
    }
}
