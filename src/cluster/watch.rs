//! A live copy of the objects of one kind, fed by a list and a watch.
//!
//! It is listed anew from time to time, since a watch can silently lose events (linkerd2#14773): often while
//! somebody waits for its changes, seldom while it is only kept for who may look. What it holds counts once the
//! watch stands, too: who may list and not watch would be told what was once.

mod confirmed;
mod end;
mod page;
pub(super) mod seen;
mod store;

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{ApiResource, ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::{Api, Client, Resource as _};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::confirmed::Confirmed;
use self::end::End;
use self::page::{Identity, Item, Page};
use self::seen::Seen;
use self::store::{Key, Objects, Store};
use super::pulse::{Pulse, Teller};
use super::{Kind, Object};

/// How often a kind is listed anew beside its watch, while somebody waits for its changes.
pub(super) const RELIST: Duration = Duration::from_secs(10);
/// How often at least while somebody may look, however many pages that takes; and for how long a watch is
/// believed to live.
pub(super) const SELDOM: Duration = Duration::from_secs(60);
/// How long a list may take, with all its pages; until the next one works the kind is unsettled then.
pub(super) const LIST: Duration = Duration::from_secs(15);
/// How long to wait before a watch that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the beginning of a watch is waited for before the list counts by itself.
const BEGINS: Duration = Duration::from_millis(500);
/// How long after it was refused: to be refused again may take as long as that.
pub(super) const REFUSED: Duration = Duration::from_secs(5);
/// How many objects a page of a list has.
const PAGE: u32 = 500;

struct Shared {
    cluster: &'static str,
    kind: Kind,
    resource: ApiResource,
    store: Mutex<Store>,
    /// When the last list ended.
    asked: Mutex<Instant>,
    /// When the list ended that told or confirmed what is held, or could not.
    told: Mutex<Instant>,
    /// Who is told of changes.
    listeners: Mutex<Vec<Weak<Teller>>>,
    /// Somebody has begun to look or to wait.
    interest: Notify,
    /// What is held has just been told or confirmed by a list, or could not be.
    answered: Notify,
}

/// The live copy. Dropping it ends the watch.
pub(super) struct Watch {
    shared: Arc<Shared>,
    _task: JoinSet<()>,
}

impl Watch {
    /// Starts to watch a kind in a namespace (empty: all namespaces).
    pub(super) fn start(
        cluster: &'static str,
        client: &Client,
        kind: &Kind,
        namespace: &str,
    ) -> Self {
        let resource = kind.resource();
        let api: Api<Seen> = if namespace.is_empty() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), namespace, &resource)
        };
        let shared = Shared::new(cluster, kind.clone(), Store::default());
        let mut task = JoinSet::new();
        task.spawn(follow(shared.clone(), api));
        Self {
            shared,
            _task: task,
        }
    }

    /// A settled copy that watches nothing.
    #[cfg(test)]
    pub(super) fn holding(cluster: &'static str, kind: Kind, objects: Objects) -> Self {
        let mut store = Store::default();
        store.replace(objects);
        Self {
            shared: Shared::new(cluster, kind, store),
            _task: JoinSet::new(),
        }
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.shared.kind
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.shared.store)
    }

    /// From now on this pulse tells of changes, and while it lives, somebody looks.
    pub(super) fn tells(&self, pulse: &Pulse) {
        let mut listeners = lock(&self.shared.listeners);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(pulse.weak());
        self.is_of_interest();
    }

    /// Somebody looks or waits who did not before.
    pub(super) fn is_of_interest(&self) {
        self.shared.interest.notify_one();
    }

    /// Returns once what is held is no older than it is while somebody waits, as somebody must do meanwhile; or
    /// cannot be made so.
    pub(super) async fn fresh(&self) {
        let mut answered = pin!(self.shared.answered.notified());
        answered.as_mut().enable();
        if self.store().unsettled().is_none() && self.shared.is_due() {
            answered.await;
        }
    }
}

/// What a list told, and the version from which changes are to be watched.
type Listed = (Objects, String);

/// How much a kind is looked at.
enum Interest {
    /// Nobody does.
    No,
    /// Somebody may at any time.
    Some,
    /// Somebody waits for its changes.
    Waits,
}

async fn follow(shared: Arc<Shared>, api: Api<Seen>) {
    loop {
        let end = match once(&shared, &api).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        match end {
            End::Forgotten => {}
            End::Failed { why, refused } => shared.fail(why, refused),
        }
        tokio::time::sleep(RETRY).await;
        while matches!(shared.interest(), Interest::No) {
            shared.interest.notified().await;
        }
    }
}

/// How long until so many objects are listed anew: what costs an API server more is asked for less often.
fn relist(objects: usize) -> Duration {
    let pages = u32::try_from(objects / PAGE as usize).unwrap_or(u32::MAX);
    RELIST.saturating_mul(pages.saturating_add(1)).min(SELDOM)
}

