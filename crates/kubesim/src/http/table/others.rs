//! Rows of nodes, network, configuration and rights.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::cells::{
    age, elements, fields, join, labels, name, number, selector, since, text, three,
};
use super::{Columns, built_in};

/// The columns of another built-in resource.
pub fn columns(group: &str, resource: &str) -> Option<Columns> {
    Some(match (group, resource) {
        ("", "nodes") => built_in(
            &[
                "Name",
                "Status",
                "Roles",
                "Age",
                "Version",
                "*Internal-IP",
                "*External-IP",
                "*OS-Image",
                "*Kernel-Version",
                "*Container-Runtime",
            ],
            node,
        ),
        ("", "services") => built_in(
            &[
                "Name",
                "Type",
                "Cluster-IP",
                "External-IP",
                "Port(s)",
                "Age",
                "*Selector",
            ],
            service,
        ),
        ("", "endpoints") => built_in(&["Name", "Endpoints", "Age"], endpoints),
        ("discovery.k8s.io", "endpointslices") => built_in(
            &["Name", "AddressType", "Ports", "Endpoints", "Age"],
            endpoint_slice,
        ),
        ("", "namespaces") => built_in(&["Name", "Status", "Age"], |object, now| {
            vec![
                name(object),
                text(object, "/status/phase", ""),
                age(object, now),
            ]
        }),
        ("", "events") => built_in(
            &[
                "Last Seen",
                "Type",
                "Reason",
                "Object",
                "*Subobject",
                "*Source",
                "Message",
                "*First Seen",
                "*Count",
                "*Name",
            ],
            event,
        ),
        ("", "configmaps") => built_in(&["Name", "Data", "Age"], |object, now| {
            let data = fields(object, "/data") + fields(object, "/binaryData");
            vec![name(object), json!(data), age(object, now)]
        }),
        ("", "secrets") => built_in(&["Name", "Type", "Data", "Age"], |object, now| {
            let data = json!(fields(object, "/data"));
            vec![
                name(object),
                text(object, "/type", "Opaque"),
                data,
                age(object, now),
            ]
        }),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            built_in(&["Name", "Created At"], |object, _| {
                vec![
                    name(object),
                    object["metadata"]["creationTimestamp"].clone(),
                ]
            })
        }
        ("coordination.k8s.io", "leases") => built_in(&["Name", "Holder", "Age"], |object, now| {
            vec![
                name(object),
                text(object, "/spec/holderIdentity", ""),
                age(object, now),
            ]
        }),
        ("networking.k8s.io", "networkpolicies") => {
            built_in(&["Name", "Pod-Selector", "Age"], |object, now| {
                let selected = json!(selector(&object["spec"]["podSelector"]));
                vec![name(object), selected, age(object, now)]
            })
        }
        ("networking.k8s.io", "ingresses") => built_in(
            &["Name", "Class", "Hosts", "Address", "Ports", "Age"],
            ingress,
        ),
        ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings") => built_in(
            &[
                "Name",
                "Role",
                "Age",
                "*Users",
                "*Groups",
                "*ServiceAccounts",
            ],
            binding,
        ),
        ("rbac.authorization.k8s.io", "roles" | "clusterroles") => {
            built_in(&["Name", "Created At"], |object, _| {
                vec![
                    name(object),
                    object["metadata"]["creationTimestamp"].clone(),
                ]
            })
        }
        ("scheduling.k8s.io", "priorityclasses") => built_in(
            &[
                "Name",
                "#Value",
                "?Global-Default",
                "Age",
                "*PreemptionPolicy",
            ],
            |object, now| {
                let default = json!(object["globalDefault"] == true);
                let policy = text(object, "/preemptionPolicy", "");
                vec![
                    name(object),
                    json!(number(object, "/value")),
                    default,
                    age(object, now),
                    policy,
                ]
            },
        ),
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations" | "validatingwebhookconfigurations",
        ) => built_in(&["Name", "#Webhooks", "Age"], |object, now| {
            let webhooks = json!(elements(object, "/webhooks").len());
            vec![name(object), webhooks, age(object, now)]
        }),
        ("apiregistration.k8s.io", "apiservices") => {
            built_in(&["Name", "Service", "Available", "Age"], |object, now| {
                vec![
                    name(object),
                    json!("Local"),
                    json!("True"),
                    age(object, now),
                ]
            })
        }
        _ => return None,
    })
}

