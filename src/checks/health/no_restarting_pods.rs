//! `no-restarting-pods`: no container restarts again and again.
//!
//! A container counts as restarting when
//! - it waits in CrashLoopBackOff,
//! - it restarted more than [`RESTARTS`] times, the last time within [`RECENT`], or
//! - it restarted within the last minute and runs for less than [`STEADY`]: whether it stays is not
//!   known yet, so it is looked at again.
//!
//! Static pods restart while their node boots, because what they talk to is not there yet: a static
//! pod whose last restart lies within [`BOOT`] of its node's creation, and that runs, is steady.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, needs, pods};
use crate::cluster::{Object, kinds};
use crate::record::Blocker;

const NAME: &str = "no-restarting-pods";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(75),
    parameters: Parameters::NONE,
    needs: &[needs::NODES, needs::PODS],
    run: |target| Box::pin(run(target)),
};

/// A container that waits out one back-off and comes back for good is well.
const SETTLE: Duration = Duration::from_secs(45);
/// So many restarts may be the start of a cluster.
const RESTARTS: i64 = 3;
/// What restarted longer ago is steady now. Back-off ends at five minutes.
const RECENT: SignedDuration = SignedDuration::from_mins(10);
/// What restarted within this time has yet to show that it stays.
const JUST_NOW: SignedDuration = SignedDuration::from_secs(60);
/// So long a container has to run after a restart just now.
const STEADY: SignedDuration = SignedDuration::from_secs(20);
/// How long a node boots.
const BOOT: SignedDuration = SignedDuration::from_mins(5);
/// Annotation of the mirror of a static pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

async fn run(target: &Target<'_>) -> Result<Answer> {
    let watched = [(kinds::NODE, ""), (kinds::POD, "")];
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        let (pods, nodes) = (view.list(&kinds::POD), view.list(&kinds::NODE));
        judge(&pods, &nodes, target.context.now())
    })
    .await
}

fn judge(pods: &[Arc<Object>], nodes: &[Arc<Object>], now: Timestamp) -> Judgement {
    let mut containers = 0;
    let mut problems = Vec::new();
    for pod in pods.iter().filter(|pod| !pods::is_checks_own(pod)) {
        let boots_until = boots_until(pod, nodes);
        for status in pods::statuses(pod) {
            containers += 1;
            problems.extend(restarting(pod, status, boots_until, now));
        }
    }
    if containers == 0 {
        return Judgement::Skip("there is no container".to_owned());
    }
    // What waits in back-off says more than what came back a moment ago.
    problems.sort_by_key(|problem| problem.reason != "CrashLoopBackOff");
    Judgement::unless(problems, || {
        format!("none of {} restarts", super::count(containers, "container"))
    })
}

/// Until when restarts are those of a booting node; none for what is no static pod.
fn boots_until(pod: &Object, nodes: &[Arc<Object>]) -> Option<Timestamp> {
    pod.annotation(MIRROR)?;
    let node = nodes
        .iter()
        .find(|node| node.name() == pod.str("/spec/nodeName"))?;
    let created = time(&node.json, "/metadata/creationTimestamp")?;
    created.checked_add(BOOT).ok()
}

fn time(value: &Value, pointer: &str) -> Option<Timestamp> {
    pods::text(value, pointer).parse().ok()
}

