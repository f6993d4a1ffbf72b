//! The garbage collector: what becomes of objects whose owners go.
//!
//! The store keeps who names whom as an owner, so each change costs as much as the object has owners
//! and dependents.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, is_same, list, name, namespace, text, uid};
use crate::registry::{Deletion, FOREGROUND, ORPHAN, Registry, Write};
use crate::resource::GroupResource;
use crate::store::{Change, ChangeKind};

const NAME: &str = "generic-garbage-collector";
/// When to look again at an owner of a kind that is not served; it may be defined later.
const UNKNOWN: Duration = Duration::from_secs(30);

/// Deletes what no owner wants any more.
#[derive(Debug, Default)]
pub(super) struct GarbageCollector;

/// What is known of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    /// It is there.
    Solid,
    /// It is gone, or another object bears its name.
    Gone,
    /// It waits for its dependents to be deleted.
    Waiting,
    /// Its kind is not served.
    Unknown,
    /// It is in a namespace, and the dependent is not: Kubernetes cannot tell, and never deletes.
    Misplaced,
}

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        Vec::new()
    }

    fn wakes_by_all(&self) -> bool {
        true
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        let object = &change.object.value;
        let api = cluster.api();
        if change.kind == ChangeKind::Deleted {
            let dependents = api.store().dependents(uid(object)).into_iter();
            let mut keys: Vec<Key> = dependents
                .map(|(id, dependent)| key(&id, &dependent.value))
                .collect();
            // An owner that waited for this one may go now.
            keys.extend(owners(object).iter().filter_map(|owner| {
                let (id, found) = look_up(api, owner, namespace(object)).ok()?;
                waits(&found).then(|| key(&id, &found))
            }));
            return keys;
        }
        let previous = change.previous.as_ref().map(|previous| &*previous.value);
        let before = previous.map_or(&[][..], owners);
        let mut keys = Vec::new();
        if is_deleting(object) && (holds(object, ORPHAN) || waits(object)) {
            keys.push(key(&change.resource, object));
        }
        let now = owners(object);
        // Only what is new needs a look: that an owner goes is a change of its own.
        let suspect = |owner: &Value| state(api, owner, object) != Owner::Solid;
        let pairs = || now.iter().zip(before);
        let is_other = now.len() != before.len() || pairs().any(|(now, old)| !is_same(now, old));
        if is_other && now.iter().any(suspect) {
            keys.push(key(&change.resource, object));
        }
        if is_other {
            // What was taken out of an owner no longer holds it.
            let left = before.iter().filter(|owner| !now.contains(owner));
            keys.extend(left.filter_map(|owner| {
                let (id, found) = look_up(api, owner, namespace(object)).ok()?;
                waits(&found).then(|| key(&id, &found))
            }));
        }
        keys
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let Some((id, name)) = take_apart(&key.name) else {
            return Ok(Next::Change);
        };
        let Some(object) = api.get(&id, &key.namespace, name) else {
            return Ok(Next::Change);
        };
        if is_deleting(&object) {
            if holds(&object, ORPHAN) {
                return orphan(api, &id, &object);
            }
            if holds(&object, FOREGROUND) {
                return wait_for_dependents(api, &id, &object);
            }
            return Ok(Next::Change);
        }
        judge(api, &id, &object)
    }
}

/// A key that says the resource, too.
fn key(id: &GroupResource, object: &Value) -> Key {
    Key::new(namespace(object), &format!("{id}/{}", name(object)))
}

/// Resource and name of a key.
fn take_apart(key: &str) -> Option<(GroupResource, &str)> {
    let (id, name) = key.split_once('/')?;
    let (resource, group) = id.split_once('.').unwrap_or((id, ""));
    Some((GroupResource::named(group, resource), name))
}

fn owners(object: &Value) -> &[Value] {
    list(object, "/metadata/ownerReferences")
}

fn holds(object: &Value, finalizer: &str) -> bool {
    let finalizers = list(object, "/metadata/finalizers");
    finalizers.iter().any(|one| one == finalizer)
}

/// Whether an object waits for its dependents to be deleted.
fn waits(object: &Value) -> bool {
    is_deleting(object) && holds(object, FOREGROUND)
}

type Found = (GroupResource, std::sync::Arc<Value>);

/// The object that a reference names, seen from a namespace.
fn look_up(api: &Registry, owner: &Value, within: &str) -> Result<Found, Owner> {
    let kind = api
        .catalogue()
        .of_kind(text(owner, "/apiVersion"), text(owner, "/kind"))
        .ok_or(Owner::Unknown)?;
    if kind.namespaced && within.is_empty() {
        return Err(Owner::Misplaced);
    }
    let place = if kind.namespaced { within } else { "" };
    let found = api.get(&kind.id, place, text(owner, "/name"));
    let found = found.filter(|found| uid(found) == text(owner, "/uid"));
    Ok((kind.id.clone(), found.ok_or(Owner::Gone)?))
}

fn state(api: &Registry, owner: &Value, dependent: &Value) -> Owner {
    match look_up(api, owner, namespace(dependent)) {
        Err(why) => why,
        Ok((_, found)) if waits(&found) => Owner::Waiting,
        Ok(_) => Owner::Solid,
    }
}

