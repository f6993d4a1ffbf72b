//! Causes that waiting does not mend, found by looking at both clusters while a wait is blocked.
//!
//! A cause is named only when it is beyond doubt: a wrong "closed" is as bad as a wrong "open", so
//! each rule says for how long, or under which invariant, its evidence has to hold.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;

use super::ahead::Ahead;
use super::finished::{self, Goal};
use super::truth::Truth;
use super::{hooks, images, named, operator, order};
use crate::cluster::{Context, Investigate, Object, View, blind, kinds};
use crate::engine::Engine;
use crate::record::{Blocker, Finding, ObjectRef};
use crate::stack::ADDON_NAMESPACE;

/// For how long a drain has to be blocked by a budget that can never allow it.
const DRAIN_BLOCKED: Duration = Duration::from_secs(20);
/// From how many restarts on a crash loop is taken for one, and for how long it has to last.
const CRASHES: i64 = 5;
const CRASHING: Duration = Duration::from_secs(60);

/// For how long an addon that stackgate has applied itself has to be gone: nobody else brings it back.
const GONE: Duration = Duration::from_secs(30);

/// For how long a node has to wait for its cloud: a controller manager that runs takes seconds.
const NO_CLOUD: Duration = Duration::from_secs(300);
/// The taint of a node that no cloud controller manager has looked at
/// (`k8s.io/cloud-provider/api`, `TaintExternalCloudProvider`).
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// For how long every connection has to be refused because of the certificate: a control plane that is
/// being replaced may show an old one for a moment.
const EXPIRED: Duration = Duration::from_secs(30);

/// Looks at what blocks the arrival at a goal.
pub struct Causes<'a> {
    /// The run.
    pub context: &'a Context,
    /// Where the cluster has to arrive.
    pub goal: &'a Goal,
    /// The management cluster.
    pub management: &'a View,
    /// The workload cluster, once it answers.
    pub workload: Option<&'a View>,
    /// The addons as they are, beside what is rendered.
    pub truth: Option<&'a Truth>,
    /// The workloads of addons that stackgate has applied itself.
    pub applied: Mutex<BTreeSet<ObjectRef>>,
    /// Whether no hook may be called on the way.
    pub unasked: bool,
    /// What was ready when the upgrade began.
    pub(super) ahead: Option<&'a Ahead>,
    /// Looks at the machines themselves.
    pub engine: &'a dyn Engine,
    /// Since when each piece of evidence has been there without a pause.
    pub seen: Mutex<HashMap<String, Instant>>,
    /// The images that nodes are known to have run, from all of the run's waits.
    pub(super) had: &'a images::Had,
}

impl Investigate for Causes<'_> {
    fn investigate<'b>(&'b self, blockers: &'b [Blocker]) -> BoxFuture<'b, Option<Finding>> {
        async move {
            if let Some(finding) = self
                .workload
                .and_then(|workload| self.in_clusters(workload))
            {
                return Some(finding);
            }
            let machines = self.goal.machines(self.management);
            self.engine.investigate(blockers, &machines).await
        }
        .boxed()
    }

    fn applied(&self, objects: &[Value]) {
        self.known_applied().extend(finished::workloads(objects));
    }
}

/// Looks at what keeps a cluster from being seen, wherever it is on its way.
pub(super) struct Unseen<'a> {
    pub(super) context: &'a Context,
    pub(super) goal: &'a Goal,
    pub(super) management: &'a View,
    pub(super) workload: &'a View,
    pub(super) engine: &'a dyn Engine,
    /// As in [`Causes`].
    pub(super) seen: Mutex<HashMap<String, Instant>>,
}

impl Investigate for Unseen<'_> {
    fn investigate<'b>(&'b self, blockers: &'b [Blocker]) -> BoxFuture<'b, Option<Finding>> {
        async move {
            let expired = expired(self.workload).map(|finding| Clue::new(EXPIRED, finding));
            match held(&self.seen, self.context, Vec::from_iter(expired)) {
                Some(finding) => Some(finding),
                None => {
                    let machines = self.goal.machines(self.management);
                    self.engine.investigate(blockers, &machines).await
                }
            }
        }
        .boxed()
    }
}

