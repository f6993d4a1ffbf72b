//! A collection as it is, or was at a revision, from a place on: what lists in chunks are read from. A chunk
//! costs as much as it holds, and as has changed since; not as much as there is.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Place, Store, Stored, lock};
use crate::error::ApiError;
use crate::resource::GroupResource;

impl Store {
    /// Reads the objects of a resource, in a namespace or in all, by namespace and name from a place on, as
    /// they were at a revision, or are now. `read` is told the revision, too; it must not ask the store.
    ///
    /// # Errors
    /// 410 when what happened since the revision is forgotten.
    pub fn read<R>(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
        from: Option<&Place>,
        revision: Option<u64>,
        read: impl FnOnce(&mut dyn Iterator<Item = &Arc<Stored>>, u64) -> R,
    ) -> Result<R, ApiError> {
        let inner = lock(&self.inner);
        self.is_read(&inner, resource);
        let revision = revision.unwrap_or(inner.revision);
        let Some(bucket) = inner.buckets.get(resource) else {
            return Ok(read(&mut std::iter::empty(), revision));
        };
        let first = (namespace.unwrap_or_default().to_owned(), String::new());
        let first = from.filter(|from| **from > first).cloned().unwrap_or(first);
        let is_inside = |place: &Place| namespace.is_none_or(|namespace| place.0 == namespace);
        // What was there before the first change since then.
        let mut undone: BTreeMap<Place, Option<&Arc<Stored>>> = BTreeMap::new();
        for change in bucket.since(revision)?.rev() {
            undone.insert(change.object.place(), change.previous.as_ref());
        }
        let from = (Bound::Included(first), Bound::Unbounded);
        let now = bucket.objects.range(from.clone());
        let mut now = now.take_while(|(place, _)| is_inside(place)).peekable();
        let then = undone.range(from);
        let mut then = then.take_while(|(place, _)| is_inside(place)).peekable();
        let mut objects = std::iter::from_fn(|| {
            loop {
                let changed = match (now.peek(), then.peek()) {
                    (Some((place, _)), Some((changed, _))) => changed <= place,
                    (_, changed) => changed.is_some(),
                };
                if !changed {
                    return now.next().map(|(_, stored)| stored);
                }
                let (place, before) = then.next()?;
                now.next_if(|(same, _)| *same == place);
                if let Some(before) = before {
                    return Some(*before);
                }
            }
        });
        Ok(read(&mut objects, revision))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::Store;

    const MAPS: GroupResource = GroupResource::new("", "configmaps");

    fn put(store: &Store, namespace: &str, name: &str, data: &str) -> u64 {
        let map = json!({"metadata": {"namespace": namespace, "name": name}, "data": data});
        let stored = store.put(&MAPS, map, Arc::default(), None);
        stored.unwrap().revision
    }

    fn seen(
        store: &Store,
        namespace: Option<&str>,
        from: Option<&Place>,
        revision: Option<u64>,
    ) -> Vec<String> {
        let read = store.read(&MAPS, namespace, from, revision, |objects, _| {
            let told = |value: &Value| format!("{}={}", value["metadata"]["name"], value["data"]);
            objects
                .map(|stored| told(&stored.value).replace('"', ""))
                .collect()
        });
        read.unwrap()
    }

    #[test]
    fn a_picture_is_what_was_there_at_its_revision_from_a_place_on() {
        let store = Store::default();
        for (namespace, name) in [("a", "z"), ("b", "1"), ("b", "2"), ("b", "4"), ("c", "0")] {
            put(&store, namespace, name, "old");
        }
        let revision = store.revision();
        put(&store, "b", "2", "new");
        put(&store, "b", "2", "newer");
        put(&store, "b", "3", "new");
        store.remove(&MAPS, "b", "1", None).unwrap();
        store.remove(&MAPS, "b", "4", None).unwrap();
        put(&store, "b", "4", "again");
        let whole = Some("b");
        assert_eq!(
            seen(&store, whole, None, None),
            ["2=newer", "3=new", "4=again"]
        );
        let then = Some(revision);
        assert_eq!(seen(&store, whole, None, then), ["1=old", "2=old", "4=old"]);
        let from = ("b".to_owned(), "2".to_owned());
        assert_eq!(seen(&store, whole, Some(&from), then), ["2=old", "4=old"]);
        let all = ["z=old", "1=old", "2=old", "4=old", "0=old"];
        assert_eq!(seen(&store, None, None, then), all);
        store.compact();
        let gone = store.read(&MAPS, None, None, then, |_, _| ());
        assert_eq!(gone.unwrap_err().code, 410);
    }
}
