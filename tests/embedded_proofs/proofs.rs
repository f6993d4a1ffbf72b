//! For each check that ships: what makes it fail, and what it says then.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::date;
use kubesim::capi;
use kubesim::cso::{self, Operator};
use kubesim::kubelet::conformance::{Conformance, Course};
use kubesim::kubelet::program::Crashing;
use kubesim::registry::{Deletion, Write};
use kubesim::resource::builtin::{
    CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES,
    SERVICES, STORAGE_CLASSES,
};
use serde_json::{Value, json};

use crate::simulated::{Shape, World};

/// How a check is shown to fail, and to pass without that.
pub struct Proof {
    /// The check's id.
    pub check: &'static str,
    /// Whether it is about a cluster that Cluster API made.
    pub managed: bool,
    /// The fault of the Cluster Stack Operator, of a check that is about it.
    pub operator: Option<fn(&Operator)>,
    /// The fault, in words.
    pub fault: &'static str,
    /// What has to be there for the check to have something to judge, fault or not.
    pub prepare: fn(&World),
    /// The fault in what the cluster is made of.
    pub build: fn(&mut Shape),
    /// The fault in the cluster that runs; of a check that compares, between before and after.
    pub act: fn(&World),
    /// What the failure says.
    pub says: &'static str,
}

const PLAIN: Proof = Proof {
    check: "",
    managed: false,
    operator: None,
    fault: "",
    prepare: |_| (),
    build: |_| (),
    act: |_| (),
    says: "",
};

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
const ZONE: &str = "topology.kubernetes.io/zone";

fn workload(name: &str, replicas: u32, container: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
        },
    })
}

fn service(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"name": "main", "port": port, "protocol": "TCP"}]},
    })
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

