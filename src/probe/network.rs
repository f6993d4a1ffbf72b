//! Which versions of the network's agents there were while something was lost: whether a step was left out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::cluster::Object;
use crate::record::ObjectRef;
use crate::stack::network::{STEPS, cilium, skips};

/// For how long after an agent has gone what it had set up may matter, in milliseconds.
const NEAR: i64 = 20_000;

/// An agent of a DaemonSet, from when to when it was there, in milliseconds of the run.
#[derive(Debug)]
struct Agent {
    set: ObjectRef,
    image: String,
    from: i64,
    to: i64,
}

/// Every agent that was there, by its Pod's UID.
#[derive(Debug, Default)]
pub struct Agents(BTreeMap<String, Agent>);

/// A step of the network that is too large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// The DaemonSet of its agents.
    pub set: ObjectRef,
    /// Two of their images, in order of time, without one of a version between at the time.
    pub images: (String, String),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = &self.images;
        write!(f, "{} went from {from} to {to} in one step", self.set)?;
        write!(f, ", where Cilium asks for each minor version, {STEPS}")
    }
}

impl Agents {
    /// Notes the agents among the Pods that are there now, and that others are not any more.
    pub fn saw(&mut self, pods: &[Arc<Object>], now: i64) {
        for (uid, agent) in &mut self.0 {
            if !pods.iter().any(|pod| pod.str("/metadata/uid") == uid) {
                agent.to = agent.to.min(now);
            }
        }
        for pod in pods {
            let mut owners = pod.array("/metadata/ownerReferences").iter();
            let Some(owner) = owners.find(|owner| owner["kind"] == "DaemonSet") else {
                continue;
            };
            let mut images = pod.array("/spec/containers").iter();
            let image =
                images.find_map(|one| one["image"].as_str().filter(|it| cilium(it).is_some()));
            let Some(image) = image else { continue };
            let name = owner["name"].as_str().unwrap_or_default();
            let agent = || Agent {
                set: ObjectRef::new("workload", "DaemonSet", pod.namespace(), name),
                image: image.to_owned(),
                from: now,
                to: i64::MAX,
            };
            let uid = pod.str("/metadata/uid").to_owned();
            self.0.entry(uid).or_insert_with(agent);
        }
    }

    /// Whether agents of one DaemonSet were further apart than they may be when something was lost, from one
    /// millisecond of the run to another. Where there were agents of the versions between as well, each step was one.
    pub fn skipped(&self, (from, to): (i64, i64)) -> Option<Skip> {
        let mut there: Vec<_> = self
            .0
            .values()
            .filter(|agent| agent.from <= to && from <= agent.to.saturating_add(NEAR))
            .filter_map(|agent| Some((&agent.set, cilium(&agent.image)?, agent.from, &agent.image)))
            .collect();
        there.sort();
        // The first agent of each version.
        there.dedup_by_key(|(set, version, ..)| (*set, *version));
        let mut steps = there.iter().zip(there.iter().skip(1));
        steps.find_map(|(low, high)| {
            let (set, version, since, image) = low;
            let (of, above, later, other) = high;
            (set == of && skips(*version, *above)).then(|| {
                // What was there first is what the step began with, also where it goes down.
                let (first, last) = if later < since {
                    (other, image)
                } else {
                    (image, other)
                };
                Skip {
                    set: (*set).clone(),
                    images: ((*first).clone(), (*last).clone()),
                }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn agent(uid: &str, image: &str, owner: &str) -> Arc<Object> {
        let owners = json!([{"kind": owner, "name": "cilium"}]);
        let metadata =
            json!({"name": uid, "namespace": "kube-system", "uid": uid, "ownerReferences": owners});
        let spec = json!({"containers": [{"name": "agent", "image": image}]});
        Arc::new(Object::new(
            "workload",
            json!({"kind": "Pod", "metadata": metadata, "spec": spec}),
        ))
    }

    /// What is told of a gap from one second to another, where an agent was moved after ten seconds.
    fn told(old: &str, new: &str, owner: &str, gap: (i64, i64)) -> Option<(String, String)> {
        let mut agents = Agents::default();
        let kept = agent("a", old, owner);
        agents.saw(&[kept.clone(), agent("b", old, owner)], 0);
        for second in [10, 60] {
            agents.saw(&[kept.clone(), agent("c", new, owner)], second * 1000);
        }
        agents.saw(&[agent("d", new, owner), agent("c", new, owner)], 61_000);
        agents.saw(&[agent("d", new, owner), agent("c", new, owner)], 300_000);
        let gap = (gap.0 * 1000, gap.1 * 1000);
        agents.skipped(gap).map(|skip| skip.images)
    }

    #[test]
    fn a_step_is_too_large_while_both_ends_of_it_are_there_cs_213() {
        let image = |version: &str| format!("quay.io/cilium/cilium:{version}");
        let (old, next, new) = (image("v1.16.6"), image("v1.17.9"), image("v1.18.9"));
        let set = "DaemonSet";
        let both = Some((old.clone(), new.clone()));
        assert_eq!(told(&old, &new, set, (12, 50)), both);
        // What an agent had set up outlives it for a moment, and not for ever.
        assert_eq!(told(&old, &new, set, (70, 80)), both);
        assert_eq!(told(&old, &new, set, (100, 120)), None);
        assert_eq!(told(&old, &new, set, (2, 8)), None);
        assert_eq!(told(&old, &next, set, (12, 50)), None);
        // Others have no agents on the nodes, or other steps.
        assert_eq!(told(&old, &new, "ReplicaSet", (12, 50)), None);
        assert_eq!(
            told("a/operator:v1.16.6", "a/operator:v1.18.9", set, (12, 50)),
            None
        );
    }

    fn cilium_at(minor: u64) -> String {
        format!("quay.io/cilium/cilium:v1.{minor}.0")
    }

    #[test]
    fn a_step_down_is_told_in_order_of_time_issue_7() {
        let (high, low) = (cilium_at(18), cilium_at(16));
        let found = told(&high, &low, "DaemonSet", (12, 50));
        assert_eq!(found, Some((high, low)));
    }

    #[test]
    fn steps_of_one_version_each_are_proper_within_one_gap_issue_7() {
        // Versions of the one agent, ten seconds each, within a gap that lasts longer.
        let course = |minors: &[u64]| {
            let mut agents = Agents::default();
            for (second, minor) in (0..).step_by(10).zip(minors) {
                let uid = format!("{second}");
                agents.saw(
                    &[agent(&uid, &cilium_at(*minor), "DaemonSet")],
                    second * 1000,
                );
            }
            agents.skipped((0, 90_000)).map(|skip| skip.images)
        };
        assert_eq!(course(&[16, 17, 18]), None);
        assert_eq!(course(&[18, 17, 16]), None);
        assert_eq!(course(&[16, 18]), Some((cilium_at(16), cilium_at(18))));
        assert_eq!(course(&[16, 17, 19]), Some((cilium_at(17), cilium_at(19))));
    }
}
