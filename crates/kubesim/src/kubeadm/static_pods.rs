//! The control plane's static pods, as kubeadm writes their manifests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{NodeSpec, versions};
use crate::kubelet::machine::Subnets;

/// The manifests of a control-plane node, by name without the node's.
pub(super) fn manifests(
    spec: &NodeSpec,
    address: &str,
    subnets: &Subnets,
) -> BTreeMap<String, Value> {
    let tag = versions::tag(&spec.kubernetes_version);
    let etcd_tag = match spec.etcd_image_tag.as_str() {
        "" => versions::etcd(&spec.kubernetes_version),
        own => own,
    };
    let etcd = flags(&[
        ("advertise-client-urls", &format!("https://{address}:2379")),
        ("cert-file", "/etc/kubernetes/pki/etcd/server.crt"),
        ("client-cert-auth", "true"),
        ("data-dir", "/var/lib/etcd"),
        (
            "initial-advertise-peer-urls",
            &format!("https://{address}:2380"),
        ),
        (
            "initial-cluster",
            &format!("{}=https://{address}:2380", spec.name),
        ),
        ("key-file", "/etc/kubernetes/pki/etcd/server.key"),
        (
            "listen-client-urls",
            &format!("https://127.0.0.1:2379,https://{address}:2379"),
        ),
        ("listen-metrics-urls", "http://127.0.0.1:2381"),
        ("listen-peer-urls", &format!("https://{address}:2380")),
        ("name", &spec.name),
        ("peer-cert-file", "/etc/kubernetes/pki/etcd/peer.crt"),
        ("peer-client-cert-auth", "true"),
        ("peer-key-file", "/etc/kubernetes/pki/etcd/peer.key"),
        ("peer-trusted-ca-file", "/etc/kubernetes/pki/etcd/ca.crt"),
        ("snapshot-count", "10000"),
        ("trusted-ca-file", "/etc/kubernetes/pki/etcd/ca.crt"),
    ]);
    let server = flags(&[
        ("advertise-address", address),
        ("allow-privileged", "true"),
        ("authorization-mode", "Node,RBAC"),
        ("client-ca-file", "/etc/kubernetes/pki/ca.crt"),
        ("enable-admission-plugins", "NodeRestriction"),
        ("enable-bootstrap-token-auth", "true"),
        ("etcd-cafile", "/etc/kubernetes/pki/etcd/ca.crt"),
        (
            "etcd-certfile",
            "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        ),
        (
            "etcd-keyfile",
            "/etc/kubernetes/pki/apiserver-etcd-client.key",
        ),
        ("etcd-servers", "https://127.0.0.1:2379"),
        ("secure-port", "6443"),
        (
            "service-account-issuer",
            &format!("https://kubernetes.default.svc.{}", subnets.domain),
        ),
        ("service-account-key-file", "/etc/kubernetes/pki/sa.pub"),
        (
            "service-account-signing-key-file",
            "/etc/kubernetes/pki/sa.key",
        ),
        ("service-cluster-ip-range", &subnets.services),
        ("tls-cert-file", "/etc/kubernetes/pki/apiserver.crt"),
        ("tls-private-key-file", "/etc/kubernetes/pki/apiserver.key"),
    ]);
    let manager = flags(&[
        ("allocate-node-cidrs", "true"),
        ("bind-address", "127.0.0.1"),
        ("cluster-cidr", &subnets.pods),
        ("controllers", "*,bootstrapsigner,tokencleaner"),
        ("leader-elect", "true"),
        ("service-cluster-ip-range", &subnets.services),
        ("use-service-account-credentials", "true"),
    ]);
    let scheduler = flags(&[
        ("bind-address", "127.0.0.1"),
        ("kubeconfig", "/etc/kubernetes/scheduler.conf"),
        ("leader-elect", "true"),
    ]);
    let components = [
        Component {
            name: "etcd",
            tag: etcd_tag,
            flags: etcd,
            port: 2381,
            host: "127.0.0.1",
            ready: "/readyz",
            request: "100m",
            annotation: Some((
                "kubeadm.kubernetes.io/etcd.advertise-client-urls",
                format!("https://{address}:2379"),
            )),
        },
        Component {
            name: "kube-apiserver",
            tag: &tag,
            flags: server,
            port: 6443,
            host: address,
            ready: "/readyz",
            request: "250m",
            annotation: Some((
                "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint",
                format!("{address}:6443"),
            )),
        },
        Component {
            name: "kube-controller-manager",
            tag: &tag,
            flags: manager,
            port: 10257,
            host: "127.0.0.1",
            ready: "",
            request: "200m",
            annotation: None,
        },
        Component {
            name: "kube-scheduler",
            tag: &tag,
            flags: scheduler,
            port: 10259,
            host: "127.0.0.1",
            ready: "/readyz",
            request: "100m",
            annotation: None,
        },
    ];
    components
        .into_iter()
        .map(|component| (component.name.to_owned(), component.manifest(spec)))
        .collect()
}

struct Component<'a> {
    name: &'a str,
    tag: &'a str,
    flags: BTreeMap<String, String>,
    port: u16,
    host: &'a str,
    /// Path of its readiness probe, empty for none.
    ready: &'a str,
    request: &'a str,
    annotation: Option<(&'a str, String)>,
}

fn flags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

impl Component<'_> {
    fn manifest(mut self, spec: &NodeSpec) -> Value {
        if let Some(extra) = spec.extra_args.get(self.name) {
            self.flags.extend(extra.clone());
        }
        let mut command = vec![self.name.to_owned()];
        command.extend(
            self.flags
                .iter()
                .map(|(name, value)| format!("--{name}={value}")),
        );
        let scheme = if self.port == 2381 { "HTTP" } else { "HTTPS" };
        let probe = |path: &str, delay: i64, period: i64, failures: i64| {
            json!({
                "httpGet": {"host": self.host, "path": path, "port": self.port, "scheme": scheme},
                "initialDelaySeconds": delay, "timeoutSeconds": 15, "periodSeconds": period,
                "successThreshold": 1, "failureThreshold": failures,
            })
        };
        let alive = if self.ready.is_empty() {
            "/healthz"
        } else {
            "/livez"
        };
        let mut container = json!({
            "name": self.name,
            "image": format!("{}/{}:{}", spec.image_repository, self.name, self.tag),
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "resources": {"requests": {"cpu": self.request}},
            "livenessProbe": probe(alive, 10, 10, 8),
            "startupProbe": probe(alive, 10, 10, 24),
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        });
        if !self.ready.is_empty() {
            container["readinessProbe"] = probe(self.ready, 0, 1, 3);
        }
        let mut metadata = json!({
            "name": self.name, "namespace": "kube-system",
            "labels": {"component": self.name, "tier": "control-plane"},
        });
        if let Some((key, value)) = self.annotation {
            metadata["annotations"] = json!({key: value});
        }
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {
                "containers": [container],
                "dnsPolicy": "ClusterFirst", "enableServiceLinks": true,
                "hostNetwork": true,
                "preemptionPolicy": "PreemptLowerPriority", "priority": 2_000_001_000,
                "priorityClassName": "system-node-critical",
                "restartPolicy": "Always", "schedulerName": "default-scheduler",
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "terminationGracePeriodSeconds": 30,
                "tolerations": [{"effect": "NoExecute", "operator": "Exists"}],
            },
        })
    }
}
