//! The network of a cluster: addresses, names, and who reaches whom. Everything is worked out from the
//! objects at the moment that somebody asks.

pub mod address;
pub mod dns;
mod policy;
mod service;
mod speaks;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::fault::Fault;
use crate::object::{is_over, list, name, text, truth};
use crate::random::Random;
use crate::resource::builtin::PODS;

pub use speaks::certificate;
pub(crate) use speaks::{Speaks, speaks};

/// Why a connection does not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The name is not resolved.
    Name {
        /// In the words of Go's resolver.
        message: String,
        /// How long it took to find out.
        after: Duration,
    },
    /// Nothing answers.
    Silence,
    /// The other side refuses.
    Refused,
    /// There is no way there.
    NoRoute,
}

/// A participant: a pod, or a node's own network.
pub(crate) struct Party {
    pub address: String,
    pub node: String,
    /// The pod, unless it uses its node's network.
    pub pod: Option<Arc<Value>>,
}

fn sender(pod: &Arc<Value>, address: &str) -> Party {
    Party {
        address: address.to_owned(),
        node: text(pod, "/spec/nodeName").to_owned(),
        pod: (!truth(pod, "/spec/hostNetwork")).then(|| pod.clone()),
    }
}

/// Whether a TCP connection from a pod to a name or address comes about.
///
/// # Errors
/// Why not.
pub fn connect(
    cluster: &Cluster,
    pod: &Arc<Value>,
    address: &str,
    host: &str,
    port: u16,
    random: &mut Random,
) -> Result<(), Failure> {
    let from = sender(pod, address);
    let target = match host.parse::<std::net::Ipv4Addr>() {
        Ok(address) => address.to_string(),
        Err(_) => dns::resolve(cluster, pod, &from, host, random)?,
    };
    reach(cluster, &from, &target, port, "TCP", random)
}

/// Whether a pod's resolver finds a name.
///
/// # Errors
/// Why not.
pub fn lookup(
    cluster: &Cluster,
    pod: &Arc<Value>,
    address: &str,
    name: &str,
    random: &mut Random,
) -> Result<(), Failure> {
    let from = sender(pod, address);
    dns::resolve(cluster, pod, &from, name, random).map(drop)
}

/// Whether packets from a party come to an address and port, and something listens there.
pub(crate) fn reach(
    cluster: &Cluster,
    from: &Party,
    address: &str,
    port: u16,
    protocol: &str,
    random: &mut Random,
) -> Result<(), Failure> {
    let chosen = service::translate(cluster, &from.node, address, port, protocol, random)?;
    let (address, port) = chosen.unwrap_or_else(|| (address.to_owned(), port));
    arrive(cluster, from, &address, port, protocol)
}

/// The last step: to an address that is a pod's or a node's.
fn arrive(
    cluster: &Cluster,
    from: &Party,
    address: &str,
    port: u16,
    protocol: &str,
) -> Result<(), Failure> {
    let Some(to) = party(cluster, address) else {
        return Err(Failure::NoRoute);
    };
    let lets_out = || policy::lets_out(cluster, from, &to, port, protocol);
    if from.pod.is_some() && keeps_away(cluster, &from.node, lets_out) {
        return Err(Failure::Silence);
    }
    let lets_in = || policy::lets_in(cluster, from, &to, port, protocol);
    if to.pod.is_some() && keeps_away(cluster, &to.node, lets_in) {
        return Err(Failure::Silence);
    }
    let other_node = from.node != to.node;
    let cut = other_node
        && [&from.node, &to.node]
            .iter()
            .any(|node| !is_connected(cluster, node));
    let cut = cut || other_node && skipped(cluster, &from.node, &to.node);
    if cut && (from.pod.is_some() || to.pod.is_some()) {
        return Err(Failure::Silence);
    }
    if listens(cluster, &to, port) {
        Ok(())
    } else {
        Err(Failure::Refused)
    }
}