fn restarting(
    pod: &Object,
    status: &Value,
    boots_until: Option<Timestamp>,
    now: Timestamp,
) -> Option<Blocker> {
    let restarts = status["restartCount"].as_i64().unwrap_or_default();
    let waiting = pods::text(status, "/state/waiting/reason");
    let ended = time(status, "/lastState/terminated/finishedAt");
    let age = |then: Timestamp| now.duration_since(then);
    let looping = waiting == "CrashLoopBackOff";
    let running_since = time(status, "/state/running/startedAt");
    let booted = running_since.is_some() && ended.is_some_and(|ended| Some(ended) <= boots_until);
    let again_and_again =
        restarts > RESTARTS && ended.is_some_and(|ended| age(ended) < RECENT) && !booted;
    let unproven = restarts > 0
        && ended.is_some_and(|ended| age(ended) < JUST_NOW)
        && running_since.is_some_and(|since| age(since) < STEADY);
    if !(looping || again_and_again || unproven) {
        return None;
    }
    let last = &status["lastState"]["terminated"];
    let mut blocker = pod.blocker(format!(
        "container {} restarted {} on node {}, last exit code {}",
        pods::text(status, "/name"),
        super::count(usize::try_from(restarts).unwrap_or_default(), "time"),
        pod.str("/spec/nodeName"),
        last["exitCode"]
            .as_i64()
            .map_or("unknown".to_owned(), |code| code.to_string()),
    ));
    let ended_by = pods::text(last, "/reason");
    blocker.reason = if looping { waiting } else { ended_by }.to_owned();
    blocker.message = pods::text(last, "/message").trim().to_owned();
    blocker.since = ended;
    Some(blocker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{node, pod, problems, with};
    use serde_json::json;

    const NODE_CREATED: &str = "2026-05-01T10:00:00Z";

    fn at(minutes: i64, seconds: i64) -> Timestamp {
        let created: Timestamp = NODE_CREATED.parse().unwrap();
        created + SignedDuration::from_secs(minutes * 60 + seconds)
    }

    /// A container that restarted so often, the last time at `ended`, and is in `state`.
    fn restarted(times: i64, ended: Timestamp, state: Value) -> Arc<Object> {
        let pod = pod("p", "a", "x:v1");
        let pod = with(
            &pod,
            "/status/containerStatuses/0/restartCount",
            json!(times),
        );
        let pod = with(&pod, "/status/containerStatuses/0/state", state);
        let last = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "no api\n", "finishedAt": ended}});
        with(&pod, "/status/containerStatuses/0/lastState", last)
    }

    fn running(since: Timestamp) -> Value {
        json!({"running": {"startedAt": since}})
    }

    fn told(pod: &Arc<Object>, now: Timestamp) -> String {
        problems(&judge(
            std::slice::from_ref(pod),
            &[node("a", "v1.35.0")],
            now,
        ))
    }

    #[test]
    fn what_never_or_long_ago_restarted_passes() {
        assert_eq!(told(&pod("p", "a", "x:v1"), at(60, 0)), "");
        assert_eq!(
            told(&restarted(9, at(20, 0), running(at(20, 5))), at(31, 0)),
            ""
        );
        assert_eq!(
            told(&restarted(2, at(20, 0), running(at(20, 5))), at(20, 30)),
            ""
        );
    }

    #[test]
    fn a_crash_loop_fails() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}});
        assert_eq!(
            told(&restarted(1, at(20, 0), waiting), at(20, 5)),
            "Pod kube-system/p: container main restarted 1 time on node a, last exit code 1, CrashLoopBackOff: no api"
        );
    }

    #[test]
    fn many_restarts_up_to_now_fail() {
        assert_eq!(
            told(&restarted(4, at(20, 0), running(at(20, 5))), at(25, 0)),
            "Pod kube-system/p: container main restarted 4 times on node a, last exit code 1, Error: no api"
        );
    }

    #[test]
    fn what_came_back_a_moment_ago_has_yet_to_show_that_it_stays() {
        let back = restarted(1, at(20, 0), running(at(20, 5)));
        assert!(told(&back, at(20, 24)).contains("restarted 1 time"));
        assert_eq!(told(&back, at(20, 25)), "");
    }

    #[test]
    fn static_pods_may_restart_while_their_node_boots() {
        let mirror = |pod| with(&pod, "/metadata/annotations", json!({MIRROR: "hash"}));
        let booting = mirror(restarted(5, at(4, 0), running(at(4, 5))));
        assert_eq!(told(&booting, at(6, 0)), "");
        let later = mirror(restarted(5, at(5, 1), running(at(5, 5))));
        assert!(told(&later, at(6, 0)).contains("restarted 5 times"));
        let no_static_pod = restarted(5, at(4, 0), running(at(4, 5)));
        assert!(told(&no_static_pod, at(6, 0)).contains("restarted 5 times"));
    }

    #[test]
    fn pods_of_checks_are_not_judged() {
        let waiting = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let own = with(
            &restarted(4, at(20, 0), waiting),
            "/metadata/namespace",
            json!("stackgate-check-0a1b2c3d"),
        );
        assert!(matches!(judge(&[own], &[], at(20, 5)), Judgement::Skip(_)));
    }
}
