//! The objects of one cluster with their revisions, and the history that watches are told from.
//!
//! The store knows nothing of the API's rules; [`crate::registry`] does. A write gives the object the
//! next revision; readers share what is stored.

mod change;
mod index;
mod picture;
mod place;
pub(crate) mod reads;
mod stored;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

pub use self::change::{Change, ChangeKind};
use self::index::Index;
use self::place::At;
pub use self::stored::Stored;
use crate::error::ApiError;
use crate::pulse::{Listener, Pulse};
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;

/// How many changes of each resource are kept for watches that begin in the past; older ones are
/// answered with 410.
const HISTORY: usize = 4096;
/// For how long they are kept, as the API server's watch cache does (`eventFreshDuration` in
/// `staging/src/k8s.io/apiserver/pkg/storage/cacher`).
const FRESH: Duration = Duration::from_secs(75);

/// Namespace (empty for cluster-scoped objects) and name.
pub type Place = (String, String);

#[derive(Debug)]
struct Bucket {
    objects: BTreeMap<Place, Arc<Stored>>,
    /// With the moment of each.
    history: VecDeque<(Instant, Arc<Change>)>,
    /// Changes up to this revision are forgotten.
    forgotten: u64,
    /// The revision of the last change; 0 before the first.
    changed: u64,
    news: Pulse,
}

impl Bucket {
    fn new(revision: u64) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            forgotten: 0,
            changed: 0,
            news: Pulse::new(revision),
        }
    }

    /// The changes after a revision, unless some of them are forgotten.
    fn since(
        &self,
        revision: u64,
    ) -> Result<impl DoubleEndedIterator<Item = &Arc<Change>>, ApiError> {
        if revision < self.forgotten {
            return Err(ApiError::expired(format!(
                "too old resource version: {revision} ({})",
                self.forgotten
            )));
        }
        let first = self
            .history
            .partition_point(|(_, change)| change.revision() <= revision);
        Ok(self.history.range(first..).map(|(_, change)| change))
    }
}

#[derive(Debug, Default)]
struct Inner {
    revision: u64,
    /// Never walked through in their order: it is another one in each process.
    buckets: HashMap<GroupResource, Bucket>,
    index: Index,
    observers: Vec<std::sync::Weak<Mutex<VecDeque<Arc<Change>>>>>,
}

/// The objects of one cluster; clones share them.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Mutex<Inner>>,
    news: Pulse,
}

/// Whether it is the same store, whatever is in it.
impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }
}

impl Default for Store {
    fn default() -> Self {
        let inner = Inner {
            revision: 1,
            ..Inner::default()
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            news: Pulse::new(1),
        }
    }
}

/// Everything that happens to a store from the moment it began to observe; nothing is lost.
#[derive(Debug)]
pub struct Observer {
    queue: Arc<Mutex<VecDeque<Arc<Change>>>>,
    news: Listener,
}

impl Observer {
    /// The next change, if there is one already.
    pub fn next_now(&mut self) -> Option<Arc<Change>> {
        lock(&self.queue).pop_front()
    }

    /// Waits until there is a change.
    pub async fn news(&mut self) {
        while lock(&self.queue).is_empty() {
            self.news.changed().await;
        }
    }
}

impl Store {
    /// The revision of the last write.
    #[must_use]
    pub fn revision(&self) -> u64 {
        lock(&self.inner).revision
    }

