//! Create, update, delete: what the server adds to an object, and what it refuses.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Registry;
use crate::error::ApiError;
use crate::resource::{GroupResource, Resource};
use crate::store::Stored;

/// How often a change of a controller's is tried again when another write overtakes it.
const RETRIES: usize = 5;

/// How a write is meant.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Who writes, for `managedFields`.
    pub manager: String,
    /// Judge, but do not write.
    pub dry_run: bool,
    /// Which part: empty for the object, else `status` or `scale`.
    pub subresource: String,
}

impl Write {
    /// A write by a manager.
    #[must_use]
    pub fn by(manager: &str) -> Self {
        Self {
            manager: manager.to_owned(),
            ..Self::default()
        }
    }
}

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
}

impl Registry {
    /// Creates an object in its storage version, given with `apiVersion` and `kind`; the namespace is
    /// the one in its metadata.
    ///
    /// # Errors
    /// When it exists, or breaks a rule.
    pub fn create(
        &self,
        id: &GroupResource,
        mut object: Value,
        write: &Write,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id)?;
        let name = self.name_of(&mut object, &resource)?;
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(self.uid());
        metadata["creationTimestamp"] = json!(self.clock().stamp());
        if resource.generation {
            metadata["generation"] = json!(1);
        }
        for field in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
        ] {
            metadata
                .as_object_mut()
                .map(|metadata| metadata.shift_remove(field));
        }
        if write.dry_run {
            return self.unwritten(object);
        }
        self.store()
            .put(id, object, Arc::default(), Some(0))
            .map_err(|_| ApiError::already_exists(id, &name))
    }

    /// The object's name, generated where it asks for that.
    fn name_of(&self, object: &mut Value, resource: &Resource) -> Result<String, ApiError> {
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        if object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .is_empty()
        {
            let Some(prefix) = object["metadata"]["generateName"]
                .as_str()
                .filter(|p| !p.is_empty())
            else {
                let cause = (
                    "metadata.name".to_owned(),
                    "FieldValueRequired",
                    "Required value: name or generateName is required".to_owned(),
                );
                return Err(ApiError::invalid(
                    &resource.kind,
                    &resource.id.group,
                    "",
                    &[cause],
                ));
            };
            let name = format!("{prefix}{}", self.suffix());
            object["metadata"]["name"] = json!(name);
        }
        Ok(object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Writes an object that exists; optimistic where it carries a `resourceVersion`.
    ///
    /// # Errors
    /// When it does not exist, was changed meanwhile, or breaks a rule.
    pub fn update(
        &self,
        id: &GroupResource,
        mut object: Value,
        write: &Write,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id)?;
        let text = |pointer: &str| {
            let value = object.pointer(pointer).and_then(Value::as_str);
            value.unwrap_or_default().to_owned()
        };
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let wanted = text("/metadata/resourceVersion");
        let old = self
            .stored(id, &namespace, &name)
            .ok_or_else(|| ApiError::not_found(id, &name))?;
        if !wanted.is_empty() && wanted != old.revision.to_string() {
            return Err(overtaken(id, &name));
        }
        keep_what_is_the_servers(&mut object, &old.value, &resource, write);
        if object == *old.value {
            return Ok(old);
        }
        if write.dry_run {
            return self.unwritten(object);
        }
        let gone = object["metadata"]["deletionTimestamp"].is_string()
            && object["metadata"]["finalizers"]
                .as_array()
                .is_none_or(Vec::is_empty);
        let written = self
            .store()
            .put(id, object, old.managed.clone(), Some(old.revision))
            .map_err(|_| overtaken(id, &name))?;
        if gone && resource.id.resource != "pods" {
            let removed = self
                .store()
                .remove(id, &namespace, &name, Some(written.revision));
            return removed.map_err(|_| overtaken(id, &name));
        }
        Ok(written)
    }

    /// Changes an object by a function, whole, status included; tried again when another write
    /// overtakes it. Nothing is written when nothing changes. For controllers.
    ///
    /// # Errors
    /// When the object does not exist or the result breaks a rule.
    pub fn modify(
        &self,
        id: &GroupResource,
        namespace: &str,
        name: &str,
        manager: &str,
        mut change: impl FnMut(&mut Value),
    ) -> Result<Arc<Stored>, ApiError> {
        let mut write = Write::by(manager);
        write.subresource = "*".to_owned();
        for _ in 0..RETRIES {
            let old = self
                .stored(id, namespace, name)
                .ok_or_else(|| ApiError::not_found(id, name))?;
            let mut new = (*old.value).clone();
            change(&mut new);
            if new == *old.value {
                return Ok(old);
            }
            match self.update(id, new, &write) {
                Err(error) if error.reason == "Conflict" => {}
                other => return other,
            }
        }
        Err(overtaken(id, name))
    }

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
        let old = self
            .stored(id, namespace, name)
            .ok_or_else(|| ApiError::not_found(id, name))?;
        if deletion.dry_run {
            return Ok(old);
        }
        let held = old.value["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        if held {
            let stamp = self.clock().stamp();
            return self.modify(id, namespace, name, "", |object| {
                if !object["metadata"]["deletionTimestamp"].is_string() {
                    object["metadata"]["deletionTimestamp"] = json!(stamp);
                    object["metadata"]["deletionGracePeriodSeconds"] = json!(0);
                }
            });
        }
        if let Some(grace) = grace_of(id, &old.value, deletion) {
            let end = self
                .clock()
                .now()
                .saturating_add(jiff::SignedDuration::from_secs(grace));
            let stamp = crate::clock::stamp(end.unwrap_or(jiff::Timestamp::MAX));
            return self.modify(id, namespace, name, "", |object| {
                let metadata = &mut object["metadata"];
                let left = metadata["deletionGracePeriodSeconds"].as_i64();
                if left.is_none_or(|left| grace < left) {
                    metadata["deletionTimestamp"] = json!(stamp);
                    metadata["deletionGracePeriodSeconds"] = json!(grace);
                }
            });
        }
        self.store()
            .remove(id, namespace, name, Some(old.revision))
            .map_err(|_| overtaken(id, name))
    }

    /// What a dry run answers with.
    fn unwritten(&self, object: Value) -> Result<Arc<Stored>, ApiError> {
        Ok(Arc::new(Stored::unwritten(object)))
    }
}