impl Causes<'_> {
    fn in_clusters(&self, workload: &View) -> Option<Finding> {
        let pods = workload.list(&kinds::POD);
        let machines = self.goal.machines(self.management);
        let budgets = workload.list(&kinds::POD_DISRUPTION_BUDGET);
        let simple = [
            (DRAIN_BLOCKED, drains(&machines, &budgets, &pods)),
            (CRASHING, crash_loops(&pods)),
            (EXPIRED, Vec::from_iter(expired(workload))),
            (NO_CLOUD, without_cloud(&workload.list(&kinds::NODE))),
            (GONE, self.deleted(workload)),
        ];
        let mut evidence: Vec<Clue> = simple
            .into_iter()
            .flat_map(|(hold, findings)| {
                let clue = move |finding| Clue::new(hold, finding);
                findings.into_iter().map(clue)
            })
            .collect();
        evidence.extend(images::refused(&pods, self.had, self.moves_dns_yet()));
        let ahead = self.ahead.and_then(Ahead::proven);
        evidence.extend(ahead.map(|finding| Clue::new(Duration::ZERO, finding)));
        evidence.extend(order::workers_first(self.goal, self.management));
        if self.unasked {
            evidence.extend(hooks::called(self.goal, self.management));
        }
        if self.goal.operator {
            let now = self.context.now();
            evidence.extend(operator::evidence(
                self.goal,
                self.management,
                workload,
                self.truth,
                now,
            ));
        }
        held(&self.seen, self.context, evidence)
    }

    fn known_applied(&self) -> MutexGuard<'_, BTreeSet<ObjectRef>> {
        self.applied
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Workloads of the release that were applied and are not there.
    fn deleted(&self, workload: &View) -> Vec<Finding> {
        let applied = self.known_applied();
        let unread = workload.unsettled();
        let read = |kind: &str| unread.iter().all(|(unread, _)| unread.kind != kind);
        let gone = finished::missing(self.goal, workload);
        gone.into_iter()
            .filter(|place| applied.contains(place) && read(&place.kind))
            .map(|place| Finding {
                cause: "addon-deleted".to_owned(),
                message: format!(
                    "{place} is gone although {} has it and it was applied: something deletes it",
                    self.goal.class
                ),
                object: place,
                evidence: blind(workload).iter().map(ToString::to_string).collect(),
            })
            .collect()
    }

    /// While the control plane is under way, CoreDNS may sit on a node whose image it does not have:
    /// KubeadmControlPlane moves it last. Afterwards nobody will.
    fn moves_dns_yet(&self) -> bool {
        let planes = self.management.list(&kinds::KUBEADM_CONTROL_PLANE);
        planes.iter().any(|plane| {
            let updated = plane.int("/status/upToDateReplicas");
            plane.str("/status/version") != self.goal.version
                || updated != Some(self.goal.control_plane)
                || plane.int("/status/replicas") != updated
        })
    }
}

/// What may be a cause.
pub(super) struct Clue {
    /// For how long it has to be there without a pause.
    pub(super) hold: Duration,
    pub(super) finding: Finding,
    /// Which of several, where one object shows the same cause in several ways: each has a clock of its own.
    way: String,
}

impl Clue {
    pub(super) const fn new(hold: Duration, finding: Finding) -> Self {
        let way = String::new();
        Self { hold, finding, way }
    }

    pub(super) fn by_way_of(self, way: impl Into<String>) -> Self {
        let way = way.into();
        Self { way, ..self }
    }

    pub(super) fn key(&self) -> String {
        format!(
            "{} {} {}",
            self.finding.cause, self.finding.object, self.way
        )
    }
}

