//! The built-in kinds, as kube-apiserver v1.35 serves them.

use std::borrow::Cow;

use super::{GroupResource, Resource};

/// One line of the table: group, versions (preferred and stored first), plural, singular, kind, short
/// names, categories, traits.
type Line = (
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    u8,
);

/// Objects live in namespaces.
const N: u8 = 1;
/// `status` is a subresource.
const S: u8 = 2;
/// `metadata.generation` is counted.
const G: u8 = 4;

const ALL: &[&str] = &["all"];
const ADM: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

#[rustfmt::skip]
const TABLE: &[Line] = &[
    ("", &["v1"], "bindings", "binding", "Binding", &[], &[], N),
    ("", &["v1"], "componentstatuses", "componentstatus", "ComponentStatus", &["cs"], &[], 0),
    ("", &["v1"], "configmaps", "configmap", "ConfigMap", &["cm"], &[], N),
    ("", &["v1"], "endpoints", "endpoints", "Endpoints", &["ep"], &[], N),
    ("", &["v1"], "events", "event", "Event", &["ev"], &[], N),
    ("", &["v1"], "limitranges", "limitrange", "LimitRange", &["limits"], &[], N),
    ("", &["v1"], "namespaces", "namespace", "Namespace", &["ns"], &[], S),
    ("", &["v1"], "nodes", "node", "Node", &["no"], &[], S),
    ("", &["v1"], "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim", &["pvc"], &[], N | S),
    ("", &["v1"], "persistentvolumes", "persistentvolume", "PersistentVolume", &["pv"], &[], S),
    ("", &["v1"], "pods", "pod", "Pod", &["po"], ALL, N | S | G),
    ("", &["v1"], "podtemplates", "podtemplate", "PodTemplate", &[], &[], N),
    ("", &["v1"], "replicationcontrollers", "replicationcontroller", "ReplicationController", &["rc"], ALL, N | S | G),
    ("", &["v1"], "resourcequotas", "resourcequota", "ResourceQuota", &["quota"], &[], N | S),
    ("", &["v1"], "secrets", "secret", "Secret", &[], &[], N),
    ("", &["v1"], "serviceaccounts", "serviceaccount", "ServiceAccount", &["sa"], &[], N),
    ("", &["v1"], "services", "service", "Service", &["svc"], ALL, N | S),
    (ADM, &["v1"], "mutatingwebhookconfigurations", "mutatingwebhookconfiguration", "MutatingWebhookConfiguration", &[], &["api-extensions"], G),
    (ADM, &["v1"], "validatingadmissionpolicies", "validatingadmissionpolicy", "ValidatingAdmissionPolicy", &[], &["api-extensions"], S | G),
    (ADM, &["v1"], "validatingadmissionpolicybindings", "validatingadmissionpolicybinding", "ValidatingAdmissionPolicyBinding", &[], &["api-extensions"], 0),
    (ADM, &["v1"], "validatingwebhookconfigurations", "validatingwebhookconfiguration", "ValidatingWebhookConfiguration", &[], &["api-extensions"], G),
    ("apiextensions.k8s.io", &["v1"], "customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition", &["crd", "crds"], &["api-extensions"], S | G),
    ("apiregistration.k8s.io", &["v1"], "apiservices", "apiservice", "APIService", &[], &["api-extensions"], S),
    ("apps", &["v1"], "controllerrevisions", "controllerrevision", "ControllerRevision", &[], &[], N),
    ("apps", &["v1"], "daemonsets", "daemonset", "DaemonSet", &["ds"], ALL, N | S | G),
    ("apps", &["v1"], "deployments", "deployment", "Deployment", &["deploy"], ALL, N | S | G),
    ("apps", &["v1"], "replicasets", "replicaset", "ReplicaSet", &["rs"], ALL, N | S | G),
    ("apps", &["v1"], "statefulsets", "statefulset", "StatefulSet", &["sts"], ALL, N | S | G),
    ("authentication.k8s.io", &["v1"], "selfsubjectreviews", "selfsubjectreview", "SelfSubjectReview", &[], &[], 0),
    ("authentication.k8s.io", &["v1"], "tokenreviews", "tokenreview", "TokenReview", &[], &[], 0),
    ("authorization.k8s.io", &["v1"], "localsubjectaccessreviews", "localsubjectaccessreview", "LocalSubjectAccessReview", &[], &[], N),
    ("authorization.k8s.io", &["v1"], "selfsubjectaccessreviews", "selfsubjectaccessreview", "SelfSubjectAccessReview", &[], &[], 0),
    ("authorization.k8s.io", &["v1"], "selfsubjectrulesreviews", "selfsubjectrulesreview", "SelfSubjectRulesReview", &[], &[], 0),
    ("authorization.k8s.io", &["v1"], "subjectaccessreviews", "subjectaccessreview", "SubjectAccessReview", &[], &[], 0),
    ("autoscaling", &["v2", "v1"], "horizontalpodautoscalers", "horizontalpodautoscaler", "HorizontalPodAutoscaler", &["hpa"], ALL, N | S),
    ("batch", &["v1"], "cronjobs", "cronjob", "CronJob", &["cj"], ALL, N | S | G),
    ("batch", &["v1"], "jobs", "job", "Job", &[], ALL, N | S | G),
    ("certificates.k8s.io", &["v1"], "certificatesigningrequests", "certificatesigningrequest", "CertificateSigningRequest", &["csr"], &[], S),
    ("coordination.k8s.io", &["v1"], "leases", "lease", "Lease", &[], &[], N),
    ("discovery.k8s.io", &["v1"], "endpointslices", "endpointslice", "EndpointSlice", &[], &[], N | G),
    ("events.k8s.io", &["v1"], "events", "event", "Event", &["ev"], &[], N),
    ("flowcontrol.apiserver.k8s.io", &["v1"], "flowschemas", "flowschema", "FlowSchema", &[], &[], S | G),
    ("flowcontrol.apiserver.k8s.io", &["v1"], "prioritylevelconfigurations", "prioritylevelconfiguration", "PriorityLevelConfiguration", &[], &[], S | G),
    ("networking.k8s.io", &["v1"], "ingressclasses", "ingressclass", "IngressClass", &[], &[], G),
    ("networking.k8s.io", &["v1"], "ingresses", "ingress", "Ingress", &["ing"], &[], N | S | G),
    ("networking.k8s.io", &["v1"], "ipaddresses", "ipaddress", "IPAddress", &["ip"], &[], 0),
    ("networking.k8s.io", &["v1"], "networkpolicies", "networkpolicy", "NetworkPolicy", &["netpol"], &[], N | G),
    ("networking.k8s.io", &["v1"], "servicecidrs", "servicecidr", "ServiceCIDR", &[], &[], S),
    ("node.k8s.io", &["v1"], "runtimeclasses", "runtimeclass", "RuntimeClass", &[], &[], 0),
    ("policy", &["v1"], "poddisruptionbudgets", "poddisruptionbudget", "PodDisruptionBudget", &["pdb"], &[], N | S | G),
    (RBAC, &["v1"], "clusterrolebindings", "clusterrolebinding", "ClusterRoleBinding", &[], &[], 0),
    (RBAC, &["v1"], "clusterroles", "clusterrole", "ClusterRole", &[], &[], 0),
    (RBAC, &["v1"], "rolebindings", "rolebinding", "RoleBinding", &[], &[], N),
    (RBAC, &["v1"], "roles", "role", "Role", &[], &[], N),
    ("scheduling.k8s.io", &["v1"], "priorityclasses", "priorityclass", "PriorityClass", &["pc"], &[], G),
    ("storage.k8s.io", &["v1"], "csidrivers", "csidriver", "CSIDriver", &[], &[], 0),
    ("storage.k8s.io", &["v1"], "csinodes", "csinode", "CSINode", &[], &[], 0),
    ("storage.k8s.io", &["v1"], "csistoragecapacities", "csistoragecapacity", "CSIStorageCapacity", &[], &[], N),
    ("storage.k8s.io", &["v1"], "storageclasses", "storageclass", "StorageClass", &["sc"], &[], 0),
    ("storage.k8s.io", &["v1"], "volumeattachments", "volumeattachment", "VolumeAttachment", &[], &[], S),
];

