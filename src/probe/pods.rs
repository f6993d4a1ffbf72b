//! What is measured with: a workload behind a Service, and pods that ask it, in a namespace of their own.

use serde_json::{Value, json};

use super::Probe;
use crate::checks::TOOLS_IMAGE;
use crate::record::ObjectRef;

/// The workload that is asked, and its Service.
pub const SERVER: &str = "server";
/// The pods that ask.
pub const ASKER: &str = "asker";
/// The pod that reads a volume.
pub const KEEPER: &str = "keeper";
/// How many pods ask the same.
pub const ASKERS: u32 = 2;
/// The workload's port that everybody may reach.
pub const OPEN: u16 = 8080;
/// Its port that a NetworkPolicy denies.
pub const SHUT: u16 = 8081;
/// The NetworkPolicy.
pub const POLICY: &str = "only-the-open-port";
/// The container that asks.
pub const CONTAINER: &str = "ask";
/// Label of a pod's part.
const PART: &str = "app";
/// The service account that no pod gets a token of: the namespace's own comes a moment later.
const ACCOUNT: &str = "probe";
/// The program of the pods that ask.
const SCRIPT: &str = include_str!("ask.sh");

/// Where the probes are.
#[derive(Clone, Debug)]
pub struct Place {
    /// Their namespace.
    pub namespace: String,
    /// The cluster's domain, e.g. `cluster.local`.
    pub domain: String,
}

impl Place {
    /// The workload, and who asks it.
    pub fn objects(&self, probes: &[&Probe]) -> Vec<Value> {
        let asks = probes.iter().filter_map(|probe| {
            let what = (probe.ask?)(self);
            Some(format!("{}={what}", probe.name))
        });
        let asks: Vec<String> = asks.collect();
        let mut server = container("serve", json!(["porter"]));
        server["ports"] = json!([{"name": "open", "containerPort": OPEN}, {"name": "shut", "containerPort": SHUT}]);
        server["env"] = json!([
            {"name": format!("SERVE_PORT_{OPEN}"), "value": "open"},
            {"name": format!("SERVE_PORT_{SHUT}"), "value": "shut"},
        ]);
        server["readinessProbe"] = json!({"tcpSocket": {"port": OPEN}, "periodSeconds": 2});
        // Until every node knows that it is no endpoint any more, it is sent connections.
        server["lifecycle"] = json!({"preStop": {"exec": {"command": ["sleep", "5"]}}});
        vec![
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": SERVER},
                "spec": {"selector": {PART: SERVER}, "ports": [
                    {"name": "open", "port": OPEN, "targetPort": OPEN},
                    {"name": "shut", "port": SHUT, "targetPort": SHUT},
                ]},
            }),
            budget(SERVER),
            budget(ASKER),
            deployment(SERVER, server, 2),
            deployment(ASKER, asking(&asks), ASKERS),
        ]
    }

    /// An object there.
    pub fn object(&self, kind: &str, name: &str) -> ObjectRef {
        ObjectRef::new("workload", kind, &self.namespace, name)
    }

    /// Where everything is.
    pub fn ground(&self) -> Vec<Value> {
        let namespace = &self.namespace;
        vec![
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}, "automountServiceAccountToken": false}),
        ]
    }

    /// What denies the shut port.
    pub fn policy(&self) -> Value {
        json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": POLICY},
            "spec": {
                "podSelector": {"matchLabels": {PART: SERVER}},
                "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"protocol": "TCP", "port": OPEN}]}],
            },
        })
    }
}

/// One at a time: a drain never stops both.
fn budget(part: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": part},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {PART: part}}},
    })
}

/// A container that asks.
pub fn asking(asks: &[String]) -> Value {
    let mut asker = container(CONTAINER, json!(asks));
    asker["command"] = json!(["/bin/sh", "-c", SCRIPT, "probe"]);
    asker
}

/// A container of the tools image.
pub fn container(name: &str, args: Value) -> Value {
    json!({
        "name": name, "image": TOOLS_IMAGE, "imagePullPolicy": "IfNotPresent", "args": args,
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

/// A Deployment of one part.
pub fn deployment(part: &str, container: Value, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": part},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {PART: part}},
            "template": {
                "metadata": {"labels": {PART: part}},
                "spec": pod(part, container),
            },
        },
    })
}

/// The spec of a pod of one part.
pub fn pod(part: &str, container: Value) -> Value {
    json!({
        "serviceAccountName": ACCOUNT,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 15,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65534, "seccompProfile": {"type": "RuntimeDefault"}},
        // Where there is but one worker, the other replica finds its place beside the control plane, and never
        // keeps a drain waiting.
        "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {PART: part}},
        }],
        "containers": [container],
    })
}
