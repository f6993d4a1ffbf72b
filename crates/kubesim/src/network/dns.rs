//! Cluster DNS: how a pod resolves a name.

use std::time::Duration;

use serde_json::Value;

use super::{Failure, Party, reach};
use crate::cluster::Cluster;
use crate::object::{int, list, namespace, text, truth};
use crate::random::Random;
use crate::resource::builtin::{NAMESPACES, SERVICES};

/// A pod's search list, in the order of its `resolv.conf`.
#[must_use]
pub fn search(cluster: &Cluster, pod: &Value) -> Vec<String> {
    let own = list(pod, "/spec/dnsConfig/searches")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    if !asks_cluster(pod) {
        return own.collect();
    }
    let (domain, place) = (cluster.machines().subnets().domain, namespace(pod));
    [
        format!("{place}.svc.{domain}"),
        format!("svc.{domain}"),
        domain,
    ]
    .into_iter()
    .chain(own)
    .collect()
}

/// A pod's name servers.
#[must_use]
pub fn servers(cluster: &Cluster, pod: &Value) -> Vec<String> {
    let own = list(pod, "/spec/dnsConfig/nameservers")
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned);
    if asks_cluster(pod) {
        let subnets = cluster.machines().subnets();
        super::address::nth(&subnets.services, 10)
            .into_iter()
            .chain(own)
            .collect()
    } else {
        own.collect()
    }
}

/// Whether a pod asks cluster DNS.
fn asks_cluster(pod: &Value) -> bool {
    match text(pod, "/spec/dnsPolicy") {
        "" | "ClusterFirst" => !truth(pod, "/spec/hostNetwork"),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    }
}

/// An option of a pod's `resolv.conf`.
fn option(pod: &Value, name: &str, default: i64) -> i64 {
    let options = list(pod, "/spec/dnsConfig/options").iter();
    let mut found = options.filter(|option| option["name"] == name);
    let value = found.next().map(|option| text(option, "/value"));
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}

/// Resolves a name to one address, as the pod's resolver does.
pub(super) fn resolve(
    cluster: &Cluster,
    pod: &Value,
    from: &Party,
    host: &str,
    random: &mut Random,
) -> Result<String, Failure> {
    let quick = Duration::from_millis(20);
    let Some(server) = servers(cluster, pod).into_iter().next() else {
        let message = format!("lookup {host}: no such host");
        return Err(Failure::Name {
            message,
            after: quick,
        });
    };
    let (timeout, attempts) = (option(pod, "timeout", 5), option(pod, "attempts", 2));
    let names = candidates(cluster, pod, host);
    if let Err(failure) = reach(cluster, from, &server, 53, "UDP", random) {
        // Each name of the list is tried in turn, each as often as the options say.
        let tries = u64::try_from(timeout * attempts).unwrap_or(10)
            * u64::try_from(names.len()).unwrap_or(1);
        let (message, after) = match failure {
            Failure::Refused => (
                format!(
                    "lookup {host} on {server}:53: read udp {}:47000->{server}:53: read: connection refused",
                    from.address
                ),
                quick,
            ),
            _ => (
                format!(
                    "lookup {host} on {server}:53: read udp {}:47000->{server}:53: i/o timeout",
                    from.address
                ),
                Duration::from_secs(tries),
            ),
        };
        return Err(Failure::Name { message, after });
    }
    let domain = cluster.machines().subnets().domain;
    let found = names.iter().find_map(|name| answer(cluster, &domain, name));
    found.ok_or_else(|| {
        let message = format!("lookup {host} on {server}:53: no such host");
        Failure::Name {
            message,
            after: quick,
        }
    })
}

/// The full names that are asked for.
fn candidates(cluster: &Cluster, pod: &Value, host: &str) -> Vec<String> {
    if let Some(full) = host.strip_suffix('.') {
        return vec![full.to_owned()];
    }
    let listed = search(cluster, pod)
        .into_iter()
        .map(|suffix| format!("{host}.{suffix}"));
    let dots = i64::try_from(host.matches('.').count()).unwrap_or(i64::MAX);
    let ndots = if asks_cluster(pod) { 5 } else { 1 };
    if dots >= option(pod, "ndots", ndots) {
        std::iter::once(host.to_owned()).chain(listed).collect()
    } else {
        listed.chain([host.to_owned()]).collect()
    }
}

/// What CoreDNS says: of Services and pods in the cluster's domain. There is no world outside.
fn answer(cluster: &Cluster, domain: &str, name: &str) -> Option<String> {
    let rest = name.strip_suffix(domain)?.strip_suffix('.')?;
    let words: Vec<&str> = rest.split('.').collect();
    let api = cluster.api();
    match words.as_slice() {
        [service, place, "svc"] => {
            let found = api.get(&SERVICES, place, service)?;
            if text(&found, "/spec/type") == "ExternalName" {
                return None;
            }
            match text(&found, "/spec/clusterIP") {
                "None" | "" => super::service::ready(cluster, place, service)
                    .into_iter()
                    .next()
                    .map(|endpoint| endpoint.address),
                address => Some(address.to_owned()),
            }
        }
        [host, service, place, "svc"] => {
            let found = super::service::ready(cluster, place, service);
            found
                .into_iter()
                .find(|one| one.host == *host || one.address.replace('.', "-") == *host)
                .map(|endpoint| endpoint.address)
        }
        [dashed, place, "pod"] => {
            api.get(&NAMESPACES, "", place)?;
            let address = dashed.replace('-', ".");
            address
                .parse::<std::net::Ipv4Addr>()
                .ok()
                .map(|address| address.to_string())
        }
        _ => None,
    }
}

/// The port that a Service has for a name or number of its target.
pub(crate) fn target_port(pod: &Value, port: &Value) -> Option<u16> {
    let wanted = match &port["targetPort"] {
        Value::Null => &port["port"],
        target => target,
    };
    if let Some(number) = wanted.as_u64() {
        return u16::try_from(number).ok().filter(|number| *number > 0);
    }
    let named = wanted.as_str()?;
    if let Ok(number) = named.parse() {
        return Some(number);
    }
    let containers = list(pod, "/spec/containers")
        .iter()
        .chain(list(pod, "/spec/initContainers"));
    let mut ports = containers.flat_map(|container| list(container, "/ports"));
    let found = ports.find(|port| port["name"] == named)?;
    u16::try_from(int(found, "/containerPort")?).ok()
}