/// Every proof, in the order of the suites.
pub const PROOFS: &[Proof] = &[
    Proof {
        check: "nodes-ready",
        fault: "a kubelet stops",
        act: |world| world.cluster.machines().stop_kubelet("cp-3"),
        says: "Node cp-3: Ready Unknown",
        ..PLAIN
    },
    Proof {
        check: "control-plane-pods",
        fault: "one control-plane machine runs static pods of the version before",
        build: |shape| shape.others[0].kubernetes_version = "v1.34.3".to_owned(),
        says: "kube-apiserver:v1.34.3, not v1.35.0",
        ..PLAIN
    },
    Proof {
        check: "api-ready-endpoints",
        fault: "a part of the API server is not ready",
        act: |world| {
            world
                .cluster
                .server()
                .set_part("etcd", Some("reason withheld"))
        },
        says: "etcd failed",
        ..PLAIN
    },
    Proof {
        check: "kube-proxy-version",
        fault: "kube-proxy stays at the version before",
        act: |world| {
            world.change(&DAEMON_SETS, "kube-system", "kube-proxy", |set| {
                set["spec"]["template"]["spec"]["containers"][0]["image"] =
                    json!("registry.k8s.io/kube-proxy:v1.34.3");
            });
        },
        says: "kube-proxy:v1.34.3, not v1.35.0",
        ..PLAIN
    },
    Proof {
        check: "coredns-version",
        fault: "the class names the CoreDNS of the version before",
        build: |shape| shape.init.dns_image_tag = "v1.12.1".to_owned(),
        says: "v1.12.1",
        ..PLAIN
    },
    Proof {
        check: "dns-resolves",
        fault: "CoreDNS is scaled to 0",
        act: |world| {
            world.change(&DEPLOYMENTS, "kube-system", "coredns", |dns| {
                dns["spec"]["replicas"] = json!(0);
            });
        },
        says: "cannot resolve kubernetes.default.svc",
        ..PLAIN
    },
    Proof {
        check: "workloads-rolled-out",
        fault: "a Deployment's image is in no registry",
        act: |world| {
            world
                .simulation
                .images()
                .remove("registry.example.org/gone:v1");
            let container = json!({"name": "main", "image": "registry.example.org/gone:v1"});
            world.create(workload("gone", 1, &container));
        },
        says: "Deployment default/gone",
        ..PLAIN
    },
    Proof {
        check: "no-restarting-pods",
        fault: "a container fails a moment after each start",
        act: |world| {
            let crashing = Crashing {
                after: Duration::from_secs(1),
                code: 3,
                said: "no".to_owned(),
            };
            let programs = world.simulation.programs();
            programs.install("crashing", Arc::new(crashing));
            let container = json!({"name": "main", "image": "registry.example.org/crashing:v1"});
            world.create(workload("crashing", 1, &container));
        },
        says: "last exit code 3",
        ..PLAIN
    },
    Proof {
        check: "addons-live",
        fault: "an addon object is not what the release renders",
        act: |world| {
            world.change(&CONFIG_MAPS, "kube-system", "addon", |map| {
                map["data"]["mode"] = json!("lax");
            });
        },
        says: "ConfigMap kube-system/addon",
        ..PLAIN
    },
    Proof {
        check: "machines-settled",
        managed: true,
        fault: "the Cluster is paused",
        act: |world| {
            let side = world.management.as_ref().unwrap();
            let api = side.cluster.api();
            let pause = |cluster: &mut Value| cluster["spec"]["paused"] = json!(true);
            api.modify(
                &capi::kinds::CLUSTERS,
                side.namespace,
                side.name,
                "test",
                pause,
            )
            .unwrap();
        },
        says: "paused: nothing is reconciled",
        ..PLAIN
    },
    Proof {
        check: "operator-guards",
        operator: Some(|operator| operator.inject(cso::Fault::AdmitsAll)),
        fault: "the operator's webhooks admit everything",
        says: "a Cluster of another version than its release: admitted",
        ..PLAIN
    },
    Proof {
        check: "no-blocking-events",
        fault: "no node is as a pod asks for",
        act: |world| {
            world.create(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "nowhere", "namespace": "default"},
                "spec": {"nodeSelector": {"is": "not there"}, "containers": [{"name": "main", "image": "x"}]},
            }));
        },
        says: "FailedScheduling",
        ..PLAIN
    },
    Proof {
        check: "claims-bound",
        fault: "a bound volume is gone",
        prepare: |world| {
            let container = json!({"name": "main", "image": "registry.example.org/keeps:v1",
                "volumeMounts": [{"name": "data", "mountPath": "/data"}]});
            let mut keeper = workload("keeper", 1, &container);
            keeper["spec"]["template"]["spec"]["volumes"] =
                json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
            world.create(claim());
            world.create(keeper);
        },
        act: |world| {
            let api = world.cluster.api();
            let claim = api
                .get(&PERSISTENT_VOLUME_CLAIMS, "default", "data")
                .unwrap();
            let volume = claim["spec"]["volumeName"].as_str().unwrap();
            let id = &PERSISTENT_VOLUMES;
            world.change(id, "", volume, |volume| {
                volume["metadata"]["finalizers"] = json!([]);
            });
            api.delete(id, "", volume, &Deletion::default()).unwrap();
        },
        says: "PersistentVolumeClaim default/data",
        ..PLAIN
    },
    Proof {
        check: "node-labels-kept",
        managed: true,
        fault: "the nodes after the upgrade lack a label of those before",
        prepare: |world| label(world, Some("fast")),
        act: |world| label(world, None),
        says: "example.org/pool",
        ..PLAIN
    },
    Proof {
        check: "services-keep-addresses",
        fault: "a Service is made anew",
        prepare: |world| world.create(service("web", 80)),
        act: |world| {
            let mut other = service("web", 80);
            other["spec"]["clusterIP"] = json!("10.96.77.77");
            let api = world.cluster.api();
            api.delete(&SERVICES, "default", "web", &Deletion::default())
                .unwrap();
            world.create(other);
        },
        says: "default/web has another cluster address",
        ..PLAIN
    },
    Proof {
        check: "claims-kept",
        fault: "a claim is deleted",
        prepare: |world| world.create(claim()),
        act: |world| {
            let api = world.cluster.api();
            let claims = &PERSISTENT_VOLUME_CLAIMS;
            api.delete(claims, "default", "data", &Deletion::default())
                .unwrap();
        },
        says: "default/data is gone",
        ..PLAIN
    },
    Proof {
        check: "scs-0210-version-policy",
        fault: "the day is later than a month after the next patch came out",
        build: |shape| shape.judged_on = Some(date(2026, 3, 20)),
        says: "v1.35.0 is outdated: v1.35.1 has been out since 2026-02-10",
        ..PLAIN
    },
    Proof {
        check: "scs-0211-default-storage-class",
        fault: "the annotation of the default class is removed",
        act: |world| {
            world.change(&STORAGE_CLASSES, "", "standard", |class| {
                class["metadata"]["annotations"][DEFAULT_CLASS] = json!("false");
            });
        },
        says: "none of 1 has the annotation",
        ..PLAIN
    },
    Proof {
        check: "scs-0211-volume-keeps-data",
        fault: "the default class has nobody who makes volumes",
        act: |world| provisioner(world, "kubernetes.io/no-provisioner"),
        says: "a pod cannot write to a volume of the default StorageClass",
        ..PLAIN
    },
    Proof {
        check: "scs-0211-failure-safe",
        fault: "the default class makes directories of a node",
        act: |world| provisioner(world, "rancher.io/local-path"),
        says: "go with it",
        ..PLAIN
    },
    Proof {
        check: "scs-0214-node-labels",
        fault: "a node loses its zone",
        act: |world| {
            world.change(&NODES, "", "cp-2", |node| {
                let labels = node["metadata"]["labels"].as_object_mut().unwrap();
                labels.shift_remove(ZONE);
            });
        },
        says: "Node cp-2: has no label topology.kubernetes.io/zone",
        ..PLAIN
    },
    Proof {
        check: "scs-0214-control-plane-nodes",
        fault: "one control-plane node",
        build: |shape| shape.others.clear(),
        says: "Node cp-1: is the only control-plane node",
        ..PLAIN
    },
    Proof {
        check: "scs-0214-control-plane-zones",
        fault: "all control-plane nodes in one zone",
        build: |shape| {
            for node in shape.nodes() {
                node.labels.insert(ZONE.to_owned(), "a".to_owned());
            }
        },
        says: "all in zone a",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-request-limits",
        fault: "a limit is not a number",
        build: |shape| shape.flag("kube-apiserver", "min-request-timeout", "soon"),
        says: "--min-request-timeout is soon",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-event-rate-limit",
        fault: "the plugin is not named",
        build: |shape| {
            let flag = "enable-admission-plugins";
            shape.flag("kube-apiserver", flag, "NodeRestriction");
        },
        says: "does not name EventRateLimit",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-etcd-compaction",
        fault: "another retention",
        build: |shape| shape.flag("etcd", "auto-compaction-retention", "1h"),
        says: "--auto-compaction-retention is 1h",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-certificate-validity",
        fault: "the control plane's certificates are good for ten years",
        act: |world| {
            let years = Duration::from_secs(10 * 365 * 24 * 3600);
            world.cluster.server().set_certificate_period(years);
        },
        says: "a certificate that is good for 3650 days",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-kubelet-certificate-rotation",
        fault: "kubelets keep their certificates",
        build: |shape| shape.kubelet.push(("/rotateCertificates", json!(false))),
        says: "rotateCertificates is false",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-kubelet-read-only-port",
        fault: "kubelets open the read-only port",
        build: |shape| shape.kubelet.push(("/readOnlyPort", json!(10255))),
        says: "readOnlyPort is 10255",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-control-plane-ports",
        fault: "etcd tells its metrics to everybody in plain text",
        build: |shape| shape.flag("etcd", "listen-metrics-urls", "http://0.0.0.0:2381"),
        says: "--listen-metrics-urls names http://0.0.0.0:2381",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-endpoints-https",
        fault: "a server without TLS at the kubelet's port",
        act: |world| {
            let container = json!({"name": "main", "image": stackgate::checks::TOOLS_IMAGE,
                "args": ["netexec", "--http-port=10250"]});
            world.create(workload("plain", 1, &container));
            world.create(service("plain", 10250));
        },
        says: ":10250 answers without TLS",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-kubelet-anonymous-auth",
        fault: "kubelets take anonymous requests",
        build: |shape| {
            let field = "/authentication/anonymous/enabled";
            shape.kubelet.push((field, json!(true)));
        },
        says: "authentication.anonymous.enabled is true",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-kubelet-webhook-authorization",
        fault: "kubelets allow everything",
        build: |shape| {
            let field = "/authorization/mode";
            shape.kubelet.push((field, json!("AlwaysAllow")));
        },
        says: "authorization.mode is \"AlwaysAllow\"",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-node-restriction",
        fault: "the plugin is not named",
        build: |shape| {
            let flag = "enable-admission-plugins";
            shape.flag("kube-apiserver", flag, "EventRateLimit");
        },
        says: "does not name NodeRestriction",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-authorization-methods",
        fault: "Node is not among the modes",
        build: |shape| shape.flag("kube-apiserver", "authorization-mode", "RBAC"),
        says: "--authorization-mode is 'RBAC', without Node",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-authentication-methods",
        fault: "no method beside tokens",
        build: |shape| shape.flag("kube-apiserver", "client-ca-file", ""),
        says: "tokens are the only method",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-etcd-client-tls",
        fault: "the API server talks to etcd in plain text",
        build: |shape| {
            let (flag, url) = ("etcd-servers", "http://etcd.example.org:2379");
            shape.flag("kube-apiserver", flag, url);
        },
        says: "--etcd-servers names http://etcd.example.org:2379, not https",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-etcd-tls",
        fault: "etcd takes peers without certificates",
        build: |shape| shape.flag("etcd", "peer-client-cert-auth", "false"),
        says: "--peer-client-cert-auth is not set",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-etcd-isolation",
        fault: "etcd on the machines of the API servers",
        build: |shape| {
            let (flag, url) = ("etcd-servers", "https://127.0.0.1:2379");
            shape.flag("kube-apiserver", flag, url);
        },
        says: "runs on the same machine as an API server",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-pod-security",
        fault: "the admission plugin is off",
        build: |shape| {
            let flag = "disable-admission-plugins";
            shape.flag("kube-apiserver", flag, "PodSecurity");
        },
        says: "takes a privileged pod in a namespace with",
        ..PLAIN
    },
    Proof {
        check: "scs-0219-network-policy",
        fault: "the network heeds no policies",
        act: |world| {
            for node in ["cp-1", "cp-2", "cp-3"] {
                world.cluster.machines().enforce_policies(node, false);
            }
        },
        says: "still reaches a server all of whose ingress is denied",
        ..PLAIN
    },
    Proof {
        check: "scs-0201-conformance",
        fault: "one conformance case fails",
        act: |world| a_case_fails(world, "Pods should be submitted"),
        says: "1 failed, 440 passed, 0 failed as accepted: Case [sig-node] Pods should be submitted and removed",
        ..PLAIN
    },
    Proof {
        check: "scs-0219-networking",
        fault: "one case about NetworkPolicies fails",
        act: |world| a_case_fails(world, "hold in case 7 "),
        says: "1 failed, 49 passed, 0 failed as accepted: Case [sig-network] Netpol",
        ..PLAIN
    },
];

