//! What kubeadm writes down in the cluster: its configuration, who may do what.

use serde_json::{Value, json};

use super::{Init, MANAGER, SystemUpgrade};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::text;
use crate::resource::builtin::CONFIG_MAPS;

/// A namespace as the API server makes it.
pub(super) fn namespace(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    })
}

/// Where the API is, host and port.
pub(super) fn endpoint(init: &Init, address: &str) -> String {
    match init.control_plane_endpoint.as_str() {
        "" => format!("{address}:6443"),
        endpoint => endpoint.to_owned(),
    }
}

/// The ConfigMaps that `kubeadm init` uploads. Their documents are JSON, which YAML includes.
pub(super) fn maps(init: &Init, address: &str) -> Vec<Value> {
    let endpoint = endpoint(init, address);
    let cluster = json!({
        "apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration",
        "caCertificateValidityPeriod": "87600h0m0s", "certificateValidityPeriod": "8760h0m0s",
        "certificatesDir": "/etc/kubernetes/pki",
        "clusterName": init.cluster_name,
        "controlPlaneEndpoint": endpoint,
        "dns": {"imageRepository": init.dns_image_repository, "imageTag": init.dns_image_tag},
        "etcd": {"local": {"dataDir": "/var/lib/etcd", "imageTag": init.node.etcd_image_tag}},
        "imageRepository": init.node.image_repository,
        "kubernetesVersion": init.kubernetes_version,
        "networking": {
            "dnsDomain": init.service_domain, "podSubnet": init.pod_cidr, "serviceSubnet": init.service_cidr,
        },
    });
    let dns = crate::network::address::nth(&init.service_cidr, 10).unwrap_or_default();
    let kubelet = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "cgroupDriver": "systemd", "clusterDNS": [dns], "clusterDomain": init.service_domain,
        "rotateCertificates": true, "staticPodPath": "/etc/kubernetes/manifests",
    });
    let info = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "", "contexts": null, "users": null,
        "clusters": [{"name": "", "cluster": {"server": format!("https://{endpoint}")}}],
    });
    let map = |namespace: &str, name: &str, key: &str, document: &Value| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": name},
            "data": {key: document.to_string()},
        })
    };
    vec![
        map(
            "kube-system",
            "kubeadm-config",
            "ClusterConfiguration",
            &cluster,
        ),
        map("kube-system", "kubelet-config", "kubelet", &kubelet),
        map("kube-public", "cluster-info", "kubeconfig", &info),
    ]
}

/// Writes the new version, and where CoreDNS comes from, into the cluster's configuration.
pub(super) fn move_to(cluster: &Cluster, upgrade: &SystemUpgrade) -> Result<(), ApiError> {
    let moved = cluster.api().modify(
        &CONFIG_MAPS,
        "kube-system",
        "kubeadm-config",
        MANAGER,
        |map| {
            let document = text(map, "/data/ClusterConfiguration");
            let Ok(mut document) = serde_json::from_str::<Value>(document) else {
                // Somebody wrote it in another form of YAML: it is theirs to keep.
                return;
            };
            document["kubernetesVersion"] = json!(upgrade.kubernetes_version);
            if !upgrade.dns_image_tag.is_empty() {
                document["dns"]["imageTag"] = json!(upgrade.dns_image_tag);
            }
            if !upgrade.dns_image_repository.is_empty() {
                document["dns"]["imageRepository"] = json!(upgrade.dns_image_repository);
            }
            map["data"]["ClusterConfiguration"] = json!(document.to_string());
        },
    );
    match moved {
        Err(error) if error.is_not_found() => Ok(()),
        other => other.map(drop),
    }
}

/// The roles and bindings that every cluster has, as far as something here asks for them: the API
/// server's own that name users and groups, and kubeadm's.
pub(super) fn rbac() -> Vec<Value> {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    let role = |name: &str, rules: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": labels, "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
            "rules": rules,
        })
    };
    let binding = |name: &str, role: &str, kind: &str, subject: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": GROUP, "kind": kind, "name": subject}],
        })
    };
    let everything = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let read = json!(["get", "list", "watch"]);
    let workloads = json!([
        "pods",
        "pods/log",
        "services",
        "endpoints",
        "configmaps",
        "persistentvolumeclaims",
        "serviceaccounts",
        "events"
    ]);
    let sets = json!(["daemonsets", "deployments", "replicasets", "statefulsets"]);
    let write = json!([
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch"
    ]);
    let discovery = json!([{"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version", "/version/"], "verbs": ["get"]}]);
    let public = json!([{"nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"], "verbs": ["get"]}]);
    vec![
        role("cluster-admin", everything),
        role(
            "admin",
            json!([
            {"apiGroups": [""], "resources": workloads, "verbs": write}, {"apiGroups": ["apps"], "resources": sets, "verbs": write},
            {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": write},
            {"apiGroups": [GROUP], "resources": ["roles", "rolebindings"], "verbs": write}]),
        ),
        role(
            "edit",
            json!([
            {"apiGroups": [""], "resources": workloads, "verbs": write}, {"apiGroups": ["apps"], "resources": sets, "verbs": write},
            {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": write}]),
        ),
        role(
            "view",
            json!([
            {"apiGroups": [""], "resources": workloads, "verbs": read}, {"apiGroups": ["apps"], "resources": sets, "verbs": read},
            {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": read}]),
        ),
        role("system:discovery", discovery),
        role("system:public-info-viewer", public),
        role(
            "system:basic-user",
            json!([{"apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], "verbs": ["create"]}]),
        ),
        role(
            "system:node-proxier",
            json!([
            {"apiGroups": [""], "resources": ["services", "endpoints"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": read},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}]),
        ),
        binding("cluster-admin", "cluster-admin", "Group", "system:masters"),
        binding(
            "kubeadm:cluster-admins",
            "cluster-admin",
            "Group",
            "kubeadm:cluster-admins",
        ),
        binding(
            "system:basic-user",
            "system:basic-user",
            "Group",
            "system:authenticated",
        ),
        binding(
            "system:discovery",
            "system:discovery",
            "Group",
            "system:authenticated",
        ),
        binding(
            "system:public-info-viewer",
            "system:public-info-viewer",
            "Group",
            "system:unauthenticated",
        ),
    ]
}
