//! Applying rendered objects, and deleting them again, with what the operator notes of each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::kinds::ACCOUNT;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{list, name, namespace, text};
use crate::registry::{Applied, Deletion, Write};
use crate::resource::{GroupResource, Resource};

/// The field manager of what it applies.
const FIELD_MANAGER: &str = "kubectl";
/// Where namespaced objects of addons go, whatever they say.
pub(super) const ADDONS: &str = "kube-system";
/// On everything that it applies.
const INSTANCE: (&str, &str) = ("clusterstack.x-k8s.io/instance", "owned");

/// What an object is, for the operator: its version is a part of that.
pub(super) type Identity = (String, String, String, String, String);

pub(super) fn identity(object: &Value) -> Identity {
    let (group, version) = group_version(object);
    let part = |pointer: &str| text(object, pointer).to_owned();
    (
        group.to_owned(),
        version.to_owned(),
        part("/kind"),
        part("/metadata/namespace"),
        part("/metadata/name"),
    )
}

fn group_version(object: &Value) -> (&str, &str) {
    let named = text(object, "/apiVersion");
    named.split_once('/').unwrap_or(("", named))
}

/// What is in `old` only.
pub(super) fn only_in(old: &[Value], new: &[Value]) -> Vec<Value> {
    let kept: BTreeSet<Identity> = new.iter().map(identity).collect();
    let gone = old.iter().filter(|one| !kept.contains(&identity(one)));
    gone.cloned().collect()
}

/// What is in `old` only, by namespace and name alone (upstream `resourcesToBeDeletedFromUnstructuredObjects`).
pub(super) fn not_named_in(old: &[Value], new: &[Value]) -> Vec<Value> {
    let kept: BTreeSet<(&str, &str)> = new.iter().map(|one| (namespace(one), name(one))).collect();
    let gone = old
        .iter()
        .filter(|one| !kept.contains(&(namespace(one), name(one))));
    gone.cloned().collect()
}

fn served(cluster: &Cluster, object: &Value) -> Result<std::sync::Arc<Resource>, ApiError> {
    let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
    let found = cluster.api().catalogue().of_kind(api_version, kind);
    found.ok_or_else(|| unserved(object))
}

/// What the mapping of kinds says of one that is not served.
fn unserved(object: &Value) -> ApiError {
    let ((group, version), kind) = (group_version(object), text(object, "/kind"));
    let message = format!("no matches for kind \"{kind}\" in version \"{group}/{version}\"");
    ApiError::new(404, "NotFound", message)
}

/// Whether a minor version of Cluster API serves the version that an object of a class is written in: v1beta2 from
/// 1.11 on, v1beta1 up to 1.15 as planned.
///
/// # Errors
/// When it does not.
pub(super) fn is_served_by(minor: u32, object: &Value) -> Result<(), ApiError> {
    let (group, version) = group_version(object);
    let own = ["cluster", "bootstrap.cluster", "controlplane.cluster"];
    let known = match version {
        "v1beta2" => minor >= 11,
        "v1beta1" => minor < 16,
        _ => true,
    };
    let own = own.iter().any(|own| group == format!("{own}.x-k8s.io"));
    if own && !known {
        return Err(unserved(object));
    }
    Ok(())
}

/// Applies one object.
///
/// # Errors
/// Those of the API.
pub(super) fn apply(cluster: &Cluster, object: &Value, space: &str) -> Result<(), ApiError> {
    let resource = served(cluster, object)?;
    let object = labelled(object.clone());
    let named = name(&object).to_owned();
    let to = Applied {
        namespace: if resource.namespaced { space } else { "" },
        name: &named,
        force: true,
    };
    let write = Write {
        version: Some(text(&object, "/apiVersion").to_owned()),
        ..Write::by(FIELD_MANAGER)
    };
    let applied = cluster.api().apply(&resource.id, object, to, &write);
    applied.map(drop)
}