    /// One object.
    #[must_use]
    pub fn get(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Option<Arc<Stored>> {
        let inner = lock(&self.inner);
        let found = inner.at_place(resource, (namespace, name)).cloned();
        let was = found.as_ref().map(|found| found.revision);
        reads::one(self, resource, (namespace, name), was);
        found
    }

    /// All objects of a resource, in a namespace or in all, by namespace and name, and the revision
    /// of this picture.
    #[must_use]
    pub fn list(
        &self,
        resource: &GroupResource,
        namespace: Option<&str>,
    ) -> (Vec<Arc<Stored>>, u64) {
        let inner = lock(&self.inner);
        self.is_read(&inner, resource);
        let Some(bucket) = inner.buckets.get(resource) else {
            return (Vec::new(), inner.revision);
        };
        let objects = match namespace {
            None => bucket.objects.values().cloned().collect(),
            Some(namespace) => {
                let first = Bound::Included((namespace.to_owned(), String::new()));
                bucket
                    .objects
                    .range((first, Bound::Unbounded))
                    .take_while(|((in_namespace, _), _)| in_namespace == namespace)
                    .map(|(_, stored)| stored.clone())
                    .collect()
            }
        };
        (objects, inner.revision)
    }

    /// The objects of a resource that name an owner, by its uid.
    #[must_use]
    pub fn owned(&self, resource: &GroupResource, uid: &str) -> Vec<Arc<Stored>> {
        let inner = lock(&self.inner);
        self.is_read(&inner, resource);
        inner.at(resource, inner.index.owned(resource, uid))
    }

    /// Every object that names an owner, by its uid, with its resource.
    #[must_use]
    pub fn dependents(&self, uid: &str) -> Vec<(GroupResource, Arc<Stored>)> {
        reads::spoil();
        let inner = lock(&self.inner);
        let places = inner.index.dependents(uid);
        let found = places.filter_map(|(resource, place)| {
            let stored = inner.buckets.get(resource)?.objects.get(place)?;
            Some((resource.clone(), stored.clone()))
        });
        found.collect()
    }

    /// The pods that are bound to a node; with an empty name, those that are bound to none.
    #[must_use]
    pub fn on_node(&self, node: &str) -> Vec<Arc<Stored>> {
        let inner = lock(&self.inner);
        self.is_read(&inner, &PODS);
        inner.at(&PODS, inner.index.on_node(node))
    }

    /// The pods, or nodes, whose status tells an address; of a node the one within its network.
    #[must_use]
    pub fn at_address(&self, resource: &GroupResource, address: &str) -> Vec<Arc<Stored>> {
        let inner = lock(&self.inner);
        self.is_read(&inner, resource);
        inner.at(resource, inner.index.at_address(resource, address))
    }

    /// How many objects of a resource there are.
    #[must_use]
    pub fn count(&self, resource: &GroupResource) -> usize {
        let inner = lock(&self.inner);
        self.is_read(&inner, resource);
        inner
            .buckets
            .get(resource)
            .map_or(0, |bucket| bucket.objects.len())
    }

    /// The revision of an object, if it is there.
    fn revision_of(&self, resource: &GroupResource, (namespace, name): &Place) -> Option<u64> {
        let inner = lock(&self.inner);
        let found = inner.at_place(resource, (namespace, name))?;
        Some(found.revision)
    }

    /// The revision of the last change of a resource's objects; 0 before the first.
    fn change_of(&self, resource: &GroupResource) -> u64 {
        lock(&self.inner).change_of(resource)
    }

    fn is_read(&self, inner: &Inner, resource: &GroupResource) {
        reads::any(self, resource, || inner.change_of(resource));
    }

    /// Writes an object, whose metadata says where it belongs; its `resourceVersion` is set here.
    /// With `expected`, only if the object is still at that revision (0: not there).
    ///
    /// # Errors
    /// The revision that was found instead of the expected one.
    pub fn put(
        &self,
        resource: &GroupResource,
        mut value: Value,
        managed: Arc<Value>,
        expected: Option<u64>,
    ) -> Result<Arc<Stored>, u64> {
        let mut inner = lock(&self.inner);
        let revision = inner.revision + 1;
        value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        let stored = Arc::new(Stored::new(value, managed, revision));
        let place = stored.place();
        let bucket = inner.bucket(resource);
        let previous = bucket.objects.get(&place).cloned();
        let found = previous.as_ref().map_or(0, |previous| previous.revision);
        if expected.is_some_and(|expected| expected != found) {
            return Err(found);
        }
        bucket.objects.insert(place, stored.clone());
        let kind = if previous.is_some() {
            ChangeKind::Modified
        } else {
            ChangeKind::Added
        };
        self.commit(inner, kind, resource, stored.clone(), previous);
        Ok(stored)
    }

    /// Removes an object. With `expected`, only if it is still at that revision.
    ///
    /// # Errors
    /// The revision that was found instead of the expected one; 0 when it is not there.
    pub fn remove(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
        expected: Option<u64>,
    ) -> Result<Arc<Stored>, u64> {
        let mut inner = lock(&self.inner);
        let revision = inner.revision + 1;
        let place = (namespace.to_owned(), name.to_owned());
        let bucket = inner.bucket(resource);
        let previous = bucket.objects.get(&place).cloned().ok_or(0_u64)?;
        if expected.is_some_and(|expected| expected != previous.revision) {
            return Err(previous.revision);
        }
        bucket.objects.remove(&place);
        let mut value = (*previous.value).clone();
        value["metadata"]["resourceVersion"] = Value::String(revision.to_string());
        let last = Arc::new(Stored::new(value, previous.managed.clone(), revision));
        self.commit(
            inner,
            ChangeKind::Deleted,
            resource,
            last.clone(),
            Some(previous),
        );
        Ok(last)
    }

    /// The changes of a resource after a revision.
    ///
    /// # Errors
    /// 410 when some of them are forgotten.
    pub fn since(
        &self,
        resource: &GroupResource,
        revision: u64,
    ) -> Result<Vec<Arc<Change>>, ApiError> {
        let inner = lock(&self.inner);
        self.is_read(&inner, resource);
        let Some(bucket) = inner.buckets.get(resource) else {
            return Ok(Vec::new());
        };
        Ok(bucket.since(revision)?.cloned().collect())
    }

    /// Forgets the history of every resource, as etcd's compaction does: watches and lists that want
    /// to go on from an older revision are answered with 410.
    pub fn compact(&self) {
        let mut inner = lock(&self.inner);
        let revision = inner.revision;
        for bucket in inner.buckets.values_mut() {
            bucket.history.clear();
            bucket.forgotten = revision;
        }
    }

    /// Tells the revision of each change of a resource.
    #[must_use]
    pub fn news(&self, resource: &GroupResource) -> Listener {
        lock(&self.inner).bucket(resource).news.listen()
    }

    /// Observes every resource from now on.
    #[must_use]
    pub fn observe(&self) -> Observer {
        let queue = Arc::new(Mutex::new(VecDeque::new()));
        lock(&self.inner).observers.push(Arc::downgrade(&queue));
        Observer {
            queue,
            news: self.news.listen(),
        }
    }

    fn commit(
        &self,
        mut inner: MutexGuard<'_, Inner>,
        kind: ChangeKind,
        resource: &GroupResource,
        object: Arc<Stored>,
        previous: Option<Arc<Stored>>,
    ) {
        reads::spoil();
        let revision = object.revision;
        inner.revision = revision;
        let now = (kind != ChangeKind::Deleted).then(|| &*object.value);
        let before = previous.as_ref().map(|previous| &*previous.value);
        inner.index.note(resource, &object.place(), before, now);
        let change = Arc::new(Change {
            kind,
            resource: resource.clone(),
            object,
            previous,
        });
        inner.observers.retain(|observer| {
            observer
                .upgrade()
                .inspect(|queue| lock(queue).push_back(change.clone()))
                .is_some()
        });
        let bucket = inner.bucket(resource);
        bucket.changed = revision;
        let now = Instant::now();
        bucket.history.push_back((now, change));
        while let Some((at, oldest)) = bucket.history.front()
            && (bucket.history.len() > HISTORY || now.duration_since(*at) > FRESH)
        {
            bucket.forgotten = oldest.revision();
            bucket.history.pop_front();
        }
        bucket.news.tell(revision);
        drop(inner);
        self.news.tell(revision);
    }
}

impl Inner {
    fn at_place(&self, resource: &GroupResource, place: (&str, &str)) -> Option<&Arc<Stored>> {
        let objects = &self.buckets.get(resource)?.objects;
        objects.get(&place as &dyn At)
    }

