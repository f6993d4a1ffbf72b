//! The API's rules over the store: what a create, an update, a delete mean. Called by the HTTP side
//! with what clients send, and directly by controllers.

mod apply;
mod copies;
mod definitions;
mod deletion;
mod eviction;
mod immutable;
mod namespaces;
mod write;

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

use self::copies::Copies;
use crate::admission::Admissions;
use crate::clock::Clock;
use crate::error::ApiError;
use crate::object::{at, field};
use crate::random::Random;
use crate::resource::builtin::{DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS};
use crate::resource::catalogue::Catalogue;
use crate::resource::{GroupResource, Resource};
use crate::store::{Store, Stored, lock, reads};

pub use apply::Applied;
pub use deletion::Deletion;
pub(crate) use deletion::{FOREGROUND, ORPHAN};
pub(crate) use eviction::{selects, tell_allowed};
pub(crate) use write::{RETRIES, overtaken};
pub use write::{Warnings, Write};

const REPLICATION_CONTROLLERS: GroupResource = GroupResource::new("", "replicationcontrollers");

/// The API of one cluster, without HTTP; clones are the same.
#[derive(Clone, Debug)]
pub struct Registry {
    store: Store,
    catalogue: Catalogue,
    admissions: Admissions,
    clock: Clock,
    random: Arc<Mutex<Random>>,
    copies: Arc<Mutex<Copies>>,
}

impl Registry {
    pub(crate) fn new(clock: Clock, random: Random) -> Self {
        Self {
            store: Store::default(),
            catalogue: Catalogue::default(),
            admissions: Admissions::default(),
            clock,
            random: Arc::new(Mutex::new(random)),
            copies: Arc::default(),
        }
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        lock(&self.copies)
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The served resources.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// What is asked about writes.
    #[must_use]
    pub fn admissions(&self) -> &Admissions {
        &self.admissions
    }

    /// The cluster's clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// A fresh uid.
    #[must_use]
    pub fn uid(&self) -> String {
        reads::spoil();
        lock(&self.random).uid()
    }

    /// A fresh suffix for `generateName`.
    #[must_use]
    pub fn suffix(&self) -> String {
        reads::spoil();
        lock(&self.random).suffix()
    }

    /// A served resource.
    ///
    /// # Errors
    /// 404 when it is not served.
    pub fn resource(&self, id: &GroupResource) -> Result<Arc<Resource>, ApiError> {
        self.catalogue.get(id).ok_or_else(ApiError::no_such_path)
    }

    /// Where the objects of a resource say how many they want, as a JSON pointer; none when they cannot
    /// be scaled.
    #[must_use]
    pub fn scale_path(&self, id: &GroupResource) -> Option<String> {
        let scaled = [
            DEPLOYMENTS,
            REPLICA_SETS,
            STATEFUL_SETS,
            REPLICATION_CONTROLLERS,
        ];
        if scaled.contains(id) {
            return Some("/spec/replicas".to_owned());
        }
        let definition = self.catalogue.definition(id)?;
        let resource = self.catalogue.get(id)?;
        let scale = definition.scale(&resource.storage)?;
        Some(scale.wanted.clone())
    }

    /// An object, as stored; `namespace` is empty for cluster-scoped ones.
    #[must_use]
    pub fn get(&self, id: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.stored(id, namespace, name)
            .map(|stored| stored.value.clone())
    }

    /// An object with what the store knows of it.
    #[must_use]
    pub fn stored(&self, id: &GroupResource, namespace: &str, name: &str) -> Option<Arc<Stored>> {
        self.store.get(id, namespace, name)
    }

    /// All objects of a resource, in one namespace or in all.
    #[must_use]
    pub fn list(&self, id: &GroupResource, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let (objects, _) = self.store.list(id, namespace);
        objects.iter().map(|stored| stored.value.clone()).collect()
    }

    /// All objects of a resource in a namespace (or all) that bear every one of these labels.
    #[must_use]
    pub fn labelled(
        &self,
        id: &GroupResource,
        namespace: Option<&str>,
        labels: &[(&str, &str)],
    ) -> Vec<Arc<Value>> {
        let mut objects = self.list(id, namespace);
        objects.retain(|object| {
            let own = at(object, "/metadata/labels");
            let bears = |(key, value): &(&str, &str)| {
                own.and_then(|own| field(own, key))
                    .is_some_and(|own| own == value)
            };
            labels.iter().all(bears)
        });
        objects
    }
}