/// More faults of checks that have one above: each is seen, too.
pub const MORE: &[Proof] = &[
    Proof {
        check: "scs-0211-default-storage-class",
        fault: "a second default class, by the annotation's beta form",
        act: |world| {
            let beta = "storageclass.beta.kubernetes.io/is-default-class";
            world.create(json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "csi.example.org",
                "metadata": {"name": "old", "annotations": {beta: "true"}},
            }));
        },
        says: "old, standard are default at once",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-certificate-validity",
        fault: "the certificates were not renewed",
        build: |shape| shape.judged_on = Some(date(2027, 1, 20)),
        says: "a certificate that ended on 2027-01-01",
        ..PLAIN
    },
    Proof {
        check: "scs-0215-etcd-compaction",
        fault: "no retention",
        build: |shape| shape.flag("etcd", "auto-compaction-retention", ""),
        says: "--auto-compaction-retention is not set",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-control-plane-ports",
        fault: "etcd takes clients in plain text",
        build: |shape| shape.flag("etcd", "listen-client-urls", "http://0.0.0.0:2379"),
        says: "--listen-client-urls names http://0.0.0.0:2379",
        ..PLAIN
    },
    Proof {
        check: "scs-0217-etcd-isolation",
        fault: "etcd at the name of an API server's machine",
        build: |shape| {
            let (flag, url) = ("etcd-servers", "https://cp-2:2379");
            shape.flag("kube-apiserver", flag, url);
        },
        says: "etcd at https://cp-2:2379 runs on the same machine as an API server",
        ..PLAIN
    },
];

