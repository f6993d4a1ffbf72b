//! Deleting: at once, or by marking an object that finalizers hold, with what is to become of its
//! dependents.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::definitions::CLEANUP;
use super::write::{RETRIES, overtaken};
use super::{REPLICATION_CONTROLLERS, Registry, Write, namespaces};
use crate::admission::Operation;
use crate::error::ApiError;
use crate::object::{int, is_deleting, list, set_condition, text, uid};
use crate::resource::GroupResource;
use crate::resource::builtin::{CUSTOM_RESOURCE_DEFINITIONS, JOBS, NAMESPACES, PODS};
use crate::store::Stored;

/// Holds an object until the garbage collector has taken it out of its dependents.
pub(crate) const ORPHAN: &str = "orphan";
/// Holds an object until the garbage collector has deleted its dependents.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// How a deletion is meant.
#[derive(Clone, Debug, Default)]
pub struct Deletion {
    /// `Background`, `Foreground` or `Orphan`; by default the resource's own.
    pub propagation: Option<String>,
    /// Seconds that a pod gets.
    pub grace: Option<i64>,
    /// Only an object with this uid.
    pub uid: Option<String>,
    /// Only an object at this revision.
    pub revision: Option<String>,
    /// Judge, but do not delete.
    pub dry_run: bool,
    /// Who deletes, and where warnings go.
    pub write: Write,
}

impl Registry {
    /// Deletes an object: at once, or, where finalizers or a grace period hold it, by marking it.
    ///
    /// # Errors
    /// When it does not exist, or a precondition does not hold.
    pub fn delete(
        &self,
        id: &GroupResource,
        namespace: &str,
        name: &str,
        deletion: &Deletion,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id)?;
        let old = self
            .stored(id, namespace, name)
            .ok_or_else(|| ApiError::not_found(id, name))?;
        expect(id, name, &old, deletion)?;
        if *id == NAMESPACES {
            namespaces::refuse_deletion(name)?;
        }
        let mut write = deletion.write.clone();
        write.dry_run |= deletion.dry_run;
        let mut none = Value::Null;
        self.ask(
            Operation::Delete,
            &resource,
            &mut none,
            Some(&old.value),
            &write,
        )?;
        if write.dry_run {
            return Ok(old);
        }
        let mut last = old;
        for _ in 0..RETRIES {
            let mut finalizers = finalizers(id, &last.value, deletion.propagation.as_deref());
            let ends_a_kind = *id == CUSTOM_RESOURCE_DEFINITIONS && !is_deleting(&last.value);
            if ends_a_kind {
                finalizers.push(json!(CLEANUP));
            }
            let grace = grace_of(id, &last.value, deletion);
            let held = grace > 0
                || !finalizers.is_empty()
                || !list(&last.value, "/spec/finalizers").is_empty() && *id == NAMESPACES;
            let written = if held {
                let mut marked = (*last.value).clone();
                let end = self
                    .clock()
                    .now()
                    .saturating_add(SignedDuration::from_secs(grace));
                let stamp = crate::clock::stamp(end.unwrap_or(Timestamp::MAX));
                mark(&mut marked, id, finalizers, &stamp, grace);
                if marked == *last.value {
                    return Ok(last);
                }
                self.store()
                    .put(id, marked, last.managed.clone(), Some(last.revision))
            } else {
                self.store()
                    .remove(id, namespace, name, Some(last.revision))
            };
            if let Ok(written) = written {
                if ends_a_kind {
                    self.clean_up(name)?;
                } else if !held {
                    self.after_removal(id, &written.value)?;
                }
                return Ok(written);
            }
            // Another write was faster: what was asked for has to hold for its result, too.
            last = self
                .stored(id, namespace, name)
                .ok_or_else(|| ApiError::not_found(id, name))?;
            expect(id, name, &last, deletion)?;
        }
        Err(overtaken(id, name))
    }
}

/// Whether an object is the one that is to be deleted.
fn expect(
    id: &GroupResource,
    name: &str,
    found: &Stored,
    deletion: &Deletion,
) -> Result<(), ApiError> {
    let own = uid(&found.value);
    if let Some(wanted) = deletion.uid.as_deref().filter(|wanted| *wanted != own) {
        let why = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {own}"
        );
        return Err(ApiError::conflict(id, name, &why));
    }
    let revision = found.revision.to_string();
    if let Some(wanted) = deletion
        .revision
        .as_ref()
        .filter(|wanted| **wanted != revision)
    {
        let why = format!(
            "Precondition failed: ResourceVersion in precondition: {wanted}, ResourceVersion in object meta: {revision}"
        );
        return Err(ApiError::conflict(id, name, &why));
    }
    Ok(())
}

/// The finalizers of an object that is to be deleted: its own, and that of the garbage collector which
/// the propagation asks for. An explicit wish counts more than a finalizer that is there, and that more
/// than what is usual for the resource.
fn finalizers(id: &GroupResource, object: &Value, propagation: Option<&str>) -> Vec<Value> {
    let own = list(object, "/metadata/finalizers");
    let has = |finalizer: &str| own.iter().any(|one| one == finalizer);
    let usual = || [JOBS, REPLICATION_CONTROLLERS].contains(id) && !has(FOREGROUND);
    let orphan = propagation.map_or_else(|| has(ORPHAN) || usual(), |wish| wish == "Orphan");
    let foreground = propagation.map_or_else(|| has(FOREGROUND), |wish| wish == "Foreground");
    let others = own
        .iter()
        .filter(|one| *one != ORPHAN && *one != FOREGROUND);
    let mut finalizers: Vec<Value> = others.cloned().collect();
    for (wanted, finalizer) in [(orphan, ORPHAN), (foreground, FOREGROUND)] {
        if wanted {
            finalizers.push(json!(finalizer));
        }
    }
    finalizers
}

/// For how many seconds a deleted object stays: a pod that has a node is stopped there first.
fn grace_of(id: &GroupResource, object: &Value, deletion: &Deletion) -> i64 {
    let over = matches!(text(object, "/status/phase"), "Succeeded" | "Failed");
    if *id != PODS || text(object, "/spec/nodeName").is_empty() || over {
        return 0;
    }
    let own = int(object, "/spec/terminationGracePeriodSeconds");
    let wanted = deletion.grace.or(own).unwrap_or(30).max(0);
    // A later deletion can shorten the time, not make it longer.
    let left = int(object, "/metadata/deletionGracePeriodSeconds");
    left.map_or(wanted, |left| left.min(wanted))
}

fn mark(object: &mut Value, id: &GroupResource, finalizers: Vec<Value>, stamp: &str, grace: i64) {
    let left = int(object, "/metadata/deletionGracePeriodSeconds");
    if !is_deleting(object) || left.is_some_and(|left| grace < left) {
        object["metadata"]["deletionTimestamp"] = json!(stamp);
        if *id == NAMESPACES {
            object["status"]["phase"] = json!("Terminating");
        } else if *id == CUSTOM_RESOURCE_DEFINITIONS {
            let condition = json!({"type": "Terminating", "status": "True", "reason": "InstanceDeletionPending",
                "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"});
            set_condition(&mut object["status"], condition, stamp, &[]);
        } else {
            object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        }
    }
    if !finalizers.is_empty() || object["metadata"]["finalizers"].is_array() {
        object["metadata"]["finalizers"] = Value::Array(finalizers);
    }
}