/// For how many seconds a deleted object stays: a pod that has a node is stopped there first.
fn grace_of(id: &GroupResource, object: &Value, deletion: &Deletion) -> Option<i64> {
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    let node = object["spec"]["nodeName"].as_str().unwrap_or_default();
    if id.resource != "pods" || node.is_empty() || matches!(phase, "Succeeded" | "Failed") {
        return None;
    }
    let own = object["spec"]["terminationGracePeriodSeconds"].as_i64();
    let grace = deletion.grace.or(own).unwrap_or(30);
    (grace > 0).then_some(grace)
}

fn overtaken(id: &GroupResource, name: &str) -> ApiError {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    ApiError::conflict(id, name, why)
}

/// What a client cannot change by an update: identity, the other part of the object, the generation.
fn keep_what_is_the_servers(object: &mut Value, old: &Value, resource: &Resource, write: &Write) {
    if write.subresource == "status" {
        let status = object["status"].take();
        let revision = object["metadata"]["resourceVersion"].take();
        *object = old.clone();
        object["metadata"]["resourceVersion"] = revision;
        if !status.is_null() {
            object["status"] = status;
        }
    } else if write.subresource.is_empty() && resource.status {
        match old.get("status") {
            Some(status) => object["status"] = status.clone(),
            None => drop(
                object
                    .as_object_mut()
                    .map(|object| object.shift_remove("status")),
            ),
        }
    }
    let fixed = ["uid", "creationTimestamp", "generation", "resourceVersion"];
    for field in fixed {
        if let Some(value) = old["metadata"].get(field) {
            object["metadata"][field] = value.clone();
        }
    }
    if write.subresource != "*" {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
            match old["metadata"].get(field) {
                Some(value) => object["metadata"][field] = value.clone(),
                None => drop(
                    object["metadata"]
                        .as_object_mut()
                        .map(|metadata| metadata.shift_remove(field)),
                ),
            }
        }
    }
    drop(
        object["metadata"]
            .as_object_mut()
            .map(|metadata| metadata.shift_remove("managedFields")),
    );
    if resource.generation && asks_for_something_else(object, old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1) + 1;
        object["metadata"]["generation"] = json!(generation);
    }
}

/// Whether anything but metadata and status differs.
fn asks_for_something_else(new: &Value, old: &Value) -> bool {
    let parts = |value: &Value| -> Vec<(String, Value)> {
        let fields = value.as_object().into_iter().flatten();
        let mut parts: Vec<_> = fields
            .filter(|(key, _)| {
                !matches!(key.as_str(), "metadata" | "status" | "apiVersion" | "kind")
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        parts.sort_by(|(a, _), (b, _)| a.cmp(b));
        parts
    };
    parts(new) != parts(old)
}