/// Every built-in resource.
#[must_use]
pub fn resources() -> Vec<Resource> {
    let owned = |words: &[&'static str]| words.iter().copied().map(Cow::Borrowed).collect();
    TABLE
        .iter()
        .map(
            |&(group, versions, plural, singular, kind, short_names, categories, traits)| {
                Resource {
                    id: GroupResource::new(group, plural),
                    versions: owned(versions),
                    storage: Cow::Borrowed(versions[0]),
                    kind: Cow::Borrowed(kind),
                    singular: Cow::Borrowed(singular),
                    short_names: owned(short_names),
                    categories: owned(categories),
                    namespaced: traits & N != 0,
                    status: traits & S != 0,
                    generation: traits & G != 0,
                }
            },
        )
        .collect()
}

/// Whether a resource is one of these.
#[must_use]
pub fn has(id: &GroupResource) -> bool {
    TABLE
        .iter()
        .any(|line| line.0 == id.group && line.2 == id.resource)
}

/// Declares the resources that simulated controllers name.
macro_rules! names {
    ($($constant:ident = $group:literal / $plural:literal;)*) => {
        $(
            #[doc = concat!("`", $plural, "`")]
            pub const $constant: GroupResource = GroupResource::new($group, $plural);
        )*

        #[cfg(test)]
        const NAMED: &[GroupResource] = &[$($constant),*];
    };
}

names! {
    CONFIG_MAPS = "" / "configmaps";
    ENDPOINTS = "" / "endpoints";
    EVENTS = "" / "events";
    NAMESPACES = "" / "namespaces";
    NODES = "" / "nodes";
    PERSISTENT_VOLUME_CLAIMS = "" / "persistentvolumeclaims";
    PERSISTENT_VOLUMES = "" / "persistentvolumes";
    PODS = "" / "pods";
    SECRETS = "" / "secrets";
    SERVICE_ACCOUNTS = "" / "serviceaccounts";
    SERVICES = "" / "services";
    CUSTOM_RESOURCE_DEFINITIONS = "apiextensions.k8s.io" / "customresourcedefinitions";
    DAEMON_SETS = "apps" / "daemonsets";
    DEPLOYMENTS = "apps" / "deployments";
    REPLICA_SETS = "apps" / "replicasets";
    STATEFUL_SETS = "apps" / "statefulsets";
    CONTROLLER_REVISIONS = "apps" / "controllerrevisions";
    JOBS = "batch" / "jobs";
    LEASES = "coordination.k8s.io" / "leases";
    ENDPOINT_SLICES = "discovery.k8s.io" / "endpointslices";
    NETWORK_POLICIES = "networking.k8s.io" / "networkpolicies";
    POD_DISRUPTION_BUDGETS = "policy" / "poddisruptionbudgets";
    CLUSTER_ROLES = "rbac.authorization.k8s.io" / "clusterroles";
    CLUSTER_ROLE_BINDINGS = "rbac.authorization.k8s.io" / "clusterrolebindings";
    STORAGE_CLASSES = "storage.k8s.io" / "storageclasses";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_resource_is_there_twice_and_every_name_is_there() {
        let ids: BTreeSet<_> = resources()
            .into_iter()
            .map(|resource| resource.id)
            .collect();
        assert_eq!(ids.len(), TABLE.len());
        for named in NAMED {
            assert!(ids.contains(named), "{named}");
        }
    }
}