/// Deletes one object in a namespace; that it is gone is fine.
///
/// # Errors
/// Those of the API.
fn delete(cluster: &Cluster, object: &Value, space: &str) -> Result<(), ApiError> {
    let resource = served(cluster, object)?;
    let space = if resource.namespaced { space } else { "" };
    let deletion = Deletion {
        propagation: Some("Background".to_owned()),
        write: Write::by(FIELD_MANAGER),
        ..Deletion::default()
    };
    let deleted = cluster
        .api()
        .delete(&resource.id, space, name(object), &deletion);
    match deleted {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Deletes objects one after the other; whether each could be.
///
/// # Errors
/// When the kind of one is not served: those behind it are not looked at.
pub(super) fn delete_each(
    cluster: &Cluster,
    objects: &[Value],
    space: impl Fn(&Value) -> &str,
) -> Result<bool, ApiError> {
    let mut all = true;
    for object in objects {
        match delete(cluster, object, space(object)) {
            // Of one that is served it is none.
            Err(error) if error.is_not_found() => return Err(error),
            deleted => all &= deleted.is_ok(),
        }
    }
    Ok(all)
}

fn labelled(mut object: Value) -> Value {
    let templated = [
        "Deployment",
        "DaemonSet",
        "ReplicaSet",
        "StatefulSet",
        "Job",
    ];
    object["metadata"]["labels"][INSTANCE.0] = json!(INSTANCE.1);
    if templated.contains(&text(&object, "/kind")) {
        object["spec"]["template"]["metadata"]["labels"][INSTANCE.0] = json!(INSTANCE.1);
    }
    object
}

/// Applies objects and notes each in `status.resources` of `owner`. Those that are noted as synced are left
/// out, by namespace and name alone, whatever they are now (upstream `kube.Apply`). Whether all could be applied.
pub(super) fn apply_new(
    cluster: &Cluster,
    owner: &mut Value,
    objects: &[Value],
    space: &str,
    may: impl Fn(&Value) -> Result<(), ApiError>,
) -> bool {
    let mut done = true;
    // By what was noted before: several objects of one release may share a name.
    let synced: Vec<bool> = objects.iter().map(|one| is_synced(owner, one)).collect();
    let known = all_served(cluster, objects);
    for ((object, known), synced) in objects.iter().zip(known).zip(synced) {
        if synced {
            continue;
        }
        let known = known.and(may(object));
        if matches!(&known, Err(error) if error.is_not_found()) {
            // Nothing is noted of a kind that is not served.
            done = false;
            continue;
        }
        let applied = known.and_then(|()| apply(cluster, object, space));
        done &= applied.is_ok();
        note(owner, object, applied.err());
    }
    done
}

/// Applies all objects; whether each could be (upstream `kube.ApplyNewClusterStack`).
pub(super) fn apply_each<'a>(
    cluster: &Cluster,
    objects: impl Iterator<Item = &'a Value>,
    space: &str,
) -> bool {
    let objects: Vec<&Value> = objects.collect();
    let known = all_served(cluster, objects.iter().copied());
    let mut all = true;
    for (object, known) in objects.into_iter().zip(known) {
        all &= known.and_then(|()| apply(cluster, object, space)).is_ok();
    }
    all
}

/// Whether each kind is served. The operator asks for each just before it applies it (upstream `ApplyNewClusterStack`):
/// whether a definition among the objects is served by then is a race. Here all are asked before any is applied, so that
/// the race is always lost.
fn all_served<'a>(
    cluster: &Cluster,
    objects: impl IntoIterator<Item = &'a Value>,
) -> Vec<Result<(), ApiError>> {
    let objects = objects.into_iter();
    objects
        .map(|object| served(cluster, object).map(drop))
        .collect()
}

/// What is noted as synced and has no place among objects any more: removed from the notes. By namespace and name
/// alone (upstream `resourcesToBeDeleted`).
pub(super) fn take_dropped(owner: &mut Value, objects: &[Value]) -> Vec<Value> {
    let kept: BTreeSet<(&str, &str)> = objects
        .iter()
        .map(|one| (namespace(one), name(one)))
        .collect();
    let is_dropped = |one: &Value| {
        one["status"] == "synced" && !kept.contains(&(text(one, "/namespace"), text(one, "/name")))
    };
    let Some(resources) = owner["status"]["resources"].as_array_mut() else {
        return Vec::new();
    };
    let dropped: Vec<Value> = resources
        .iter()
        .filter(|one| is_dropped(one))
        .cloned()
        .collect();
    resources.retain(|one| !is_dropped(one));
    let object = |one: &Value| {
        let api_version = match text(one, "/group") {
            "" => text(one, "/version").to_owned(),
            group => format!("{group}/{}", text(one, "/version")),
        };
        json!({"apiVersion": api_version, "kind": one["kind"],
            "metadata": {"namespace": one["namespace"], "name": one["name"]}})
    };
    dropped.iter().map(object).collect()
}

