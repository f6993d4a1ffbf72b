//! ControllerRevisions: the templates that DaemonSets and StatefulSets had, by number.

use std::sync::Arc;

use serde_json::{Value, json};

use super::template::hash;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{controlled_by, int, is_same_in, name, namespace, uid};
use crate::registry::{Deletion, Write};
use crate::resource::builtin::CONTROLLER_REVISIONS;

/// Label of a revision's hash, on revisions and pods.
pub(super) const HASH: &str = "controller-revision-hash";

/// The revision of the present template, made or brought to the top when need be, and all of them, the
/// oldest first.
pub(super) fn present(
    cluster: &Cluster,
    owner: &Value,
    manager: &str,
) -> Result<(Arc<Value>, Vec<Arc<Value>>), ApiError> {
    let api = cluster.api();
    let template = &owner["spec"]["template"];
    let owned = cluster.store().owned(&CONTROLLER_REVISIONS, uid(owner));
    let mut all: Vec<Arc<Value>> = owned.iter().map(|stored| stored.value.clone()).collect();
    all.sort_by_key(|revision| number(revision));
    let highest = all.last().map_or(0, |last| number(last));
    let found = all.iter().position(|revision| is_of(revision, template));
    let Some(found) = found else {
        let mut data = json!({"spec": {"template": template}});
        let hash = hash(&data);
        let mut labels = template["metadata"]["labels"].clone();
        if !labels.is_object() {
            labels = json!({});
        }
        labels[HASH] = json!(hash);
        data["spec"]["template"]["$patch"] = json!("replace");
        let revision = json!({
            "apiVersion": "apps/v1", "kind": "ControllerRevision",
            "metadata": {
                "name": format!("{}-{hash}", name(owner)), "namespace": namespace(owner), "labels": labels,
                "ownerReferences": [controlled_by(owner)],
            },
            "data": data, "revision": highest + 1,
        });
        let created = api.create(&CONTROLLER_REVISIONS, revision, &Write::by(manager))?;
        all.push(created.value.clone());
        return Ok((created.value.clone(), all));
    };
    if number(&all[found]) < highest {
        let (namespace, revision) = (namespace(owner), name(&all[found]).to_owned());
        let moved = api.modify(
            &CONTROLLER_REVISIONS,
            namespace,
            &revision,
            manager,
            |revision| {
                revision["revision"] = json!(highest + 1);
            },
        )?;
        all.remove(found);
        all.push(moved.value.clone());
        return Ok((moved.value.clone(), all));
    }
    Ok((all[found].clone(), all))
}

/// Removes the oldest revisions beyond the limit that no pod is of any more.
pub(super) fn clean_up(
    cluster: &Cluster,
    owner: &Value,
    all: &[Arc<Value>],
    live: &[&str],
) -> Result<(), ApiError> {
    let limit = int(owner, "/spec/revisionHistoryLimit").unwrap_or(10);
    let dead: Vec<_> = all
        .iter()
        .filter(|revision| !live.contains(&hash_of(revision)))
        .collect();
    let excess = dead
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
    for revision in dead.into_iter().take(excess) {
        let deleted = cluster.api().delete(
            &CONTROLLER_REVISIONS,
            namespace(owner),
            name(revision),
            &Deletion::default(),
        );
        match deleted {
            Err(error) if !error.is_not_found() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// A revision's hash.
pub(super) fn hash_of(revision: &Value) -> &str {
    crate::object::label(revision, HASH).unwrap_or_default()
}

fn number(revision: &Value) -> i64 {
    int(revision, "/revision").unwrap_or(0)
}

/// Whether a revision keeps this template; the directive for the patch is none of it.
fn is_of(revision: &Value, template: &Value) -> bool {
    let kept = &revision["data"]["spec"]["template"];
    is_same_in(kept, template, |field| field != "$patch")
}