fn a_case_fails(world: &World, name: &str) {
    let course = Course::Fails(vec![name.to_owned()]);
    let programs = world.cluster.machines().programs();
    programs.install("conformance", Arc::new(Conformance::with(course)));
}

fn provisioner(world: &World, name: &str) {
    // Whose volumes a class makes never changes: it is another class of the same name.
    let api = world.cluster.api();
    let class = api.get(&STORAGE_CLASSES, "", "standard").unwrap();
    let gone = Deletion::default();
    api.delete(&STORAGE_CLASSES, "", "standard", &gone).unwrap();
    let mut class = (*class).clone();
    class["provisioner"] = json!(name);
    class["metadata"]["resourceVersion"].take();
    api.create(&STORAGE_CLASSES, class, &Write::by("test"))
        .unwrap();
}

/// Labels the workers of a managed cluster.
fn label(world: &World, value: Option<&str>) {
    let nodes = world.cluster.api().list(&NODES, None);
    for node in &nodes {
        let name = node["metadata"]["name"].as_str().unwrap();
        world.change(&NODES, "", name, |node| {
            let labels = node["metadata"]["labels"].as_object_mut().unwrap();
            match value {
                Some(value) => drop(labels.insert("example.org/pool".to_owned(), json!(value))),
                None => drop(labels.shift_remove("example.org/pool")),
            }
        });
    }
}
