//! An object in the store, and its JSON.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use super::Place;
use crate::object::{name, namespace};

/// An object as it is stored, in its storage version.
#[derive(Debug)]
pub struct Stored {
    /// The object, with `metadata.resourceVersion`, without `metadata.managedFields`.
    pub value: Arc<Value>,
    /// `metadata.managedFields`; null while nobody has claimed a field.
    pub managed: Arc<Value>,
    /// The revision that it was written at.
    pub revision: u64,
    json: OnceLock<Bytes>,
    /// In another version, for what made it so.
    other: OnceLock<(Version, Bytes)>,
}

/// A version of objects, and the count of the changes of what is served, which may convert them otherwise.
pub(crate) type Version = (String, u64);

impl Stored {
    pub(super) fn new(value: Value, managed: Arc<Value>, revision: u64) -> Self {
        Self {
            value: Arc::new(value),
            managed,
            revision,
            json: OnceLock::new(),
            other: OnceLock::new(),
        }
    }

    /// The object in JSON as clients see it in the storage version; made once for all readers.
    pub fn json(&self) -> Bytes {
        // A Value always serialises: its keys are strings.
        let make = || serde_json::to_vec(&Whole(self)).unwrap_or_default();
        self.json.get_or_init(|| Bytes::from(make())).clone()
    }

    /// The object in JSON in another version; made once for all readers of the version that is first asked for.
    pub(crate) fn json_in<E>(
        &self,
        version: &Version,
        make: impl FnOnce() -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        match self.other.get() {
            Some((known, json)) if known == version => Ok(json.clone()),
            Some(_) => make(),
            None => {
                let json = make()?;
                let (_, json) = self.other.get_or_init(|| (version.clone(), json));
                Ok(json.clone())
            }
        }
    }

    /// An object that is not in any store: what a dry run answers with.
    pub(crate) fn unwritten(value: Value, managed: Arc<Value>) -> Self {
        Self::new(value, managed, 0)
    }

    /// The object with `managedFields`.
    #[must_use]
    pub fn whole(&self) -> Value {
        let mut whole = (*self.value).clone();
        if !self.managed.is_null() {
            whole["metadata"]["managedFields"] = (*self.managed).clone();
        }
        whole
    }

    /// Namespace and name.
    #[must_use]
    pub fn place(&self) -> Place {
        let (namespace, name) = (namespace(&self.value), name(&self.value));
        (namespace.to_owned(), name.to_owned())
    }
}

/// An object with its `managedFields`, to be serialised without a copy.
struct Whole<'s>(&'s Stored);
/// Its metadata.
struct Metadata<'s>(&'s Stored, &'s Value);

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(stored) = self;
        let fields = stored.value.as_object().into_iter().flatten();
        let mut object = serializer.serialize_map(None)?;
        for (name, value) in fields {
            match name.as_str() {
                "metadata" => object.serialize_entry(name, &Metadata(stored, value))?,
                _ => object.serialize_entry(name, value)?,
            }
        }
        object.end()
    }
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(stored, metadata) = self;
        let mut object = serializer.serialize_map(None)?;
        for (name, value) in metadata.as_object().into_iter().flatten() {
            object.serialize_entry(name, value)?;
        }
        if !stored.managed.is_null() {
            object.serialize_entry("managedFields", &*stored.managed)?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn its_json_has_managed_fields_where_there_are_any() {
        let object = json!({"kind": "Pod", "metadata": {"name": "a"}, "spec": {}});
        let parsed = |stored: &Stored| serde_json::from_slice::<Value>(&stored.json()).unwrap();
        let plain = Stored::unwritten(object.clone(), Arc::default());
        assert_eq!(parsed(&plain), object);
        let claimed = Stored::unwritten(object, Arc::new(json!([{"manager": "me"}])));
        assert_eq!(parsed(&claimed), claimed.whole());
        assert_eq!(
            claimed.whole()["metadata"]["managedFields"][0]["manager"],
            "me"
        );
    }

    #[test]
    fn its_json_in_another_version_is_made_once_until_what_is_served_changes() {
        let stored = Stored::unwritten(json!({}), Arc::default());
        let made = |version: &str, served: u64, text: &'static str| {
            let make = || Ok::<_, ()>(Bytes::from(text));
            stored.json_in(&(version.to_owned(), served), make).unwrap()
        };
        assert_eq!(made("v1", 1, "one"), "one");
        assert_eq!(made("v1", 1, "two"), "one");
        assert_eq!(made("v1", 2, "two"), "two");
        assert_eq!(made("v2", 1, "three"), "three");
    }
}
