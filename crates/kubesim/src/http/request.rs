//! A request about a resource, taken apart once for whoever answers it.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use serde_json::Value;

use super::path::Target;
use super::query::Query;
use super::{access, decode};
use crate::authorization::User;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::registry::Warnings;
use crate::resource::{GroupResource, Resource, builtin};

/// A request about a resource.
pub struct Request<'a> {
    /// The cluster that is asked.
    pub cluster: &'a Cluster,
    /// What the path names.
    pub target: &'a Target,
    /// The resource as it is asked for.
    pub served: Arc<Resource>,
    /// The resource as it is stored: for `events.k8s.io` the core group's events.
    pub resource: Arc<Resource>,
    /// `apiVersion` of what is sent and answered.
    pub api_version: String,
    /// Who asks; none inside the simulation.
    pub user: Option<User>,
    /// The query.
    pub query: Query,
    /// Method, headers, extensions.
    pub parts: &'a Parts,
    /// The body.
    pub body: &'a Bytes,
    /// What the client is warned of besides what the registry warns of.
    pub warnings: Warnings,
}

impl<'a> Request<'a> {
    /// Takes a request apart.
    ///
    /// # Errors
    /// 404 when the resource is not served, or not in this version.
    pub fn new(
        cluster: &'a Cluster,
        target: &'a Target,
        parts: &'a Parts,
        body: &'a Bytes,
    ) -> Result<Self, ApiError> {
        let api = cluster.api();
        let served = api.resource(&target.id())?;
        if !served.serves(&target.version) {
            return Err(ApiError::no_such_path());
        }
        let resource = match storage_of(&served.id) {
            Some(id) => api.resource(&id)?,
            None => served.clone(),
        };
        Ok(Self {
            cluster,
            target,
            api_version: served.api_version(&target.version),
            served,
            resource,
            user: access::user(cluster, parts)?,
            query: Query::of(&parts.uri),
            parts,
            body,
            warnings: Warnings::kept(),
        })
    }

    /// The namespace, empty for none.
    pub fn namespace(&self) -> &str {
        self.target.namespace.as_deref().unwrap_or_default()
    }

    /// The object's name, empty for the collection.
    pub fn name(&self) -> &str {
        self.target.name.as_deref().unwrap_or_default()
    }

    /// `apiVersion` in which objects are stored.
    pub fn storage_version(&self) -> String {
        self.resource.api_version(&self.resource.storage)
    }

    /// An object that a client sent, as it is stored: checked whether it is what the path says, without
    /// unknown fields, with the defaults of the version that the client speaks.
    ///
    /// # Errors
    /// When it is something else, has unknown fields and the client wants to be told, or cannot be
    /// converted.
    pub fn stored_form(&self, mut object: Value) -> Result<Value, ApiError> {
        if !object.is_object() {
            return Err(ApiError::bad_request("expected an object"));
        }
        // What says nothing of itself is what the path says.
        for (field, said) in [
            ("apiVersion", self.api_version.as_str()),
            ("kind", &self.resource.kind),
        ] {
            if object.get(field).is_none() {
                object[field] = Value::String(said.to_owned());
            }
        }
        decode::check(self, &mut object)?;
        let catalogue = self.cluster.api().catalogue();
        catalogue.convert(&self.resource.id, object, &self.storage_version())
    }

    /// A stored object as this request's client gets it.
    ///
    /// # Errors
    /// When it cannot be converted.
    pub fn served_form(&self, object: Value) -> Result<Value, ApiError> {
        let catalogue = self.cluster.api().catalogue();
        catalogue.convert(&self.resource.id, object, &self.api_version)
    }

    /// Whether the client gets objects as they are stored.
    pub fn is_storage_version(&self) -> bool {
        self.api_version == self.storage_version()
    }
}

/// Where the objects of a resource are stored, when it is not under its own name.
fn storage_of(id: &GroupResource) -> Option<GroupResource> {
    (id.group == "events.k8s.io" && id.resource == "events").then_some(builtin::EVENTS)
}
