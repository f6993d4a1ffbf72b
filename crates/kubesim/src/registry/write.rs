//! Create, update, delete: what the server adds to an object, and what it refuses.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Registry, namespaces};
use crate::admission::Operation;
use crate::authorization::User;
use crate::error::ApiError;
use crate::object::{field, is_deleting, is_same, is_same_in, list, name, slot, text, uid};
use crate::resource::builtin::{CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, SECRETS};
use crate::resource::{GroupResource, Resource};
use crate::schema::{self, Cause};
use crate::store::{Stored, lock};

/// How often a change that is for whichever revision there is is tried again when another write overtakes it.
pub(crate) const RETRIES: usize = 5;

/// What a client is warned of besides the answer; clones collect into the same place, and the default
/// into none.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Option<Arc<Mutex<Vec<String>>>>);

impl Warnings {
    /// A place for warnings.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Adds warnings; each is told once.
    pub fn add(&self, warnings: Vec<String>) {
        let Some(kept) = &self.0 else {
            return;
        };
        let mut kept = lock(kept);
        for warning in warnings {
            if !kept.contains(&warning) {
                kept.push(warning);
            }
        }
    }

    /// What was added.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let kept = self.0.as_ref();
        kept.map(|kept| lock(kept).clone()).unwrap_or_default()
    }
}

/// How a write is meant.
#[derive(Clone, Debug, Default)]
pub struct Write {
    /// Who writes, for `managedFields`.
    pub manager: String,
    /// Judge, but do not write.
    pub dry_run: bool,
    /// Which part: empty for the object, else `status`, `scale` or `finalize`.
    pub subresource: String,
    /// `apiVersion` in which a client writes, by whose schema its objects are judged; none inside the
    /// simulation, whose controllers own the fields only of what clients own fields of, too.
    pub version: Option<String>,
    /// Who asks; none inside the simulation.
    pub user: Option<User>,
    /// Where warnings go.
    pub warnings: Warnings,
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

/// Whose the fields are after a write.
pub(super) enum Claim {
    /// Of whoever writes, as far as it changes them.
    ByWrite,
    /// As these `managedFields` say.
    Given(Arc<Value>),
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
        object: Value,
        write: &Write,
    ) -> Result<Arc<Stored>, ApiError> {
        self.create_as(id, object, write, Claim::ByWrite)
    }

    pub(super) fn create_as(
        &self,
        id: &GroupResource,
        mut object: Value,
        write: &Write,
        claim: Claim,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id)?;
        let name = self.name_of(&mut object, &resource)?;
        encode_strings(id, &mut object);
        self.refuse_new_content(&resource, &object)?;
        self.refuse_of_ending_kind(id)?;
        self.shape(&resource, &mut object);
        self.ask(Operation::Create, &resource, &mut object, None, write)?;
        self.shape(&resource, &mut object);
        self.judge(&resource, &object, None, write)?;
        if *id == CUSTOM_RESOURCE_DEFINITIONS {
            self.prepare_definition(&mut object, None)?;
        }
        if *id == NAMESPACES {
            namespaces::prepare(&mut object);
        }
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
        let managed = match claim {
            Claim::ByWrite => Arc::new(self.claimed(&resource, &object, write)),
            Claim::Given(managed) => managed,
        };
        if write.dry_run {
            return Ok(Arc::new(Stored::unwritten(object, managed)));
        }
        let stored = self
            .store()
            .put(id, object, managed, Some(0))
            .map_err(|_| ApiError::already_exists(id, &name))?;
        if *id == CUSTOM_RESOURCE_DEFINITIONS {
            self.serve_definition(&stored.value);
        }
        Ok(stored)
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
        object: Value,
        write: &Write,
    ) -> Result<Arc<Stored>, ApiError> {
        self.update_as(id, object, write, Claim::ByWrite)
    }

    pub(super) fn update_as(
        &self,
        id: &GroupResource,
        mut object: Value,
        write: &Write,
        claim: Claim,
    ) -> Result<Arc<Stored>, ApiError> {
        let resource = self.resource(id)?;
        encode_strings(id, &mut object);
        let said = |pointer: &str| text(&object, pointer).to_owned();
        let (namespace, name) = (said("/metadata/namespace"), said("/metadata/name"));
        let wanted = said("/metadata/resourceVersion");
        let old = self
            .stored(id, &namespace, &name)
            .ok_or_else(|| ApiError::not_found(id, &name))?;
        if !wanted.is_empty() && wanted != old.revision.to_string() {
            return Err(overtaken(id, &name));
        }
        refuse_other_identity(&resource, &object, &old.value, write)?;
        self.shape(&resource, &mut object);
        keep_what_is_the_servers(&mut object, &old.value, &resource, write);
        let same = match &claim {
            Claim::ByWrite => true,
            Claim::Given(managed) => is_same(managed, &old.managed),
        };
        if same && is_same(&object, &old.value) {
            return Ok(old);
        }
        self.ask(
            Operation::Update,
            &resource,
            &mut object,
            Some(&old.value),
            write,
        )?;
        self.shape(&resource, &mut object);
        self.judge(&resource, &object, Some(&old.value), write)?;
        if *id == CUSTOM_RESOURCE_DEFINITIONS && write.subresource.is_empty() {
            self.prepare_definition(&mut object, Some(&old.value))?;
        }
        super::immutable::unchanged(&resource, &object, &old.value)?;
        let managed = match claim {
            Claim::ByWrite => self.reclaimed(&resource, &old, &object, write),
            Claim::Given(managed) => managed,
        };
        if write.dry_run {
            return Ok(Arc::new(Stored::unwritten(object, managed)));
        }
        let gone = is_gone(&object);
        let written = self
            .store()
            .put(id, object, managed, Some(old.revision))
            .map_err(|_| overtaken(id, &name))?;
        if gone {
            let removed = self
                .store()
                .remove(id, &namespace, &name, Some(written.revision));
            let removed = removed.map_err(|_| overtaken(id, &name))?;
            self.after_removal(id, &removed.value)?;
            return Ok(removed);
        }
        if *id == CUSTOM_RESOURCE_DEFINITIONS {
            self.serve_definition(&written.value);
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
            let copy = self.copies().take(old.revision);
            let mut new = copy.unwrap_or_else(|| (*old.value).clone());
            change(&mut new);
            if is_same(&new, &old.value) {
                self.copies().keep(old.revision, new);
                return Ok(old);
            }
            match self.update(id, new, &write) {
                Err(error) if error.reason == "Conflict" => {}
                other => return other,
            }
        }
        Err(overtaken(id, name))
    }
}

