//! Services: their addresses, and the endpoints behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::pace::Pace;
use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::matching::is_part;
use crate::network::address::Range;
use crate::network::dns::target_port;
use crate::object::{
    controlled_by, is_deleting, is_over, is_ready, label, list, name, namespace, text, truth, uid,
};
use crate::registry::{Deletion, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES};
use crate::store::{Change, ChangeKind};

const NAME: &str = "endpointslice-controller";
/// Most endpoints of a slice.
const MOST: usize = 100;
const SERVICE: &str = "kubernetes.io/service-name";

/// Keeps what is behind Services.
#[derive(Debug, Default)]
pub(super) struct Services {
    pace: Pace,
}

/// What of a pod its Services heed.
fn part(pod: &Value) -> (bool, bool, bool, &str, &Value) {
    (
        is_ready(pod),
        is_deleting(pod),
        is_over(pod),
        text(pod, "/status/podIP"),
        &pod["metadata"]["labels"],
    )
}

impl Controller for Services {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![SERVICES, PODS]
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == SERVICES {
            return vec![Key::of(change)];
        }
        let pod = &change.object.value;
        let old = change.previous.as_ref().map(|previous| &*previous.value);
        let same = old.is_some_and(|old| part(old) == part(pod));
        let addressless = text(pod, "/status/podIP").is_empty();
        if (same && change.kind == ChangeKind::Modified) || addressless {
            return Vec::new();
        }
        if label(pod, "component") == Some("kube-apiserver") {
            return vec![Key::new("default", "kubernetes")];
        }
        let services = cluster.store().list(&SERVICES, Some(namespace(pod))).0;
        let of = |service: &Value, pod: &Value| {
            let selector = &service["spec"]["selector"];
            selector.is_object() && is_part(selector, &pod["metadata"]["labels"])
        };
        let found = services.iter().filter(|service| {
            of(&service.value, pod) || old.is_some_and(|old| of(&service.value, old))
        });
        found
            .map(|service| service.place())
            .map(|(namespace, name)| Key { namespace, name })
            .collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some(mut service) = api.get(&SERVICES, &key.namespace, &key.name) else {
            self.pace.forget(key);
            return remove(cx, key);
        };
        if is_deleting(&service) {
            return Ok(Next::Change);
        }
        if key.namespace == "default" && key.name == "kubernetes" {
            return api_server(cx, &service);
        }
        service = give_address(cx, service)?;
        let selector = &service["spec"]["selector"];
        if !selector.is_object() || text(&service, "/spec/type") == "ExternalName" {
            // Somebody else keeps its endpoints.
            return Ok(Next::Change);
        }
        let pods = api.list(&PODS, Some(&key.namespace));
        if let Some(pause) = self.pace.wait(key, pods.len() / 10) {
            return Ok(Next::After(pause));
        }
        let mut backing: Vec<Arc<Value>> = pods;
        backing.retain(|pod| {
            is_part(selector, &pod["metadata"]["labels"])
                && !is_over(pod)
                && !text(pod, "/status/podIP").is_empty()
        });
        write_slices(cx, &service, &backing)?;
        write_endpoints(cx, &service, &backing)?;
        Ok(Next::Change)
    }
}

/// A Service that has gone takes its endpoints along.
fn remove(cx: &Cx<'_>, key: &Key) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let slices = api.labelled(
        &ENDPOINT_SLICES,
        Some(&key.namespace),
        &[(SERVICE, &key.name)],
    );
    let gone = |result: Result<_, ApiError>| match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    };
    for slice in slices
        .iter()
        .filter(|slice| label(slice, "endpointslice.kubernetes.io/managed-by").is_some())
    {
        gone(api.delete(
            &ENDPOINT_SLICES,
            &key.namespace,
            name(slice),
            &Deletion::default(),
        ))?;
    }
    gone(api.delete(&ENDPOINTS, &key.namespace, &key.name, &Deletion::default()))?;
    Ok(Next::Change)
}

