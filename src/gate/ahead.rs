//! Addons that ask for nodes as only N+1 has them, while there are only those of N: all their Pods go until the first
//! Machine of N+1 has come.
//!
//! Addons are applied before Machines are replaced, or meanwhile where no hook is called. That is a defect of a release
//! only where an addon cannot be on the nodes of N: whoever had ready Pods before the upgrade then has none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::causes::Clue;
use super::finished::{self, Goal};
use crate::cluster::{Context, Object, View, blind, kinds, placement};
use crate::record::{Finding, ObjectRef};

/// For how long a workload has to be without a ready Pod: a Pod that starts anew on the node that it was on takes
/// seconds.
const WITHOUT: Duration = Duration::from_secs(30);

/// The workloads that had ready Pods when an upgrade began, and what became of them.
pub(super) struct Ahead {
    ready: BTreeSet<ObjectRef>,
    /// The nodes that were there then.
    nodes: BTreeSet<String>,
    /// The Kubernetes version that the upgrade begins with.
    version: String,
    out: Mutex<BTreeMap<ObjectRef, Outage>>,
}

/// A workload without a ready Pod, that no node is there for.
struct Outage {
    /// What it asks for.
    asks: String,
    from: Timestamp,
    /// From the first look that saw it to the last.
    since: Instant,
    seen: Instant,
}

impl Ahead {
    /// As an upgrade from `goal` finds it.
    pub(super) fn of(goal: &Goal, workload: &View) -> Self {
        let live = finished::live(goal, workload);
        let ready = live.filter(|(_, live)| live.as_deref().is_some_and(has_ready));
        Self {
            ready: ready.map(|(place, _)| place.clone()).collect(),
            nodes: names(&workload.list(&kinds::NODE)),
            version: goal.version.clone(),
            out: Mutex::default(),
        }
    }

    /// The workloads that had to wait for a node of N+1, once it is there: that proves what they waited for.
    pub(super) fn evidence(
        &self,
        context: &Context,
        goal: &Goal,
        management: &View,
        workload: &View,
    ) -> Vec<Clue> {
        if !blind(workload).is_empty() {
            // What is not seen now is not known to be so.
            return Vec::new();
        }
        let nodes = workload.list(&kinds::NODE);
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (place, live) in finished::live(goal, workload) {
            let Some(live) = live.filter(|_| self.ready.contains(place)) else {
                continue;
            };
            let spec = &live.json["spec"]["template"]["spec"];
            let suit = |node: &&Arc<Object>| placement::suits(spec, node);
            let (now, is_out) = (Instant::now(), !has_ready(&live) && is_wanted(&live));
            if is_out && !nodes.iter().any(|node| suit(&node)) {
                let begin = || Outage::begin(spec, &nodes, now, context.now());
                out.entry(place.clone()).or_insert_with(begin);
            }
            let Some(outage) = out.get_mut(place) else {
                continue;
            };
            if is_out {
                outage.seen = now;
            }
            let long = outage.seen - outage.since >= context.scaled(WITHOUT);
            let is_new = |node: &&Arc<Object>| !self.nodes.contains(node.name());
            let come: Vec<&Arc<Object>> = nodes.iter().filter(suit).collect();
            match come.first() {
                // A node of N that came to suit them was given its label late, which is not this.
                Some(_) if !come.iter().all(is_new) => drop(out.remove(place)),
                Some(node) if long => {
                    let finding = self.finding(&live, outage, goal, management, node);
                    found.push(Clue::new(Duration::ZERO, finding));
                }
                _ if !is_out && !long => drop(out.remove(place)),
                _ => {}
            }
        }
        found
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
        let seconds = (outage.seen - outage.since).as_secs();
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

impl Outage {
    fn begin(spec: &Value, nodes: &[Arc<Object>], since: Instant, from: Timestamp) -> Self {
        let mut unmet = nodes
            .iter()
            .map(|node| placement::unmet_labels(spec, node))
            .map(BTreeSet::from_iter);
        let first: BTreeSet<String> = unmet.next().unwrap_or_default();
        let labels = unmet.fold(first, |all, more| &all & &more);
        let asks = match labels.is_empty() {
            false => format!("label {}", Vec::from_iter(labels).join(", ")),
            true => "other nodes by its selector, affinity and tolerations".to_owned(),
        };
        let seen = since;
        Self {
            asks,
            from,
            since,
            seen,
        }
    }
}

fn names(nodes: &[Arc<Object>]) -> BTreeSet<String> {
    nodes.iter().map(|node| node.name().to_owned()).collect()
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
