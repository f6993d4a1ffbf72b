//! An object as a watch tells it, read in one go. `managedFields`, which nobody here reads and which are the larger
//! half of many objects, are passed over.

use std::borrow::Cow;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::ApiResource;
use kube::core::DynamicResourceScope;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// An object. kube's own `DynamicObject` is read twice, once into a copy of what was said and then into its
/// parts, and has to be put together again.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Seen {
    /// All of it.
    pub(in crate::cluster) json: Value,
    /// What a watch has to know of it.
    metadata: ObjectMeta,
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Part::Whole.deserialize(deserializer)?;
        let text = |field: &str| json["metadata"][field].as_str().map(str::to_owned);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            resource_version: text("resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { json, metadata })
    }
}

/// What is read of an object: all of it but `managedFields`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Metadata,
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "an object",
            Self::Metadata => "metadata of an object",
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut told: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = told.next_key::<String>()? {
            let value = match (self, name.as_str()) {
                (Self::Whole, "metadata") => told.next_value_seed(Self::Metadata)?,
                (Self::Metadata, "managedFields") => {
                    told.next_value::<IgnoredAny>()?;
                    continue;
                }
                _ => told.next_value()?,
            };
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
}

impl Resource for Seen {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.kind)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.group)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.version)
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.api_version)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_is_read_but_managed_fields() {
        let managed = json!([{"manager": "m", "fieldsV1": {"f:data": {}}}]);
        let told = json!({"kind": "ConfigMap", "metadata": {"name": "a", "managedFields": managed, "labels": {"b": "c"}},
            "data": {"managedFields": "kept"}});
        let seen: Seen = serde_json::from_value(told).unwrap();
        let read = json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"b": "c"}},
            "data": {"managedFields": "kept"}});
        assert_eq!(seen.json, read);
        assert_eq!(seen.meta().name.as_deref(), Some("a"));
    }
}
