//! What makes a rendered object itself: group, kind, namespace and name.

use std::collections::BTreeMap;

use serde_json::Value;

use super::subject::Item;
use crate::record::ObjectRef;
use crate::stack::ADDON_NAMESPACE;

/// What makes an object itself; its apiVersion is how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pub group: String,
    pub kind: String,
    /// Empty where it is the addons' own.
    pub namespace: String,
    pub name: String,
}

/// Kinds of Kubernetes' own that live in no namespace.
const CLUSTER_SCOPED: &[&str] = &[
    "APIService",
    "CSIDriver",
    "CSINode",
    "CertificateSigningRequest",
    "ClusterRole",
    "ClusterRoleBinding",
    "ClusterTrustBundle",
    "CustomResourceDefinition",
    "DeviceClass",
    "FlowSchema",
    "IPAddress",
    "IngressClass",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "MutatingWebhookConfiguration",
    "Namespace",
    "Node",
    "PersistentVolume",
    "PodSecurityPolicy",
    "PriorityClass",
    "PriorityLevelConfiguration",
    "ResourceSlice",
    "RuntimeClass",
    "ServiceCIDR",
    "StorageClass",
    "StorageVersionMigration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// The text at a pointer, or an empty one.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The items of a list at a pointer.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    let found = object.pointer(pointer).and_then(Value::as_array);
    found.map_or(&[], Vec::as_slice)
}

/// Group of an object's apiVersion; empty for the core.
pub(super) fn group(object: &Value) -> &str {
    let api = text(object, "/apiVersion");
    api.split_once('/').map_or("", |(group, _)| group)
}

impl Identity {
    pub(super) fn of(object: &Value) -> Self {
        let namespace = text(object, "/metadata/namespace");
        Self {
            group: group(object).to_owned(),
            kind: text(object, "/kind").to_owned(),
            namespace: if namespace == ADDON_NAMESPACE {
                String::new()
            } else {
                namespace.to_owned()
            },
            name: text(object, "/metadata/name").to_owned(),
        }
    }
}

/// The object as it is told of.
pub(super) fn reference(object: &Value) -> ObjectRef {
    ObjectRef::new(
        "release",
        text(object, "/kind"),
        text(object, "/metadata/namespace"),
        text(object, "/metadata/name"),
    )
}

/// Whether objects of a kind live in namespaces; none where that cannot be known.
pub(super) fn is_namespaced(object: &Value, definitions: &[&Item]) -> Option<bool> {
    let (group, kind) = (group(object), text(object, "/kind"));
    let own = group.is_empty() || !group.contains('.') || group.ends_with(".k8s.io");
    let defined = definitions
        .iter()
        .map(|item| &item.object)
        .find(|one| text(one, "/spec/group") == group && text(one, "/spec/names/kind") == kind);
    match defined {
        Some(defined) => Some(text(defined, "/spec/scope") == "Namespaced"),
        None if own => Some(!CLUSTER_SCOPED.contains(&kind)),
        None => None,
    }
}

/// Objects by what makes them themselves; the last of several wins, as when they are applied.
pub(super) fn by_identity<'a>(
    items: impl IntoIterator<Item = &'a Item>,
) -> BTreeMap<Identity, &'a Item> {
    let keyed = items.into_iter();
    keyed
        .map(|item| (Identity::of(&item.object), item))
        .collect()
}
