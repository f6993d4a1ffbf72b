//! Ways to objects besides their names: by owner, pods by their node, pods and nodes by their address. Each
//! is asked for with every change or every connection, which a walk over all objects would make quadratic.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Place;
use crate::object::{list, text};
use crate::resource::GroupResource;
use crate::resource::builtin::{NODES, PODS};

#[derive(Debug, Default)]
pub(super) struct Index {
    owned: Way,
    on_node: Way,
    at_address: Way,
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
        self.owned.note(resource, place, before, now, owners);
        if *resource == PODS {
            self.on_node.note(resource, place, before, now, |pod| {
                vec![text(pod, "/spec/nodeName")]
            });
        }
        if *resource == PODS || *resource == NODES {
            self.at_address.note(resource, place, before, now, address);
        }
    }

    /// Where the objects of a resource are that name an owner.
    pub(super) fn owned(
        &self,
        resource: &GroupResource,
        uid: &str,
    ) -> impl Iterator<Item = &Place> {
        self.owned.to(resource, uid)
    }

    /// Where the objects of every resource are that name an owner.
    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &(GroupResource, Place)> {
        self.owned.0.get(uid).into_iter().flatten()
    }

    /// Where the pods of a node are; those of no node by the empty name.
    pub(super) fn on_node(&self, node: &str) -> impl Iterator<Item = &Place> {
        self.on_node.to(&PODS, node)
    }

    /// Where the pods or nodes are that have an address.
    pub(super) fn at_address(
        &self,
        resource: &GroupResource,
        address: &str,
    ) -> impl Iterator<Item = &Place> {
        self.at_address.to(resource, address)
    }
}

/// Words, and where the objects are that say them.
#[derive(Debug, Default)]
struct Way(BTreeMap<String, BTreeSet<(GroupResource, Place)>>);

impl Way {
    fn note(
        &mut self,
        resource: &GroupResource,
        place: &Place,
        before: Option<&Value>,
        now: Option<&Value>,
        words: fn(&Value) -> Vec<&str>,
    ) {
        let before = before.map(words).unwrap_or_default();
        let now = now.map(words).unwrap_or_default();
        if before == now {
            return;
        }
        let entry = (resource.clone(), place.clone());
        for word in before {
            if let Some(said) = self.0.get_mut(word) {
                said.remove(&entry);
                if said.is_empty() {
                    self.0.remove(word);
                }
            }
        }
        for word in now {
            let said = self.0.entry(word.to_owned()).or_default();
            said.insert(entry.clone());
        }
    }

    fn to<'i>(
        &'i self,
        resource: &GroupResource,
        word: &str,
    ) -> impl Iterator<Item = &'i Place> + use<'i> {
        let (resource, said) = (resource.clone(), self.0.get(word).into_iter());
        let first = (resource.clone(), Place::default());
        said.flat_map(move |said| said.range(first.clone()..))
            .take_while(move |(of, _)| *of == resource)
            .map(|(_, place)| place)
    }
}

fn owners(object: &Value) -> Vec<&str> {
    let owners = list(object, "/metadata/ownerReferences").iter();
    owners.filter_map(|owner| owner["uid"].as_str()).collect()
}

/// A pod's address, or that of a node within its network; none while there is none.
fn address(object: &Value) -> Vec<&str> {
    let of_pod = text(object, "/status/podIP");
    let mut of_node = list(object, "/status/addresses")
        .iter()
        .filter(|address| address["type"] == "InternalIP");
    let of_node = of_node.next().map(|address| text(address, "/address"));
    let address = Some(of_pod).filter(|address| !address.is_empty());
    address.or(of_node).into_iter().collect()
}
