//! The nodes as the scheduler knows them, and the choice among them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::fit::{Wanted, load, quantity};
use crate::cluster::Cluster;
use crate::object::{is_over, name, namespace, text};
use crate::resource::builtin::{NODES, PODS};
use crate::store::{Change, ChangeKind};

/// So many nodes that take a pod are enough to choose from.
const ENOUGH: usize = 100;

/// Why nodes do not take a pod, with their numbers.
#[derive(Debug, Default)]
pub(super) struct Refusals(pub BTreeMap<String, usize>);

/// A pod that holds its place on a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub cpu: i64,
    pub memory: i64,
}

/// A node and what is on it.
#[derive(Debug)]
pub(super) struct Node {
    pub object: Arc<Value>,
    pub cpu: i64,
    pub memory: i64,
    pub most: usize,
    pub pods: BTreeMap<(String, String), Load>,
    pub used: Load,
}

/// The nodes as the scheduler knows them: kept by what changes, so that a pod costs no walk over all
/// others.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: BTreeMap<String, Node>,
    /// Pods of nodes that are not known (yet).
    places: BTreeMap<(String, String), String>,
    revision: Option<u64>,
    next: usize,
}

impl Nodes {
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Takes in what has happened since the last time.
    pub fn refresh(&mut self, cluster: &Cluster) {
        let store = cluster.store();
        let now = store.revision();
        let news = self
            .revision
            .map(|revision| (store.since(&NODES, revision), store.since(&PODS, revision)));
        self.revision = Some(now);
        let Some((Ok(nodes), Ok(pods))) = news else {
            // The beginning, or more has happened than is remembered.
            *self = Self {
                revision: self.revision,
                next: self.next,
                ..Self::default()
            };
            for node in store.list(&NODES, None).0 {
                self.note_node(node.value.clone());
            }
            for pod in store.list(&PODS, None).0 {
                self.note_pod(&pod.value, false);
            }
            return;
        };
        let gone = |change: &Change| change.kind == ChangeKind::Deleted;
        for change in nodes {
            if gone(&change) {
                self.nodes.remove(name(&change.object.value));
            } else {
                self.note_node(change.object.value.clone());
            }
        }
        for change in pods {
            self.note_pod(&change.object.value, gone(&change));
        }
    }

    fn note_node(&mut self, object: Arc<Value>) {
        let quantity = |resource: &str| quantity(&object["status"]["allocatable"][resource]);
        let (cpu, memory) = (quantity("cpu"), quantity("memory") / 1000);
        let most = usize::try_from(quantity("pods") / 1000).unwrap_or(110);
        let node_name = name(&object).to_owned();
        let known = self.nodes.remove(&node_name);
        let (pods, used) = known.map(|node| (node.pods, node.used)).unwrap_or_default();
        self.nodes.insert(
            node_name,
            Node {
                object,
                cpu,
                memory,
                most,
                pods,
                used,
            },
        );
    }

    fn note_pod(&mut self, pod: &Value, gone: bool) {
        let place = (namespace(pod).to_owned(), name(pod).to_owned());
        let node = text(pod, "/spec/nodeName");
        if gone || is_over(pod) || node.is_empty() {
            if (gone || is_over(pod))
                && let Some(node) = self.places.remove(&place)
                && let Some(node) = self.nodes.get_mut(&node)
                && let Some(load) = node.pods.remove(&place)
            {
                node.used.cpu -= load.cpu;
                node.used.memory -= load.memory;
            }
            return;
        }
        if self.places.get(&place).is_some_and(|known| known == node) {
            return;
        }
        self.assume(pod, node);
    }

    /// A pod counts on a node from now on.
    pub fn assume(&mut self, pod: &Value, node_name: &str) {
        let place = (namespace(pod).to_owned(), name(pod).to_owned());
        if let Some(node) = self.nodes.get_mut(node_name) {
            let load = load(pod);
            if let Some(before) = node.pods.insert(place.clone(), load) {
                node.used.cpu -= before.cpu;
                node.used.memory -= before.memory;
            }
            node.used.cpu += load.cpu;
            node.used.memory += load.memory;
            self.places.insert(place, node_name.to_owned());
        }
    }

    /// The best node for a pod; `volumes` are node selectors of its volumes.
    pub fn choose(
        &mut self,
        cluster: &Cluster,
        pod: &Value,
        volumes: &[Value],
    ) -> Result<String, Refusals> {
        let wanted = Wanted::of(cluster, pod, volumes);
        if let Some(only) = wanted.only {
            // A pod of a DaemonSet: there is nothing to choose.
            let mut refusals = Refusals::default();
            let found = self.nodes.get(only).map(|node| wanted.refusal(node));
            return match found {
                Some(None) => Ok(only.to_owned()),
                Some(Some(why)) => {
                    refusals.0.insert(why, 1);
                    let others = self.nodes.len() - 1;
                    if others > 0 {
                        refusals.0.insert(
                            "node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned(),
                            others,
                        );
                    }
                    Err(refusals)
                }
                None => {
                    refusals.0.insert(
                        "node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned(),
                        self.nodes.len(),
                    );
                    Err(refusals)
                }
            };
        }
        let mut refusals = Refusals::default();
        let mut best: Option<(i64, &str)> = None;
        let mut found = 0;
        let count = self.nodes.len();
        let start = if count > ENOUGH { self.next % count } else { 0 };
        let turned = self
            .nodes
            .iter()
            .skip(start)
            .chain(self.nodes.iter().take(start));
        let mut seen = 0;
        for (name, node) in turned {
            seen += 1;
            match wanted.refusal(node) {
                Some(why) => *refusals.0.entry(why).or_default() += 1,
                None => {
                    found += 1;
                    let score = wanted.score(node);
                    if best.is_none_or(|(best, _)| score > best) {
                        best = Some((score, name));
                    }
                    if found >= ENOUGH {
                        break;
                    }
                }
            }
        }
        self.next = self.next.wrapping_add(seen);
        best.map(|(_, name)| name.to_owned()).ok_or(refusals)
    }
}
