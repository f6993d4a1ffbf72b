//! `workloads-rolled-out`: what every Deployment, DaemonSet and StatefulSet asks for is what runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, needs, pods, sandbox};
use crate::cluster::{Object, kinds, rollout_blocker};
use crate::record::Blocker;

const NAME: &str = "workloads-rolled-out";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(90),
    parameters: Parameters::NONE,
    needs: &[
        needs::DEPLOYMENTS,
        needs::DAEMON_SETS,
        needs::STATEFUL_SETS,
        needs::PODS,
    ],
    run: |target| Box::pin(run(target)),
};

/// Pods that were evicted last are still starting on the new nodes.
const SETTLE: Duration = Duration::from_secs(60);

async fn run(target: &Target<'_>) -> Result<Answer> {
    let kinds = [kinds::DEPLOYMENT, kinds::DAEMON_SET, kinds::STATEFUL_SET];
    let mut watched: Vec<_> = kinds.iter().map(|kind| (kind.clone(), "")).collect();
    watched.push((kinds::POD, ""));
    let view = target.view(&watched);
    settle(target, NAME, SETTLE, &[&view], || {
        let workloads = kinds.iter().flat_map(|kind| view.list(kind));
        // What stackgate itself brings says nothing about the stack.
        let workloads: Vec<_> = workloads
            .filter(|workload| !sandbox::is_name(workload.namespace()))
            .collect();
        judge(&workloads, &view.list(&kinds::POD))
    })
    .await
}

fn judge(workloads: &[Arc<Object>], pods: &[Arc<Object>]) -> Judgement {
    if workloads.is_empty() {
        return Judgement::Skip("there is no workload".to_owned());
    }
    let unfinished = workloads
        .iter()
        .filter_map(|workload| unfinished(workload, pods));
    Judgement::unless(unfinished.collect(), || {
        format!("{} rolled out", super::count(workloads.len(), "workload"))
    })
}

/// Why a workload is not rolled out, with what one of its pods is stuck on.
pub fn unfinished(workload: &Object, pods: &[Arc<Object>]) -> Option<Blocker> {
    let mut blocker = rollout_blocker(workload)?;
    let stuck = pods::selected(workload, pods)
        .filter(|pod| !pod.is_deleting())
        .filter_map(|pod| pods::trouble(pod))
        // A pod that waits for something says more than one that is about to start.
        .max_by_key(|trouble| trouble.condition.contains("waits"));
    if let Some(mut trouble) = stuck {
        blocker.reason = std::mem::take(&mut trouble.reason);
        blocker.message = trouble.to_string();
        blocker.since = blocker.since.or(trouble.since);
    }
    Some(blocker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::{pod, problems, with, without_image, workload};
    use serde_json::json;

    #[test]
    fn workloads_that_are_rolled_out_pass() {
        let workloads =
            ["Deployment", "DaemonSet", "StatefulSet"].map(|kind| workload(kind, "w", "x:v1"));
        assert_eq!(
            judge(&workloads, &[]),
            Judgement::Pass("3 workloads rolled out".to_owned())
        );
    }

    #[test]
    fn one_that_is_not_is_told_with_what_its_pod_waits_for() {
        let cni = with(
            &workload("DaemonSet", "cni", "x:v2"),
            "/status/numberAvailable",
            json!(1),
        );
        let mine = json!({"app": "cni"});
        let starting = with(&pod("cni-1", "a", "x:v2"), "/metadata/labels", mine.clone());
        let starting = with(
            &starting,
            "/status/conditions/1",
            json!({"type": "Ready", "status": "False"}),
        );
        let stuck = with(
            &without_image(&pod("cni-2", "b", "x:v2")),
            "/metadata/labels",
            mine,
        );
        let other = without_image(&pod("other", "a", "y:v1"));
        assert_eq!(
            problems(&judge(&[cni], &[starting, stuck, other])),
            "DaemonSet kube-system/cni: 1 of 2 available, 2 updated, 2 present, ImagePullBackOff: \
             Pod kube-system/cni-2: container main (x:v2) waits on node b: Back-off pulling image"
        );
    }

    #[test]
    fn an_old_generation_fails_and_the_controllers_reason_is_kept() {
        let old = with(
            &workload("StatefulSet", "db", "x"),
            "/status/observedGeneration",
            json!(2),
        );
        assert_eq!(
            problems(&judge(&[old], &[])),
            "StatefulSet kube-system/db: not yet seen by its controller"
        );
        let stalled = with(
            &workload("Deployment", "web", "x"),
            "/status/updatedReplicas",
            json!(0),
        );
        let progressing = json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "no"}]);
        let stalled = with(&stalled, "/status/conditions", progressing);
        assert!(problems(&judge(&[stalled], &[])).ends_with("ProgressDeadlineExceeded: no"));
    }

    #[test]
    fn without_workloads_nothing_is_judged() {
        assert!(matches!(judge(&[], &[]), Judgement::Skip(_)));
    }
}