    fn change_of(&self, resource: &GroupResource) -> u64 {
        let bucket = self.buckets.get(resource);
        bucket.map_or(0, |bucket| bucket.changed)
    }

    /// What is at some places.
    fn at<'i>(
        &self,
        resource: &GroupResource,
        places: impl Iterator<Item = &'i Place>,
    ) -> Vec<Arc<Stored>> {
        let Some(bucket) = self.buckets.get(resource) else {
            return Vec::new();
        };
        places
            .filter_map(|place| bucket.objects.get(place).cloned())
            .collect()
    }

    fn bucket(&mut self, resource: &GroupResource) -> &mut Bucket {
        if !self.buckets.contains_key(resource) {
            let bucket = Bucket::new(self.revision);
            self.buckets.insert(resource.clone(), bucket);
        }
        self.buckets
            .get_mut(resource)
            .unwrap_or_else(|| unreachable!("it was just inserted"))
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::builtin::NODES;

    const MAPS: GroupResource = GroupResource::new("", "configmaps");

    fn map(name: &str) -> Value {
        json!({"metadata": {"namespace": "demo", "name": name}})
    }

    fn put(store: &Store, name: &str, expected: Option<u64>) -> Result<u64, u64> {
        store
            .put(&MAPS, map(name), Arc::default(), expected)
            .map(|stored| stored.revision)
    }

    #[test]
    fn revisions_grow_and_a_stale_write_is_refused() {
        let store = Store::default();
        let first = put(&store, "a", Some(0)).unwrap();
        let second = put(&store, "a", Some(first)).unwrap();
        assert!(second > first);
        assert_eq!(put(&store, "a", Some(first)), Err(second));
        assert_eq!(put(&store, "a", Some(0)), Err(second));
    }

    #[test]
    fn history_goes_on_from_a_revision_until_it_is_compacted() {
        let store = Store::default();
        let first = put(&store, "a", None).unwrap();
        put(&store, "b", None).unwrap();
        store.remove(&MAPS, "demo", "a", None).unwrap();
        let kinds = |since| -> Vec<ChangeKind> {
            let changes = store.since(&MAPS, since).unwrap();
            changes.iter().map(|change| change.kind).collect()
        };
        assert_eq!(kinds(first), [ChangeKind::Added, ChangeKind::Deleted]);
        store.compact();
        assert_eq!(store.since(&MAPS, first).unwrap_err().code, 410);
        assert!(store.since(&MAPS, store.revision()).unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn history_is_kept_for_as_long_as_a_watch_cache_keeps_it() {
        let store = Store::default();
        let first = put(&store, "a", None).unwrap();
        let second = put(&store, "b", None).unwrap();
        tokio::time::advance(FRESH).await;
        let third = put(&store, "c", None).unwrap();
        assert_eq!(store.since(&MAPS, first).unwrap().len(), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        put(&store, "d", None).unwrap();
        // Who saw the last of those that are forgotten has missed nothing.
        assert_eq!(store.since(&MAPS, second).unwrap().len(), 2);
        assert_eq!(store.since(&MAPS, first).unwrap_err().code, 410);
        assert_eq!(store.since(&MAPS, third).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_observer_misses_nothing() {
        let store = Store::default();
        let mut observer = store.observe();
        put(&store, "a", None).unwrap();
        put(&store, "b", None).unwrap();
        observer.news().await;
        let names: Vec<_> = std::iter::from_fn(|| observer.next_now())
            .map(|change| change.object.place().1)
            .collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn objects_are_found_by_their_owner_and_pods_by_their_node() {
        let store = Store::default();
        let pod = |node: &str, owner: &str| {
            json!({"metadata": {"namespace": "demo", "name": "p", "ownerReferences": [{"uid": owner}]},
                "spec": {"nodeName": node}})
        };
        let put = |object| store.put(&PODS, object, Arc::default(), None).unwrap();
        let found = |node: &str, owner: &str| {
            (
                store.on_node(node).len(),
                store.owned(&PODS, owner).len(),
                store.owned(&MAPS, owner).len(),
            )
        };
        put(pod("", "a"));
        assert_eq!(found("", "a"), (1, 1, 0));
        put(pod("w1", "b"));
        assert_eq!((found("", "a"), found("w1", "b")), ((0, 0, 0), (1, 1, 0)));
        store.remove(&PODS, "demo", "p", None).unwrap();
        assert_eq!(found("w1", "b"), (0, 0, 0));
    }

    #[test]
    fn pods_and_nodes_are_found_by_their_address() {
        let store = Store::default();
        let pod = |address: &str| json!({"metadata": {"namespace": "demo", "name": "p"}, "status": {"podIP": address}});
        let node = json!({"metadata": {"name": "w1"}, "status": {"addresses": [
            {"type": "Hostname", "address": "w1"}, {"type": "InternalIP", "address": "172.18.0.2"},
        ]}});
        let put = |id: &GroupResource, object| store.put(id, object, Arc::default(), None).unwrap();
        put(&NODES, node);
        put(&PODS, pod("10.0.0.1"));
        let found = |id: &GroupResource, address| store.at_address(id, address).len();
        assert_eq!(
            (found(&PODS, "10.0.0.1"), found(&NODES, "172.18.0.2")),
            (1, 1)
        );
        assert_eq!((found(&NODES, "10.0.0.1"), found(&NODES, "w1")), (0, 0));
        put(&PODS, pod("10.0.0.2"));
        assert_eq!((found(&PODS, "10.0.0.1"), found(&PODS, "10.0.0.2")), (0, 1));
        store.remove(&PODS, "demo", "p", None).unwrap();
        assert_eq!(found(&PODS, "10.0.0.2"), 0);
    }

    #[test]
    fn a_list_of_one_namespace_leaves_out_the_others() {
        let store = Store::default();
        put(&store, "a", None).unwrap();
        let other = json!({"metadata": {"namespace": "demo2", "name": "b"}});
        store.put(&MAPS, other, Arc::default(), None).unwrap();
        assert_eq!(store.list(&MAPS, Some("demo")).0.len(), 1);
        assert_eq!(store.list(&MAPS, None).0.len(), 2);
    }
}