/// Whether an object is live in another form than it is rendered.
pub(super) fn is_news(cluster: &Cluster, object: &Value) -> bool {
    let Ok(resource) = served(cluster, object) else {
        return false;
    };
    let space = if resource.namespaced { ADDONS } else { "" };
    let live = cluster.api().get(&resource.id, space, name(object));
    let content = object.as_object().into_iter().flatten();
    let mut content =
        content.filter(|(key, _)| !["metadata", "apiVersion"].contains(&key.as_str()));
    live.is_some_and(|live| content.any(|(key, value)| !says(&live[key], value)))
}

/// Whether a value says all that another one says.
fn says(all: &Value, part: &Value) -> bool {
    match (all, part) {
        (Value::Object(all), Value::Object(part)) => part
            .iter()
            .all(|(key, value)| all.get(key).is_some_and(|own| says(own, value))),
        (Value::Array(all), Value::Array(part)) => {
            all.len() == part.len() && all.iter().zip(part).all(|(own, value)| says(own, value))
        }
        (all, part) => all == part || part.is_null(),
    }
}

fn is_synced(owner: &Value, object: &Value) -> bool {
    list(owner, "/status/resources").iter().any(|one| {
        one["name"] == object["metadata"]["name"]
            && text(one, "/namespace") == namespace(object)
            && one["status"] == "synced"
    })
}

fn note(owner: &mut Value, object: &Value, error: Option<ApiError>) {
    let (group, version, kind, space, own) = identity(object);
    let mut entry = json!({
        "group": group, "version": version, "kind": kind, "namespace": space, "name": own,
        "status": if error.is_none() { "synced" } else { "not-synced" },
    });
    if let Some(error) = error {
        entry["error"] = json!(format!("failed to apply object: {}", error.message));
    }
    let resources = &mut owner["status"]["resources"];
    if !resources.is_array() {
        *resources = json!([]);
    }
    let Some(resources) = resources.as_array_mut() else {
        return;
    };
    let same = |one: &Value| {
        ["group", "version", "kind", "namespace", "name"]
            .iter()
            .all(|field| one[*field] == entry[*field])
    };
    match resources.iter_mut().find(|one| same(one)) {
        Some(known) => *known = entry,
        None => resources.push(entry),
    }
}

/// Whether the operator's own role lets it write an object of a class chart: kinds of Cluster API, of
/// its own providers, Secrets and events.
///
/// # Errors
/// What the API server refuses.
pub(super) fn may_in_class(cluster: &Cluster, object: &Value) -> Result<(), ApiError> {
    let (group, kind) = (group_version(object).0, text(object, "/kind"));
    let allowed = [
        "cluster.x-k8s.io",
        "bootstrap.cluster.x-k8s.io",
        "controlplane.cluster.x-k8s.io",
        "infrastructure.cluster.x-k8s.io",
        "infrastructure.clusterstack.x-k8s.io",
    ];
    if allowed.contains(&group) || group.is_empty() && matches!(kind, "Secret" | "Event") {
        return Ok(());
    }
    let id = served(cluster, object).map(|resource| resource.id.clone());
    let id = id.unwrap_or_else(|_| GroupResource::named(group, &kind.to_lowercase()));
    let why = format!(
        "User \"{ACCOUNT}\" cannot patch resource \"{}\" in API group \"{group}\" in the namespace \"{}\"",
        id.resource,
        namespace(object)
    );
    Err(ApiError::forbidden(&id, name(object), &why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api_version: &str, space: &str) -> Value {
        json!({"apiVersion": api_version, "kind": "Thing", "metadata": {"name": "a", "namespace": space}})
    }

    #[test]
    fn an_object_of_another_version_is_another_object() {
        let (old, new) = ([object("g/v1", "n")], [object("g/v2", "n")]);
        assert_eq!(only_in(&old, &new), old);
        assert!(only_in(&old, &old).is_empty());
        // Within a stage its name is enough.
        assert!(not_named_in(&old, &new).is_empty());
        assert_eq!(not_named_in(&old, &[object("g/v1", "")]), old);
    }

    #[test]
    fn what_is_applied_is_noted_once_and_forgotten() {
        let mut owner = json!({});
        let one = object("g/v1", "n");
        note(&mut owner, &one, Some(ApiError::bad_request("no")));
        assert!(!is_synced(&owner, &one));
        note(&mut owner, &one, None);
        assert_eq!(list(&owner, "/status/resources").len(), 1);
        // By name alone: another kind and version pass for the same.
        assert!(is_synced(&owner, &object("h/v9", "n")));
        assert!(take_dropped(&mut owner, &[object("h/v9", "n")]).is_empty());
        assert_eq!(take_dropped(&mut owner, &[]), [one]);
        assert!(list(&owner, "/status/resources").is_empty());
    }
}
