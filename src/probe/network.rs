//! Which versions of the network's agents there were while something was lost: whether a step was left out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::cluster::Object;
use crate::record::{ObjectRef, ProbeGap};
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
    /// The oldest and the newest of their images at the time.
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
            let mut images = pod.array("/spec/containers").iter();
            let image =
                images.find_map(|one| one["image"].as_str().filter(|it| cilium(it).is_some()));
            let mut owners = pod.array("/metadata/ownerReferences").iter();
            let owner = owners.find(|owner| owner["kind"] == "DaemonSet");
            let (Some(image), Some(owner)) = (image, owner) else {
                continue;
            };
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

    /// Whether agents of one DaemonSet were further apart than they may be when something was lost.
    pub fn skipped(&self, gap: &ProbeGap) -> Option<Skip> {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let (from, to) = (ms(gap.from_ms), ms(gap.to_ms));
        let mut there: Vec<_> = self
            .0
            .values()
            .filter(|agent| agent.from <= to && from <= agent.to.saturating_add(NEAR))
            .filter_map(|agent| Some((&agent.set, cilium(&agent.image)?, &agent.image)))
            .collect();
        there.sort();
        there
            .chunk_by(|one, other| one.0 == other.0)
            .find_map(|agents| {
                let (old, new) = (agents.first()?, agents.last()?);
                skips(old.1, new.1).then(|| Skip {
                    set: old.0.clone(),
                    images: (old.2.clone(), new.2.clone()),
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
    fn told(old: &str, new: &str, owner: &str, gap: (u64, u64)) -> Option<(String, String)> {
        let mut agents = Agents::default();
        let kept = agent("a", old, owner);
        agents.saw(&[kept.clone(), agent("b", old, owner)], 0);
        for second in [10, 60] {
            agents.saw(&[kept.clone(), agent("c", new, owner)], second * 1000);
        }
        agents.saw(&[agent("d", new, owner), agent("c", new, owner)], 61_000);
        agents.saw(&[agent("d", new, owner), agent("c", new, owner)], 300_000);
        let gap = ProbeGap {
            probe: "dns".to_owned(),
            from_ms: gap.0 * 1000,
            to_ms: gap.1 * 1000,
            reason: "TIMEOUT".to_owned(),
            seen_from: String::new(),
            meanwhile: String::new(),
        };
        agents.skipped(&gap).map(|skip| skip.images)
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
}
