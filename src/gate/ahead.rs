//! Addons that ask for nodes as only N+1 has them, while there are only those of N: all their Pods go until the first
//! Machine of N+1 has come, or for good where it has no such nodes either.
//!
//! Addons are applied before Machines are replaced, or meanwhile where no hook is called. That is a defect of a release
//! only where an addon cannot be on the nodes of N: whoever had ready Pods before the upgrade then has none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::finished::{self, Goal};
use crate::cluster::{Context, Object, View, blind, kinds, placement};
use crate::record::{Finding, ObjectRef};
use crate::stack::Image;

/// For how long a workload has to be without a ready Pod. What it waits for is proven in another way, so this says only
/// from when on it matters: as long as the probe of a Service allows.
const WITHOUT: Duration = Duration::from_secs(10);

/// What an upgrade finds when it begins. It is kept for a process that may have to go on with it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Standing {
    /// The addons' workloads that have ready Pods.
    ready: BTreeSet<ObjectRef>,
    /// The nodes, as far as it tells of which kind they are.
    nodes: Vec<Value>,
}

impl Standing {
    /// Of views that are settled.
    pub(super) fn of(goal: &Goal, workload: &View) -> Self {
        let live = finished::live(goal, workload, None);
        let ready = live.filter(|(_, live)| live.as_deref().is_some_and(has_ready));
        let nodes = workload.list(&kinds::NODE).into_iter().map(|node| {
            let metadata = &node.json["metadata"];
            let metadata = json!({"name": metadata["name"], "labels": metadata["labels"]});
            json!({"metadata": metadata, "spec": {"taints": node.json["spec"]["taints"]}})
        });
        Self {
            ready: ready.map(|(place, _)| place.clone()).collect(),
            nodes: nodes.collect(),
        }
    }
}

/// The workloads that had ready Pods when an upgrade began, and what became of them.
pub(super) struct Ahead {
    ready: BTreeSet<ObjectRef>,
    /// The nodes that were there then, as they were.
    nodes: Vec<Object>,
    /// The Kubernetes version that the upgrade begins with.
    version: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    out: BTreeMap<ObjectRef, Outage>,
    proven: Option<Finding>,
}

/// A workload without a ready Pod, that no node is there for.
struct Outage {
    /// What it asks for.
    asks: String,
    from: Timestamp,
    since: Instant,
    /// The last look that saw it.
    until: Instant,
}

impl Ahead {
    /// What became of what an upgrade from a Kubernetes version has found.
    pub(super) fn of(found: &Standing, version: &str) -> Self {
        let nodes = found.nodes.iter().cloned();
        Self {
            ready: found.ready.clone(),
            nodes: nodes.map(|node| Object::new("workload", node)).collect(),
            version: version.to_owned(),
            seen: Mutex::default(),
        }
    }

    /// The first workload that had to wait for a node of N+1, once that is there: it proves what was waited for.
    pub(super) fn proven(&self) -> Option<Finding> {
        self.lock().proven.clone()
    }

    /// Looks at how the workloads are now.
    pub(super) fn look(&self, context: &Context, goal: &Goal, management: &View, workload: &View) {
        let mut seen = self.lock();
        if seen.proven.is_some() || !blind(workload).is_empty() {
            // What is not seen now is not known to be so.
            return;
        }
        let (nodes, now) = (workload.list(&kinds::NODE), Instant::now());
        for (place, live) in self.had_ready(goal, workload) {
            let spec = template(&live);
            if !self.is_for_others(spec) || self.is_stood_in_for(&live, goal, workload) {
                seen.out.remove(place);
                continue;
            }
            let suits = |node: &&Arc<Object>| placement::suits(spec, node);
            let come: Vec<&Arc<Object>> = nodes.iter().filter(suits).collect();
            let is_out = !has_ready(&live) && is_wanted(&live);
            if is_out && come.is_empty() {
                let begin = || Outage {
                    asks: asks(spec, &nodes),
                    from: context.now(),
                    since: now,
                    until: now,
                };
                seen.out.entry(place.clone()).or_insert_with(begin);
            }
            let Some(outage) = seen.out.get_mut(place) else {
                continue;
            };
            if is_out {
                outage.until = now;
            }
            let is_long = outage.until - outage.since >= context.scaled(WITHOUT);
            let is_old =
                |node: &&Arc<Object>| self.nodes.iter().any(|old| old.name() == node.name());
            // A node of N that suits it after all was given its label late, which is another matter.
            if come.iter().any(is_old) || !(is_out || is_long) {
                seen.out.remove(place);
            } else if let Some(node) = come.first().filter(|_| is_long) {
                seen.proven = Some(self.finding(&live, outage, goal, management, node));
                return;
            }
        }
    }

