//! What a path of the API names: a resource in a version, a collection or one object, a subresource.

use crate::resource::GroupResource;

/// A resource's path, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// API group, empty for the core.
    pub group: String,
    /// Version.
    pub version: String,
    /// Namespace, where the path names one.
    pub namespace: Option<String>,
    /// Plural name.
    pub resource: String,
    /// The object's name; absent for the collection.
    pub name: Option<String>,
    /// Subresource, e.g. `status`, with what follows it (`proxy/configz`).
    pub subresource: Option<String>,
}

impl Target {
    /// The resource, whatever the version.
    #[must_use]
    pub fn id(&self) -> GroupResource {
        GroupResource::named(&self.group, &self.resource)
    }
}

/// Takes a path apart; none when it is not a resource's.
#[must_use]
pub fn parse(path: &str) -> Option<Target> {
    let mut words = path.split('/').filter(|word| !word.is_empty());
    let mut target = Target::default();
    match words.next()? {
        "api" => target.version = words.next()?.to_owned(),
        "apis" => {
            target.group = words.next()?.to_owned();
            target.version = words.next()?.to_owned();
        }
        _ => return None,
    }
    let words: Vec<&str> = words.collect();
    let rest = match words.as_slice() {
        // `namespaces/demo/pods`, but not `namespaces/demo` or `namespaces/demo/status`.
        ["namespaces", namespace, resource, rest @ ..]
            if !(target.group.is_empty() && matches!(*resource, "status" | "finalize")) =>
        {
            target.namespace = Some((*namespace).to_owned());
            target.resource = (*resource).to_owned();
            rest
        }
        [resource, rest @ ..] => {
            target.resource = (*resource).to_owned();
            rest
        }
        [] => return None,
    };
    if let [name, rest @ ..] = rest {
        target.name = Some((*name).to_owned());
        if !rest.is_empty() {
            target.subresource = Some(rest.join("/"));
        }
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_path_is_taken_apart() {
        let shown = |path: &str| {
            let target = parse(path)?;
            Some(format!(
                "{} {} {:?} {:?} {:?}",
                target.id(),
                target.version,
                target.namespace.as_deref(),
                target.name.as_deref(),
                target.subresource.as_deref()
            ))
        };
        for (path, expected) in [
            ("/api/v1/nodes", "nodes v1 None None None"),
            ("/api/v1/namespaces", "namespaces v1 None None None"),
            (
                "/api/v1/namespaces/a",
                "namespaces v1 None Some(\"a\") None",
            ),
            (
                "/api/v1/namespaces/a/status",
                "namespaces v1 None Some(\"a\") Some(\"status\")",
            ),
            ("/api/v1/namespaces/a/pods", "pods v1 Some(\"a\") None None"),
            (
                "/apis/apps/v1/namespaces/a/deployments/b/scale",
                "deployments.apps v1 Some(\"a\") Some(\"b\") Some(\"scale\")",
            ),
            (
                "/api/v1/nodes/n/proxy/configz",
                "nodes v1 None Some(\"n\") Some(\"proxy/configz\")",
            ),
        ] {
            assert_eq!(shown(path).as_deref(), Some(expected), "{path}");
        }
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/apis/apps",
            "/apis/apps/v1",
            "/version",
        ] {
            assert_eq!(parse(path), None, "{path}");
        }
    }
}