/// The first finding whose evidence has been there for its time.
pub(super) fn held(
    seen: &Mutex<HashMap<String, Instant>>,
    context: &Context,
    evidence: Vec<Clue>,
) -> Option<Finding> {
    let now = Instant::now();
    let mut seen = seen
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    seen.retain(|known, _| evidence.iter().any(|clue| clue.key() == *known));
    evidence.into_iter().find_map(|clue| {
        let since = *seen.entry(clue.key()).or_insert(now);
        (now - since >= context.scaled(clue.hold)).then_some(clue.finding)
    })
}

/// Containers of a pod's status, init containers first.
pub(super) fn containers(pod: &Object) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .flat_map(|pointer| pod.array(pointer))
}

pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Nodes that no cloud controller manager looks at: nothing is scheduled there, and no Machine finds its node.
fn without_cloud(nodes: &[Arc<Object>]) -> Vec<Finding> {
    let waits = |node: &Object| {
        let taints = node.array("/spec/taints").iter();
        taints
            .into_iter()
            .any(|taint| taint["key"] == UNINITIALIZED)
    };
    nodes
        .iter()
        .filter(|node| waits(node))
        .map(|node| Finding {
            cause: "cloud-controller-missing".to_owned(),
            message: format!(
                "{} waits for a cloud controller manager to look at it, and none does: expected one among the addons",
                node.reference()
            ),
            object: node.reference(),
            evidence: vec![
                format!("taint {UNINITIALIZED}"),
                format!("spec.providerID {:?}", node.str("/spec/providerID")),
            ],
        })
        .collect()
}

/// An API server whose certificate has expired: nothing of the cluster can be seen any more.
fn expired(workload: &View) -> Option<Finding> {
    let blind = blind(workload);
    let first = blind.first()?;
    if !blind
        .iter()
        .all(|blocker| named::is_expired(&blocker.message))
    {
        return None;
    }
    Some(Finding {
        cause: "certificate-expired".to_owned(),
        message: format!(
            "the API server of the workload cluster cannot be talked to, because its certificate has expired: {}",
            first.message
        ),
        object: ObjectRef::new("workload", "APIServer", "", "kube-apiserver"),
        evidence: blind.iter().map(ToString::to_string).collect(),
    })
}

fn crash_loops(pods: &[Arc<Object>]) -> Vec<Finding> {
    pods.iter()
        .filter(|pod| !pod.is_deleting() && pod.namespace() == ADDON_NAMESPACE)
        .flat_map(|pod| containers(pod).map(move |container| (pod, container)))
        .filter(|(_, container)| {
            text(container, "/state/waiting/reason") == "CrashLoopBackOff"
                && container["restartCount"].as_i64() >= Some(CRASHES)
        })
        .map(|(pod, container)| {
            let ended = &container["lastState"]["terminated"];
            Finding {
                cause: "container-crash-loop".to_owned(),
                message: format!(
                    "container {} of {} crashes again and again ({} restarts, last exit code {})",
                    text(container, "/name"),
                    pod.reference(),
                    container["restartCount"],
                    ended["exitCode"],
                ),
                object: pod.reference(),
                evidence: vec![
                    text(container, "/state/waiting/message").to_owned(),
                    text(ended, "/message").to_owned(),
                ]
                .into_iter()
                .filter(|line| !line.is_empty())
                .collect(),
            }
        })
        .collect()
}