/// Gives a Service the address and node ports that it lacks.
fn give_address(cx: &Cx<'_>, service: Arc<Value>) -> Result<Arc<Value>, ApiError> {
    let kind = text(&service, "/spec/type");
    let wants_address = kind != "ExternalName" && text(&service, "/spec/clusterIP").is_empty();
    let wants_ports = matches!(kind, "NodePort" | "LoadBalancer")
        && list(&service, "/spec/ports")
            .iter()
            .any(|port| port["nodePort"].is_null());
    if !wants_address && !wants_ports {
        return Ok(service);
    }
    let api = cx.cluster.api();
    let all = api.list(&SERVICES, None);
    let taken: Vec<&str> = all
        .iter()
        .map(|service| text(service, "/spec/clusterIP"))
        .collect();
    let ports: Vec<i64> = all
        .iter()
        .flat_map(|service| list(service, "/spec/ports"))
        .filter_map(|port| port["nodePort"].as_i64())
        .collect();
    let subnets = cx.cluster.machines().subnets();
    let range = Range::parse(&subnets.services);
    // The first sixteen of a range are for those who ask for them.
    let free = range.and_then(|range| {
        let mut addresses = (17..)
            .map_while(|index| range.nth(index))
            .map(|address| address.to_string());
        addresses.find(|address| !taken.contains(&address.as_str()))
    });
    let written = api.modify(
        &SERVICES,
        namespace(&service),
        name(&service),
        NAME,
        |service| {
            if let Some(address) = free.as_ref().filter(|_| wants_address) {
                service["spec"]["clusterIP"] = json!(address);
                service["spec"]["clusterIPs"] = json!([address]);
            }
            let mut next = 30_000;
            let listed = service["spec"]["ports"]
                .as_array_mut()
                .into_iter()
                .flatten();
            for port in listed.filter(|port| wants_ports && port["nodePort"].is_null()) {
                next = (next..)
                    .find(|number| !ports.contains(number))
                    .unwrap_or(next);
                port["nodePort"] = json!(next);
                next += 1;
            }
        },
    )?;
    Ok(written.value.clone())
}

/// Ports that a pod serves a Service at: name, number, protocol.
type Ports = Vec<(String, u16, String)>;

/// Which ports a pod serves a Service at.
fn ports(service: &Value, pod: &Value) -> Ports {
    let ports = list(service, "/spec/ports").iter();
    let port = |port: &Value| {
        let protocol = match text(port, "/protocol") {
            "" => "TCP",
            told => told,
        };
        Some((
            text(port, "/name").to_owned(),
            target_port(pod, port)?,
            protocol.to_owned(),
        ))
    };
    ports.filter_map(port).collect()
}

fn write_slices(cx: &Cx<'_>, service: &Value, pods: &[Arc<Value>]) -> Result<(), ApiError> {
    let api = cx.cluster.api();
    let mut wanted: BTreeMap<Ports, Vec<Value>> = BTreeMap::new();
    for pod in pods {
        let ready = is_ready(pod) && !is_deleting(pod);
        let published = ready || truth(service, "/spec/publishNotReadyAddresses");
        let mut endpoint = json!({
            "addresses": [text(pod, "/status/podIP")],
            "conditions": {"ready": published, "serving": is_ready(pod), "terminating": is_deleting(pod)},
            "nodeName": pod["spec"]["nodeName"],
            "targetRef": {"kind": "Pod", "name": name(pod), "namespace": namespace(pod), "uid": uid(pod)},
        });
        if pod["spec"]["hostname"].is_string()
            && pod["spec"]["subdomain"] == service["metadata"]["name"]
        {
            endpoint["hostname"] = pod["spec"]["hostname"].clone();
        }
        wanted
            .entry(ports(service, pod))
            .or_default()
            .push(endpoint);
    }
    let mut slices: Vec<Value> = Vec::new();
    for (ports, endpoints) in wanted {
        let ports: Vec<Value> = ports
            .iter()
            .map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol}))
            .collect();
        slices.extend(
            endpoints
                .chunks(MOST)
                .map(|part| json!({"ports": ports, "endpoints": part})),
        );
    }
    if slices.is_empty() {
        slices.push(json!({"ports": null, "endpoints": null}));
    }
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels["endpointslice.kubernetes.io/managed-by"] = json!("endpointslice-controller.k8s.io");
    labels[SERVICE] = json!(name(service));
    if service["spec"]["clusterIP"] == "None" {
        labels["service.kubernetes.io/headless"] = json!("");
    }
    let place = namespace(service);
    let mut there = api.labelled(&ENDPOINT_SLICES, Some(place), &[(SERVICE, name(service))]);
    there.retain(|slice| {
        label(slice, "endpointslice.kubernetes.io/managed-by")
            == Some("endpointslice-controller.k8s.io")
    });
    for (index, slice) in slices.iter().enumerate() {
        if let Some(found) = there.get(index) {
            api.modify(&ENDPOINT_SLICES, place, name(found), NAME, |object| {
                object["ports"] = slice["ports"].clone();
                object["endpoints"] = slice["endpoints"].clone();
                object["metadata"]["labels"] = labels.clone();
            })?;
            continue;
        }
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", name(service)), "namespace": place, "labels": labels,
                "ownerReferences": [controlled_by(service)],
            },
            "addressType": "IPv4", "ports": slice["ports"], "endpoints": slice["endpoints"],
        });
        api.create(&ENDPOINT_SLICES, object, &Write::by(NAME))?;
    }
    for extra in there.iter().skip(slices.len()) {
        api.delete(&ENDPOINT_SLICES, place, name(extra), &Deletion::default())?;
    }
    Ok(())
}

