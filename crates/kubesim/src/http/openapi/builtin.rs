//! Schemas of the built-in kinds.

use std::collections::BTreeMap;

use k8s_openapi::api;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// Where the metadata of every object is defined.
pub const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A kind: group, version, kind, the name of its schema, and what adds it.
type Kind = (
    &'static str,
    &'static str,
    &'static str,
    fn() -> String,
    fn(&mut SchemaGenerator),
);

fn kind<T: k8s_openapi::Resource + schemars::JsonSchema>() -> Kind {
    (
        T::GROUP,
        T::VERSION,
        T::KIND,
        || T::schema_name().into_owned(),
        |generator| drop(generator.subschema_for::<T>()),
    )
}

/// Lists kinds by their modules.
macro_rules! kinds {
    ($($($module:ident)::+ : $($name:ident)*;)*) => {
        fn kinds() -> Vec<Kind> {
            let mut kinds = Vec::new();
            $({
                use $($module)::+ as group;
                $(kinds.push(kind::<group::$name>());)*
            })*
            kinds
        }
    };
}

kinds! {
    api::core::v1: Binding ComponentStatus ConfigMap Endpoints Event LimitRange Namespace Node
        PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota
        Secret Service ServiceAccount;
    api::admissionregistration::v1: MutatingWebhookConfiguration ValidatingAdmissionPolicy
        ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration;
    api::apps::v1: ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet;
    api::authentication::v1: SelfSubjectReview TokenReview;
    api::authorization::v1: LocalSubjectAccessReview SelfSubjectAccessReview
        SelfSubjectRulesReview SubjectAccessReview;
    api::autoscaling::v1: HorizontalPodAutoscaler Scale;
    api::autoscaling::v2: HorizontalPodAutoscaler;
    api::batch::v1: CronJob Job;
    api::certificates::v1: CertificateSigningRequest;
    api::coordination::v1: Lease;
    api::discovery::v1: EndpointSlice;
    api::events::v1: Event;
    api::flowcontrol::v1: FlowSchema PriorityLevelConfiguration;
    api::networking::v1: Ingress IngressClass IPAddress NetworkPolicy ServiceCIDR;
    api::node::v1: RuntimeClass;
    api::policy::v1: Eviction PodDisruptionBudget;
    api::rbac::v1: ClusterRole ClusterRoleBinding Role RoleBinding;
    api::scheduling::v1: PriorityClass;
    api::storage::v1: CSIDriver CSINode CSIStorageCapacity StorageClass VolumeAttachment;
    apiextensions::v1: CustomResourceDefinition;
    apiregistration::v1: APIService;
}

/// Adds the schemas of all kinds of the wanted groups and versions, with those that they refer to, and
/// the names of the kinds' own by group and kind.
pub fn add(
    schemas: &mut Map<String, Value>,
    names: &mut BTreeMap<(String, String), String>,
    wanted: impl Fn(&str, &str) -> bool,
) {
    let mut generator = SchemaSettings::openapi3().into_generator();
    // Definitions refer to the metadata, whatever the group.
    drop(generator.subschema_for::<ObjectMeta>());
    let kinds = kinds();
    let wanted: Vec<_> = kinds.iter().filter(|kind| wanted(kind.0, kind.1)).collect();
    for kind in &wanted {
        (kind.4)(&mut generator);
    }
    let mut made = generator.take_definitions(true);
    for (group, version, kind, name, _) in wanted {
        let name = name();
        if let Some(schema) = made.get_mut(&name) {
            let said = json!([{"group": group, "version": version, "kind": kind}]);
            schema["x-kubernetes-group-version-kind"] = said;
            // The types ask for what the server does not.
            if let Some(required) = schema["required"].as_array_mut() {
                required.retain(|field| field != "metadata");
            }
        }
        names.insert(((*group).to_owned(), (*kind).to_owned()), name);
    }
    merging(&mut made);
    schemas.extend(made);
}

/// Says of lists how they are merged, which the types do not know.
fn merging(schemas: &mut Map<String, Value>) {
    let lists = crate::patch::lists().iter();
    for (definition, property, merging) in lists.flat_map(|(definition, properties)| {
        let properties = properties.iter();
        properties.map(move |(property, merging)| (definition, property, merging))
    }) {
        let Some(schema) = schemas
            .get_mut(*definition)
            .and_then(|schema| schema["properties"].get_mut(*property))
        else {
            continue;
        };
        if let Some(kind) = merging.kind {
            schema["x-kubernetes-list-type"] = json!(kind);
        }
        if !merging.keys.is_empty() {
            schema["x-kubernetes-list-map-keys"] = json!(merging.keys);
        }
        if let Some(strategy) = merging.strategy {
            schema["x-kubernetes-patch-strategy"] = json!(strategy);
        }
        if let Some(key) = merging.merge_key {
            schema["x-kubernetes-patch-merge-key"] = json!(key);
        }
    }
}