/// A Machine that drains, a pod on its node, and a budget that can never let the pod go: with all
/// its pods healthy it still allows no disruption.
fn drains(machines: &[Arc<Object>], budgets: &[Arc<Object>], pods: &[Arc<Object>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for machine in machines {
        // A drain with a time limit ends by itself.
        if machine
            .int("/spec/deletion/nodeDrainTimeoutSeconds")
            .is_some_and(|limit| limit > 0)
        {
            continue;
        }
        let draining = machine
            .condition("Deleting")
            .filter(|condition| condition.status == "True" && condition.reason == "DrainingNode");
        let Some(draining) = draining else { continue };
        for budget in budgets.iter().filter(|budget| never_allows(budget)) {
            let node = machine.str("/status/nodeRef/name");
            let pod = pods
                .iter()
                .find(|pod| pod.str("/spec/nodeName") == node && selects(budget, pod));
            let Some(pod) = pod else { continue };
            found.push(Finding {
                cause: "drain-blocked-by-budget".to_owned(),
                message: format!(
                    "{} never lets {} be evicted, so Machine {} cannot be drained and node {node} \
                     cannot be replaced",
                    budget.reference(),
                    pod.reference(),
                    machine.name(),
                ),
                object: budget.reference(),
                evidence: vec![
                    format!(
                        "disruptionsAllowed {}, currentHealthy {}, desiredHealthy {}, expectedPods {}",
                        budget.json["status"]["disruptionsAllowed"],
                        budget.json["status"]["currentHealthy"],
                        budget.json["status"]["desiredHealthy"],
                        budget.json["status"]["expectedPods"],
                    ),
                    draining.message.clone(),
                ],
            });
        }
    }
    found
}

fn never_allows(budget: &Object) -> bool {
    let status = |field: &str| budget.int(&format!("/status/{field}")).unwrap_or_default();
    status("disruptionsAllowed") == 0
        && status("expectedPods") > 0
        && status("desiredHealthy") >= status("expectedPods")
}

/// Whether a budget's selector matches a pod. Only `matchLabels` is read; a budget that also has
/// expressions is left to the deadline rather than judged by half of its selector.
fn selects(budget: &Object, pod: &Object) -> bool {
    let labels = budget
        .at("/spec/selector/matchLabels")
        .and_then(Value::as_object);
    let has_expressions = !budget.array("/spec/selector/matchExpressions").is_empty();
    budget.namespace() == pod.namespace()
        && !has_expressions
        && labels.is_some_and(|labels| {
            labels
                .iter()
                .all(|(key, value)| pod.label(key) == value.as_str())
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(json: Value) -> Arc<Object> {
        Arc::new(Object::new("workload", json))
    }

    fn budget(desired: i64, expected: i64) -> Arc<Object> {
        object(
            json!({"kind": "PodDisruptionBudget", "metadata": {"name": "b", "namespace": "d"},
            "spec": {"selector": {"matchLabels": {"app": "a"}}},
            "status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": desired, "expectedPods": expected}}),
        )
    }

    fn pod(node: &str) -> Arc<Object> {
        object(
            json!({"kind": "Pod", "metadata": {"name": "p", "namespace": "d", "labels": {"app": "a"}},
            "spec": {"nodeName": node}}),
        )
    }

    fn draining() -> Arc<Object> {
        object(
            json!({"kind": "Machine", "metadata": {"name": "m", "namespace": "n"},
            "status": {"nodeRef": {"name": "node-1"}, "conditions": [
                {"type": "Deleting", "status": "True", "reason": "DrainingNode", "message": "Drain not completed yet"}]}}),
        )
    }

    #[test]
    fn a_budget_that_can_never_be_met_blocks_the_drain_of_its_pods_node_only() {
        let finding = drains(&[draining()], &[budget(1, 1)], &[pod("node-1")]).remove(0);
        assert_eq!(finding.cause, "drain-blocked-by-budget");
        assert!(
            finding.message.contains("PodDisruptionBudget d/b"),
            "{}",
            finding.message
        );
        assert!(drains(&[draining()], &[budget(1, 1)], &[pod("node-2")]).is_empty());
        // One pod of two may go once the other is healthy again: waiting mends it.
        assert!(drains(&[draining()], &[budget(1, 2)], &[pod("node-1")]).is_empty());
    }

    #[test]
    fn a_node_that_no_cloud_has_looked_at_is_named() {
        let node = |taints: Value| {
            object(json!({"kind": "Node", "metadata": {"name": "n"}, "spec": {"taints": taints}}))
        };
        let waits = node(json!([{"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"}]));
        let other = node(json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
        let found = without_cloud(&[other, waits.clone()]);
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert_eq!(finding.object, waits.reference());
    }
}