    /// A DaemonSet that has no Pod any more where all has arrived, as no node is there for it: it wants none then, and
    /// counts as rolled out.
    pub(super) fn without_nodes(&self, goal: &Goal, workload: &View) -> Option<Finding> {
        let nodes = workload.list(&kinds::NODE);
        let mut left = self.had_ready(goal, workload).filter(|(place, live)| {
            let spec = template(live);
            place.kind == "DaemonSet"
                && !has_ready(live)
                && !nodes.iter().any(|node| placement::suits(spec, node))
                && !self.is_stood_in_for(live, goal, workload)
        });
        let (place, live) = left.next()?;
        let asks = asks(template(&live), &nodes);
        Some(Finding {
            cause: "addon-without-nodes".to_owned(),
            message: format!(
                "{place} had ready Pods before the upgrade and has none after it: in {} it asks for {asks}, which no \
                 node meets. Let the release give its nodes what is asked for, or leave the addon out of it",
                goal.class
            ),
            object: place.clone(),
            evidence: vec![
                "desiredNumberScheduled 0".to_owned(),
                format!("asks for {asks}"),
            ],
        })
    }

    /// A workload that had to wait for a node of N+1, whether for long or not.
    pub(super) fn waited(&self, goal: &Goal, workload: &View) -> Option<ObjectRef> {
        let mut all = self.had_ready(goal, workload);
        let waited = all.find(|(_, live)| {
            self.is_for_others(template(live)) && !self.is_stood_in_for(live, goal, workload)
        });
        waited.map(|(place, _)| place.clone())
    }

