//! A cluster as it was somewhere else at some time: it serves what that one served, its objects are written as
//! they were, whatever rules they would have to keep today, and clients can only read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{list, name, namespace, text};
use crate::resource::{GroupResource, Resource, builtin};

impl Cluster {
    /// From now on clients can only read; whoever tries to write is told why not. Reviews are answered.
    pub fn freeze(&self, why: &str) {
        self.server().freeze(why);
    }

    /// What clients are shown ages by: a moment of the past (it stands still there), or the clock again.
    pub fn stand_at(&self, moment: Option<Timestamp>) {
        self.server().stand_at(moment);
    }

    /// The time that clients are shown.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let stands = self.server().stands_at();
        stands.unwrap_or_else(|| self.api().clock().now())
    }

    /// Resolves when a client begins a watch of a frozen cluster; at once, if one did since the last time.
    pub async fn watched(&self) {
        self.server().watched().await;
    }

    /// Writes an object as it is, over the one of its name. Its `resourceVersion` is a new one.
    pub fn import(&self, resource: &GroupResource, object: Value) {
        // Without an expectation nothing is refused.
        let _ = self.store().put(resource, object, Arc::default(), None);
    }

    /// Removes an object, if it is there, without anything that a deletion would set off.
    pub fn remove_imported(&self, resource: &GroupResource, namespace: &str, name: &str) {
        let _ = self.store().remove(resource, namespace, name, None);
    }

    /// Removes every object.
    pub fn clear(&self) {
        for resource in self.api().catalogue().all() {
            for stored in self.store().list(&resource.id, None).0 {
                let (namespace, name) = (namespace(&stored.value), name(&stored.value));
                self.remove_imported(&resource.id, namespace, name);
            }
        }
    }

    /// Serves the resources of a cluster's aggregated discovery (`items` of the documents at `/api` and `/apis`), and
    /// no others. Of resources that are not built in, only the version that is preferred is served: that is the one in
    /// which a client was told their objects, and how another one would say them, only that cluster knew.
    ///
    /// # Errors
    /// When the documents are no such lists.
    pub fn serve_as(&self, groups: &[&Value]) -> Result<(), ApiError> {
        let catalogue = self.api().catalogue();
        let mut served = BTreeSet::new();
        let groups = groups.iter().filter_map(|groups| groups.as_array());
        for group in groups.flatten() {
            let group_name = text(group, "/metadata/name");
            for version in list(group, "/versions") {
                for one in list(version, "/resources") {
                    let id = GroupResource::named(group_name, text(one, "/resource"));
                    if !served.insert(id.clone()) || builtin::has(&id) {
                        continue;
                    }
                    if text(one, "/resource").is_empty() {
                        return Err(ApiError::bad_request("expected a document of discovery"));
                    }
                    let resource = discovered(id, text(version, "/version"), one);
                    if catalogue.get(&resource.id).as_deref() != Some(&resource) {
                        catalogue.serve(resource);
                    }
                }
            }
        }
        for resource in catalogue.all() {
            if !served.contains(&resource.id) {
                catalogue.withdraw(&resource.id);
            }
        }
        Ok(())
    }
}

fn discovered(id: GroupResource, version: &str, one: &Value) -> Resource {
    let words = |field: &str| {
        let words = list(one, field).iter().filter_map(Value::as_str);
        words.map(|word| Cow::Owned(word.to_owned())).collect()
    };
    let subresources = list(one, "/subresources");
    Resource {
        id,
        versions: vec![Cow::Owned(version.to_owned())],
        storage: Cow::Owned(version.to_owned()),
        kind: Cow::Owned(text(one, "/responseKind/kind").to_owned()),
        singular: Cow::Owned(text(one, "/singularResource").to_owned()),
        short_names: words("/shortNames"),
        categories: words("/categories"),
        namespaced: text(one, "/scope") == "Namespaced",
        status: subresources
            .iter()
            .any(|part| text(part, "/subresource") == "status"),
        generation: true,
    }
}

/// 405, for who wants to write where nothing can be written.
pub(crate) fn refuse_write(why: &str) -> ApiError {
    ApiError::new(405, "MethodNotAllowed", why)
}
