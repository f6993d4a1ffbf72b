//! CustomResourceDefinitions: what is written of one is served at once; when one goes, its objects go
//! first. And the objects of such kinds, which are completed and judged by their schemas.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Deletion, Registry, Write};
use crate::error::ApiError;
use crate::object::{at, is_deleting, is_true, list, name, set_condition, text};
use crate::resource::builtin::CUSTOM_RESOURCE_DEFINITIONS;
use crate::resource::definition::{self, Definition};
use crate::resource::{GroupResource, Resource};
use crate::schema::{self, Cause};

/// Holds a definition until its objects are gone.
pub(super) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const MANAGER: &str = "kube-apiserver";

impl Registry {
    /// Completes a definition that is to be written, and judges it.
    pub(super) fn prepare_definition(
        &self,
        definition: &mut Value,
        old: Option<&Value>,
    ) -> Result<(), ApiError> {
        complete(definition);
        let causes = judged(definition, old);
        if !causes.is_empty() {
            let group = CUSTOM_RESOURCE_DEFINITIONS.group;
            let kind = "CustomResourceDefinition";
            return Err(ApiError::invalid(kind, &group, name(definition), &causes));
        }
        let conflict = self.name_conflict(definition);
        tell(definition, conflict, &self.clock().stamp());
        Ok(())
    }

    /// The first name of a definition that another one of its group has, with the reason.
    fn name_conflict(&self, new: &Value) -> Option<(&'static str, String)> {
        let others = self.list(&CUSTOM_RESOURCE_DEFINITIONS, None);
        let others = others.iter().filter(|other| {
            name(other) != name(new)
                && other["spec"]["group"] == new["spec"]["group"]
                && is_true(other, "NamesAccepted")
        });
        let (mut resources, mut kinds) = (Vec::new(), Vec::new());
        for other in others {
            let names = &other["status"]["acceptedNames"];
            resources.extend([names["plural"].clone(), names["singular"].clone()]);
            resources.extend(list(names, "/shortNames").iter().cloned());
            kinds.extend([names["kind"].clone(), names["listKind"].clone()]);
        }
        let names = &new["spec"]["names"];
        let short = list(names, "/shortNames")
            .iter()
            .map(|name| ("ShortNamesConflict", name, &resources));
        let mut wanted = [
            ("PluralConflict", &names["plural"], &resources),
            ("SingularConflict", &names["singular"], &resources),
            ("KindConflict", &names["kind"], &kinds),
            ("ListKindConflict", &names["listKind"], &kinds),
        ]
        .into_iter()
        .chain(short);
        let (reason, name, _) = wanted.find(|(_, name, taken)| taken.contains(name))?;
        Some((reason, format!("{name} is already in use")))
    }

    /// Serves what a definition that was written says.
    pub(super) fn serve_definition(&self, definition: &Value) {
        if !is_true(definition, "Established") {
            return;
        }
        let catalogue = self.catalogue();
        let id = definition::id(definition);
        match definition::resource(definition) {
            Some(resource) => {
                catalogue.define(&id, Definition::compile(definition));
                if catalogue.get(&id).as_deref() != Some(&resource) {
                    catalogue.serve(resource);
                }
            }
            None => catalogue.withdraw(&id),
        }
    }

    /// Deletes the objects of a definition that is to go, and lets it go when none is left.
    pub(super) fn clean_up(&self, definition: &str) -> Result<(), ApiError> {
        let Some(found) = self.get(&CUSTOM_RESOURCE_DEFINITIONS, "", definition) else {
            return Ok(());
        };
        if !list(&found, "/metadata/finalizers")
            .iter()
            .any(|one| one == CLEANUP)
        {
            return Ok(());
        }
        let id = definition::id(&found);
        let deletion = Deletion {
            propagation: Some("Background".to_owned()),
            write: Write::by(MANAGER),
            ..Deletion::default()
        };
        for object in self.list(&id, None) {
            if !is_deleting(&object) {
                let namespace = crate::object::namespace(&object);
                match self.delete(&id, namespace, name(&object), &deletion) {
                    Err(error) if !error.is_not_found() => return Err(error),
                    _ => {}
                }
            }
        }
        self.release(&id)
    }

    /// Lets a definition that is to go, go, if it has no objects any more.
    fn release(&self, id: &GroupResource) -> Result<(), ApiError> {
        let definition = id.to_string();
        if self.store().count(id) > 0
            || self
                .get(&CUSTOM_RESOURCE_DEFINITIONS, "", &definition)
                .is_none()
        {
            return Ok(());
        }
        let now = self.clock().stamp();
        let done = json!({"type": "Terminating", "status": "False", "reason": "InstanceDeletionCompleted",
            "message": "removed all instances"});
        let released = self.modify(
            &CUSTOM_RESOURCE_DEFINITIONS,
            "",
            &definition,
            MANAGER,
            |found| {
                set_condition(&mut found["status"], done.clone(), &now, &[]);
                if let Some(finalizers) = found["metadata"]["finalizers"].as_array_mut() {
                    finalizers.retain(|one| one != CLEANUP);
                }
            },
        );
        released.map(drop)
    }