fn node(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut conditions = elements(object, "/status/conditions").iter();
    let ready = conditions.find(|condition| condition["type"] == "Ready");
    let mut status = ready
        .map_or("Unknown", |ready| {
            if ready["status"] == "True" {
                "Ready"
            } else {
                "NotReady"
            }
        })
        .to_owned();
    if object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let labels = object["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let role = key.strip_prefix("node-role.kubernetes.io/");
            role.or_else(|| value.as_str().filter(|_| key == "kubernetes.io/role"))
        })
        .filter(|role| !role.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let roles = if roles.is_empty() {
        "<none>".to_owned()
    } else {
        roles.join(",")
    };
    let address = |kind: &str| {
        let mut addresses = elements(object, "/status/addresses").iter();
        let found = addresses.find(|address| address["type"] == kind);
        found.map_or(json!("<none>"), |address| address["address"].clone())
    };
    let info = |field: &str| text(object, &format!("/status/nodeInfo/{field}"), "<unknown>");
    vec![
        name(object),
        json!(status),
        json!(roles),
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion", ""),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let own = elements(object, "/spec/externalIPs")
        .iter()
        .filter_map(Value::as_str);
    let given = balancer(object);
    let external = match spec["type"].as_str().unwrap_or("ClusterIP") {
        "ExternalName" => spec["externalName"].as_str().unwrap_or_default().to_owned(),
        "LoadBalancer" => match join(given.iter().map(String::as_str).chain(own)) {
            none if none.is_empty() => "<pending>".to_owned(),
            addresses => addresses,
        },
        _ => match join(own) {
            none if none.is_empty() => "<none>".to_owned(),
            addresses => addresses,
        },
    };
    let ports: Vec<String> = elements(object, "/spec/ports")
        .iter()
        .map(|port| {
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            match number(port, "/nodePort") {
                0 => format!("{}/{protocol}", port["port"]),
                node => format!("{}:{node}/{protocol}", port["port"]),
            }
        })
        .collect();
    let ports = if ports.is_empty() {
        "<none>".to_owned()
    } else {
        ports.join(",")
    };
    let address = match &spec["clusterIPs"][0] {
        Value::Null => text(object, "/spec/clusterIP", "<none>"),
        address => address.clone(),
    };
    vec![
        name(object),
        text(object, "/spec/type", "ClusterIP"),
        address,
        json!(external),
        json!(ports),
        age(object, now),
        json!(labels(&spec["selector"])),
    ]
}

/// Addresses that a load balancer has given, sorted.
fn balancer(object: &Value) -> Vec<String> {
    let given = elements(object, "/status/loadBalancer/ingress").iter();
    let mut given: Vec<String> = given
        .filter_map(|one| one["ip"].as_str().or_else(|| one["hostname"].as_str()))
        .map(str::to_owned)
        .collect();
    given.sort();
    given.dedup();
    given
}

fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut shown = Vec::new();
    for subset in elements(object, "/subsets") {
        let addresses = elements(subset, "/addresses").iter();
        let addresses: Vec<&str> = addresses
            .filter_map(|address| address["ip"].as_str())
            .collect();
        let ports = elements(subset, "/ports");
        if ports.is_empty() {
            shown.extend(addresses.iter().map(|&address| address.to_owned()));
        }
        for port in ports {
            shown.extend(
                addresses
                    .iter()
                    .map(|address| format!("{address}:{}", port["port"])),
            );
        }
    }
    vec![
        name(object),
        json!(three(&shown, "<none>")),
        age(object, now),
    ]
}

fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = elements(object, "/ports")
        .iter()
        .map(|port| match &port["port"] {
            Value::Null => port["name"].as_str().unwrap_or("*").to_owned(),
            number => number.to_string(),
        })
        .collect();
    let addresses: Vec<String> = elements(object, "/endpoints")
        .iter()
        .flat_map(|endpoint| elements(endpoint, "/addresses"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    vec![
        name(object),
        text(object, "/addressType", ""),
        json!(three(&ports, "<unset>")),
        json!(three(&addresses, "<unset>")),
        age(object, now),
    ]
}

fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let of = |time: &Value| time.is_string().then(|| since(time, now));
    let first = of(&object["firstTimestamp"])
        .or_else(|| of(&object["eventTime"]))
        .unwrap_or_else(|| "<unknown>".to_owned());
    let series = &object["series"];
    let last = if series.is_object() {
        since(&series["lastObservedTime"], now)
    } else {
        of(&object["lastTimestamp"]).unwrap_or_else(|| first.clone())
    };
    let count = match number(object, "/series/count") {
        0 => number(object, "/count").max(1),
        count => count,
    };
    let about = &object["involvedObject"];
    let kind = about["kind"].as_str().unwrap_or_default().to_lowercase();
    let target = match about["name"].as_str().unwrap_or_default() {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let word = |a: &str, b: &str| {
        let words = [a, b]
            .into_iter()
            .filter_map(|p| object.pointer(p)?.as_str());
        words
            .into_iter()
            .find(|word| !word.is_empty())
            .unwrap_or_default()
            .to_owned()
    };
    let source = word("/source/component", "/reportingComponent");
    let host = word("/source/host", "/reportingInstance");
    let source = if host.is_empty() {
        source
    } else {
        format!("{source}, {host}")
    };
    let message = object["message"].as_str().unwrap_or_default().trim();
    vec![
        json!(last),
        text(object, "/type", ""),
        text(object, "/reason", ""),
        json!(target),
        text(about, "/fieldPath", ""),
        json!(source),
        json!(message),
        json!(first),
        json!(count),
        name(object),
    ]
}

fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let rules = elements(object, "/spec/rules").iter();
    let hosts = rules
        .filter_map(|rule| rule["host"].as_str())
        .map(str::to_owned);
    let tls = !elements(object, "/spec/tls").is_empty();
    vec![
        name(object),
        text(object, "/spec/ingressClassName", "<none>"),
        json!(three(&hosts.collect::<Vec<_>>(), "*")),
        json!(balancer(object).join(",")),
        json!(if tls { "80, 443" } else { "80" }),
        age(object, now),
    ]
}

fn binding(object: &Value, now: Timestamp) -> Vec<Value> {
    let role = &object["roleRef"];
    let word = |field: &str| role[field].as_str().unwrap_or_default();
    let subjects = |kind: &str| {
        let of_kind = elements(object, "/subjects")
            .iter()
            .filter(|s| s["kind"] == kind);
        let names = of_kind.map(|subject| {
            let name = subject["name"].as_str().unwrap_or_default();
            match subject["namespace"].as_str() {
                Some(namespace) if kind == "ServiceAccount" => format!("{namespace}/{name}"),
                _ => name.to_owned(),
            }
        });
        json!(names.collect::<Vec<_>>().join(", "))
    };
    vec![
        name(object),
        json!(format!("{}/{}", word("kind"), word("name"))),
        age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
