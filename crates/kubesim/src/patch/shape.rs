//! What is known of a value's structure: which lists are maps, which are sets, what changes as a whole.

use serde_json::Value;

use super::lists::{self, Merging};
use crate::protobuf;

/// Structures of Kubernetes that change as a whole (`+structType=atomic`).
const ATOMIC: &[&str] = &[
    "meta.v1.LabelSelector",
    "meta.v1.OwnerReference",
    "core.v1.ConfigMapKeySelector",
    "core.v1.FileKeySelector",
    "core.v1.LocalObjectReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ObjectFieldSelector",
    "core.v1.ObjectReference",
    "core.v1.ResourceFieldSelector",
    "core.v1.ScopeSelector",
    "core.v1.ScopedResourceSelectorRequirement",
    "core.v1.SecretKeySelector",
    "core.v1.SecretReference",
    "core.v1.TopologySelectorTerm",
    "core.v1.TypedLocalObjectReference",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
    "rbac.v1.AggregationRule",
    "discovery.v1.EndpointPort",
    "networking.v1.IngressServiceBackend",
    "networking.v1.ServiceBackendPort",
    "storage.v1.TokenRequest",
];

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'s> {
    /// It is a message of Kubernetes' own, e.g. `core.v1.PodSpec`.
    Message(&'static str),
    /// It is described by an OpenAPI schema.
    Schema(&'s Value),
    /// Nothing.
    Unknown,
}

/// What is known of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'s> {
    /// Of its value; of its items, where it is a list.
    pub(crate) shape: Shape<'s>,
    /// How it is merged when it is a list.
    pub(crate) list: ListRule<'s>,
    /// Whether a structure changes as a whole.
    pub(crate) atomic: bool,
    /// How a strategic merge patch treats it.
    pub(crate) strategic: Option<&'static Merging>,
}

/// How a list is merged by an apply.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ListRule<'s> {
    /// As a whole.
    Atomic,
    /// Its items are values, each there once.
    Set,
    /// Its items are told apart by keys.
    Map(Keys<'s>),
}

/// The keys of a list's items.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'s> {
    /// Those of a kind of Kubernetes.
    Told(&'static [&'static str]),
    /// Those of a schema: an array of names.
    Schema(&'s Value),
}

impl Keys<'_> {
    /// Their names.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Told(keys) => keys.to_vec(),
            Self::Schema(keys) => {
                let keys = keys.as_array().into_iter().flatten();
                keys.filter_map(Value::as_str).collect()
            }
        }
    }
}

impl Shape<'static> {
    /// The shape of a kind of Kubernetes' own.
    pub(crate) fn built_in(api_version: &str, kind: &str) -> Self {
        protobuf::message_of(api_version, kind).map_or(Self::Unknown, Self::Message)
    }
}

impl<'s> Shape<'s> {
    /// What is known of a field.
    pub(crate) fn field(self, name: &str) -> Field<'s> {
        let unknown = Field {
            shape: Shape::Unknown,
            list: ListRule::Atomic,
            atomic: false,
            strategic: None,
        };
        match self {
            Self::Message(message) => {
                let Some((holder, kind)) = protobuf::field_of(message, name) else {
                    return unknown;
                };
                let merging = lists::of_message(holder, name);
                let list = match merging {
                    Some(merging) if merging.kind == Some("set") => ListRule::Set,
                    Some(merging) if merging.kind == Some("map") => {
                        ListRule::Map(Keys::Told(&merging.keys))
                    }
                    _ => ListRule::Atomic,
                };
                Field {
                    shape: kind.map_or(Shape::Unknown, Shape::Message),
                    list,
                    atomic: kind.is_some_and(|kind| ATOMIC.contains(&kind)),
                    strategic: merging,
                }
            }
            Self::Schema(schema) => {
                let found = match schema["properties"].get(name) {
                    Some(found) => found,
                    // Metadata is Kubernetes' own, whatever the schema says.
                    None => match schema.get("additionalProperties") {
                        Some(found) => found,
                        None => return unknown,
                    },
                };
                let list = match found["x-kubernetes-list-type"].as_str() {
                    Some("set") => ListRule::Set,
                    Some("map") => {
                        ListRule::Map(Keys::Schema(&found["x-kubernetes-list-map-keys"]))
                    }
                    _ => ListRule::Atomic,
                };
                let below = if found["type"] == "array" {
                    &found["items"]
                } else {
                    found
                };
                Field {
                    shape: Shape::Schema(below),
                    list,
                    atomic: found["x-kubernetes-map-type"] == "atomic",
                    strategic: None,
                }
            }
            Self::Unknown => unknown,
        }
    }

    /// What is known of an object's own fields, where metadata is the same for all.
    pub(crate) fn root(self, name: &str) -> Field<'s> {
        if name == "metadata" {
            return Field {
                shape: Shape::Message("meta.v1.ObjectMeta"),
                list: ListRule::Atomic,
                atomic: false,
                strategic: None,
            };
        }
        self.field(name)
    }
}
