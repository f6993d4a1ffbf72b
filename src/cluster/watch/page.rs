//! A page of a list, read no further than it is needed: a view lists every object of a cluster again
//! and again, and hardly any of them has changed.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::seen::Part;
use crate::cluster::Object;

/// An object of a list.
#[derive(Debug, PartialEq)]
pub(super) enum Item {
    /// It was known already.
    Known(Arc<Object>),
    /// What was told of it.
    Told(Value),
}

/// Which version of which object it is: what its metadata has to be read for where it is known.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) uid: Option<String>,
    pub(super) resource_version: Option<String>,
}

/// A page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) items: Vec<Item>,
    pub(super) metadata: ListMeta,
}

impl Page {
    /// Reads a page. `known` is asked with the identity of each object; of what it knows, the rest is
    /// passed over.
    pub(super) fn read(
        text: &str,
        known: impl Fn(Identity) -> Option<Arc<Object>>,
    ) -> serde_json::Result<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let page = OfPage(&known).deserialize(&mut json)?;
        json.end()?;
        Ok(page)
    }
}

/// A page whose objects were not read.
#[derive(Deserialize)]
pub(super) struct Outline<'t> {
    #[serde(borrow, default)]
    items: Option<&'t RawValue>,
    #[serde(default)]
    pub(super) metadata: ListMeta,
}

impl<'t> Outline<'t> {
    /// Looks over a page.
    pub(super) fn of(text: &'t str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Its objects as they were written.
    pub(super) fn items(&self) -> &'t str {
        self.items.map_or("null", RawValue::get)
    }
}

/// Reads a page.
struct OfPage<'k, F>(&'k F);
/// Reads its objects.
struct OfItems<'k, F>(&'k F);
/// Reads one of them.
struct OfItem<'k, F>(&'k F);

impl<'de, F: Fn(Identity) -> Option<Arc<Object>>> DeserializeSeed<'de> for OfPage<'_, F> {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Page, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, F: Fn(Identity) -> Option<Arc<Object>>> Visitor<'de> for OfPage<'_, F> {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Page, A::Error> {
        let mut page = Page {
            items: Vec::new(),
            metadata: ListMeta::default(),
        };
        while let Some(name) = fields.next_key::<String>()? {
            match name.as_str() {
                "metadata" => page.metadata = fields.next_value()?,
                "items" => page.items = fields.next_value_seed(OfItems(self.0))?,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(page)
    }
}

impl<'de, F: Fn(Identity) -> Option<Arc<Object>>> DeserializeSeed<'de> for OfItems<'_, F> {
    type Value = Vec<Item>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Vec<Item>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, F: Fn(Identity) -> Option<Arc<Object>>> Visitor<'de> for OfItems<'_, F> {
    type Value = Vec<Item>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    // A list of nothing may be told as null.
    fn visit_unit<E>(self) -> Result<Vec<Item>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut told: A) -> Result<Vec<Item>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = told.next_element_seed(OfItem(self.0))? {
            items.push(item);
        }
        Ok(items)
    }
}

impl<'de, F: Fn(Identity) -> Option<Arc<Object>>> DeserializeSeed<'de> for OfItem<'_, F> {
    type Value = Item;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Item, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, F: Fn(Identity) -> Option<Arc<Object>>> Visitor<'de> for OfItem<'_, F> {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut told: A) -> Result<Item, A::Error> {
        let mut object = Map::new();
        while let Some(name) = told.next_key::<String>()? {
            if name != "metadata" {
                object.insert(name, told.next_value()?);
                continue;
            }
            let metadata: &RawValue = told.next_value()?;
            let identity = serde_json::from_str(metadata.get()).map_err(A::Error::custom)?;
            if let Some(known) = (self.0)(identity) {
                while told.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(Item::Known(known));
            }
            let metadata = &mut serde_json::Deserializer::from_str(metadata.get());
            let metadata = Part::Metadata.deserialize(metadata);
            object.insert(name, metadata.map_err(A::Error::custom)?);
        }
        Ok(Item::Told(Value::Object(object)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_known_is_passed_over_and_the_rest_is_read() {
        let object =
            |name: &str| json!({"metadata": {"name": name}, "spec": {"a": [1, {"b": null}]}});
        let list = json!({"kind": "List", "metadata": {"resourceVersion": "7", "continue": "x"},
            "items": [object("a"), object("b"), object("c")]});
        let held = Arc::new(Object::new("workload", object("held")));
        let page = Page::read(&list.to_string(), |identity| {
            (identity.name.as_deref() == Some("b")).then(|| held.clone())
        });
        let page = page.unwrap();
        assert_eq!(page.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(page.metadata.continue_.as_deref(), Some("x"));
        let (a, c) = (Item::Told(object("a")), Item::Told(object("c")));
        assert_eq!(page.items, [a, Item::Known(held.clone()), c]);
    }

    #[test]
    fn a_page_is_looked_over_without_its_objects() {
        let text = r#"{"metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}}],"kind":"List"}"#;
        let outline = Outline::of(text).unwrap();
        assert_eq!(outline.items(), r#"[{"metadata":{"name":"a"}}]"#);
        assert_eq!(outline.metadata.resource_version.as_deref(), Some("7"));
        for none in [r#"{"metadata":{},"items":null}"#, "{}"] {
            assert_eq!(Outline::of(none).unwrap().items(), "null");
            assert!(Page::read(none, |_| None).is_ok());
        }
        assert!(Outline::of(r#"{"metadata":{},"items":[{"#).is_err());
    }

    #[test]
    fn a_list_of_nothing_may_be_told_as_null_and_half_a_list_is_none() {
        let read = |text| Page::read(text, |_| None);
        assert_eq!(read(r#"{"metadata":{},"items":null}"#).unwrap().items, []);
        assert!(read(r#"{"metadata":{},"items":[{"metadata":{"name":"a"}"#).is_err());
        assert!(read("[]").is_err());
    }
}
