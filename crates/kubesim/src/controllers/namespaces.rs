//! The end of namespaces: everything inside is deleted, pods first, and then the namespace itself.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::controller::{Controller, Cx, Key, Next};
use crate::error::ApiError;
use crate::object::{is_deleting, list, name, set_condition, text};
use crate::registry::{Deletion, Registry, Write};
use crate::resource::GroupResource;
use crate::resource::builtin::{NAMESPACES, PODS};
use crate::store::{Change, ChangeKind};

const NAME: &str = "namespace-controller";

/// Empties namespaces that are to go.
#[derive(Debug, Default)]
pub(super) struct Namespaces;

impl Controller for Namespaces {
    fn name(&self) -> &'static str {
        NAME
    }

    fn wakes(&self) -> Vec<GroupResource> {
        vec![NAMESPACES]
    }

    fn wakes_by_all(&self) -> bool {
        true
    }

    fn keys(&self, cluster: &Cluster, change: &Change) -> Vec<Key> {
        if change.resource == NAMESPACES {
            let ends = change.kind != ChangeKind::Deleted && is_deleting(&change.object.value);
            return ends.then(|| Key::of(change)).into_iter().collect();
        }
        // Something left a namespace, or what held it did: perhaps it was the last.
        let place = change.object.place().0;
        let moves = change.kind == ChangeKind::Deleted || is_deleting(&change.object.value);
        if place.is_empty() || !moves {
            return Vec::new();
        }
        let found = cluster.api().get(&NAMESPACES, "", &place);
        let ends = found.is_some_and(|found| is_deleting(&found));
        ends.then(|| Key::new("", &place)).into_iter().collect()
    }

    fn reconcile(&mut self, cx: &mut Cx<'_>, key: &Key) -> Result<Next, ApiError> {
        let api = cx.cluster.api();
        let found = api.get(&NAMESPACES, "", &key.name);
        let Some(namespace) = found.filter(|namespace| is_deleting(namespace)) else {
            return Ok(Next::Change);
        };
        let finalizers = list(&namespace, "/spec/finalizers");
        if !finalizers.iter().any(|one| one == "kubernetes") {
            return Ok(Next::Change);
        }
        let left = empty(api, &key.name);
        tell(api, &namespace, &left, &api.clock().stamp())?;
        if let Some(failure) = left.failure {
            return Err(failure);
        }
        if left.remaining.is_empty() {
            api.modify(&NAMESPACES, "", &key.name, NAME, |namespace| {
                if let Some(finalizers) = namespace["spec"]["finalizers"].as_array_mut() {
                    finalizers.retain(|one| one != "kubernetes");
                }
            })?;
        }
        Ok(Next::Change)
    }
}

/// What is still in a namespace.
#[derive(Debug, Default)]
struct Left {
    /// Resources with their number.
    remaining: Vec<(GroupResource, usize)>,
    /// Finalizers that hold objects, with their number.
    finalizers: Vec<(String, usize)>,
    /// Why something could not be deleted.
    failure: Option<ApiError>,
}

/// Deletes what is in a namespace: pods first, the rest when they are gone.
fn empty(api: &Registry, namespace: &str) -> Left {
    let mut left = Left::default();
    clear(api, namespace, &PODS, &mut left);
    if left.remaining.is_empty() {
        for resource in api.catalogue().all() {
            // Events of both groups are the same objects.
            if resource.namespaced && resource.id.group != "events.k8s.io" {
                clear(api, namespace, &resource.id, &mut left);
            }
        }
    }
    left
}

fn clear(api: &Registry, namespace: &str, id: &GroupResource, left: &mut Left) {
    let deletion = Deletion {
        propagation: Some("Background".to_owned()),
        write: Write::by(NAME),
        ..Deletion::default()
    };
    for object in api.list(id, Some(namespace)) {
        if is_deleting(&object) {
            continue;
        }
        match api.delete(id, namespace, name(&object), &deletion) {
            Err(error) if !error.is_not_found() => left.failure = Some(error),
            _ => {}
        }
    }
    let remaining: Vec<Arc<Value>> = api.list(id, Some(namespace));
    if remaining.is_empty() {
        return;
    }
    left.remaining.push((id.clone(), remaining.len()));
    for object in &remaining {
        for finalizer in list(object, "/metadata/finalizers") {
            let finalizer = finalizer.as_str().unwrap_or_default();
            match left
                .finalizers
                .iter_mut()
                .find(|(held, _)| held == finalizer)
            {
                Some((_, count)) => *count += 1,
                None => left.finalizers.push((finalizer.to_owned(), 1)),
            }
        }
    }
}

/// Tells in the namespace's conditions how far it is.
fn tell(api: &Registry, namespace: &Value, left: &Left, now: &str) -> Result<(), ApiError> {
    let shown = |parts: Vec<String>| parts.join(", ");
    let remaining = left.remaining.iter().map(|(id, count)| {
        // As the namespace controller writes it, with a point even where there is no group.
        let (resource, group) = (&id.resource, &id.group);
        format!("{resource}.{group} has {count} resource instances")
    });
    let remaining = shown(remaining.collect());
    let finalizers = left
        .finalizers
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"));
    let finalizers = shown(finalizers.collect());
    let of = |kind: &str, wrong: Option<(&str, String)>, right: (&str, &str)| {
        let (status, reason, message) = match wrong {
            Some((reason, message)) => ("True", reason.to_owned(), message),
            None => ("False", right.0.to_owned(), right.1.to_owned()),
        };
        json!({"type": kind, "status": status, "reason": reason, "message": message})
    };
    let failure = left.failure.as_ref().map(|failure| {
        let message = format!("Failed to delete all resource types, 1 remaining: {failure}");
        ("ContentDeletionFailed", message)
    });
    let conditions = [
        of(
            "NamespaceDeletionDiscoveryFailure",
            None,
            (
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
        ),
        of(
            "NamespaceDeletionGroupVersionParsingFailure",
            None,
            (
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
        ),
        of(
            "NamespaceDeletionContentFailure",
            failure,
            (
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
        ),
        of(
            "NamespaceContentRemaining",
            (!remaining.is_empty()).then(|| {
                (
                    "SomeResourcesRemain",
                    format!("Some resources are remaining: {remaining}"),
                )
            }),
            ("ContentRemoved", "All content successfully removed"),
        ),
        of(
            "NamespaceFinalizersRemaining",
            (!finalizers.is_empty()).then(|| {
                (
                    "SomeFinalizersRemain",
                    format!("Some content in the namespace has finalizers remaining: {finalizers}"),
                )
            }),
            (
                "ContentHasNoFinalizers",
                "All content-preserving finalizers finished",
            ),
        ),
    ];
    api.modify(
        &NAMESPACES,
        "",
        text(namespace, "/metadata/name"),
        NAME,
        |namespace| {
            for condition in &conditions {
                set_condition(&mut namespace["status"], condition.clone(), now, &[]);
            }
        },
    )?;
    Ok(())
}
