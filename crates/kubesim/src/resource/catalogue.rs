//! Which resources a cluster serves at the moment: the built-in ones, and those that definitions add.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use super::{GroupResource, Resource, builtin};

/// The served resources; clones share them.
#[derive(Clone, Debug)]
pub struct Catalogue(Arc<RwLock<BTreeMap<GroupResource, Arc<Resource>>>>);

impl Default for Catalogue {
    /// The built-in resources.
    fn default() -> Self {
        let resources = builtin::resources().into_iter();
        let served = resources.map(|resource| (resource.id.clone(), Arc::new(resource)));
        Self(Arc::new(RwLock::new(served.collect())))
    }
}

impl Catalogue {
    /// A resource by group and plural.
    #[must_use]
    pub fn get(&self, id: &GroupResource) -> Option<Arc<Resource>> {
        self.read(|served| served.get(id).cloned())
    }

    /// A resource by what an object says of itself; only when that version is served.
    #[must_use]
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<Arc<Resource>> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        self.read(|served| {
            served
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
        self.read(|served| served.values().cloned().collect())
    }

    /// Serves a resource from now on, or in another form.
    pub fn serve(&self, resource: Resource) {
        let mut served = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        served.insert(resource.id.clone(), Arc::new(resource));
    }

    /// Serves a resource no more.
    pub fn withdraw(&self, id: &GroupResource) {
        let mut served = self
            .0
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        served.remove(id);
    }

    fn read<T>(&self, look: impl FnOnce(&BTreeMap<GroupResource, Arc<Resource>>) -> T) -> T {
        look(
            &self
                .0
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}