/// The older form, one object for all.
fn write_endpoints(cx: &Cx<'_>, service: &Value, pods: &[Arc<Value>]) -> Result<(), ApiError> {
    // The ready addresses, and the others.
    let mut subsets: BTreeMap<Ports, [Vec<Value>; 2]> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| !is_deleting(pod)).take(1000) {
        let address = json!({
            "ip": text(pod, "/status/podIP"), "nodeName": pod["spec"]["nodeName"],
            "targetRef": {"kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod)},
        });
        let [ready, waiting] = subsets.entry(ports(service, pod)).or_default();
        if is_ready(pod) || truth(service, "/spec/publishNotReadyAddresses") {
            ready.push(address)
        } else {
            waiting.push(address)
        }
    }
    let subsets: Vec<Value> = subsets
        .into_iter()
        .map(|(ports, [ready, waiting])| {
            let ports: Vec<Value> = ports.iter().map(|(name, port, protocol)| json!({"name": name, "port": port, "protocol": protocol})).collect();
            let mut subset = json!({"ports": ports});
            for (key, addresses) in [("addresses", ready), ("notReadyAddresses", waiting)] {
                if !addresses.is_empty() {
                    subset[key] = Value::Array(addresses);
                }
            }
            subset
        })
        .collect();
    put_endpoints(cx, service, &subsets)
}

fn put_endpoints(cx: &Cx<'_>, service: &Value, subsets: &[Value]) -> Result<(), ApiError> {
    let api = cx.cluster.api();
    let (place, service_name) = (namespace(service), name(service));
    if api.get(&ENDPOINTS, place, service_name).is_some() {
        api.modify(
            &ENDPOINTS,
            place,
            service_name,
            "endpoint-controller",
            |object| {
                if subsets.is_empty() {
                    object
                        .as_object_mut()
                        .map(|object| object.shift_remove("subsets"));
                } else {
                    object["subsets"] = json!(subsets);
                }
            },
        )?;
        return Ok(());
    }
    let mut object = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": service_name, "namespace": place, "labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}},
    });
    if !subsets.is_empty() {
        object["subsets"] = json!(subsets);
    }
    api.create(&ENDPOINTS, object, &Write::by("endpoint-controller"))
        .map(drop)
}

/// The API server's own Service: its endpoints are the API servers that answer.
fn api_server(cx: &Cx<'_>, service: &Value) -> Result<Next, ApiError> {
    let api = cx.cluster.api();
    let pods = api.labelled(
        &PODS,
        Some("kube-system"),
        &[("component", "kube-apiserver")],
    );
    let mut addresses: Vec<&str> = pods
        .iter()
        .filter(|pod| is_ready(pod) && !is_deleting(pod))
        .map(|pod| text(pod, "/status/podIP"))
        .collect();
    addresses.sort_unstable();
    let ports = json!([{"name": "https", "port": 6443, "protocol": "TCP"}]);
    let endpoints: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"addresses": [address], "conditions": {"ready": true}}))
        .collect();
    if api.get(&ENDPOINT_SLICES, "default", "kubernetes").is_some() {
        api.modify(
            &ENDPOINT_SLICES,
            "default",
            "kubernetes",
            "kube-apiserver",
            |slice| {
                slice["endpoints"] = json!(endpoints);
            },
        )?;
    } else {
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {SERVICE: "kubernetes"}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
        });
        api.create(&ENDPOINT_SLICES, slice, &Write::by("kube-apiserver"))?;
    }
    let addresses: Vec<Value> = addresses
        .iter()
        .map(|address| json!({"ip": address}))
        .collect();
    let subsets = if addresses.is_empty() {
        vec![]
    } else {
        vec![json!({"addresses": addresses, "ports": ports})]
    };
    put_endpoints(cx, service, &subsets)?;
    Ok(Next::Change)
}
