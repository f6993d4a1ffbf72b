//! Server-side apply, and whose fields are after any other write.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json};

use super::write::{Claim, RETRIES, overtaken};
use super::{Registry, Write};
use crate::error::ApiError;
use crate::object::{is_same_in, text};
use crate::patch::managed::{InVersion, Managed, Manager, Operation, owned};
use crate::patch::{Shape, merge, own, without};
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use crate::resource::{GroupResource, Resource};
use crate::store::Stored;

/// What an apply is about.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// Namespace, empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Name.
    pub name: &'a str,
    /// Whether what others own is taken from them.
    pub force: bool,
}

impl Registry {
    /// Applies an object, said in the version of `write`; whether it was created by that.
    ///
    /// # Errors
    /// 409 where another manager owns what would change; 400 for what cannot be applied; and whatever
    /// creates and updates are refused with.
    pub fn apply(
        &self,
        id: &GroupResource,
        mut applied: Value,
        to: Applied<'_>,
        write: &Write,
    ) -> Result<(Arc<Stored>, bool), ApiError> {
        let resource = self.resource(id)?;
        let version = self.version_of(&resource, write);
        judge(&applied, &resource, &version, to)?;
        prepare(&mut applied, &resource, to, write);
        let manager = manager(write, Operation::Apply, &version);
        let catalogue = self.catalogue();
        let storage = resource.api_version(&resource.storage);
        let in_version =
            |object: &Value, version: &str| catalogue.convert(id, object.clone(), version).ok();
        for _ in 0..RETRIES {
            let Some(old) = self.stored(id, to.namespace, to.name) else {
                if !write.subresource.is_empty() {
                    return Err(ApiError::not_found(id, to.name));
                }
                let set = self.shaped(&resource, &version, |shape| own(&applied, shape, false));
                let mut managed = Managed::default();
                managed.set(&manager, owned(set), self.clock().now());
                let object = catalogue.convert(id, applied.clone(), &storage)?;
                match self.create_as(id, object, write, Claim::Given(Arc::new(managed.write()))) {
                    Err(error) if error.reason == "AlreadyExists" => continue,
                    created => return Ok((created?, true)),
                }
            };
            let live = catalogue.convert(id, (*old.value).clone(), &version)?;
            let mut managed = Managed::read(&old.managed);
            let merged = self.shaped(&resource, &version, |shape| {
                let set = owned(own(&applied, shape, false));
                let mut merged = merge(&live, &applied, shape);
                if let Some(last) = managed.of(&manager) {
                    let gone = last.minus(&set);
                    if !gone.is_empty() {
                        merged = without(&merged, &gone, &managed.of_others(&manager), shape);
                    }
                }
                managed.written(&live, &merged, &manager, !to.force, (shape, &in_version))?;
                managed.set(&manager, set, self.clock().now());
                Ok::<_, ApiError>(merged)
            })?;
            let object = catalogue.convert(id, merged, &storage)?;
            match self.update_as(id, object, write, Claim::Given(Arc::new(managed.write()))) {
                // Somebody else wrote meanwhile; it is merged with that.
                Err(error) if error.reason == "Conflict" => {}
                updated => return Ok((updated?, false)),
            }
        }
        Err(overtaken(id, to.name))
    }

    /// `managedFields` of an object that is created by other means than an apply.
    pub(super) fn claimed(&self, resource: &Resource, object: &Value, write: &Write) -> Value {
        // What comes with the simulation belongs to nobody until a client applies it.
        if write.version.is_none() {
            return Value::Null;
        }
        self.after(resource, None, object, Managed::default(), write)
    }

    /// `managedFields` after an update by other means than an apply.
    pub(super) fn reclaimed(
        &self,
        resource: &Resource,
        old: &Stored,
        new: &Value,
        write: &Write,
    ) -> Arc<Value> {
        if write.version.is_none()
            && (old.managed.is_null() || is_same_in(&old.value, new, |field| field != "status"))
        {
            return old.managed.clone();
        }
        let managed = Managed::read(&old.managed);
        Arc::new(self.after(resource, Some(&old.value), new, managed, write))
    }