    /// What there is now of the workloads that had ready Pods.
    fn had_ready<'a>(
        &'a self,
        goal: &'a Goal,
        workload: &'a View,
    ) -> impl Iterator<Item = (&'a ObjectRef, Arc<Object>)> {
        let live = finished::live(goal, workload, None);
        live.filter_map(|(place, live)| {
            let live = live.filter(|_| self.ready.contains(place));
            Some((place, live?))
        })
    }

    /// Whether no node of N suits a Pod. One that did may be gone, with the next one still to come: that is a rollout
    /// without a node to spare.
    fn is_for_others(&self, spec: &Value) -> bool {
        !self.nodes.iter().any(|node| placement::suits(spec, node))
    }

    /// Whether a workload that came with N+1 does the same elsewhere: an addon may be split in two, for old nodes and
    /// for new ones.
    fn is_stood_in_for(&self, live: &Object, goal: &Goal, workload: &View) -> bool {
        let mut others = finished::live(goal, workload, None).filter_map(|(place, other)| {
            other.filter(|_| !self.ready.contains(place) && place.kind == live.kind())
        });
        let own = repositories(live);
        others.any(|other| {
            // Sidecars are shared by addons that have nothing else in common.
            other.namespace() == live.namespace()
                && has_ready(&other)
                && own.is_subset(&repositories(&other))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finding(
        &self,
        live: &Object,
        outage: &Outage,
        goal: &Goal,
        management: &View,
        node: &Object,
    ) -> Finding {
        let (place, asks) = (live.reference(), &outage.asks);
        let machines = goal.machines(management);
        let machine = machines
            .iter()
            .find(|machine| machine.str("/status/nodeRef/name") == node.name());
        let came = match machine {
            Some(machine) => format!("Machine {} (node {})", machine.name(), node.name()),
            None => format!("node {}", node.name()),
        };
        let order = match (goal.operator, self.version == goal.version) {
            (true, true) => format!(
                "Kubernetes stays at {}, so no hook orders them: addons are applied while nodes are replaced (CS#9)",
                goal.version
            ),
            _ => "addons are applied before nodes are replaced".to_owned(),
        };
        let seconds = (outage.until - outage.since).as_secs();
        Finding {
            cause: "addon-ahead-of-nodes".to_owned(),
            message: format!(
                "{place} was without a ready Pod for {seconds} s: since {} was applied it asks for {asks}, which no node \
                 met until {came} came; {order}. Let one release give its nodes what is asked for, and ask for it in \
                 the next one",
                goal.class
            ),
            object: place,
            evidence: vec![
                format!("without a ready Pod from {:.0} on", outage.from),
                format!("asks for {asks}"),
                format!("first node that suits it: {came}"),
            ],
        }
    }
}

/// The spec of a workload's Pods.
fn template(live: &Object) -> &Value {
    &live.json["spec"]["template"]["spec"]
}

/// What Pods ask for that none of the nodes has.
fn asks(spec: &Value, nodes: &[Arc<Object>]) -> String {
    let mut unmet = nodes
        .iter()
        .map(|node| placement::unmet_labels(spec, node))
        .map(BTreeSet::from_iter);
    let first: BTreeSet<String> = unmet.next().unwrap_or_default();
    let labels = unmet.fold(first, |all, more| &all & &more);
    match labels.is_empty() {
        false => format!("label {}", Vec::from_iter(labels).join(", ")),
        true => "other nodes by its selector, affinity and tolerations".to_owned(),
    }
}

/// Where the images of a workload come from, whatever their version.
fn repositories(live: &Object) -> BTreeSet<&str> {
    let containers = live.array("/spec/template/spec/containers").iter();
    let images = containers.filter_map(|one| one["image"].as_str());
    images.map(|image| Image::parse(image).repository).collect()
}

/// Whether a workload has a ready Pod, if only where it should be no more.
fn has_ready(live: &Object) -> bool {
    let count = |field: &str| live.int(field).unwrap_or_default();
    match live.kind() {
        "DaemonSet" => count("/status/numberReady") + count("/status/numberMisscheduled") > 0,
        _ => count("/status/readyReplicas") > 0,
    }
}

/// Whether it is to have Pods at all. A DaemonSet does not say.
fn is_wanted(live: &Object) -> bool {
    live.int("/spec/replicas") != Some(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::{Interrupt, Kind};
    use crate::record::{Clock, Recorder};

    fn node(name: &str, labels: Value) -> (Kind, Value) {
        let metadata = json!({"name": name, "labels": labels});
        (
            kinds::NODE,
            json!({"kind": "Node", "metadata": metadata, "spec": {}}),
        )
    }

    fn agent(name: &str, selector: &Value, ready: i64) -> (Kind, Value) {
        let metadata = json!({"name": name, "namespace": "kube-system"});
        // Each has a sidecar that everybody has.
        let own = format!("example.org/{}:v1", name.trim_end_matches("-old"));
        let images = json!([{"image": own}, {"image": "example.org/sidecar:v1"}]);
        let spec = json!({"template": {"spec": {"nodeSelector": selector, "containers": images}}});
        let status = json!({"numberReady": ready});
        (
            kinds::DAEMON_SET,
            json!({"kind": "DaemonSet", "metadata": metadata, "spec": spec, "status": status}),
        )
    }

    /// So many seconds later, so many Pods are ready, and these nodes are there.
    type Look<'l> = (u64, i64, &'l [(&'l str, Value)]);

    /// Of a release with agents of these names, on a cluster with the first of them.
    fn upgrade(names: &[&str], before: i64) -> (Goal, Ahead) {
        let mut goal = Goal::of_the_operator("docker-demo-1-34-v2", "v1.34.3");
        let rendered: Vec<Value> = names
            .iter()
            .map(|name| agent(name, &json!({}), 0).1)
            .collect();
        let workloads = finished::workloads(&rendered).into_iter();
        goal.workloads = workloads.map(|place| (String::new(), place)).collect();
        let old = [agent("agent", &json!({}), before), node("old", json!({}))];
        let standing = Standing::of(&goal, &View::holding("workload", &old));
        // As another process finds it.
        let standing = serde_json::from_value(json!(standing)).unwrap();
        (goal, Ahead::of(&standing, "v1.34.3"))
    }

    /// What is found of an agent that asks for something from N+1 on, by what there is to see.
    async fn found(before: i64, asks: Value, seen: &[Look<'_>]) -> Option<Finding> {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        let run = "7f3a09bc".parse().unwrap();
        let context = Context::new(run, recorder, Interrupt::default(), 1.0);
        let (goal, ahead) = upgrade(&["agent"], before);
        let machine = json!({
            "kind": "Machine",
            "metadata": {"name": "m", "namespace": "n", "labels": {kinds::CLUSTER_NAME: "c"}},
            "status": {"nodeRef": {"name": "new"}},
        });
        let management = View::holding("management", &[(kinds::MACHINE, machine)]);
        for (after, ready, nodes) in seen {
            tokio::time::advance(Duration::from_secs(*after)).await;
            let nodes = nodes
                .iter()
                .map(|(name, labels)| node(name, labels.clone()));
            let objects: Vec<_> = nodes.chain([agent("agent", &asks, *ready)]).collect();
            let workload = View::holding("workload", &objects);
            ahead.look(&context, &goal, &management, &workload);
        }
        ahead.proven()
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_node_of_n1_is_told_with_what_it_asks_for_cs_9() {
        let (asks, plain) = (json!({"pool": "next"}), json!({}));
        let old: &[_] = &[("old", plain.clone())];
        let both: &[_] = &[("old", plain), ("new", asks.clone())];
        let finding = found(1, asks.clone(), &[(0, 0, old), (9, 0, old), (3, 0, both)]).await;
        let finding = finding.unwrap();
        assert_eq!(finding.cause, "addon-ahead-of-nodes");
        for told in [
            "DaemonSet kube-system/agent was without a ready Pod for 12 s",
            "asks for label pool=next",
            "until Machine m (node new) came",
            "Kubernetes stays at v1.34.3",
            "CS#9",
        ] {
            assert!(finding.message.contains(told), "{}", finding.message);
        }
        // It has come back by the time that anybody looks, and was away all the same.
        let late = found(1, asks.clone(), &[(0, 0, old), (12, 0, old), (9, 1, both)]).await;
        assert!(late.unwrap().message.contains("for 12 s"));
        // Too short to matter; nothing ready before either; no node for it ever.
        assert_eq!(
            found(1, asks.clone(), &[(0, 0, old), (6, 0, both), (3, 1, both)]).await,
            None
        );
        assert_eq!(
            found(0, asks.clone(), &[(0, 0, old), (60, 0, both)]).await,
            None
        );
        assert_eq!(found(1, asks, &[(0, 0, old), (60, 0, old)]).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_node_and_no_pod_is_not_ahead() {
        let (asks, plain) = (json!({"pool": "next"}), json!({}));
        let old: &[_] = &[("old", plain.clone())];
        let both: &[_] = &[("old", plain.clone()), ("new", plain.clone())];
        // It asks for nothing new: whatever keeps it from running is another matter.
        assert_eq!(
            found(1, plain.clone(), &[(0, 0, old), (60, 0, both)]).await,
            None
        );
        // The only node is replaced, and none is to spare.
        let new: &[_] = &[("new", plain.clone())];
        assert_eq!(
            found(1, plain.clone(), &[(0, 0, &[]), (60, 0, &[]), (5, 0, new)]).await,
            None
        );
        // The node of N is given the label, if late.
        let labelled: &[_] = &[("old", asks.clone()), ("new", asks.clone())];
        assert_eq!(
            found(1, asks, &[(0, 0, old), (60, 0, labelled)]).await,
            None
        );
    }

    #[test]
    fn who_is_left_without_any_node_is_told_issue_7() {
        let (goal, ahead) = upgrade(&["agent"], 1);
        let without = |asks: Value, ready: i64, labels: Value| {
            let objects = [agent("agent", &asks, ready), node("new", labels)];
            ahead.without_nodes(&goal, &View::holding("workload", &objects))
        };
        let (asks, plain) = (json!({"pool": "nxt"}), json!({}));
        let finding = without(asks.clone(), 0, plain.clone()).unwrap();
        assert_eq!(finding.cause, "addon-without-nodes");
        let told = "in docker-demo-1-34-v2 it asks for label pool=nxt, which no node meets";
        assert!(finding.message.contains(told), "{}", finding.message);
        // It has a node, and whatever keeps it from running there is another matter; or it runs.
        assert_eq!(without(asks.clone(), 0, asks.clone()), None);
        assert_eq!(without(asks.clone(), 1, plain.clone()), None);
        assert_eq!(without(plain.clone(), 0, plain.clone()), None);
        // It had none before, either.
        let (goal, ahead) = upgrade(&["agent"], 0);
        let objects = [agent("agent", &asks, 0), node("new", plain)];
        let view = View::holding("workload", &objects);
        assert_eq!(ahead.without_nodes(&goal, &view), None);
    }

    #[test]
    fn an_addon_may_be_split_in_two_for_old_nodes_and_for_new_ones_issue_7() {
        let (goal, ahead) = upgrade(&["agent", "agent-old"], 1);
        let split = |ready: i64| {
            let objects = [
                agent("agent", &json!({"pool": "next"}), 0),
                agent("agent-old", &json!({}), ready),
                node("old", json!({})),
            ];
            let view = View::holding("workload", &objects);
            (
                ahead.waited(&goal, &view),
                ahead.without_nodes(&goal, &view).is_some(),
            )
        };
        assert_eq!(split(1), (None, false));
        let (waited, without) = split(0);
        assert_eq!(waited.unwrap().name, "agent");
        assert!(without);
        // Another addon has the same sidecar, and does something else.
        let (goal, ahead) = upgrade(&["agent", "other"], 1);
        let objects = [
            agent("agent", &json!({"pool": "next"}), 0),
            agent("other", &json!({}), 1),
            node("old", json!({})),
        ];
        let view = View::holding("workload", &objects);
        assert!(
            ahead.waited(&goal, &view).is_some() && ahead.without_nodes(&goal, &view).is_some()
        );
    }

    #[test]
    fn what_a_set_of_pods_has_and_wants_is_counted_by_its_kind() {
        let live = |kind: &str, spec: Value, status: Value| {
            Object::new(
                "workload",
                json!({"kind": kind, "spec": spec, "status": status}),
            )
        };
        let misplaced = live(
            "DaemonSet",
            json!({}),
            json!({"numberReady": 0, "numberMisscheduled": 1}),
        );
        assert!(has_ready(&misplaced) && is_wanted(&misplaced));
        let none = live("Deployment", json!({"replicas": 0}), json!({}));
        assert!(!has_ready(&none) && !is_wanted(&none));
        assert!(has_ready(&live(
            "StatefulSet",
            json!({}),
            json!({"readyReplicas": 1})
        )));
    }
}
