//! A live copy of the objects of some kinds of one cluster, fed by watches.
//!
//! Each kind has one watch, listed anew from time to time, since a watch can silently lose events
//! (linkerd2#14773). What it holds is what the API server said, minus `managedFields`; of which kinds
//! it cannot tell at the moment, it says.

mod seen;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{ApiResource, GroupVersionKind};
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::seen::Seen;
use super::Object;
use super::pulse::{Changes, Pulse};
use crate::record::{Blocker, History, ObjectRef};

/// How often a kind is listed anew beside its watch.
const RELIST: Duration = Duration::from_secs(10);
/// How long a list may take, with all its pages; until the next one works the kind is unsettled then.
const LIST: Duration = Duration::from_secs(15);
/// How long to wait before a watch that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// A kind of object, by the version in which it is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// API group, empty for the core.
    pub group: Cow<'static, str>,
    /// Version.
    pub version: Cow<'static, str>,
    /// Kind.
    pub kind: Cow<'static, str>,
    /// The resource's name in paths.
    pub plural: Cow<'static, str>,
}

impl Kind {
    /// A kind by its parts.
    #[must_use]
    pub const fn new(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
        }
    }

    /// A kind as discovery tells it.
    #[must_use]
    pub fn discovered(resource: &ApiResource) -> Self {
        Self {
            group: Cow::Owned(resource.group.clone()),
            version: Cow::Owned(resource.version.clone()),
            kind: Cow::Owned(resource.kind.clone()),
            plural: Cow::Owned(resource.plural.clone()),
        }
    }

    /// The form that kube's dynamic API takes.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(&self.group, &self.version, &self.kind),
            &self.plural,
        )
    }
}

type Key = (String, String);

#[derive(Default)]
struct Store {
    objects: BTreeMap<Key, Arc<Object>>,
    listed: bool,
    /// Why the last list or watch of it failed, until the next list works.
    error: Option<String>,
}

type Stores = Arc<Mutex<BTreeMap<Kind, Store>>>;

/// What a watch works on.
#[derive(Clone)]
struct Shared {
    cluster: &'static str,
    stores: Stores,
    changed: Pulse,
    history: Option<History>,
}

/// The live copy. Dropping it ends its watches.
pub struct View {
    cluster: &'static str,
    stores: Stores,
    changed: Pulse,
    _watches: JoinSet<()>,
}

impl View {
    /// Starts to watch `kinds`, each in `namespace` (empty: all namespaces).
    #[must_use]
    pub fn start(cluster: &'static str, client: &Client, kinds: &[(Kind, &str)]) -> Self {
        Self::recorded(cluster, client, kinds, None)
    }

    /// The same, and each change it sees is told to a history.
    #[must_use]
    pub fn recorded(
        cluster: &'static str,
        client: &Client,
        kinds: &[(Kind, &str)],
        history: Option<History>,
    ) -> Self {
        let stores: Stores = Arc::new(Mutex::new(
            kinds
                .iter()
                .map(|(kind, _)| (kind.clone(), Store::default()))
                .collect(),
        ));
        let changed = Pulse::new();
        let shared = Shared {
            cluster,
            stores: stores.clone(),
            changed: changed.clone(),
            history,
        };
        let mut watches = JoinSet::new();
        for (kind, namespace) in kinds {
            let resource = kind.resource();
            let api: Api<Seen> = if namespace.is_empty() {
                Api::all_with(client.clone(), &resource)
            } else {
                Api::namespaced_with(client.clone(), namespace, &resource)
            };
            watches.spawn(follow(shared.clone(), kind.clone(), api));
        }
        Self {
            cluster,
            stores,
            changed,
            _watches: watches,
        }
    }

    /// A settled view that holds these objects and watches nothing.
    #[cfg(test)]
    pub fn holding(cluster: &'static str, objects: &[(Kind, serde_json::Value)]) -> Self {
        let mut stores = BTreeMap::<Kind, Store>::new();
        for (kind, json) in objects {
            let object = Object::new(cluster, json.clone());
            let key = (object.namespace().to_owned(), object.name().to_owned());
            let store = stores.entry(kind.clone()).or_default();
            store.objects.insert(key, Arc::new(object));
            store.listed = true;
        }
        Self {
            cluster,
            stores: Arc::new(Mutex::new(stores)),
            changed: Pulse::new(),
            _watches: JoinSet::new(),
        }
    }

    /// Which cluster this is: `management` or `workload`.
    #[must_use]
    pub const fn cluster(&self) -> &'static str {
        self.cluster
    }

    /// All objects of a kind, by namespace and name.
    #[must_use]
    pub fn list(&self, kind: &Kind) -> Vec<Arc<Object>> {
        let stores = lock(&self.stores);
        stores
            .get(kind)
            .map(|store| store.objects.values().cloned().collect())
            .unwrap_or_default()
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let stores = lock(&self.stores);
        let key = (namespace.to_owned(), name.to_owned());
        stores.get(kind)?.objects.get(&key).cloned()
    }

    /// The kinds that were not listed yet, or whose watch is broken, with the reason: what the view
    /// says of these is not to be trusted.
    #[must_use]
    pub fn unsettled(&self) -> Vec<(Kind, String)> {
        lock(&self.stores)
            .iter()
            .filter(|(_, store)| !store.listed || store.error.is_some())
            .map(|(kind, store)| {
                let why = store
                    .error
                    .clone()
                    .unwrap_or_else(|| "not listed yet".to_owned());
                (kind.clone(), why)
            })
            .collect()
    }

    /// Tells of each change, with the time at which it arrived.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changed.listen()
    }
}