    fn after(
        &self,
        resource: &Resource,
        old: Option<&Value>,
        new: &Value,
        mut managed: Managed,
        write: &Write,
    ) -> Value {
        let catalogue = self.catalogue();
        let version = self.version_of(resource, write);
        let in_version = |object: &Value, version: &str| {
            catalogue
                .convert(&resource.id, object.clone(), version)
                .ok()
        };
        let said = |object| said(object, &version, &in_version);
        let manager = manager(write, Operation::Update, &version);
        let before = old.map_or_else(|| Some(Cow::Owned(json!({}))), said);
        if let Some((old, new)) = before.zip(said(new)) {
            let now = self.clock().now();
            self.shaped(resource, &version, |shape| {
                managed.updated(&old, &new, &manager, now, (shape, &in_version));
            });
        }
        managed.write()
    }

    fn version_of(&self, resource: &Resource, write: &Write) -> String {
        let storage = || resource.api_version(&resource.storage);
        write.version.clone().unwrap_or_else(storage)
    }

    /// Does something with what is known of a resource's structure in a version.
    pub(crate) fn shaped<T>(
        &self,
        resource: &Resource,
        api_version: &str,
        with: impl FnOnce(Shape<'_>) -> T,
    ) -> T {
        if resource.is_built_in() {
            return with(Shape::built_in(api_version, &resource.kind));
        }
        let name = resource.id.to_string();
        let definition = self.get(&CUSTOM_RESOURCE_DEFINITIONS, "", &name);
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let schema = definition.as_ref().and_then(|definition| {
            let versions = definition["spec"]["versions"].as_array()?;
            let found = versions.iter().find(|known| known["name"] == version)?;
            found["schema"].get("openAPIV3Schema")
        });
        with(schema.map_or(Shape::Unknown, Shape::Schema))
    }
}

/// An object in a version; without a copy where it is said in that already.
fn said<'v>(object: &'v Value, version: &str, in_version: InVersion<'_>) -> Option<Cow<'v, Value>> {
    if text(object, "/apiVersion") == version {
        return Some(Cow::Borrowed(object));
    }
    in_version(object, version).map(Cow::Owned)
}

fn manager(write: &Write, operation: Operation, version: &str) -> Manager {
    let subresource = write.subresource.as_str();
    Manager {
        name: write.manager.clone(),
        operation,
        api_version: version.to_owned(),
        subresource: if subresource == "*" { "" } else { subresource }.to_owned(),
    }
}

/// Refuses what cannot be applied here.
fn judge(
    applied: &Value,
    resource: &Resource,
    version: &str,
    to: Applied<'_>,
) -> Result<(), ApiError> {
    if !applied["metadata"]["managedFields"].is_null() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if applied["apiVersion"] != version || applied["kind"] != *resource.kind {
        let message = format!(
            "the object provided is unrecognized: expected apiVersion {version} and kind {}",
            resource.kind
        );
        return Err(ApiError::bad_request(message));
    }
    let metadata = &applied["metadata"];
    for (field, wanted) in [("name", to.name), ("namespace", to.namespace)] {
        if metadata[field].as_str().is_some_and(|told| told != wanted) {
            let told = &metadata[field];
            return Err(ApiError::bad_request(format!(
                "the {field} of the object ({told}) does not match the {field} on the URL ({wanted})"
            )));
        }
    }
    Ok(())
}

/// Leaves of what is applied only what the request can set.
fn prepare(applied: &mut Value, resource: &Resource, to: Applied<'_>, write: &Write) {
    drop_nulls(applied);
    if !applied["metadata"].is_object() {
        applied["metadata"] = json!({});
    }
    applied["metadata"]["name"] = json!(to.name);
    if !to.namespace.is_empty() {
        applied["metadata"]["namespace"] = json!(to.namespace);
    }
    let Some(fields) = applied.as_object_mut() else {
        return;
    };
    if write.subresource == "status" {
        fields.retain(|name, _| {
            matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status")
        });
    } else if resource.status {
        fields.shift_remove("status");
    }
}

/// Saying nothing is not a value.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