/// Whose an address is: of a pod that runs, or of a node.
pub(crate) fn party(cluster: &Cluster, address: &str) -> Option<Party> {
    let state = cluster.machines().state();
    if let Some(node) = state.at_address(address) {
        return Some(Party {
            address: address.to_owned(),
            node: node.to_owned(),
            pod: None,
        });
    }
    let is_here = |pod: &Value| {
        let machine = state.machines.get(text(pod, "/spec/nodeName"));
        let range = machine.and_then(|machine| address::Range::parse(&machine.pods));
        range.is_some_and(|range| range.contains(address))
    };
    let pods = cluster.store().at_address(&PODS, address);
    let mut pods = pods.iter().map(|pod| &pod.value);
    let pod = pods.find(|pod| !is_over(pod) && is_here(pod))?;
    Some(Party {
        address: address.to_owned(),
        node: text(pod, "/spec/nodeName").to_owned(),
        pod: Some(pod.clone()),
    })
}

/// Whether something at an address answers at a port.
fn listens(cluster: &Cluster, to: &Party, port: u16) -> bool {
    let now = cluster.api().clock().now();
    let state = cluster.machines().state();
    let Some(machine) = state.machines.get(&to.node) else {
        return false;
    };
    let runs = |pod: &Value| {
        let run = state.pods.get(&(
            crate::object::namespace(pod).to_owned(),
            name(pod).to_owned(),
        ));
        run.is_some_and(|run| run.listens(port, now))
    };
    match &to.pod {
        Some(pod) => runs(pod),
        None => {
            let here = cluster.store().on_node(&to.node);
            let mut here = here
                .iter()
                .filter(|pod| truth(&pod.value, "/spec/hostNetwork"));
            (port == 10250 && machine.running) || here.any(|pod| runs(&pod.value))
        }
    }
}

/// Whether a node's pods are connected with other nodes: its CNI has come up.
fn is_connected(cluster: &Cluster, node: &str) -> bool {
    cluster
        .machines()
        .state()
        .machines
        .get(node)
        .is_some_and(|machine| machine.cni)
}

/// Whether a node's network keeps away what its policies do not let pass.
fn keeps_away(cluster: &Cluster, node: &str, lets_pass: impl Fn() -> bool) -> bool {
    let machines = cluster.machines();
    if machines.came_with(node, Fault::PolicyGap) {
        if !lets_pass() {
            machines.note(Fault::PolicyGap);
        }
        return false;
    }
    is_enforced(cluster, node) && !lets_pass()
}

/// Whether policies are enforced on a node, by what was said of it, else by its CNI's nature.
fn is_enforced(cluster: &Cluster, node: &str) -> bool {
    let state = cluster.machines().state();
    // What an agent has set up in the kernel stays when the agent is replaced.
    state
        .machines
        .get(node)
        .is_some_and(|machine| machine.enforces.unwrap_or(machine.enforcing))
}

/// Whether the agents of two nodes do not understand each other, since one left out steps.
fn skipped(cluster: &Cluster, one: &str, other: &str) -> bool {
    let machines = cluster.machines();
    if !machines.suffer(Fault::CniStepSkipped) {
        return false;
    }
    let agents = {
        let state = machines.state();
        let agent = |node: &str| state.machines.get(node).and_then(|machine| machine.agent);
        agent(one).zip(agent(other))
    };
    let apart = agents.is_some_and(|(one, other)| are_apart(one, other));
    if apart {
        machines.note(Fault::CniStepSkipped);
    }
    apart
}

/// Whether there is a minor version between two.
pub(crate) const fn are_apart(one: (u32, u32), other: (u32, u32)) -> bool {
    one.0 != other.0 || one.1.abs_diff(other.1) > 1
}

/// Networks whose agents enforce policies, by a part of their image's name.
const ENFORCING: &[&str] = &[
    "kindnetd",
    "cilium",
    "calico/node",
    "canal",
    "kube-network-policies",
    "antrea",
    "weave-npc",
    "kube-router",
];

fn is_agent(image: &str) -> bool {
    ENFORCING.iter().any(|known| image.contains(known)) && !image.contains("operator")
}

/// Major and minor version of an agent that enforces policies, where its image's tag tells.
pub(crate) fn agent(image: &str) -> Option<(u32, u32)> {
    let (_, tag) = image.rsplit_once(':').filter(|_| is_agent(image))?;
    let mut parts = tag.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Whether a pod sees to it that NetworkPolicies are enforced on its node: an agent of a CNI that does.
pub(crate) fn enforces(pod: &Value) -> bool {
    let mut containers = list(pod, "/spec/containers").iter();
    containers.any(|container| is_agent(text(container, "/image")))
}
