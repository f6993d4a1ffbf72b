//! What is spoken at a port: TLS or not.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::party;
use crate::cluster::Cluster;
use crate::object::{label, list, name, namespace, text, truth};
use crate::resource::builtin::NODES;

/// The kubelet's own port.
const KUBELET: u16 = 10250;

/// How far back kubeadm has certificates begin.
const BACKDATED: SignedDuration = SignedDuration::from_mins(5);

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    /// TLS.
    Tls,
    /// Plain text.
    Plain,
}

/// What is spoken at an address and port; none where nothing listens to others.
///
/// Containers do not say what they speak. Components of a control plane speak TLS but where a flag
/// names an address with `http://`; of others those ports do that are called `https`, or probed so.
pub(crate) fn speaks(cluster: &Cluster, address: &str, port: u16) -> Option<Speaks> {
    let party = party(cluster, address)?;
    let candidates: Vec<Arc<Value>> = match &party.pod {
        Some(pod) => vec![pod.clone()],
        None => {
            let here = cluster.store().on_node(&party.node);
            let host = here
                .into_iter()
                .filter(|pod| truth(&pod.value, "/spec/hostNetwork"));
            host.map(|pod| pod.value.clone()).collect()
        }
    };
    let now = cluster.api().clock().now();
    let state = cluster.machines().state();
    let server = candidates.iter().find(|pod| {
        let place = (namespace(pod).to_owned(), name(pod).to_owned());
        let listens = state.pods.get(&place).map(|run| run.listens(port, now));
        listens == Some(true) && !is_local(pod)
    });
    if let Some(pod) = server {
        return Some(of_pod(pod, port));
    }
    let machine = state.machines.get(&party.node)?;
    (party.pod.is_none() && port == KUBELET && machine.running).then_some(Speaks::Tls)
}

/// From when to when the certificate is good that is shown at an address and port; none where nobody speaks
/// TLS. All of a node's were issued when it began, five minutes back as kubeadm does.
#[must_use]
pub fn certificate(cluster: &Cluster, address: &str, port: u16) -> Option<(Timestamp, Timestamp)> {
    if speaks(cluster, address, port)? == Speaks::Plain {
        return None;
    }
    let node = cluster
        .api()
        .get(&NODES, "", &party(cluster, address)?.node)?;
    let issued: Timestamp = text(&node, "/metadata/creationTimestamp").parse().ok()?;
    let period = SignedDuration::try_from(cluster.server().certificate_period()).ok()?;
    Some((issued - BACKDATED, issued + period))
}

fn flags(pod: &Value) -> impl Iterator<Item = &str> {
    let words = list(pod, "/spec/containers/0/command").iter();
    words.filter_map(Value::as_str)
}

/// Whether it listens on its own machine's loopback address alone.
fn is_local(pod: &Value) -> bool {
    flags(pod).any(|flag| flag == "--bind-address=127.0.0.1")
}

fn of_pod(pod: &Value, port: u16) -> Speaks {
    let tls = if label(pod, "tier") == Some("control-plane") {
        let end = format!(":{port}");
        let urls = flags(pod)
            .filter(|flag| flag.starts_with("--listen-"))
            .filter_map(|flag| flag.split_once('='))
            .flat_map(|(_, urls)| urls.split(','));
        !urls
            .filter(|url| url.ends_with(&end))
            .any(|url| url.starts_with("http://"))
    } else {
        list(pod, "/spec/containers")
            .iter()
            .any(|container| offers_tls(container, port))
    };
    if tls { Speaks::Tls } else { Speaks::Plain }
}

fn offers_tls(container: &Value, port: u16) -> bool {
    let ports = list(container, "/ports").iter();
    let called: Vec<&str> = ports
        .filter(|one| one["containerPort"] == port)
        .map(|one| text(one, "/name"))
        .collect();
    let probed = ["livenessProbe", "readinessProbe", "startupProbe"]
        .iter()
        .any(|probe| {
            let get = &container[*probe]["httpGet"];
            let here = get["port"] == port
                || get["port"]
                    .as_str()
                    .is_some_and(|name| called.contains(&name));
            here && get["scheme"] == "HTTPS"
        });
    probed || called.contains(&"https")
}