/// Deletes an object that no owner wants, and takes those out of it that are gone.
fn judge(api: &Registry, id: &GroupResource, object: &Value) -> Result<Next, ApiError> {
    let owners = owners(object);
    let states: Vec<Owner> = owners
        .iter()
        .map(|owner| state(api, owner, object))
        .collect();
    let is = |wanted: Owner| states.contains(&wanted);
    if owners.is_empty() || is(Owner::Misplaced) {
        return Ok(Next::Change);
    }
    if is(Owner::Unknown) {
        return Ok(Next::After(UNKNOWN));
    }
    if is(Owner::Solid) {
        let left: Vec<&str> = owners
            .iter()
            .zip(&states)
            .filter(|(_, state)| **state != Owner::Solid)
            .map(|(owner, _)| text(owner, "/uid"))
            .collect();
        take_out(api, id, object, &left)?;
        return Ok(Next::Change);
    }
    let waiting = is(Owner::Waiting) && !api.store().dependents(uid(object)).is_empty();
    let propagation = if waiting || holds(object, FOREGROUND) {
        "Foreground"
    } else if holds(object, ORPHAN) {
        "Orphan"
    } else {
        "Background"
    };
    if waiting {
        // In a circle of owners nobody would be the first to go.
        let mut dependents = api.store().dependents(uid(object)).into_iter();
        if dependents.any(|(_, dependent)| waits(&dependent.value)) {
            change(api, id, object, |object| {
                for owner in owners_of(object) {
                    owner
                        .as_object_mut()
                        .map(|owner| owner.shift_remove("blockOwnerDeletion"));
                }
            })?;
        }
    }
    let deletion = Deletion {
        propagation: Some(propagation.to_owned()),
        uid: Some(uid(object).to_owned()),
        write: Write::by(NAME),
        ..Deletion::default()
    };
    match api.delete(id, namespace(object), name(object), &deletion) {
        Ok(_) => Ok(Next::Change),
        // Somebody else was faster, or it is another object by now.
        Err(error) if error.is_not_found() || error.reason == "Conflict" => Ok(Next::Change),
        Err(error) => Err(error),
    }
}

/// Deletes the dependents of an object that waits for them, and lets it go when none blocks it.
fn wait_for_dependents(
    api: &Registry,
    id: &GroupResource,
    object: &Value,
) -> Result<Next, ApiError> {
    let own = uid(object);
    for (of, dependent) in api.store().dependents(own) {
        if !is_deleting(&dependent.value) {
            judge(api, &of, &dependent.value)?;
        }
    }
    // What could be deleted at once no longer blocks.
    let mut left = api.store().dependents(own).into_iter();
    let blocking = |dependent: &Value| {
        let mut refs = owners(dependent).iter();
        refs.any(|owner| owner["uid"] == own && owner["blockOwnerDeletion"] == true)
    };
    if !left.any(|(_, dependent)| blocking(&dependent.value)) {
        let_go(api, id, object, FOREGROUND)?;
    }
    Ok(Next::Change)
}

/// Takes an object out of its dependents, and lets it go.
fn orphan(api: &Registry, id: &GroupResource, object: &Value) -> Result<Next, ApiError> {
    for (of, dependent) in api.store().dependents(uid(object)) {
        take_out(api, &of, &dependent.value, &[uid(object)])?;
    }
    let_go(api, id, object, ORPHAN)?;
    Ok(Next::Change)
}

/// Takes owners out of an object.
fn take_out(
    api: &Registry,
    id: &GroupResource,
    object: &Value,
    owners: &[&str],
) -> Result<(), ApiError> {
    if owners.is_empty() {
        return Ok(());
    }
    change(api, id, object, |object| {
        let metadata = &mut object["metadata"];
        if let Some(refs) = metadata["ownerReferences"].as_array_mut() {
            refs.retain(|owner| !owners.contains(&text(owner, "/uid")));
            if refs.is_empty() {
                metadata
                    .as_object_mut()
                    .map(|metadata| metadata.shift_remove("ownerReferences"));
            }
        }
    })
}

fn owners_of(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    let owners = object["metadata"]["ownerReferences"].as_array_mut();
    owners.into_iter().flatten()
}

/// Removes a finalizer.
fn let_go(
    api: &Registry,
    id: &GroupResource,
    object: &Value,
    finalizer: &str,
) -> Result<(), ApiError> {
    change(api, id, object, |object| {
        if let Some(finalizers) = object["metadata"]["finalizers"].as_array_mut() {
            finalizers.retain(|one| one != finalizer);
        }
    })
}

/// Changes an object; one that is gone, or another one by now, is left alone.
fn change(
    api: &Registry,
    id: &GroupResource,
    object: &Value,
    mut how: impl FnMut(&mut Value),
) -> Result<(), ApiError> {
    let own = json!(uid(object));
    let changed = api.modify(id, namespace(object), name(object), NAME, |object| {
        if object["metadata"]["uid"] == own {
            how(object);
        }
    });
    match changed {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