/// Whether nothing holds an object any more that is on its way out.
fn is_gone(object: &Value) -> bool {
    let none = |pointer: &str| list(object, pointer).is_empty();
    is_deleting(object)
        && none("/metadata/finalizers")
        && (object["kind"] != "Namespace" || none("/spec/finalizers"))
        // A pod goes when its kubelet says that it has stopped.
        && (object["kind"] != "Pod" || object["metadata"]["deletionGracePeriodSeconds"] == 0)
}

pub(crate) fn overtaken(id: &GroupResource, name: &str) -> ApiError {
    let why = "the object has been modified; please apply your changes to the latest version and try again";
    ApiError::conflict(id, name, why)
}

/// Refuses what is another object, or was made at another time.
fn refuse_other_identity(
    resource: &Resource,
    object: &Value,
    old: &Value,
    write: &Write,
) -> Result<(), ApiError> {
    let (wanted, own) = (uid(object), uid(old));
    if !wanted.is_empty() && wanted != own {
        let why = format!(
            "Precondition failed: UID in precondition: {wanted}, UID in object meta: {own}"
        );
        return Err(ApiError::conflict(&resource.id, name(old), &why));
    }
    if write.version.is_none() {
        return Ok(());
    }
    let fields = [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ];
    let changed = fields.into_iter().filter(|field| {
        let (said, own) = (&object["metadata"][*field], &old["metadata"][*field]);
        !said.is_null() && said != own && !same_time(said, own)
    });
    let causes: Vec<Cause> = changed
        .map(|field| {
            let place = format!("metadata.{field}");
            schema::invalid(&place, &object["metadata"][field], "field is immutable")
        })
        .collect();
    if causes.is_empty() {
        return Ok(());
    }
    let (kind, group) = (&resource.kind, &resource.id.group);
    Err(ApiError::invalid(kind, group, name(old), &causes))
}

/// Whether two texts say the same time: clients write their zones in more than one form.
fn same_time(one: &Value, other: &Value) -> bool {
    let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    time(one).is_some_and(|one| time(other) == Some(one))
}

/// What a client cannot change by an update: identity, the other part of the object, the generation.
fn keep_what_is_the_servers(object: &mut Value, old: &Value, resource: &Resource, write: &Write) {
    if write.subresource == "finalize" {
        let finalizers = object["spec"]["finalizers"].take();
        *object = old.clone();
        object["spec"]["finalizers"] = finalizers;
    } else if write.subresource == "status" {
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
    let (metadata, own) = (slot(object, "metadata"), &old["metadata"]);
    for name in ["uid", "creationTimestamp", "generation", "resourceVersion"] {
        if let Some(value) = field(own, name) {
            slot(metadata, name).clone_from(value);
        }
    }
    if let Value::Object(metadata) = metadata {
        if write.subresource != "*" {
            for name in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
                match field(own, name) {
                    Some(value) => drop(metadata.insert(name.to_owned(), value.clone())),
                    None => drop(metadata.shift_remove(name)),
                }
            }
        }
        metadata.shift_remove("managedFields");
    }
    // Where the status is no part of its own, it is wanted like all else.
    let whole = !resource.status && !resource.is_built_in();
    if resource.generation && asks_for_something_else(object, old, whole) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(1) + 1;
        object["metadata"]["generation"] = json!(generation);
    }
}

/// A Secret's `stringData` is only for writing: it goes into `data`, over what is there.
fn encode_strings(id: &GroupResource, object: &mut Value) {
    if *id != SECRETS {
        return;
    }
    let Some(Value::Object(strings)) = object.as_object_mut().and_then(|o| o.remove("stringData"))
    else {
        return;
    };
    for (key, value) in strings {
        let text = value.as_str().unwrap_or_default();
        object["data"][key] = json!(STANDARD.encode(text));
    }
}

/// Whether anything but metadata and (unless all counts) status differs.
fn asks_for_something_else(new: &Value, old: &Value, whole: bool) -> bool {
    !is_same_in(new, old, |field| {
        !matches!(field, "metadata" | "apiVersion" | "kind") && (whole || field != "status")
    })
}
