//! Ways to objects besides their names: by owner, and pods by node. Controllers ask for both with each
//! change, which a walk over all objects would make quadratic.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Place;
use crate::resource::GroupResource;
use crate::resource::builtin::PODS;

#[derive(Debug, Default)]
pub(super) struct Index {
    owned: BTreeMap<String, BTreeSet<(GroupResource, Place)>>,
    on_node: BTreeMap<String, BTreeSet<Place>>,
}

impl Index {
    /// Takes note of a write: what was in the place before, and what is there now.
    pub(super) fn note(
        &mut self,
        resource: &GroupResource,
        place: &Place,
        before: Option<&Value>,
        now: Option<&Value>,
    ) {
        let owners = |object: Option<&Value>| {
            object
                .map(|object| &object["metadata"]["ownerReferences"])
                .cloned()
        };
        if owners(before) != owners(now) {
            for uid in uids(before) {
                if let Some(owned) = self.owned.get_mut(uid) {
                    owned.remove(&(resource.clone(), place.clone()));
                    if owned.is_empty() {
                        self.owned.remove(uid);
                    }
                }
            }
            for uid in uids(now) {
                let owned = self.owned.entry(uid.to_owned()).or_default();
                owned.insert((resource.clone(), place.clone()));
            }
        }
        if *resource != PODS {
            return;
        }
        let (before, now) = (before.map(node), now.map(node));
        if before == now {
            return;
        }
        if let Some(node) = before
            && let Some(pods) = self.on_node.get_mut(node)
        {
            pods.remove(place);
            if pods.is_empty() {
                self.on_node.remove(node);
            }
        }
        if let Some(node) = now {
            self.on_node
                .entry(node.to_owned())
                .or_default()
                .insert(place.clone());
        }
    }

    /// Where the objects of a resource are that name an owner.
    pub(super) fn owned<'i>(
        &'i self,
        resource: &'i GroupResource,
        uid: &str,
    ) -> impl Iterator<Item = &'i Place> {
        let first = (resource.clone(), Place::default());
        let owned = self.owned.get(uid).into_iter();
        owned
            .flat_map(move |owned| owned.range(first.clone()..))
            .take_while(move |(of, _)| of == resource)
            .map(|(_, place)| place)
    }

    /// Where the objects of every resource are that name an owner.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &(GroupResource, Place)> {
        self.owned.get(uid).into_iter().flatten()
    }

    /// Where the pods of a node are; those of no node by the empty name.
    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Place> {
        self.on_node.get(node).into_iter().flatten()
    }
}

fn node(pod: &Value) -> &str {
    pod["spec"]["nodeName"].as_str().unwrap_or_default()
}

fn uids(object: Option<&Value>) -> impl Iterator<Item = &str> {
    let owners = object.and_then(|object| object["metadata"]["ownerReferences"].as_array());
    owners
        .into_iter()
        .flatten()
        .filter_map(|owner| owner["uid"].as_str())
}
