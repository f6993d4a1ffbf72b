//! Whether a node takes a pod, and how good it is for it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::nodes::{Load, Node};
use crate::cluster::Cluster;
use crate::matching::{is_part, selects, selects_node, selects_node_by_term, toleration};
use crate::object::{int, is_over, list, namespace, text, truth};
use crate::resource::builtin::{NODES, PODS};

/// What a pod asks of its node.
pub(super) struct Wanted<'a> {
    pod: &'a Value,
    load: Load,
    /// The one node that it may go to.
    pub only: Option<&'a str>,
    required: &'a Value,
    tolerations: &'a [Value],
    volumes: &'a [Value],
    /// (topology key, domains with the number of matching pods, whether it is to be there)
    affinities: Vec<(&'a str, BTreeMap<String, usize>, bool, bool)>,
    spread: Vec<(&'a str, BTreeMap<String, usize>, i64)>,
    prefers: Vec<(&'a str, BTreeMap<String, usize>, i64)>,
}

impl<'a> Wanted<'a> {
    pub fn of(cluster: &Cluster, pod: &'a Value, volumes: &'a [Value]) -> Self {
        let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let only = text(required, "/nodeSelectorTerms/0/matchFields/0/values/0");
        let single = list(required, "/nodeSelectorTerms").len() == 1;
        let mut wanted = Self {
            pod,
            load: load(pod),
            only: Some(only).filter(|only| single && !only.is_empty()),
            required,
            tolerations: list(pod, "/spec/tolerations"),
            volumes,
            affinities: Vec::new(),
            spread: Vec::new(),
            prefers: Vec::new(),
        };
        for (part, there) in [("podAffinity", true), ("podAntiAffinity", false)] {
            let affinity = &pod["spec"]["affinity"][part];
            for term in list(affinity, "/requiredDuringSchedulingIgnoredDuringExecution") {
                let key = text(term, "/topologyKey");
                let own = there && is_own(term, pod);
                wanted
                    .affinities
                    .push((key, domains(cluster, pod, term, key), there, own));
            }
            for weighted in list(affinity, "/preferredDuringSchedulingIgnoredDuringExecution") {
                let term = &weighted["podAffinityTerm"];
                let weight = int(weighted, "/weight").unwrap_or(1);
                let key = text(term, "/topologyKey");
                wanted.prefers.push((
                    key,
                    domains(cluster, pod, term, key),
                    if there { weight } else { -weight },
                ));
            }
        }
        for constraint in list(pod, "/spec/topologySpreadConstraints") {
            let key = text(constraint, "/topologyKey");
            let domains = domains(cluster, pod, constraint, key);
            if text(constraint, "/whenUnsatisfiable") == "ScheduleAnyway" {
                wanted.prefers.push((key, domains, -100));
            } else {
                wanted
                    .spread
                    .push((key, domains, int(constraint, "/maxSkew").unwrap_or(1)));
            }
        }
        wanted
    }

    /// Why a node does not take the pod.
    pub fn refusal(&self, node: &Node) -> Option<String> {
        let object = &node.object;
        if truth(object, "/spec/unschedulable")
            && toleration(self.tolerations, &unschedulable()).is_none()
        {
            return Some("node(s) were unschedulable".to_owned());
        }
        let taints = list(object, "/spec/taints").iter();
        let mut repelling =
            taints.filter(|taint| matches!(text(taint, "/effect"), "NoSchedule" | "NoExecute"));
        if let Some(taint) = repelling.find(|taint| toleration(self.tolerations, taint).is_none()) {
            return Some(format!(
                "node(s) had untolerated taint {{{}: {}}}",
                text(taint, "/key"),
                text(taint, "/value")
            ));
        }
        let labels = &object["metadata"]["labels"];
        if !is_part(&self.pod["spec"]["nodeSelector"], labels)
            || (self.required.is_object() && !selects_node(self.required, object))
        {
            return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
        }
        if self
            .volumes
            .iter()
            .any(|volume| !selects_node(volume, object))
        {
            return Some("node(s) didn't match PersistentVolume's node affinity".to_owned());
        }
        if node.pods.len() >= node.most {
            return Some("Too many pods".to_owned());
        }
        if self.load.cpu > 0 && node.used.cpu + self.load.cpu > node.cpu {
            return Some("Insufficient cpu".to_owned());
        }
        if self.load.memory > 0 && node.used.memory + self.load.memory > node.memory {
            return Some("Insufficient memory".to_owned());
        }
        for (key, domains, there, own) in &self.affinities {
            let count = labels
                .get(*key)
                .and_then(Value::as_str)
                .and_then(|domain| domains.get(domain))
                .copied()
                .unwrap_or(0);
            if *there && count == 0 && !(*own && domains.is_empty()) {
                return Some("node(s) didn't match pod affinity rules".to_owned());
            }
            if !*there && count > 0 {
                return Some("node(s) didn't match pod anti-affinity rules".to_owned());
            }
        }
        for (key, domains, skew) in &self.spread {
            let Some(domain) = labels.get(*key).and_then(Value::as_str) else {
                return Some(
                    "node(s) didn't match pod topology spread constraints (missing required label)"
                        .to_owned(),
                );
            };
            let least = domains.values().min().copied().unwrap_or(0);
            let here = domains.get(domain).copied().unwrap_or(0);
            if i64::try_from(here + 1 - least.min(here)).unwrap_or(i64::MAX) > *skew {
                return Some("node(s) didn't match pod topology spread constraints".to_owned());
            }
        }
        None
    }

    /// How good a node is that takes the pod.
    pub fn score(&self, node: &Node) -> i64 {
        let labels = &node.object["metadata"]["labels"];
        let share = |used: i64, all: i64| {
            if all > 0 {
                100 - (used * 100 / all).clamp(0, 100)
            } else {
                0
            }
        };
        let mut score = share(node.used.cpu + self.load.cpu, node.cpu)
            + share(node.used.memory + self.load.memory, node.memory);
        score -= i64::try_from(node.pods.len()).unwrap_or(0);
        for (key, domains, weight) in &self.prefers {
            let domain = labels.get(*key).and_then(Value::as_str);
            let count = domain
                .and_then(|domain| domains.get(domain))
                .copied()
                .unwrap_or(0);
            score += weight * i64::try_from(count).unwrap_or(0) * 4;
        }
        for preferred in list(
            self.pod,
            "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution",
        ) {
            if selects_node_by_term(&preferred["preference"], &node.object) {
                score += int(preferred, "/weight").unwrap_or(1) * 2;
            }
        }
        let taints = list(&node.object, "/spec/taints").iter();
        let soft = taints.filter(|taint| {
            taint["effect"] == "PreferNoSchedule" && toleration(self.tolerations, taint).is_none()
        });
        score - 200 * i64::try_from(soft.count()).unwrap_or(0)
    }
}

fn unschedulable() -> Value {
    serde_json::json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
}

/// Whether a pod is one of those that its own affinity asks for: then the first may go anywhere.
fn is_own(term: &Value, pod: &Value) -> bool {
    selects(&term["labelSelector"], &pod["metadata"]["labels"])
}

/// The domains of a topology with the number of pods there that a term selects.
fn domains(cluster: &Cluster, pod: &Value, term: &Value, key: &str) -> BTreeMap<String, usize> {
    let api = cluster.api();
    let mut domains = BTreeMap::new();
    let selected = list(term, "/namespaces");
    let in_namespaces = |place: &str| {
        if selected.is_empty() {
            place == namespace(pod)
        } else {
            selected.iter().any(|named| named == place)
        }
    };
    let scope = if selected.is_empty() {
        Some(namespace(pod))
    } else {
        None
    };
    let spread = !term["maxSkew"].is_null();
    if spread {
        for node in cluster.store().list(&NODES, None).0 {
            if let Some(domain) = node.value["metadata"]["labels"]
                .get(key)
                .and_then(Value::as_str)
            {
                domains.insert(domain.to_owned(), 0);
            }
        }
    }
    for other in api.list(&PODS, scope) {
        let node = text(&other, "/spec/nodeName");
        if node.is_empty()
            || is_over(&other)
            || !in_namespaces(namespace(&other))
            || !selects(&term["labelSelector"], &other["metadata"]["labels"])
        {
            continue;
        }
        let Some(node) = api.get(&NODES, "", node) else {
            continue;
        };
        if let Some(domain) = node["metadata"]["labels"].get(key).and_then(Value::as_str) {
            *domains.entry(domain.to_owned()).or_default() += 1;
        }
    }
    domains
}

/// What a pod asks for.
pub(super) fn load(pod: &Value) -> Load {
    let of = |container: &Value| {
        let requests = &container["resources"]["requests"];
        Load {
            cpu: quantity(&requests["cpu"]),
            memory: quantity(&requests["memory"]) / 1000,
        }
    };
    let mut load = Load::default();
    for container in list(pod, "/spec/containers") {
        let own = of(container);
        load.cpu += own.cpu;
        load.memory += own.memory;
    }
    for container in list(pod, "/spec/initContainers") {
        let own = of(container);
        load.cpu = load.cpu.max(own.cpu);
        load.memory = load.memory.max(own.memory);
    }
    load
}

/// A quantity in thousandths; 0 when it is none.
pub(in crate::controllers) fn quantity(value: &Value) -> i64 {
    if let Some(number) = value.as_i64() {
        return number * 1000;
    }
    let text = value.as_str().unwrap_or_default();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number: f64 = text[..end].parse().unwrap_or(0.0);
    let factor = match &text[end..] {
        "m" => 0.001,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => 1.0,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a fraction of a thousandth is of no importance here"
    )]
    let thousandths = (number * factor * 1000.0) as i64;
    thousandths
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::quantity;

    #[test]
    fn quantities_are_read_in_thousandths() {
        for (text, expected) in [
            ("100m", 100),
            ("2", 2000),
            ("1.5", 1500),
            ("1Ki", 1_024_000),
            ("1k", 1_000_000),
            ("", 0),
        ] {
            assert_eq!(quantity(&json!(text)), expected, "{text}");
        }
    }
}