    /// Draws the consequences of an object's end: a definition's kind is served no more, and the last
    /// object of a kind lets its definition go.
    pub(super) fn after_removal(&self, id: &GroupResource, object: &Value) -> Result<(), ApiError> {
        if *id == CUSTOM_RESOURCE_DEFINITIONS {
            self.catalogue().withdraw(&definition::id(object));
            return Ok(());
        }
        if self.catalogue().definition(id).is_none() || self.store().count(id) > 0 {
            return Ok(());
        }
        let found = self.get(&CUSTOM_RESOURCE_DEFINITIONS, "", &id.to_string());
        match found {
            Some(definition) if is_deleting(&definition) => self.release(id),
            _ => Ok(()),
        }
    }

    /// Refuses new objects of a kind that is going.
    pub(super) fn refuse_of_ending_kind(&self, id: &GroupResource) -> Result<(), ApiError> {
        if self.catalogue().definition(id).is_none() {
            return Ok(());
        }
        match self.get(&CUSTOM_RESOURCE_DEFINITIONS, "", &id.to_string()) {
            Some(definition) if is_deleting(&definition) => {
                let why = "create not allowed while custom resource definition is terminating";
                Err(ApiError::new(405, "MethodNotAllowed", why))
            }
            _ => Ok(()),
        }
    }

    /// Takes unknown fields of an object away and fills in what is missing, by its kind's schema.
    pub(super) fn shape(&self, resource: &Resource, object: &mut Value) {
        if let Some(definition) = self.catalogue().definition(&resource.id)
            && let Some(schema) = definition.schema(&resource.storage)
        {
            schema.prune(object);
            schema.fill(object);
        }
    }

    /// Judges an object by its kind's schema, in the version that the client speaks.
    pub(super) fn judge(
        &self,
        resource: &Resource,
        object: &Value,
        old: Option<&Value>,
        write: &Write,
    ) -> Result<(), ApiError> {
        let Some(definition) = self.catalogue().definition(&resource.id) else {
            return Ok(());
        };
        let spoken = match &write.version {
            Some(version) => version.rsplit('/').next().unwrap_or_default(),
            None => resource.storage.as_ref(),
        };
        let Some(schema) = definition.schema(spoken) else {
            return Ok(());
        };
        let said = |object: &Value| -> Result<Arc<Value>, ApiError> {
            let to = resource.api_version(spoken);
            let converted = self
                .catalogue()
                .convert(&resource.id, object.clone(), &to)?;
            Ok(Arc::new(converted))
        };
        let mut causes = if spoken == resource.storage {
            judge(schema, object, old, &write.subresource)
        } else if schema.is_open() {
            Vec::new()
        } else {
            let old = old.map(said).transpose()?;
            judge(schema, &*said(object)?, old.as_deref(), &write.subresource)
        };
        if let Some(scale) = definition.scale(spoken) {
            causes.extend(of_replicas(object, &scale.wanted));
            causes.extend(of_replicas(object, &scale.found));
        }
        if causes.is_empty() {
            return Ok(());
        }
        let (kind, group) = (&resource.kind, &resource.id.group);
        Err(ApiError::invalid(kind, group, name(object), &causes))
    }
}

fn judge(
    schema: &schema::Schema,
    object: &Value,
    old: Option<&Value>,
    subresource: &str,
) -> Vec<Cause> {
    if subresource == "status" {
        schema.judge_status(object, old)
    } else {
        schema.judge(object, old)
    }
}

/// What is wrong with a number of replicas.
fn of_replicas(object: &Value, pointer: &str) -> Option<Cause> {
    let found = at(object, pointer)?;
    let field = pointer.replace('/', ".");
    let number = found.as_i64()?;
    if number < 0 {
        return Some(schema::invalid(
            &field,
            found,
            "should be a non-negative integer",
        ));
    }
    let most = i64::from(i32::MAX);
    let why = format!("should be less than or equal to {most}");
    (number > most).then(|| schema::invalid(&field, found, &why))
}

