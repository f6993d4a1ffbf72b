//! What a release is made of, rendered: the objects that the Cluster Stack Operator would apply, as
//! it would apply them.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::stack::{ADDON_NAMESPACE, Action, Hook, Release, ReleaseError, Stage};

/// Label that the Cluster Stack Operator puts on what it applies.
const INSTANCE: (&str, &str) = ("clusterstack.x-k8s.io/instance", "owned");

/// The management cluster's objects that addon values are templated with.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The Cluster.
    pub cluster: Value,
    /// What `spec.controlPlaneRef` names.
    pub control_plane: Value,
    /// What `spec.infrastructureRef` names.
    pub infrastructure: Value,
}

impl Inputs {
    /// What the templates see: the three objects by their names.
    #[must_use]
    pub fn context(&self) -> Value {
        json!({
            "Cluster": self.cluster,
            "ControlPlane": self.control_plane,
            "InfraCluster": self.infrastructure,
        })
    }
}

/// The objects of a release's class chart.
#[derive(Clone, Debug)]
pub struct ClassObjects {
    /// The release's tag.
    pub tag: String,
    /// In the order of Helm.
    pub objects: Vec<Value>,
}

/// The objects of one stage's chart.
#[derive(Clone, Debug)]
pub struct AddonObjects {
    /// The stage.
    pub stage: Stage,
    /// In the order of Helm.
    pub objects: Vec<Value>,
}

/// Renders the class chart for a namespace.
///
/// # Errors
/// When the chart does not render.
pub fn class(release: &Release, namespace: &str) -> Result<ClassObjects, ReleaseError> {
    let objects = release
        .render_class(namespace)?
        .into_iter()
        .map(|rendered| owned(rendered.object))
        .collect();
    Ok(ClassObjects {
        tag: release.tag.to_string(),
        objects,
    })
}

/// Renders the charts of a hook's stages, in their order.
///
/// # Errors
/// When a chart does not render.
pub fn addons(
    release: &Release,
    hook: Hook,
    inputs: &Inputs,
) -> Result<Vec<AddonObjects>, ReleaseError> {
    let context = inputs.context();
    release
        .addons
        .stages(hook)
        .iter()
        .map(|stage| {
            let objects = release
                .render_addon(stage, &context)?
                .into_iter()
                .map(|rendered| owned(rendered.object))
                .collect();
            Ok(AddonObjects {
                stage: stage.clone(),
                objects,
            })
        })
        .collect()
}

/// The addons that a Cluster has after a hook of a release, whoever applied them: those of the hook's
/// stages, and those that the release names at its other hook alone.
///
/// # Errors
/// When a chart does not render.
pub fn expected(
    release: &Release,
    hook: Hook,
    inputs: &Inputs,
) -> Result<Vec<AddonObjects>, ReleaseError> {
    let mut all = addons(release, hook, inputs)?;
    let created = addons(release, Hook::AfterControlPlaneInitialized, inputs)?;
    for addon in created {
        let named = |one: &AddonObjects| one.stage.name == addon.stage.name;
        if addon.stage.action == Action::Apply && !all.iter().any(named) {
            all.push(addon);
        }
    }
    Ok(all)
}

/// What is in `old` and not in `new`, by group, kind, namespace and name: the version of an object is
/// not part of what it is, or moving an apiVersion would delete what was just applied.
#[must_use]
pub fn dropped<'a>(
    old: impl IntoIterator<Item = &'a Value>,
    new: impl IntoIterator<Item = &'a Value>,
) -> Vec<Value> {
    let kept: BTreeSet<_> = new.into_iter().map(identity).collect();
    old.into_iter()
        .filter(|object| !kept.contains(&identity(object)))
        .cloned()
        .collect()
}

/// All objects that stages apply, those of deleting stages left out.
pub fn applied(stages: &[AddonObjects]) -> impl Iterator<Item = &Value> {
    stages
        .iter()
        .filter(|stage| stage.stage.action == Action::Apply)
        .flat_map(|stage| &stage.objects)
}

fn identity(object: &Value) -> (String, String, String, String) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let api_version = text("/apiVersion");
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    // Naming the default is the same as naming nothing.
    let namespace = Some(text("/metadata/namespace"))
        .filter(|namespace| namespace != ADDON_NAMESPACE)
        .unwrap_or_default();
    (
        group.to_owned(),
        text("/kind"),
        namespace,
        text("/metadata/name"),
    )
}

fn owned(mut object: Value) -> Value {
    label(&mut object["metadata"]);
    let kind = object["kind"].as_str().unwrap_or_default();
    if matches!(
        kind,
        "Deployment" | "DaemonSet" | "ReplicaSet" | "StatefulSet" | "Job"
    ) {
        label(&mut object["spec"]["template"]["metadata"]);
    }
    object
}

fn label(metadata: &mut Value) {
    metadata["labels"][INSTANCE.0] = json!(INSTANCE.1);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(api_version: &str, namespace: &str, name: &str) -> Value {
        json!({"apiVersion": api_version, "kind": "Thing", "metadata": {"name": name, "namespace": namespace}})
    }

    #[test]
    fn what_the_new_release_does_not_have_is_dropped() {
        let old = [object("g/v1", "", "a"), object("g/v1", "", "b")];
        let new = [object("g/v1", "kube-system", "a")];
        assert_eq!(dropped(&old, &new), [object("g/v1", "", "b")]);
    }

    #[test]
    fn an_object_whose_version_moves_is_not_dropped() {
        let (old, new) = ([object("g/v1beta1", "n", "a")], [object("g/v1", "n", "a")]);
        assert!(dropped(&old, &new).is_empty());
        // Another group or namespace is another object.
        assert_eq!(dropped(&old, &[object("h/v1", "n", "a")]).len(), 1);
        assert_eq!(dropped(&old, &[object("g/v1", "m", "a")]).len(), 1);
    }

    #[test]
    fn objects_and_pod_templates_carry_the_instance_label() {
        let deployment = json!({"kind": "Deployment", "metadata": {"labels": {"a": "b"}},
            "spec": {"template": {"metadata": {}}}});
        let owned = owned(deployment);
        assert_eq!(
            owned["metadata"]["labels"],
            json!({"a": "b", "clusterstack.x-k8s.io/instance": "owned"})
        );
        assert_eq!(
            owned["spec"]["template"]["metadata"]["labels"],
            json!({"clusterstack.x-k8s.io/instance": "owned"})
        );
    }
}
