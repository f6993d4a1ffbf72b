//! What an API server serves: resources with their group, versions, kind and verbs.

pub mod builtin;
pub mod catalogue;
pub mod conversion;
pub(crate) mod definition;
mod events;

use std::borrow::Cow;
use std::fmt;

/// A resource by group and plural name, whatever the version: where objects are stored.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupResource {
    /// API group, empty for the core.
    pub group: Cow<'static, str>,
    /// Plural name as in paths.
    pub resource: Cow<'static, str>,
}

impl GroupResource {
    /// A resource known at compile time.
    #[must_use]
    pub const fn new(group: &'static str, resource: &'static str) -> Self {
        Self {
            group: Cow::Borrowed(group),
            resource: Cow::Borrowed(resource),
        }
    }

    /// A resource by names that come from outside.
    #[must_use]
    pub fn named(group: &str, resource: &str) -> Self {
        Self {
            group: Cow::Owned(group.to_owned()),
            resource: Cow::Owned(resource.to_owned()),
        }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.resource)
        } else {
            write!(f, "{}.{}", self.resource, self.group)
        }
    }
}

/// A served resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Group and plural name.
    pub id: GroupResource,
    /// Served versions, the preferred first. Objects are stored in [`Resource::storage`].
    pub versions: Vec<Cow<'static, str>>,
    /// The version in which objects are stored; one of `versions`, or one that is no longer served.
    pub storage: Cow<'static, str>,
    /// Kind.
    pub kind: Cow<'static, str>,
    /// Singular name.
    pub singular: Cow<'static, str>,
    /// Short names, e.g. `po`.
    pub short_names: Vec<Cow<'static, str>>,
    /// Categories, e.g. `all`.
    pub categories: Vec<Cow<'static, str>>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether `status` is a subresource: then it is written by itself, and a write of the object
    /// leaves it alone.
    pub status: bool,
    /// Whether `metadata.generation` is counted: each change of anything but metadata and status.
    pub generation: bool,
}

impl Resource {
    /// `apiVersion` of objects of this resource in a version.
    #[must_use]
    pub fn api_version(&self, version: &str) -> String {
        if self.id.group.is_empty() {
            version.to_owned()
        } else {
            format!("{}/{version}", self.id.group)
        }
    }

    /// Whether Kubernetes itself serves it, rather than a definition.
    #[must_use]
    pub fn is_built_in(&self) -> bool {
        builtin::has(&self.id)
    }

    /// Whether a version is served.
    #[must_use]
    pub fn serves(&self, version: &str) -> bool {
        self.versions.iter().any(|served| served == version)
    }
}

/// Kubernetes' order of versions: v2 before v1 before v2beta1 before v1alpha1.
pub(crate) fn priority(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse().unwrap_or_default();
    let rest = version.trim_start_matches('v');
    for (rank, word) in [(1, "beta"), (0, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (rank, number(major), number(minor));
        }
    }
    (2, number(rest), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_stability_and_then_by_number() {
        let mut versions = ["v1alpha1", "v1", "v1beta1", "v2", "v2beta1", "v11"];
        versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
        assert_eq!(
            versions,
            ["v11", "v2", "v1", "v2beta1", "v1beta1", "v1alpha1"]
        );
    }
}