/// Fills in what a definition need not say.
fn complete(definition: &mut Value) {
    let kind = text(definition, "/spec/names/kind").to_owned();
    if !definition["spec"].is_object() || !definition["spec"]["names"].is_object() {
        return;
    }
    let names = &mut definition["spec"]["names"];
    if text(names, "/singular").is_empty() {
        names["singular"] = json!(kind.to_lowercase());
    }
    if text(names, "/listKind").is_empty() {
        names["listKind"] = json!(format!("{kind}List"));
    }
    if !definition["spec"]["conversion"].is_object() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

fn judged(definition: &Value, old: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = &definition["spec"];
    for field in ["group", "scope"] {
        if text(spec, &format!("/{field}")).is_empty() {
            causes.push(schema::required(&format!("spec.{field}"), ""));
        }
    }
    for field in ["plural", "kind"] {
        if text(spec, &format!("/names/{field}")).is_empty() {
            causes.push(schema::required(&format!("spec.names.{field}"), ""));
        }
    }
    if !matches!(text(spec, "/scope"), "Cluster" | "Namespaced" | "") {
        let scopes = ["Cluster", "Namespaced"].map(str::to_owned);
        causes.push(schema::unsupported("spec.scope", &spec["scope"], &scopes));
    }
    let wanted = definition::id(definition).to_string();
    if name(definition) != wanted && causes.is_empty() {
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(schema::invalid(
            "metadata.name",
            &definition["metadata"]["name"],
            why,
        ));
    }
    of_versions(spec, &mut causes);
    if let Some(old) = old {
        of_change(definition, old, &mut causes);
    }
    causes
}

fn of_versions(spec: &Value, causes: &mut Vec<Cause>) {
    let versions = list(spec, "/versions");
    if versions.is_empty() {
        let why = "must have exactly one version marked as storage version";
        causes.push(schema::invalid("spec.versions", &json!([]), why));
        return;
    }
    let stored = versions
        .iter()
        .filter(|version| version["storage"] == true)
        .count();
    if stored != 1 {
        let why = "must have exactly one version marked as storage version";
        let names: Vec<&Value> = versions.iter().map(|version| &version["name"]).collect();
        causes.push(schema::invalid("spec.versions", &json!(names), why));
    }
    // Where all versions have the same schema, a real server tells of it once.
    let alike = versions
        .iter()
        .all(|version| version["schema"] == versions[0]["schema"]);
    for (index, version) in versions.iter().enumerate() {
        let place = format!("spec.versions[{index}]");
        if text(version, "/name").is_empty() {
            causes.push(schema::required(&format!("{place}.name"), ""));
        }
        let own = &version["schema"]["openAPIV3Schema"];
        if !own.is_object() {
            let why = "schemas are required";
            causes.push(schema::required(
                &format!("{place}.schema.openAPIV3Schema"),
                why,
            ));
        } else if !alike {
            causes.extend(schema::check(
                own,
                &format!("{place}.schema.openAPIV3Schema"),
            ));
        } else if index == 0 {
            causes.extend(schema::check(own, "spec.validation.openAPIV3Schema"));
        }
    }
}

/// What cannot be changed any more.
fn of_change(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    for field in ["group", "scope", "names.plural", "names.kind"] {
        let pointer = format!("/spec/{}", field.replace('.', "/"));
        let immutable = field == "group" || is_true(old, "Established");
        let (before, after) = (old.pointer(&pointer), new.pointer(&pointer));
        if immutable && before != after {
            let value = after.cloned().unwrap_or_default();
            causes.push(schema::invalid(
                &format!("spec.{field}"),
                &value,
                "field is immutable",
            ));
        }
    }
    let versions = list(new, "/spec/versions");
    for (index, stored) in list(old, "/status/storedVersions").iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *stored) {
            let version = stored.as_str().unwrap_or_default();
            let why = format!(
                "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
            );
            causes.push(schema::invalid(
                &format!("status.storedVersions[{index}]"),
                stored,
                &why,
            ));
        }
    }
}

/// Writes into the status what became of the names.
fn tell(definition: &mut Value, conflict: Option<(&'static str, String)>, now: &str) {
    let names = definition["spec"]["names"].clone();
    let versions = list(definition, "/spec/versions").iter();
    let stored = versions
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone());
    let stored: Vec<Value> = stored.collect();
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    let status = &mut definition["status"];
    let accepted = conflict.is_none();
    let (reason, message) = conflict.unwrap_or(("NoConflicts", "no conflicts found".to_owned()));
    let of = |kind: &str, holds: bool, reason: &str, message: &str| {
        let holds = if holds { "True" } else { "False" };
        json!({"type": kind, "status": holds, "reason": reason, "message": message})
    };
    set_condition(
        status,
        of("NamesAccepted", accepted, reason, &message),
        now,
        &[],
    );
    let was = list(status, "/conditions")
        .iter()
        .any(|one| one["type"] == "Established" && one["status"] == "True");
    if accepted {
        status["acceptedNames"] = names;
        let why = "the initial names have been accepted";
        set_condition(
            status,
            of("Established", true, "InitialNamesAccepted", why),
            now,
            &[],
        );
    } else if !was {
        set_condition(
            status,
            of(
                "Established",
                false,
                "NotAccepted",
                "not all names are accepted",
            ),
            now,
            &[],
        );
        status["acceptedNames"] = json!({"plural": "", "kind": ""});
    }
    let mut known = list(status, "/storedVersions").to_vec();
    known.extend(
        stored
            .into_iter()
            .filter(|version| !list(status, "/storedVersions").contains(version)),
    );
    status["storedVersions"] = Value::Array(known);
}
