//! Which resources a cluster serves at the moment: the built-in ones, and those that definitions add.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

use serde_json::Value;

use super::conversion::Conversion;
use super::definition::Definition;
use super::events::Events;
use super::{GroupResource, Resource, builtin};
use crate::error::ApiError;
use crate::store::reads;

#[derive(Default)]
struct Inner {
    served: BTreeMap<GroupResource, Arc<Resource>>,
    conversions: BTreeMap<GroupResource, Arc<dyn Conversion>>,
    definitions: BTreeMap<GroupResource, Arc<Definition>>,
    /// Counts changes, so that documents about all resources are made once for each.
    generation: u64,
}

/// The served resources; clones share them.
#[derive(Clone)]
pub struct Catalogue(Arc<RwLock<Inner>>);

/// Whether it is the same catalogue, whatever is in it.
impl PartialEq for Catalogue {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read(|inner| f.debug_set().entries(inner.served.keys()).finish())
    }
}

impl Default for Catalogue {
    /// The built-in resources.
    fn default() -> Self {
        let resources = builtin::resources().into_iter();
        let mut inner = Inner {
            served: resources
                .map(|resource| (resource.id.clone(), Arc::new(resource)))
                .collect(),
            ..Inner::default()
        };
        inner.conversions.insert(builtin::EVENTS, Arc::new(Events));
        Self(Arc::new(RwLock::new(inner)))
    }
}

impl Catalogue {
    /// A resource by group and plural.
    #[must_use]
    pub fn get(&self, id: &GroupResource) -> Option<Arc<Resource>> {
        self.read(|inner| inner.served.get(id).cloned())
    }

    /// A resource by what an object says of itself; only when that version is served.
    #[must_use]
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.read(|inner| {
            inner
                .served
                .values()
                .find(|resource| {
                    resource.kind == kind && resource.id.group == group && resource.serves(version)
                })
                .cloned()
        })
    }

    /// All of them, by group and plural.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Resource>> {
        self.read(|inner| inner.served.values().cloned().collect())
    }

    /// How often what is served has changed.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.read(|inner| inner.generation)
    }

    /// Serves a resource from now on, or in another form.
    pub fn serve(&self, resource: Resource) {
        self.write(|inner| {
            inner.served.insert(resource.id.clone(), Arc::new(resource));
        });
    }

    /// Serves a resource no more.
    pub fn withdraw(&self, id: &GroupResource) {
        self.write(|inner| {
            inner.served.remove(id);
            inner.conversions.remove(id);
            inner.definitions.remove(id);
        });
    }

    /// Judges the objects of a resource by a definition from now on.
    pub(crate) fn define(&self, id: &GroupResource, definition: Definition) {
        self.write(|inner| {
            inner.definitions.insert(id.clone(), Arc::new(definition));
        });
    }

    /// What a definition says of a resource's versions; none for built-in ones.
    pub(crate) fn definition(&self, id: &GroupResource) -> Option<Arc<Definition>> {
        self.read(|inner| inner.definitions.get(id).cloned())
    }

    /// Converts the objects of a resource in this way from now on; without, versions differ in name
    /// only.
    pub fn convert_with(&self, id: &GroupResource, conversion: Arc<dyn Conversion>) {
        self.write(|inner| {
            inner.conversions.insert(id.clone(), conversion);
        });
    }

    /// An object of a resource in another `apiVersion`.
    ///
    /// # Errors
    /// When the object cannot be said in that version.
    pub fn convert(
        &self,
        id: &GroupResource,
        mut object: Value,
        to: &str,
    ) -> Result<Value, ApiError> {
        if object["apiVersion"] == to {
            return Ok(object);
        }
        let conversion = self.read(|inner| inner.conversions.get(id).cloned());
        if let Some(conversion) = conversion {
            return conversion.convert(object, to);
        }
        object["apiVersion"] = Value::String(to.to_owned());
        Ok(object)
    }

    fn write(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.generation += 1;
        change(&mut inner);
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        let inner = self
            .0
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        reads::served(self, inner.generation);
        look(&inner)
    }
}