/// What a view cannot tell at the moment, as blockers: nothing may be judged by these kinds.
#[must_use]
pub fn blind(view: &View) -> Vec<Blocker> {
    let cluster = view.cluster();
    view.unsettled()
        .into_iter()
        .map(|(kind, why)| Blocker {
            message: why,
            ..Blocker::new(
                ObjectRef::new(cluster, &kind.kind, "", "(all)"),
                format!("cannot be watched on the {cluster} cluster"),
            )
        })
        .collect()
}

async fn follow(shared: Shared, kind: Kind, api: Api<Seen>) {
    let cluster = shared.cluster;
    let resource = kind.resource();
    loop {
        let mut events = std::pin::pin!(watcher(api.clone(), watcher::Config::default()));
        let mut fresh = BTreeMap::new();
        let mut listed = false;
        let mut due = Instant::now() + LIST;
        loop {
            let told = match tokio::time::timeout_at(due, events.try_next()).await {
                Ok(Ok(Some(event))) => Ok(event),
                // Time for a new list, or the stream ended: start over.
                Err(_) if listed => break,
                Ok(Ok(None)) => break,
                Err(_) => Err(format!("not listed within {} s", LIST.as_secs())),
                // What changed since the last list is forgotten there: an everyday event, which a new list
                // mends. What is known is no older than the watch before it.
                Ok(Err(error)) if listed && is_forgotten(&error) => {
                    tokio::time::sleep(RETRY).await;
                    break;
                }
                Ok(Err(error)) => Err(error.to_string()),
            };
            let event = match told {
                Ok(event) => event,
                Err(error) => {
                    shared.update(&kind, |store| store.error = Some(error));
                    tokio::time::sleep(RETRY).await;
                    break;
                }
            };
            let arrived = Instant::now();
            match event {
                watcher::Event::Init => {
                    fresh.clear();
                    listed = false;
                    due = arrived + LIST;
                }
                watcher::Event::InitApply(object) => {
                    let (key, object) = entry(cluster, &resource, object);
                    fresh.insert(key, object);
                }
                watcher::Event::InitDone => {
                    listed = true;
                    due = arrived + RELIST;
                    let fresh = std::mem::take(&mut fresh);
                    shared.replace(&kind, fresh, arrived);
                }
                watcher::Event::Apply(object) => {
                    let (key, object) = entry(cluster, &resource, object);
                    shared.tell(&object, false);
                    shared.update(&kind, |store| {
                        store.objects.insert(key, object);
                    });
                }
                watcher::Event::Delete(object) => {
                    let (key, object) = entry(cluster, &resource, object);
                    shared.tell(&object, true);
                    shared.update(&kind, |store| {
                        store.objects.remove(&key);
                    });
                }
            }
        }
    }
}

/// Whether a watch has to begin anew because it began too far in the past (410).
fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchError(status) if status.code == 410)
}

impl Shared {
    /// Takes a whole list. Waits are woken only when it says something new.
    fn replace(&self, kind: &Kind, listed: BTreeMap<Key, Arc<Object>>, arrived: Instant) {
        let mut stores = lock(&self.stores);
        let store = stores.entry(kind.clone()).or_default();
        let changed = store.objects != listed;
        let news = !store.listed || store.error.is_some() || changed;
        if changed && self.history.is_some() {
            for (key, object) in &listed {
                if store.objects.get(key) != Some(object) {
                    self.tell(object, false);
                }
            }
            for (key, object) in &store.objects {
                if !listed.contains_key(key) {
                    self.tell(object, true);
                }
            }
        }
        store.objects = listed;
        store.listed = true;
        store.error = None;
        if news {
            self.changed.tell(arrived);
        }
    }

    fn update(&self, kind: &Kind, act: impl FnOnce(&mut Store)) {
        act(lock(&self.stores).entry(kind.clone()).or_default());
        self.changed.tell(Instant::now());
    }

    fn tell(&self, object: &Object, gone: bool) {
        if let Some(history) = &self.history {
            history.tell(self.cluster, gone, &object.json);
        }
    }
}

fn entry(cluster: &'static str, kind: &ApiResource, object: Seen) -> (Key, Arc<Object>) {
    let mut json = object.json;
    if let Some(fields) = json.as_object_mut() {
        // Items of a list come without apiVersion and kind.
        fields.insert("apiVersion".to_owned(), kind.api_version.clone().into());
        fields.insert("kind".to_owned(), kind.kind.clone().into());
    }
    let object = Object::new(cluster, json);
    let key = (object.namespace().to_owned(), object.name().to_owned());
    (key, Arc::new(object))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
