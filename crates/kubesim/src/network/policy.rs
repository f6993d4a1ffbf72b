//! NetworkPolicies: who is let out, who is let in.

use std::sync::Arc;

use serde_json::Value;

use super::Party;
use super::address::Range;
use crate::cluster::Cluster;
use crate::matching::selects;
use crate::object::{int, list, namespace, text};
use crate::resource::builtin::{NAMESPACES, NETWORK_POLICIES};

/// Whether a party's policies let it send.
pub(super) fn lets_out(
    cluster: &Cluster,
    from: &Party,
    to: &Party,
    port: u16,
    protocol: &str,
) -> bool {
    let Some(pod) = &from.pod else { return true };
    lets(cluster, pod, "Egress", to, Some(to), port, protocol)
}

/// Whether a party's policies let others in.
pub(super) fn lets_in(
    cluster: &Cluster,
    from: &Party,
    to: &Party,
    port: u16,
    protocol: &str,
) -> bool {
    let Some(pod) = &to.pod else { return true };
    // A node always reaches its own pods: its kubelet has to probe them.
    if from.pod.is_none() && from.node == to.node {
        return true;
    }
    lets(cluster, pod, "Ingress", from, Some(to), port, protocol)
}

fn lets(
    cluster: &Cluster,
    pod: &Arc<Value>,
    direction: &str,
    peer: &Party,
    target: Option<&Party>,
    port: u16,
    protocol: &str,
) -> bool {
    let policies = cluster.api().list(&NETWORK_POLICIES, Some(namespace(pod)));
    let mut isolated = false;
    for policy in &policies {
        let labels = &pod["metadata"]["labels"];
        if !is_of(policy, direction) || !selects(&policy["spec"]["podSelector"], labels) {
            continue;
        }
        isolated = true;
        let (rules, peers) = if direction == "Ingress" {
            ("/spec/ingress", "/from")
        } else {
            ("/spec/egress", "/to")
        };
        let allowed = list(policy, rules).iter().any(|rule| {
            let (peers, ports) = (list(rule, peers), list(rule, "/ports"));
            let at = target.and_then(|target| target.pod.as_deref());
            (peers.is_empty()
                || peers
                    .iter()
                    .any(|named| is_peer(cluster, policy, named, peer)))
                && (ports.is_empty()
                    || ports.iter().any(|named| is_port(named, at, port, protocol)))
        });
        if allowed {
            return true;
        }
    }
    !isolated
}

/// Whether a policy is about a direction.
fn is_of(policy: &Value, direction: &str) -> bool {
    let types = list(policy, "/spec/policyTypes");
    if types.is_empty() {
        return direction == "Ingress" || policy["spec"]["egress"].is_array();
    }
    types.iter().any(|told| told == direction)
}

fn is_peer(cluster: &Cluster, policy: &Value, named: &Value, peer: &Party) -> bool {
    if named["ipBlock"].is_object() {
        let within =
            |range: &str| Range::parse(range).is_some_and(|range| range.contains(&peer.address));
        let excepted = list(named, "/ipBlock/except")
            .iter()
            .filter_map(Value::as_str)
            .any(within);
        return within(text(named, "/ipBlock/cidr")) && !excepted;
    }
    let Some(pod) = &peer.pod else { return false };
    let place = namespace(pod);
    let in_namespace = if named["namespaceSelector"].is_object() {
        let found = cluster.api().get(&NAMESPACES, "", place);
        found
            .is_some_and(|found| selects(&named["namespaceSelector"], &found["metadata"]["labels"]))
    } else {
        place == namespace(policy)
    };
    let pods = &named["podSelector"];
    in_namespace && (pods.is_null() || selects(pods, &pod["metadata"]["labels"]))
}

fn is_port(named: &Value, pod: Option<&Value>, port: u16, protocol: &str) -> bool {
    let told = text(named, "/protocol");
    if (if told.is_empty() { "TCP" } else { told }) != protocol {
        return false;
    }
    let first = match &named["port"] {
        Value::Null => return true,
        Value::String(name) => {
            let containers = pod
                .map(|pod| list(pod, "/spec/containers"))
                .unwrap_or_default();
            let mut ports = containers
                .iter()
                .flat_map(|container| list(container, "/ports"));
            let found = ports.find(|port| port["name"] == **name);
            return found.and_then(|found| int(found, "/containerPort")) == Some(i64::from(port));
        }
        number => number.as_i64().unwrap_or_default(),
    };
    let last = int(named, "/endPort").unwrap_or(first);
    (first..=last).contains(&i64::from(port))
}