/// Lists and watches until something comes in between.
async fn once(shared: &Shared, api: &Api<Seen>) -> Result<std::convert::Infallible, End> {
    let mut listed = shared.listed(api).await?;
    loop {
        listed = watch(shared, api, listed).await?;
    }
}

/// Watches from a list on, until a later one says something that the watch did not tell. As long as none does,
/// the watch goes on: to begin another one costs an API server as much again as the list.
async fn watch(
    shared: &Shared,
    api: &Api<Seen>,
    (objects, mut version): Listed,
) -> Result<Listed, End> {
    let kind = &shared.kind;
    let mut fresh = Some(objects);
    let mut confirmed = Confirmed::default();
    let mut due = pin!(shared.due());
    'watches: loop {
        let begun = Instant::now();
        let (params, from) = (WatchParams::default(), version.clone());
        let mut begins = pin!(api.watch(&params, &from));
        let patience = if lock(&shared.store).is_refused() {
            REFUSED
        } else {
            BEGINS
        };
        let watch = match tokio::time::timeout(patience, begins.as_mut()).await {
            Ok(watch) => watch,
            Err(_) => {
                shared.replace(&mut fresh);
                loop {
                    tokio::select! {
                        biased;
                        watch = begins.as_mut() => break watch,
                        () = due.as_mut() => {
                            if let Some(listed) = shared.news(api, &mut version, &mut confirmed).await? {
                                return Ok(listed);
                            }
                            due.set(shared.due());
                            if begun.elapsed() >= SELDOM {
                                continue 'watches;
                            }
                        }
                    }
                }
            }
        };
        let mut watch = pin!(watch.map_err(|error| End::of("watch", kind, &error))?);
        shared.replace(&mut fresh);
        loop {
            tokio::select! {
                biased;
                told = watch.try_next() => match told {
                    Ok(Some(event)) => {
                        if let Some(seen) = shared.take(event)? {
                            version = seen;
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Err(End::of("watch", kind, &error)),
                },
                () = due.as_mut() => {
                    if let Some(listed) = shared.news(api, &mut version, &mut confirmed).await? {
                        return Ok(listed);
                    }
                    due.set(shared.due());
                    // Lists that agree tell nothing of whether its connection is still there.
                    if begun.elapsed() >= SELDOM {
                        break;
                    }
                }
            }
        }
        // Watches end now and then; one that ends at once must not be begun without a pause.
        if begun.elapsed() < RETRY {
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl Shared {
    fn new(cluster: &'static str, kind: Kind, store: Store) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            resource: kind.resource(),
            kind,
            store: Mutex::new(store),
            asked: Mutex::new(Instant::now()),
            told: Mutex::new(Instant::now()),
            listeners: Mutex::default(),
            interest: Notify::new(),
            answered: Notify::new(),
        })
    }

    /// All objects.
    async fn listed(&self, api: &Api<Seen>) -> Result<Listed, End> {
        let all = async {
            let first = self.page(api, &ListParams::default()).await?;
            self.read(api, first).await
        };
        self.in_time(all).await
    }

    /// What a list tells within [`LIST`].
    async fn in_time<T>(
        &self,
        listing: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, End> {
        let listing = tokio::time::timeout(LIST, listing).await;
        *lock(&self.asked) = Instant::now();
        let told = listing.map_err(|_| End::Failed {
            why: format!("not listed within {} s", LIST.as_secs()),
            refused: false,
        })?;
        told.map_err(|error| match End::of("list", &self.kind, &error) {
            // A page that is forgotten is one too few.
            End::Forgotten => End::Failed {
                why: error.to_string(),
                refused: false,
            },
            end => end,
        })
    }

    /// A page of a list.
    async fn page(&self, api: &Api<Seen>, params: &ListParams) -> Result<String, kube::Error> {
        let request = Request::new(api.resource_url()).list(&params.clone().limit(PAGE));
        let request = request.map_err(kube::Error::BuildRequest)?;
        api.clone().into_client().request_text(request).await
    }

    /// All objects, from the first page on. What is known in the version that is told is not read again.
    async fn read(&self, api: &Api<Seen>, mut text: String) -> Result<Listed, kube::Error> {
        let mut objects = Objects::new();
        loop {
            let page = Page::read(&text, |told| self.known(told));
            let Page { items, metadata } = page.map_err(kube::Error::SerdeError)?;
            for item in items {
                let object = match item {
                    Item::Known(object) => object,
                    Item::Told(json) => self.object(json),
                };
                objects.insert(key(&object), object);
            }
            match metadata.continue_ {
                Some(token) if !token.is_empty() => {
                    let params = ListParams::default().continue_token(&token);
                    text = self.page(api, &params).await?;
                }
                _ => return Ok((objects, metadata.resource_version.unwrap_or_default())),
            }
        }
    }

    /// What is held of an object, if it is this version of it.
    fn known(&self, told: Identity) -> Option<Arc<Object>> {
        let key = (told.namespace.unwrap_or_default(), told.name?);
        let held = lock(&self.store).objects.get(&key)?.clone();
        let same = held.str("/metadata/resourceVersion") == told.resource_version?
            && held.str("/metadata/uid") == told.uid.unwrap_or_default();
        same.then_some(held)
    }

    /// An object as it was told.
    fn object(&self, mut json: Value) -> Arc<Object> {
        if let Some(fields) = json.as_object_mut() {
            // Items of a list come without apiVersion and kind.
            let ApiResource {
                api_version, kind, ..
            } = &self.resource;
            fields.insert("apiVersion".to_owned(), api_version.clone().into());
            fields.insert("kind".to_owned(), kind.clone().into());
        }
        Arc::new(Object::new(self.cluster, json))
    }

    fn interest(&self) -> Interest {
        let listeners = lock(&self.listeners);
        // A view's own pulse, and one more for each that waits for what it tells.
        match listeners.iter().map(Weak::strong_count).max() {
            None | Some(0) => Interest::No,
            Some(1) => Interest::Some,
            Some(_) => Interest::Waits,
        }
    }

    /// Whether it is to be listed anew for somebody who waits.
    fn is_due(&self) -> bool {
        lock(&self.told).elapsed() >= relist(lock(&self.store).objects.len())
    }

    /// Returns when it is to be listed anew.
    async fn due(&self) {
        loop {
            let pause = match self.interest() {
                Interest::No => {
                    self.interest.notified().await;
                    continue;
                }
                Interest::Some => SELDOM,
                Interest::Waits => relist(lock(&self.store).objects.len()),
            };
            let due = *lock(&self.told) + pause;
            if due <= Instant::now() {
                return;
            }
            // Until then, others may have begun to wait, or all have ended.
            let _ = tokio::time::timeout_at(due, self.interest.notified()).await;
        }
    }

    /// Lists anew: a list that says anything but what is held. Where it says the same, a watch may go on from its
    /// version.
    async fn news(
        &self,
        api: &Api<Seen>,
        version: &mut String,
        confirmed: &mut Confirmed,
    ) -> Result<Option<Listed>, End> {
        let changes = lock(&self.store).changes();
        let told = self.in_time(async {
            let first = self.page(api, &ListParams::default()).await?;
            let same = confirmed.says(&first, changes);
            match same.map_err(kube::Error::SerdeError)? {
                Some(version) => Ok((None, version)),
                None => {
                    let (objects, version) = self.read(api, first).await?;
                    Ok((Some(objects), version))
                }
            }
        });
        let (objects, told) = told.await?;
        if let Some(objects) = objects {
            let held = &lock(&self.store).objects;
            // What is held and was told again is the same one.
            let same = |(held, told): (&Arc<Object>, &Arc<Object>)| Arc::ptr_eq(held, told);
            if held.len() != objects.len() || !held.values().zip(objects.values()).all(same) {
                return Ok(Some((objects, told)));
            }
        }
        confirmed.holds(changes);
        *version = told;
        self.answers();
        Ok(None)
    }

    /// Takes a whole list, once. Waits are woken only when it says something new.
    fn replace(&self, fresh: &mut Option<Objects>) {
        let Some(listed) = fresh.take() else { return };
        let news = lock(&self.store).replace(listed);
        if news {
            self.tell();
        }
        self.answers();
    }

    /// Takes what a watch tells, and returns up to which version it is told then.
    fn take(&self, event: WatchEvent<Seen>) -> Result<Option<String>, End> {
        let (object, gone) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, false),
            WatchEvent::Deleted(object) => (object, true),
            WatchEvent::Bookmark(mark) => return Ok(Some(mark.metadata.resource_version)),
            WatchEvent::Error(status) => {
                let error = kube::Error::Api(status);
                return Err(End::of("watch", &self.kind, &error));
            }
        };
        let version = object.meta().resource_version.clone();
        let object = self.object(object.json);
        let key = key(&object);
        lock(&self.store).take(key, (!gone).then_some(object));
        self.tell();
        Ok(version)
    }

    fn fail(&self, why: String, refused: bool) {
        lock(&self.store).fail(why, refused);
        self.tell();
        self.answers();
    }

    /// What is held is as a list just told it, or not to be trusted.
    fn answers(&self) {
        *lock(&self.told) = *lock(&self.asked);
        self.answered.notify_waiters();
    }

    fn tell(&self) {
        let now = Instant::now();
        for listener in &*lock(&self.listeners) {
            if let Some(listener) = listener.upgrade() {
                listener.tell(now);
            }
        }
    }
}

fn key(object: &Object) -> Key {
    (object.namespace().to_owned(), object.name().to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_there_is_the_less_often_it_is_listed_anew() {
        let seconds = [0, 499, 500, 1999, 20_000].map(|objects| relist(objects).as_secs());
        assert_eq!(seconds, [10, 10, 20, 40, 60]);
    }
}
