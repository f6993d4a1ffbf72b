//! Services: what kube-proxy makes of an address.

use serde_json::Value;

use super::Failure;
use crate::cluster::Cluster;
use crate::object::{int, is_true, list, name, namespace, text};
use crate::random::Random;
use crate::resource::builtin::{ENDPOINT_SLICES, NODES, PODS, SERVICES};

/// What is behind a Service.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) host: String,
    /// By name.
    ports: Vec<(String, u16)>,
}

/// The ready endpoints of a Service.
pub(super) fn ready(cluster: &Cluster, namespace: &str, service: &str) -> Vec<Endpoint> {
    let slices = cluster.api().labelled(
        &ENDPOINT_SLICES,
        Some(namespace),
        &[("kubernetes.io/service-name", service)],
    );
    let mut found = Vec::new();
    for slice in &slices {
        let ports: Vec<(String, u16)> = list(slice, "/ports")
            .iter()
            .filter_map(|port| {
                Some((
                    text(port, "/name").to_owned(),
                    u16::try_from(int(port, "/port")?).ok()?,
                ))
            })
            .collect();
        for endpoint in list(slice, "/endpoints")
            .iter()
            .filter(|endpoint| endpoint["conditions"]["ready"] != false)
        {
            let addresses = list(endpoint, "/addresses")
                .iter()
                .filter_map(Value::as_str);
            found.extend(addresses.map(|address| Endpoint {
                address: address.to_owned(),
                host: text(endpoint, "/hostname").to_owned(),
                ports: ports.clone(),
            }));
        }
    }
    found
}

/// Where packets to an address and port go instead, when these are a Service's: one of its ready
/// endpoints. None when they are not.
pub(super) fn translate(
    cluster: &Cluster,
    node: &str,
    address: &str,
    port: u16,
    protocol: &str,
    random: &mut Random,
) -> Result<Option<(String, u16)>, Failure> {
    let subnets = cluster.machines().subnets();
    let in_range = super::address::Range::parse(&subnets.services)
        .is_some_and(|range| range.contains(address));
    let at_node = !cluster.store().at_address(&NODES, address).is_empty();
    let services = cluster.api().list(&SERVICES, None);
    let found = services.iter().find_map(|service| {
        let own = text(service, "/spec/clusterIP") == address
            || list(service, "/spec/externalIPs")
                .iter()
                .any(|known| known == address)
            || list(service, "/status/loadBalancer/ingress")
                .iter()
                .any(|known| known["ip"] == address);
        let ports = list(service, "/spec/ports").iter();
        let mut ports = ports.filter(|entry| protocol_of(entry) == protocol);
        let entry = ports.find(|entry| {
            (own && int(entry, "/port") == Some(i64::from(port)))
                || (at_node && int(entry, "/nodePort") == Some(i64::from(port)))
        })?;
        Some((service, entry))
    });
    let Some((service, entry)) = found else {
        // Nobody is behind an address of the range that is no Service's.
        return if in_range {
            Err(Failure::Silence)
        } else {
            Ok(None)
        };
    };
    if !is_proxied(cluster, node) {
        return Err(Failure::Silence);
    }
    let endpoints = ready(cluster, namespace(service), name(service));
    let port_name = text(entry, "/name");
    let targets: Vec<(String, u16)> = endpoints
        .into_iter()
        .filter_map(|endpoint| {
            let mut ports = endpoint.ports.iter();
            let (_, port) = ports.find(|(known, _)| known == port_name)?;
            Some((endpoint.address, *port))
        })
        .collect();
    if targets.is_empty() {
        return Err(Failure::Refused);
    }
    Ok(Some(targets[random.below(targets.len())].clone()))
}

fn protocol_of(port: &Value) -> &str {
    match text(port, "/protocol") {
        "" => "TCP",
        told => told,
    }
}

/// Whether something on a node makes Services work: kube-proxy, or a CNI in its place.
fn is_proxied(cluster: &Cluster, node: &str) -> bool {
    let here = cluster.store().on_node(node);
    let mut here = here.iter().filter(|pod| is_true(&pod.value, "Ready"));
    here.any(|pod| {
        let containers = list(&pod.value, "/spec/containers").iter();
        let mut images = containers.map(|container| text(container, "/image"));
        images.any(|image| {
            image.contains("kube-proxy")
                || image.contains("cilium/cilium")
                || image.contains("kube-router")
        })
    }) || !has_proxy(cluster)
}

/// Whether the cluster has a kube-proxy anywhere; without one, its CNI is taken to do the work.
fn has_proxy(cluster: &Cluster) -> bool {
    cluster
        .api()
        .list(&PODS, Some("kube-system"))
        .iter()
        .any(|pod| {
            list(pod, "/spec/containers")
                .iter()
                .any(|container| text(container, "/image").contains("kube-proxy"))
        })
}
