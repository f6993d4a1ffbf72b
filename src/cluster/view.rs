//! What somebody sees of a cluster: live copies of the objects of some kinds.
//!
//! What it holds is what the API server said, minus `managedFields`; of which kinds it cannot tell at the
//! moment, it says.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{ApiResource, GroupVersionKind};

use super::Object;
use super::pulse::{Changes, Pulse};
use super::watch::{LIST, Watch};
use crate::record::{Blocker, ObjectRef};

/// How long a refusal has to last to be one.
const REFUSED: Duration = Duration::from_secs(3);

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

/// The live copy. Dropping it ends its watches, unless others look at them, too.
pub struct View {
    cluster: &'static str,
    /// Each watch, and the namespace that is looked at (empty: all).
    parts: Vec<(Arc<Watch>, String)>,
    changed: Pulse,
}

impl View {
    /// Starts to watch `kinds`, each in `namespace` (empty: all namespaces).
    #[must_use]
    pub fn start(cluster: &'static str, client: &Client, kinds: &[(Kind, &str)]) -> Self {
        let start = |(kind, namespace): &(Kind, &str)| {
            let watch = Watch::start(cluster, client, kind, namespace);
            (Arc::new(watch), (*namespace).to_owned())
        };
        let kinds: BTreeSet<(Kind, &str)> = kinds.iter().cloned().collect();
        Self::of(cluster, kinds.iter().map(start).collect())
    }

    /// The same view of some of its kinds, told of each change of these alone.
    #[must_use]
    pub fn part(&self, kinds: &[Kind]) -> Self {
        let parts = self.parts.iter();
        let wanted = parts.filter(|(watch, _)| kinds.contains(watch.kind()));
        Self::of(self.cluster, wanted.cloned().collect())
    }

    /// A view of watches.
    pub(super) fn of(cluster: &'static str, mut parts: Vec<(Arc<Watch>, String)>) -> Self {
        let changed = Pulse::new();
        let key =
            |(watch, namespace): &(Arc<Watch>, String)| (watch.kind().clone(), namespace.clone());
        parts.sort_by_key(key);
        parts.dedup_by_key(|part| key(part));
        for (watch, _) in &parts {
            watch.tells(&changed);
        }
        Self {
            cluster,
            parts,
            changed,
        }
    }

    /// A settled view that holds these objects and watches nothing.
    #[cfg(test)]
    pub fn holding(cluster: &'static str, objects: &[(Kind, serde_json::Value)]) -> Self {
        let mut kinds = std::collections::BTreeMap::<Kind, std::collections::BTreeMap<_, _>>::new();
        for (kind, json) in objects {
            let object = Object::new(cluster, json.clone());
            let key = (object.namespace().to_owned(), object.name().to_owned());
            let held = kinds.entry(kind.clone()).or_default();
            held.insert(key, Arc::new(object));
        }
        let parts = kinds.into_iter().map(|(kind, objects)| {
            (
                Arc::new(Watch::holding(cluster, kind, objects)),
                String::new(),
            )
        });
        Self::of(cluster, parts.collect())
    }

    /// Which cluster this is: `management` or `workload`.
    #[must_use]
    pub const fn cluster(&self) -> &'static str {
        self.cluster
    }

    fn of_kind<'v>(&'v self, kind: &'v Kind) -> impl Iterator<Item = &'v (Arc<Watch>, String)> {
        let parts = self.parts.iter();
        parts.filter(move |(watch, _)| watch.kind() == kind)
    }

    /// All objects of a kind, by namespace and name.
    #[must_use]
    pub fn list(&self, kind: &Kind) -> Vec<Arc<Object>> {
        let mut found = Vec::new();
        for (watch, namespace) in self.of_kind(kind) {
            let store = watch.store();
            let objects = store.objects.iter();
            let objects = objects.filter(|((own, _), _)| namespace.is_empty() || own == namespace);
            found.extend(objects.map(|(_, object)| object.clone()));
        }
        found
    }

    /// The objects of a kind in one namespace, by name.
    #[must_use]
    pub fn list_in(&self, kind: &Kind, namespace: &str) -> Vec<Arc<Object>> {
        let first = (namespace.to_owned(), String::new());
        let mut found = Vec::new();
        for (watch, within) in self.of_kind(kind) {
            if within.is_empty() || within == namespace {
                let store = watch.store();
                let objects = store.objects.range(first.clone()..);
                let objects = objects.take_while(|((own, _), _)| own == namespace);
                found.extend(objects.map(|(_, object)| object.clone()));
            }
        }
        found
    }

    /// One object.
    #[must_use]
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let key = (namespace.to_owned(), name.to_owned());
        self.of_kind(kind)
            .filter(|(_, within)| within.is_empty() || within == namespace)
            .find_map(|(watch, _)| watch.store().objects.get(&key).cloned())
    }

    /// The kinds that were not listed yet, or whose watch is broken, with the reason: what the view
    /// says of these is not to be trusted.
    #[must_use]
    pub fn unsettled(&self) -> Vec<(Kind, String)> {
        let parts = self.parts.iter();
        parts
            .filter_map(|(watch, _)| Some((watch.kind().clone(), watch.store().unsettled()?)))
            .collect()
    }

    /// What the API server does not allow, once it has said so for a moment: an API server that has
    /// just started may refuse what it allows a second later.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        let mut parts = self.parts.iter();
        parts.find_map(|(watch, _)| watch.store().refused(REFUSED))
    }

    /// Tells of each change, with the time at which it arrived. While somebody listens, what watches may have
    /// lost is looked for often.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let changes = self.changed.listen();
        for (watch, _) in &self.parts {
            watch.is_of_interest();
        }
        changes
    }

    /// Returns once nothing that it holds has been unconfirmed for longer than it is while somebody listens: who
    /// decides by it begins here. What cannot be confirmed is unsettled.
    pub async fn fresh(&self) {
        let _listens = self.changes();
        let all = async {
            for (watch, _) in &self.parts {
                watch.fresh().await;
            }
        };
        // An API server that does not answer is told of by then.
        let _ = tokio::time::timeout(2 * LIST, all).await;
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

#[cfg(test)]
mod tests;
